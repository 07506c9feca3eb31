//! AdmissionReview: the question and the answer.

use kube::core::admission::{
    AdmissionRequest, AdmissionResponse, AdmissionReview, META_API_VERSION_V1, Operation,
};
use kube::core::response::{StatusCause, StatusDetails};
use kube::core::{DynamicObject, Status};
use tetragon_api::policy::{API_VERSION, KIND, KIND_NAMESPACED};

use super::check::Verdict;
use super::warnings;
use crate::metrics::Answer;
use crate::policies::rollout::ANNOTATION;

/// Longest list of causes.
const MAX_CAUSES: usize = 100;
/// Longest message, in bytes: it passes through logs, audit and terminals.
const MAX_DENIAL: usize = 16 << 10;

/// What the API server asks.
pub struct Question(AdmissionRequest<DynamicObject>);

/// Why a request is none.
#[derive(Debug, thiserror::Error)]
pub enum NoQuestion {
    /// Not JSON, or not of that shape.
    #[error("the body is no AdmissionReview: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Another kind or version.
    #[error(
        "the body is {kind:?} of {version:?}; this webhook answers AdmissionReview of {META_API_VERSION_V1:?}"
    )]
    Other {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// It asks nothing.
    #[error("the AdmissionReview has no request")]
    Empty,
}

/// Reads a request's body.
pub fn read(body: &[u8]) -> Result<Question, NoQuestion> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body)?;
    let (kind, version) = (&review.types.kind, &review.types.api_version);
    if kind != "AdmissionReview" || version != META_API_VERSION_V1 {
        return Err(NoQuestion::Other { kind: kind.clone(), version: version.clone() });
    }
    review.try_into().map(Question).map_err(|_| NoQuestion::Empty)
}

impl Question {
    /// The policy to look at, if there is something to look at.
    pub fn policy(&self) -> Option<&DynamicObject> {
        let changes = matches!(self.0.operation, Operation::Create | Operation::Update);
        let whole = self.0.sub_resource.as_deref().unwrap_or_default().is_empty();
        self.0.object.as_ref().filter(|_| changes && whole && self.is_policy() && !self.unchanged())
    }

    fn is_policy(&self) -> bool {
        let kind = &self.0.kind;
        format!("{}/{}", kind.group, kind.version) == API_VERSION
            && (kind.kind == KIND || kind.kind == KIND_NAMESPACED)
    }

    /// What policies are compiled from did not change. So labels can be put on one that came in
    /// while nobody looked, and finalizers taken off.
    fn unchanged(&self) -> bool {
        let matters = |o: &DynamicObject| {
            let rollout = o.metadata.annotations.as_ref().and_then(|a| a.get(ANNOTATION)).cloned();
            (o.data.get("spec").cloned(), rollout)
        };
        let (Some(new), Some(old)) = (&self.0.object, &self.0.old_object) else { return false };
        matters(new) == matters(old)
    }

    /// The answer. `verdict`: of the policy, if there was something to look at.
    pub fn answer(&self, verdict: Option<Verdict>) -> (Answer, AdmissionReview<DynamicObject>) {
        let mut response = AdmissionResponse::from(&self.0);
        let answer = match verdict {
            None if !self.is_policy() => {
                let kind = &self.0.kind;
                let asked = format!("{}/{} {}", kind.group, kind.version, kind.kind);
                response.allowed = false;
                response.result = Status::failure(
                    &format!(
                        "this webhook checks {KIND} and {KIND_NAMESPACED} of {API_VERSION}, and was asked about \
                         {}: take that out of the rules of the ValidatingWebhookConfiguration",
                        asked.trim_start_matches('/')
                    ),
                    "BadRequest",
                )
                .with_code(400);
                Answer::Unreadable
            }
            None => Answer::Skipped,
            Some(verdict) if !verdict.errors.is_empty() => {
                response.allowed = false;
                response.result = denial(&self.0, &verdict);
                Answer::Denied
            }
            Some(verdict) => {
                let warnings = warnings::within_limits(verdict.warnings);
                let answer = if warnings.is_empty() { Answer::Allowed } else { Answer::Warned };
                response.warnings = (!warnings.is_empty()).then_some(warnings);
                answer
            }
        };
        (answer, response.into_review())
    }
}

/// All errors: one a line for people, and as causes with their fields for programs.
fn denial(request: &AdmissionRequest<DynamicObject>, verdict: &Verdict) -> Status {
    let errors = &verdict.errors;
    let count = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
    let mut message = format!("the policy has {count}:");
    let mut shown = 0;
    for error in errors {
        let line = error.line();
        if message.len() + line.len() > MAX_DENIAL {
            break;
        }
        message.push('\n');
        message.push_str(&line);
        shown += 1;
    }
    if shown < errors.len() {
        message.push_str(&format!("\n({} more are not shown)", errors.len() - shown));
    }
    // kubectl prints these, one a line, instead of the message.
    let cause = |field: &str, message: String| StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message,
        field: field.to_owned(),
    };
    let mut causes: Vec<StatusCause> =
        errors.iter().take(MAX_CAUSES).map(|e| cause(&e.field, format!("[{}] {}", e.code, e.text))).collect();
    if errors.len() > MAX_CAUSES {
        causes.push(cause("spec", format!("{} more errors are not shown", errors.len() - MAX_CAUSES)));
    }
    let details = StatusDetails {
        name: request.name.clone(),
        group: request.kind.group.clone(),
        kind: request.kind.kind.clone(),
        uid: String::new(),
        causes,
        retry_after_seconds: 0,
    };
    Status::failure(&message, "Invalid").with_code(422).with_details(details)
}
