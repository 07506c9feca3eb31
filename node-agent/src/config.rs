//! The agent's flags: Tetragon's names and defaults where it has them. A flag is also an environment
//! variable (`TETRAGON_` and the name in upper case) and a file in a configuration directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum};
use tetragon_api::event::EventType;
use tetragon_daemon::flags::{LoadError, Settings, read_config_dir, weaker_arguments};
use tetragon_daemon::log;
use tetragon_filters::Shown;
use tetragon_tls::server::Files;

/// Where the agent keeps its sockets and what it tells clients about itself.
pub const RUN_DIR: &str = "/var/run/tetragon";

/// The Unix socket that is served beside a TCP address.
pub const DEFAULT_SOCKET: &str = "unix:///var/run/tetragon/tetragon.sock";

const EXAMPLES: &str = "\
Examples:
  # Report and enforce the policies of a folder, events to a file:
  tetragon --tracing-policy-dir /etc/tetragon/tetragon.tp.d --export-filename /var/log/tetragon/tetragon.log

  # One policy, events to standard output, no gRPC:
  tetragon --tracing-policy policy.yaml --export-stdout --server-address ''

  # Only what one binary does, without exits:
  tetragon --export-stdout --export-allowlist '{\"binary_regex\":[\"^/usr/bin/curl$\"]}' \\
      --export-denylist '{\"event_set\":[\"PROCESS_EXIT\"]}'

Exit codes: 0 stopped by a signal; 1 could not start or run; 2 a policy or a flag is wrong (nothing was loaded).";

/// Runtime security with eBPF: loads tracing policies, enforces them and reports events.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "tetragon",
    version,
    after_help = EXAMPLES,
    args_override_self = true,
    next_line_help = false
)]
pub struct Config {
    /// A policy file, or a folder of them that is watched.
    #[arg(long, env = "TETRAGON_TRACING_POLICY", value_name = "FILE|DIR")]
    pub tracing_policy: Option<PathBuf>,

