//! The controller: policies to plans to status. It runs while this replica leads.
//!
//! ```text
//! dereference     no client    the policy and what its status recorded
//! compile         no client    a version of it, or what is wrong
//! rollout         no client    how far it may go now
//! publish         client       the ConfigMap of the version
//! retire          client       ConfigMaps that nobody needs
//! status          no client    what the nodes say, summed up
//! write           client       the status, if it differs; events, if something happened
//! ```
//!
//! Each step can be the last one before this process dies: what was written is found again, and what
//! was not is decided again in the same way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;
use tetragon_api::policy::API_VERSION;
use tetragon_api::published::{PlanMeta, name_prefix};
use tetragon_api::status::{RolloutStatus, TracingPolicyStatus};
use tokio::sync::Notify;

use super::compile::{Compiled, Fault, Version};
use super::context::Context;
use super::dereference::{Subject, kind, resource};
use super::error::Error;
use super::events::{self, Teller};
use super::memory::{Memories, Memory};
use super::metrics::{Metrics, ReasonLabel};
use super::publish::{self, Found, Plans, caught_up};
use super::rollout::{self, Now, Recorded, Stage, Watched};
use super::{lost, retire, status};
use crate::nodes::{PolicyKey, Scope, Tally, Wanted};
use crate::platform::client::FIELD_MANAGER;
use crate::platform::watch::patient;

/// Policies that are reconciled at once.
const CONCURRENCY: u16 = 8;
/// Objects of a page when policies are listed.
const PAGE: u32 = 100;
/// A look without a cause, in case that a change was missed.
const ANYWAY: Duration = Duration::from_secs(600);
/// Longest reconciliation.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often gauges are set.
const SURVEY: Duration = Duration::from_secs(5);

/// What the parts of a running controller share.
struct Leader {
    context: Context,
    plans: Plans,
    policies: [Store<DynamicObject>; 2],
    memories: Memories,
    teller: Teller,
    /// A policy is gone, or a plan belongs to none.
    sweep: Notify,
}

/// Runs the controller, for as long as it is polled. Dropped, it stops at once.
pub async fn run(context: Context) {
    context.index.synced().await;
    let (plans, plan_events) =
        Plans::watch(context.client.clone(), &context.namespace, context.metrics.clone());
    let writers = Scope::ALL.map(|scope| Writer::<DynamicObject>::new(resource(scope)));
    let policies = [writers[0].as_reader(), writers[1].as_reader()];
    let teller = Teller::new(context.client.clone(), &context.instance);
    let leader = Arc::new(Leader {
        context,
        plans,
        policies,
        memories: Memories::default(),
        teller,
        sweep: Notify::new(),
    });
    let [cluster, namespaced] = writers;
    tokio::join!(
        follow_plans(&leader, plan_events),
        control(&leader, Scope::Cluster, cluster),
        control(&leader, Scope::Namespaced, namespaced),
        sweep(&leader),
        survey(&leader),
        lost::tell(&leader.context),
    );
}

/// A plan that changed is a reason to look at its policy.
async fn follow_plans(leader: &Leader, events: impl Stream<Item = Event<publish::Meta>>) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let (Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = event else {
            leader.sweep.notify_one();
            continue;
        };
        match PlanMeta::from_meta(&object.metadata).ok().and_then(|meta| leader.key_of(&meta)) {
            Some(key) => leader.context.index.touch(&key),
            // Whose it is cannot be told from what it says.
            None => {
                leader.context.index.touch_all();
                leader.sweep.notify_one();
            }
        }
    }
}

async fn control(leader: &Arc<Leader>, scope: Scope, writer: Writer<DynamicObject>) {
    leader.plans.ready().await;
    let resource = resource(scope);
    let api: Api<DynamicObject> = Api::all_with(leader.context.client.clone(), &resource);
    let config = watcher::Config::default().page_size(PAGE);
    let store = writer.as_reader();
    let here = leader.clone();
    let events = patient(watcher(api, config), resource.kind.clone())
        .map(|event| event.modify(slim))
        .inspect(move |event| {
            if matches!(event, Event::Delete(_) | Event::InitDone) {
                here.sweep.notify_one();
            }
        })
        .map(Ok)
        .reflect(writer)
        .applied_objects();
    let policy = |object: Arc<DynamicObject>, failure: &Failure, _: Arc<Leader>| {
        tracing::warn!(policy = object.name_any(), reason = failure.error.reason(), error = %failure.error,
            retry_after = ?failure.retry_after, "a policy could not be reconciled");
        Action::requeue(failure.retry_after)
    };
    Controller::for_stream_with(events, store, resource)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_on(changes(leader.clone(), scope))
        .run(move |object, leader| reconcile(object, leader, scope), policy, leader.clone())
        // Failures are logged above; a policy that nodes still name and that is gone is no failure.
        .for_each(async |_| ())
        .await;
}

