//! Selectors: macros merged in, and every matcher but matchArgs.

use std::collections::BTreeMap;

use tetragon_api::plan::{MAX_SELECTORS, Matcher, NamespaceKind, NamespaceValue, TextOp};
use tetragon_api::policy::{BinaryOperator, NamespaceName, SetOperator};

use crate::action;
use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{ArgDraft, HookKind, MatcherDraft, SelectorDraft};
use crate::match_args::{binary_value, match_args, missing_values, parse, texts};
use crate::node::{FieldOf, Fields, Item, quote};
use crate::value::{self, Problem};
use crate::{schema, suggest, workloads};

/// Largest process id (PID_MAX_LIMIT).
const LAST_PID: i128 = 4_194_304;

/// The macros by name, as they stand in the document.
pub(crate) type Macros<'n> = BTreeMap<&'n str, Fields<'n>>;

/// What the selectors of a policy share.
pub(crate) struct Policy<'n> {
    pub(crate) macros: Macros<'n>,
    /// Of a TracingPolicyNamespaced.
    pub(crate) namespace: Option<&'n str>,
}

/// Reads `spec.selectorsMacros`. What is in a macro is checked where it is used; its names here.
pub(crate) fn macros<'n>(cx: &mut Cx<'_>, spec: &Fields<'n>) -> Macros<'n> {
    let mut macros = Macros::new();
    let Some(all) = spec.get("selectorsMacros").and_then(|i| i.entries(cx)) else { return macros };
    for FieldOf { name, item, .. } in all.entries {
        let Some(mut fields) = item.fields(cx, schema::SELECTOR) else { continue };
        if let Some(nested) = fields.field("macros") {
            cx.report(Code::MacroConflict, &nested.key, "a macro cannot use macros")
                .help("list both macros in the selector");
            fields.entries.retain(|f| f.name != "macros");
        }
        if let Some(asked) = fields.field("matchWorkloads") {
            cx.report(
                Code::MacroConflict,
                &asked.key,
                "a macro cannot have matchWorkloads: Tetragon leaves it out",
            )
            .help("write matchWorkloads into the selectors that use the macro");
            fields.entries.retain(|f| f.name != "matchWorkloads");
        }
        macros.insert(name, fields);
    }
    macros
}

/// Reads the `selectors` of a hook.
pub(crate) fn selectors<'n>(
    cx: &mut Cx<'_>,
    hook: &Fields<'n>,
    kind: HookKind,
    targets: &[tetragon_api::plan::Target],
    args: &[ArgDraft],
    policy: &Policy<'n>,
) -> Vec<SelectorDraft> {
    let items = hook.items(cx, "selectors");
    if let Some(item) = items.get(MAX_SELECTORS) {
        cx.report(
            Code::TooMany,
            &item.place,
            format!("{} selectors; a hook has at most {MAX_SELECTORS}", items.len()),
        )
        .help("write the values of similar selectors into one, or split the policy");
    }
    let mut drafts = Vec::new();
    for item in items {
        let Some(fields) = item.fields(cx, schema::SELECTOR) else { continue };
        let fields = merged(cx, fields, &policy.macros);
        let mut matchers = pids(cx, &fields);
        matchers.extend(binaries(cx, &fields, "matchBinaries"));
        matchers.extend(binaries(cx, &fields, "matchParentBinaries"));
        matchers.extend(namespaces(cx, &fields));
        matchers.extend(match_args(cx, &fields, args));
        matchers.extend(workloads::of_selector(cx, &fields, policy.namespace));
        let (actions, enforcing) = action::actions(cx, &fields, kind, targets);
        let label = fields.text(cx, "label").map(str::to_owned);
        drafts.push(SelectorDraft { place: fields.place, label, matchers, actions, enforcing });
    }
    drafts
}

/// A selector with the fields of its macros.
fn merged<'n>(cx: &mut Cx<'_>, mut selector: Fields<'n>, macros: &Macros<'n>) -> Fields<'n> {
    let uses = selector.items(cx, "macros");
    selector.entries.retain(|f| f.name != "macros");
    for item in uses {
        let Some(name) = item.text(cx) else { continue };
        let Some(from) = macros.get(name) else {
            let known: Vec<_> = macros.keys().copied().collect();
            let message = format!("spec.selectorsMacros has no macro {}", quote(name));
            let help = if known.is_empty() {
                format!("write it into spec.selectorsMacros: {name}: ...")
            } else {
                suggest::one_of(name, &known)
            };
            cx.report(Code::UnknownMacro, &item.place, message).help(help);
            continue;
        };
        for field in &from.entries {
            let Some(there) = selector.field(field.name) else {
                selector.entries.push(field.clone());
                continue;
            };
            // A selector's own label wins.
            if field.name != "label" {
                let (a, b) = (cx.span(there.key.span.as_ref()), cx.span(field.key.span.as_ref()));
                let message = format!("{} is set twice: by macro {} and before it", field.name, quote(name));
                cx.report(Code::MacroConflict, &item.place, message)
                    .help("write it once: a macro adds fields, it does not extend them")
                    .label(a, "set here")
                    .label(b, "and by the macro");
            }
        }
    }
    selector
}

