//! What is rendered: names that point at each other, roles, and flags.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::helm::{Chart, NAMESPACE, documents, hook};
use crate::build::{TARGET, workspace};
use crate::tools::{command, output, root, run};

/// Kinds without a namespace.
const CLUSTER_WIDE: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// What the agents' roles allow, without reading.
const AGENT_WRITES: &[&str] =
    &["tetragon-rs.dev/tetragonnodes create,patch", "tetragon-rs.dev/tetragonnodes/status patch"];
/// What the operator's roles allow, without reading.
const OPERATOR_WRITES: &[&str] = &[
    "/configmaps create,delete,patch,update",
    "/secrets create",
    "/secrets[tetragon-operator-webhook] delete,patch,update",
    "admissionregistration.k8s.io/validatingwebhookconfigurations[tetragon-operator] patch,update",
    "apiextensions.k8s.io/customresourcedefinitions create",
    "apiextensions.k8s.io/customresourcedefinitions[podinfo.cilium.io,tetragonnodes.tetragon-rs.dev,tracingpolicies.cilium.io,tracingpoliciesnamespaced.cilium.io] patch,update",
    "cilium.io/tracingpolicies/status patch",
    "cilium.io/tracingpoliciesnamespaced/status patch",
    "coordination.k8s.io/leases create",
    "coordination.k8s.io/leases[tetragon-operator-resource-lock] patch,update",
    "events.k8s.io/events create,patch",
    "tetragon-rs.dev/tetragonnodes/status patch",
];
/// And with tetragonOperator.podInfo.enabled.
const POD_INFO_WRITES: &str = "cilium.io/podinfo create,patch";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

fn of_kind<'a>(objects: &'a [Value], wanted: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| kind(o) == wanted)
}

