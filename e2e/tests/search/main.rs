//! The Elasticsearch export against a real server (OpenSearch), through kills and restarts of it.
//!
//! It needs Java and Maven and half a minute: `cargo xtask test --only search` runs it.

mod server;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tetragon_agent::config::Config;
use tetragon_agent::counters::{Counters, get};
use tetragon_agent::elasticsearch::counts::{Counts, Loss};
use tetragon_agent::export::Exporter;

use server::Server;

/// How long something may take that takes a second or two.
const SOON: Duration = Duration::from_secs(120);

/// Search results that a server gives at once.
const HITS_MAX: usize = 10_000;

/// Events that one step makes at most, however long it takes: all of a test are to be found at once.
const MOST: u64 = 1000;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let run = || all().map_err(|e| Failed::from(format!("{e:#}")));
    libtest_mimic::run(&arguments, vec![Trial::test("search", run)]).exit_code()
}

/// One server for all: its start is what takes the time.
fn all() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::new(&dir.path().join("server"))?;
    say("the server answers", server.start(&[])?);
    template(&server)?;
    mapping_conflict(&server, &dir.path().join("spool-1"))?;
    blocked_index(&server, &dir.path().join("spool-2"))?;
    restarts(&mut server, &dir.path().join("spool-3"))
}

fn say(what: &str, took: Duration) {
    eprintln!("    {what}: {:.1} s", took.as_secs_f64());
}

/// The index template of docs/elasticsearch.md, as it stands there.
fn template(server: &Server) -> Result<()> {
    let page = include_str!("../../../docs/elasticsearch.md");
    let start = page.find("PUT _index_template/tetragon\n").context("the page has no index template")?;
    let text = &page[start..];
    let body = &text[text.find('{').unwrap_or(0)..text.find("```").unwrap_or(text.len())];
    server.ask("PUT", "/_index_template/tetragon", body).map(drop)
}

/// An agent's export, with a count of what it was given.
struct Agent {
    exporter: Exporter,
    counters: Arc<Counters>,
}

impl Agent {
    fn start(server: &Server, index: &str, spool: &Path) -> Result<Agent> {
        let url = server.url();
        let flags = [
            ("url", url.as_str()),
            ("index", index),
            ("spool-dir", spool.to_str().context("a path")?),
            ("batch-size", "200"),
            ("flush-interval", "100ms"),
        ];
        let args = flags.iter().map(|(name, value)| format!("--export-elasticsearch-{name}={value}"));
        let config = Config::load(std::iter::once("tetragon".to_owned()).chain(args));
        let config = config.map_err(|e| anyhow::anyhow!("the flags are refused: {e:?}"))?;
        let counters = Arc::new(Counters::default());
        let exporter = Exporter::new(&config, counters.clone())?;
        Ok(Agent { exporter, counters })
    }

    fn counts(&self) -> Result<&Counts> {
        self.counters.elasticsearch.get().map(|counts| &**counts).context("the export is off")
    }

    /// Exports the n-th event: real ones in turn, each with a process id of its own.
    fn export(&mut self, events: &[Value], n: u64) -> Result<()> {
        let mut event = events[n as usize % events.len()].clone();
        let kind = event.as_object_mut().context("an event is an object")?;
        let (_, body) = kind.iter_mut().find(|(_, v)| v["process"].is_object()).context("a process")?;
        body["process"]["pid"] = json!(n);
        self.exporter.export(&serde_json::from_value(event)?);
        Ok(())
    }

    /// Exports events until something has happened.
    fn flow(
        &mut self,
        events: &[Value],
        made: &mut u64,
        what: &str,
        done: impl Fn(&Counts) -> bool,
    ) -> Result<()> {
        let (since, most) = (Instant::now(), *made + MOST);
        while !done(self.counts()?) {
            ensure!(since.elapsed() < SOON, "{what} did not come: {:?}", self.counts());
            self.one(events, made, most)?;
        }
        Ok(())
    }

    /// Exports the next event, unless there are enough; a pause.
    fn one(&mut self, events: &[Value], made: &mut u64, most: u64) -> Result<()> {
        if *made < most {
            self.export(events, *made)?;
            *made += 1;
        }
        std::thread::sleep(Duration::from_millis(8));
        Ok(())
    }