/// Only what is read is kept.
fn slim(object: &mut DynamicObject) {
    object.managed_fields_mut().clear();
    object.annotations_mut().retain(|key, _| key == rollout::ANNOTATION);
}

/// Policies about which the nodes, or their plans, say something new.
fn changes(leader: Arc<Leader>, scope: Scope) -> impl Stream<Item = ObjectRef<DynamicObject>> {
    stream::unfold((leader, false), move |(leader, wait)| async move {
        if wait {
            tokio::time::sleep(leader.least_time_to_look()).await;
        }
        let changed = leader.context.index.changed(scope).await;
        // A nodeSelector that an edit with errors took away is looked at anyway, a little later.
        let concerns = |o: &DynamicObject| changed.all || !o.data["spec"]["nodeSelector"].is_null();
        let mut refs: Vec<ObjectRef<DynamicObject>> = changed.keys.iter().map(object_ref).collect();
        if changed.all || changed.labels {
            let some = leader.policies[scope as usize].state_filter(concerns);
            refs.extend(some.iter().map(|o| ObjectRef::from_obj_with(&**o, resource(scope))));
        }
        Some((stream::iter(refs), (leader, true)))
    })
    .flatten()
}

fn object_ref(key: &PolicyKey) -> ObjectRef<DynamicObject> {
    let object = ObjectRef::new_with(&key.name, resource(key.scope()));
    match &key.namespace {
        Some(namespace) => object.within(namespace),
        None => object,
    }
}

/// Takes away the plans of policies that are gone.
async fn sweep(leader: &Leader) {
    leader.plans.ready().await;
    for policies in &leader.policies {
        // The writers live in the controllers that are polled beside this.
        let _ = policies.wait_until_ready().await;
    }
    loop {
        let uids = leader.uids();
        leader.memories.retain(&uids);
        let prefixes: HashSet<String> = uids.iter().map(|uid| name_prefix(uid)).collect();
        let is_ours =
            |name: &str| name.rsplit_once('-').is_some_and(|(p, _)| prefixes.contains(&format!("{p}-")));
        let swept = retire::sweep(&leader.context.client, &leader.plans, &is_ours).await;
        let wait = match &swept {
            Ok(()) => ANYWAY,
            Err(error) => {
                leader.context.metrics.errors.get_or_create(&ReasonLabel { reason: error.reason() }).inc();
                tracing::warn!(reason = error.reason(), %error, "plans without a policy could not be deleted");
                error.retry_after(3)
            }
        };
        // Many policies may go at once.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = tokio::time::timeout(wait, leader.sweep.notified()).await;
    }
}

async fn survey(leader: &Leader) {
    loop {
        leader.memories.survey(&leader.context.metrics);
        let (nodes, ready) = leader.context.index.node_counts();
        let counts = [("ready", ready), ("not_ready", nodes - ready)];
        Metrics::set(&leader.context.metrics.nodes, &counts);
        tokio::time::sleep(SURVEY).await;
    }
}

/// A reconciliation failed, and is tried again.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Failure {
    #[source]
    error: Error,
    retry_after: Duration,
}

async fn reconcile(object: Arc<DynamicObject>, leader: Arc<Leader>, scope: Scope) -> Result<Action, Failure> {
    let Some(subject) = Subject::of(&object, scope) else { return Ok(Action::await_change()) };
    let memory = leader.memories.of(&subject.policy.uid);
    // Nobody else holds it: an object is reconciled once at a time.
    let mut memory = memory.lock().await;
    let begin = Instant::now();
    let steps = tokio::time::timeout(TIMEOUT, steps(&leader, &object, &subject, &mut memory));
    let result = steps.await.unwrap_or(Err(Error::Timeout(TIMEOUT)));
    leader.context.metrics.duration.observe(begin.elapsed().as_secs_f64());
    match result {
        Ok(again) => {
            memory.failures = 0;
            Ok(Action::requeue(again.unwrap_or(ANYWAY).min(ANYWAY)))
        }
        Err(error) => {
            leader.context.metrics.errors.get_or_create(&ReasonLabel { reason: error.reason() }).inc();
            let retry_after = error.retry_after(memory.failures);
            memory.failures = memory.failures.saturating_add(1);
            Err(Failure { error, retry_after })
        }
    }
}

/// What is published of a policy, and what the nodes say of it.
struct Published<'a> {
    version: &'a Version,
    tally: &'a Tally,
    rollout: Option<&'a RolloutStatus>,
    /// What some nodes cannot do for it.
    warnings: &'a [String],
    /// Why it could not be published.
    fault: Option<Fault>,
}

