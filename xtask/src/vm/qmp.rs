//! QEMU's control socket (QMP): one JSON object a line, one answer to each command, events in between.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::tools::PATIENCE;

/// A connection.
pub(crate) struct Qmp {
    write: UnixStream,
    read: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to a socket that exists and agrees on the protocol.
    pub(crate) fn connect(socket: &Path) -> Result<Qmp> {
        let write = UnixStream::connect(socket).context("connecting to QEMU's control socket")?;
        write.set_read_timeout(Some(PATIENCE))?;
        let read = BufReader::new(write.try_clone()?);
        let mut qmp = Qmp { write, read };
        qmp.line()?;
        qmp.call("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.read.read_line(&mut line).context("reading QEMU's control socket")? == 0 {
            bail!("QEMU closed its control socket");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU said `{}`", line.trim()))
    }

    /// Runs a command and gives what it returns.
    pub(crate) fn call(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        // In one piece: QEMU acts at the last brace, and after `quit` there is nobody to take a newline.
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.write.write_all(line.as_bytes())?;
        loop {
            let mut answer = self.line()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU refused {command}: {}", error["desc"].as_str().unwrap_or("without a reason"));
            }
        }
    }

    /// Ends QEMU, which may be faster than its answer.
    pub(crate) fn quit(&mut self) {
        let _ = self.call("quit", &json!({}));
    }

    /// RAM that is a file of its own stays out of saved states.
    pub(crate) fn leave_out_memory(&mut self) -> Result<()> {
        let on = json!({"capabilities": [{"capability": "x-ignore-shared", "state": true}]});
        self.call("migrate-set-capabilities", &on)?;
        Ok(())
    }

    /// Waits until a query's field is one of the given values.
    pub(crate) fn wait(&mut self, query: &str, wanted: &[&str], limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        loop {
            let answer = self.call(query, &json!({}))?;
            let status = answer["status"].as_str().unwrap_or_default().to_owned();
            if wanted.contains(&status.as_str()) {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("QEMU stays in state `{status}`; expected {}", wanted.join(" or "));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