    /// Folder of policies (*.yaml, *.yml, *.json). It is watched: files that come, change or go are
    /// loaded, replaced or removed at once. Empty: none.
    #[arg(
        long,
        env = "TETRAGON_TRACING_POLICY_DIR",
        value_name = "DIR",
        default_value = "/etc/tetragon/tetragon.tp.d"
    )]
    pub tracing_policy_dir: String,

    /// File that events are written to as JSON, one a line; `-` is standard output. Empty: none.
    #[arg(long, env = "TETRAGON_EXPORT_FILENAME", value_name = "FILE", default_value = "")]
    pub export_filename: String,

    /// Write events as JSON to standard output.
    #[arg(long, env = "TETRAGON_EXPORT_STDOUT", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub export_stdout: bool,

    /// Leave out of exported events what a consumer can look up in the PROCESS_EXEC event of the
    /// same exec_id: about half of the bytes.
    #[arg(long, env = "TETRAGON_EXPORT_SLIM", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub export_slim: bool,

    /// Rotate the export file at this size.
    #[arg(
        long,
        env = "TETRAGON_EXPORT_FILE_MAX_SIZE_MB",
        value_name = "MB",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=1_048_576)
    )]
    pub export_file_max_size_mb: u64,

    /// Rotated files that are kept; 0 keeps all.
    #[arg(long, env = "TETRAGON_EXPORT_FILE_MAX_BACKUPS", value_name = "N", default_value_t = 5)]
    pub export_file_max_backups: usize,

    /// Compress rotated files (gzip).
    #[arg(long, env = "TETRAGON_EXPORT_FILE_COMPRESS", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub export_file_compress: bool,

    /// Mode of the export file, in octal.
    #[arg(long, env = "TETRAGON_EXPORT_FILE_PERM", value_name = "MODE", default_value = "600", value_parser = parse_mode)]
    pub export_file_perm: Mode,

    /// Rotate the export file after this time too, such as 24h; 0: by size only.
    #[arg(long, env = "TETRAGON_EXPORT_FILE_ROTATION_INTERVAL", value_name = "DURATION", default_value = "0", value_parser = parse_duration)]
    pub export_file_rotation_interval: Duration,

    /// Filters of events to export, as JSON objects one after the other; ORed. None: all.
    #[arg(long, env = "TETRAGON_EXPORT_ALLOWLIST", value_name = "JSON", default_value = "")]
    pub export_allowlist: String,

    /// Filters of events not to export.
    #[arg(long, env = "TETRAGON_EXPORT_DENYLIST", value_name = "JSON", default_value = "")]
    pub export_denylist: String,

    /// Events a minute that are exported at most; -1: no limit; 0: no export. What is dropped is
    /// counted and told in the stream (rate_limit_info).
    #[arg(
        long,
        env = "TETRAGON_EXPORT_RATE_LIMIT",
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    pub export_rate_limit: i64,

    /// Fields to include in or exclude from exported events, as JSON objects:
    /// {"fields":"process.cap,parent","action":"EXCLUDE"}.
    #[arg(long, env = "TETRAGON_FIELD_FILTERS", value_name = "JSON", default_value = "")]
    pub field_filters: String,

    /// What to hide of the arguments of processes, as JSON objects: what the groups of the expressions
    /// match becomes *****, everywhere. {"binary_regex":["mysql$"],"redact":["--password[ =](\\S+)"]}.
    #[arg(long, env = "TETRAGON_REDACTION_FILTERS", value_name = "JSON", default_value = "")]
    pub redaction_filters: String,

    /// Elasticsearch (or OpenSearch) that events go to, such as https://elasticsearch.logging.svc:9200.
    /// Empty: none.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_URL", value_name = "URL", default_value = "")]
    pub export_elasticsearch_url: String,

    /// The index or data stream that they go into.
    #[arg(
        long,
        env = "TETRAGON_EXPORT_ELASTICSEARCH_INDEX",
        value_name = "NAME",
        default_value = "tetragon"
    )]
    pub export_elasticsearch_index: String,

    /// File with the name of the user. Files with credentials are read for each request.
    #[arg(
        long,
        env = "TETRAGON_EXPORT_ELASTICSEARCH_USERNAME_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub export_elasticsearch_username_file: String,

    /// File with the user's password.
    #[arg(
        long,
        env = "TETRAGON_EXPORT_ELASTICSEARCH_PASSWORD_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub export_elasticsearch_password_file: String,

    /// File with an API key, instead of a user: ID:KEY, or the encoded form of both.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_API_KEY_FILE", value_name = "FILE", default_value = "")]
    pub export_elasticsearch_api_key_file: String,

    /// File with the certificates (PEM) that the server's is checked with. Empty: the system's.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_CA_FILE", value_name = "FILE", default_value = "")]
    pub export_elasticsearch_ca_file: String,

    /// Do not check the server's certificate. For trials only.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_INSECURE_SKIP_VERIFY", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub export_elasticsearch_insecure_skip_verify: bool,

    /// Events in one request at most.
    #[arg(
        long,
        env = "TETRAGON_EXPORT_ELASTICSEARCH_BATCH_SIZE",
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub export_elasticsearch_batch_size: u32,

    /// Bytes in one request at most, with K or M. An event that is longer goes alone.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_BATCH_BYTES", value_name = "SIZE", default_value = "5M", value_parser = parse_size)]
    pub export_elasticsearch_batch_bytes: Size,

    /// Send events at the latest after this time.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_FLUSH_INTERVAL", value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub export_elasticsearch_flush_interval: Duration,

    /// Folder for what cannot be sent while the server is away; it outlives the agent.
    #[arg(
        long,
        env = "TETRAGON_EXPORT_ELASTICSEARCH_SPOOL_DIR",
        value_name = "DIR",
        default_value = "/var/lib/tetragon/spool"
    )]
    pub export_elasticsearch_spool_dir: PathBuf,

    /// Size of that folder, with K, M or G; what does not fit is lost and counted. 0: events wait in
    /// memory only.
    #[arg(long, env = "TETRAGON_EXPORT_ELASTICSEARCH_SPOOL_SIZE", value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    pub export_elasticsearch_spool_size: Size,

    /// Where gRPC is served: HOST:PORT or unix:///PATH. On HOST:PORT the socket
    /// /var/run/tetragon/tetragon.sock is served too. Empty: nowhere.
    #[arg(long, env = "TETRAGON_SERVER_ADDRESS", value_name = "ADDRESS", default_value = "localhost:54321")]
    pub server_address: String,

    /// The certificate of gRPC on HOST:PORT, PEM; with its key it switches TLS on. Files may change, and come later.
    #[arg(long, env = "TETRAGON_SERVER_TLS_CERT_FILE", value_name = "FILE", default_value = "")]
    pub server_tls_cert_file: String,

    /// Its key, PEM.
    #[arg(long, env = "TETRAGON_SERVER_TLS_KEY_FILE", value_name = "FILE", default_value = "")]
    pub server_tls_key_file: String,

    /// Authorities of clients, PEM.
    #[arg(long, env = "TETRAGON_SERVER_TLS_CLIENT_CA_FILES", value_name = "FILES", value_delimiter = ',')]
    pub server_tls_client_ca_files: Vec<String>,

    /// Clients need a certificate of one of these authorities.
    #[arg(long, env = "TETRAGON_SERVER_TLS_REQUIRE_CLIENT_CERT", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub server_tls_require_client_cert: bool,

    /// Where metrics are served (/metrics, /healthz, /readyz), such as :2112. Empty: nowhere.
    #[arg(long, env = "TETRAGON_METRICS_SERVER", value_name = "ADDRESS", default_value = "")]
    pub metrics_server: String,

    /// Labels of event metrics to keep, of namespace, workload, pod and binary.
    #[arg(
        long,
        env = "TETRAGON_METRICS_LABEL_FILTER",
        value_name = "LABELS",
        default_value = "namespace,workload,pod,binary"
    )]
    pub metrics_label_filter: String,

    /// Where /healthz and /readyz are served over HTTP besides --metrics-server. Empty: nowhere.
    #[arg(long, env = "TETRAGON_HEALTH_SERVER_ADDRESS", value_name = "ADDRESS", default_value = "")]
    pub health_server_address: String,

    /// Put capabilities and credentials into events.
    #[arg(long, env = "TETRAGON_ENABLE_PROCESS_CRED", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_process_cred: bool,

    /// Put namespaces into events.
    #[arg(long, env = "TETRAGON_ENABLE_PROCESS_NS", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_process_ns: bool,

    /// Put environment variables into events, as they were when the program was executed. They often hold secrets.
    #[arg(long, env = "TETRAGON_ENABLE_PROCESS_ENVIRONMENT_VARIABLES", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_process_environment_variables: bool,

    /// Of them those with these names only. Empty: all.
    #[arg(long, env = "TETRAGON_FILTER_ENVIRONMENT_VARIABLES", value_name = "NAMES", value_delimiter = ',', value_parser = parse_variable)]
    pub filter_environment_variables: Vec<String>,

    /// Put names of users into events: those of processes of the node itself, from the node's
    /// /etc/passwd.
    #[arg(long, env = "TETRAGON_USERNAME_METADATA", value_name = "WHICH", default_value = "disabled")]
    pub username_metadata: Usernames,

    /// Kinds of events that get the process's ancestors: base (always needed), kprobe, tracepoint, lsm.
    #[arg(long, env = "TETRAGON_ENABLE_ANCESTORS", value_name = "KINDS", value_delimiter = ',', value_parser = parse_ancestors)]
    pub enable_ancestors: Vec<Ancestors>,

    /// Allow pid_set in the export's filters.
    #[arg(long, env = "TETRAGON_ENABLE_PID_SET_FILTER", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_pid_set_filter: bool,

    /// Processes remembered at most.
    #[arg(
        long,
        env = "TETRAGON_PROCESS_CACHE_SIZE",
        value_name = "N",
        default_value_t = 65536,
        value_parser = clap::value_parser!(u32).range(64..=16_777_216)
    )]
    pub process_cache_size: u32,

    /// Events that may wait for one gRPC client; what does not fit is dropped and counted.
    #[arg(
        long,
        env = "TETRAGON_EVENT_QUEUE_SIZE",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    pub event_queue_size: u32,

    /// Size of the ring buffer between kernel and agent in bytes, with K, M or G; rounded up to a
    /// power of two. 0: the default of 4M.
    #[arg(long, env = "TETRAGON_RB_SIZE_TOTAL", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub rb_size_total: Size,

    /// The host's /proc.
    #[arg(long, env = "TETRAGON_PROCFS", value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Folder below /sys/fs/bpf where programs and maps are pinned.
    #[arg(long, env = "TETRAGON_BPF_DIR", value_name = "NAME", default_value = "tetragon")]
    pub bpf_dir: String,

    /// Leave everything loaded and enforcing when the agent is stopped.
    #[arg(long, env = "TETRAGON_KEEP_SENSORS_ON_EXIT", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub keep_sensors_on_exit: bool,

    /// Replace what an earlier agent left pinned; it enforces until this one does. Always so.
    #[arg(long, env = "TETRAGON_RELEASE_PINNED_BPF", value_name = "BOOL", default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub release_pinned_bpf: bool,

    /// Load the policies of a Kubernetes cluster, and report to it what became of them.
    #[arg(long, env = "TETRAGON_ENABLE_K8S_API", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_k8s_api: bool,

    /// How the API server is reached. Empty: as pods reach theirs.
    #[arg(long, env = "TETRAGON_K8S_KUBECONFIG_PATH", value_name = "FILE", default_value = "")]
    pub k8s_kubeconfig_path: String,

    /// How often it is tried to find the pod of an event before it is sent without. With the delay between
    /// two attempts, that is how long an event of a new container waits at most. 0: not at all.
    #[arg(long, env = "TETRAGON_EVENT_CACHE_RETRIES", value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(..=3600))]
    pub event_cache_retries: u32,

    /// Seconds between two attempts. An event is sent as soon as its pod is known, whatever this says.
    #[arg(long, env = "TETRAGON_EVENT_CACHE_RETRY_DELAY", value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub event_cache_retry_delay: u32,

    /// Deleted pods that are remembered at most, for a minute, because their last events come later.
    #[arg(long, env = "TETRAGON_DELETED_POD_CACHE_SIZE", value_name = "N", default_value_t = 1024)]
    pub deleted_pod_cache_size: usize,

    /// Put the annotations of pods into events.
    #[arg(long, env = "TETRAGON_ENABLE_POD_ANNOTATIONS", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_pod_annotations: bool,

    /// Socket of the container runtime's plugin interface (NRI), such as /var/run/nri/nri.sock: the runtime
    /// tells of containers before they start, and starts them when the kernel knows whose they are.
    /// Empty: it is not used.
    #[arg(long, env = "TETRAGON_NRI_SOCKET", value_name = "FILE", default_value = "")]
    pub nri_socket: String,

    /// Ask the container runtime (CRI) for containers that the API server does not tell of at once.
    #[arg(long, env = "TETRAGON_ENABLE_CRI", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_cri: bool,

    /// Where the container runtime is asked: unix:///PATH. Empty: the first that answers of containerd's,
    /// CRI-O's and cri-dockerd's usual sockets.
    #[arg(long, env = "TETRAGON_CRI_ENDPOINT", value_name = "ADDRESS", default_value = "")]
    pub cri_endpoint: String,

    /// With the Kubernetes API: load the cluster's policies. Without: only the node is reported.
    #[arg(long, env = "TETRAGON_ENABLE_TRACING_POLICY_CRD", value_name = "BOOL", default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub enable_tracing_policy_crd: bool,

    /// Namespace of the operator, where the compiled policies are. Empty: POD_NAMESPACE, or that of
    /// the kubeconfig's context or of the pod's service account.
    #[arg(long, env = "TETRAGON_K8S_NAMESPACE", value_name = "NAMESPACE", default_value = "")]
    pub k8s_namespace: String,

    /// Folder where the cluster's policies are kept, for starts without the API server.
    #[arg(long, env = "TETRAGON_PLAN_DIR", value_name = "DIR", default_value = "/var/lib/tetragon/plans")]
    pub plan_dir: PathBuf,

    /// How often numbers of events, actions and memory are reported to the cluster, when nothing else
    /// changes.
    #[arg(long, env = "TETRAGON_NODE_STATUS_INTERVAL", value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub node_status_interval: Duration,

    /// Name of the cluster, for cluster_name of events.
    #[arg(long, env = "TETRAGON_CLUSTER_NAME", value_name = "NAME", default_value = "")]
    pub cluster_name: String,

    /// trace, debug, info, warn or error.
    #[arg(long, env = "TETRAGON_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: tracing::Level,

    /// How the log looks. It goes to standard error.
    #[arg(long, env = "TETRAGON_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: log::Format,

    /// The same as --log-level debug.
    #[arg(short, long, env = "TETRAGON_DEBUG", value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub debug: bool,

    /// Folder with a file per flag: the file's name is the flag's, its content the value.
    #[arg(long, env = "TETRAGON_CONFIG_DIR", value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
}

