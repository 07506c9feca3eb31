//! A document to a policy: kind, metadata, spec and its hooks.

use std::collections::BTreeMap;

use tetragon_api::plan::{FORMAT, Matcher, Mode, Plan, UnknownContainers};
use tetragon_api::policy::{API_VERSION, KIND, KIND_NAMESPACED, NAMESPACE_DEFAULT, OptionName};
use tetragon_api::workload::Workloads;

use crate::args::args;
use crate::call::{self, Lists};
use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{HookDraft, HookKind};
use crate::feature::Feature;
use crate::names::is_subdomain;
use crate::node::{Fields, Item, Node, Value, quote};
use crate::selector::{self, Policy};
use crate::source::Place;
use crate::{labels, lint, normalise, schema, suggest, workloads};

/// What a document says it is.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plan: Option<Plan>,
    /// Where the name stands.
    pub(crate) place: Option<Place>,
}

/// Reads one document. Its Plan is there only if nothing in it is an error.
pub(crate) fn read(cx: &mut Cx<'_>, document: &Node) -> Read {
    let before = cx.errors();
    let mut read = Read::default();
    let root = Item::root(document);
    let Some(unchecked) = root.entries(cx) else { return read };
    if !kind(cx, document, &unchecked) {
        return read;
    }
    let Some(fields) = root.fields(cx, schema::DOCUMENT) else { return read };
    metadata(cx, &fields, &mut read);
    let spec = fields.require(cx, "spec", "write spec: with kprobes, lsmhooks or tracepoints");
    let Some(spec) = spec.and_then(|item| item.fields(cx, schema::SPEC)) else { return read };
    let node_selector =
        spec.get("nodeSelector").and_then(|item| labels::selector(cx, item, labels::Of::Nodes));
    let namespaced = is_namespaced(&fields);
    let asked = workloads::of_policy(cx, &spec, namespaced, read.namespace.as_deref());
    let options = options(cx, &spec);
    let hooks = self::hooks(cx, &spec, read.namespace.as_deref());
    size(cx, &spec, &hooks);
    if cx.errors() > before {
        return read;
    }
    lint::run(cx, &hooks, &spec.place, (options.mode, options.mode_place.as_ref()), asked.as_ref());
    unknown_of_none(cx, &options, &hooks, asked.as_ref());
    let hooks = hooks.iter().map(HookDraft::finish).collect::<Option<Vec<_>>>();
    read.plan = hooks.map(|hooks| {
        let hooks = hooks.into_iter().flatten().collect();
        let (name, namespace) = (read.name.clone(), read.namespace.clone());
        let mut plan = Plan {
            format: FORMAT,
            name,
            namespace,
            mode: options.mode,
            node_selector,
            workloads: asked,
            unknown_containers: options.unknown,
            hooks,
        };
        normalise::plan(&mut plan);
        plan
    });
    read
}

/// Most hooks of a policy, its lists expanded.
const MAX_HOOKS: usize = 1024;
/// Most values of all its hooks.
const MAX_VALUES: usize = 1_000_000;

/// Refuses a policy that grows too much when its lists are expanded.
fn size(cx: &mut Cx<'_>, spec: &Fields<'_>, hooks: &[HookDraft]) {
    let values =
        |h: &HookDraft| 1 + h.selectors.iter().flat_map(|s| &s.matchers).map(|m| m.size()).sum::<usize>();
    let all: usize = hooks.iter().map(|h| h.targets.len()).sum();
    let total: usize = hooks.iter().map(|h| h.targets.len().saturating_mul(values(h))).sum();
    if all > MAX_HOOKS || total > MAX_VALUES {
        let message = format!("{all} hooks with {total} values; {MAX_HOOKS} with {MAX_VALUES} are possible");
        cx.report(Code::TooMany, &spec.place, message).help("split the policy, or shorten its lists");
    }
}