/// `kind/namespace/name`.
fn identity(object: &Value) -> String {
    format!("{}/{}/{}", kind(object), text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// Names of Services have at most 63 characters, and no two objects have one name.
pub(super) fn names_fit(chart: &Chart) -> Result<()> {
    // helm takes no longer one.
    let release = "r".repeat(53);
    let long = "n".repeat(70);
    let overridden =
        format!("--set=tetragon.nameOverride=agent-{long},tetragonOperator.nameOverride=operator-{long}");
    for options in [vec![], vec![overridden.as_str()]] {
        let mut seen = BTreeSet::new();
        let objects = documents(&chart.release(&release, NAMESPACE, &options)?)?;
        // Two hooks, at different times, may make and take away one object.
        for object in objects.into_iter().filter(|o| hook(o).is_none()) {
            let id = identity(&object);
            let name = text(&object, "/metadata/name");
            let most = if kind(&object) == "Service" { 63 } else { 253 };
            ensure!(name.len() <= most && !name.ends_with('-'), "{id} is no name that Kubernetes takes");
            ensure!(
                kind(&object) != "Deployment" || name.contains("operator"),
                "{id} does not say whose it is"
            );
            ensure!(seen.insert(id.clone()), "there are two {id}");
        }
    }
    Ok(())
}

pub(super) fn fit_together(chart: &Chart) -> Result<()> {
    for (what, objects) in chart.all()? {
        identities(objects).with_context(|| what.clone())?;
        for workload in objects.iter().filter(|o| ["DaemonSet", "Deployment"].contains(&kind(o))) {
            workload_is_whole(workload, objects)
                .with_context(|| format!("{what}: {}", identity(workload)))?;
        }
        selectors(objects).with_context(|| what.clone())?;
        bindings(objects).with_context(|| what.clone())?;
        profiles(what, objects).with_context(|| what.clone())?;
    }
    Ok(())
}

fn identities(objects: &[Value]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for object in objects {
        let id = identity(object);
        ensure!(!text(object, "/apiVersion").is_empty(), "{id} has no apiVersion");
        ensure!(!text(object, "/metadata/name").is_empty(), "{id} has no name");
        ensure!(seen.insert(id.clone()), "{id} is there twice");
        let namespace = text(object, "/metadata/namespace");
        if CLUSTER_WIDE.contains(&kind(object)) {
            ensure!(namespace.is_empty(), "{id} cannot have a namespace");
        } else {
            // A Lease may be elsewhere.
            ensure!(
                namespace == NAMESPACE || id.ends_with("-lease"),
                "{id} is not in the release's namespace"
            );
        }
    }
    Ok(())
}

fn contains(labels: &Value, selector: &Value) -> bool {
    let Some(selector) = selector.as_object().filter(|s| !s.is_empty()) else { return false };
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Its selector finds its pods, its volumes are there and used, its account and configuration exist.
fn workload_is_whole(workload: &Value, objects: &[Value]) -> Result<()> {
    let template = &workload["spec"]["template"];
    ensure!(
        contains(&template["metadata"]["labels"], &workload["spec"]["selector"]["matchLabels"]),
        "its selector does not find its pods"
    );
    let volumes: BTreeSet<&str> = list(template, "/spec/volumes").map(|v| text(v, "/name")).collect();
    let mut mounted = BTreeSet::new();
    for container in list(template, "/spec/containers") {
        for mount in list(container, "/volumeMounts") {
            let name = text(mount, "/name");
            ensure!(volumes.contains(name), "there is no volume {name}");
            mounted.insert(name);
        }
    }
    ensure!(mounted == volumes, "volumes {volumes:?} are there, and {mounted:?} are used");
    for volume in list(template, "/spec/volumes") {
        let name = text(volume, "/configMap/name");
        let optional = volume["configMap"]["optional"] == true;
        let there = of_kind(objects, "ConfigMap").any(|c| text(c, "/metadata/name") == name);
        ensure!(name.is_empty() || optional || there, "there is no ConfigMap {name}");
    }
    let account = text(template, "/spec/serviceAccountName");
    let made = of_kind(objects, "ServiceAccount").any(|a| text(a, "/metadata/name") == account);
    let roles = of_kind(objects, "ClusterRoleBinding")
        .any(|b| list(b, "/subjects").any(|s| text(s, "/name") == account));
    ensure!(made || !roles, "roles are bound to {account}, which is not there");
    Ok(())
}

/// Services, monitors and network policies find what they are for; ports have names that exist.
fn selectors(objects: &[Value]) -> Result<()> {
    let pods: Vec<&Value> = objects.iter().filter(|o| o.pointer("/spec/template/spec").is_some()).collect();
    let found = |selector: &Value| {
        pods.iter().copied().find(|w| contains(&w["spec"]["template"]["metadata"]["labels"], selector))
    };
    let has_port = |workload: &Value, name: &str| {
        list(workload, "/spec/template/spec/containers")
            .flat_map(|c| list(c, "/ports"))
            .any(|p| text(p, "/name") == name)
    };
    for service in of_kind(objects, "Service") {
        let id = identity(service);
        let workload =
            found(&service["spec"]["selector"]).with_context(|| format!("{id} selects no pods"))?;
        for port in list(service, "/spec/ports") {
            let target = text(port, "/targetPort");
            ensure!(has_port(workload, target), "{id}: no container has a port {target}");
        }
    }
    for monitor in of_kind(objects, "ServiceMonitor") {
        let id = identity(monitor);
        let selector = &monitor["spec"]["selector"]["matchLabels"];
        let port = text(monitor, "/spec/endpoints/0/port");
        let service = of_kind(objects, "Service").find(|s| {
            contains(&s["metadata"]["labels"], selector)
                && list(s, "/spec/ports").any(|p| text(p, "/name") == port)
        });
        ensure!(service.is_some(), "{id} selects no Service with a port {port}");
    }
    for monitor in of_kind(objects, "PodMonitor") {
        let id = identity(monitor);
        let workload = found(&monitor["spec"]["selector"]["matchLabels"]);
        let port = text(monitor, "/spec/podMetricsEndpoints/0/port");
        ensure!(workload.is_some_and(|w| has_port(w, port)), "{id} selects no pods with a port {port}");
    }
    for (kind, pointer) in [
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
    ] {
        for object in of_kind(objects, kind) {
            let selector = object.pointer(pointer).unwrap_or(&Value::Null);
            ensure!(found(selector).is_some(), "{} selects no pods", identity(object));
        }
    }
    for hook in of_kind(objects, "ValidatingWebhookConfiguration") {
        let service = text(hook, "/webhooks/0/clientConfig/service/name");
        let there = of_kind(objects, "Service").any(|s| text(s, "/metadata/name") == service);
        ensure!(service.is_empty() || there, "{} names no Service of the release", identity(hook));
        ensure!(
            hook.pointer("/webhooks/0/clientConfig/caBundle").is_none(),
            "the operator makes the certificate"
        );
    }
    Ok(())
}

fn bindings(objects: &[Value]) -> Result<()> {
    for (binding, role) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
        for b in of_kind(objects, binding) {
            let there = of_kind(objects, role).any(|r| {
                r["metadata"]["name"] == b["roleRef"]["name"]
                    && r["metadata"]["namespace"] == b["metadata"]["namespace"]
                    && text(b, "/roleRef/kind") == role
            });
            ensure!(there, "{} binds no role of the release", identity(b));
            for subject in list(b, "/subjects") {
                let account = of_kind(objects, "ServiceAccount").any(|a| {
                    a["metadata"]["name"] == subject["name"]
                        && a["metadata"]["namespace"] == subject["namespace"]
                });
                ensure!(account, "{} is bound to nobody", identity(b));
            }
        }
    }
    Ok(())
}

/// What containers may do; how AppArmor is told differs with the version.
fn profiles(what: &str, objects: &[Value]) -> Result<()> {
    let old = what.contains("=1.24") || what.contains("=1.29");
    for agent in of_kind(objects, "DaemonSet") {
        let containers: BTreeMap<&str, &Value> =
            list(agent, "/spec/template/spec/containers").map(|c| (text(c, "/name"), c)).collect();
        let context =
            &containers.get("tetragon").context("there is no container tetragon")?["securityContext"];
        let annotation =
            "/spec/template/metadata/annotations/container.apparmor.security.beta.kubernetes.io~1tetragon";
        let field = context["appArmorProfile"]["type"] == "Unconfined";
        let annotated = text(agent, annotation) == "unconfined";
        if context["privileged"] == true {
            ensure!(context.as_object().is_some_and(|c| c.len() <= 2), "privileged, and more: {context}");
            ensure!(!field && !annotated, "a privileged container has no profile");
        } else {
            ensure!(context["capabilities"]["drop"][0] == "ALL", "the agent keeps capabilities: {context}");
            ensure!(field != old && annotated == old, "AppArmor is not told as this version wants it");
        }
    }
    for operator in of_kind(objects, "Deployment") {
        let context =
            operator.pointer("/spec/template/spec/containers/0/securityContext").unwrap_or(&Value::Null);
        ensure!(
            context["runAsNonRoot"] == true
                && context["readOnlyRootFilesystem"] == true
                && context["capabilities"]["drop"][0] == "ALL",
            "the operator may do more than it needs: {context}"
        );
        ensure!(!operator.to_string().contains("hostPath"), "the operator sees the node's files");
    }
    Ok(())
}

/// What tells the agents that it is the end: one object, made before anything is deleted, gone afterwards.
pub(super) fn uninstall_is_told(chart: &Chart) -> Result<()> {
    let hooks = |options: &[&str]| -> Result<Vec<Value>> {
        let mut all = documents(&chart.template(NAMESPACE, options)?)?;
        all.retain(|object| hook(object).is_some());
        Ok(all)
    };
    let all = hooks(&[])?;
    let times: BTreeSet<_> = all.iter().filter_map(hook).collect();
    let names: BTreeSet<_> = all.iter().map(identity).collect();
    ensure!(times == BTreeSet::from(["pre-delete", "post-delete"]) && names.len() == 1, "{all:?}");
    for object in &all {
        let policy = text(object, "/metadata/annotations/helm.sh~1hook-delete-policy");
        let last = hook(object) == Some("post-delete");
        ensure!(
            policy.contains("before-hook-creation") && policy.contains("hook-succeeded") == last,
            "{object}"
        );
        ensure!(text(object, "/metadata/labels/tetragon-rs.dev~1object") == "uninstall", "{object}");
    }
    ensure!(hooks(&["--set=tetragon.enableKeepSensorsOnExit=false"])?.is_empty(), "nothing is kept");
    ensure!(
        hooks(&["--set=tetragon.enableK8sAPI=false,tetragon.exportDenyList="])?.is_empty(),
        "nobody would see it"
    );
    Ok(())
}

pub(super) fn least_privilege(chart: &Chart) -> Result<()> {
    for (what, objects) in chart.all()? {
        for role in objects.iter().filter(|o| ["ClusterRole", "Role"].contains(&kind(o))) {
            for rule in list(role, "/rules") {
                rule_is_narrow(rule).with_context(|| format!("{what}: {}: {rule}", identity(role)))?;
            }
        }
    }
    let objects = chart.objects(&[])?;
    may_write(&objects, "tetragon", AGENT_WRITES)?;
    may_write(&objects, "tetragon-operator", OPERATOR_WRITES)?;
    let objects = chart.objects(&["--set=tetragonOperator.podInfo.enabled=true"])?;
    let mut expected = [OPERATOR_WRITES, &[POD_INFO_WRITES]].concat();
    expected.sort_unstable();
    may_write(&objects, "tetragon-operator", &expected)
}

/// What the roles of a component allow, without reading.
fn may_write(objects: &[Value], component: &str, expected: &[&str]) -> Result<()> {
    let roles = objects.iter().filter(|o| ["ClusterRole", "Role"].contains(&kind(o)));
    let of_component = roles.filter(|r| text(r, "/metadata/labels/app.kubernetes.io~1name") == component);
    let mut writes: Vec<String> = of_component.flat_map(|r| list(r, "/rules")).flat_map(writes_of).collect();
    writes.sort();
    ensure!(
        writes == expected,
        "{component} may write\n{}\nand not\n{}",
        writes.join("\n"),
        expected.join("\n")
    );
    Ok(())
}

fn words<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn rule_is_narrow(rule: &Value) -> Result<()> {
    for field in ["apiGroups", "resources", "verbs", "nonResourceURLs", "resourceNames"] {
        ensure!(words(rule, field).iter().all(|w| !w.contains('*')), "{field} is everything");
    }
    let verbs = words(rule, "verbs");
    for verb in ["escalate", "bind", "impersonate", "deletecollection"] {
        ensure!(!verbs.contains(&verb), "it may {verb}");
    }
    let secrets = words(rule, "resources").contains(&"secrets");
    let named = !words(rule, "resourceNames").is_empty();
    // A request that makes an object has no name yet.
    ensure!(!secrets || named || verbs == ["create"], "every Secret of the namespace");
    Ok(())
}

/// `group/resource[names] verbs`, without reading.
fn writes_of(rule: &Value) -> Vec<String> {
    let mut verbs: Vec<&str> =
        words(rule, "verbs").into_iter().filter(|v| !["get", "list", "watch"].contains(v)).collect();
    if verbs.is_empty() {
        return Vec::new();
    }
    verbs.sort_unstable();
    let names = words(rule, "resourceNames").join(",");
    let names = if names.is_empty() { names } else { format!("[{names}]") };
    let groups = words(rule, "apiGroups");
    let resources = words(rule, "resources");
    let pairs = groups.iter().flat_map(|g| resources.iter().map(move |r| format!("{g}/{r}")));
    pairs.map(|pair| format!("{pair}{names} {}", verbs.join(","))).collect()
}

/// Every key is a flag that the program describes: not one that it merely accepts.
pub(super) fn keys_are_flags(chart: &Chart) -> Result<()> {
    run(&mut workspace(["build", "--quiet", "--bin", "tetragon", "--bin", "tetragon-operator"]))?;
    let folder = root().join("target").join(TARGET).join("debug");
    let agent = flags(&output(&mut command(folder.join("tetragon"), ["--help"]))?);
    let operator = flags(&output(&mut command(folder.join("tetragon-operator"), ["serve", "--help"]))?);
    let mut wrong = BTreeSet::new();
    for (_, objects) in chart.all()? {
        for map in of_kind(objects, "ConfigMap") {
            let component = text(map, "/metadata/labels/app.kubernetes.io~1component");
            let known = if component == "operator" { &operator } else { &agent };
            let keys = map["data"].as_object().context("a ConfigMap without data")?.keys();
            wrong.extend(keys.filter(|k| !known.contains(*k)).map(|k| format!("{component}: {k}")));
        }
    }
    let wrong: Vec<String> = wrong.into_iter().collect();
    ensure!(wrong.is_empty(), "these keys are no flags:\n{}", wrong.join("\n"));
    Ok(())
}

fn flags(help: &str) -> BTreeSet<String> {
    let line = |l: &str| {
        let rest = &l[l.find("--")? + 2..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        Some(rest[..end].to_owned())
    };
    help.lines().map(str::trim_start).filter(|l| l.starts_with('-')).filter_map(line).collect()
}