/// A file mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// `--enable-ancestors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancestors {
    /// PROCESS_EXEC and PROCESS_EXIT.
    Base,
    /// PROCESS_KPROBE.
    Kprobe,
    /// PROCESS_TRACEPOINT.
    Tracepoint,
    /// PROCESS_LSM.
    Lsm,
}

/// `--username-metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Usernames {
    /// None.
    Disabled,
    /// Those of /etc/passwd.
    Unix,
}

/// Flags of Tetragon that have nothing to set here. They are accepted, so that its configurations
/// keep working.
const HARMLESS: &[&str] = &[
    "bpf-lib",
    "btf",
    "data-cache-size",
    "disable-kprobe-multi",
    // A container is always known by its cgroup, whether its name or its path tells it.
    "enable-cgidmap",
    "enable-cgidmap-debug",
    "enable-cgtrackerid",
    "enable-deprecated-tracingpolicy-grpc",
    "enable-event-metrics",
    "enable-policy-filter",
    "enable-policy-filter-cgroup-map",
    "enable-policy-filter-debug",
    "execve-map-entries",
    "execve-map-size",
    "export-aggregation-buffer-size",
    "export-aggregation-window-size",
    "expose-stack-addresses",
    "force-large-progs",
    "force-small-progs",
    "gops-address",
    "health-server-interval",
    "k8s-controlplane-retry",
    "netns-dir",
    "parents-map-enabled",
    "parents-map-entries",
    "parents-map-size",
    "pprof-address",
    "process-cache-gc-interval",
    "rb-queue-size",
    "rb-size",
    "retprobes-cache-size",
    "sleepable-preload-size",
    "verbose",
];

