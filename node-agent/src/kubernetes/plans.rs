//! Which plan of which policy this node is to run: from what is published, the node's name and its
//! labels. Events go in, decisions come out, the same ones in whatever order the events came. No client,
//! no clock, no disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tetragon_api::plan::{FORMAT, Plan};
use tetragon_api::published::{PlanMeta, PolicyRef, PublishedError};
use tetragon_api::status::NodePolicyState;

use super::reason;

/// What is to become of a policy of the cluster on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What the names of all its ConfigMaps begin with: it stands for the policy's uid, and cannot be
    /// changed as an annotation can.
    pub stem: String,
    /// The policy; `None`: no annotation that can be trusted says which.
    pub policy: Option<PolicyRef>,
    /// The ConfigMap that is meant for this node; empty: none is.
    pub plan: String,
    /// And what to do.
    pub verdict: Verdict,
}

impl Decision {
    /// It is not known yet what is to run.
    pub fn is_open(&self) -> bool {
        matches!(self.verdict, Verdict::Keep { open: true, .. })
    }

    /// Name and namespace of the policy, if a plan that was verified says so.
    fn certain(&self) -> Option<(String, Option<String>)> {
        let policy = self.policy.as_ref().filter(|_| !matches!(self.verdict, Verdict::Keep { .. }))?;
        Some((policy.name.clone(), policy.namespace.clone()))
    }
}

/// What to do with a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Run this plan.
    Run {
        /// What its ConfigMap says.
        meta: PlanMeta,
        /// The plan.
        plan: Arc<Plan>,
    },
    /// It is not for this node: nothing of it may run.
    Skip(Why),
    /// The plan that is meant for this node is not to be had (yet): what runs goes on.
    Keep {
        /// Pending or Failed.
        state: NodePolicyState,
        /// Why.
        why: Why,
        /// What the policy's ConfigMaps say: also of the version that runs.
        metas: Vec<PlanMeta>,
        /// It is not known yet what is to run.
        open: bool,
    },
}

/// A word and a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// As in conditions and metrics; empty: there is nothing to say.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Why {
    fn new(reason: &'static str, message: impl Into<String>) -> Why {
        Why { reason, message: message.into() }
    }
}

impl From<&PublishedError> for Why {
    fn from(e: &PublishedError) -> Why {
        Why::new(e.reason(), e.to_string())
    }
}

/// What is known of the node's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// They were not read yet.
    Unknown,
    /// They cannot be read, and why.
    Failed(String),
    /// They are these.
    Known(BTreeMap<String, String>),
}

/// A ConfigMap that says to be a plan.
#[derive(Clone, Debug)]
struct Object {
    meta: Result<PlanMeta, Why>,
    /// Unix time in seconds.
    created: i64,
    /// Its body is not what it should be.
    bad: Option<Why>,
}

/// Everything that is published.
#[derive(Debug)]
pub struct Plans {
    node: String,
    labels: Labels,
    objects: BTreeMap<String, Object>,
    /// Names that a list, which has not come to its end, has had.
    listed: Option<BTreeSet<String>>,
    complete: bool,
    /// Plans that were read and verified, by digest.
    bodies: HashMap<String, Arc<Plan>>,
}

impl Plans {
    /// Nothing is known yet but some plans, which need not be fetched again.
    pub fn new(node: &str, known: impl IntoIterator<Item = (String, Arc<Plan>)>) -> Plans {
        Plans {
            node: node.to_owned(),
            labels: Labels::Unknown,
            objects: BTreeMap::new(),
            listed: None,
            complete: false,
            bodies: known.into_iter().collect(),
        }
    }

    /// The node's labels have changed, or cannot be read. What was known before stays known then.
    pub fn set_labels(&mut self, labels: Labels) {
        let known = matches!(self.labels, Labels::Known(_));
        if !known || matches!(labels, Labels::Known(_)) {
            self.labels = labels;
        }
    }

