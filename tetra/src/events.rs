//! `tetra getevents`: events from an agent, or from JSON lines on stdin, filtered and printed.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, StdoutLock, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use anyhow::Context;
use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::kprobe_argument::Arg;
use tetragon_api::event::{GetEventsRequest, GetEventsResponse};
use tetragon_filters::{Fields, Filters};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{EventOutput, Getevents, Globals};
use crate::client;
use crate::compact::Compact;
use crate::terminal::{closed_pipe, note};
use crate::{fields, filter, recorded};

/// Runs the command.
pub(crate) fn run(globals: &Globals, options: &Getevents) -> anyhow::Result<()> {
    let filter = filter::from_options(options);
    let matcher = filter::matcher(&filter)?;
    let (field_filters, fields) = fields::filters(&options.include_fields, &options.exclude_fields)?;
    let mut printer = Printer::new(options);
    if let Some(input) = piped_stdin() {
        let mut input = BufReader::new(input);
        if !input.fill_buf().context("failed to read stdin")?.is_empty() {
            return from_lines(input, matcher, &fields, &mut printer);
        }
        // An empty stdin is no recording: a script gave the command none.
    }
    let request = GetEventsRequest { allow_list: vec![filter], field_filters, ..Default::default() };
    client::runtime()?.block_on(from_agent(globals, options, request, &mut printer))
}

/// Stdin, if it is a pipe, a socket or a file rather than a terminal or a device.
fn piped_stdin() -> Option<impl Read> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return None;
    }
    let file = std::fs::File::from(stdin.as_fd().try_clone_to_owned().ok()?);
    let kind = file.metadata().ok()?.file_type();
    (!kind.is_char_device() && !kind.is_block_device() && !kind.is_dir()).then_some(file)
}

/// Prints the events of a recording. A line that is no event is said and skipped.
fn from_lines(
    mut input: BufReader<impl Read>,
    mut matcher: Filters,
    fields: &Fields,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if input.read_until(b'\n', &mut line).context("failed to read stdin")? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match recorded::read(&line) {
            Ok(event) if matcher.pass(&event) => {
                printer.print(&fields.apply_to_event(&event).unwrap_or(event))?;
            }
            Ok(_) => {}
            Err(error) => note(&format!("tetra: stdin line {number} is not an event: {error}")),
        }
        if let Some(complaint) = matcher.complaint() {
            note(&format!("tetra: stdin line {number}: {complaint}"));
        }
        if input.buffer().is_empty() {
            printer.flush()?;
        }
    }
    printer.flush()
}

/// Prints the agent's stream until it ends or a signal comes; with --reconnect, again and again.
async fn from_agent(
    globals: &Globals,
    options: &Getevents,
    request: GetEventsRequest,
    printer: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    loop {
        let result = tokio::select! {
            () = signals.next() => return Ok(()),
            result = stream(globals, request.clone(), printer) => result,
        };
        let failure = match result {
            // Without a reader there is nobody to reconnect for.
            Err(error) if !options.reconnect || closed_pipe(&error) => return Err(error),
            Ok(()) if !options.reconnect => return Ok(()),
            Err(error) => format!("{error:#}"),
            Ok(()) => "the stream ended".to_owned(),
        };
        note(&format!("tetra: {failure}; trying again in {:?}", options.reconnect_wait));
        if wait(&mut signals, options.reconnect_wait).await {
            return Ok(());
        }
    }
}

/// Waits; true if a signal came.
async fn wait(signals: &mut Signals, time: Duration) -> bool {
    tokio::select! {
        () = signals.next() => true,
        () = tokio::time::sleep(time) => false,
    }
}

/// Prints one stream to its end.
async fn stream(
    globals: &Globals,
    request: GetEventsRequest,
    printer: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let mut client = client::connect(globals).await?;
    let response = client.get_events(request).await;
    let mut events =
        response.map_err(|s| client::refused(&s).context("failed to call GetEvents"))?.into_inner();
    loop {
        match events.message().await {
            Ok(Some(event)) => printer.print(&event)?,
            Ok(None) => return Ok(()),
            Err(status) => return Err(client::refused(&status).context("failed to receive events")),
        }
        printer.flush()?;
    }
}

/// The signals that end the command.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("failed to watch signals");
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Prints events as the command line asks.
struct Printer<'a> {
    /// Only events of these; none: all.
    workloads: Vec<String>,
    out: BufWriter<StdoutLock<'a>>,
    form: Form,
}

enum Form {
    Json,
    Compact(Compact),
    /// The bytes that processes wrote to this terminal.
    Terminal(String),
}

impl Printer<'_> {
    fn new(options: &Getevents) -> Self {
        let form = match (&options.tty_encode, options.output) {
            (Some(path), _) => Form::Terminal(path.clone()),
            (None, EventOutput::Json) => Form::Json,
            (None, EventOutput::Compact) => Form::Compact(Compact {
                colours: options.color.on_stdout(),
                timestamps: options.timestamps,
                stack_traces: options.stack_traces,
                ima_hash: options.ima_hash,
            }),
        };
        Self { workloads: options.workload.clone(), out: BufWriter::new(io::stdout().lock()), form }
    }

    fn print(&mut self, event: &GetEventsResponse) -> anyhow::Result<()> {
        if !filter::is_of_workload(event, &self.workloads) {
            return Ok(());
        }
        match &self.form {
            Form::Json => {
                serde_json::to_writer(&mut self.out, event)?;
                self.out.write_all(b"\n")?;
            }
            Form::Compact(compact) => match compact.format(event) {
                Ok(text) => self.out.write_all(text.as_bytes())?,
                // One odd event does not end the stream.
                Err(error) => note(&format!("tetra: {error}")),
            },
            Form::Terminal(path) => self.out.write_all(written_to(path, event))?,
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        Ok(())
    }
}

/// The bytes of args[1] of a kprobe event whose args[0] is the file `path`.
fn written_to<'a>(path: &str, event: &'a GetEventsResponse) -> &'a [u8] {
    let Some(Event::ProcessKprobe(kprobe)) = &event.event else { return &[] };
    let mut args = kprobe.args.iter().map(|a| a.arg.as_ref());
    match (args.next().flatten(), args.next().flatten()) {
        (Some(Arg::FileArg(file)), Some(Arg::BytesArg(bytes))) if file.path == path => bytes,
        _ => &[],
    }
}