/// Checks `apiVersion` and `kind`. False: the document is something else, and not worth a look.
fn kind(cx: &mut Cx<'_>, document: &Node, fields: &Fields<'_>) -> bool {
    let kind = match fields.get("kind").map(|i| (i, &i.node.value)) {
        Some((item, Value::Str(kind))) => {
            if kind != KIND && kind != KIND_NAMESPACED {
                let help = suggest::one_of(kind, &[KIND, KIND_NAMESPACED]);
                cx.report(Code::WrongKind, &item.place, format!("{} is no policy", quote(kind))).help(help);
                if !is_of_group(document) && !meant_as_policy(kind, document) {
                    return false;
                }
            }
            true
        }
        Some((item, _)) => item.text(cx).is_some(),
        None => {
            fields.require(cx, "kind", "write kind: TracingPolicy");
            // Something that has a spec is meant as a policy.
            fields.get("spec").is_some()
        }
    };
    if let Some(item) = fields.require(cx, "apiVersion", "write apiVersion: cilium.io/v1alpha1")
        && let Some(version) = item.text(cx)
        && version != API_VERSION
    {
        cx.report(Code::WrongKind, &item.place, format!("apiVersion {} is not known", quote(version)))
            .help(format!("write {API_VERSION}"));
    }
    kind
}

/// An object that is a policy or was meant as one: its kind is misspelt, or it watches something as a policy
/// does. Others have the API group, too (CiliumNetworkPolicy), and names as near (ScalingPolicy).
pub(crate) fn meant_as_policy(kind: &str, document: &Node) -> bool {
    let near = || suggest::nearest(kind, &[KIND, KIND_NAMESPACED]).is_some();
    let watches = || {
        let sections = ["kprobes", "lsmhooks", "tracepoints", "uprobes", "usdts", "fentries"];
        document.member("spec").is_some_and(|spec| sections.iter().any(|s| spec.value.member(s).is_some()))
    };
    let somewhere = || is_of_group(document) || document.member("apiVersion").is_none();
    kind == KIND || kind == KIND_NAMESPACED || watches() || (somewhere() && near())
}

fn is_of_group(document: &Node) -> bool {
    let group = |version: &str| version.split('/').next().unwrap_or_default().to_owned();
    document.text("apiVersion").is_some_and(|version| group(version) == group(API_VERSION))
}

fn metadata(cx: &mut Cx<'_>, document: &Fields<'_>, read: &mut Read) {
    let Some(item) = document.require(cx, "metadata", "write metadata: with name: NAME") else { return };
    let Some(fields) = item.fields(cx, schema::METADATA) else { return };
    if let Some(item) = fields.require(cx, "name", "write name: NAME")
        && let Some(name) = item.text(cx)
    {
        read.place = Some(item.place.clone());
        read.name = name.to_owned();
        if !is_subdomain(name) {
            cx.report(Code::BadName, &item.place, format!("{} cannot be a name", quote(name)))
                .help("a name has lower-case letters, digits, - and ., begins and ends with a letter or digit, and has at most 253 bytes");
        }
    }
    let namespaced = is_namespaced(document);
    let given = fields.get("namespace");
    if namespaced && given.is_none() {
        let message = format!("no namespace is named: the policy is for pods of `{NAMESPACE_DEFAULT}`");
        cx.report(Code::NamespaceDefault, &item.place, message)
            .help("write namespace: NAME, or kind: TracingPolicy for all pods");
        read.namespace = Some(NAMESPACE_DEFAULT.to_owned());
    }
    if let Some(item) = given
        && let Some(namespace) = item.text(cx)
    {
        if !namespaced {
            let message = format!("a {KIND} is cluster-wide: its namespace means nothing");
            cx.report(Code::NamespaceIgnored, &item.place, message)
                .help(format!("leave namespace out, or write kind: {KIND_NAMESPACED}"));
            return;
        }
        read.namespace = Some(namespace.to_owned());
        if namespace.len() > 63 || namespace.contains('.') || !is_subdomain(namespace) {
            cx.report(Code::BadName, &item.place, format!("{} cannot be a namespace", quote(namespace)))
                .help("a namespace has at most 63 lower-case letters, digits and -, and begins and ends with a letter or digit");
        }
    }
}

fn is_namespaced(document: &Fields<'_>) -> bool {
    document.get("kind").is_some_and(|i| matches!(&i.node.value, Value::Str(kind) if kind == KIND_NAMESPACED))
}

fn hooks(cx: &mut Cx<'_>, spec: &Fields<'_>, namespace: Option<&str>) -> Vec<HookDraft> {
    let lists = call::lists(cx, spec);
    let policy = Policy { macros: selector::macros(cx, spec), namespace };
    let mut hooks = Vec::new();
    for item in spec.items(cx, "kprobes") {
        hooks.extend(kprobe(cx, &item, &lists, &policy));
    }
    for item in spec.items(cx, "lsmhooks") {
        hooks.extend(lsm_hook(cx, &item, &policy));
    }
    for item in spec.items(cx, "tracepoints") {
        hooks.extend(tracepoint(cx, &item, &policy));
    }
    hooks
}

