//! Publishes plans: one immutable ConfigMap for each version of a policy, written only when it differs
//! from what is there, and put right when somebody else changed it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tetragon_api::published::{OBJECT_LABEL, OBJECT_PLAN, PlanMeta, PolicyRef, decode, name_prefix};

use super::compile::Version;
use super::error::Error;
use super::metrics::Metrics;
use crate::platform::client::FIELD_MANAGER;
use crate::platform::watch::patient;

/// All annotations that begin so are the operator's.
const PREFIX: &str = "tetragon-rs.dev/";

/// A plan's ConfigMap without its body.
pub type Meta = PartialObjectMeta<ConfigMap>;

/// The plans in the cluster.
pub struct Plans {
    api: Api<ConfigMap>,
    store: Store<Meta>,
    metrics: Metrics,
    /// ConfigMaps (by uid) whose body was seen to be right. It cannot change, so once is enough.
    checked: Mutex<HashSet<String>>,
    /// Versions before the wanted one that nodes still load, while a rollout goes on: by name, whole.
    kept: Mutex<HashMap<String, ConfigMap>>,
}

/// A plan of a policy that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// ConfigMap.
    pub name: String,
    /// Its metadata.
    pub object: Arc<Meta>,
    /// What it says; `None`: it was tampered with.
    pub meta: Option<PlanMeta>,
}

impl Found {
    fn new(object: Arc<Meta>) -> Found {
        let meta = PlanMeta::from_meta(&object.metadata).ok();
        let name = object.name_any();
        // One with another name is not what the operator made.
        let meta = meta.filter(|m| m.object_name() == name);
        Found { name, object, meta }
    }

    /// Its revision; what says none is older than all.
    pub fn revision(&self) -> i64 {
        self.meta.as_ref().map_or(i64::MIN, |m| m.revision)
    }
}

impl Plans {
    /// Plans of a namespace, and the stream that keeps them up to date while it is polled.
    pub fn watch(
        client: Client,
        namespace: &str,
        metrics: Metrics,
    ) -> (Plans, impl Stream<Item = Event<Meta>> + use<>) {
        let (reader, writer) = store::<Meta>();
        let metas: Api<Meta> = Api::namespaced(client.clone(), namespace);
        let config = watcher::Config::default().labels(&format!("{OBJECT_LABEL}={OBJECT_PLAN}"));
        let events = patient(watcher(metas, config), "ConfigMap".into())
            .map(|event| event.modify(|object| drop(object.metadata.managed_fields.take())));
        let events =
            reflector(writer, events.map(Ok)).filter_map(async |event: watcher::Result<_>| event.ok());
        let plans = Plans {
            api: Api::namespaced(client, namespace),
            store: reader,
            metrics,
            checked: Mutex::default(),
            kept: Mutex::default(),
        };
        (plans, events)
    }

    /// Waits until all plans are known.
    pub async fn ready(&self) {
        // The writer lives in the stream that is polled beside this.
        let _ = self.store.wait_until_ready().await;
    }

    /// All plans.
    pub fn all(&self) -> Vec<Found> {
        self.store.state().into_iter().map(Found::new).collect()
    }

