//! An event as a document: its main facts under the names of the Elastic Common Schema (ECS), so that
//! what works on other sources works on it, and below `tetragon` the event as the export writes it.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::json;
use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::json::timestamp;
use tetragon_api::event::kprobe_argument::Arg;
use tetragon_api::event::{
    GetEventsResponse, KprobeAction, KprobeArgument, Pod, Process, RateLimitInfo, Timestamp,
};

use super::counts::Loss;

/// The version of ECS whose names these are.
const ECS_VERSION: &str = "9.0.0";
const MODULE: &str = "tetragon";
const DATASET: &str = "tetragon.events";

/// Characters of a message.
const MESSAGE_MAX: usize = 256;

/// Writes the document of an event. `shown` is the event with the fields that may be exported, `line`
/// the same as JSON; `policy` is whose event it is, whatever fields are exported: losses are counted
/// by it.
pub fn write(
    text: &mut Vec<u8>,
    shown: &GetEventsResponse,
    line: &[u8],
    policy: &str,
    sequence: u64,
) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *text, &Document::new(shown, policy, sequence))?;
    // The line is JSON already: it becomes the last member.
    text.pop();
    text.extend_from_slice(br#","tetragon":"#);
    text.extend_from_slice(line);
    text.push(b'}');
    Ok(())
}

/// The document that says how many events of a policy are missing, and why.
pub fn loss(reason: Loss, policy: &str, events: u64, node: &str, cluster: &str) -> Vec<u8> {
    let now = Timestamp::from(std::time::SystemTime::now());
    let record = GetEventsResponse {
        event: Some(Event::RateLimitInfo(RateLimitInfo { number_of_dropped_process_events: events })),
        node_name: node.to_owned(),
        cluster_name: cluster.to_owned(),
        time: Some(now),
        ..Default::default()
    };
    let mut document = json!({
        "@timestamp": now.to_string(),
        "ecs": {"version": ECS_VERSION},
        "event": {
            "kind": "pipeline_error", "action": "rate_limit_info", "reason": reason.name(),
            "module": MODULE, "dataset": DATASET,
        },
        "host": {"name": node},
        "message": format!("{events} events are missing: {}", reason.name()),
        "tetragon": record,
    });
    if !policy.is_empty() {
        document["rule"] = json!({"name": policy});
    }
    document.to_string().into_bytes()
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp", with = "timestamp")]
    timestamp: Option<Timestamp>,
    ecs: Ecs,
    event: EventFields<'a>,
    message: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Named<'a>>,
    host: Named<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<Orchestrator<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Kubernetes<'a>>,
    #[serde(flatten)]
    objects: Objects<'a>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct EventFields<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    category: Vec<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    types: Vec<&'static str>,
    action: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    module: &'static str,
    dataset: &'static str,
    sequence: u64,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Id {
    id: String,
}

#[derive(Default, Serialize)]
struct ProcessFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    entity_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    executable: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_count: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    command_line: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_vars: Vec<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_directory: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", with = "timestamp")]
    start: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", with = "timestamp")]
    end: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<Thread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Box<ProcessFields<'a>>>,
}

#[derive(Serialize)]
struct Thread {
    id: u32,
}

#[derive(Serialize)]
struct ContainerFields<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Orchestrator<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Resource<'a>>,
}

#[derive(Serialize)]
struct Resource<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    name: &'a str,
}

/// ECS has no names for these; they are those of Elastic's own collectors.
#[derive(Serialize)]
struct Kubernetes<'a> {
    namespace: &'a str,
    node: Named<'a>,
    pod: PodFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Named<'a>>,
}

#[derive(Serialize)]
struct PodFields<'a> {
    name: &'a str,
    uid: &'a str,
}

/// What was touched: the first file and the first connection of the arguments.
#[derive(Default, Serialize)]
struct Objects<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Endpoint>,
}

#[derive(Serialize)]
struct FileFields<'a> {
    path: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Endpoint {
    ip: IpAddr,
    port: u32,
}

/// What events of policies have in common.
#[derive(Default)]
struct Call<'a> {
    /// What was called.
    name: &'a str,
    args: &'a [KprobeArgument],
    action: KprobeAction,
    message: &'a str,
    tags: &'a [String],
}