/// Flags of Tetragon whose effect does not exist here yet: refused, unless they ask for nothing.
const REFUSED: &[(&str, &str)] = &[
    ("cgroup-rate", "events are not throttled by cgroup"),
    ("cpuprofile", "use perf"),
    ("disable-process-cache", "the cache is what events get their process from"),
    (
        "enable-export-aggregation",
        "every event is exported by itself; --export-rate-limit bounds how many, and selectors have rateLimit",
    ),
    ("enable-msg-handling-latency", "there is no latency histogram"),
    ("enable-pod-info", "the agent watches the pods of its node"),
    ("generate-docs", "see --help"),
    ("kernel", "the kernel is asked for what it can do"),
    ("log-file", "the log goes to standard error; redirect it"),
    ("memprofile", "use heaptrack"),
    (
        "persist-grpc-policies",
        "policies added over gRPC end with the agent; put them into --tracing-policy-dir",
    ),
    (
        "persist-grpc-policies-dir",
        "policies added over gRPC end with the agent; put them into --tracing-policy-dir",
    ),
    ("use-perf-ring-buffer", "events come through the BPF ring buffer"),
];

/// Configuration folders, from the weakest to the strongest; `--config-dir` comes after them.
const CONFIG_DIRS: &[&str] = &[
    "/usr/lib/tetragon/tetragon.conf.d",
    "/usr/local/lib/tetragon/tetragon.conf.d",
    "/etc/tetragon/tetragon.conf.d",
];

