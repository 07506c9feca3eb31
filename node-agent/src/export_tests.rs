//! Tests of the export: what is written, what is held back, and what happens when it cannot be written.

use std::sync::Mutex;

use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::counters::get;

fn config(args: &[&str]) -> Config {
    Config::try_parse_from(std::iter::once("tetragon").chain(args.iter().copied())).unwrap()
}

fn kprobe(n: u32) -> GetEventsResponse {
    let value = json!({
        "process_kprobe": {
            "process": {"exec_id": "a", "pid": n, "uid": 0, "binary": "/bin/cat", "arguments": "/etc/shadow",
                        "cwd": "/", "flags": "execve", "auid": 1, "parent_exec_id": "b",
                        "start_time": "2026-11-24T09:11:32Z", "cap": {"permitted": ["CAP_KILL"]}},
            "parent": {"exec_id": "b", "pid": 1, "binary": "/bin/sh", "arguments": "-c x"},
            "policy_name": "p"
        },
        "node_name": "n", "time": "2026-11-24T09:11:33Z"
    });
    serde_json::from_value(value).unwrap()
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn events_are_lines_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let counters = Arc::new(Counters::default());
    let config =
        config(&["--export-filename", path.to_str().unwrap(), "--export-denylist", r#"{"pid":[2]}"#]);
    let mut e = Exporter::new(&config, counters.clone()).unwrap();
    for n in 1..=3 {
        e.export(&kprobe(n));
    }
    assert!(e.is_dirty() && lines(&path).is_empty());
    e.flush();
    assert!(!e.is_dirty());
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], serde_json::to_value(kprobe(3)).unwrap());
    assert_eq!(get(&counters.exported), 2);
    assert_eq!(get(&counters.exported_bytes), std::fs::metadata(&path).unwrap().len());
    assert_eq!(get(&counters.last_exported), 1_795_511_493);
}

#[test]
fn no_line_is_lost_or_torn_by_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let config = config(&["--export-filename", path.to_str().unwrap(), "--export-file-max-backups", "0"]);
    let mut e = Exporter::new(&config, Arc::default()).unwrap();
    let count = 10_000;
    for n in 0..count {
        e.export(&kprobe(n));
    }
    e.flush();
    // Some 300 bytes an event, 10 MB a file would not rotate: a second exporter with a small limit.
    drop(e);
    let mut small = Output::new(Box::new(
        RotatingFile::open(&dir.path().join("s.log"), 50_000, 0, 0o600, Duration::ZERO).unwrap(),
    ));
    for n in 0..count {
        assert!(small.push(format!("{{\"n\":{n}}}\n").as_bytes()));
    }
    assert!(small.flush());
    let mut seen = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let file = entry.unwrap().path();
        if file.file_name().unwrap().to_str().unwrap().starts_with('s') {
            files += 1;
            assert!(std::fs::metadata(&file).unwrap().len() <= 50_000);
            seen.extend(lines(&file).iter().map(|v| v["n"].as_u64().unwrap()));
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..u64::from(count)).collect::<Vec<_>>());
    assert!(files > 2, "{files}");
    assert_eq!(lines(&path).len(), count as usize);
}

#[test]
fn slim_events_leave_out_what_the_exec_event_says() {
    let full = serde_json::to_string(&kprobe(7)).unwrap();
    let slim = serde_json::to_value(slimmed(&kprobe(7))).unwrap();
    let k = &slim["process_kprobe"];
    assert_eq!(
        k["process"],
        json!({"exec_id": "a", "pid": 7, "uid": 0, "binary": "/bin/cat", "arguments": "/etc/shadow", "parent_exec_id": "b"})
    );
    assert_eq!(k["parent"], json!({"exec_id": "b", "pid": 1, "binary": "/bin/sh"}));
    assert!(slim.to_string().len() < full.len() * 7 / 10);
    // The exec event keeps all of its process.
    let exec = json!({"process_exec": {"process": {"exec_id": "a", "cwd": "/"}}});
    let event: GetEventsResponse = serde_json::from_value(exec.clone()).unwrap();
    assert_eq!(serde_json::to_value(slimmed(&event)).unwrap(), exec);
}

