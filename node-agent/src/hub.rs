//! Who listens to events over gRPC. Each has a queue of its own; what does not fit is counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tetragon_api::event::GetEventsResponse;
use tetragon_filters::{Fields, Filters};
use tokio::sync::mpsc;

use crate::counters::{Counters, Stage};

/// What a listener receives.
pub type Receiver = mpsc::Receiver<Arc<GetEventsResponse>>;

struct Listener {
    filters: Filters,
    fields: Fields,
    queue: mpsc::Sender<Arc<GetEventsResponse>>,
    /// Events that found the queue full, and that the listener has not been told of.
    lost: u64,
}

/// All listeners.
pub struct Hub {
    listeners: Mutex<Vec<Listener>>,
    /// How many, so that nobody takes the lock for none.
    count: AtomicUsize,
    queue: usize,
    counters: Arc<Counters>,
}

impl Hub {
    /// A hub whose listeners have queues of `queue` events.
    pub fn new(queue: usize, counters: Arc<Counters>) -> Hub {
        Hub { listeners: Mutex::default(), count: AtomicUsize::new(0), queue: queue.max(1), counters }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new listener; it ends when its receiver is dropped.
    pub fn listen(&self, filters: Filters, fields: Fields) -> Receiver {
        let (queue, receiver) = mpsc::channel(self.queue);
        let mut listeners = self.lock();
        listeners.push(Listener { filters, fields, queue, lost: 0 });
        self.count.store(listeners.len(), Ordering::Release);
        receiver
    }

    /// Somebody listens.
    pub fn is_on(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Hands an event to those who want it.
    pub fn publish(&self, event: &Arc<GetEventsResponse>) {
        self.each(|listener, counters| {
            let passes = listener.filters.pass(event);
            if let Some(complaint) = listener.filters.complaint() {
                tracing::warn!("filters of a gRPC client: {complaint}");
            }
            if passes {
                let wanted = listener.only_fields(event);
                listener.send(wanted, counters);
            }
        });
    }

    /// Hands an event to all, whatever they filter: it says what is missing.
    pub fn publish_loss(&self, event: &Arc<GetEventsResponse>) {
        self.each(|listener, counters| listener.send(event.clone(), counters));
    }

    /// Tells each listener what its own full queue cost it. `make` makes the event from a count.
    pub fn tell_losses(&self, make: impl Fn(u64) -> GetEventsResponse) {
        if !self.is_on() {
            return;
        }
        for listener in self.lock().iter_mut().filter(|l| l.lost > 0) {
            if listener.queue.try_send(Arc::new(make(listener.lost))).is_ok() {
                listener.lost = 0;
            }
        }
    }

    /// Ends all streams.
    pub fn close(&self) {
        self.lock().clear();
        self.count.store(0, Ordering::Release);
    }

    fn each(&self, mut f: impl FnMut(&mut Listener, &Counters)) {
        if !self.is_on() {
            return;
        }
        let mut listeners = self.lock();
        listeners.retain(|l| !l.queue.is_closed());
        listeners.iter_mut().for_each(|l| f(l, &self.counters));
        self.count.store(listeners.len(), Ordering::Release);
    }
}

impl Listener {
    fn only_fields(&self, event: &Arc<GetEventsResponse>) -> Arc<GetEventsResponse> {
        self.fields.apply_to_event(event).map_or_else(|| event.clone(), Arc::new)
    }

    fn send(&mut self, event: Arc<GetEventsResponse>, counters: &Counters) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.queue.try_send(event) {
            counters.lose(Stage::Listener, &event);
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::get;
    use tetragon_filters::{FilterList, parse_field_filters, parse_filters};

    fn event(pid: u32) -> Arc<GetEventsResponse> {
        let text = format!(r#"{{"process_exec":{{"process":{{"pid":{pid},"cwd":"/"}}}}}}"#);
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    fn hub(queue: usize) -> (Hub, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        (Hub::new(queue, counters.clone()), counters)
    }

    #[test]
    fn each_listener_has_filters_of_its_own() {
        let (hub, _) = hub(10);
        assert!(!hub.is_on());
        let allow = FilterList::new(&parse_filters(r#"{"pid":[2]}"#).unwrap()).unwrap();
        let filters = Filters::new(allow, FilterList::default());
        let fields = Fields::new(&parse_field_filters(r#"{"fields":"process.pid"}"#).unwrap()).unwrap();
        let mut some = hub.listen(filters, fields);
        let mut all = hub.listen(Filters::default(), Fields::default());
        for pid in 1..=3 {
            hub.publish(&event(pid));
        }
        assert_eq!(all.len(), 3);
        assert_eq!(all.try_recv().unwrap(), event(1));
        let one = some.try_recv().unwrap();
        assert_eq!((one.process().unwrap().pid, one.process().unwrap().cwd.as_str()), (Some(2), ""));
        assert!(some.try_recv().is_err());
        drop((some, all));
        hub.publish(&event(4));
        assert!(!hub.is_on());
    }

    #[test]
    fn a_full_queue_is_counted_and_told() {
        let (hub, counters) = hub(2);
        let mut listener = hub.listen(Filters::default(), Fields::default());
        for pid in 1..=5 {
            hub.publish(&event(pid));
        }
        assert_eq!(get(&counters.overflowed), 3);
        let make = |n: u64| {
            let text = format!(r#"{{"rate_limit_info":{{"number_of_dropped_process_events":"{n}"}}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        // Still full: told later.
        hub.tell_losses(make);
        listener.try_recv().unwrap();
        hub.tell_losses(make);
        hub.tell_losses(make);
        listener.try_recv().unwrap();
        assert_eq!(*listener.try_recv().unwrap(), make(3));
        assert!(listener.try_recv().is_err());
        hub.close();
        assert_eq!(listener.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }
}