impl Config {
    /// Reads the command line, the environment and the configuration folders. `Err`: what is wrong,
    /// for standard error; help and version are errors of clap too, that print to standard output.
    pub fn load<I, T>(args: I) -> Result<Config, LoadError>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let dirs: Vec<PathBuf> = CONFIG_DIRS.iter().map(PathBuf::from).collect();
        Self::load_from(&args, &dirs)
    }

    fn load_from(args: &[OsString], dirs: &[PathBuf]) -> Result<Config, LoadError> {
        let first = command().try_get_matches_from(args)?;
        let mut settings = Settings::new();
        let last = first.get_one::<PathBuf>("config_dir");
        for dir in dirs {
            settings.extend(read_config_dir(dir, false)?);
        }
        if let Some(dir) = last {
            settings.extend(read_config_dir(dir, true)?);
        }
        let mut all = args.get(..1).unwrap_or_default().to_vec();
        all.extend(weaker_arguments(settings, &first, "tetragon --help")?);
        all.extend_from_slice(args.get(1..).unwrap_or_default());
        let matches = command().try_get_matches_from(all)?;
        refuse(&matches)?;
        let config = Config::from_arg_matches(&matches)?;
        config.check()?;
        Ok(config)
    }

    /// The files of gRPC's TLS, if it is switched on.
    pub fn server_tls(&self) -> Option<Files> {
        let (certificate, key) = (&self.server_tls_cert_file, &self.server_tls_key_file);
        let authorities = words(&self.server_tls_client_ca_files);
        let files = || Files::new(certificate.into(), key.into(), authorities.map(PathBuf::from).collect());
        (!certificate.is_empty()).then(files)
    }

    /// The variables that are shown of environments; none: all.
    pub fn environment_names(&self) -> impl Iterator<Item = &String> {
        words(&self.filter_environment_variables)
    }

    fn check_tls(&self) -> Result<()> {
        let (certificate, key) =
            (!self.server_tls_cert_file.is_empty(), !self.server_tls_key_file.is_empty());
        if certificate != key {
            bail!("--server-tls-cert-file and --server-tls-key-file belong together");
        }
        let authorities = words(&self.server_tls_client_ca_files).next().is_some();
        let required = self.server_tls_require_client_cert;
        if required && !(certificate && authorities) {
            bail!(
                "--server-tls-require-client-cert needs --server-tls-cert-file and --server-tls-client-ca-files"
            );
        }
        if authorities && !required {
            bail!("--server-tls-client-ca-files has no effect without --server-tls-require-client-cert");
        }
        if certificate && (self.server_address.is_empty() || self.server_address.starts_with("unix:")) {
            bail!(
                "--server-tls-cert-file: TLS is for --server-address HOST:PORT; a Unix socket has its permissions"
            );
        }
        Ok(())
    }

    /// Rules between flags, and values that clap cannot check.
    fn check(&self) -> Result<()> {
        if !self.enable_ancestors.is_empty() && !self.enable_ancestors.contains(&Ancestors::Base) {
            bail!("--enable-ancestors needs `base` too: ancestors are kept by the events of the base sensor");
        }
        self.check_tls()?;
        if self.environment_names().next().is_some() && !self.enable_process_environment_variables {
            bail!("--filter-environment-variables needs --enable-process-environment-variables");
        }
        if self.bpf_dir.is_empty() || self.bpf_dir.contains("..") || self.bpf_dir.starts_with('/') {
            bail!("--bpf-dir {:?}: a name below /sys/fs/bpf is needed, such as tetragon", self.bpf_dir);
        }
        if !self.release_pinned_bpf {
            bail!(
                "--release-pinned-bpf=false: not supported: what an earlier agent left is always taken over \
                 and replaced; beside it, calls would be judged twice"
            );
        }
        if self.node_status_interval < Duration::from_secs(1) {
            bail!("--node-status-interval {:?}: right would be 1s or more", self.node_status_interval);
        }
        if !self.nri_socket.is_empty() && !self.nri_socket.starts_with('/') {
            bail!("--nri-socket {}: right would be a path, such as /var/run/nri/nri.sock", self.nri_socket);
        }
        if self.enable_cri && !self.enable_k8s_api {
            bail!(
                "--enable-cri needs --enable-k8s-api: without it no event waits for its pod, so nothing is asked for"
            );
        }
        if !self.cri_endpoint.is_empty() && !self.cri_endpoint.starts_with("unix:///") {
            bail!(
                "--cri-endpoint {}: right would be unix:///PATH, such as \
                 unix:///run/containerd/containerd.sock",
                self.cri_endpoint
            );
        }
        for label in self.metric_labels() {
            if !["namespace", "workload", "pod", "binary"].contains(&label) {
                bail!("--metrics-label-filter: {label:?} is not one of namespace, workload, pod, binary");
            }
        }
        Ok(())
    }

    /// What events say, of what they need not.
    pub fn shown(&self) -> Shown {
        let kinds = self.enable_ancestors.iter().flat_map(|kind| match kind {
            Ancestors::Base => &[EventType::ProcessExec, EventType::ProcessExit][..],
            Ancestors::Kprobe => &[EventType::ProcessKprobe],
            Ancestors::Tracepoint => &[EventType::ProcessTracepoint],
            Ancestors::Lsm => &[EventType::ProcessLsm],
        });
        Shown { capabilities: self.enable_process_cred, ancestors: kinds.copied().collect() }
    }

    /// The labels of `--metrics-label-filter`.
    pub fn metric_labels(&self) -> impl Iterator<Item = &str> {
        self.metrics_label_filter.split(',').map(str::trim).filter(|l| !l.is_empty())
    }

    /// The log level, with `--debug`.
    pub fn level(&self) -> tracing::Level {
        if self.debug { self.log_level.max(tracing::Level::DEBUG) } else { self.log_level }
    }

    /// The folder of policies, if any.
    pub fn policy_dir(&self) -> Option<&Path> {
        Some(Path::new(&self.tracing_policy_dir)).filter(|_| !self.tracing_policy_dir.is_empty())
    }

    /// The export file; `-` and an empty name are none.
    pub fn export_file(&self) -> Option<&Path> {
        Some(Path::new(&self.export_filename)).filter(|_| !matches!(self.export_filename.as_str(), "" | "-"))
    }

    /// Events go to standard output.
    pub fn exports_to_stdout(&self) -> bool {
        self.export_stdout || self.export_filename == "-"
    }
}