/// What `spec.options` sets.
#[derive(Default)]
struct Options {
    mode: Mode,
    mode_place: Option<Place>,
    unknown: UnknownContainers,
    unknown_place: Option<Place>,
}

/// The options that do something, or are accepted because they do nothing.
const OPTIONS: [&str; 3] = ["policy-mode", "unknown-containers", "disable-kprobe-multi"];

fn options(cx: &mut Cx<'_>, spec: &Fields<'_>) -> Options {
    let mut options = Options::default();
    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    for item in spec.items(cx, "options") {
        let Some(fields) = item.fields(cx, schema::OPTION) else { continue };
        let Some(named) = fields.require(cx, "name", "write name: policy-mode").cloned() else { continue };
        let Some(name) = named.text(cx) else { continue };
        if seen.insert(name, ()).is_some() {
            cx.report(Code::DuplicateName, &named.place, format!("the option {} stands twice", quote(name)))
                .help("keep one of them");
        }
        match OptionName::from_name(name) {
            Some(OptionName::PolicyMode) => {
                let modes = [("enforce", Mode::Enforce), ("monitor", Mode::Monitor)];
                if let Some(mode) = one_of(cx, &fields, "policy mode", &modes) {
                    (options.mode, options.mode_place) = (mode, Some(named.place.clone()));
                }
            }
            Some(OptionName::UnknownContainers) => {
                let values = [
                    ("fail-open", UnknownContainers::FailOpen),
                    ("fail-closed", UnknownContainers::FailClosed),
                ];
                if let Some(unknown) = one_of(cx, &fields, "way to treat unknown containers", &values) {
                    (options.unknown, options.unknown_place) = (unknown, Some(named.place.clone()));
                }
            }
            Some(OptionName::DisableKprobeMulti) => kprobe_multi(cx, &fields, &named.place),
            Some(other) => {
                let feature = Feature::Option(other.name());
                cx.lacks(feature, &named.place, format!("not supported yet: option {name}"))
                    .help(format!("leave it out: {} are accepted", OPTIONS.join(", ")));
            }
            None => {
                let names: Vec<_> = OptionName::ALL.iter().map(|o| o.name()).collect();
                let message = format!("unknown option {}", quote(name));
                let help = suggest::one_of_those(name, &names, &OPTIONS);
                cx.report(Code::UnknownName, &named.place, message).help(help);
            }
        }
    }
    options
}

/// The value of an option that is one of a few words.
fn one_of<T: Copy>(cx: &mut Cx<'_>, option: &Fields<'_>, what: &str, values: &[(&str, T)]) -> Option<T> {
    let words: Vec<_> = values.iter().map(|(word, _)| *word).collect();
    let item = option.require(cx, "value", &format!("write value: {}", words.join(" or value: ")))?;
    let written = item.text(cx)?;
    let found = values.iter().find(|(word, _)| *word == written).map(|(_, value)| *value);
    if found.is_none() {
        let help = suggest::one_of(written, &words);
        cx.report(Code::BadValue, &item.place, format!("{} is no {what}", quote(written))).help(help);
    }
    found
}

/// `unknown-containers` of a policy that asks for no pods.
fn unknown_of_none(cx: &mut Cx<'_>, options: &Options, hooks: &[HookDraft], asked: Option<&Workloads>) {
    let Some(place) = &options.unknown_place else { return };
    let matchers = hooks.iter().flat_map(|h| &h.selectors).flat_map(|s| &s.matchers);
    let own = matchers.filter_map(|m| if let Matcher::Workload(w) = &m.matcher { Some(w) } else { None });
    if !own.chain(asked).any(|w| w.pods.is_some() && !w.is_everything()) {
        cx.report(Code::NoEffect, place, "unknown-containers changes nothing: the policy chooses no pods")
            .help("leave it out, or write podSelector or containerSelector");
    }
}

