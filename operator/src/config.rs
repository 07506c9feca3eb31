//! The operator's command line: Tetragon's flags where it has them. A flag is also an environment
//! variable (`TETRAGON_OPERATOR_` and the name in upper case) and a file in a configuration
//! directory.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::http::Uri;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use rustls::pki_types::ServerName;

use tetragon_daemon::flags::{LoadError, read_config_dir, weaker_arguments};
use tetragon_daemon::log;

const EXAMPLES: &str = "\
Examples:
  # In a pod, as the chart starts it:
  tetragon-operator serve --config-dir /etc/tetragon/operator.conf.d

  # Outside, against a cluster whose API server reaches this machine:
  tetragon-operator serve --kube-config ~/.kube/config --namespace kube-system \\
      --webhook-url https://192.0.2.7:9443/validate

  # The definitions of the custom resources:
  tetragon-operator crds | kubectl apply --server-side -f -

Exit codes: 0 stopped by a signal; 1 could not start or run; 2 a flag is wrong; 101 a defect (a panic).";

/// The control plane of tetragon-rs: compiles tracing policies, publishes them to the nodes, and
/// tells what became of them there.
#[derive(Clone, Debug, Parser)]
#[command(name = "tetragon-operator", version, after_help = EXAMPLES, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the operator
    Serve(Box<Serve>),
    /// Print the definitions of the custom resources as YAML
    Crds,
    /// Generate the autocompletion script for the specified shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

const CLUSTER: &str = "Cluster";
const CRDS: &str = "Custom resource definitions";
const LEADER: &str = "Leader election";
const WEBHOOK: &str = "Admission webhook";
const SHOWN: &str = "Metrics, probes and log";

