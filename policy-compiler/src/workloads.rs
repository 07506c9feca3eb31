//! `podSelector`, `containerSelector` and `hostSelector`: of a policy, and of a selector's
//! `matchWorkloads`.

use tetragon_api::plan::Matcher;
use tetragon_api::policy::KIND_NAMESPACED;
use tetragon_api::workload::{Pods, Workloads};

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::MatcherDraft;
use crate::labels::{self, Of};
use crate::node::Fields;
use crate::schema;
use crate::source::Place;

/// Reads those of a policy. `None`: it is for every process of its nodes.
pub(crate) fn of_policy(
    cx: &mut Cx<'_>,
    spec: &Fields<'_>,
    namespaced: bool,
    namespace: Option<&str>,
) -> Option<Workloads> {
    let mut workloads = read(cx, spec, namespace);
    if !namespaced {
        return workloads;
    }
    if let Some(item) = spec.get("hostSelector") {
        let message = format!("a {KIND_NAMESPACED} is for pods of its namespace, and for no others");
        cx.report(Code::BadValue, &item.place, message)
            .help("leave hostSelector out, or write a TracingPolicy");
    }
    let pods = workloads.get_or_insert_default().pods.get_or_insert_default();
    pods.namespace = namespace.map(str::to_owned);
    workloads
}

/// Reads `matchWorkloads` of a selector.
pub(crate) fn of_selector(
    cx: &mut Cx<'_>,
    selector: &Fields<'_>,
    namespace: Option<&str>,
) -> Option<MatcherDraft> {
    let item = selector.get("matchWorkloads")?;
    let fields = item.fields(cx, schema::MATCH_WORKLOADS)?;
    let workloads = read(cx, &fields, namespace);
    let Some(workloads) = workloads.filter(|w| !w.is_everything()) else {
        no_effect(cx, &item.place);
        return None;
    };
    Some(MatcherDraft {
        matcher: Matcher::Workload(workloads),
        place: item.place.clone(),
        values: Vec::new(),
    })
}

fn no_effect(cx: &mut Cx<'_>, place: &Place) {
    cx.report(Code::NoEffect, place, "matchWorkloads changes nothing: it takes every process")
        .help("leave it out, or write podSelector, containerSelector or hostSelector into it");
}

/// The table of Tetragon's documentation: what is null asks for nothing, unless all are.
fn read(cx: &mut Cx<'_>, fields: &Fields<'_>, namespace: Option<&str>) -> Option<Workloads> {
    let pod = fields.get("podSelector");
    let container = fields.get("containerSelector");
    let host = fields.get("hostSelector");
    let of_pod = pod.and_then(|item| labels::selector(cx, item, Of::Pods(namespace)));
    let of_container = container.and_then(|item| labels::selector(cx, item, Of::Containers));
    if let Some(first) = host.and_then(|item| item.entries(cx)).as_ref().and_then(|e| e.entries.first()) {
        cx.report(Code::UnknownField, &first.key, "hostSelector has no fields: it can only be {}")
            .help("write hostSelector: {}; it takes every process that is in no pod");
    }
    let pods = Pods { namespace: None, labels: of_pod, containers: of_container };
    let pods = (pod.is_some() || container.is_some()).then_some(pods);
    (host.is_some() || pods.is_some()).then_some(Workloads { host: host.is_some(), pods })
}
