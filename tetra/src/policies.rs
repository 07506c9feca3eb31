//! Commands that ask the agent about its policies, its health and its version, change policies, and call it
//! as a container runtime's hook does.

use std::io;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use tetragon_api::event::{
    AddTracingPolicyRequest, ConfigureTracingPolicyRequest, CreateContainer as Created,
    DeleteTracingPolicyRequest, GetHealthStatusRequest, GetVersionRequest, HookStatus, ListDomainsRequest,
    ListTracingPoliciesRequest, RuntimeHookRequest, TracingPolicyMode, TracingPolicyState,
    TracingPolicyStatus, runtime_hook_request,
};

use crate::cli::{CreateContainer, Generate, Globals, Mode, Output, Target, Tracingpolicy};
use crate::client::call;
use crate::terminal::print;
use crate::{mode, table};

/// What `tracingpolicy generate empty` prints.
const EMPTY_POLICY: &str = "\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: empty
spec: {}
";

/// `tetra rthooks create-container`.
pub(crate) fn create_container(globals: &Globals, options: CreateContainer) -> anyhow::Result<()> {
    let CreateContainer { container_id: cgroups_path, root_dir, annotations } = options;
    let annotations = annotations.into_iter().collect();
    let container = Created { cgroups_path, root_dir, annotations, ..Created::default() };
    let request = RuntimeHookRequest { event: Some(runtime_hook_request::Event::CreateContainer(container)) };
    call(globals, "trigger create-container hook", async |mut c| c.runtime_hook(request).await)?;
    Ok(())
}

/// `tetra tracingpolicy`.
pub(crate) fn run(globals: &Globals, command: Tracingpolicy) -> anyhow::Result<()> {
    match command {
        Tracingpolicy::List { output, domain } => list(globals, output, domain),
        Tracingpolicy::Domains { output } => domains(globals, output),
        Tracingpolicy::Add { yaml_file, mode, domain } => {
            let yaml = with_mode(&yaml_file, mode)?;
            let request = AddTracingPolicyRequest { yaml, domain };
            call(globals, "add tracing policy", async |mut c| c.add_tracing_policy(request).await)?;
            say(&format!("tracing policy {:?} added", yaml_file.display().to_string()))
        }
        Tracingpolicy::Delete(Target { name, namespace, domain }) => {
            let done = format!("tracing policy {name:?} deleted");
            let request = DeleteTracingPolicyRequest { name, namespace, domain };
            call(globals, "delete tracing policy", async |mut c| c.delete_tracing_policy(request).await)?;
            say(&done)
        }
        Tracingpolicy::Enable(target) => enable(globals, target, true),
        Tracingpolicy::Disable(target) => enable(globals, target, false),
        Tracingpolicy::SetMode { name, mode, namespace, domain } => {
            let what = format!("set mode of tracing policy {name:?} to {:?}", mode.name());
            let done = format!("tracing policy {name:?} set to mode {:?}", mode.name());
            let mode = match mode {
                Mode::Enforce => TracingPolicyMode::TpModeEnforce,
                Mode::Monitor => TracingPolicyMode::TpModeMonitor,
            };
            let request = ConfigureTracingPolicyRequest {
                name,
                namespace,
                domain,
                mode: Some(mode.into()),
                enable: None,
            };
            call(globals, &what, async |mut c| c.configure_tracing_policy(request).await)?;
            say(&done)
        }
        Tracingpolicy::Modify { yaml_file, mode } => print(&with_mode(&yaml_file, mode)?),
        Tracingpolicy::Generate { what: Generate::Empty } => print(EMPTY_POLICY),
    }
}

/// `tetra status`.
pub(crate) fn status(globals: &Globals) -> anyhow::Result<()> {
    let request = GetHealthStatusRequest::default();
    let answer = call(globals, "get health status", async |mut c| c.get_health(request).await)?;
    match answer.health_status.first() {
        Some(status) => say(&format!("Health Status: {}", status.details)),
        None => say("Health Status: no status available"),
    }
}