/// Flags of `serve`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Serve {
    /// Folder with a file per flag: the file's name is the flag's, its content the value
    #[arg(long, env = "TETRAGON_OPERATOR_CONFIG_DIR", value_name = "DIR")]
    pub config_dir: Option<PathBuf>,

    /// Kubeconfig; without it KUBECONFIG, and in a pod its service account
    #[arg(
        long,
        env = "TETRAGON_OPERATOR_KUBE_CONFIG",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true,
        help_heading = CLUSTER
    )]
    pub kube_config: String,

    /// Namespace of plans, lease and certificates; without it the one of the kubeconfig or pod
    #[arg(long, env = "POD_NAMESPACE", value_name = "NS", default_value = "", hide_default_value = true, help_heading = CLUSTER)]
    pub namespace: String,

    /// Install no definitions
    #[arg(long, env = "TETRAGON_OPERATOR_SKIP_CRD_CREATION", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, help_heading = CRDS)]
    pub skip_crd_creation: bool,

    /// Replace definitions of a newer version too
    #[arg(long, env = "TETRAGON_OPERATOR_FORCE_UPDATE_CRDS", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, help_heading = CRDS)]
    pub force_update_crds: bool,

    /// Do not install those of TracingPolicy and TracingPolicyNamespaced
    #[arg(long, env = "TETRAGON_OPERATOR_SKIP_TRACING_POLICY_CRD", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, help_heading = CRDS)]
    pub skip_tracing_policy_crd: bool,

    /// Do not install that of PodInfo, and write no PodInfo objects
    #[arg(long, env = "TETRAGON_OPERATOR_SKIP_POD_INFO_CRD", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, help_heading = CRDS)]
    pub skip_pod_info_crd: bool,

    /// Several operators: one leads, the others answer the webhook and stand by
    #[arg(long, env = "TETRAGON_OPERATOR_LEADER_ELECTION", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, help_heading = LEADER)]
    pub leader_election: bool,

    /// Namespace of the lease; without it the one of --namespace
    #[arg(long, env = "TETRAGON_OPERATOR_LEADER_ELECTION_NAMESPACE", value_name = "NS", default_value = "", hide_default_value = true, help_heading = LEADER)]
    pub leader_election_namespace: String,

    /// A lease that was not renewed for this long is taken over
    #[arg(long, env = "TETRAGON_OPERATOR_LEADER_ELECTION_LEASE_DURATION", value_name = "DURATION", default_value = "15s", value_parser = parse_duration, help_heading = LEADER)]
    pub leader_election_lease_duration: Duration,

    /// A leader that could not renew the lease for this long stops
    #[arg(long, env = "TETRAGON_OPERATOR_LEADER_ELECTION_RENEW_DEADLINE", value_name = "DURATION", default_value = "5s", value_parser = parse_duration, help_heading = LEADER)]
    pub leader_election_renew_deadline: Duration,

    /// Time between two attempts to take or renew the lease
    #[arg(long, env = "TETRAGON_OPERATOR_LEADER_ELECTION_RETRY_PERIOD", value_name = "DURATION", default_value = "2s", value_parser = parse_duration, help_heading = LEADER)]
    pub leader_election_retry_period: Duration,

    /// Where the API server's questions are answered (/validate); empty: nowhere
    #[arg(long, env = "TETRAGON_OPERATOR_WEBHOOK_ADDRESS", value_name = "ADDRESS", default_value = ":9443", value_parser = parse_address, help_heading = WEBHOOK)]
    pub webhook_address: Address,

    /// The Service of the webhook: the certificate is for its name
    #[arg(
        long,
        env = "TETRAGON_OPERATOR_WEBHOOK_SERVICE",
        value_name = "NAME",
        default_value = "tetragon-operator-webhook",
        help_heading = WEBHOOK
    )]
    pub webhook_service: String,

    /// Where the API server reaches the webhook, if it does not reach Services:
    /// https://HOST:PORT/validate. The certificate is for that host then
    #[arg(long, env = "TETRAGON_OPERATOR_WEBHOOK_URL", value_name = "URL", default_value = "", hide_default_value = true, help_heading = WEBHOOK)]
    pub webhook_url: String,

    /// The ValidatingWebhookConfiguration that gets the certificate's authority; empty: none
    #[arg(
        long,
        env = "TETRAGON_OPERATOR_WEBHOOK_CONFIGURATION",
        value_name = "NAME",
        default_value = "tetragon-operator",
        help_heading = WEBHOOK
    )]
    pub webhook_configuration: String,

    /// The Secret that the certificate is kept in
    #[arg(
        long,
        env = "TETRAGON_OPERATOR_WEBHOOK_SECRET",
        value_name = "NAME",
        default_value = "tetragon-operator-webhook",
        help_heading = WEBHOOK
    )]
    pub webhook_secret: String,

    /// Where /metrics is served; empty: nowhere
    #[arg(long, alias = "metrics-bind-address", env = "TETRAGON_OPERATOR_METRICS_ADDRESS", value_name = "ADDRESS", default_value = ":2113", value_parser = parse_address, help_heading = SHOWN)]
    pub metrics_address: Address,

    /// Where /healthz and /readyz are served; empty: nowhere
    #[arg(long, env = "TETRAGON_OPERATOR_HEALTH_PROBE_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8081", value_parser = parse_address, help_heading = SHOWN)]
    pub health_probe_bind_address: Address,

    /// trace, debug, info, warn or error
    #[arg(long, env = "TETRAGON_OPERATOR_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level, help_heading = SHOWN)]
    pub log_level: tracing::Level,

    /// How the log looks; it goes to standard error
    #[arg(long, env = "TETRAGON_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "text", help_heading = SHOWN)]
    pub log_format: log::Format,
}

/// Where to listen; `None`: nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub Option<String>);

/// Whom API servers ask for: the name or address that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(pub(crate) String);

impl Host {
    /// Of a Service.
    pub fn of_service(service: &str, namespace: &str) -> Host {
        Host(format!("{service}.{namespace}.svc"))
    }

