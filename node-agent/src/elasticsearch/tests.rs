//! Tests of the export as a whole against a server that is a script: faults in an order that a real one
//! would not have. The real one is in e2e/tests/search.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::counters::get;
use crate::export::Exporter;

/// What the server does next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// Stores everything.
    Take,
    /// Stores everything and answers nobody.
    TakeInSilence,
    /// Answers requests with a status.
    Status(u16),
    /// Answers every event of a third process with a status, in requests that are taken.
    EveryThird(u16),
    /// Takes requests of so many bytes.
    AtMost(usize),
}

/// Documents by id, as they were first sent.
#[derive(Debug)]
struct Store {
    mode: Mode,
    documents: BTreeMap<String, Value>,
    requests: usize,
    longest: usize,
}

/// A server with one index.
#[derive(Clone)]
struct Server(Arc<Mutex<Store>>, u16);

impl Server {
    /// Serves on a port, on a thread of its own, until the process ends.
    fn start(mode: Mode) -> Server {
        let store = Store { mode, documents: BTreeMap::new(), requests: 0, longest: 0 };
        let store = Arc::new(Mutex::new(store));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server(store, listener.local_addr().unwrap().port());
        listener.set_nonblocking(true).unwrap();
        let router =
            Router::new().route("/tetragon/_bulk", axum::routing::post(bulk)).with_state(server.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        server
    }

    fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    fn documents(&self) -> Vec<Value> {
        self.0.lock().unwrap().documents.values().cloned().collect()
    }

    /// Waits until the server has this many documents; then their events, by process id.
    fn wait(&self, count: usize) -> Vec<u64> {
        self.wait_until(|store| store.documents.len() >= count);
        pids(&self.documents())
    }

    fn wait_until(&self, done: impl Fn(&Store) -> bool) {
        let since = Instant::now();
        while !done(&self.0.lock().unwrap()) {
            assert!(since.elapsed() < Duration::from_secs(120), "{:?}", self.0.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn pids(documents: &[Value]) -> Vec<u64> {
    let mut pids: Vec<u64> = documents.iter().filter_map(|d| d["process"]["pid"].as_u64()).collect();
    pids.sort_unstable();
    pids
}

async fn bulk(State(server): State<Server>, body: String) -> (StatusCode, String) {
    let mode = {
        let mut store = server.0.lock().unwrap();
        store.requests += 1;
        store.longest = store.longest.max(body.len());
        store.mode
    };
    let refused = |status| (StatusCode::from_u16(status).unwrap(), "as the script wants".to_owned());
    match mode {
        Mode::Status(status) => return refused(status),
        Mode::AtMost(bytes) if body.len() > bytes => return refused(413),
        _ => {}
    }
    let answer = server.store(&body, mode);
    if mode == Mode::TakeInSilence {
        // The connection is lost before the answer.
        std::future::pending::<()>().await;
    }
    (StatusCode::OK, answer)
}

impl Server {
    fn store(&self, body: &str, mode: Mode) -> String {
        let mut store = self.0.lock().unwrap();
        let mut items = Vec::new();
        for pair in body.lines().collect::<Vec<_>>().chunks(2) {
            let action: Value = serde_json::from_str(pair[0]).unwrap();
            let id = action["create"]["_id"].as_str().unwrap().to_owned();
            let document: Value = serde_json::from_str(pair[1]).unwrap();
            let third = document["process"]["pid"].as_u64().is_some_and(|pid| pid % 3 == 0);
            let status = match mode {
                Mode::EveryThird(status) if third => status,
                _ if store.documents.contains_key(&id) => 409,
                _ => {
                    store.documents.insert(id, document);
                    201
                }
            };
            let error = json!({"type": format!("error_{status}"), "reason": "so it is"});
            items.push(match status {
                201 => json!({"create": {"status": status}}),
                _ => json!({"create": {"status": status, "error": error}}),
            });
        }
        json!({"errors": true, "items": items}).to_string()
    }
}

/// An agent's export to that server.
struct Agent {
    exporter: Exporter,
    counters: Arc<Counters>,
    made: u64,
}

impl Agent {
    fn start(server: &Server, spool: &Path, args: &[&str]) -> Agent {
        let url = format!("http://127.0.0.1:{}", server.1);
        let dir = spool.to_str().unwrap();
        let common =
            ["tetragon", "--export-elasticsearch-url", &url, "--export-elasticsearch-spool-dir", dir];
        let quick =
            ["--export-elasticsearch-flush-interval", "20ms", "--export-elasticsearch-batch-size", "10"];
        let all = common.iter().chain(&quick).chain(args);
        let counters = Arc::new(Counters::default());
        let exporter = Exporter::new(&Config::try_parse_from(all).unwrap(), counters.clone()).unwrap();
        Agent { exporter, counters, made: 0 }
    }

    /// Makes events with process ids from `from` on, each third of another policy.
    fn make(&mut self, from: u64, count: u64) {
        for pid in from..from + count {
            let policy = if pid % 3 == 0 { "third" } else { "other" };
            let event = json!({
                "process_kprobe": {
                    "process": {"pid": pid, "binary": "/bin/x", "cwd": "/secret"}, "policy_name": policy
                },
                "node_name": "n", "time": "2026-11-24T09:11:33Z"
            });
            self.exporter.export(&serde_json::from_value(event).unwrap());
        }
        self.made += count;
    }

    fn counts(&self) -> &Counts {
        self.counters.elasticsearch.get().unwrap()
    }

    /// Waits until nothing is in memory but what the server does not take.
    fn wait(&self, done: impl Fn(&Counts) -> bool) {
        let since = Instant::now();
        while !done(self.counts()) {
            assert!(since.elapsed() < Duration::from_secs(20), "{:?}", self.counts());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lost(&self) -> u64 {
        self.counts().lost_by_policy().values().sum()
    }

    /// The end; every event must have become something.
    fn end(mut self) -> Arc<Counters> {
        self.exporter.close();
        let c = self.counts();
        let (delivered, duplicates) = (get(&c.delivered), get(&c.duplicates));
        assert_eq!(get(&c.taken), self.made);
        assert_eq!(c.memory_events(), 0);
        assert_eq!(self.made, delivered + duplicates + self.lost() + get(&c.spool_events), "{c:?}");
        self.counters
    }
}

/// The numbers that records of losses add up to, by policy.
fn told(documents: &[Value]) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for d in documents.iter().filter(|d| d["event"]["reason"].is_string()) {
        let policy = d["rule"]["name"].as_str().unwrap_or_default().to_owned();
        let number = d["tetragon"]["rate_limit_info"]["number_of_dropped_process_events"].as_str().unwrap();
        *told.entry(policy).or_default() += number.parse::<u64>().unwrap();
    }
    told
}

#[test]
fn events_become_documents_once() {
    let (server, dir) = (Server::start(Mode::Take), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(
        &server,
        dir.path(),
        &["--field-filters", r#"{"fields":"process.cwd","action":"EXCLUDE"}"#],
    );
    agent.make(0, 25);
    assert_eq!(server.wait(25), (0..25).collect::<Vec<_>>());
    let documents = server.documents();
    let document = documents.iter().find(|d| d["process"]["pid"] == 3).unwrap();
    assert_eq!(document["tetragon"]["process_kprobe"]["process"], json!({"pid": 3, "binary": "/bin/x"}));
    // What is not exported is in no other field either.
    assert!(!document.to_string().contains("secret"), "{document}");
    assert_eq!(document["rule"]["name"], "third");
    let counters = agent.end();
    assert_eq!(get(&counters.exported), 25);
    assert!(server.0.lock().unwrap().requests >= 3);
}

#[test]
fn while_the_server_is_away_events_wait_in_the_spool() {
    for status in [429, 503, 401] {
        let (server, dir) = (Server::start(Mode::Status(status)), tempfile::tempdir().unwrap());
        let mut agent = Agent::start(&server, dir.path(), &[]);
        agent.make(0, 35);
        agent.wait(|c| get(&c.spool_events) == 35);
        assert_eq!((agent.counts().memory_events(), agent.lost()), (0, 0));
        agent.make(35, 5);
        // The next agent has what this one had, and its own.
        let counters = agent.end();
        assert_eq!(get(&counters.elasticsearch.get().unwrap().spool_events), 40);
        server.set(Mode::Take);
        let mut agent = Agent::start(&server, dir.path(), &[]);
        agent.make(40, 5);
        assert_eq!(server.wait(45), (0..45).collect::<Vec<_>>());
        agent.wait(|c| get(&c.spool_events) == 0 && get(&c.delivered) == 45);
        drop(agent);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the lock");
    }
}

#[test]
fn the_end_tries_once_more() {
    let (server, dir) = (Server::start(Mode::Status(401)), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &[]);
    agent.make(0, 25);
    // The next attempt would be in 15 seconds at the earliest.
    agent.wait(|c| get(&c.spool_events) == 25);
    server.set(Mode::Take);
    let since = Instant::now();
    let counters = agent.end();
    assert!(since.elapsed() < LAST_REQUESTS, "{:?}", since.elapsed());
    let counts = counters.elasticsearch.get().unwrap();
    assert_eq!((get(&counts.delivered), get(&counts.spool_events)), (25, 0));
}

#[test]
fn without_an_answer_nothing_is_lost_or_doubled() {
    let (server, dir) = (Server::start(Mode::TakeInSilence), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &[]);
    agent.make(0, 10);
    server.wait(10);
    agent.make(10, 20);
    agent.wait(|c| get(&c.spool_events) == 20);
    // The end does not wait for the answer for ever.
    let since = Instant::now();
    let counters = agent.end();
    assert!(since.elapsed() < LAST_REQUESTS + Duration::from_secs(2));
    assert_eq!(get(&counters.elasticsearch.get().unwrap().spool_events), 30);
    server.set(Mode::Take);
    let agent = Agent::start(&server, dir.path(), &[]);
    assert_eq!(server.wait(30), (0..30).collect::<Vec<_>>());
    agent.wait(|c| get(&c.duplicates) == 10 && get(&c.delivered) == 20);
}

#[test]
fn single_documents_are_sent_again_or_lost() {
    for (status, again) in [(429, true), (503, true), (400, false), (500, false)] {
        let (server, dir) = (Server::start(Mode::EveryThird(status)), tempfile::tempdir().unwrap());
        let mut agent = Agent::start(&server, dir.path(), &[]);
        agent.make(0, 10);
        server.wait(6);
        server.wait_until(|s| s.requests >= 2 || !again);
        server.set(Mode::Take);
        if again {
            assert_eq!(server.wait(10), (0..10).collect::<Vec<_>>());
        } else {
            // Four of ten, which all are of one policy, and the record that says so.
            server.wait(7);
            assert_eq!(pids(&server.documents()), [1, 2, 4, 5, 7, 8]);
            assert_eq!(told(&server.documents()), BTreeMap::from([("third".to_owned(), 4)]));
        }
        let kind = format!("error_{status}");
        agent.wait(|c| c.tables().item_errors.get(&kind).is_some_and(|n| *n >= 4));
        let counters = agent.end();
        let by_policy = counters.elasticsearch.get().unwrap().lost_by_policy();
        assert_eq!(by_policy.get("third").copied().unwrap_or(0), if again { 0 } else { 4 });
    }
}

#[test]
fn a_full_spool_loses_the_newest_and_says_so() {
    let (server, dir) = (Server::start(Mode::Status(503)), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &["--export-elasticsearch-spool-size", "16K"]);
    for n in 0..20 {
        agent.make(n * 10, 10);
        agent.wait(|c| get(&c.spool_events) + c.lost_by_policy().values().sum::<u64>() == n * 10 + 10);
    }
    let kept = get(&agent.counts().spool_events);
    assert!((10..150).contains(&kept), "{kept}");
    assert!(get(&agent.counts().spool_bytes) < 20 << 10);
    let lost = agent.counts().lost_by_policy();
    assert!(lost["third"] > 0 && lost["other"] > lost["third"], "{lost:?}");
    server.set(Mode::Take);
    agent.wait(|c| get(&c.spool_events) == 0);
    agent.make(200, 1);
    server.wait_until(|s| s.documents.values().any(|d| d["process"]["pid"] == 200));
    let mut expected: Vec<u64> = (0..kept).collect();
    expected.push(200);
    assert_eq!(pids(&server.documents()), expected);
    let told = told(&server.documents());
    assert_eq!((told["third"], told["other"]), (lost["third"], lost["other"]));
    agent.end();
}

#[test]
fn requests_become_as_short_as_the_server_wants_them() {
    let (server, dir) = (Server::start(Mode::AtMost(3000)), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &[]);
    agent.make(0, 40);
    assert_eq!(server.wait(40), (0..40).collect::<Vec<_>>());
    assert_eq!(agent.lost(), 0);
    agent.end();
    let server = Server::start(Mode::AtMost(10));
    let mut agent = Agent::start(&server, dir.path(), &[]);
    agent.make(0, 5);
    agent.wait(|c| c.tables().lost_for(Loss::TooLarge) == 5);
    agent.end();
}

#[test]
fn without_a_spool_memory_is_bounded() {
    let (server, dir) = (Server::start(Mode::Status(503)), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &["--export-elasticsearch-spool-size", "0"]);
    let count = 2 * queue::QUEUE_BYTES as u64 / 500;
    agent.make(0, count);
    let full = agent.counts().tables().lost_for(Loss::QueueFull);
    assert!((count / 4..count).contains(&full), "{full} of {count}");
    server.set(Mode::Take);
    let kept = usize::try_from(count - full).unwrap();
    assert_eq!(server.wait(kept).len(), kept);
    server.set(Mode::Status(503));
    agent.make(count, 3);
    agent.wait(|c| get(&c.retries) > 0 && c.memory_events() == 3);
    let counters = agent.end();
    assert_eq!(counters.elasticsearch.get().unwrap().tables().lost_for(Loss::Stopped), 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_request_that_the_server_never_wants_is_lost_and_told() {
    let (server, dir) = (Server::start(Mode::Status(400)), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &[]);
    agent.make(0, 10);
    agent.wait(|c| c.tables().lost_for(Loss::Rejected) == 10);
    server.set(Mode::Take);
    agent.make(10, 10);
    server.wait_until(|s| s.documents.values().filter(|d| d["process"]["pid"].is_u64()).count() == 10);
    agent.wait(|c| get(&c.delivered) == 10);
    assert_eq!(agent.counts().tables().requests["400"], 1);
    agent.end();
}

#[test]
fn a_damaged_spool_is_counted_and_the_rest_is_sent() {
    let (server, dir) = (Server::start(Mode::Status(503)), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(&server, dir.path(), &[]);
    agent.make(0, 10);
    agent.wait(|c| get(&c.spool_events) == 10);
    agent.end();
    let files = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    let file = files.into_iter().find(|p| p.extension().is_some()).unwrap();
    let text = std::fs::read(&file).unwrap();
    std::fs::write(&file, &text[..text.len() - 10]).unwrap();
    server.set(Mode::Take);
    let agent = Agent::start(&server, dir.path(), &[]);
    // Nine events and the record that one is missing.
    assert_eq!(server.wait(10), (0..9).collect::<Vec<_>>());
    assert_eq!(told(&server.documents()), BTreeMap::from([(String::new(), 1)]));
    assert_eq!(agent.counts().tables().lost_for(Loss::Damaged), 1);
}
