//! What the demo of one kernel shows: policies, what provokes them, and what must come of it.

/// One policy, and what provokes it.
pub(super) struct Act {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    /// A policy that is put into the agent's folder first.
    pub(super) put: Option<Put>,
    /// The commands, each a process of its own, and the exit code that the policy leaves it.
    pub(super) commands: &'static [(&'static [&'static str], i32)],
    /// A file that is not there at the end, because the policy stopped the process that would have written it.
    pub(super) absent: Option<&'static str>,
    /// What to see at the end.
    pub(super) moral: &'static str,
}

/// A file of config/samples, put into the agent's folder while it runs.
pub(super) struct Put {
    pub(super) file: &'static str,
    /// What is written instead of what.
    pub(super) changed: Option<(&'static str, &'static str)>,
}

/// The exit code of what SIGKILL ended.
const KILLED: i32 = 137;
/// busybox's when a file cannot be opened.
const DENIED: i32 = 1;

const DENY: &str = "deny-secret-files.yaml";

pub(super) const ACTS: &[Act] = &[
    Act {
        title: "Watch: monitor-sensitive-files",
        text: "Reports each open of /etc/shadow and of the cluster's keys. Nothing is stopped, and other files are\n\
               not reported.",
        put: None,
        commands: &[
            (&["/bin/cat", "/etc/shadow"], 0),
            (&["/bin/cat", "/etc/kubernetes/pki/ca.key"], 0),
            (&["/bin/cat", "/etc/hostname"], 0),
        ],
        absent: None,
        moral: "Two opens were reported; that of /etc/hostname was not.",
    },
    Act {
        title: "Deny: deny-secret-files",
        text: "The policy is copied into the agent's folder while the agent runs. Opening /etc/shadow fails now.",
        put: Some(Put { file: DENY, changed: None }),
        commands: &[(&["/bin/cat", "/etc/shadow"], DENIED), (&["/bin/cat", "/etc/hostname"], 0)],
        absent: None,
        moral: "The kernel denied the open: operation not permitted.",
    },
    Act {
        title: "Change: deny-secret-files names another file",
        text: "The policy's file is changed: /etc/hostname instead of /etc/shadow. No open falls between the old\n\
               policy and the new one.",
        put: Some(Put { file: DENY, changed: Some(("/etc/shadow", "/etc/hostname")) }),
        commands: &[(&["/bin/cat", "/etc/shadow"], 0), (&["/bin/cat", "/etc/hostname"], DENIED)],
        absent: None,
        moral: "/etc/shadow is only reported again, and /etc/hostname is denied.",
    },
    Act {
        title: "Kill: detect-container-escape",
        text: "Kills a process in a PID namespace of its own (a container) when it calls setns. The host may\n\
               call it.",
        put: None,
        commands: &[
            (&["/bin/trig", "setns", "-1", "0x20000"], 9),
            (
                &[
                    "/bin/unshare",
                    "-p",
                    "-f",
                    "/bin/trig",
                    "setns",
                    "-1",
                    "0x20000",
                    ",",
                    "exec",
                    "/bin/touch",
                    "/tmp/escaped",
                ],
                KILLED,
            ),
        ],
        absent: Some("/tmp/escaped"),
        moral: "The first call failed by itself (bad file descriptor). The second process was killed.",
    },
    Act {
        title: "Watch: detect-privilege-escalation",
        text: "Reports what su, sudo and passwd execute inside a container.",
        put: None,
        commands: &[(
            &["/bin/unshare", "-p", "-f", "/bin/su", "root", "-c", "/bin/true as-root; /bin/true"],
            0,
        )],
        absent: None,
        moral: "The program that su executed was reported.",
    },
    Act {
        title: "Kill: block-cryptominers",
        text: "matchBinaries on an exec hook names the program that *calls* exec: the miner itself starts, and\n\
               is killed when it executes something. The compiler warns of that.",
        put: None,
        commands: &[
            (&["/tmp/xmrig", "getpid"], 0),
            (&["/tmp/xmrig", "exec", "/bin/touch", "/tmp/mined"], KILLED),
        ],
        absent: Some("/tmp/mined"),
        moral: "The miner ran once. The second time it was killed when it called exec.",
    },
    Act {
        title: "Kill: block-cryptominers, corrected",
        text: "The same with matchArgs, which names the program that is executed: the miner is killed before its\n\
               first instruction.",
        put: Some(Put { file: "block-cryptominers-fixed.yaml", changed: None }),
        commands: &[(&["/tmp/xmrig", "exec", "/bin/touch", "/tmp/mined"], KILLED)],
        absent: Some("/tmp/mined"),
        moral: "Killed before it ran. It is in the list because exec was under way.",
    },
];

/// What the acts need, done before the agent starts.
pub(super) const PREPARE: &str =
    "mkdir -p /etc/kubernetes/pki && echo key > /etc/kubernetes/pki/ca.key && cp /bin/trig /tmp/xmrig";
