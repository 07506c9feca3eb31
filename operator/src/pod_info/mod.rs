//! Tetragon's PodInfo: for each pod with an address an object of its name that tells what is at that address.
//!
//! ```text
//! pods      --watch--> what should be said --+
//!                                            +--> differs: read the pod, apply its PodInfo
//! PodInfos  --watch--> what is said ---------+
//! ```
//!
//! Of both only a number is kept, so that 50,000 pods fit in a few megabytes; what is written is read when its
//! turn comes. Kubernetes deletes a PodInfo with its pod, which owns it. The leader does all of this.

mod book;
mod object;

use std::hash::RandomState;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::Instant;

use crate::platform::client::FIELD_MANAGER;
use crate::platform::watch::patient;
use crate::policies::Error;
use crate::policies::metrics::{Metrics, ReasonLabel};

use book::{Book, Key, Side};
use object::{Content, Pod, PodInfo};

/// Objects of a page when they are listed: pods are large, and a page is held while it is read.
const PAGE: u32 = 200;
/// Objects that are written at once, and the rest after each: a cluster without any PodInfo gets about a
/// hundred in a second.
const CONCURRENCY: usize = 4;
const REST: Duration = Duration::from_millis(30);
/// How often the gauge is set.
const SURVEY: Duration = Duration::from_secs(5);

/// Keeps the PodInfos right, for as long as it is polled.
pub async fn run(client: Client, metrics: Metrics) {
    let (ask, asked) = unbounded();
    let writer = Writer {
        client,
        metrics,
        book: Mutex::default(),
        state: RandomState::new(),
        ask,
        told: Mutex::default(),
    };
    tokio::join!(writer.follow_pods(), writer.follow_infos(), writer.write_all(asked), writer.survey());
}

struct Writer {
    client: Client,
    metrics: Metrics,
    book: Mutex<Book>,
    /// Makes numbers of contents; they are compared with each other, in this process only.
    state: RandomState,
    /// Pods whose turn comes at a time.
    ask: UnboundedSender<ScheduleRequest<Key>>,
    /// The class of the error that was logged last: one that all pods have is logged once.
    told: Mutex<&'static str>,
}

impl Writer {
    async fn follow_pods(&self) {
        let api: Api<Pod> = Api::all(self.client.clone());
        let mut events =
            pin!(patient(watcher(api, watcher::Config::default().page_size(PAGE)), "Pod".into()));
        while let Some(event) = events.next().await {
            self.take(Side::Pods, event, |pod| Content::of_pod(&pod));
        }
    }

    async fn follow_infos(&self) {
        let api: Api<PodInfo> = Api::all(self.client.clone());
        let mut events =
            pin!(patient(watcher(api, watcher::Config::default().page_size(PAGE)), "PodInfo".into()));
        while let Some(event) = events.next().await {
            self.take(Side::Infos, event, |info| Some(Content::of_info(info)));
        }
    }

    /// Notes an event, and asks for the turn of those that it puts behind.
    fn take<K>(&self, side: Side, event: Event<K>, content: impl Fn(K) -> Option<Content>)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let mut book = self.book();
        match event {
            Event::Init => book.begin(side),
            Event::InitApply(object) | Event::Apply(object) => {
                let key = Key::of(&object);
                let number = content(object).map(|c| c.number(&self.state));
                if book.note(side, &key, number) {
                    self.ask_for(key, Duration::ZERO);
                }
            }
            Event::InitDone => book.end(side).into_iter().for_each(|key| self.ask_for(key, Duration::ZERO)),
            Event::Delete(object) => {
                let key = Key::of(&object);
                if book.note(side, &key, None) {
                    self.ask_for(key, Duration::ZERO);
                }
            }
        }
    }

    fn ask_for(&self, key: Key, wait: Duration) {
        // The receiver lives as long as `run`.
        let _ = self.ask.unbounded_send(ScheduleRequest { message: key, run_at: Instant::now() + wait });
    }

    async fn write_all(&self, asked: UnboundedReceiver<ScheduleRequest<Key>>) {
        scheduler(asked)
            .for_each_concurrent(CONCURRENCY, async |key| {
                if !self.book().turn(&key) {
                    return;
                }
                match self.write(&key).await {
                    Ok(()) => *self.told.lock().expect("no holder panics") = "",
                    Err(error) => self.failed(key, &error),
                }
                tokio::time::sleep(REST).await;
            })
            .await;
    }

    /// Applies the PodInfo of a pod as it is now.
    async fn write(&self, key: &Key) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let pod = pods.get_opt(&key.name).await.map_err(Error::api("read a pod"))?;
        let Some(content) = pod.as_ref().and_then(Content::of_pod) else { return Ok(()) };
        let infos: Api<PodInfo> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let object = content.object(key);
        let applied = infos.patch(&key.name, &params, &Patch::Apply(&object)).await;
        let applied = Content::of_info(applied.map_err(Error::api("write a PodInfo"))?);
        self.metrics.pod_info_writes.inc();
        self.book().wrote(key, content.number(&self.state), applied.number(&self.state));
        Ok(())
    }

    fn failed(&self, key: Key, error: &Error) {
        let reason = error.reason();
        self.metrics.pod_info_errors.get_or_create(&ReasonLabel { reason }).inc();
        let told = std::mem::replace(&mut *self.told.lock().expect("no holder panics"), reason);
        if told != reason {
            tracing::warn!(pod = %key, reason, %error, "a PodInfo is not written, and tried again; others may be");
        }
        let failures = self.book().failed(&key);
        self.ask_for(key, error.retry_after(failures));
    }

    async fn survey(&self) {
        loop {
            let behind = self.book().behind();
            self.metrics.pod_info_pending.set(i64::try_from(behind).unwrap_or(i64::MAX));
            tokio::time::sleep(SURVEY).await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder of the book panics")
    }
}
