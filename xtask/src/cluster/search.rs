//! A search server that speaks Elasticsearch's REST API, for tests of the export to one: OpenSearch, from its
//! published jars, on loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::components::search_jars;
use super::daemon::Daemon;
use crate::tools::{PATIENCE, root, say};

const STOP: Duration = Duration::from_secs(20);

/// What can be done with search servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Search {
    /// Start a search server, with what it held before, and print its URL
    Start {
        #[command(flatten)]
        port: Port,
        /// Settings of OpenSearch
        #[arg(value_name = "SETTING=VALUE")]
        settings: Vec<String>,
    },
    /// Stop a search server
    Stop {
        #[command(flatten)]
        port: Port,
        /// As a crash would
        #[arg(long)]
        kill: bool,
        /// Forget what it holds
        #[arg(long)]
        forget: bool,
    },
}

/// Which one.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Port {
    /// Where it listens on 127.0.0.1; each port is a server of its own
    #[arg(long, default_value_t = 9200)]
    port: u16,
}

impl Search {
    pub(crate) fn execute(&self) -> Result<()> {
        match self {
            Search::Start { port, settings } => port.start(settings),
            Search::Stop { port, kill, forget } => {
                port.stop(if *kill { Duration::ZERO } else { STOP })?;
                if *forget {
                    super::remove(&port.folder())?;
                }
                Ok(())
            }
        }
    }
}

impl Port {
    fn folder(self) -> PathBuf {
        root().join(format!("target/search-server/{}", self.port))
    }

    fn daemon(self) -> Result<Option<Daemon>> {
        match fs::read(self.folder().join("daemon.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn start(self, settings: &[String]) -> Result<()> {
        let url = format!("http://127.0.0.1:{}", self.port);
        let folder = self.folder();
        let log = folder.join("log");
        let daemon = match self.daemon()?.filter(|d| d.alive()) {
            Some(daemon) => daemon,
            None => {
                if self.answer().is_some() {
                    bail!(
                        "{url} answers already, and no search server was started there; right would be another --port"
                    );
                }
                let java = self.java(settings)?;
                fs::create_dir_all(&folder)?;
                say(&format!("starting a search server on port {}", self.port));
                let daemon = Daemon::start(&java, &log).context("starting a search server")?;
                fs::write(folder.join("daemon.json"), serde_json::to_vec(&daemon)?)?;
                daemon
            }
        };
        let answers =
            || self.answer().is_some_and(|a| a.starts_with("HTTP/1.1 200") || a.starts_with("HTTP/1.0 200"));
        daemon.wait_for(&log, PATIENCE, answers).context("waiting for the search server")?;
        println!("{url}");
        Ok(())
    }

    fn java(self, settings: &[String]) -> Result<Command> {
        let mut java = Command::new("java");
        // Small, and nothing of it is kept warm between two tests.
        java.args(["-Xms256m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]);
        java.arg(search_jars()?.join("*"));
        java.arg(root().join("e2e/search-server/SearchServer.java"));
        java.arg(self.folder().join("data")).arg(self.port.to_string()).args(settings);
        Ok(java)
    }

    fn stop(self, kindly: Duration) -> Result<()> {
        match self.daemon()? {
            Some(daemon) => daemon.stop(kindly).context("stopping the search server"),
            None => Ok(()),
        }
    }

    /// The start of what it says when it is asked for its name and version.
    fn answer(self) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).ok()?;
        Some(String::from_utf8_lossy(&start).into_owned())
    }
}