    /// A list of everything begins.
    pub fn begin_list(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// An object is new or has changed, or stands in the list.
    pub fn apply(&mut self, metadata: &ObjectMeta) {
        let Some(name) = metadata.name.clone() else { return };
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        let created = metadata.creation_timestamp.as_ref().map_or(0, |t| t.0.as_second());
        // A body that was bad is read again: somebody may have repaired it.
        self.objects.insert(name.clone(), Object { meta: read_meta(&name, metadata), created, bad: None });
    }

    /// An object is gone.
    pub fn delete(&mut self, name: &str) {
        self.objects.remove(name);
    }

    /// The list has come to its end: what did not stand in it is gone.
    pub fn end_list(&mut self) {
        if let Some(listed) = self.listed.take() {
            self.objects.retain(|name, _| listed.contains(name));
            self.complete = true;
        }
    }

    /// A body was fetched, for the digest that was wanted then.
    pub fn fetched(&mut self, name: &str, digest: &str, body: Result<Arc<Plan>, PublishedError>) {
        let Some(object) = self.objects.get_mut(name) else { return };
        if !object.meta.as_ref().is_ok_and(|m| m.digest == digest) {
            return;
        }
        match body {
            Ok(plan) => drop(self.bodies.insert(digest.to_owned(), plan)),
            Err(e) => object.bad = Some(Why::from(&e)),
        }
    }

    /// The objects whose bodies are wanted.
    pub fn wanted_bodies(&self) -> Vec<(String, PlanMeta)> {
        let wanted = |(_, group): (_, Vec<(&String, &Object)>)| {
            let Choice::Best(name, meta, object) = self.choose(&group) else { return None };
            let known = self.bodies.contains_key(&meta.digest) || object.bad.is_some();
            (!known && meta.format == FORMAT).then(|| (name.clone(), meta.clone()))
        };
        self.groups().into_iter().filter_map(wanted).collect()
    }

    /// What is to become of each policy. `None`: there is no complete list yet, so that it is not known
    /// which policies there are.
    pub fn decisions(&mut self) -> Option<Vec<Decision>> {
        if !self.complete {
            return None;
        }
        let digests: BTreeSet<&str> =
            self.objects.values().filter_map(|o| o.meta.as_ref().ok()).map(|m| m.digest.as_str()).collect();
        self.bodies.retain(|digest, _| digests.contains(digest.as_str()));
        let mut all = Vec::new();
        // Of those whose plan was read, so that it is certain which policy it is of.
        let mut newest: HashMap<(String, Option<String>), (i64, String)> = HashMap::new();
        for (stem, group) in self.groups() {
            let decision = self.decide(stem, &group);
            if let Some(of) = decision.certain() {
                let created = group.iter().map(|(_, o)| o.created).max().unwrap_or(0);
                let this = (created, stem.to_owned());
                let entry = newest.entry(of).or_insert_with(|| this.clone());
                *entry = this.max(entry.clone());
            }
            all.push(decision);
        }
        // A policy that was deleted and made again is another one: the plans of the one before will
        // go soon, and two cannot have one name here.
        all.retain(|d| d.certain().is_none_or(|of| newest.get(&of).is_none_or(|(_, stem)| *stem == d.stem)));
        Some(all)
    }

    fn groups(&self) -> BTreeMap<&str, Vec<(&String, &Object)>> {
        let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (name, object) in &self.objects {
            groups.entry(stem(name)).or_default().push((name, object));
        }
        groups
    }

    /// The plan of a policy that is meant for this node.
    fn choose<'a>(&self, group: &[(&'a String, &'a Object)]) -> Choice<'a> {
        let readable = group.iter().filter_map(|(name, o)| Some((*name, o.meta.as_ref().ok()?, *o)));
        let best =
            readable.filter(|(_, m, _)| m.is_for(&self.node)).max_by_key(|(name, m, _)| (m.revision, *name));
        let broken = group.iter().filter_map(|(name, o)| Some((*name, o.meta.as_ref().err()?, *o)));
        let broken = broken.max_by_key(|(name, _, o)| (o.created, *name));
        match (best, broken) {
            // It does not say its revision, but it is no older: it may be what is wanted.
            (Some((_, _, best)), Some((name, why, o))) if o.created >= best.created => {
                Choice::Broken(name, why)
            }
            (None, Some((name, why, _))) => Choice::Broken(name, why),
            (Some((name, meta, o)), _) => Choice::Best(name, meta, o),
            (None, None) => Choice::None,
        }
    }

    fn decide(&self, stem: &str, group: &[(&String, &Object)]) -> Decision {
        let metas: Vec<PlanMeta> = group.iter().filter_map(|(_, o)| o.meta.as_ref().ok()).cloned().collect();
        let policy = metas.first().map(|m| m.policy.clone());
        let keep = |state, why, open| Verdict::Keep { state, why, metas, open };
        let (plan, verdict) = match self.choose(group) {
            Choice::None => {
                let why = Why::new(reason::ROLLOUT_WAITING, "the rollout has not reached this node");
                (String::new(), keep(NodePolicyState::Pending, why, false))
            }
            Choice::Broken(name, why) => (name.clone(), keep(NodePolicyState::Failed, why.clone(), false)),
            Choice::Best(name, meta, object) => {
                let verdict = match self.judge(meta, object) {
                    Ok(verdict) => verdict,
                    Err((state, why, open)) => keep(state, why, open),
                };
                (name.clone(), verdict)
            }
        };
        Decision { stem: stem.to_owned(), policy, plan, verdict }
    }

    fn judge(&self, meta: &PlanMeta, object: &Object) -> Result<Verdict, (NodePolicyState, Why, bool)> {
        if meta.format != FORMAT {
            return Err((NodePolicyState::Failed, Why::from(&PublishedError::Format(meta.format)), false));
        }
        // Also plans without a nodeSelector wait: an agent that cannot read the object of its own node
        // may have a wrong name, or rights of another node's, and then the rest is not for it either.
        let labels = match &self.labels {
            Labels::Known(labels) => labels,
            Labels::Unknown => {
                let why = Why::new(reason::NODE_LABELS_UNKNOWN, "the node's labels were not read yet");
                return Err((NodePolicyState::Pending, why, true));
            }
            Labels::Failed(message) => {
                let why = Why::new(reason::NODE_LABELS_UNKNOWN, message.clone());
                return Err((NodePolicyState::Failed, why, true));
            }
        };
        if let Some(why) = &object.bad {
            return Err((NodePolicyState::Failed, why.clone(), false));
        }
        let Some(plan) = self.bodies.get(&meta.digest) else {
            return Err((NodePolicyState::Pending, Why::default(), true));
        };
        // The annotations may have been changed after the body was verified against them.
        if plan.name != meta.policy.name || plan.namespace != meta.policy.namespace {
            let why = Why::from(&PublishedError::OtherPolicy {
                expected: full_name(&meta.policy.name, meta.policy.namespace.as_deref()),
                found: full_name(&plan.name, plan.namespace.as_deref()),
            });
            return Err((NodePolicyState::Failed, why, false));
        }
        if plan.node_selector.as_ref().is_some_and(|s| !s.matches(labels)) {
            let message = "the policy's nodeSelector does not match the labels of this node";
            return Ok(Verdict::Skip(Why::new(reason::NODE_SELECTOR, message)));
        }
        Ok(Verdict::Run { meta: meta.clone(), plan: plan.clone() })
    }
}

/// Which of a policy's objects counts.
enum Choice<'a> {
    None,
    Best(&'a String, &'a PlanMeta, &'a Object),
    Broken(&'a String, &'a Why),
}

/// What the names of all ConfigMaps of a policy begin with; see [`PlanMeta::object_name`].
pub fn stem(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(stem, _)| stem)
}

/// `NAMESPACE/NAME`.
pub fn full_name(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// The annotations, which must be those of an object of this name.
fn read_meta(name: &str, metadata: &ObjectMeta) -> Result<PlanMeta, Why> {
    let meta = PlanMeta::from_meta(metadata).map_err(|e| Why::from(&e))?;
    let right = meta.object_name();
    if right == name {
        return Ok(meta);
    }
    let message =
        format!("the annotations are those of {right}: the operator writes them, and nobody else should");
    Err(Why::new(reason::PLAN_METADATA_INVALID, message))
}

#[cfg(test)]
#[path = "plans_tests.rs"]
mod tests;
