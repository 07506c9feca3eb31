//! Plans as ConfigMaps hold them: the operator writes them, the agents read them.
//!
//! ```text
//! metadata.labels       tetragon-rs.dev/object: plan
//! metadata.annotations  tetragon-rs.dev/...: whose plan, which version, who may load it (PlanMeta)
//! data["plan.json"] or binaryData["plan.json.zst"]: the Plan, canonical JSON
//! immutable: true
//! ```
//!
//! The body never changes, and the name says its digest. What may change is the metadata: the
//! revision, and how far a staged rollout has come. An agent watches metadata alone and reads a body
//! once. Of the plans of one policy a node takes the one with the highest revision that is meant
//! for it ([`PlanMeta::is_for`]).

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::plan::{FORMAT, Mode, Plan};

/// The label of the ConfigMaps that agents look at, which says what each is.
pub const OBJECT_LABEL: &str = "tetragon-rs.dev/object";
/// Value of [`OBJECT_LABEL`].
pub const OBJECT_PLAN: &str = "plan";
/// Value of [`OBJECT_LABEL`] on an object that is there while everything is uninstalled: an agent that has
/// seen it lets go what it has loaded when it ends, whatever is to stay otherwise.
pub const OBJECT_UNINSTALL: &str = "uninstall";

const KIND: &str = "tetragon-rs.dev/policy-kind";
const NAME: &str = "tetragon-rs.dev/policy-name";
const NAMESPACE: &str = "tetragon-rs.dev/policy-namespace";
const UID: &str = "tetragon-rs.dev/policy-uid";
const DIGEST: &str = "tetragon-rs.dev/digest";
const PLAN_FORMAT: &str = "tetragon-rs.dev/format";
const REVISION: &str = "tetragon-rs.dev/revision";
const PERCENT: &str = "tetragon-rs.dev/rollout-percent";
const MODE: &str = "tetragon-rs.dev/mode";
const MAX_ACTIONS: &str = "tetragon-rs.dev/max-actions-per-minute";

/// Key of a body that is plain JSON.
pub const JSON_KEY: &str = "plan.json";
/// Key of a body that is compressed with zstd.
pub const ZSTD_KEY: &str = "plan.json.zst";

/// Bodies up to this many bytes stay readable.
const PLAIN_MAX: usize = 256 << 10;
/// A ConfigMap holds 1 MiB with its metadata, and binary data is written in base64.
const COMPRESSED_MAX: usize = 700 << 10;
/// No body that is larger is unpacked: a plan of that size cannot have been published.
const UNPACKED_MAX: usize = 64 << 20;

/// The policy that a plan is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRef {
    /// TracingPolicy or TracingPolicyNamespaced.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace` of a namespaced policy.
    pub namespace: Option<String>,
    /// `metadata.uid`: a policy that was deleted and made again is another one.
    pub uid: String,
}

impl PolicyRef {
    /// A TracingPolicy.
    pub fn cluster_wide(name: &str, uid: &str) -> PolicyRef {
        PolicyRef { kind: crate::policy::KIND.into(), name: name.into(), namespace: None, uid: uid.into() }
    }
}

/// What the metadata of a plan's ConfigMap says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanMeta {
    /// Whose.
    pub policy: PolicyRef,
    /// [`Plan::digest`].
    pub digest: String,
    /// [`Plan::format`].
    pub format: u32,
    /// `metadata.generation` of the policy that this plan was last compiled from.
    pub revision: i64,
    /// Share of the nodes that may load it, 0 to 100.
    pub percent: u8,
    /// Over what the plan says: a rollout that was stopped is in monitor mode.
    pub mode: Option<Mode>,
    /// Enforcing actions a minute on one node, above which the node switches to monitor mode.
    pub max_actions: Option<u32>,
}

