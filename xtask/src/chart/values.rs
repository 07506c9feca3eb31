//! Values: what is accepted does something, and what is refused is refused with its path and a reason.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::helm::{Chart, NAMESPACE, name};

/// Another value for those whose pattern leaves no choice to a rule.
const OTHERS: &[(&str, &str)] = &[
    ("export.elasticsearch.index", "other"),
    ("export.elasticsearch.url", "http://other.example:1"),
    ("tetragon.cri.socketHostPath", "/run/crio/crio.sock"),
    ("tetragon.exportAllowList", r#"{"event_set":["PROCESS_EXIT"]}"#),
    ("tetragon.exportDenyList", r#"{"event_set":["PROCESS_EXIT"]}"#),
    ("tetragon.exportFilePerm", "644"),
    ("tetragon.grpc.address", "localhost:1"),
    ("tetragon.grpc.tls.auto.method", "helm"),
    ("tetragon.processAncestors.enabled", "base,lsm"),
    ("tetragon.prometheus.metricsLabelFilter", "binary"),
    ("tetragonOperator.failoverLease.leaseRenewDeadline", "7s"),
    ("tetragonOperator.failoverLease.leaseRetryPeriod", "3s"),
    ("tetragonOperator.webhook.url", "https://other.example/validate"),
];

/// Values that change nothing: `global` is another chart's, how hooks are made is told by the one way that there
/// is, and without `auto` a Secret of one's own must be named, with which nothing is made anyhow.
const OTHERS_BUSINESS: &[&str] = &["global", "rthooks.interface", "tetragon.grpc.tls.auto.enabled"];

/// Values of what Helm makes by chance, no two times alike: [`super::tls`] is about them.
const BY_CHANCE: &[&str] =
    &["tetragon.grpc.tls.ca.cert", "tetragon.grpc.tls.ca.certValidityDuration", "tetragon.grpc.tls.ca.key"];

/// A leaf of the values' schema.
struct Leaf {
    path: String,
    /// Another value than any that the combinations have.
    other: Value,
}

/// All leaves of the schema, without those that are not supported.
fn leaves(chart: &Chart) -> Result<Vec<Leaf>> {
    let text = std::fs::read_to_string(chart.path("values.schema.json"))?;
    let schema: Value = serde_json::from_str(&text).context("values.schema.json")?;
    let unsupported: Vec<String> = unsupported_leaves(chart)?.into_iter().map(|(path, _)| path).collect();
    let mut all = Vec::new();
    collect(&schema, "", &mut |path, schema| {
        if ![OTHERS_BUSINESS, BY_CHANCE].concat().contains(&path) && !unsupported.iter().any(|u| *u == path) {
            let other =
                other(path, schema).with_context(|| format!("{path}: no other value is known for {schema}"));
            all.push(other.map(|other| Leaf { path: path.to_owned(), other }));
        }
    });
    all.into_iter().collect()
}

fn collect(schema: &Value, path: &str, leaf: &mut impl FnMut(&str, &Value)) {
    match schema["properties"].as_object() {
        Some(properties) if schema["$ref"].is_null() => {
            for (key, inner) in properties {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(inner, &path, leaf);
            }
        }
        _ => leaf(path, schema),
    }
}

/// A value that differs from the one that is there.
fn other(path: &str, schema: &Value) -> Option<Value> {
    if let Some((_, other)) = OTHERS.iter().find(|(p, _)| *p == path) {
        return Some(json!(other));
    }
    if path == "podLabelsOverride" {
        return Some(json!({"app.kubernetes.io/name": "tetragon", "other": "value"}));
    }
    if let Some(name) = schema["$ref"].as_str() {
        return Some(match name.rsplit('/').next()? {
            "strings" => json!({"other": "value"}),
            "object" => json!({"type": "OnDelete"}),
            "objects" => json!([{"name": "other"}]),
            "words" => json!(["other"]),
            "path" => json!("/other"),
            "port" => json!(4321),
            "duration" => json!("7m"),
            "size" => json!("7M"),
            "resources" => json!({"limits": {"cpu": "7"}}),
            "securityContext" => json!({"runAsUser": 7}),
            _ => return None,
        });
    }
    if let Some(values) = schema["enum"].as_array() {
        // The default comes first.
        return values.last().cloned();
    }
    Some(match (&schema["type"], &schema["items"]) {
        (Value::String(kind), items) => match (kind.as_str(), items) {
            // Which of the two differs is known by trying both.
            ("boolean", _) => Value::Null,
            ("integer", _) => json!(schema["minimum"].as_i64().unwrap_or_default() + 7),
            ("number", _) => json!(7.5),
            ("string", _) if schema["pattern"].is_null() || path.ends_with("Filename") => json!("other"),
            ("array", items) if items["$ref"].is_string() => json!([4321]),
            ("array", items) if items["properties"]["mountPath"].is_object() => {
                json!([{"name": "other", "mountPath": "/other"}])
            }
            ("array", _) => json!(["other"]),
            ("object", _) => json!({"other": "value"}),
            _ => return None,
        },
        (Value::Array(_), _) => json!("other"),
        _ => return None,
    })
}

/// Sets each value to another one, over every combination until something of what is rendered differs.
pub(super) fn do_something(chart: &Chart) -> Result<()> {
    let mut bases = vec![Vec::new()];
    bases.extend(chart.combinations.iter().map(|f| vec![format!("--values={}", f.display())]));
    let before: Vec<String> = bases.iter().map(|base| render(chart, base, None)).collect::<Result<_>>()?;
    let mut idle = Vec::new();
    let leaves = leaves(chart)?;
    for leaf in &leaves {
        let tried = match &leaf.other {
            Value::Null => vec![json!(true), json!(false)],
            other => vec![other.clone()],
        };
        let differs = bases.iter().zip(&before).any(|(base, before)| {
            tried.iter().any(|value| {
                let set = format!("{}={value}", leaf.path);
                // Where it contradicts another value of the combination, the next one may do.
                render(chart, base, Some(&set)).is_ok_and(|after| after != *before)
            })
        });
        if !differs {
            idle.push(format!("{} = {}", leaf.path, leaf.other));
        }
    }
    ensure!(leaves.len() > 150, "only {} values were found", leaves.len());
    ensure!(idle.is_empty(), "these values change nothing, whatever else is set:\n{}", idle.join("\n"));
    Ok(())
}

fn render(chart: &Chart, base: &[String], set: Option<&str>) -> Result<String> {
    let mut options: Vec<&str> = base.iter().map(String::as_str).collect();
    if let Some(set) = set {
        options.extend(["--set-json", set]);
    }
    chart.template(NAMESPACE, &options)
}

/// Typos and wrong types, and what must stand in the message.
const TYPOS: &[(&str, &[&str])] = &[
    ("tetragon.enableProcesCred=true", &["'/tetragon'", "'enableProcesCred' not allowed"]),
    ("tetragon.exportFileMaxSizeMB=\"10MB\"", &["'/tetragon/exportFileMaxSizeMB'", "want integer"]),
    ("tetragon.grpc.adress=\"localhost:1\"", &["'/tetragon/grpc'", "'adress' not allowed"]),
    ("tetragon.grpc.address=\"localhost\"", &["'/tetragon/grpc/address'", "pattern"]),
    ("tetragon.processAncestors.enabled=\"base,kprobes\"", &["'/tetragon/processAncestors/enabled'"]),
    ("tetragon.prometheus.metricsLabelFilter=\"pods\"", &["'/tetragon/prometheus/metricsLabelFilter'"]),
    (
        "tetragon.prometheus.prometheusRule.rules.sigkil.enabled=true",
        &["'/tetragon/prometheus/prometheusRule/rules'"],
    ),
    ("tetragon.prometheus.port=0", &["'/tetragon/prometheus/port'", "minimum"]),
    (
        "tetragon.securityContext.priviledged=true",
        &["'/tetragon/securityContext'", "'priviledged' not allowed"],
    ),
    ("tetragonOperator.replica=2", &["'/tetragonOperator'", "'replica' not allowed"]),
    (
        "tetragonOperator.failoverLease.leaseDuration=\"15\"",
        &["'/tetragonOperator/failoverLease/leaseDuration'"],
    ),
    (
        "tetragonOperator.webhook.failurePolicy=\"ignore\"",
        &["'/tetragonOperator/webhook/failurePolicy'", "Ignore"],
    ),
    ("tetragonOperator.webhook.url=\"http://10.0.0.1\"", &["'/tetragonOperator/webhook/url'"]),
    ("tetragonOperator.webhook.url=\"https://10.0.0.1/validate?a=b\"", &["'/tetragonOperator/webhook/url'"]),
    ("export.stdout.enableCommand=false", &["'/export/stdout'", "'enableCommand' not allowed"]),
    ("export.mode=\"file\"", &["'/export/mode'"]),
    ("export.elasticsearch.URL=\"http://x\"", &["'/export/elasticsearch'", "'URL' not allowed"]),
    ("export.elasticsearch.url=\"https://user:secret@host\"", &["'/export/elasticsearch/url'"]),
    ("crds.installMethod=\"Helm\"", &["'/crds/installMethod'", "operator"]),
    ("rthooks.enable=true", &["'/rthooks'", "'enable' not allowed"]),
    ("podLabels={\"replicas\": 1}", &["'/podLabels/replicas'", "want string"]),
    ("colour=\"red\"", &["'colour' not allowed"]),
];

pub(super) fn typos_are_refused(chart: &Chart) -> Result<()> {
    refused(chart, TYPOS)
}

/// Values that are right alone and not together.
const CONTRADICTIONS: &[(&str, &[&str])] = &[
    (
        "tetragonOperator={\"replicas\": 2, \"failoverLease\": {\"enabled\": false}}",
        &["failoverLease.enabled", "2 replicas"],
    ),
    (
        "tetragonOperator={\"replicas\": 2, \"hostNetwork\": true, \"affinity\": null}",
        &["hostNetwork", "affinity"],
    ),
    (
        "tetragon.prometheus={\"enabled\": false, \"serviceMonitor\": {\"enabled\": true}}",
        &["serviceMonitor.enabled: there are no metrics"],
    ),
    (
        "tetragon.prometheus={\"podMonitor\": {\"enabled\": true}, \"serviceMonitor\": {\"enabled\": true}}",
        &["read twice"],
    ),
    (
        "tetragon.prometheus={\"metricsLabelFilter\": \"pod\", \"prometheusRule\": {\"enabled\": true}}",
        &["newBinaries", "`binary`"],
    ),
    (
        "tetragonOperator.prometheus={\"enabled\": false, \"serviceMonitor\": {\"enabled\": true}}",
        &["there are no metrics"],
    ),
    (
        "tetragon.image.repository=\"quay.io/cilium/tetragon\"",
        &["tetragon.image: quay.io/cilium/tetragon is Tetragon's program"],
    ),
    (
        "tetragonOperator.image.override=\"mirror.example/cilium/tetragon-operator:v1.7.0\"",
        &["tetragonOperator.image"],
    ),
    ("tetragon.enableK8sAPI=false", &["tetragon.exportDenyList: \"namespace\" needs tetragon.enableK8sAPI"]),
    ("rthooks.enabled=true", &["rthooks.interface: \"\"", "nri-hook"]),
    (
        "rthooks={\"enabled\": true, \"interface\": \"oci-hooks\"}",
        &["rthooks.interface: \"oci-hooks\"", "installs no OCI hook"],
    ),
    ("tetragon.cri.enabled=true", &["tetragon.cri.socketHostPath: it is missing"]),
    (
        "tetragon={\"enableK8sAPI\": false, \"cri\": {\"enabled\": true}}",
        &["tetragon.cri.enabled: it needs tetragon.enableK8sAPI"],
    ),
    (
        "tetragon.grpc={\"tls\": {\"enabled\": true}}",
        &["tetragon.grpc.tls.enabled: TLS is for HOST:PORT", "unix:///var/run/tetragon/tetragon.sock"],
    ),
    ("tetragon.grpc.tls.requireClientCert=true", &["requireClientCert: it has no effect without"]),
    (
        "tetragon.grpc={\"address\": \":1\", \"tls\": {\"enabled\": true, \"auto\": {\"enabled\": false}}}",
        &["existingSecret: it is missing"],
    ),
    (
        "tetragon.grpc={\"address\": \":1\", \"tls\": {\"enabled\": true, \"auto\": {\"method\": \"certmanager\"}}}",
        &["certManagerIssuerRef: it is missing"],
    ),
    ("tetragon.grpc.tls.auto.method=\"cronJob\"", &["cronJob is not supported"]),
    ("tetragon.grpc.tls.ca.cert=\"eA==\"", &["cert and key belong together"]),
    ("tetragon.livenessProbe={\"grpc\": {\"port\": 54321}}", &["over HTTP", "httpGet"]),
    ("podLabelsOverride={\"app\": \"mine\"}", &["app.kubernetes.io/name: tetragon"]),
    (
        "tetragonOperator.podSecurityContext={\"capabilities\": {\"add\": [\"SYS_ADMIN\"]}}",
        &["is a container's; right would be tetragonOperator.containerSecurityContext"],
    ),
    ("export.stdout.enabledCommand=false", &["export.stdout.enabledCommand", "second agent"]),
    ("export.stdout.enabledArgs=false", &["export.stdout.enabledArgs", "no file to print"]),
    ("export.stdout.image.tag=\"v2\"", &["export.stdout.image.tag: \"v2\"", "tetragon.image.tag"]),
    (
        "export.filenames=[\"other.log\"]",
        &["export.filenames: [\"other.log\"] has not the file that the agent writes, \"tetragon.log\""],
    ),
    ("tetragon.exportFilename=\"\"", &["export.mode: stdout prints a file"]),
    ("tetragon.exportFilePerm=416", &["tetragon.exportFilePerm: 416", "\"640\", in quotes"]),
    ("tetragon.exportFilePerm=689", &["tetragon.exportFilePerm: 689 is no mode in octal"]),
    (
        "tetragon.processAncestors.enabled=\"kprobe\"",
        &["tetragon.processAncestors.enabled: \"kprobe\" needs base"],
    ),
    ("tetragon.grpc.address=\"unix:///tmp/t.sock\"", &["tetragon.grpc.address: /tmp/t.sock", "read-only"]),
    (
        "tetragonOperator.failoverLease={\"leaseDuration\": \"5s\"}",
        &["leaseDuration: 5s must be longer than leaseRenewDeadline, 5s"],
    ),
    (
        "tetragonOperator.failoverLease={\"leaseRetryPeriod\": \"10s\"}",
        &["leaseRetryPeriod: 10s must be above zero and shorter than leaseRenewDeadline, 5s"],
    ),
    (
        "tetragonOperator.failoverLease={\"leaseDuration\": \"1m\", \"leaseRenewDeadline\": \"1m0.5s\"}",
        &["leaseDuration: 1m must be longer than leaseRenewDeadline, 1m0.5s"],
    ),
    (
        "tetragonOperator.failoverLease={\"leaseDuration\": \"900ms\", \"leaseRenewDeadline\": \"500ms\", \"leaseRetryPeriod\": \"0s\"}",
        &["leaseDuration: 900ms: a Lease counts in seconds", "leaseRetryPeriod: 0s must be above zero"],
    ),
    (
        "tetragon={\"prometheus\": {\"port\": 6789}, \"grpc\": {\"address\": \"localhost:6789\"}}",
        &[
            "tetragon.healthGrpc.port: 6789 is the port of tetragon.prometheus.port too",
            "tetragon.grpc.address: 6789 is the port of tetragon.healthGrpc.port too",
        ],
    ),
    (
        "tetragonOperator={\"hostNetwork\": true, \"prometheus\": {\"port\": 2112}, \"webhook\": {\"port\": 8081}}",
        &[
            "tetragonOperator.prometheus.port: 2112 is the port of tetragon.prometheus.port too",
            "tetragonOperator.webhook.port: 8081 is the port of the operator's health too",
        ],
    ),
    ("export.elasticsearch.enabled=true", &["export.elasticsearch.url: it is missing"]),
    (
        "export.elasticsearch={\"enabled\": true, \"url\": \"https://es.logging.svc:9200\"}",
        &["dnsPolicy: ClusterFirstWithHostNet"],
    ),
    (
        "export.elasticsearch={\"enabled\": true, \"url\": \"http://h\", \"existingSecret\": \"s\", \"secretKeys\": {\"apiKey\": \"k\"}}",
        &["username and password, or apiKey"],
    ),
];

pub(super) fn contradictions_are_refused(chart: &Chart) -> Result<()> {
    refused(chart, CONTRADICTIONS)
}

fn refused(chart: &Chart, table: &[(&str, &[&str])]) -> Result<()> {
    let mut wrong = Vec::new();
    for (set, parts) in table {
        match chart.refusal(&["--set-json", set]) {
            Ok(said) if parts.iter().all(|part| said.contains(part)) => {}
            Ok(said) => wrong.push(format!("{set}: {parts:?} are not all in: {said}")),
            Err(accepted) => wrong.push(format!("{accepted:#}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// The leaves below a value, with their paths.
fn walk(path: &str, value: &Value, all: &mut Vec<(String, Value)>) {
    match value.as_object().filter(|o| !o.is_empty()) {
        Some(object) => {
            for (key, inner) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&path, inner, all);
            }
        }
        None => all.push((path.to_owned(), value.clone())),
    }
}

/// What files/unsupported.yaml lists: each leaf with Tetragon's default.
pub(super) fn unsupported_leaves(chart: &Chart) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for group in chart.yaml("files/unsupported.yaml")?.as_array().context("a list")? {
        walk("", &group["values"], &mut all);
    }
    Ok(all)
}

/// The defaults of earlier releases that it lists: a set of leaves for each.
fn earlier_leaves(chart: &Chart) -> Result<Vec<Vec<(String, Value)>>> {
    let mut all = Vec::new();
    for group in chart.yaml("files/unsupported.yaml")?.as_array().context("a list")? {
        for earlier in group["earlier"].as_array().into_iter().flatten() {
            let mut leaves = Vec::new();
            walk("", &earlier["values"], &mut leaves);
            all.push(leaves);
        }
    }
    Ok(all)
}

/// Spelled out, the defaults of Tetragon's releases are accepted and change nothing; any other value is refused,
/// each by name.
pub(super) fn unsupported(chart: &Chart) -> Result<()> {
    let earlier = earlier_leaves(chart)?;
    let mut leaves = unsupported_leaves(chart)?;
    let (mut defaults, mut others) = (Vec::new(), Vec::new());
    // Both values of a switch may be the default of some release.
    leaves.retain(|(path, default)| {
        !earlier.iter().flatten().any(|(p, e)| p == path && default.is_boolean() && e.is_boolean())
    });
    for (path, default) in &leaves {
        let other = match default {
            Value::Bool(b) => json!(!b),
            Value::Number(n) => json!(n.as_i64().unwrap_or_default() + 1),
            Value::String(_) if path.ends_with("Interval") => json!("7m"),
            Value::String(_) if path.ends_with("pullPolicy") => json!("Always"),
            Value::String(_) | Value::Null => json!("other"),
            Value::Array(_) if path.ends_with("Mounts") || path.ends_with("tolerations") => {
                json!([{"name": "other"}])
            }
            Value::Array(_) => json!(["other"]),
            Value::Object(_) if path.ends_with("esources") => json!({"limits": {"cpu": "7"}}),
            Value::Object(_) => json!({"other": "value"}),
        };
        defaults.extend(["--set-json".to_owned(), format!("{path}={default}")]);
        others.extend(["--set-json".to_owned(), format!("{path}={other}")]);
    }
    let plain = chart.template(NAMESPACE, &[])?;
    let defaults: Vec<&str> = defaults.iter().map(String::as_str).collect();
    ensure!(chart.template(NAMESPACE, &defaults)? == plain, "Tetragon's defaults change something");
    ensure!(earlier.len() > 5, "only {} releases have other defaults", earlier.len());
    for release in &earlier {
        let set: Vec<String> =
            release.iter().map(|(path, value)| format!("--set-json={path}={value}")).collect();
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        ensure!(chart.template(NAMESPACE, &set)? == plain, "{} changes something", set.join(" "));
    }
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let said = chart.refusal(&others)?;
    let silent: Vec<&str> = leaves
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|p| !said.contains(&format!("\n{p}: ")))
        .collect();
    ensure!(
        silent.is_empty(),
        "other values of these are not refused by name: {}\n{said}",
        silent.join(", ")
    );
    ensure!(leaves.len() > 50, "only {} values are listed", leaves.len());
    for file in &chart.combinations {
        // What people wrote for Tetragon goes through the same checks.
        let values = format!("--values={}", file.display());
        let said = chart.refusal(&[&values, "--set=tetragon.usePerfRingBuffer=true"]);
        ensure!(said.is_ok_and(|s| s.contains("usePerfRingBuffer")), "{}: not refused", name(file));
    }
    Ok(())
}