    /// Of the host of an https URL.
    pub fn of_url(url: &str) -> Result<Host> {
        let uri: Uri = url.parse().context("it is no URL")?;
        if uri.scheme_str() != Some("https") {
            bail!("API servers ask webhooks over https only");
        }
        if uri.query().is_some()
            || url.contains('#')
            || uri.authority().is_some_and(|a| a.as_str().contains('@'))
        {
            bail!("API servers take no webhook URL with a user, a query or a fragment");
        }
        let host = uri.host().context("it has no host")?.trim_matches(['[', ']']);
        let host = Host(host.to_owned());
        host.server()?;
        Ok(host)
    }

    pub(crate) fn server(&self) -> Result<ServerName<'_>> {
        ServerName::try_from(self.0.as_str())
            .with_context(|| format!("{:?} is neither a name nor an address", self.0))
    }
}

impl Cli {
    /// Reads the command line, the environment and the configuration folder. `Err`: what is wrong,
    /// for standard error; help and version are errors of clap too, that print to standard output.
    pub fn load(args: &[OsString]) -> Result<Cli, LoadError> {
        let first = Cli::command().try_get_matches_from(args)?;
        let dir = first.subcommand_matches("serve").and_then(|m| m.get_one::<PathBuf>("config_dir"));
        let matches = match (dir, first.subcommand_matches("serve")) {
            (Some(dir), Some(serve)) => {
                let mut all = args.to_vec();
                all.extend(from_dir(dir, serve)?);
                Cli::command().try_get_matches_from(all)?
            }
            _ => first,
        };
        let cli = Cli::from_arg_matches(&matches)?;
        if let Command::Serve(serve) = &cli.command {
            serve.check()?;
        }
        Ok(cli)
    }
}

/// What the files of a folder say, as arguments. The command line and the environment are stronger.
fn from_dir(dir: &Path, serve: &clap::ArgMatches) -> Result<Vec<OsString>, LoadError> {
    let mut settings = read_config_dir(dir, true)?;
    // The ConfigMap of Tetragon's chart says it under the other name.
    if let Some(address) = settings.remove("metrics-bind-address") {
        settings.insert("metrics-address".into(), address);
    }
    weaker_arguments(settings, serve, "tetragon-operator serve --help")
}

impl Serve {
    /// Rules between flags, and values that clap cannot check.
    fn check(&self) -> Result<()> {
        let (lease, renew, retry) = (
            self.leader_election_lease_duration,
            self.leader_election_renew_deadline,
            self.leader_election_retry_period,
        );
        if lease <= renew {
            bail!(
                "--leader-election-lease-duration {lease:?}: must be longer than \
                 --leader-election-renew-deadline {renew:?}, or a second leader begins before the first has stopped"
            );
        }
        if renew <= retry || retry.is_zero() {
            bail!(
                "--leader-election-retry-period {retry:?}: must be above zero and shorter than \
                 --leader-election-renew-deadline {renew:?}, or the lease is lost before it is renewed"
            );
        }
        if lease < Duration::from_secs(1) {
            bail!(
                "--leader-election-lease-duration {lease:?}: a Lease counts in seconds; right would be 15s"
            );
        }
        if self.webhook_address.0.is_some() {
            self.webhook_host("default")?;
        }
        Ok(())
    }

    /// What the webhook's certificate is for.
    pub fn webhook_host(&self, namespace: &str) -> Result<Host> {
        if self.webhook_url.is_empty() {
            return Ok(Host::of_service(&self.webhook_service, namespace));
        }
        Host::of_url(&self.webhook_url).with_context(|| {
            format!("--webhook-url {:?}: right would be https://HOST:PORT/validate", self.webhook_url)
        })
    }
}

/// A duration as Go writes it.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; right would be such as 500ms, 15s or 10m");
    // Longer numbers would overflow in the parser.
    if text.is_empty() || text.len() > 12 {
        return Err(wrong());
    }
    let parsed: kube::core::Duration = text.parse().map_err(|_| wrong())?;
    if parsed.is_negative() { Err(wrong()) } else { Ok(parsed.into()) }
}

