//! Where the agent listens, when the command line does not say it.

use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use tonic::transport::Endpoint;

/// What the agent on this host writes about itself.
const INFO_FILE: &str = "/var/run/tetragon/tetragon-info.json";
/// The socket that an agent opens besides a TCP address.
const SOCKET: &str = "/var/run/tetragon/tetragon.sock";
/// The agent's default.
const DEFAULT: &str = "localhost:54321";

/// The address to use: the one given, else the agent's own word, else its socket, else the default.
pub(crate) fn resolve(given: Option<&str>) -> String {
    resolve_in(given, Path::new(INFO_FILE), Path::new(SOCKET))
}

fn resolve_in(given: Option<&str>, info: &Path, socket: &Path) -> String {
    if let Some(address) = given.filter(|a| !a.is_empty()) {
        return address.to_owned();
    }
    if let Some(address) = announced(info) {
        return address;
    }
    if socket.exists() { format!("unix://{}", socket.display()) } else { DEFAULT.to_owned() }
}

/// The address in the agent's information file. A file that is not there or not readable says nothing.
fn announced(info: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Info {
        server_address: String,
    }
    let text = std::fs::read(info).ok()?;
    let info: Info = serde_json::from_slice(&text).ok()?;
    Some(info.server_address).filter(|a| !a.is_empty())
}

/// The endpoint of an address in any of the forms that gRPC tools know.
pub(crate) fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    let target = if address.starts_with("unix:") {
        address.to_owned()
    } else if address.starts_with("https://") {
        bail!("{address}: write HOST:PORT, and switch TLS on with --tls-ca-cert-files FILE");
    } else {
        let plain = ["http://", "dns:///", "passthrough:///"]
            .iter()
            .find_map(|prefix| address.strip_prefix(prefix))
            .unwrap_or(address);
        let host = if plain.starts_with(':') { "localhost" } else { "" };
        if plain.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            bail!("server address {address:?} has no port; write HOST:PORT or unix:///PATH");
        }
        format!("http://{host}{plain}")
    };
    Endpoint::from_shared(target)
        .with_context(|| format!("server address {address:?} is not HOST:PORT or unix:///PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_comes_first_then_the_agent_then_its_socket() {
        let dir = tempfile::tempdir().expect("a folder");
        let (info, socket) = (dir.path().join("info.json"), dir.path().join("s.sock"));
        let resolve = |given| resolve_in(given, &info, &socket);
        assert_eq!(resolve(None), DEFAULT);
        std::fs::write(&socket, "").expect("written");
        assert_eq!(resolve(None), format!("unix://{}", socket.display()));
        for (text, wanted) in [
            (r#"{"server_address":""}"#, format!("unix://{}", socket.display())),
            ("not JSON", format!("unix://{}", socket.display())),
            (r#"{"server_address":"localhost:1","other":1}"#, "localhost:1".to_owned()),
        ] {
            std::fs::write(&info, text).expect("written");
            assert_eq!(resolve(None), wanted, "{text}");
        }
        assert_eq!(resolve(Some("h:2")), "h:2");
    }

    #[test]
    fn addresses_in_all_forms() {
        for (address, wanted) in [
            ("localhost:54321", "http://localhost:54321/"),
            (":54321", "http://localhost:54321/"),
            ("dns:///node:1", "http://node:1/"),
            ("http://node:1", "http://node:1/"),
            ("[::1]:5", "http://[::1]:5/"),
        ] {
            assert_eq!(endpoint(address).expect(address).uri().to_string(), wanted);
        }
        for (address, wanted) in [
            ("localhost", "has no port"),
            ("https://a:1", "switch TLS on with"),
            ("a b:1", "is not HOST:PORT"),
        ] {
            let error = endpoint(address).expect_err(address).to_string();
            assert!(error.contains(wanted), "{error}");
        }
        assert!(endpoint("unix:///var/run/x.sock").is_ok());
    }
}
