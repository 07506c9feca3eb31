//! The JSON of events is Tetragon's export JSON: real lines come back as they were, and each
//! encoding rule holds for a value that the lines do not have.

use serde_json::{Value, json};
use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::kprobe_argument::Arg;
use tetragon_api::event::*;

/// Lines that a released Tetragon wrote, shortened.
const EXPORT: &str = include_str!("fixtures/export.jsonl");

#[test]
fn real_lines_come_back_as_they_were() {
    for (number, line) in EXPORT.lines().enumerate() {
        let event: GetEventsResponse =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("line {}: {e}", number + 1));
        assert!(event.event.is_some(), "line {}: no event", number + 1);
        let back = serde_json::to_value(&event).expect("an event serialises");
        let wanted: Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(back, wanted, "line {}", number + 1);
    }
}

#[test]
fn real_lines_survive_the_wire() {
    use prost::Message;
    for line in EXPORT.lines() {
        let event: GetEventsResponse = serde_json::from_str(line).expect("a line parses");
        let decoded = GetEventsResponse::decode(&event.encode_to_vec()[..]).expect("it decodes");
        assert_eq!(decoded, event);
    }
}

fn argument(arg: Arg) -> Value {
    serde_json::to_value(KprobeArgument { arg: Some(arg), label: String::new() }).expect("it serialises")
}

#[test]
fn a_oneof_member_shows_its_zero() {
    assert_eq!(argument(Arg::IntArg(0)), json!({"int_arg": 0}));
    assert_eq!(argument(Arg::StringArg(String::new())), json!({"string_arg": ""}));
    assert_eq!(argument(Arg::BpfCmdArg(0)), json!({"bpf_cmd_arg": "BPF_MAP_CREATE"}));
    assert_eq!(argument(Arg::SockArg(KprobeSock::default())), json!({"sock_arg": {}}));
}

#[test]
fn long_numbers_are_strings_and_bytes_are_base64() {
    assert_eq!(argument(Arg::SizeArg(u64::MAX)), json!({"size_arg": "18446744073709551615"}));
    assert_eq!(argument(Arg::LongArg(i64::MIN)), json!({"long_arg": "-9223372036854775808"}));
    assert_eq!(argument(Arg::BytesArg(vec![0xff, 0xfe, 0xfd, 0])), json!({"bytes_arg": "//79AA=="}));
    let cut = KprobeTruncatedBytes { bytes_arg: b"ab".to_vec(), orig_size: 9 };
    assert_eq!(
        argument(Arg::TruncatedBytesArg(cut)),
        json!({"truncated_bytes_arg": {"bytes_arg": "YWI=", "orig_size": "9"}})
    );
}

#[test]
fn names_keep_the_case_of_the_proto() {
    let map = KprobeBpfMap { map_type: "BPF_MAP_TYPE_HASH".into(), key_size: 4, ..Default::default() };
    assert_eq!(
        argument(Arg::BpfMapArg(map)),
        json!({"bpf_map_arg": {"MapType": "BPF_MAP_TYPE_HASH", "KeySize": 4}})
    );
    let process = Process {
        environment_variables: vec![EnvVar { key: "A".into(), value: "b".into() }],
        ..Default::default()
    };
    let wanted = json!({"environment_variables": [{"Key": "A", "Value": "b"}]});
    assert_eq!(serde_json::to_value(process).expect("it serialises"), wanted);
}

#[test]
fn a_wrapper_shows_its_zero_and_a_scalar_does_not() {
    let process = Process { uid: Some(0), in_init_tree: Some(false), refcnt: 0, ..Default::default() };
    let exit = ProcessExit { process: Some(process), status: 0, ..Default::default() };
    let event = GetEventsResponse { event: Some(Event::ProcessExit(exit)), ..Default::default() };
    assert_eq!(
        serde_json::to_string(&event).expect("it serialises"),
        r#"{"process_exit":{"process":{"uid":0,"in_init_tree":false}}}"#
    );
}

#[test]
fn times_have_as_many_digits_as_they_need() {
    for (nanos, text) in [
        (0, "2026-11-24T09:11:32Z"),
        (700_000_000, "2026-11-24T09:11:32.700Z"),
        (739_877_000, "2026-11-24T09:11:32.739877Z"),
        (739_877_462, "2026-11-24T09:11:32.739877462Z"),
    ] {
        let event = GetEventsResponse {
            time: Some(Timestamp { seconds: 1_795_511_492, nanos }),
            ..Default::default()
        };
        let value = serde_json::to_value(&event).expect("it serialises");
        assert_eq!(value, json!({"time": text}));
        assert_eq!(serde_json::from_value::<GetEventsResponse>(value).expect("it parses"), event);
    }
}

#[test]
fn the_envelope_follows_the_event() {
    let event = GetEventsResponse {
        event: Some(Event::Test(Test { arg0: 1, ..Default::default() })),
        node_name: "n".into(),
        cluster_name: "c".into(),
        node_labels: [("a".to_owned(), "b".to_owned())].into(),
        aggregation_info: Some(AggregationInfo { count: 2 }),
        time: None,
    };
    assert_eq!(
        serde_json::to_string(&event).expect("it serialises"),
        r#"{"test":{"arg0":"1"},"node_name":"n","aggregation_info":{"count":"2"},"cluster_name":"c","node_labels":{"a":"b"}}"#
    );
}

#[test]
fn unknown_fields_are_ignored_and_wrong_values_are_not() {
    let event: GetEventsResponse =
        serde_json::from_str(r#"{"process_new":{"a":1},"node_name":"n","later":[]}"#).expect("it parses");
    assert_eq!((event.event, event.node_name.as_str()), (None, "n"));
    for (line, wanted) in [
        (r#"{"process_exec":{"process":{"pid":"x"}}}"#, "invalid type: string"),
        (r#"{"process_kprobe":{"action":"KPROBE_ACTION_X"}}"#, "is not a name of KprobeAction"),
        (r#"{"process_kprobe":{"args":[{"size_arg":"-1"}]}}"#, "-1 does not fit"),
        (r#"{"process_loader":{"buildid":"*"}}"#, "not base64"),
        (r#"{"time":"yesterday"}"#, "is not a time in RFC 3339"),
    ] {
        let error = serde_json::from_str::<GetEventsResponse>(line).expect_err(line).to_string();
        assert!(error.contains(wanted), "{line}: {error}");
    }
}

#[test]
fn an_enum_number_without_a_name_stays_a_number() {
    let kprobe = ProcessKprobe { action: 99, ..Default::default() };
    let value = serde_json::to_value(&kprobe).expect("it serialises");
    assert_eq!(value, json!({"action": 99}));
    assert_eq!(serde_json::from_value::<ProcessKprobe>(value).expect("it parses"), kprobe);
}

#[test]
fn filters_are_read_as_users_write_them() {
    let filter: Filter = serde_json::from_str(
        r#"{"event_set":["PROCESS_EXEC","PROCESS_EXIT"],"health_check":false,"pid":[1],
            "capabilities":{"effective":{"any":["CAP_SYS_ADMIN","DAC_OVERRIDE"]}}}"#,
    )
    .expect("it parses");
    assert_eq!(filter.event_set, [EventType::ProcessExec as i32, EventType::ProcessExit as i32]);
    assert_eq!(filter.health_check, Some(false));
    let fields: FieldFilter =
        serde_json::from_str(r#"{"fields":"process.pid,parent","action":"EXCLUDE"}"#).expect("it parses");
    assert_eq!(fields.fields.expect("fields").paths, ["process.pid", "parent"]);
}
