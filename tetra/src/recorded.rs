//! Events of a recording, one JSON object a line: as Tetragon's export writes them (`process_exec`), or as
//! other writers of protobuf's JSON do (`processExec`).

use serde_json::{Map, Value};
use tetragon_api::event::GetEventsResponse;
use tetragon_api::event::fields::{EVENTS, FieldSchema, Kind, Schema, event_schema, snake_case};

/// Reads a line. The error says why it is no event.
pub(crate) fn read(line: &[u8]) -> Result<GetEventsResponse, String> {
    let event: GetEventsResponse = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if event.event.is_some() {
        return Ok(event);
    }
    let written: Map<String, Value> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let renamed = written.into_iter().map(|(name, value)| {
        let name = snake_case(&name);
        let value = match event_schema(&name) {
            Some(schema) => rename(value, schema),
            None => value,
        };
        (name, value)
    });
    let event: GetEventsResponse =
        serde_json::from_value(Value::Object(renamed.collect())).map_err(|e| e.to_string())?;
    if event.event.is_none() {
        let kinds: Vec<&str> = EVENTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("it has none of {}", kinds.join(", ")));
    }
    Ok(event)
}

/// The message with the names that its members have in the proto files.
fn rename(value: Value, schema: &'static Schema) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|v| rename(v, schema)).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| member(name, value, schema)).collect(),
        other => other,
    }
}

fn member(name: String, value: Value, schema: &Schema) -> (String, Value) {
    let Some(FieldSchema { name, kind, .. }) = schema.field(&snake_case(&name)) else { return (name, value) };
    let kind = if let Kind::List(of) = kind { *of } else { kind };
    let value = match kind {
        Kind::Message(inner) => rename(value, inner),
        // The names in a map are the user's.
        _ => value,
    };
    ((*name).to_owned(), value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_value(value: &Value) -> Result<GetEventsResponse, String> {
        read(value.to_string().as_bytes())
    }

    #[test]
    fn both_forms_of_names_are_read() {
        let camel = json!({
            "processKprobe": {
                "process": {
                    "execId": "a", "pid": 7, "binary": "/bin/cat", "startTime": "2026-11-24T12:52:20Z",
                    "inInitTree": true,
                    "pod": {"name": "x", "podLabels": {"appName": "web", "k8s_app": "y"}, "workloadKind": "Deployment"}
                },
                "functionName": "security_file_open",
                "args": [{"fileArg": {"path": "/etc/shadow"}}, {"sizeArg": "18446744073709551615"}],
                "policyName": "p", "returnAction": "KPROBE_ACTION_POST"
            },
            "nodeName": "n", "nodeLabels": {"kubernetesIo": "z"}, "time": "2026-11-24T12:52:21Z"
        });
        let snake = json!({
            "process_kprobe": {
                "process": {
                    "exec_id": "a", "pid": 7, "binary": "/bin/cat", "start_time": "2026-11-24T12:52:20Z",
                    "in_init_tree": true,
                    "pod": {"name": "x", "pod_labels": {"appName": "web", "k8s_app": "y"}, "workload_kind": "Deployment"}
                },
                "function_name": "security_file_open",
                "args": [{"file_arg": {"path": "/etc/shadow"}}, {"size_arg": "18446744073709551615"}],
                "policy_name": "p", "return_action": "KPROBE_ACTION_POST"
            },
            "node_name": "n", "node_labels": {"kubernetesIo": "z"}, "time": "2026-11-24T12:52:21Z"
        });
        let event = read_value(&camel).unwrap();
        assert_eq!(event, read_value(&snake).unwrap());
        assert_eq!(serde_json::to_value(&event).unwrap(), snake);
    }

    #[test]
    fn what_is_no_event_is_said() {
        for (line, part) in [
            (r#"{"node_name":"n","time":"2026-11-24T12:52:21Z"}"#, "it has none of process_exec, "),
            (r#"{"level":"info","msg":"started"}"#, "it has none of process_exec, "),
            (r#"{"processExec":{"process":{"pid":"x"}}}"#, "x"),
            ("[]", ""),
            ("{", "EOF"),
        ] {
            let error = read(line.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