#[test]
fn the_rate_limit_counts_and_reports() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let mut limit = RateLimit::new(60, start);
    let taken = (0..100).filter(|_| limit.take(start)).count();
    assert_eq!((taken, limit.dropped), (60, 40));
    assert_eq!(limit.report(at(59)), None);
    assert!((0..10).all(|_| limit.take(at(10))));
    assert!(!limit.take(at(10)));
    assert_eq!(limit.report(at(61)), Some(41));
    assert_eq!(limit.report(at(125)), None);
}

#[test]
fn a_limit_of_zero_is_no_export() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let config = config(&["--export-filename", path.to_str().unwrap(), "--export-rate-limit", "0"]);
    assert!(!Exporter::new(&config, Arc::default()).unwrap().is_on());
    assert!(!path.exists());
}

#[test]
fn wrong_flags_say_which() {
    for (args, part) in [
        (["--export-allowlist", "{"], "--export-allowlist: filter 0: EOF"),
        (
            ["--export-denylist", r#"{"pid":[1]} {"cel_expression":["process_exec.process.pid"]}"#],
            "--export-denylist: filter 1: cel_expression[0]: `process_exec.process.pid`: line 1, column 21: the result",
        ),
        (["--export-denylist", r#"{"pid_set":[1]}"#], "--enable-pid-set-filter"),
        (
            ["--export-denylist", r#"{"capabilities":{"effective":{"any":["CAP_KILL"]}}}"#],
            "--export-denylist: filter 0: capabilities: events have none",
        ),
        (
            ["--export-allowlist", r#"{"ancestor_binary_regex":["x"]}"#],
            "--export-allowlist: filter 0: ancestor_binary_regex: events of PROCESS_EXEC have no ancestors",
        ),
        (["--field-filters", r#"{"action":"EXCLUDE"}"#], "--field-filters"),
        (["--export-filename", "/proc/nothing/t.log"], "/proc/nothing/t.log"),
    ] {
        let Err(e) = Exporter::new(&config(&args), Arc::default()) else { panic!("{args:?} is accepted") };
        assert!(format!("{e:#}").contains(part), "{args:?}: {e:#}");
    }
}

/// What docs/events.md shows of wrong filters is what the agent says.
#[test]
fn messages_of_the_docs() {
    let docs = include_str!("../../docs/events.md");
    for args in [
        ["--export-denylist", r#"{"pid":[1]} {"binary_regex":["^/bin/","("]}"#],
        ["--export-allowlist", r#"{"cel_expression":["process_exec.binary == \"/bin/sh\""]}"#],
    ] {
        let Err(e) = Exporter::new(&config(&args), Arc::default()) else { panic!("{args:?} is accepted") };
        let [flag, value] = args;
        let shown =
            format!("$ tetragon --export-stdout {flag} '{value}'\nerror: {e:#}\nerror: nothing was loaded\n");
        assert!(docs.contains(&shown), "{shown}");
    }
}

/// A sink that fails while it is told to, and takes a few bytes at a time.
#[derive(Clone, Default)]
struct Flaky(Arc<Mutex<(bool, Vec<u8>)>>);

impl Write for Flaky {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let n = bytes.len().min(7);
        state.1.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Flaky {
    fn name(&self) -> String {
        "flaky".into()
    }
}

#[test]
fn a_full_disk_loses_nothing_in_silence() {
    let sink = Flaky::default();
    let counters = Arc::new(Counters::default());
    let mut e = Exporter::new(&config(&[]), counters.clone()).unwrap();
    e.outputs.push(Output::new(Box::new(sink.clone())));
    let total = 8000u32;
    for n in 0..total {
        // Full for the middle half.
        sink.0.lock().unwrap().0 = (total / 4..total * 3 / 4).contains(&n);
        e.export(&kprobe(n));
    }
    e.flush();
    let text = String::from_utf8(sink.0.lock().unwrap().1.clone()).unwrap();
    let values: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told: u64 = values
        .iter()
        .filter_map(|v| v["rate_limit_info"]["number_of_dropped_process_events"].as_str())
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    let seen = values.iter().filter(|v| v.get("process_kprobe").is_some()).count() as u64;
    assert!(told > 0);
    assert_eq!((seen + told, get(&counters.unwritten)), (u64::from(total), told));
}