/// The agent's version.
pub(crate) fn server_version(globals: &Globals) -> anyhow::Result<String> {
    let request = GetVersionRequest::default();
    let answer = call(globals, "retrieve server version", async |mut c| c.get_version(request).await)?;
    Ok(answer.version)
}

fn enable(globals: &Globals, target: Target, enable: bool) -> anyhow::Result<()> {
    let verb = if enable { "enable" } else { "disable" };
    let Target { name, namespace, domain } = target;
    let done = format!("tracing policy {name:?} {verb}d");
    let request = ConfigureTracingPolicyRequest { name, namespace, domain, enable: Some(enable), mode: None };
    let what = format!("{verb} tracing policy");
    call(globals, &what, async |mut c| c.configure_tracing_policy(request).await)?;
    say(&done)
}

fn list(globals: &Globals, output: Output, domain: String) -> anyhow::Result<()> {
    let request = ListTracingPoliciesRequest { domain };
    let answer =
        call(globals, "list tracing policies", async |mut c| c.list_tracing_policies(request).await)?;
    match output {
        Output::Json => json(&answer),
        Output::Text => print(&policy_table(&answer.policies)),
    }
}

fn domains(globals: &Globals, output: Output) -> anyhow::Result<()> {
    let request = ListDomainsRequest::default();
    let answer = call(globals, "list domains", async |mut c| c.list_domains(request).await)?;
    match output {
        Output::Json => json(&answer),
        Output::Text => say(&format!("[{}]", answer.domains.join(" "))),
    }
}

/// The policies as a table, with the hooks of a partially enabled policy below it.
fn policy_table(policies: &[TracingPolicyStatus]) -> String {
    let header = [
        "ID",
        "NAME",
        "DOMAIN",
        "STATE",
        "FILTERID",
        "NAMESPACE",
        "SENSORS",
        "KERNELMEMORY",
        "MODE",
        "NPOST",
        "NENFORCE",
        "NMONITOR",
    ];
    let rows: Vec<_> =
        std::iter::once(header.map(str::to_owned)).chain(policies.iter().map(policy_row)).collect();
    let lines = table::lines(&rows);
    // The hooks stand below the second column.
    let indent = lines[0].find("NAME").unwrap_or(0);
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        out.push_str(line);
        out.push('\n');
        let policy = index.checked_sub(1).map(|i| &policies[i]);
        if let Some(policy) = policy.filter(|p| p.state() == TracingPolicyState::TpStatePartiallyEnabled) {
            for hook in hook_table(&policy.hook_statuses) {
                out.push_str(&format!("{:indent$}{hook}\n", ""));
            }
        }
    }
    out
}

