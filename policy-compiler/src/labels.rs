//! Label selectors: `matchLabels` and `matchExpressions`, with Kubernetes' own rules.

use std::collections::BTreeMap;

use tetragon_api::policy::{LabelOperator, LabelRequirement, LabelSelector};
use tetragon_api::workload::{CONTAINER_FIELDS, EXTRA_LABELS, POD_NAME, POD_NAMESPACE, POD_WORKLOAD};

use crate::codes::Code;
use crate::context::Cx;
use crate::names::is_subdomain;
use crate::node::{Item, quote};
use crate::source::Place;
use crate::{normalise, schema, suggest};

/// What a selector selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of<'a> {
    Nodes,
    /// Pods; of this namespace, if there is one.
    Pods(Option<&'a str>),
    /// Containers, by their fields.
    Containers,
}

/// Reads a selector. `None`: it selects everything, or it is wrong and that was said.
pub(crate) fn selector(cx: &mut Cx<'_>, item: &Item<'_>, of: Of<'_>) -> Option<LabelSelector> {
    let fields = item.fields(cx, schema::LABEL_SELECTOR)?;
    let mut asked = Vec::new();
    let mut match_labels = BTreeMap::new();
    for entry in fields.get("matchLabels").and_then(|i| i.entries(cx)).iter().flat_map(|e| &e.entries) {
        check_key(cx, entry.name, &entry.key, of);
        if let Some(value) = entry.item.text(cx) {
            check_value(cx, entry.name, value, &entry.item.place, of);
            match_labels.insert(entry.name.to_owned(), value.to_owned());
            asked.push((requirement_of(entry.name, value), entry.item.place.clone()));
        }
    }
    let items = fields.items(cx, "matchExpressions");
    let expressions: Vec<_> = items.iter().filter_map(|i| requirement(cx, i, of)).collect();
    let match_expressions = expressions.iter().map(|(requirement, _)| requirement.clone()).collect();
    asked.extend(expressions);
    never(cx, &asked, of);
    let mut selector = LabelSelector { match_labels, match_expressions };
    normalise::labels(&mut selector);
    Some(selector).filter(|s| !s.is_empty())
}

fn requirement_of(key: &str, value: &str) -> LabelRequirement {
    LabelRequirement { key: key.to_owned(), operator: LabelOperator::In, values: vec![value.to_owned()] }
}

fn requirement(cx: &mut Cx<'_>, item: &Item<'_>, of: Of<'_>) -> Option<(LabelRequirement, Place)> {
    let fields = item.fields(cx, schema::LABEL_REQUIREMENT)?;
    let key = fields.require(cx, "key", "write the label's name").cloned();
    let operator = fields.require(cx, "operator", "write In, NotIn, Exists or DoesNotExist").cloned();
    let name = key.as_ref().and_then(|k| k.text(cx));
    if let (Some(name), Some(key)) = (name, &key) {
        check_key(cx, name, &key.place, of);
    }
    let items = fields.items(cx, "values");
    let mut values = Vec::new();
    for value in &items {
        if let Some(text) = value.text(cx) {
            check_value(cx, name.unwrap_or_default(), text, &value.place, of);
            values.push(text.to_owned());
        }
    }
    let operator = operator?;
    let written = operator.text(cx)?;
    let Some(parsed) = LabelOperator::from_name(written) else {
        let names: Vec<_> = LabelOperator::ALL.iter().map(|o| o.name()).collect();
        let help = suggest::one_of(written, &names);
        let message = format!("unknown operator {}", quote(written));
        cx.report(Code::UnknownOperator, &operator.place, message).help(help);
        return None;
    };
    let listed = matches!(parsed, LabelOperator::In | LabelOperator::NotIn);
    if listed == items.is_empty() {
        let (code, help) = if listed {
            (Code::MissingValues, "write values: with at least one value".to_owned())
        } else {
            (Code::BadValue, format!("leave values out: {} asks for the key alone", parsed.name()))
        };
        let message = format!("{} {} values", parsed.name(), if listed { "needs" } else { "takes no" });
        cx.report(code, &item.place, message).help(help);
        return None;
    }
    Some((LabelRequirement { key: name?.to_owned(), operator: parsed, values }, item.place.clone()))
}