/// One reconciliation. Gives the time after which to look again without a cause.
async fn steps(
    leader: &Leader,
    object: &DynamicObject,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<Option<Duration>, Error> {
    let Leader { context, plans, .. } = leader;
    let time = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default());
    let compiled = memory.compile(object, &subject.policy);
    let found = plans.of(&subject.policy);
    retire::refuse_newer(&context.client, plans, &subject.policy, subject.generation, &found).await?;
    let Some(version) = wanted(plans, subject, &compiled, memory).await? else {
        let status = sum_up(subject, &compiled, None, &time);
        return write(leader, subject, memory, status).await;
    };
    let stage = stage(subject, &compiled, &version, &found, &time);
    let refused = match publish(plans, subject, &version, &stage, &found).await {
        Ok(()) => None,
        // Trying again will not help soon: people should read it in the status.
        Err(error) if error.is_refusal() => Some(error),
        Err(error) => return Err(error),
    };
    let tally = context.index.tally(&look(subject, &version, &stage));
    if refused.is_none() && stage.percent == 100 {
        retire::retire(plans, &others(&found, &version), &tally.in_use).await?;
    }
    let (next, again) = next(context, memory, &compiled, &version, &stage, &tally, &time);
    let fault = refused.as_ref().map(|e| Fault { reason: e.reason(), message: e.to_string() });
    let warnings = memory.warnings(&version, &context.index);
    let published =
        Published { version: &version, tally: &tally, rollout: next.as_ref(), warnings: &warnings, fault };
    let status = sum_up(subject, &compiled, Some(&published), &time);
    let empty = status::until_selects_nothing(&status, &time);
    let later = write(leader, subject, memory, status).await?;
    match refused {
        Some(error) => Err(error),
        None => Ok([again, empty, later].into_iter().flatten().min()),
    }
}

/// The version to publish: that of the policy as it stands or, while it has errors, the last one that had
/// none.
async fn wanted(
    plans: &Plans,
    subject: &Subject,
    compiled: &Compiled,
    memory: &mut Memory,
) -> Result<Option<Arc<Version>>, Error> {
    if compiled.fault().is_none()
        && let Ok(version) = &compiled.version
    {
        memory.good = Some(version.clone());
    } else if memory.good.is_none() {
        memory.good = plans.last(&subject.policy, subject.generation).await?.map(Arc::new);
    }
    Ok(memory.good.clone())
}

/// How far the version may go now.
fn stage(subject: &Subject, compiled: &Compiled, version: &Version, found: &[Found], time: &Time) -> Stage {
    let digest = &version.status.digest;
    let published = found.iter().find(|f| f.name == version.status.name).and_then(|f| f.meta.as_ref());
    let recorded = Recorded {
        digest: subject.status.plan.as_ref().map_or("", |p| &p.digest),
        generation: subject.status.observed_generation,
        rollout: subject.status.rollout.as_ref(),
    };
    if compiled.fault().is_some() {
        let rollout = recorded.rollout.filter(|_| recorded.digest == digest);
        let as_it_is = published.map_or((100, None, None), |m| (m.percent, m.mode, m.max_actions));
        return Stage::kept(rollout, as_it_is);
    }
    let ask = compiled.rollout.as_ref().ok().and_then(|r| r.as_ref());
    let now = Now {
        ask: ask.map(|(text, ask)| (text.as_str(), ask)),
        digest,
        generation: subject.generation,
        published: published.map(|m| m.percent),
        time,
    };
    Stage::of(recorded, now)
}

/// The plans of the policy but the wanted one.
fn others(found: &[Found], version: &Version) -> Vec<Found> {
    found.iter().filter(|f| f.name != version.status.name).cloned().collect()
}

async fn publish(
    plans: &Plans,
    subject: &Subject,
    version: &Version,
    stage: &Stage,
    found: &[Found],
) -> Result<(), Error> {
    let others = others(found, version);
    plans.step_behind(&others, version.revision).await?;
    let meta = PlanMeta {
        percent: stage.percent,
        mode: stage.mode,
        max_actions: stage.max_actions,
        ..version.meta(&subject.policy)
    };
    plans.publish(version, &meta, subject.owner()).await?;
    if stage.percent < 100 {
        return plans.keep(&subject.policy, &others).await;
    }
    plans.forget(&subject.policy);
    Ok(())
}

/// What to look for among the nodes.
fn look<'a>(subject: &'a Subject, version: &'a Version, stage: &Stage) -> Wanted<'a> {
    let plan = &version.plan;
    Wanted {
        key: &subject.key,
        uid: &subject.policy.uid,
        plan: &version.status.name,
        selector: plan.node_selector.as_ref(),
        percent: stage.percent,
        mode: plan.enforces().then(|| stage.mode.unwrap_or(plan.mode)),
    }
}