fn kprobe_multi(cx: &mut Cx<'_>, option: &Fields<'_>, place: &Place) {
    let Some(item) = option.require(cx, "value", "write value: \"true\"") else { return };
    let Some(value) = item.text(cx) else { return };
    // The spellings that Go's ParseBool takes.
    if !["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"].contains(&value) {
        cx.report(Code::BadValue, &item.place, format!("{} is neither true nor false", quote(value)))
            .help("write value: \"true\" or value: \"false\"");
        return;
    }
    cx.report(
        Code::NoEffect,
        place,
        "disable-kprobe-multi changes nothing here: the node chooses how each hook is attached",
    )
    .help("leave it in for Tetragon, or leave it out");
}

fn kprobe<'n>(cx: &mut Cx<'_>, item: &Item<'n>, lists: &Lists, policy: &Policy<'n>) -> Option<HookDraft> {
    let fields = item.fields(cx, schema::KPROBE)?;
    let (targets, syscall) = call::kprobe(cx, &fields, lists);
    let kind = if syscall { HookKind::Syscall } else { HookKind::Function };
    let mut ignore_missing = false;
    if let Some(ignore) = fields.get("ignore").and_then(|i| i.fields(cx, schema::IGNORE)) {
        ignore_missing = ignore.boolean(cx, "callNotFound", false);
    }
    Some(HookDraft { ignore_missing, ..hook(cx, fields, kind, targets, policy) })
}

fn lsm_hook<'n>(cx: &mut Cx<'_>, item: &Item<'n>, policy: &Policy<'n>) -> Option<HookDraft> {
    let fields = item.fields(cx, schema::LSM_HOOK)?;
    let named = fields.require(cx, "hook", "write the LSM hook, as hook: file_open").cloned();
    let target = named.as_ref().and_then(|i| call::lsm(cx, i));
    Some(hook(cx, fields, HookKind::Lsm, target.into_iter().collect(), policy))
}

fn tracepoint<'n>(cx: &mut Cx<'_>, item: &Item<'n>, policy: &Policy<'n>) -> Option<HookDraft> {
    let fields = item.fields(cx, schema::TRACEPOINT)?;
    let raw = fields.boolean(cx, "raw", false);
    let subsystem = fields.require(cx, "subsystem", "write subsystem: sched, or another").cloned();
    let event = fields.require(cx, "event", "write event: sched_process_exec, or another").cloned();
    let target = match (&subsystem, &event) {
        (Some(subsystem), Some(event)) => call::tracepoint(cx, subsystem, event, raw),
        _ => None,
    };
    let kind = if raw { HookKind::RawTracepoint } else { HookKind::Tracepoint };
    Some(hook(cx, fields, kind, target.into_iter().collect(), policy))
}

/// What all sections share.
fn hook<'n>(
    cx: &mut Cx<'_>,
    fields: Fields<'n>,
    kind: HookKind,
    targets: Vec<tetragon_api::plan::Target>,
    policy: &Policy<'n>,
) -> HookDraft {
    let args = args(cx, &fields, kind);
    let selectors = selector::selectors(cx, &fields, kind, &targets, &args, policy);
    let message = message(cx, &fields);
    let tags = tags(cx, &fields);
    HookDraft { place: fields.place, targets, ignore_missing: false, message, tags, args, selectors }
}

/// Characters of a message, and of a tag.
const LONGEST_MESSAGE: usize = 256;
const LONGEST_TAG: usize = 128;
const MAX_TAGS: usize = 16;

fn message(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<String> {
    let text = fields.text(cx, "message")?;
    let place = &fields.get("message")?.place;
    Some(cut(cx, place, text, LONGEST_MESSAGE))
}

fn cut(cx: &mut Cx<'_>, place: &Place, text: &str, most: usize) -> String {
    let Some((at, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let message = format!("{} characters are cut to {most}", text.chars().count());
    cx.report(Code::CutShort, place, message).help("shorten it");
    text[..at].to_owned()
}

fn tags(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Vec<String> {
    let items = fields.items(cx, "tags");
    if let Some(item) = items.get(MAX_TAGS) {
        cx.report(Code::TooMany, &item.place, format!("{} tags; {MAX_TAGS} are possible", items.len()))
            .help("leave some out");
    }
    let mut tags = Vec::new();
    for item in items {
        let Some(tag) = item.text(cx) else { continue };
        if tag.is_empty() {
            cx.report(Code::BadValue, &item.place, "the tag is empty").help("write a tag, or leave it out");
        } else {
            tags.push(cut(cx, &item.place, tag, LONGEST_TAG));
        }
    }
    tags
}
