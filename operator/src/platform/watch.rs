//! Watches that never end.

use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, Event};

/// Longest time between two attempts: an API server that is back is noticed soon.
const MOST_PATIENT: Duration = Duration::from_secs(5);

/// A watch that never ends: it goes on after a while, and its errors are logged once each.
pub(crate) fn patient<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    kind: String,
) -> impl Stream<Item = Event<K>> {
    let mut trouble = Trouble::default();
    events
        .then(move |result| {
            let wait = trouble.of(&result, &kind);
            async move {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                stream::iter(result.ok())
            }
        })
        .flatten()
}

/// What keeps a watch from going on.
#[derive(Default)]
struct Trouble {
    wait: Duration,
    /// What was logged last.
    told: String,
}

impl Trouble {
    /// Gives the time until the next attempt.
    fn of<K>(&mut self, result: &watcher::Result<Event<K>>, kind: &str) -> Duration {
        match result {
            // It comes before the API server is asked.
            Ok(Event::Init) => Duration::ZERO,
            Ok(_) => self.ends(kind),
            Err(error) => self.note(error, kind),
        }
    }

    fn note(&mut self, error: &watcher::Error, kind: &str) -> Duration {
        let text = if is_undefined(error) {
            "there is no definition of this kind yet, it is waited for".to_owned()
        } else {
            format!("a watch is interrupted, and tried again: {error}")
        };
        if text != self.told {
            tracing::warn!(kind, "{text}");
            self.told = text;
        }
        self.wait = (self.wait * 2).clamp(Duration::from_millis(250), MOST_PATIENT);
        self.wait
    }

    fn ends(&mut self, kind: &str) -> Duration {
        if !self.told.is_empty() {
            tracing::info!(kind, "the watch goes on");
        }
        *self = Trouble::default();
        Duration::ZERO
    }
}

/// The API server does not know the kind.
fn is_undefined(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    // The answer to a path that there is not is no Status, and so has no reason.
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> watcher::Error {
        let status = Status::failure("m", "R").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_trouble_is_told_once_and_waited_for_longer_and_longer() {
        let mut trouble = Trouble::default();
        let waits: Vec<u128> =
            (0..7).map(|_| trouble.note(&refused(404), "TetragonNode").as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert!(trouble.told.starts_with("there is no definition of this kind yet"), "{}", trouble.told);
        trouble.note(&refused(503), "TetragonNode");
        assert!(trouble.told.starts_with("a watch is interrupted"), "{}", trouble.told);
        trouble.ends("TetragonNode");
        assert_eq!(trouble.note(&refused(404), "TetragonNode").as_millis(), 250);
        assert!(!trouble.told.is_empty(), "it is told again");
    }

    /// kube says that it begins a list before it asks for one: a wait that this ended would never grow.
    #[test]
    fn the_begin_of_a_list_is_no_success() {
        let mut trouble = Trouble::default();
        let mut of = |result: watcher::Result<Event<()>>| trouble.of(&result, "TetragonNode").as_millis();
        let mut waits = Vec::new();
        for _ in 0..3 {
            waits.extend([of(Ok(Event::Init)), of(Err(refused(404)))]);
        }
        assert_eq!(waits, [0, 250, 0, 500, 0, 1000]);
        assert_eq!((of(Ok(Event::InitDone)), of(Err(refused(404)))), (0, 250));
    }
}