/// A ConfigMap is no plan that this build can load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    /// An annotation is missing or wrong.
    #[error("annotation {name} is {}: the operator writes it, and nobody else should", found.as_deref().map_or("missing".to_owned(), |f| format!("{f:?}")))]
    Annotation {
        /// Which.
        name: &'static str,
        /// What it says.
        found: Option<String>,
    },
    /// The plan is of another format.
    #[error(
        "the plan has format {0}, and this version reads format {FORMAT}: upgrade the agent, or let the operator of this version publish it again"
    )]
    Format(u32),
    /// Neither key is there.
    #[error("the ConfigMap has neither data[\"{JSON_KEY}\"] nor binaryData[\"{ZSTD_KEY}\"]")]
    NoBody,
    /// The body does not unpack.
    #[error("the body cannot be unpacked: {0}")]
    Unpack(String),
    /// The body is not what was published.
    #[error(
        "the body has digest {found}, and the annotation says {expected}: it was changed or cut after the operator wrote it"
    )]
    Digest {
        /// Of the annotation.
        expected: String,
        /// Of the body.
        found: String,
    },
    /// The body has the right digest and is no plan.
    #[error("the body is no plan: {0}")]
    Parse(String),
    /// The plan is another policy's.
    #[error("the body is the plan of {found}, and the annotations name {expected}")]
    OtherPolicy {
        /// Of the annotations.
        expected: String,
        /// Of the body.
        found: String,
    },
    /// It cannot be published.
    #[error(
        "the plan has {bytes} bytes, {compressed} compressed, and a ConfigMap holds {COMPRESSED_MAX}: split the policy"
    )]
    TooLarge {
        /// As JSON.
        bytes: usize,
        /// With zstd.
        compressed: usize,
    },
}

impl PublishedError {
    /// A word for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            PublishedError::Annotation { .. } => "PlanMetadataInvalid",
            PublishedError::Format(_) => "PlanFormatUnknown",
            PublishedError::NoBody | PublishedError::Unpack(_) | PublishedError::Parse(_) => "PlanUnreadable",
            PublishedError::Digest { .. } => "PlanDigestMismatch",
            PublishedError::OtherPolicy { .. } => "PlanOfOtherPolicy",
            PublishedError::TooLarge { .. } => "PlanTooLarge",
        }
    }
}

/// How the names of a policy's plans begin.
pub fn name_prefix(policy_uid: &str) -> String {
    let uid = hex(&Sha256::digest(policy_uid.as_bytes()));
    format!("tetragon-plan-{}-", &uid[..10])
}

impl PlanMeta {
    /// Of a version that every node may load, in the mode that it says itself.
    pub fn new(policy: PolicyRef, digest: String, revision: i64) -> PlanMeta {
        PlanMeta { policy, digest, format: FORMAT, revision, percent: 100, mode: None, max_actions: None }
    }

    /// Name of the ConfigMap: one for each policy object and digest.
    pub fn object_name(&self) -> String {
        let digest = self.digest.get(..16).unwrap_or(&self.digest);
        format!("{}{digest}", name_prefix(&self.policy.uid))
    }

    /// The annotations of the ConfigMap.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            (KIND, self.policy.kind.clone()),
            (NAME, self.policy.name.clone()),
            (UID, self.policy.uid.clone()),
            (DIGEST, self.digest.clone()),
            (PLAN_FORMAT, self.format.to_string()),
            (REVISION, self.revision.to_string()),
            (PERCENT, self.percent.to_string()),
        ]);
        all.extend(self.policy.namespace.clone().map(|n| (NAMESPACE, n)));
        all.extend(self.mode.map(|m| (MODE, mode_name(m).to_owned())));
        all.extend(self.max_actions.map(|n| (MAX_ACTIONS, n.to_string())));
        all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    /// Reads the annotations of a ConfigMap.
    pub fn from_meta(meta: &ObjectMeta) -> Result<PlanMeta, PublishedError> {
        let all = meta.annotations.as_ref();
        let may = |name: &str| all.and_then(|a| a.get(name)).cloned();
        let wrong = |name| PublishedError::Annotation { name, found: may(name) };
        let must = |name| may(name).filter(|v| !v.is_empty()).ok_or_else(|| wrong(name));
        let mode = match may(MODE).as_deref() {
            None => None,
            Some("monitor") => Some(Mode::Monitor),
            Some("enforce") => Some(Mode::Enforce),
            Some(_) => return Err(wrong(MODE)),
        };
        let max_actions = match may(MAX_ACTIONS) {
            Some(text) => Some(text.parse().map_err(|_| wrong(MAX_ACTIONS))?),
            None => None,
        };
        Ok(PlanMeta {
            policy: PolicyRef {
                kind: must(KIND)?,
                name: must(NAME)?,
                namespace: may(NAMESPACE),
                uid: must(UID)?,
            },
            digest: must(DIGEST)?,
            format: must(PLAN_FORMAT)?.parse().map_err(|_| wrong(PLAN_FORMAT))?,
            revision: must(REVISION)?.parse().map_err(|_| wrong(REVISION))?,
            percent: must(PERCENT)?.parse().ok().filter(|p| *p <= 100).ok_or_else(|| wrong(PERCENT))?,
            mode,
            max_actions,
        })
    }

    /// The rollout has reached this node. Which nodes come first differs from policy to policy, and
    /// a node that was reached stays reached as the percentage grows.
    pub fn is_for(&self, node: &str) -> bool {
        bucket(&self.policy.uid, node) < self.percent
    }
}

