//! Which policies are worth a look, since somebody looked last.

use std::collections::HashSet;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::model::{PolicyKey, Scope};

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Something that concerns all policies.
    pub all: bool,
    /// Labels of nodes: something that concerns policies with a nodeSelector.
    pub labels: bool,
    /// Or these.
    pub keys: HashSet<PolicyKey>,
}

/// Bounded by the number of policies, however long nobody looks.
#[derive(Default)]
pub(super) struct Changes([(Mutex<Changed>, Notify); 2]);

impl Changes {
    pub(super) fn touch(&self, key: &PolicyKey) {
        self.change(key.scope(), |changed| {
            if !changed.all {
                changed.keys.insert(key.clone());
            }
        });
    }

    pub(super) fn all(&self) {
        for scope in Scope::ALL {
            self.change(scope, |changed| *changed = Changed { all: true, ..Changed::default() });
        }
    }

    pub(super) fn labels(&self) {
        for scope in Scope::ALL {
            self.change(scope, |changed| changed.labels = !changed.all);
        }
    }

    fn change(&self, scope: Scope, f: impl FnOnce(&mut Changed)) {
        let (changed, notify) = &self.0[scope as usize];
        f(&mut changed.lock().expect("no holder panics"));
        notify.notify_one();
    }

    pub(super) async fn next(&self, scope: Scope) -> Changed {
        loop {
            let taken = self.take(scope);
            if taken != Changed::default() {
                return taken;
            }
            self.0[scope as usize].1.notified().await;
        }
    }

    pub(super) fn take(&self, scope: Scope) -> Changed {
        std::mem::take(&mut *self.0[scope as usize].0.lock().expect("no holder panics"))
    }

    #[cfg(test)]
    pub(super) fn peek(&self, scope: Scope) -> Changed {
        self.0[scope as usize].0.lock().expect("no holder panics").clone()
    }
}
