//! The command line: commands and flags, with Tetragon's names.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tetragon_api::event::EventType;

use crate::duration;
use crate::tls::Tls;

/// Tetragon CLI
#[derive(Debug, Parser)]
#[command(
    name = "tetra",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    after_help = "Examples:
  # Is the agent running?
  tetra status

  # Follow all process executions and exits, one line each
  tetra getevents -o compact --process-only

  # What state are the policies in?
  tetra tracingpolicy list

  # Check a policy without an agent
  tetra policy check policy.yaml"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Enable debug messages
    #[arg(short, long, global = true)]
    pub(crate) debug: bool,
    /// gRPC server address: HOST:PORT or unix:///PATH [default: what the agent on this host says,
    /// else localhost:54321]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) server_address: Option<String>,
    /// Connection timeout
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Connection retries with exponential backoff
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    pub(crate) retries: u32,
    /// Maximum gRPC message size in bytes the client can receive
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 10_485_760)]
    pub(crate) max_recv_size: usize,
    #[command(flatten)]
    pub(crate) tls: Tls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print health status
    #[command(
        after_help = "Examples:\n  tetra status\n  tetra status --server-address unix:///var/run/tetragon/tetragon.sock"
    )]
    Status,
    /// Print version from CLI and server
    #[command(after_help = "Examples:
  # Retrieve version from server
  tetra version --server

  # Get build info for the CLI
  tetra version --build")]
    Version(Version),
    /// Print and filter events of an agent, or of JSON lines on stdin
    #[command(after_help = "Examples:
  # Process executions and exits, one line each
  tetra getevents -o compact --process-only

  # Events of one binary in one namespace
  tetra getevents --process netserver --namespace default

  # Filter recorded events
  cat events.json | tetra getevents -o compact --namespace default

  # Leave a field out
  tetra getevents -F parent

  # Only these fields
  tetra getevents -f process,parent.pod

  # What an expression says
  tetra getevents --cel-expression 'process_exec.process.binary.startsWith(\"/tmp/\")'")]
    Getevents(Box<Getevents>),
    /// Manage tracing policies
    #[command(visible_alias = "tp", arg_required_else_help = true)]
    Tracingpolicy {
        #[command(subcommand)]
        command: Tracingpolicy,
    },
    /// Check and compile policies, without an agent or a kernel
    #[command(arg_required_else_help = true)]
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// Call the agent as hooks of container runtimes do, to try it
    #[command(arg_required_else_help = true, hide = true)]
    Rthooks {
        #[command(subcommand)]
        command: Rthooks,
    },
    /// Print event files as they grow, through their rotation, for collectors of a container's output
    #[command(after_help = "Examples:
  tetra tail /var/log/tetragon/tetragon.log
  tetra tail --resume /var/log/tetragon/tetragon.log | collector")]
    Tail(Tail),
    /// Generate the autocompletion script for the specified shell
    #[command(
        after_help = "Examples:\n  source <(tetra completion bash)\n  tetra completion zsh > ~/.zfunc/_tetra"
    )]
    Completion {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// The files, as the agent's --export-filename names them; they may come later
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Remember in a hidden file beside each how far it was printed, and go on there [default: begin
    /// with what comes next]
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Version {
    /// Connect and retrieve version from the server
    #[arg(short, long)]
    pub(crate) server: bool,
    /// Show CLI build information
    #[arg(short, long)]
    pub(crate) build: bool,
}

/// Output of getevents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventOutput {
    Json,
    Compact,
}

/// Output of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether to use colours on stdout.
    pub(crate) fn on_stdout(self) -> bool {
        use std::io::IsTerminal;
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
                    && std::io::stdout().is_terminal()
            }
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Getevents {
    /// Output format
    #[arg(short, long, value_enum, default_value = "json")]
    pub(crate) output: EventOutput,
    /// Colorize compact output
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
    /// Include timestamps in compact output
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Include stack traces in compact output
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) stack_traces: bool,
    /// Include ima hashes in compact output
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) ima_hash: bool,
    /// Include only events of given types
    #[arg(short, long, value_name = "TYPES", value_delimiter = ',', value_parser = event_type)]
    pub(crate) event_types: Vec<EventType>,
    /// Include only process executions and exits
    #[arg(long, conflicts_with = "event_types")]
    pub(crate) process_only: bool,
    /// Get events by Kubernetes namespace
    #[arg(short, long, alias = "namespaces", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) namespace: Vec<String>,
    /// Get events by namespace name regex
    #[arg(long, value_name = "REGEXES", value_delimiter = ',')]
    pub(crate) namespace_regex: Vec<String>,
    /// Get events by pod name regex
    #[arg(long, aliases = ["pods", "pod-regex"], value_name = "REGEXES", value_delimiter = ',')]
    pub(crate) pod: Vec<String>,
    /// Get events by container name regex
    #[arg(long, hide = true, value_name = "REGEXES", value_delimiter = ',')]
    pub(crate) containers: Vec<String>,
    /// Get events by labels of their pod, as kubectl's -l: app=web,tier!=back. Given again: or by these
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) labels: Vec<String>,
    /// Get events by the name of their workload, such as that of a Deployment. It is looked at here, so
    /// that fields cannot be left out
    #[arg(long, alias = "workloads", value_name = "NAMES", value_delimiter = ',', conflicts_with_all = ["include_fields", "exclude_fields"])]
    pub(crate) workload: Vec<String>,
    /// Get events by process name regex
    #[arg(long, alias = "processes", value_name = "REGEXES", value_delimiter = ',')]
    pub(crate) process: Vec<String>,
    /// Get events by tracing policy names
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) policy_names: Vec<String>,
    /// Get host events
    #[arg(long)]
    pub(crate) host: bool,
    /// Get events of which this expression in CEL is true. Given again: or this
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) cel_expression: Vec<String>,
    /// Include only fields in events
    #[arg(short = 'f', long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) include_fields: Vec<String>,
    /// Exclude fields from events
    #[arg(short = 'F', long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) exclude_fields: Vec<String>,
    /// Encode terminal data by file path (all other events will be ignored)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) tty_encode: Option<String>,
    /// Keep trying to connect even if an error occurred
    #[arg(long)]
    pub(crate) reconnect: bool,
    /// Wait time before attempting to reconnect
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    pub(crate) reconnect_wait: Duration,
}