/// 0 to 99: the percentage above which a rollout reaches the node.
pub fn bucket(policy_uid: &str, node: &str) -> u8 {
    let hash = Sha256::digest(format!("{policy_uid}/{node}").as_bytes());
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    // Below 100.
    (number % 100) as u8
}

/// Makes the ConfigMap of a plan; namespace and owner are left to the caller.
pub fn encode(plan: &Plan, meta: &PlanMeta) -> Result<ConfigMap, PublishedError> {
    // A Plan holds only strings, numbers and lists of them: it always serialises.
    let body = serde_json::to_string(plan).expect("a plan serialises");
    let mut object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(meta.object_name()),
            labels: Some([(OBJECT_LABEL.to_owned(), OBJECT_PLAN.to_owned())].into()),
            annotations: Some(meta.annotations()),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        ..ConfigMap::default()
    };
    if body.len() <= PLAIN_MAX {
        object.data = Some([(JSON_KEY.to_owned(), body)].into());
        return Ok(object);
    }
    let packed =
        zstd::bulk::compress(body.as_bytes(), 9).map_err(|e| PublishedError::Unpack(e.to_string()))?;
    if packed.len() > COMPRESSED_MAX {
        return Err(PublishedError::TooLarge { bytes: body.len(), compressed: packed.len() });
    }
    object.binary_data = Some([(ZSTD_KEY.to_owned(), ByteString(packed))].into());
    Ok(object)
}

/// Reads the plan of a ConfigMap, and checks that it is what `meta` promises.
pub fn decode(object: &ConfigMap, meta: &PlanMeta) -> Result<Plan, PublishedError> {
    let plain = object.data.as_ref().and_then(|d| d.get(JSON_KEY)).map(|text| text.clone().into_bytes());
    let packed = object.binary_data.as_ref().and_then(|d| d.get(ZSTD_KEY));
    let body = match (plain, packed) {
        (Some(body), _) => body,
        (None, Some(packed)) => zstd::bulk::decompress(&packed.0, UNPACKED_MAX)
            .map_err(|e| PublishedError::Unpack(e.to_string()))?,
        (None, None) => return Err(PublishedError::NoBody),
    };
    read(&body, meta)
}

/// Reads a plan's canonical JSON, wherever it was kept, and checks that it is what `meta` promises.
pub fn read(body: &[u8], meta: &PlanMeta) -> Result<Plan, PublishedError> {
    // The format says how to read the rest.
    if meta.format != FORMAT {
        return Err(PublishedError::Format(meta.format));
    }
    let found = hex(&Sha256::digest(body));
    if found != meta.digest {
        return Err(PublishedError::Digest { expected: meta.digest.clone(), found });
    }
    let plan: Plan = serde_json::from_slice(body).map_err(|e| PublishedError::Parse(e.to_string()))?;
    if plan.format != FORMAT {
        return Err(PublishedError::Format(plan.format));
    }
    if plan.name != meta.policy.name || plan.namespace != meta.policy.namespace {
        let full = |namespace: &Option<String>, name: &str| match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        return Err(PublishedError::OtherPolicy {
            expected: full(&meta.policy.namespace, &meta.policy.name),
            found: full(&plan.namespace, &plan.name),
        });
    }
    Ok(plan)
}

