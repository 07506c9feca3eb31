//! Admission: the API server asks whether a policy is good before it is stored. What is wrong with it
//! is told to whoever applies it, in the compiler's own words; what is doubtful is a warning.
//!
//! ```text
//! bytes -> review (an AdmissionReview?) -> check (compiler, annotation, nodes) -> warnings (limits) -> answer
//! ```
//!
//! Nothing here has side effects, so a dry run is the same. [`TlsListener`](tetragon_tls::server::TlsListener) carries it.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::{check, review};
use crate::metrics::{Answer, Metrics};
use crate::nodes::Index;

/// An API server takes requests of up to 3 MiB, and asks with the old and the new object.
const LARGEST: usize = 8 << 20;

/// What the webhook needs to answer.
#[derive(Clone)]
pub struct Webhook {
    /// What is known of the nodes.
    pub index: Arc<Index>,
    /// Times are counted there.
    pub metrics: Metrics,
}

impl Webhook {
    /// POST /validate, which the Service is asked. Nothing else is served here, and a URL of somebody's own may
    /// have another path, or none: a 404 would be no answer, and by `failurePolicy: Ignore` nothing were checked.
    pub fn router(self) -> Router {
        Router::new()
            .fallback(post(validate))
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(Arc::new(self))
    }
}

async fn validate(State(webhook): State<Arc<Webhook>>, body: Bytes) -> Response {
    let began = Instant::now();
    // Compiling is computing: some milliseconds for the largest policies, fine on this thread.
    let (answer, response) = answer(&body, &webhook.index);
    webhook.metrics.answered(answer, began.elapsed());
    response
}

fn answer(body: &[u8], index: &Index) -> (Answer, Response) {
    let question = match review::read(body) {
        Ok(question) => question,
        Err(error) => {
            tracing::warn!("a request to the webhook is no question about a policy: {error}");
            return (Answer::Unreadable, (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response());
        }
    };
    let verdict = question.policy().map(|object| check::check(object, &index.nodes()));
    let (answer, review) = question.answer(verdict);
    match serde_json::to_vec(&review) {
        Ok(body) => (answer, ([(header::CONTENT_TYPE, "application/json")], body).into_response()),
        // An answer holds only texts and numbers.
        Err(error) => (answer, (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()),
    }
}

#[cfg(test)]
mod tests;