impl<'a> Document<'a> {
    fn new(event: &'a GetEventsResponse, policy: &'a str, sequence: u64) -> Self {
        let call = call(event);
        let objects = call.as_ref().map(|c| Objects::new(c.args)).unwrap_or_default();
        let process = event.process().map(|p| ProcessFields::new(event, p));
        let pod = event.process().and_then(|p| p.pod.as_ref());
        Document {
            // A data stream refuses what has no time.
            timestamp: event.time.or_else(|| Some(std::time::SystemTime::now().into())),
            ecs: Ecs { version: ECS_VERSION },
            message: message(event, call.as_ref(), &objects),
            tags: call.as_ref().map_or(&[], |c| c.tags),
            rule: named(policy),
            host: Named { name: &event.node_name },
            user: event.process().and_then(user),
            container: event.process().and_then(container),
            orchestrator: orchestrator(&event.cluster_name, pod),
            kubernetes: pod.map(|pod| kubernetes(&event.node_name, pod)),
            event: EventFields::new(event, call.as_ref(), &objects, sequence),
            process,
            objects,
        }
    }
}

impl<'a> EventFields<'a> {
    fn new(
        event: &'a GetEventsResponse,
        call: Option<&Call<'a>>,
        objects: &Objects<'_>,
        sequence: u64,
    ) -> Self {
        let mut category = vec!["process"];
        let mut kind = "event";
        let mut outcome = None;
        let types = match &event.event {
            Some(Event::ProcessExec(_)) => vec!["start"],
            Some(Event::ProcessExit(_)) => vec!["end"],
            Some(Event::RateLimitInfo(_) | Event::ProcessThrottle(_)) => {
                category.clear();
                kind = "pipeline_error";
                vec![]
            }
            _ => vec!["info"],
        };
        if let Some(call) = call {
            category.extend(objects.file.is_some().then_some("file"));
            category.extend(objects.destination.is_some().then_some("network"));
            // A policy that does more than to report has found what should not be.
            if !matches!(call.action, KprobeAction::Unknown | KprobeAction::Post) {
                kind = "alert";
            }
            outcome = (call.action == KprobeAction::Override).then_some("failure");
        }
        EventFields {
            kind,
            category,
            types,
            action: event.event_type().as_str_name().to_lowercase(),
            code: call.map_or("", |c| c.name),
            outcome,
            module: MODULE,
            dataset: DATASET,
            sequence,
        }
    }
}

impl<'a> ProcessFields<'a> {
    fn new(event: &'a GetEventsResponse, process: &'a Process) -> Self {
        let mut fields = Self::of(process);
        fields.parent = event.parent().map(|parent| Box::new(Self::of(parent)));
        if let Some(Event::ProcessExit(exit)) = &event.event {
            fields.end = exit.time;
            // A process that a signal ended has no exit code.
            fields.exit_code = exit.signal.is_empty().then_some(exit.status);
        }
        fields
    }

    fn of(process: &'a Process) -> Self {
        let binary = process.binary.as_str();
        let args: Vec<&str> = if binary.is_empty() {
            Vec::new()
        } else {
            std::iter::once(binary).chain(split(&process.arguments)).collect()
        };
        let command_line = if process.arguments.is_empty() {
            binary.to_owned()
        } else {
            format!("{binary} {}", process.arguments)
        };
        ProcessFields {
            pid: process.pid,
            entity_id: &process.exec_id,
            executable: binary,
            name: base_name(binary),
            args_count: Some(args.len()).filter(|n| *n > 0),
            args,
            command_line,
            env_vars: process
                .environment_variables
                .iter()
                .map(|v| format!("{}={}", v.key, v.value))
                .collect(),
            working_directory: &process.cwd,
            start: process.start_time,
            user: user(process),
            thread: process.tid.map(|id| Thread { id }),
            ..Default::default()
        }
    }
}

impl<'a> Objects<'a> {
    fn new(args: &'a [KprobeArgument]) -> Self {
        let mut objects = Objects::default();
        for arg in args.iter().filter_map(|a| a.arg.as_ref()) {
            let (from, to) = match arg {
                Arg::FileArg(file) => {
                    objects.set_file(&file.path);
                    continue;
                }
                Arg::PathArg(path) => {
                    objects.set_file(&path.path);
                    continue;
                }
                Arg::LinuxBinprmArg(program) => {
                    objects.set_file(&program.path);
                    continue;
                }
                Arg::SockArg(sock) => ((&sock.saddr, sock.sport), (&sock.daddr, sock.dport)),
                Arg::SkbArg(skb) => ((&skb.saddr, skb.sport), (&skb.daddr, skb.dport)),
                _ => continue,
            };
            if objects.destination.is_none() {
                objects.source = endpoint(from);
                objects.destination = endpoint(to);
            }
        }
        objects
    }

    fn set_file(&mut self, path: &'a str) {
        if self.file.is_none() && !path.is_empty() {
            self.file = Some(FileFields { path, name: base_name(path) });
        }
    }
}

/// What is no address would make the server refuse the whole document.
fn endpoint((address, port): (&String, u32)) -> Option<Endpoint> {
    Some(Endpoint { ip: address.parse().ok()?, port })
}