    /// The plans of a policy, whatever their metadata says: by their names.
    pub fn of(&self, policy: &PolicyRef) -> Vec<Found> {
        let prefix = name_prefix(&policy.uid);
        let objects =
            self.store.state_filter(|o| o.metadata.name.as_ref().is_some_and(|n| n.starts_with(&prefix)));
        let mut found: Vec<Found> = objects.into_iter().map(Found::new).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    fn get(&self, name: &str) -> Option<Arc<Meta>> {
        self.store.get(&ObjectRef::new(name).within(self.api.namespace().unwrap_or_default()))
    }

    /// The last version of a policy that was published, for a policy that has errors now.
    pub async fn last(&self, policy: &PolicyRef, generation: i64) -> Result<Option<Version>, Error> {
        let mut found = self.of(policy);
        found.retain(|f| f.meta.is_some() && f.revision() <= generation);
        found.sort_by_key(|f| std::cmp::Reverse(f.revision()));
        for found in found {
            let Some(meta) = &found.meta else { continue };
            let Some(object) = self.body(&found.name).await? else { continue };
            if let Ok(plan) = decode(&object, meta)
                && let Ok(version) = Version::new(plan, policy, meta.revision)
            {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// Publishes a version as `meta` says. Nothing is written when that is what is there.
    pub async fn publish(
        &self,
        version: &Version,
        meta: &PlanMeta,
        owner: Option<OwnerReference>,
    ) -> Result<(), Error> {
        let name = meta.object_name();
        if let Some(found) = self.get(&name) {
            if !self.is_sound(&found, meta).await? {
                tracing::warn!(plan = name, "a plan was replaced by something else: it is made again");
                self.delete(&found).await?;
            } else if says(&found, meta, owner.as_ref()) {
                return Ok(());
            }
        }
        let mut object = version.encode(meta).map_err(|e| Error::Api {
            step: "publish",
            // Checked when it was compiled: the metadata alone cannot make it too large.
            source: kube::Error::Service(Box::new(e)),
        })?;
        object.metadata.owner_references = owner.map(|owner| vec![owner]);
        self.apply(&object, meta).await
    }

    /// The plan that a version replaces must not have the same revision: nodes take the highest.
    pub async fn step_behind(&self, older: &[Found], revision: i64) -> Result<(), Error> {
        for found in older.iter().filter(|f| f.revision() == revision) {
            let Some(meta) = &found.meta else { continue };
            let behind = PlanMeta { revision: revision - 1, ..meta.clone() };
            self.annotate(&found.name, &found.object, &behind).await?;
        }
        Ok(())
    }

    /// Looks after the versions before the wanted one, which nodes that the rollout has not reached
    /// still load: what was changed or deleted is put right.
    pub async fn keep(&self, policy: &PolicyRef, older: &[Found]) -> Result<(), Error> {
        for found in older {
            let known = self.lock_kept().get(&found.name).cloned();
            let Some(known) = known else {
                self.remember(found).await?;
                continue;
            };
            let Ok(meta) = PlanMeta::from_meta(&known.metadata) else { continue };
            if !self.is_sound(&found.object, &meta).await? {
                self.delete(&found.object).await?;
                self.apply(&known, &meta).await?;
            } else if !says(&found.object, &meta, known.owner_references().first()) {
                self.apply(&known, &meta).await?;
            }
        }
        let prefix = name_prefix(&policy.uid);
        let gone: Vec<ConfigMap> = self
            .lock_kept()
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix) && self.get(name).is_none())
            .map(|(_, object)| object.clone())
            .collect();
        for object in gone {
            if let Ok(meta) = PlanMeta::from_meta(&object.metadata) {
                tracing::warn!(
                    plan = object.name_any(),
                    "a plan that nodes need was deleted: it is made again"
                );
                self.apply(&object, &meta).await?;
            }
        }
        Ok(())
    }

    async fn remember(&self, found: &Found) -> Result<(), Error> {
        let Some(object) = self.body(&found.name).await? else { return Ok(()) };
        let sound = found.meta.as_ref().is_some_and(|meta| decode(&object, meta).is_ok());
        if !sound {
            tracing::warn!(
                plan = found.name,
                "a plan is not what the operator wrote, and it is not known what that was"
            );
            return self.delete(&found.object).await;
        }
        let mut object = object;
        object.metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: object.metadata.name,
            labels: object.metadata.labels,
            annotations: object.metadata.annotations,
            owner_references: object.metadata.owner_references,
            ..Default::default()
        };
        self.lock_kept().insert(found.name.clone(), object);
        Ok(())
    }

    /// Nodes need nothing but the wanted version any more.
    pub fn forget(&self, policy: &PolicyRef) {
        let prefix = name_prefix(&policy.uid);
        self.lock_kept().retain(|name, _| !name.starts_with(&prefix));
    }

    /// Forgets what is known of ConfigMaps that are gone, and of those of policies that are gone.
    pub fn tidy(&self, is_ours: impl Fn(&str) -> bool) {
        let there: HashSet<String> = self.store.state().iter().filter_map(|o| o.uid()).collect();
        self.checked.lock().expect("no holder panics").retain(|uid| there.contains(uid));
        self.lock_kept().retain(|name, _| is_ours(name));
    }

    /// Deletes a plan, if it is still that object.
    pub async fn delete(&self, object: &Meta) -> Result<(), Error> {
        let name = object.name_any();
        self.lock_kept().remove(&name);
        let same = Preconditions { uid: object.uid(), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::background() };
        match self.api.delete(&name, &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => {
                other.map_err(Error::api("delete a plan"))?;
                self.metrics.plan_writes.inc();
            }
        }
        let uid = object.uid();
        self.caught_up(|| self.get(&name).is_none_or(|now| now.uid() != uid)).await;
        Ok(())
    }

    fn lock_kept(&self) -> MutexGuard<'_, HashMap<String, ConfigMap>> {
        self.kept.lock().expect("no holder panics")
    }