/// `HOST:PORT` or `:PORT`. Empty, and controller-runtime's `0`: nowhere.
fn parse_address(text: &str) -> Result<Address, String> {
    if matches!(text, "" | "0") {
        return Ok(Address(None));
    }
    let wrong =
        || format!("{text:?}: right would be HOST:PORT, such as 127.0.0.1:8081, or :8081 for all addresses");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    // A bare IPv6 address would lose its last group to the port.
    if host.contains(':') && text.parse::<SocketAddr>().is_err() {
        return Err(wrong());
    }
    Ok(Address(Some(text.to_owned())))
}

fn parse_level(text: &str) -> Result<tracing::Level, String> {
    text.parse().map_err(|_| format!("{text:?} is not one of trace, debug, info, warn, error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(args: &[&str]) -> Result<Serve, String> {
        let args: Vec<OsString> =
            ["tetragon-operator", "serve"].iter().chain(args).map(OsString::from).collect();
        match Cli::load(&args) {
            Ok(Cli { command: Command::Serve(serve) }) => Ok(*serve),
            Ok(other) => panic!("{other:?}"),
            Err(LoadError::Clap(e)) => Err(e.to_string()),
            Err(LoadError::Other(e)) => Err(format!("{e:#}")),
        }
    }

    #[test]
    fn defaults() {
        Cli::command().debug_assert();
        let c = load(&[]).unwrap();
        assert_eq!(c.metrics_address.0.as_deref(), Some(":2113"));
        assert_eq!(c.health_probe_bind_address.0.as_deref(), Some(":8081"));
        assert!(!c.leader_election && !c.skip_crd_creation);
        assert_eq!(c.leader_election_lease_duration, Duration::from_secs(15));
    }

    #[test]
    fn nowhere_and_booleans() {
        let c = load(&["--metrics-bind-address", "0", "--webhook-address=", "--leader-election"]).unwrap();
        assert_eq!((c.metrics_address.0, c.webhook_address.0, c.leader_election), (None, None, true));
        assert!(!load(&["--leader-election=false"]).unwrap().leader_election);
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (args, text) in [
            (["--leader-election-lease-duration", "5s"], "longer than --leader-election-renew-deadline"),
            (["--leader-election-retry-period", "5s"], "shorter than --leader-election-renew-deadline"),
            (["--leader-election-retry-period", "soon"], "500ms"),
            (["--leader-election-retry-period", "9999999999999999h"], "500ms"),
            (["--metrics-address", "2113"], "HOST:PORT"),
            (["--metrics-address", "fe80::1:99999"], "HOST:PORT"),
            (["--webhook-url", "http://127.0.0.1/validate"], "https://HOST:PORT/validate"),
            (["--log-level", "loud"], "trace, debug"),
        ] {
            let error = load(&args).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        assert_eq!(Host::of_url("https://127.0.0.1:9443/validate").unwrap(), Host("127.0.0.1".into()));
        assert_eq!(Host::of_url("https://[::1]:9443/x").unwrap(), Host("::1".into()));
        assert_eq!(Host::of_url("https://hook.example.org/").unwrap(), Host("hook.example.org".into()));
        for wrong in ["", "http://a/", "https:///x", "https://a b/", "https://under score/"] {
            assert!(Host::of_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_configuration_folder_is_weaker_than_flags() {
        let dir = tempfile::tempdir().unwrap();
        let flag = format!("--config-dir={}", dir.path().display());
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("leader-election", "true\n");
        write("metrics-bind-address", ":9");
        write("kube-config", "");
        let c = load(&[&flag]).unwrap();
        assert_eq!((c.leader_election, c.metrics_address.0.as_deref()), (true, Some(":9")));
        let c = load(&[&flag, "--metrics-address=:7"]).unwrap();
        assert_eq!(c.metrics_address.0.as_deref(), Some(":7"));
        write("colour", "red");
        let error = load(&[&flag]).unwrap_err();
        assert!(error.contains("no flag `colour`"), "{error}");
        assert!(load(&["--config-dir=/nonexistent/dir"]).unwrap_err().contains("/nonexistent/dir"));
    }
}
