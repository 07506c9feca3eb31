//! Label selectors: `matchLabels` and `matchExpressions`, with Kubernetes' own rules.

use std::collections::BTreeMap;

use tetragon_api::policy::{LabelOperator, LabelRequirement, LabelSelector};

use crate::codes::Code;
use crate::diagnostic::Cx;
use crate::node::{Item, quote};
use crate::{schema, suggest};

/// Reads a selector. `None`: it selects everything, or it is wrong and that was said.
pub(crate) fn selector(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<LabelSelector> {
    let fields = item.fields(cx, schema::LABEL_SELECTOR)?;
    let mut match_labels = BTreeMap::new();
    for entry in fields.get("matchLabels").and_then(|i| i.entries(cx)).iter().flat_map(|e| &e.entries) {
        check_key(cx, entry.name, &entry.item);
        if let Some(value) = entry.item.text(cx) {
            check_value(cx, value, &entry.item);
            match_labels.insert(entry.name.to_owned(), value.to_owned());
        }
    }
    let items = fields.items(cx, "matchExpressions");
    let mut match_expressions: Vec<_> = items.iter().filter_map(|i| requirement(cx, i)).collect();
    // They are ANDed: their order means nothing.
    match_expressions.sort_by_cached_key(|r| (r.key.clone(), r.operator, r.values.clone()));
    match_expressions.dedup();
    Some(LabelSelector { match_labels, match_expressions }).filter(|s| !s.is_empty())
}

fn requirement(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<LabelRequirement> {
    let fields = item.fields(cx, schema::LABEL_REQUIREMENT)?;
    let key = fields.require(cx, "key", "write the label's name").cloned();
    let operator = fields.require(cx, "operator", "write In, NotIn, Exists or DoesNotExist").cloned();
    let values = fields.items(cx, "values");
    let mut texts = Vec::new();
    for value in &values {
        if let Some(text) = value.text(cx) {
            check_value(cx, text, value);
            texts.push(text.to_owned());
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let (key, operator) = (key?, operator?);
    let name = key.text(cx)?;
    check_key(cx, name, &key);
    let written = operator.text(cx)?;
    let Some(parsed) = LabelOperator::from_name(written) else {
        let names: Vec<_> = LabelOperator::ALL.iter().map(|o| o.name()).collect();
        let help = suggest::one_of(written, &names);
        let message = format!("unknown operator {}", quote(written));
        cx.report(Code::UnknownOperator, &operator.place, message).help(help);
        return None;
    };
    let listed = matches!(parsed, LabelOperator::In | LabelOperator::NotIn);
    if listed == values.is_empty() {
        let (code, help) = if listed {
            (Code::MissingValues, "write values: with at least one label value".to_owned())
        } else {
            (Code::BadValue, format!("leave values out: {} asks for the key alone", parsed.name()))
        };
        let message = format!("{} {} values", parsed.name(), if listed { "needs" } else { "takes no" });
        cx.report(code, &item.place, message).help(help);
    }
    Some(LabelRequirement { key: name.to_owned(), operator: parsed, values: texts })
}

/// `[prefix/]name`: a DNS subdomain, and at most 63 letters, digits, `-`, `_`, `.`.
fn check_key(cx: &mut Cx<'_>, key: &str, item: &Item<'_>) {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.is_empty() || !is_name(name) || prefix.is_some_and(|p| !crate::policy::is_subdomain(p)) {
        cx.report(Code::BadName, &item.place, format!("{} cannot be a label's name", quote(key)))
            .help("a label's name is [DOMAIN/]NAME, such as kubernetes.io/os; NAME has at most 63 letters, digits, -, _ and .");
    }
}

fn check_value(cx: &mut Cx<'_>, value: &str, item: &Item<'_>) {
    if !is_name(value) {
        cx.report(Code::BadValue, &item.place, format!("{} cannot be a label's value", quote(value)))
            .help("a label's value has at most 63 letters, digits, -, _ and ., and begins and ends with a letter or digit");
    }
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