    /// Exports events while something else is done.
    fn flow_while(
        &mut self,
        events: &[Value],
        made: &mut u64,
        start: impl FnOnce() -> Result<Duration> + Send,
    ) -> Result<()> {
        let took = std::thread::scope(|scope| {
            let starting = scope.spawn(start);
            let most = *made + MOST;
            while !starting.is_finished() {
                self.one(events, made, most)?;
            }
            starting.join().map_err(|_| anyhow::anyhow!("the start of the server has panicked"))?
        })?;
        say("the server answers again", took);
        Ok(())
    }

    /// The agent's end; how many events are documents since its start.
    fn end(&mut self) -> Result<u64> {
        self.exporter.close();
        let counts = self.counts()?;
        let lost: u64 = counts.lost_by_policy().values().sum();
        ensure!(lost == 0, "{lost} events are lost: {counts:?}");
        Ok(get(&counts.delivered) + get(&counts.duplicates))
    }

    fn wait(&self, what: &str, done: impl Fn(&Counts) -> bool) -> Result<()> {
        let since = Instant::now();
        let counts = self.counts()?;
        while !done(counts) {
            ensure!(since.elapsed() < SOON, "{what} did not come: {counts:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// The events of processes that docs/events.md shows.
fn events() -> Result<Vec<Value>> {
    let lines =
        include_str!("../../../docs/events.md").lines().filter(|line| line.starts_with(r#"{"process_"#));
    let parts: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    // The page also shows parts of events.
    let events: Vec<Value> = parts.into_iter().filter(|event| event.get("node_name").is_some()).collect();
    ensure!(events.len() >= 5, "docs/events.md has {} events", events.len());
    Ok(events)
}

/// Process ids of the documents of an index; each document must have one, and no two the same.
fn stored(server: &Server, index: &str) -> Result<BTreeSet<u64>> {
    server.ask("POST", &format!("/{index}/_refresh"), "")?;
    let query = json!({"size": HITS_MAX, "track_total_hits": true, "query": {"exists": {"field": "process.pid"}},
                       "_source": ["process.pid"]});
    let found = server.ask("POST", &format!("/{index}/_search"), &query.to_string())?;
    let hits = found["hits"]["hits"].as_array().context("no hits")?;
    ensure!(
        found["hits"]["total"]["value"] == hits.len(),
        "more than {HITS_MAX} documents: {}",
        found["hits"]["total"]
    );
    let pids: BTreeSet<u64> = hits.iter().filter_map(|h| h["_source"]["process"]["pid"].as_u64()).collect();
    ensure!(pids.len() == hits.len(), "{} documents of {} events", hits.len(), pids.len());
    Ok(pids)
}

/// Records of losses in an index: how many events they speak of.
fn told(server: &Server, index: &str) -> Result<u64> {
    server.ask("POST", &format!("/{index}/_refresh"), "")?;
    let query = json!({"size": HITS_MAX, "query": {"exists": {"field": "event.reason"}}});
    let found = server.ask("POST", &format!("/{index}/_search"), &query.to_string())?;
    let number = |hit: &Value| {
        let text = &hit["_source"]["tetragon"]["rate_limit_info"]["number_of_dropped_process_events"];
        text.as_str()?.parse::<u64>().ok()
    };
    Ok(found["hits"]["hits"].as_array().context("no hits")?.iter().filter_map(number).sum())
}

/// The server refuses single documents: a field has another type there. The rest arrives.
fn mapping_conflict(server: &Server, spool: &Path) -> Result<()> {
    let since = Instant::now();
    let mapping = json!({"mappings": {"properties": {
        "process": {"properties": {"exit_code": {"type": "boolean"}}}, "tetragon": {"type": "object", "enabled": false}
    }}});
    server.ask("PUT", "/conflict", &mapping.to_string())?;
    let mut agent = Agent::start(server, "conflict", spool)?;
    let events = events()?;
    (0..500).try_for_each(|n| agent.export(&events, n))?;
    let has_code = |n: &u64| events[*n as usize % events.len()].pointer("/process_exit/status").is_some();
    let refused = (0..500).filter(has_code).count() as u64;
    ensure!(refused > 0, "no event has an exit code");
    agent.wait("an answer to each event", |c| {
        get(&c.delivered) + c.tables().lost_for(Loss::Rejected) == 500
    })?;
    // The record of what is missing follows.
    while told(server, "conflict")? < refused {
        ensure!(since.elapsed() < SOON, "the stream tells of {} losses", told(server, "conflict")?);
        std::thread::sleep(Duration::from_millis(100));
    }
    agent.exporter.close();
    let counts = agent.counts()?;
    ensure!(counts.tables().lost_for(Loss::Rejected) == refused, "{refused} are refused: {counts:?}");
    ensure!(counts.tables().item_errors.get("mapper_parsing_exception") == Some(&refused), "{counts:?}");
    let expected: BTreeSet<u64> = (0..500).filter(|n| !has_code(n)).collect();
    ensure!(stored(server, "conflict")? == expected, "other documents than those without an exit code");
    ensure!(told(server, "conflict")? == refused, "the stream tells of {} losses", told(server, "conflict")?);
    say("a mapping conflict", since.elapsed());
    Ok(())
}

/// The server answers each document with 429, as it does when its disk is full.
fn blocked_index(server: &Server, spool: &Path) -> Result<()> {
    let since = Instant::now();
    let block = |on: Value| json!({"index.blocks.read_only_allow_delete": on}).to_string();
    server.ask(
        "PUT",
        "/blocked",
        r#"{"mappings":{"properties":{"tetragon":{"type":"object","enabled":false}}}}"#,
    )?;
    server.ask("PUT", "/blocked/_settings", &block(json!(true)))?;
    let mut agent = Agent::start(server, "blocked", spool)?;
    let events = events()?;
    (0..300).try_for_each(|n| agent.export(&events, n))?;
    agent.wait("a second attempt", |c| get(&c.retries) >= 2 && get(&c.spool_events) == 300)?;
    ensure!(agent.counts()?.tables().item_errors.contains_key("cluster_block_exception"), "no 429");
    server.ask("PUT", "/blocked/_settings", &block(Value::Null))?;
    agent.wait("the last event", |c| get(&c.delivered) == 300 && get(&c.spool_events) == 0)?;
    ensure!(stored(server, "blocked")? == (0..300).collect(), "other documents than events");
    say("429 for each document", since.elapsed());
    Ok(())
}

/// Events flow into a data stream while the server is killed, comes back but takes nothing, is killed
/// again and comes back; while it is away the agent is replaced. Every event becomes one document.
fn restarts(server: &mut Server, spool: &Path) -> Result<()> {
    let since = Instant::now();
    let events = events()?;
    let mut made = 0;
    let mut agent = Agent::start(server, "tetragon", spool)?;
    agent.flow(&events, &mut made, "documents", |c| get(&c.delivered) >= 300)?;
    server.kill()?;
    agent.flow(&events, &mut made, "a spool and a request that finds the server away", |c| {
        get(&c.spool_events) >= 200 && c.tables().requests.contains_key("error")
    })?;
    let delivered = agent.end()?;
    ensure!(made == delivered + get(&agent.counts()?.spool_events), "{made} events: {:?}", agent.counts());

    let mut agent = Agent::start(server, "tetragon", spool)?;
    // Whatever has more than a kilobyte is refused with 429.
    agent.flow_while(&events, &mut made, || server.start(&["indexing_pressure.memory.limit=1kb"]))?;
    agent.flow(&events, &mut made, "429", |c| c.tables().requests.contains_key("429"))?;
    server.kill()?;
    agent.flow_while(&events, &mut made, || server.start(&[]))?;
    agent
        .flow(&events, &mut made, "an empty spool", |c| get(&c.spool_events) == 0 && get(&c.delivered) > 0)?;
    let delivered = delivered + agent.end()?;
    let counts = agent.counts()?;
    ensure!(get(&counts.spool_events) == 0, "the end leaves something: {counts:?}");
    // One that was stored although its answer was lost is a duplicate when it is sent again.
    ensure!(made == delivered, "{made} events, {delivered} delivered: {counts:?}");
    let stored = stored(server, "tetragon")?;
    ensure!(stored == (0..made).collect(), "{} documents of {made} events", stored.len());
    ensure!(told(server, "tetragon")? == 0, "the stream speaks of losses");
    let stream = server.ask("GET", "/_data_stream/tetragon", "")?;
    ensure!(stream["data_streams"][0]["name"] == "tetragon", "no data stream: {stream}");
    eprintln!("    {made} events, {} documents, none lost", stored.len());
    say("kills and restarts", since.elapsed());
    Ok(())
}