/// `enforce` or `monitor`.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Monitor => "monitor",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Actions, Hook, Matcher, Selector, Target, TextOp};

    fn plan(values: usize) -> Plan {
        let values = (0..values).map(|i| format!("/usr/bin/program-number-{i:08}")).collect();
        let matchers = vec![Matcher::Binary { op: TextOp::Equal, not: false, values }];
        let selectors = vec![Selector { label: None, matchers, actions: Actions::default() }];
        let target = Target::Function("security_file_open".into());
        Plan::new("p", vec![Hook { selectors, ..Hook::new("spec.kprobes[0]", target) }])
    }

    fn meta(plan: &Plan) -> PlanMeta {
        let policy = PolicyRef::cluster_wide(&plan.name, "7d9c");
        PlanMeta { max_actions: Some(10), ..PlanMeta::new(policy, plan.digest(), 3) }
    }

    #[test]
    fn a_plan_comes_back_as_it_went() {
        for values in [1, 20_000] {
            let plan = plan(values);
            let meta = meta(&plan);
            let object = encode(&plan, &meta).unwrap();
            assert_eq!(object.binary_data.is_some(), values > 1, "large bodies are compressed");
            assert_eq!(PlanMeta::from_meta(&object.metadata).unwrap(), meta);
            assert_eq!(decode(&object, &meta).unwrap(), plan);
        }
    }

    #[test]
    fn what_was_changed_is_refused() {
        let plan = plan(1);
        let meta = meta(&plan);
        let object = encode(&plan, &meta).unwrap();
        let refused = |change: &dyn Fn(&mut ConfigMap)| {
            let mut object = object.clone();
            change(&mut object);
            let meta = PlanMeta::from_meta(&object.metadata).and_then(|m| decode(&object, &m));
            meta.map_err(|e| e.reason()).unwrap_err()
        };
        let body = |object: &mut ConfigMap, f: &dyn Fn(&str) -> String| {
            let data = object.data.as_mut().unwrap();
            let text = f(&data[JSON_KEY]);
            data.insert(JSON_KEY.into(), text);
        };
        let annotate = |object: &mut ConfigMap, name: &str, value: &str| {
            object.metadata.annotations.as_mut().unwrap().insert(name.into(), value.into());
        };
        assert_eq!(refused(&|o| body(o, &|t| t.replace("enforce", "monitor"))), "PlanDigestMismatch");
        assert_eq!(refused(&|o| body(o, &|t| t[..t.len() / 2].to_owned())), "PlanDigestMismatch");
        assert_eq!(refused(&|o| annotate(o, PLAN_FORMAT, "2")), "PlanFormatUnknown");
        assert_eq!(refused(&|o| annotate(o, NAME, "other")), "PlanOfOtherPolicy");
        assert_eq!(refused(&|o| annotate(o, PERCENT, "101")), "PlanMetadataInvalid");
        assert_eq!(refused(&|o| annotate(o, MODE, "off")), "PlanMetadataInvalid");
        assert_eq!(refused(&|o| o.data = None), "PlanUnreadable");
        let newer = Plan { format: FORMAT + 1, ..plan };
        let promised = PlanMeta { digest: newer.digest(), ..meta };
        let found = decode(&encode(&newer, &promised).unwrap(), &promised);
        assert_eq!(found.unwrap_err().reason(), "PlanFormatUnknown", "the body itself says another format");
        let packed = [(ZSTD_KEY.to_owned(), ByteString(vec![1, 2, 3]))];
        assert_eq!(
            refused(&|o| {
                o.data = None;
                o.binary_data = Some(packed.clone().into());
            }),
            "PlanUnreadable"
        );
    }

    #[test]
    fn a_rollout_reaches_every_node_once() {
        let mut meta = meta(&plan(1));
        let nodes: Vec<String> = (0..2000).map(|i| format!("node-{i}")).collect();
        let mut before = Vec::new();
        for percent in [0, 1, 10, 50, 100] {
            meta.percent = percent;
            let reached: Vec<&String> = nodes.iter().filter(|n| meta.is_for(n)).collect();
            assert!(before.iter().all(|n| reached.contains(n)), "{percent} %: nodes stay reached");
            let expected = nodes.len() * usize::from(percent) / 100;
            assert!(reached.len().abs_diff(expected) <= 80, "{percent} %: {} nodes", reached.len());
            before = reached;
        }
        assert_eq!(before.len(), nodes.len());
        let other = |n: &str| bucket("another uid", n);
        assert!(nodes.iter().any(|n| other(n) != bucket("7d9c", n)), "each policy has its own order");
    }

    #[test]
    fn what_cannot_be_published_says_so() {
        // Digits of a hash do not compress.
        let noise = (0..60_000u32).map(|i| hex(&Sha256::digest(i.to_be_bytes()))).collect();
        let mut plan = plan(1);
        plan.hooks[0].selectors[0].matchers =
            vec![Matcher::Binary { op: TextOp::Equal, not: false, values: noise }];
        let meta = meta(&plan);
        assert_eq!(encode(&plan, &meta).unwrap_err().reason(), "PlanTooLarge");
    }
}