/// The command line: the flags of [`Config`], and Tetragon's other ones, hidden.
pub fn command() -> clap::Command {
    let mut command = Config::command();
    for name in HARMLESS.iter().copied().chain(REFUSED.iter().map(|(name, _)| *name)) {
        let arg = Arg::new(name.replace('-', "_"))
            .long(name)
            .env(format!("TETRAGON_{}", name.replace('-', "_").to_uppercase()))
            .num_args(0..=1)
            .default_missing_value("true")
            .hide(true);
        command = command.arg(arg);
    }
    command
}

/// An error for the first flag whose effect does not exist here.
fn refuse(matches: &clap::ArgMatches) -> Result<()> {
    for (name, instead) in REFUSED {
        let given: Option<&String> = matches.get_one(&name.replace('-', "_"));
        match given.map(String::as_str) {
            None | Some("" | "false" | "disabled" | "0") => {}
            Some(value) => bail!("--{name} {value}: not supported yet: {instead}"),
        }
    }
    Ok(())
}

fn parse_ancestors(text: &str) -> Result<Ancestors, String> {
    match text {
        "base" => Ok(Ancestors::Base),
        "kprobe" => Ok(Ancestors::Kprobe),
        "tracepoint" => Ok(Ancestors::Tracepoint),
        "lsm" => Ok(Ancestors::Lsm),
        "loader" | "uprobe" | "usdt" => Err(format!("there are no {text} events yet; leave it out")),
        _ => Err("right would be some of base, kprobe, tracepoint, lsm, joined by commas".to_owned()),
    }
}