/// Reads a type as the API names it.
fn event_type(text: &str) -> Result<EventType, String> {
    let known = [
        EventType::ProcessExec,
        EventType::ProcessExit,
        EventType::ProcessKprobe,
        EventType::ProcessTracepoint,
        EventType::ProcessLoader,
        EventType::ProcessUprobe,
        EventType::ProcessThrottle,
        EventType::ProcessLsm,
        EventType::ProcessUsdt,
        EventType::Test,
        EventType::RateLimitInfo,
        EventType::Undef,
    ];
    EventType::from_str_name(text).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(EventType::as_str_name).collect();
        format!("there is no such type; the types are {}", names.join(", "))
    })
}

/// What a policy does about what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Enforce,
    Monitor,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Monitor => "monitor",
        }
    }
}

/// A policy on an agent.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Name of the policy
    pub(crate) name: String,
    /// Namespace of the tracing policy
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) namespace: String,
    /// Domain of the tracing policy
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) domain: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rthooks {
    /// Say that a container was made; returns when it may start
    #[command(
        after_help = "Examples:\n  tetra rthooks create-container --container-id /kubepods/pod$POD_UID/$CONTAINER_ID \\\n      \
                      --root-dir / --annotations io.kubernetes.cri.container-name=nginx"
    )]
    CreateContainer(CreateContainer),
}

/// A container as an OCI hook tells it.
#[derive(Args, Debug)]
pub(crate) struct CreateContainer {
    /// The path of its cgroup, as in its OCI spec
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub(crate) container_id: String,
    /// Its root directory
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) root_dir: String,
    /// The annotations of its OCI spec
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = annotation)]
    pub(crate) annotations: Vec<(String, String)>,
}

fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("right would be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tracingpolicy {
    /// List loaded tracing policies; the JSON output has all there is
    #[command(after_help = "Examples:\n  tetra tracingpolicy list\n  tetra tp list -o json")]
    List {
        /// Output format
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
        /// Only policies of this domain
        #[arg(long, default_value = "", hide_default_value = true)]
        domain: String,
    },
    /// Add a tracing policy
    #[command(
        after_help = "Examples:\n  tetra tracingpolicy add policy.yaml\n  tetra tp add --mode monitor policy.yaml"
    )]
    Add {
        /// The policy; - for stdin
        yaml_file: PathBuf,
        /// Tracing policy mode
        #[arg(short, long, value_enum)]
        mode: Option<Mode>,
        /// Domain to add it to
        #[arg(long, default_value = "", hide_default_value = true)]
        domain: String,
    },
    /// Delete a tracing policy
    #[command(after_help = "Examples:\n  tetra tracingpolicy delete monitor-sensitive-files")]
    Delete(Target),
    /// Enable a disabled tracing policy
    #[command(after_help = "Examples:\n  tetra tracingpolicy enable monitor-sensitive-files")]
    Enable(Target),
    /// Disable an enabled tracing policy
    #[command(after_help = "Examples:\n  tetra tracingpolicy disable monitor-sensitive-files")]
    Disable(Target),
    /// Set a tracing policy to monitor or enforce mode
    #[command(after_help = "Examples:\n  tetra tracingpolicy set-mode block-cryptominers monitor")]
    SetMode {
        /// Name of the policy
        name: String,
        /// Tracing policy mode
        #[arg(value_enum)]
        mode: Mode,
        /// Namespace of the tracing policy
        #[arg(short, long, default_value = "", hide_default_value = true)]
        namespace: String,
        /// Domain of the tracing policy
        #[arg(long, default_value = "", hide_default_value = true)]
        domain: String,
    },
    /// Print a policy file with another mode
    #[command(
        after_help = "Examples:\n  tetra tracingpolicy modify --mode monitor policy.yaml > monitored.yaml"
    )]
    Modify {
        /// The policy; - for stdin
        yaml_file: PathBuf,
        /// Tracing policy mode
        #[arg(short, long, value_enum)]
        mode: Option<Mode>,
    },
    /// List the domains of the loaded tracing policies
    Domains {
        /// Output format
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Make a policy file
    #[command(arg_required_else_help = true)]
    Generate {
        #[command(subcommand)]
        what: Generate,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Generate {
    /// A policy without hooks
    #[command(after_help = "Examples:\n  tetra tracingpolicy generate empty > policy.yaml")]
    Empty,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check policies: every error and warning, each with its place and what would be right, then how many
    /// load and what the others need
    #[command(after_help = "Exit codes:
  0  every policy loads; also of an empty list
  1  the command line is wrong
  2  a policy has an error, or a file cannot be read, or nothing in the files is a policy

Examples:
  tetra policy check policy.yaml
  tetra policy check policies/*.yaml -o json

  # Which policies of a cluster would load?
  kubectl get tracingpolicies,tracingpoliciesnamespaced -A -o yaml | tetra policy check -

  # The names of those that lack a feature
  tetra policy check list.yaml -o json | jq -r '.lacking[] | .feature + \": \" + (.policies | join(\", \"))'")]
    Check {
        /// Files with policies, also lists of them, as YAML or JSON; - for stdin
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Output format
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
        /// Colorize the text
        #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
        color: Color,
    },
    /// Print the Plan of each policy as JSON. Exit code 2 if there are errors
    #[command(after_help = "Examples:\n  tetra policy compile policy.yaml | jq .hooks")]
    Compile {
        /// The policy; - for stdin
        file: PathBuf,
    },
    /// Print what a code of `policy check` means; without a code, list them
    #[command(after_help = "Examples:\n  tetra policy explain exec-binary")]
    Explain {
        /// The code, as in error[CODE]
        code: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn events(args: &[&str]) -> Result<Box<Getevents>, String> {
        let line = ["tetra", "getevents"].iter().chain(args);
        match Cli::try_parse_from(line).map_err(|e| e.to_string())?.command {
            Command::Getevents(options) => Ok(options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn lists_and_hidden_spellings_add_up() {
        let options =
            events(&["--namespaces", "a,b", "-n", "c", "--pods=x", "--processes", "p"]).expect("it parses");
        assert_eq!(options.namespace, ["a", "b", "c"]);
        assert_eq!((options.pod, options.process), (vec!["x".to_owned()], vec!["p".to_owned()]));
    }

    #[test]
    fn booleans_are_switched_off_with_an_equals_sign() {
        let options = events(&["--ima-hash=false", "--stack-traces"]).expect("it parses");
        assert_eq!((options.ima_hash, options.stack_traces), (false, true));
    }

    #[test]
    fn an_unknown_event_type_lists_the_types() {
        let error = events(&["-e", "PROCESS_EXEC,EXIT"]).expect_err("no such type");
        assert!(error.contains("PROCESS_EXEC, PROCESS_EXIT"), "{error}");
    }
}
