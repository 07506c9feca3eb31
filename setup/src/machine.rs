//! What would stop a command later, found in its first seconds and said all at once: rights, disk, memory,
//! devices, addresses, ports, package sources.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::packages::{self, Kind};
use crate::tools::{cache, command, find, is_root, output, root};

/// How long a package source may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// The first two numbers of the addresses of the test bed's clusters, as /proc/net/route has them: 10.96 and 10.97.
const ADDRESSES: [(&str, &str); 2] = [("600A", "10.96.0.0/16"), ("610A", "10.97.0.0/16")];

/// Where the programs of a cluster listen, each at an address of the cluster: API server, etcd (clients and peers),
/// kubelet, controllers, scheduler.
const PORTS: [u16; 6] = [443, 2379, 2380, 10250, 10257, 10259];
/// A loopback address that nobody has: only a listener at all addresses is in the way there.
const NOBODY: &str = "127.96.255.254";

/// What a command needs of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Of the disk, in GB, on a machine that has nothing yet.
    pub disk: u64,
    /// Of free memory, in GB.
    pub memory: u64,
    /// Networks and mounts of its own, for clusters.
    pub cluster: bool,
    /// Packages.
    pub packages: &'static [Kind],
}

/// Everything that stands in the way, each with what would be right. Empty: nothing does.
#[must_use]
pub fn problems(needs: &Needs) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(architecture());
    problems.extend(rights(needs));
    problems.extend(disk(needs.disk));
    problems.extend(memory(needs.memory));
    if needs.cluster {
        problems.extend(devices());
        problems.extend(addresses());
        problems.extend(PORTS.into_iter().filter_map(port));
    }
    problems.extend(sources(needs.packages));
    problems
}

fn architecture() -> Option<String> {
    let is = std::env::consts::ARCH;
    (is != "x86_64")
        .then(|| format!("this machine is {is}; the test bed's guests and packages are for x86_64"))
}

fn rights(needs: &Needs) -> Option<String> {
    if is_root() {
        return None;
    }
    if needs.cluster {
        return Some(
            "networks and cgroups of a cluster need root; right would be: sudo env \"PATH=$PATH\" \"HOME=$HOME\" make ..."
                .into(),
        );
    }
    let missing = packages::missing(needs.packages);
    (!missing.is_empty() && find("sudo").is_none())
        .then(|| format!("packages must be installed as root, and there is no sudo: {}", missing.join(" ")))
}

/// Free room, and what the repository takes already: it counts as found.
fn disk(wanted: u64) -> Option<String> {
    let number =
        |text: &str| text.lines().last().and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    let free = output(command("df", ["--output=avail", "--block-size=1GB"]).arg(root())).ok();
    // A machine that cannot say it is not refused for that: the work will say so.
    let free = number(&free?)?;
    if free >= wanted {
        return None;
    }
    let folders = [root().join("target"), cache()];
    let folders = folders.iter().filter(|f| f.is_dir());
    let ours = output(command("du", ["-sxc", "--block-size=1GB"]).args(folders)).ok();
    let ours = ours.and_then(|o| number(&o)).unwrap_or(0);
    (free + ours < wanted).then(|| {
        format!(
            "{} has {free} GB free and {ours} GB of earlier builds; {wanted} GB are needed",
            root().display()
        )
    })
}

fn memory(wanted: u64) -> Option<String> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let free = line.split_whitespace().next()?.parse::<u64>().ok()? / 1_000_000;
    (free < wanted).then(|| format!("{free} GB of memory are free; {wanted} GB are needed"))
}

fn devices() -> Option<String> {
    let tun = Path::new("/dev/net/tun");
    (!tun.exists())
        .then(|| format!("{} is missing, by which guests have a network: modprobe tun", tun.display()))
}

/// A route of somebody else's to addresses that clusters here have: usually another Kubernetes on this machine.
fn addresses() -> Vec<String> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let taken = |prefix: &str| {
        routes.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace();
            let (interface, to) = (fields.next()?, fields.next()?);
            // Little-endian: 10.97.16.0 is 0010610A.
            (to.ends_with(prefix) && !interface.starts_with("tetragon")).then(|| interface.to_owned())
        })
    };
    ADDRESSES
        .iter()
        .filter_map(|(prefix, network)| {
            let interface = taken(prefix)?;
            Some(format!("{network} is in use by the interface {interface}, and clusters here have it"))
        })
        .collect()
}

