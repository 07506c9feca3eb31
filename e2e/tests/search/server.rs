//! A real search server for the test: started, asked, killed and started again on the same data.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// How long the server may take until it answers. On two busy cores it takes ten seconds.
const STARTS_WITHIN: Duration = Duration::from_secs(300);

/// What to install when it cannot run.
const NEEDS: &str = "apt-get install maven openjdk-17-jdk-headless";

/// The server, with its data.
pub(crate) struct Server {
    child: Option<Child>,
    classpath: String,
    home: PathBuf,
    port: u16,
}

impl Server {
    /// A server that does not run yet.
    pub(crate) fn new(home: &Path) -> Result<Server> {
        // Free now; whoever takes it in between makes the start fail, not the test pass.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Server { child: None, classpath: classpath()?, home: home.to_owned(), port })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it, with settings of its own, and waits until it answers.
    pub(crate) fn start(&mut self, settings: &[&str]) -> Result<Duration> {
        let since = Instant::now();
        std::fs::create_dir_all(&self.home)?;
        let log = std::fs::File::create(self.home.join("server.log"))?;
        let child = Command::new("java")
            // A small machine runs other tests beside it.
            .args(["-Xms256m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", &self.classpath])
            .arg(folder().join("SearchServer.java"))
            .arg(&self.home)
            .arg(self.port.to_string())
            .args(settings)
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("java cannot be started; {NEEDS}"))?;
        self.child = Some(child);
        while self.ask("GET", "/_cluster/health?wait_for_status=yellow", "").is_err() {
            let ended = self.child.as_mut().and_then(|c| c.try_wait().transpose()).transpose()?;
            if ended.is_some() || since.elapsed() > STARTS_WITHIN {
                let log = std::fs::read_to_string(self.home.join("server.log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                bail!(
                    "the search server does not start; its last words, the newest first:\n{}",
                    tail.join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(since.elapsed())
    }

    /// Kills it, with no time to say anything.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks something; an answer other than 2xx is an error.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path}: {status} {body}");
        serde_json::from_str(body).with_context(|| format!("{method} {path}: {body}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What cannot be killed is dead.
        let _ = self.kill();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("search-server")
}

/// The server's jars: found or fetched by Maven, once per version of pom.xml.
fn classpath() -> Result<String> {
    let pom = folder().join("pom.xml");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("search-server.classpath");
    let fresh = || -> Option<String> {
        let known = file.metadata().ok()?.modified().ok()?;
        let text = std::fs::read_to_string(&file).ok()?;
        let there = text.split(':').all(|jar| Path::new(jar).is_file());
        (known > pom.metadata().ok()?.modified().ok()? && there).then_some(text)
    };
    if let Some(text) = fresh() {
        return Ok(text);
    }
    let status = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:build-classpath", "--file"])
        .arg(&pom)
        .arg(format!("-Dmdep.outputFile={}", file.display()))
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("mvn cannot be started; {NEEDS}"))?;
    ensure!(status.success(), "mvn could not get the jars of {}: {status}", pom.display());
    fresh().context("mvn named jars that are not there")
}