/// Of a label: `[prefix/]name`, a DNS subdomain, and at most 63 letters, digits, `-`, `_`, `.`.
fn check_key(cx: &mut Cx<'_>, key: &str, place: &Place, of: Of<'_>) {
    match of {
        Of::Containers if !CONTAINER_FIELDS.contains(&key) => {
            let message = format!("a container has no field {}", quote(key));
            let help = match key {
                "image" => "write repo: the image without tag and digest, docker.io/library/nginx".to_owned(),
                _ => suggest::one_of(key, &CONTAINER_FIELDS),
            };
            cx.report(Code::UnknownName, place, message).help(help);
        }
        // No label of a pod's own can be named so.
        Of::Pods(_) if key.starts_with("k8s:") && !EXTRA_LABELS.contains(&key) => {
            let message = format!("pods have no label {}", quote(key));
            cx.report(Code::UnknownName, place, message).help(suggest::one_of(key, &EXTRA_LABELS));
        }
        Of::Containers => {}
        Of::Pods(_) if EXTRA_LABELS.contains(&key) => {}
        Of::Pods(_) if EXTRA_LABELS.iter().any(|extra| extra.strip_prefix("k8s:") == Some(key)) => {
            let message =
                format!("Kubernetes gives no pod a label {}: Tetragon's own has a prefix", quote(key));
            let help = format!("write {}", quote(&format!("k8s:{key}")));
            cx.report(Code::NeverMatches, place, message).help(help);
        }
        Of::Nodes | Of::Pods(_) => label_key(cx, key, place),
    }
}

fn label_key(cx: &mut Cx<'_>, key: &str, place: &Place) {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.is_empty() || !is_name(name) || prefix.is_some_and(|p| !is_subdomain(p)) {
        cx.report(Code::BadName, place, format!("{} cannot be a label's name", quote(key)))
            .help("a label's name is [DOMAIN/]NAME, such as kubernetes.io/os; NAME has at most 63 letters, digits, -, _ and .");
    }
}

fn check_value(cx: &mut Cx<'_>, key: &str, value: &str, place: &Place, of: Of<'_>) {
    match (of, key) {
        (Of::Containers, "repo") => repo(cx, value, place),
        (Of::Containers, _) => {
            if value.len() > 63 || value.contains('.') || !is_subdomain(value) {
                cx.report(Code::BadValue, place, format!("{} cannot be a container's name", quote(value)))
                    .help("a container's name has at most 63 lower-case letters, digits and -");
            }
        }
        // Names of pods and Deployments are longer than values of labels.
        (Of::Pods(_), POD_NAME | POD_WORKLOAD) if is_subdomain(value) => {}
        _ if is_name(value) => {}
        _ => {
            cx.report(Code::BadValue, place, format!("{} cannot be a label's value", quote(value)))
                .help("a label's value has at most 63 letters, digits, -, _ and ., and begins and ends with a letter or digit");
        }
    }
}

/// The repository of an image, as runtimes tell it: with its registry, without tag and digest.
fn repo(cx: &mut Cx<'_>, value: &str, place: &Place) {
    let last = value.rfind('/').map_or(0, |i| i + 1);
    if let Some(end) = value[last..].find([':', '@']) {
        let message = format!("{} never matches: a repository has neither tag nor digest", quote(value));
        cx.report(Code::BadValue, place, message).help(format!("write {}", quote(&value[..last + end])));
        return;
    }
    let whole = match value.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => return,
        Some(_) => format!("docker.io/{value}"),
        None => format!("docker.io/library/{value}"),
    };
    let message = format!("{} never matches: runtimes tell repositories with their registry", quote(value));
    cx.report(Code::DeadValue, place, message).help(format!("write {}", quote(&whole)));
}

