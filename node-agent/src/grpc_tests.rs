//! Tests of the API over a real socket, with a scripted control thread.

use tetragon_api::event::{CreateContainer, GetInfoRequest, TracingPolicyMode};
use tetragon_api::plan::Mode;
use tetragon_api::service::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::pods::classifier::Request;
use crate::pods::gate::Gate;
use crate::pods::store::Store;
use crate::serve::{Address, serve_grpc};

struct Bed {
    client: FineGuidanceSensorsClient<Channel>,
    hub: Arc<Hub>,
    commands: mpsc::Receiver<Command>,
    _stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

async fn bed() -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.sock");
    let counters = Arc::new(Counters::default());
    let hub = Arc::new(Hub::new(10, counters.clone()));
    let (control, commands) = mpsc::channel();
    let gate = Gate::new(control.clone(), true, Arc::default());
    let hook = Hook { gate, store: Arc::new(Store::new(1, Arc::default())) };
    let shown = Shown { capabilities: false, ancestors: Vec::new() };
    let service = Service::new(hub.clone(), Arc::default(), counters, control, hook).with_shown(shown);
    let (stop, stopped) = watch::channel(false);
    serve_grpc(&[Address::Unix(path.clone())], service, None, &stopped).await.unwrap();
    let channel =
        Endpoint::from_shared(format!("unix://{}", path.display())).unwrap().connect().await.unwrap();
    Bed { client: FineGuidanceSensorsClient::new(channel), hub, commands, _stop: stop, _dir: dir }
}

