//! What the flags ask for, checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hyper::Uri;
use hyper::http::uri::Scheme;

use super::batch::Limit;
use super::spool;
use crate::config::Config;

/// What the server leaves out of its answer: all but what is read.
const ANSWER_ONLY: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

/// Longest name of an index.
const INDEX_MAX: usize = 255;

/// The export, as the flags have it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests go.
    pub endpoint: Uri,
    /// Who the agent is.
    pub account: Account,
    /// The certificates that the server's is checked with; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The server's certificate is not checked.
    pub skip_verify: bool,
    /// What one request holds.
    pub limit: Limit,
    /// What is older is sent, however little it is.
    pub interval: Duration,
    /// The folder of the spool and its bytes; `None`: nothing goes to disk.
    pub spool: Option<(PathBuf, u64)>,
}

/// Files with credentials. They are read for each request: they may be replaced at any time.
#[derive(Clone, Debug)]
pub enum Account {
    /// No credentials.
    None,
    /// A user and a password.
    Basic {
        /// The file of the user's name.
        username: PathBuf,
        /// The file of the password.
        password: PathBuf,
    },
    /// An API key.
    ApiKey(PathBuf),
}

impl Settings {
    /// Reads the flags. `None`: the export is off.
    pub fn new(config: &Config) -> Result<Option<Settings>> {
        if config.export_elasticsearch_url.is_empty() {
            return Ok(None);
        }
        let index = &config.export_elasticsearch_index;
        check_index(index).with_context(|| format!("--export-elasticsearch-index {index:?}"))?;
        let url = &config.export_elasticsearch_url;
        // The URL may hold a password: it is not repeated.
        let endpoint = endpoint(url, index).context("--export-elasticsearch-url")?;
        let file = |path: &str| Some(PathBuf::from(path)).filter(|_| !path.is_empty());
        let ca_file = file(&config.export_elasticsearch_ca_file);
        let skip_verify = config.export_elasticsearch_insecure_skip_verify;
        let plain = endpoint.scheme() == Some(&Scheme::HTTP);
        ensure!(
            !plain || (ca_file.is_none() && !skip_verify),
            "--export-elasticsearch-ca-file and --export-elasticsearch-insecure-skip-verify are for https URLs, and \
             --export-elasticsearch-url is an http one"
        );
        ensure!(
            ca_file.is_none() || !skip_verify,
            "--export-elasticsearch-ca-file and --export-elasticsearch-insecure-skip-verify exclude each other"
        );
        let size = config.export_elasticsearch_spool_size.0;
        let spool = Some((config.export_elasticsearch_spool_dir.clone(), size)).filter(|_| size > 0);
        if let Some((dir, _)) = &spool {
            check_spool(dir)?;
        }
        let bytes = usize::try_from(config.export_elasticsearch_batch_bytes.0).unwrap_or(usize::MAX);
        ensure!(
            (1024..=100 << 20).contains(&bytes),
            "--export-elasticsearch-batch-bytes: from 1K to 100M, which is what servers take at most"
        );
        let interval = config.export_elasticsearch_flush_interval;
        ensure!(
            !interval.is_zero() && interval <= Duration::from_secs(3600),
            "--export-elasticsearch-flush-interval: more than 0, and 1h at most"
        );
        Ok(Some(Settings {
            account: account(config)?,
            limit: Limit { documents: config.export_elasticsearch_batch_size as usize, bytes },
            endpoint,
            ca_file,
            skip_verify,
            interval,
            spool,
        }))
    }

