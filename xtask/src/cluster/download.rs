//! Programs of a cluster from the hosts of their makers: quicker than building them, where those hosts answer. What is
//! downloaded is taken only if its digest is the one that stands here.
//!
//! `TETRAGON_XTASK_DOWNLOADS` is another host for both (`http://127.0.0.1:8000`), or `off`.

use std::fs;
use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::progress::{self, Counting};
use crate::tools::{command, find, output, say};

/// Chooses another host, or none.
const HOST: &str = "TETRAGON_XTASK_DOWNLOADS";
/// How long a host may take to accept a connection.
const ANSWER: Duration = Duration::from_secs(2);

/// Something to download: its host, its path there, and its SHA-256.
struct Download {
    host: &'static str,
    path: String,
    digest: &'static str,
}

/// Digests of helm's archives, by version.
const HELM: &[(&str, &str)] =
    &[("v3.22.0", "1e4ab49e429626cf6c6958d914248b78c9730803c2751b87627e171dc800e7bb")];
/// Digests of Kubernetes' programs, by version and name. A program that is missing here is built.
const KUBERNETES: &[(&str, &str, &str)] = &[];

/// Gets helm; false: it must be built.
pub(super) fn helm(version: &str, to: &Path) -> Result<bool> {
    let Some((_, digest)) = HELM.iter().find(|(v, _)| *v == version) else { return Ok(false) };
    let name = format!("helm-{version}-linux-amd64.tar.gz");
    let download = Download { host: "https://get.helm.sh", path: name, digest };
    let archive = to.with_extension("tar.gz");
    if !download.get(&archive)? {
        return Ok(false);
    }
    let unpacked = output(
        command("tar", ["-xzf"])
            .arg(&archive)
            .args(["--to-stdout", "linux-amd64/helm"])
            .stdout(fs::File::create(to)?),
    );
    fs::remove_file(archive)?;
    unpacked?;
    executable(to)?;
    Ok(true)
}

/// Gets a program of Kubernetes; false: it must be built.
pub(super) fn kubernetes(name: &str, version: &str, to: &Path) -> Result<bool> {
    let known = KUBERNETES.iter().find(|(v, n, _)| *v == version && *n == name);
    let Some((.., digest)) = known else { return Ok(false) };
    let path = format!("release/{version}/bin/linux/amd64/{name}");
    let there = Download { host: "https://dl.k8s.io", path, digest }.get(to)?;
    if there {
        executable(to)?;
    }
    Ok(there)
}

fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

impl Download {
    /// Downloads to a file; false: the host does not answer, or there is no curl.
    fn get(&self, to: &Path) -> Result<bool> {
        let chosen = std::env::var(HOST).ok();
        self.get_from(chosen.as_deref(), to)
    }

    fn get_from(&self, chosen: Option<&str>, to: &Path) -> Result<bool> {
        let host = match chosen {
            Some("off") => return Ok(false),
            Some(other) => other.trim_end_matches('/'),
            None => self.host,
        };
        if find("curl").is_none() || !answers(host) {
            return Ok(false);
        }
        let url = format!("{host}/{}", self.path);
        say(&format!("cluster: downloading {url}"));
        let mut curl =
            command("curl", ["--fail", "--location", "--silent", "--show-error", "--max-time", "900"]);
        curl.arg("--output").arg(to).arg(&url);
        if let Err(error) = progress::run("downloading", &mut curl, Counting::Nothing) {
            say(&format!("cluster: {error:#}; building it instead"));
            return Ok(false);
        }
        let bytes = fs::read(to)?;
        let is: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if is != self.digest {
            fs::remove_file(to)?;
        }
        ensure!(
            is == self.digest,
            "{url} has the SHA-256 {is}, expected {}; right would be {HOST}=off, which builds the program \
             instead",
            self.digest
        );
        let _ = writeln!(
            std::io::stderr(),
            "    {:.1} MB, with the digest that is checked in",
            megabytes(bytes.len())
        );
        Ok(true)
    }
}

fn megabytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// Whether a host accepts connections.
fn answers(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let port = if scheme == "http" { 80 } else { 443 };
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:{port}") };
    let found = address.to_socket_addrs().with_context(|| format!("looking up {address}"));
    found.is_ok_and(|all| all.into_iter().take(2).any(|a| TcpStream::connect_timeout(&a, ANSWER).is_ok()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::path::PathBuf;

    use super::*;

    const DIGEST: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

    /// A server that answers one request with `hello world`, or says that there is nothing.
    fn server(status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            // The first connection only looks whether somebody is there.
            for stream in listener.incoming().take(2) {
                let mut stream = stream.expect("a connection");
                let mut request = [0; 512];
                if stream.read(&mut request).expect("a request") > 0 {
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 11\r\n\r\nhello world");
                    stream.write_all(answer.as_bytes()).expect("an answer");
                }
            }
        });
        url
    }

    fn get(digest: &'static str, from: Option<&str>, name: &str) -> (Result<bool>, PathBuf) {
        let to = std::env::temp_dir().join(format!("tetragon-download-{name}-{}", std::process::id()));
        let download = Download { host: "http://127.0.0.1:9", path: "a/file".into(), digest };
        (download.get_from(from, &to), to)
    }

    #[test]
    fn what_has_the_right_digest_is_taken() {
        let (got, file) = get(DIGEST, Some(&server("200 OK")), "right");
        assert!(got.expect("it is taken"));
        assert_eq!(fs::read(&file).expect("a file"), b"hello world");
        fs::remove_file(file).expect("it goes");
    }

    #[test]
    fn what_has_another_digest_is_refused_and_removed() {
        let (got, file) = get(HELM[0].1, Some(&server("200 OK")), "wrong");
        let error = got.expect_err("it is refused").to_string();
        assert!(error.contains(DIGEST) && error.contains("TETRAGON_XTASK_DOWNLOADS=off"), "{error}");
        assert!(!file.exists());
    }

    #[test]
    fn what_is_not_there_is_built() {
        assert!(!get(DIGEST, Some(&server("404 Not Found")), "missing").0.expect("no error"));
        assert!(!get(DIGEST, None, "nobody").0.expect("no error"), "nobody answers");
        assert!(!get(DIGEST, Some("off"), "off").0.expect("no error"));
    }
}