/// A list as it is meant: an empty value is none.
fn words(list: &[String]) -> impl Iterator<Item = &String> {
    list.iter().filter(|word| !word.is_empty())
}

fn parse_variable(text: &str) -> Result<String, String> {
    if text.contains('=') {
        return Err("right would be names of variables, joined by commas, such as LD_PRELOAD,PATH".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o777 => Ok(Mode(mode)),
        _ => Err(format!("{text:?} is not a file mode; right would be three octal digits, such as 600")),
    }
}

/// Bytes, with K, M or G.
fn parse_size(text: &str) -> Result<Size, String> {
    let wrong = || {
        format!("{text:?} is not a size; right would be a number of bytes, such as 1048576, 64K, 8M or 1G")
    };
    let upper = text.trim().to_ascii_uppercase();
    let units = [('K', 1u64 << 10), ('M', 1 << 20), ('G', 1 << 30)];
    let with_unit = |(name, unit)| Some((upper.trim_end_matches('B').strip_suffix(name)?, unit));
    let (digits, unit) = units.into_iter().find_map(with_unit).unwrap_or((upper.as_str(), 1));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Size).ok_or_else(wrong)
}

/// A duration as Go writes it: `1h30m`, `15s`, `500ms`; `0` and plain seconds too.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is not a duration; right would be a number with a unit, such as 500ms, 15s, 10m or 24h"
        )
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_len);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = next;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

fn parse_level(text: &str) -> Result<tracing::Level, String> {
    // Tetragon also knows "warning", "fatal" and "panic".
    let name = match text {
        "warning" => "warn",
        "fatal" | "panic" => "error",
        other => other,
    };
    name.parse().map_err(|_| format!("{text:?} is not one of trace, debug, info, warn, error"))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