/// Empty, or a qualified name's last part.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Warns of a requirement that excludes all that the ones before it take.
fn never(cx: &mut Cx<'_>, asked: &[(LabelRequirement, Place)], of: Of<'_>) {
    let known = known(of);
    for (i, (requirement, place)) in asked.iter().enumerate() {
        let before = || asked[..i].iter().filter(|(r, _)| r.key == requirement.key);
        let all = known.iter().chain(before().map(|(r, _)| r)).filter(|r| r.key == requirement.key);
        if fulfillable(all.chain([requirement])) {
            continue;
        }
        let earlier = before().next_back();
        let (what, help) = match (of, earlier) {
            (_, Some(_)) => (
                "no value satisfies this and an earlier requirement".to_owned(),
                "the parts of a selector are ANDed: list all values in one In, or leave one part out",
            ),
            (Of::Pods(Some(namespace)), _) if requirement.key == POD_NAMESPACE => (
                format!("the policy is for pods of namespace {} only", quote(namespace)),
                "write the policy into the other namespace, or make it a TracingPolicy",
            ),
            _ => (format!("every one has {}", quote(&requirement.key)), "leave it out"),
        };
        let label = earlier.and_then(|(_, place)| cx.span(place.span.as_ref()));
        cx.report(Code::NeverMatches, place, format!("nothing is ever selected: {what}"))
            .help(help)
            .label(label, "this excludes it");
        return;
    }
}

/// What is true of all that is selected from.
fn known(of: Of<'_>) -> Vec<LabelRequirement> {
    let exists = |key: &&str| LabelRequirement {
        key: (*key).to_owned(),
        operator: LabelOperator::Exists,
        values: Vec::new(),
    };
    match of {
        Of::Nodes => Vec::new(),
        Of::Containers => CONTAINER_FIELDS.iter().map(exists).collect(),
        Of::Pods(namespace) => {
            let namespace = namespace.map(|n| requirement_of(POD_NAMESPACE, n));
            EXTRA_LABELS.iter().map(exists).chain(namespace).collect()
        }
    }
}

/// Some value, or none, of one key fulfils them all.
fn fulfillable<'r>(all: impl Iterator<Item = &'r LabelRequirement>) -> bool {
    let (mut taken, mut excluded): (Option<Vec<&str>>, Vec<&str>) = (None, Vec::new());
    let (mut exists, mut absent) = (false, false);
    for requirement in all {
        let values = requirement.values.iter().map(String::as_str);
        match requirement.operator {
            LabelOperator::In => {
                exists = true;
                let values: Vec<_> = values.collect();
                taken = Some(match taken {
                    Some(before) => before.into_iter().filter(|v| values.contains(v)).collect(),
                    None => values,
                });
            }
            LabelOperator::NotIn => excluded.extend(values),
            LabelOperator::Exists => exists = true,
            LabelOperator::DoesNotExist => absent = true,
        }
    }
    !(exists && absent) && taken.is_none_or(|values| values.iter().any(|v| !excluded.contains(v)))
}

/// Something may satisfy both.
pub(crate) fn compatible(a: Option<&LabelSelector>, b: Option<&LabelSelector>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    let all = |s: &LabelSelector| -> Vec<LabelRequirement> {
        let labels = s.match_labels.iter().map(|(key, value)| requirement_of(key, value));
        labels.chain(s.match_expressions.iter().cloned()).collect()
    };
    let all: Vec<_> = all(a).into_iter().chain(all(b)).collect();
    all.iter().all(|r| fulfillable(all.iter().filter(|other| other.key == r.key)))
}

/// Whatever `a` selects, `b` selects too. "No" means "not known".
pub(crate) fn implies(a: Option<&LabelSelector>, b: Option<&LabelSelector>) -> bool {
    let Some(b) = b else { return true };
    a.is_some_and(|a| {
        b.match_labels.iter().all(|(key, value)| a.match_labels.get(key) == Some(value))
            && b.match_expressions.iter().all(|r| a.match_expressions.contains(r))
    })
}