    async fn body(&self, name: &str) -> Result<Option<ConfigMap>, Error> {
        self.api.get_opt(name).await.map_err(Error::api("read a plan"))
    }

    /// Its body is the plan that `meta` names, and cannot be changed.
    async fn is_sound(&self, found: &Meta, meta: &PlanMeta) -> Result<bool, Error> {
        let uid = found.uid().unwrap_or_default();
        if self.checked.lock().expect("no holder panics").contains(&uid) {
            return Ok(true);
        }
        let Some(object) = self.body(&found.name_any()).await? else { return Ok(false) };
        let sound =
            object.immutable == Some(true) && decode(&object, meta).is_ok() && object.uid() == found.uid();
        if sound {
            self.checked.lock().expect("no holder panics").insert(uid);
        }
        Ok(sound)
    }

    async fn apply(&self, object: &ConfigMap, meta: &PlanMeta) -> Result<(), Error> {
        let name = object.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied =
            self.api.patch(&name, &params, &Patch::Apply(object)).await.map_err(Error::api("publish"))?;
        self.metrics.plan_writes.inc();
        self.checked.lock().expect("no holder panics").extend(applied.uid());
        let version = applied.resource_version();
        let written = Meta { metadata: applied.metadata, types: None, ..Meta::default() };
        self.wait_for(&name, version).await;
        if PlanMeta::from_meta(&written.metadata).ok().as_ref() == Some(meta) {
            return Ok(());
        }
        // Server-side apply leaves what others have added.
        self.annotate(&name, &written, meta).await
    }

    /// Sets all annotations of ours to what `meta` says; what it does not say is removed.
    async fn annotate(&self, name: &str, there: &Meta, meta: &PlanMeta) -> Result<(), Error> {
        let mut annotations: BTreeMap<String, Value> =
            meta.annotations().into_iter().map(|(k, v)| (k, v.into())).collect();
        for key in there.annotations().keys().filter(|k| k.starts_with(PREFIX)) {
            annotations.entry(key.clone()).or_insert(Value::Null);
        }
        let uid = there.uid();
        let patch = json!({"metadata": {"uid": uid, "annotations": annotations}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let done =
            self.api.patch(name, &params, &Patch::Merge(&patch)).await.map_err(Error::api("publish"))?;
        self.metrics.plan_writes.inc();
        self.wait_for(name, done.resource_version()).await;
        Ok(())
    }

    async fn wait_for(&self, name: &str, version: Option<String>) {
        let before = self.get(name).and_then(|o| o.resource_version());
        if before != version {
            self.caught_up(|| self.get(name).is_some_and(|now| now.resource_version() != before)).await;
        }
    }

    /// What was just written is seen at once, as a rule: who goes on before decides on what was.
    async fn caught_up(&self, done: impl Fn() -> bool) {
        caught_up(done).await;
    }
}

/// Waits a moment for a watch to show what was just written.
pub(crate) async fn caught_up(done: impl Fn() -> bool) {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..100 {
        if done() {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
}

/// The metadata is what the operator writes.
fn says(found: &Meta, meta: &PlanMeta, owner: Option<&OwnerReference>) -> bool {
    let ours = |annotations: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        annotations
            .iter()
            .filter(|(k, _)| k.starts_with(PREFIX))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    ours(found.annotations()) == meta.annotations()
        && owner.is_none_or(|o| found.owner_references().contains(o))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_found_by_their_names() {
        let meta = PlanMeta::new(PolicyRef::cluster_wide("p", "a"), "d".repeat(64), 1);
        assert!(meta.object_name().starts_with(&name_prefix("a")));
        assert!(!meta.object_name().starts_with(&name_prefix("b")));
        let mut object = Meta::default();
        object.metadata.name = Some(meta.object_name());
        object.metadata.annotations = Some(meta.annotations());
        assert!(says(&object, &meta, None));
        assert_eq!(Found::new(Arc::new(object.clone())).meta.as_ref(), Some(&meta));
        object.metadata.annotations.as_mut().unwrap().insert("other.dev/note".into(), "x".into());
        assert!(says(&object, &meta, None), "what others note is theirs");
        object.metadata.annotations.as_mut().unwrap().insert(format!("{PREFIX}mode"), "monitor".into());
        assert!(!says(&object, &meta, None), "a word of ours that we did not say");
        object.metadata.name = Some("copy".into());
        assert_eq!(Found::new(Arc::new(object)).meta, None);
    }
}