fn policy_row(policy: &TracingPolicyStatus) -> [String; 12] {
    let counters = policy.stats.as_ref().and_then(|s| s.action_counters).unwrap_or_default();
    let enforced = [counters.signal, counters.r#override, counters.notify_enforcer, counters.set];
    let monitored = [
        counters.monitor_signal,
        counters.monitor_override,
        counters.monitor_notify_enforcer,
        counters.monitor_set,
    ];
    let sum = |list: [u64; 4]| list.iter().fold(0u64, |sum, n| sum.saturating_add(*n)).to_string();
    let namespace = if policy.namespace.is_empty() { "(global)" } else { policy.namespace.as_str() };
    [
        policy.id.to_string(),
        policy.name.clone(),
        policy.domain.clone(),
        lower(policy.state().as_str_name(), "TP_STATE_"),
        policy.filter_id.to_string(),
        namespace.to_owned(),
        policy.sensors.join(","),
        table::bytes(policy.kernel_memory_bytes),
        lower(policy.mode().as_str_name(), "TP_MODE_"),
        counters.post.to_string(),
        sum(enforced),
        sum(monitored),
    ]
}

fn hook_table(hooks: &[HookStatus]) -> Vec<String> {
    if hooks.is_empty() {
        return Vec::new();
    }
    let header = ["SECTION", "CFGIDX", "DESCRIPTION", "STATUS"].map(str::to_owned);
    let row = |hook: &HookStatus| {
        let state = lower(hook.state().as_str_name(), "STATUS_");
        [hook.section.clone(), hook.hook_idx.to_string(), hook.hook_description.clone(), state]
    };
    table::lines(&std::iter::once(header).chain(hooks.iter().map(row)).collect::<Vec<_>>())
}

/// `TP_STATE_LOAD_ERROR` as `load_error`.
fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// The text of a policy file, with its mode changed if one is given.
fn with_mode(file: &Path, mode: Option<Mode>) -> anyhow::Result<String> {
    let text = read(file)?;
    match mode {
        None => Ok(text),
        Some(mode) => mode::set(&text, mode.name())
            .with_context(|| format!("failed to apply mode {:?} to {}", mode.name(), file.display())),
    }
}

/// The text of a file, or of stdin for `-`.
fn read(file: &Path) -> anyhow::Result<String> {
    let text =
        if file == Path::new("-") { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(file) };
    text.with_context(|| format!("failed to read {}", file.display()))
}

fn say(line: &str) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}

fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policies(value: serde_json::Value) -> Vec<TracingPolicyStatus> {
        serde_json::from_value(value).expect("policies")
    }

    #[test]
    fn the_table_is_tetragons() {
        let list = policies(json!([{
            "id": "2", "name": "trace-bash-readline", "domain": "static", "state": "TP_STATE_ENABLED",
            "sensors": ["generic_uprobe"], "kernel_memory_bytes": "2400000", "mode": "TP_MODE_MONITOR_ONLY",
            "stats": {"action_counters": {"post": "5"}},
        }]));
        assert_eq!(
            policy_table(&list),
            "ID   NAME                  DOMAIN   STATE     FILTERID   NAMESPACE   SENSORS          KERNELMEMORY   MODE           NPOST   NENFORCE   NMONITOR\n\
             2    trace-bash-readline   static   enabled   0          (global)    generic_uprobe   2.40 MB        monitor_only   5       0          0\n"
        );
    }

    #[test]
    fn counters_add_up_and_unknown_states_have_a_name() {
        let list = policies(json!([{
            "name": "p", "namespace": "ns", "state": 77, "mode": "TP_MODE_ENFORCE", "sensors": ["a", "b"],
            "stats": {"action_counters": {
                "post": "1", "signal": "2", "override": "3", "notify_enforcer": "4", "set": "5",
                "monitor_signal": "6", "monitor_override": "7", "monitor_notify_enforcer": "8", "monitor_set": "9"}},
        }]));
        let wanted = ["0", "p", "", "unknown", "0", "ns", "a,b", "0 B", "enforce", "1", "14", "30"];
        assert_eq!(policy_row(&list[0]), wanted);
    }

    #[test]
    fn the_hooks_of_a_partial_policy_stand_below_it() {
        let list = policies(json!([
            {"id": "1", "name": "p", "state": "TP_STATE_PARTIALLY_ENABLED", "hook_statuses": [
                {"section": "kprobes", "hook_idx": 1, "hook_description": "sys_x", "state": "STATUS_CALL_NOT_FOUND"}]},
            {"id": "2", "name": "q", "state": "TP_STATE_ENABLED", "hook_statuses": [{"section": "kprobes"}]},
        ]));
        let table = policy_table(&list);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[2], "     SECTION   CFGIDX   DESCRIPTION   STATUS");
        assert_eq!(lines[3], "     kprobes   1        sys_x         call_not_found");
        assert!(lines[4].starts_with("2    q"), "{table}");
        assert_eq!(lines.len(), 5);
    }
}