/// A listener of somebody else's at all of the machine's addresses.
fn port(port: u16) -> Option<String> {
    let bound = TcpListener::bind((NOBODY, port));
    // Without the right to ask, the lack of rights is the problem that is said.
    bound.is_err_and(|e| e.kind() == ErrorKind::AddrInUse).then(|| {
        format!(
            "port {port} is in use at all addresses of this machine, and clusters here need it at theirs; `ss -ltnp \
             sport = :{port}` shows by whom"
        )
    })
}

/// Sources that do not answer, of those from which something is missing.
fn sources(kinds: &[Kind]) -> Vec<String> {
    let mut problems = Vec::new();
    let (send, receive) = channel();
    let crates = std::thread::spawn(crates_are_missing);
    if !packages::missing(kinds).is_empty() {
        for (host, port) in debian_sources() {
            let send = send.clone();
            std::thread::spawn(move || {
                let _ = send.send((host.clone(), answers(&host, port)));
            });
        }
    }
    drop(send);
    for (host, answers) in receive {
        if !answers {
            problems.push(format!(
                "packages are missing, and their source {host} does not answer: is the network there, or is a \
                 proxy needed (Acquire::http::Proxy)?"
            ));
        }
    }
    problems.extend(crates.join().unwrap_or_default());
    problems
}

/// Whether a connection is accepted.
fn answers(host: &str, port: u16) -> bool {
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses.take(2).any(|address| TcpStream::connect_timeout(&address, ANSWER).is_ok())
}

/// Hosts and ports that apt asks; none when it asks a proxy, which is the proxy's matter.
fn debian_sources() -> Vec<(String, u16)> {
    let proxy = output(&mut command("apt-config", ["dump", "Acquire::http::Proxy"])).unwrap_or_default();
    if !proxy.trim().is_empty() || std::env::var_os("http_proxy").is_some() {
        return Vec::new();
    }
    let said =
        output(&mut command("apt-get", ["indextargets", "--format", "$(SITE)", "Created-By: Packages"]));
    let mut hosts: Vec<_> = said.unwrap_or_default().lines().filter_map(host_of).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// `("mirror", 80)` of `http://mirror/debian`.
fn host_of(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), port)),
    }
}

/// What cargo says when crates are missing and their registry does not answer.
fn crates_are_missing() -> Option<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let fetch = |more: &str| {
        let mut fetch = command(&cargo, ["fetch", "--locked", "--quiet", more]);
        fetch.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null());
        fetch.env("CARGO_NET_RETRY", "0").env("CARGO_HTTP_TIMEOUT", "4");
        fetch
    };
    let ended = fetch("--offline").stderr(Stdio::null()).status();
    if ended.is_ok_and(|s| s.success()) {
        return None;
    }
    // It goes on downloading when it takes longer than this check: that is its work.
    let mut fetch = fetch("--color=never").stderr(Stdio::piped()).spawn().ok()?;
    let end = std::time::Instant::now() + Duration::from_secs(4);
    while std::time::Instant::now() < end {
        match fetch.try_wait().ok()? {
            Some(status) if status.success() => return None,
            Some(_) => {
                let said = fetch.wait_with_output().ok()?.stderr;
                let said = String::from_utf8_lossy(&said).trim().replace('\n', "\n    ");
                return Some(format!("crates are missing, and cargo cannot get them: {said}"));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Needs = Needs { disk: u64::MAX, memory: u64::MAX, cluster: true, packages: &[] };

    #[test]
    fn all_problems_are_said_at_once() {
        let problems = problems(&EVERYTHING);
        for words in ["GB free", "GB of memory"] {
            assert!(problems.iter().any(|p| p.contains(words)), "{words}: {problems:?}");
        }
    }

    #[test]
    fn a_port_is_in_use_only_at_all_addresses() {
        for (address, in_use) in [("0.0.0.0", true), ("127.0.0.1", false)] {
            let listener = TcpListener::bind((address, 0)).expect("a free port");
            let number = listener.local_addr().expect("bound").port();
            assert_eq!(port(number).is_some(), in_use, "{address}");
        }
    }

    #[test]
    fn hosts_of_sources() {
        assert_eq!(host_of("http://mirror/debian"), Some(("mirror".into(), 80)));
        assert_eq!(host_of("https://m:8443/debian/"), Some(("m".into(), 8443)));
        assert_eq!(host_of("cdrom:[Debian]"), None);
    }

    #[test]
    fn a_source_that_is_not_there_is_seen() {
        // Port 9 of a loopback address: nothing listens.
        assert!(!answers("127.0.0.1", 9));
    }
}