    /// Credentials go over the network for everybody to read.
    pub fn is_open(&self) -> bool {
        let here = matches!(self.endpoint.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        self.endpoint.scheme() == Some(&Scheme::HTTP) && !here && !matches!(self.account, Account::None)
    }
}

fn account(config: &Config) -> Result<Account> {
    let username = &config.export_elasticsearch_username_file;
    let password = &config.export_elasticsearch_password_file;
    let key = &config.export_elasticsearch_api_key_file;
    match (username.is_empty(), password.is_empty(), key.is_empty()) {
        (true, true, true) => Ok(Account::None),
        (false, false, true) => Ok(Account::Basic { username: username.into(), password: password.into() }),
        (true, true, false) => Ok(Account::ApiKey(key.into())),
        (false, true, true) => {
            bail!("--export-elasticsearch-username-file needs --export-elasticsearch-password-file")
        }
        (true, false, true) => {
            bail!("--export-elasticsearch-password-file needs --export-elasticsearch-username-file")
        }
        (_, _, false) => bail!(
            "--export-elasticsearch-api-key-file and --export-elasticsearch-username-file, \
             --export-elasticsearch-password-file exclude each other"
        ),
    }
}

/// `https://host:9200/prefix` and `index` make `https://host:9200/prefix/index/_bulk?...`.
fn endpoint(url: &str, index: &str) -> Result<Uri> {
    let wrong = "right would be such as https://elasticsearch.logging.svc:9200";
    let uri: Uri = url.parse().with_context(|| format!("it is no URL; {wrong}"))?;
    ensure!(
        matches!(uri.scheme().map(Scheme::as_str), Some("http" | "https")),
        "it is neither http:// nor https://; {wrong}"
    );
    let authority = uri.authority().with_context(|| format!("it has no host; {wrong}"))?;
    ensure!(
        !authority.as_str().contains('@'),
        "credentials in a URL end up in logs and in `ps`; put them into files and name those with \
         --export-elasticsearch-username-file and --export-elasticsearch-password-file, or \
         --export-elasticsearch-api-key-file"
    );
    ensure!(!authority.host().is_empty(), "it has no host; {wrong}");
    ensure!(uri.query().is_none(), "it has a query, which has no place before /{index}/_bulk; {wrong}");
    let path = uri.path().trim_end_matches('/');
    Uri::builder()
        .scheme(uri.scheme_str().unwrap_or_default())
        .authority(authority.as_str())
        .path_and_query(format!("{path}/{index}/_bulk?{ANSWER_ONLY}"))
        .build()
        .with_context(|| format!("no requests can be made to it; {wrong}"))
}

/// What the server would refuse, event by event.
fn check_index(index: &str) -> Result<()> {
    let right = "right would be a name such as tetragon or logs-tetragon-default";
    ensure!(!index.is_empty() && index.len() <= INDEX_MAX, "1 to {INDEX_MAX} characters; {right}");
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.+@%&()=~!;'".contains(c);
    if let Some(c) = index.chars().find(|c| !allowed(*c)) {
        bail!("names of indices have no {c:?}; {right}");
    }
    ensure!(
        !index.starts_with(['-', '_', '+']) && index != "." && index != "..",
        "names of indices do not begin with -, _ or +; {right}"
    );
    Ok(())
}

/// A folder that cannot be written to is told at the start, not when the server is away.
fn check_spool(dir: &Path) -> Result<()> {
    let test = dir.join(".writable");
    let written = spool::make_dir(dir)
        .and_then(|()| std::fs::write(&test, ""))
        .and_then(|()| std::fs::remove_file(&test));
    written.with_context(|| {
        format!(
            "--export-elasticsearch-spool-dir {}: cannot be written to; mount a folder there, or keep events in memory \
             only with --export-elasticsearch-spool-size 0",
            dir.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn settings(args: &[&str]) -> Result<Option<Settings>> {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().to_str().unwrap().to_owned();
        let first = ["tetragon", "--export-elasticsearch-spool-dir", &spool];
        Settings::new(&Config::try_parse_from(first.iter().chain(args)).unwrap())
    }

    const URL: &str = "--export-elasticsearch-url";

    #[test]
    fn the_endpoint() {
        assert!(settings(&[]).unwrap().is_none());
        let s = settings(&[URL, "http://search:9200/"]).unwrap().unwrap();
        assert_eq!(s.endpoint.to_string(), format!("http://search:9200/tetragon/_bulk?{ANSWER_ONLY}"));
        assert_eq!(
            (s.limit, s.interval),
            (Limit { documents: 1000, bytes: 5 << 20 }, Duration::from_secs(1))
        );
        assert_eq!(s.spool.as_ref().map(|s| s.1), Some(256 << 20));
        assert!(!s.is_open());
        let args = [URL, "https://h/es", "--export-elasticsearch-index", "logs-tetragon-default"];
        let s =
            settings(&[&args[..], &["--export-elasticsearch-spool-size", "0"]].concat()).unwrap().unwrap();
        assert_eq!(s.endpoint.to_string(), format!("https://h/es/logs-tetragon-default/_bulk?{ANSWER_ONLY}"));
        assert!(s.spool.is_none());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (args, part) in [
            (&["http://user:secret@host"][..], "--export-elasticsearch-password-file"),
            (&["ftp://host"], "neither http"),
            (&["host:9200"], "neither http"),
            (&["http://"], "no URL"),
            (&["http://host?x=1"], "query"),
            (&["http://h", "--export-elasticsearch-index", "Logs"], "no 'L'"),
            (&["http://h", "--export-elasticsearch-index", "_x"], "do not begin with"),
            (&["http://h", "--export-elasticsearch-index", ""], "1 to 255"),
            (&["http://h", "--export-elasticsearch-ca-file", "/ca"], "https"),
            (
                &["http://h", "--export-elasticsearch-username-file", "/u"],
                "needs --export-elasticsearch-password-file",
            ),
            (
                &[
                    "http://h",
                    "--export-elasticsearch-password-file",
                    "/u",
                    "--export-elasticsearch-api-key-file",
                    "/k",
                ],
                "exclude each other",
            ),
            (
                &["http://h", "--export-elasticsearch-spool-dir", "/proc/nothing"],
                "--export-elasticsearch-spool-size 0",
            ),
            (&["http://h", "--export-elasticsearch-batch-bytes", "10"], "from 1K"),
            (&["http://h", "--export-elasticsearch-flush-interval", "0"], "more than 0"),
        ] {
            let error = settings(&[&[URL], args].concat()).unwrap_err();
            let text = format!("{error:#}");
            assert!(
                text.contains(part) && text.contains("--export-elasticsearch") && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn credentials_over_http_are_worth_a_warning() {
        let key = ["--export-elasticsearch-api-key-file", "/k"];
        for (url, open) in [("http://h:1", true), ("https://h:1", false), ("http://127.0.0.1:1", false)] {
            assert_eq!(
                settings(&[&[URL, url], &key[..]].concat()).unwrap().unwrap().is_open(),
                open,
                "{url}"
            );
        }
    }
}
