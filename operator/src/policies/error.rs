//! What can go wrong while a policy is reconciled: its class is the word in metrics, conditions and logs,
//! and says when to try again.

use std::time::Duration;

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("{step}: {source}")]
    Api {
        /// What was tried.
        step: &'static str,
        /// What it says.
        #[source]
        source: kube::Error,
    },
    /// Somebody else has seen a newer policy.
    #[error("{plan} is of generation {revision}, and the policy was last seen in generation {generation}")]
    Stale {
        /// ConfigMap.
        plan: String,
        /// Its revision.
        revision: i64,
        /// Generation of the policy here.
        generation: i64,
    },
    /// It took too long.
    #[error("not done after {} s", .0.as_secs())]
    Timeout(Duration),
}

/// When to try again: the first time, and at most.
const SOON: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
const LATER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
const RARELY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

impl Error {
    /// Names the step that a call to the API server belongs to.
    pub fn api(step: &'static str) -> impl Fn(kube::Error) -> Error {
        move |source| Error::Api { step, source }
    }

    /// The class.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Stale { .. } => "Stale",
            Error::Timeout(_) => "Timeout",
            Error::Api { source: kube::Error::Api(status), .. } => match status.code {
                409 => "Conflict",
                403 | 401 => "Forbidden",
                404 => "NotFound",
                400 | 413 | 422 => "Rejected",
                429 | 500..=599 => "Unavailable",
                _ => "ApiError",
            },
            Error::Api { .. } => "Unreachable",
        }
    }

    /// The API server understood, and will say the same until somebody changes something.
    pub fn is_refusal(&self) -> bool {
        matches!(self.reason(), "Forbidden" | "Rejected")
    }

    /// How long to wait after `failures` failures in a row.
    pub fn retry_after(&self, failures: u32) -> Duration {
        let (first, most) = match self.reason() {
            "Conflict" | "Stale" | "NotFound" => SOON,
            "Unavailable" | "Unreachable" | "Timeout" => LATER,
            _ => RARELY,
        };
        first.saturating_mul(1 << failures.min(16)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn classes_decide_when_to_try_again() {
        let api = |code: u16| Error::Api {
            step: "publish",
            source: kube::Error::Api(Box::new(Status::failure("m", "R").with_code(code))),
        };
        for (code, class, first, most) in [
            (409, "Conflict", 100, 5_000),
            (403, "Forbidden", 5_000, 300_000),
            (404, "NotFound", 100, 5_000),
            (422, "Rejected", 5_000, 300_000),
            (429, "Unavailable", 500, 10_000),
            (503, "Unavailable", 500, 10_000),
        ] {
            let error = api(code);
            assert_eq!(error.reason(), class);
            assert_eq!(error.retry_after(0).as_millis(), first, "{code}");
            assert_eq!(error.retry_after(1).as_millis(), 2 * first, "{code}");
            assert_eq!(error.retry_after(u32::MAX).as_millis(), most, "{code}");
        }
        assert!(api(403).is_refusal() && !api(409).is_refusal());
        assert!(api(409).to_string().starts_with("publish: "));
    }
}