fn event(pid: u32) -> Arc<GetEventsResponse> {
    Arc::new(serde_json::from_str(&format!(r#"{{"process_exec":{{"process":{{"pid":{pid}}}}}}}"#)).unwrap())
}

#[tokio::test]
async fn events_are_streamed_by_filter() {
    let mut bed = bed().await;
    let request = GetEventsRequest {
        allow_list: tetragon_filters::parse_filters(r#"{"pid":[2,3]}"#).unwrap(),
        ..Default::default()
    };
    let mut stream = bed.client.get_events(request).await.unwrap().into_inner();
    for pid in 1..=3 {
        bed.hub.publish(&event(pid));
    }
    assert_eq!(stream.message().await.unwrap().unwrap(), *event(2));
    assert_eq!(stream.message().await.unwrap().unwrap(), *event(3));
    bed.hub.close();
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test]
async fn filters_about_what_events_do_not_say_are_refused() {
    let mut bed = bed().await;
    for (filter, part) in [
        (r#"{"capabilities":{"effective":{"any":["CAP_KILL"]}}}"#, "deny_list: filter 0: capabilities: "),
        (r#"{"ancestor_binary_regex":["x"]}"#, "deny_list: filter 0: ancestor_binary_regex: "),
    ] {
        let deny_list = tetragon_filters::parse_filters(filter).unwrap();
        let request = GetEventsRequest { deny_list, ..Default::default() };
        let status = bed.client.get_events(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(part), "{}", status.message());
    }
}

#[tokio::test]
async fn expressions_of_clients_are_asked() {
    let mut bed = bed().await;
    let allow = r#"{"cel_expression":["process_exec.process.pid in [2u, 3u]"]}"#;
    let request = GetEventsRequest {
        allow_list: tetragon_filters::parse_filters(allow).unwrap(),
        ..Default::default()
    };
    let mut stream = bed.client.get_events(request).await.unwrap().into_inner();
    (1..=4).for_each(|pid| bed.hub.publish(&event(pid)));
    assert_eq!(stream.message().await.unwrap().unwrap(), *event(2));
    assert_eq!(stream.message().await.unwrap().unwrap(), *event(3));
    bed.hub.close();
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test]
async fn what_a_client_asks_wrongly_is_an_argument_error() {
    use tetragon_api::event::{AggregationOptions, FieldFilter};
    let mut bed = bed().await;
    let list = |text| tetragon_filters::parse_filters(text).unwrap();
    for (request, part) in [
        (
            GetEventsRequest { allow_list: list(r#"{"binary_regex":["("]}"#), ..Default::default() },
            "allow_list: filter 0: binary_regex[0]: ",
        ),
        (
            GetEventsRequest {
                deny_list: list(r#"{"pid":[1]} {"cel_expression":["process_exec.pid == 1u"]}"#),
                ..Default::default()
            },
            "deny_list: filter 1: cel_expression[0]: `process_exec.pid == 1u`: line 1, column 13: ",
        ),
        (
            GetEventsRequest { field_filters: vec![FieldFilter::default()], ..Default::default() },
            "field_filters: filter 0: `fields` is missing",
        ),
        (
            GetEventsRequest {
                aggregation_options: Some(AggregationOptions::default()),
                ..Default::default()
            },
            "aggregation_options: events are not aggregated",
        ),
    ] {
        let error = bed.client.get_events(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().starts_with(part), "{error}");
    }
}

#[tokio::test]
async fn requests_reach_the_control_thread_and_its_refusals_come_back() {
    let mut bed = bed().await;
    let commands = std::mem::replace(&mut bed.commands, mpsc::channel().1);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    std::thread::spawn(move || {
        for command in commands {
            let mut seen = log.lock().unwrap();
            match command {
                Command::Add { yaml, domain, reply } => {
                    seen.push(format!("add {yaml} {domain}"));
                    let _ = reply.send(Err(Refusal::Invalid("policy:1:1: error[x]".into())));
                }
                Command::Change { name, namespace, what, reply, .. } => {
                    seen.push(format!("{name} {namespace} {what:?}"));
                    let _ = reply.send(if name == "gone" {
                        Err(Refusal::Missing("none".into()))
                    } else {
                        Ok(())
                    });
                }
                _ => {}
            }
        }
    });
    let error = bed
        .client
        .add_tracing_policy(AddTracingPolicyRequest { yaml: "y".into(), domain: "d".into() })
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "policy:1:1: error[x]"));
    let error = bed
        .client
        .delete_tracing_policy(DeleteTracingPolicyRequest { name: "gone".into(), ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let request = ConfigureTracingPolicyRequest {
        name: "a".into(),
        namespace: "ns".into(),
        enable: Some(true),
        mode: Some(TracingPolicyMode::TpModeMonitor.into()),
        ..Default::default()
    };
    bed.client.configure_tracing_policy(request).await.unwrap();
    let wrong = ConfigureTracingPolicyRequest {
        name: "a".into(),
        mode: Some(TracingPolicyMode::TpModeMonitorOnly.into()),
        ..Default::default()
    };
    assert_eq!(bed.client.configure_tracing_policy(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    let configure = format!("a ns {:?}", [What::Enable(true), What::Mode(Mode::Monitor)]);
    assert_eq!(*seen.lock().unwrap(), ["add y d", "gone  [Delete]", configure.as_str()]);
}

/// Tetragon's OCI hook lets no container start on an error: there is one only where it is the hook's own.
#[tokio::test]
async fn a_runtimes_hook_is_answered() {
    let mut bed = bed().await;
    let created = |path: &str| RuntimeHookRequest {
        event: Some(Event::CreateContainer(CreateContainer {
            cgroups_path: path.to_owned(),
            ..CreateContainer::default()
        })),
    };
    bed.client.runtime_hook(created("/user.slice")).await.unwrap();
    let error = bed.client.runtime_hook(created("")).await.unwrap_err();
    assert_eq!((error.code(), error.message().contains("cgroupsPath")), (Code::InvalidArgument, true));
    let error = bed.client.runtime_hook(RuntimeHookRequest { event: None }).await.unwrap_err();
    assert!(error.message().contains("createContainer"), "{error}");
    // Nobody says that it is classified, and it starts all the same.
    let path = format!("/kubepods/pod8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42/{}", "07".repeat(32));
    bed.client.runtime_hook(created(&path)).await.unwrap();
    let held = |c: &Command| matches!(c, Command::Containers(Request::Hold(_)));
    assert_eq!(bed.commands.try_iter().filter(held).count(), 2);
}

#[tokio::test]
async fn health_version_and_what_is_not_there() {
    let mut bed = bed().await;
    let health = bed.client.get_health(GetHealthStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((health.health_status.len(), health.health_status[0].details.as_str()), (1, "running"));
    let version = bed.client.get_version(GetVersionRequest {}).await.unwrap().into_inner();
    assert_eq!(version.version, VERSION);
    let error = bed.client.get_info(GetInfoRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(error.message().contains("GetInfo"), "{error}");
    let list =
        bed.client.list_tracing_policies(ListTracingPoliciesRequest::default()).await.unwrap().into_inner();
    assert!(list.policies.is_empty());
}

#[tokio::test]
async fn a_stopping_agent_says_so() {
    let mut bed = bed().await;
    bed.commands = mpsc::channel().1;
    let error = bed.client.delete_tracing_policy(DeleteTracingPolicyRequest::default()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "the agent is stopping"));
}