/// Where the rollout stands next, and when to look at it again.
fn next(
    context: &Context,
    memory: &mut Memory,
    compiled: &Compiled,
    version: &Version,
    stage: &Stage,
    tally: &Tally,
    time: &Time,
) -> (Option<RolloutStatus>, Option<Duration>) {
    let ask = compiled.rollout.as_ref().ok().and_then(|r| r.as_ref()).map(|(_, ask)| ask);
    let ask = ask.filter(|_| compiled.fault().is_none());
    let unsettled = memory.unsettled(stage, context.timing.settle);
    let healthy = memory.healthy(&version.status.name, stage.percent, &tally.reached);
    let watched = Watched { tally, healthy, settled: unsettled.is_none(), time };
    let (next, again) = rollout::advance(stage, ask, watched);
    (next, [again, unsettled].into_iter().flatten().min())
}

fn sum_up(
    subject: &Subject,
    compiled: &Compiled,
    published: Option<&Published<'_>>,
    time: &Time,
) -> TracingPolicyStatus {
    status::aggregate(&status::Known {
        generation: subject.generation,
        compiled,
        version: published.map(|p| p.version),
        unpublished: published.and_then(|p| p.fault.as_ref()),
        tally: published.map_or(&Tally::default(), |p| p.tally),
        rollout: published.and_then(|p| p.rollout),
        warnings: published.map_or(&[], |p| p.warnings),
        previous: &subject.status,
        time,
    })
}

/// Writes the status, if it differs. Gives the time after which it may be written.
async fn write(
    leader: &Leader,
    subject: &Subject,
    memory: &mut Memory,
    status: TracingPolicyStatus,
) -> Result<Option<Duration>, Error> {
    leader.memories.note(&subject.policy.uid, &status);
    if status == subject.status {
        return Ok(None);
    }
    if status::is_progress(&subject.status, &status)
        && let Some(wait) = memory.wait_to_write(leader.least_time_to_write())
    {
        return Ok(Some(wait));
    }
    let scope = subject.key.scope();
    let api: Api<DynamicObject> = match &subject.policy.namespace {
        Some(namespace) => Api::namespaced_with(leader.context.client.clone(), namespace, &resource(scope)),
        None => Api::all_with(leader.context.client.clone(), &resource(scope)),
    };
    // With the version that it was decided on: of two operators, one is refused and looks again.
    let patch = json!({
        "apiVersion": API_VERSION,
        "kind": kind(scope),
        "metadata": {
            "name": subject.policy.name,
            "uid": subject.policy.uid,
            "resourceVersion": subject.resource_version,
        },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(&subject.policy.name, &params, &Patch::Apply(&patch)).await;
    let written = written.map_err(Error::api("write the status"))?;
    leader.context.metrics.status_writes.inc();
    memory.wrote = Some(Instant::now());
    let (store, this) = (&leader.policies[scope as usize], object_ref(&subject.key));
    caught_up(|| {
        store.get(&this).is_none_or(|o| o.resource_version() != Some(subject.resource_version.clone()))
    })
    .await;
    drop(written);
    leader.teller.tell(&subject.reference(), events::happenings(&subject.status, &status)).await;
    Ok(None)
}

impl Leader {
    /// The policy that a plan is of, if it is there.
    fn key_of(&self, meta: &PlanMeta) -> Option<PolicyKey> {
        let policy = &meta.policy;
        let key = PolicyKey { namespace: policy.namespace.clone(), name: policy.name.clone() };
        let object = self.policies[key.scope() as usize].get(&object_ref(&key))?;
        (object.uid().as_ref() == Some(&policy.uid)).then_some(key)
    }

    /// The uids of all policies.
    fn uids(&self) -> HashSet<String> {
        self.policies.iter().flat_map(Store::state).filter_map(|o| o.uid()).collect()
    }

    /// Least time between two looks at policies because of their nodes.
    fn least_time_to_look(&self) -> Duration {
        let timing = self.context.timing;
        timing.debounce.max(timing.debounce_each.saturating_mul(self.count()))
    }

    /// Least time between two writes of a status in which only numbers differ.
    fn least_time_to_write(&self) -> Duration {
        let timing = self.context.timing;
        let (nodes, _) = self.context.index.node_counts();
        let own = timing.progress * u32::try_from(nodes.clamp(200, 1000)).unwrap_or(1000) / 1000;
        own.max(timing.progress_each.saturating_mul(self.count()))
    }

    /// How many policies there are.
    fn count(&self) -> u32 {
        let policies = self.policies.iter().map(Store::len).sum::<usize>();
        u32::try_from(policies).unwrap_or(u32::MAX)
    }
}