fn call(event: &GetEventsResponse) -> Option<Call<'_>> {
    let (name, args, action, message, tags) = match event.event.as_ref()? {
        Event::ProcessKprobe(e) => (&e.function_name, &e.args, e.action, &e.message, &e.tags),
        Event::ProcessLsm(e) => (&e.function_name, &e.args, e.action, &e.message, &e.tags),
        Event::ProcessTracepoint(e) => (&e.event, &e.args, e.action, &e.message, &e.tags),
        Event::ProcessUprobe(e) => (&e.symbol, &e.args, e.action, &e.message, &e.tags),
        Event::ProcessUsdt(e) => (&e.name, &e.args, e.action, &e.message, &e.tags),
        _ => return None,
    };
    Some(Call { name, args, action: KprobeAction::try_from(action).unwrap_or_default(), message, tags })
}

/// The event in a line. What the policy says comes first.
fn message(event: &GetEventsResponse, call: Option<&Call<'_>>, objects: &Objects<'_>) -> String {
    let process = event.process();
    let binary = process.map_or("", |p| p.binary.as_str());
    let mut text = match (&event.event, call) {
        (_, Some(call)) => {
            let file = objects.file.as_ref().map(|f| format!(" {}", f.path)).unwrap_or_default();
            let to =
                objects.destination.as_ref().map(|d| format!(" {} {}", d.ip, d.port)).unwrap_or_default();
            let said = if call.message.is_empty() { String::new() } else { format!("{}: ", call.message) };
            format!("{said}{binary} {}{file}{to}", call.name)
        }
        (Some(Event::ProcessExec(_)), _) => {
            format!("exec {binary} {}", process.map_or("", |p| p.arguments.as_str()))
        }
        (Some(Event::ProcessExit(exit)), _) if exit.signal.is_empty() => {
            format!("exit {binary} status {}", exit.status)
        }
        (Some(Event::ProcessExit(exit)), _) => format!("exit {binary} {}", exit.signal),
        (Some(Event::RateLimitInfo(info)), _) => {
            format!("{} events are missing", info.number_of_dropped_process_events)
        }
        _ => format!("{} {binary}", event.event_type().as_str_name().to_lowercase()),
    };
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_MAX) {
        text.truncate(end);
    }
    text.truncate(text.trim_end().len());
    text
}

fn user(process: &Process) -> Option<Id> {
    process.uid.map(|uid| Id { id: uid.to_string() })
}

fn named(name: &str) -> Option<Named<'_>> {
    Some(Named { name }).filter(|n| !n.name.is_empty())
}

fn container(process: &Process) -> Option<ContainerFields<'_>> {
    let known = process.pod.as_ref().and_then(|pod| pod.container.as_ref());
    let Some(container) = known else {
        let id = process.docker.as_str();
        return Some(ContainerFields { id, name: None, image: None }).filter(|c| !c.id.is_empty());
    };
    let image = container.image.as_ref().and_then(|image| named(&image.name));
    Some(ContainerFields { id: &container.id, name: Some(&container.name), image })
}

fn orchestrator<'a>(cluster: &'a str, pod: Option<&'a Pod>) -> Option<Orchestrator<'a>> {
    let cluster = named(cluster);
    if cluster.is_none() && pod.is_none() {
        return None;
    }
    Some(Orchestrator {
        kind: "kubernetes",
        cluster,
        namespace: pod.map(|pod| pod.namespace.as_str()),
        resource: pod.map(|pod| Resource { kind: "pod", id: &pod.uid, name: &pod.name }),
    })
}

fn kubernetes<'a>(node: &'a str, pod: &'a Pod) -> Kubernetes<'a> {
    Kubernetes {
        namespace: &pod.namespace,
        node: Named { name: node },
        pod: PodFields { name: &pod.name, uid: &pod.uid },
        container: pod.container.as_ref().and_then(|c| named(&c.name)),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The arguments of a text in which those with a blank stand in double quotes. A quote within an
/// argument is not marked, so this is a guess where there is one; `command_line` has the text.
fn split(arguments: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(arguments).filter(|a| !a.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let quoted = text.strip_prefix('"').and_then(|inner| {
            let end = inner.match_indices('"').map(|(at, _)| at).find(|at| {
                matches!(inner.as_bytes().get(at + 1), None | Some(b' ')) && inner[..*at].contains(' ')
            })?;
            Some((&inner[..end], inner.get(end + 2..)))
        });
        let (argument, next) = quoted.unwrap_or_else(|| match text.split_once(' ') {
            Some((argument, next)) => (argument, Some(next)),
            None => (text, None),
        });
        rest = next;
        Some(argument)
    })
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