fn set_operator(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<bool> {
    let item = fields.require(cx, "operator", "write operator: In or operator: NotIn")?;
    let name = item.text(cx)?;
    if let Some(op) = SetOperator::from_name(name) {
        return Some(op == SetOperator::NotIn);
    }
    let help = set_operator_help(name, &["In", "NotIn"]);
    cx.report(Code::UnknownOperator, &item.place, format!("unknown operator {}", quote(name))).help(help);
    None
}

fn set_operator_help(name: &str, known: &[&str]) -> String {
    match name {
        "Equal" => "write In: here it takes whole values".to_owned(),
        "NotEqual" => "write NotIn: here it takes whole values".to_owned(),
        _ => suggest::one_of(name, known),
    }
}

fn pids(cx: &mut Cx<'_>, selector: &Fields<'_>) -> Vec<MatcherDraft> {
    let items = selector.items(cx, "matchPIDs");
    items.iter().filter_map(|item| pid(cx, item)).collect()
}

fn pid(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<MatcherDraft> {
    let fields = item.fields(cx, schema::MATCH_PIDS)?;
    let not = set_operator(cx, &fields);
    let follow_forks = fields.boolean(cx, "followForks", false);
    let namespace_pid = fields.boolean(cx, "isNamespacePID", false);
    let items = fields.items(cx, "values");
    if items.is_empty() {
        missing_values(cx, &fields.place, "values");
        return None;
    }
    let values: Vec<_> = items.iter().map(|i| i.integer(cx, 0..=LAST_PID)).collect();
    let values = values.into_iter().map(|v| u32::try_from(v?).ok()).collect::<Option<Vec<_>>>()?;
    let matcher = Matcher::Pid { not: not?, follow_forks, namespace_pid, values };
    let places = items.into_iter().map(|i| i.place).collect();
    Some(MatcherDraft { matcher, place: fields.place, values: places })
}

fn binaries(cx: &mut Cx<'_>, selector: &Fields<'_>, field: &str) -> Vec<MatcherDraft> {
    let items = selector.items(cx, field);
    if let Some(second) = items.get(1) {
        cx.report(Code::TooMany, &second.place, format!("{} entries; {field} has at most 1", items.len()))
            .help("write all values into one entry, or use a second selector");
    }
    items.iter().filter_map(|item| binary(cx, item, field)).collect()
}

fn binary(cx: &mut Cx<'_>, item: &Item<'_>, field: &str) -> Option<MatcherDraft> {
    let fields = item.fields(cx, schema::MATCH_BINARIES)?;
    let operator = binary_operator(cx, &fields);
    let values = texts(cx, &fields, "values");
    let ((op, not), values) = (operator?, values?);
    let (values, places) = parse(cx, &values, |v| binary_value(v, op))?;
    let matcher = if field == "matchBinaries" {
        Matcher::Binary { op, not, values }
    } else {
        Matcher::ParentBinary { op, not, values }
    };
    Some(MatcherDraft { matcher, place: fields.place, values: places })
}

fn binary_operator(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<(TextOp, bool)> {
    let item = fields.require(cx, "operator", "write operator: In, or another")?;
    let name = item.text(cx)?;
    let Some(op) = BinaryOperator::from_name(name) else {
        let names: Vec<_> = BinaryOperator::ALL.iter().map(|o| o.name()).collect();
        let help = set_operator_help(name, &names);
        cx.report(Code::UnknownOperator, &item.place, format!("unknown operator {}", quote(name))).help(help);
        return None;
    };
    Some(match op {
        BinaryOperator::In => (TextOp::Equal, false),
        BinaryOperator::NotIn => (TextOp::Equal, true),
        BinaryOperator::Prefix => (TextOp::Prefix, false),
        BinaryOperator::NotPrefix => (TextOp::Prefix, true),
        BinaryOperator::Postfix => (TextOp::Postfix, false),
        BinaryOperator::NotPostfix => (TextOp::Postfix, true),
    })
}

fn namespaces(cx: &mut Cx<'_>, selector: &Fields<'_>) -> Vec<MatcherDraft> {
    let items = selector.items(cx, "matchNamespaces");
    items.iter().filter_map(|item| namespace(cx, item)).collect()
}

fn namespace(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<MatcherDraft> {
    let fields = item.fields(cx, schema::MATCH_NAMESPACES)?;
    let kind = namespace_kind(cx, &fields);
    let not = set_operator(cx, &fields);
    let values = texts(cx, &fields, "values")?;
    let (values, places) = parse(cx, &values, namespace_value)?;
    let matcher = Matcher::Namespace { namespace: kind?, not: not?, values };
    Some(MatcherDraft { matcher, place: fields.place, values: places })
}

fn namespace_kind(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<NamespaceKind> {
    let item = fields.require(cx, "namespace", "write namespace: Pid, or another")?;
    let name = item.text(cx)?;
    let position = NamespaceName::ALL.iter().position(|n| n.name() == name);
    if position.is_none() {
        let names: Vec<_> = NamespaceName::ALL.iter().map(|n| n.name()).collect();
        let message = format!("unknown namespace {}", quote(name));
        cx.report(Code::UnknownName, &item.place, message).help(suggest::one_of(name, &names));
    }
    // Both lists have the same order; a test says so.
    position.map(|i| NamespaceKind::ALL[i])
}

fn namespace_value(text: &str) -> Result<NamespaceValue, (Code, Problem)> {
    if text == "host_ns" {
        return Ok(NamespaceValue::Host);
    }
    let within = tetragon_api::plan::IntRange { min: 0, max: u32::MAX.into() };
    match value::int(text, within) {
        Ok(number) => Ok(NamespaceValue::Inum(u32::try_from(number).unwrap_or(u32::MAX))),
        Err((message, _)) => Err((
            Code::BadValue,
            (message, "write host_ns, or a namespace's inode number as text".to_owned()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_names_stand_in_the_order_of_their_kinds() {
        for (name, kind) in NamespaceName::ALL.iter().zip(NamespaceKind::ALL) {
            assert_eq!(format!("{name:?}"), format!("{kind:?}"));
        }
        assert_eq!(NamespaceName::ALL.len(), NamespaceKind::ALL.len());
    }
}
