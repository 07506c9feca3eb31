//! From what the kernel or /proc says to the Process message of events: paths, arguments, flags,
//! capabilities, namespaces.

use std::fmt::Write as _;

use tetragon_abi::engine::{PROC_CLONE, PROC_INIT_TREE};
use tetragon_abi::record::{
    Credentials, EXEC_ARGS_CUT, EXEC_ENVS_CUT, EXEC_NO_ARGS, EXEC_NO_CWD, EXEC_NO_ENVS,
};
use tetragon_api::event::{
    BinaryProperties, Capabilities, EnvVar, FileProperties, InodeProperties, Namespace, Namespaces, Process,
    ProcessCredentials, ProcessPrivilegesChanged,
};
use tetragon_engine::ExecRecord;

use crate::clock::Clock;
use crate::process::{Key, Options, Proc, exec_id};
use crate::procfs::ProcInfo;

/// Capabilities that have a name.
const CAPABILITIES: u32 = 41;
/// The name of a process that has no parent process: the kernel.
const KERNEL: Key = (0, 1);

/// A process that has just executed a program. Its container is put in by who knows it.
pub fn exec_message(
    exec: &ExecRecord,
    options: &Options,
    clock: &Clock,
    key: Key,
    parent: Option<Key>,
) -> Process {
    let fixed = &exec.fixed;
    let has = |bit| fixed.exec_flags & bit != 0;
    let init_tree = fixed.flags & PROC_INIT_TREE != 0;
    let flags = words(&[
        ("execve", true),
        ("truncArgs", has(EXEC_ARGS_CUT)),
        ("errorArgs", has(EXEC_NO_ARGS)),
        ("truncEnvs", has(EXEC_ENVS_CUT)),
        ("errorEnvs", has(EXEC_NO_ENVS)),
        ("nocwd", has(EXEC_NO_CWD)),
        ("rootcwd", exec.cwd == "/"),
        ("clone", fixed.flags & PROC_CLONE != 0),
        ("inInitTree", init_tree),
    ]);
    let binary =
        if exec.filename.is_empty() { exec.exe.clone() } else { absolute(&exec.cwd, &exec.filename) };
    let mut message = base(options, clock, key, parent);
    message.uid = Some(effective_uid(&fixed.cred));
    message.cwd = exec.cwd.clone();
    message.binary = binary;
    message.arguments = arguments(exec.args.get(1..).unwrap_or_default());
    message.environment_variables = environment(&exec.environment, &message.binary, options);
    message.flags = flags;
    message.in_init_tree = Some(init_tree);
    credentials(&mut message, &fixed.cred, options);
    message
}

/// A process that was made and has executed nothing: the program of its parent, under its own name.
pub fn fork_message(
    of: Option<&Proc>,
    init_tree: bool,
    options: &Options,
    clock: &Clock,
    key: Key,
    parent: Option<Key>,
) -> Process {
    let own = base(options, clock, key, parent);
    let mut message = match of {
        Some(program) => program.message.clone(),
        None => Process::default(),
    };
    message.exec_id = own.exec_id;
    message.parent_exec_id = own.parent_exec_id;
    message.pid = own.pid;
    message.tid = own.tid;
    message.start_time = own.start_time;
    message.flags = words(&[("execve", true), ("inInitTree", init_tree)]);
    message.refcnt = 1;
    message.in_init_tree = Some(init_tree);
    message
}

/// A process that was there before the agent.
pub fn proc_message(
    info: &ProcInfo,
    options: &Options,
    clock: &Clock,
    key: Key,
    parent: Option<Key>,
) -> Process {
    let init_tree = info.nspid != 0;
    let flags = words(&[
        ("procFS", true),
        ("truncArgs", info.args_cut),
        ("truncEnvs", info.environment_cut),
        ("nocwd", info.cwd.is_empty()),
        ("rootcwd", info.cwd == "/"),
        ("inInitTree", init_tree),
    ]);
    let parent = if info.parent == 0 { Some(KERNEL) } else { parent };
    let mut message = base(options, clock, key, parent);
    message.uid = Some(effective_uid(&info.cred));
    message.cwd = info.cwd.clone();
    message.binary = info.binary.clone();
    message.arguments = arguments(info.args.get(1..).unwrap_or_default());
    message.environment_variables = environment(&info.environment, &message.binary, options);
    message.flags = flags;
    message.docker = info.place.shown().to_owned();
    message.in_init_tree = Some(init_tree);
    credentials(&mut message, &info.cred, options);
    message
}

/// Hides what is to be hidden of a process's arguments. The result is what they were, if any was.
pub fn redact(message: &mut Process, options: &Options) -> Option<String> {
    if options.redaction.is_empty() || message.arguments.is_empty() {
        return None;
    }
    let shown = options.redaction.apply(&message.binary, message.arguments.clone());
    let were = std::mem::replace(&mut message.arguments, shown);
    (were != message.arguments).then_some(were)
}

/// The variables that are to be shown of a program, with what is to be hidden replaced.
fn environment(variables: &[String], binary: &str, options: &Options) -> Vec<EnvVar> {
    let names = &options.environment_names;
    // Programs that show their state as their name overwrite their environment with nothing.
    let there = variables.iter().filter(|text| !text.is_empty());
    let variable = |text: &String| {
        let name = text.split_once('=').map_or(text.as_str(), |(name, _)| name);
        if !names.is_empty() && !names.iter().any(|n| n == name) {
            return None;
        }
        let text = options.redaction.apply(binary, text.clone());
        // As Tetragon names what is no variable.
        let (key, value) = text.split_once('=').unwrap_or(("invalid", &text));
        Some(EnvVar { key: key.to_owned(), value: value.to_owned() })
    };
    there.filter_map(variable).collect()
}

/// What can be said of a process that is not known.
pub fn unknown_message(options: &Options, clock: &Clock, tgid: u32, ktime: u64) -> Process {
    let mut message =
        Process { pid: Some(tgid), tid: Some(tgid), flags: "miss".to_owned(), ..Default::default() };
    if ktime != 0 {
        message.exec_id = exec_id(&options.node, (tgid, ktime));
        message.start_time = Some(clock.timestamp(ktime));
    }
    message
}

/// Names and times.
fn base(options: &Options, clock: &Clock, key: Key, parent: Option<Key>) -> Process {
    Process {
        exec_id: exec_id(&options.node, key),
        // Nothing, rather than a guess, when the parent's records were lost.
        parent_exec_id: parent.map(|p| exec_id(&options.node, p)).unwrap_or_default(),
        pid: Some(key.0),
        tid: Some(key.0),
        start_time: Some(clock.timestamp(key.1)),
        ..Default::default()
    }
}

/// Login uid, capabilities, credentials and namespaces, as far as they are asked for.
fn credentials(message: &mut Process, cred: &Credentials, options: &Options) {
    message.auid = Some(cred.auid);
    if options.cred {
        message.cap = Some(Capabilities {
            permitted: capabilities(cred.caps[1]),
            effective: capabilities(cred.caps[2]),
            inheritable: capabilities(cred.caps[0]),
        });
        let [uid, gid, suid, sgid, euid, egid, fsuid, fsgid] = cred.ids.map(Some);
        message.process_credentials = Some(ProcessCredentials {
            uid,
            gid,
            euid,
            egid,
            suid,
            sgid,
            fsuid,
            fsgid,
            securebits: (0..8)
                .map(|bit| 1i32 << bit)
                .filter(|bit| cred.securebits & bit.cast_unsigned() != 0)
                .collect(),
            ..Default::default()
        });
    }
    if options.ns {
        message.ns = Some(namespaces(cred, options));
    }
}

fn namespaces(cred: &Credentials, options: &Options) -> Namespaces {
    let ns = |kind: usize| {
        let inum = cred.ns[kind];
        (inum != 0).then(|| Namespace { inum, is_host: inum == options.host_ns[kind] })
    };
    Namespaces {
        uts: ns(0),
        ipc: ns(1),
        mnt: ns(2),
        pid: ns(3),
        pid_for_children: ns(4),
        net: ns(5),
        time: ns(6),
        time_for_children: ns(7),
        cgroup: ns(8),
        user: ns(9),
    }
}

/// The numbers of the capabilities in a set.
pub fn capabilities(set: u64) -> Vec<i32> {
    (0..CAPABILITIES).filter(|bit| set & (1 << bit) != 0).map(u32::cast_signed).collect()
}

fn effective_uid(cred: &Credentials) -> u32 {
    cred.ids[4]
}

/// Privileges that a program gave to its process: by its set-user-ID or set-group-ID bit, or by
/// capabilities of its file. `before`: what was permitted before the exec.
pub fn binary_properties(exec: &ExecRecord, before: Option<u64>) -> Option<BinaryProperties> {
    const SETUID: u32 = 0o4000;
    const SETGID: u32 = 0o2010;
    let fixed = &exec.fixed;
    let [uid, gid, _, _, euid, egid, _, _] = fixed.cred.ids;
    let mut found = BinaryProperties::default();
    if fixed.mode & SETUID != 0 && euid == fixed.file_uid && euid != uid {
        found.setuid = Some(euid);
        if euid == 0 {
            found.privileges_changed.push(ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetuid.into());
        }
    }
    // The set-group-ID bit means this only together with the group's execute bit.
    if fixed.mode & SETGID == SETGID && egid == fixed.file_gid && egid != gid {
        found.setgid = Some(egid);
        if egid == 0 {
            found.privileges_changed.push(ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetgid.into());
        }
    }
    let gained = before.map_or(0, |before| fixed.cred.caps[1] & !before);
    if gained != 0 && uid != 0 && euid != 0 {
        found.privileges_changed.push(ProcessPrivilegesChanged::PrivilegesRaisedExecFileCap.into());
    }
    if fixed.ino != 0 && fixed.nlink == 0 {
        found.file = Some(FileProperties {
            inode: Some(InodeProperties { number: fixed.ino, links: Some(0) }),
            path: exec.exe.clone(),
        });
    }
    (found != BinaryProperties::default()).then_some(found)
}

/// The words that apply, in order.
fn words(list: &[(&str, bool)]) -> String {
    let mut text = String::new();
    for (word, _) in list.iter().filter(|(_, applies)| *applies) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Arguments as one text: those with a blank in double quotes, which are not escaped.
pub fn arguments<T: AsRef<str>>(args: &[T]) -> String {
    let mut text = String::with_capacity(args.iter().map(|a| a.as_ref().len() + 3).sum());
    for (i, arg) in args.iter().enumerate() {
        let arg = arg.as_ref();
        if i > 0 {
            text.push(' ');
        }
        if arg.contains(' ') {
            // Writing to a String does not fail.
            let _ = write!(text, "\"{arg}\"");
        } else {
            text.push_str(arg);
        }
    }
    text
}

/// A path as seen from a folder, without `.` and `..`. An absolute one stays as it was written.
pub fn absolute(cwd: &str, path: &str) -> String {
    if path.starts_with('/') || cwd.is_empty() {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in cwd.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `st_mode` as `ls -l` shows it, such as `-rw-r--r--`.
pub fn permission(mode: u32) -> String {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        _ => '-',
    };
    let mut text = String::with_capacity(10);
    text.push(kind);
    for (shift, special, set, clear) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => set,
            (false, true) => clear,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// The name of a signal, `SIGKILL`.
pub fn signal_name(number: u32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match usize::try_from(number).ok().and_then(|n| NAMES.get(n.checked_sub(1)?)) {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_with_blanks_are_quoted() {
        assert_eq!(arguments(&["a", "b c", "q\"q", "x\ny"]), "a \"b c\" q\"q x\ny");
        assert_eq!(arguments::<&str>(&[]), "");
        assert_eq!(arguments(&["", "x"]), " x");
    }

    #[test]
    fn relative_paths_become_absolute() {
        assert_eq!(absolute("/tmp", "../usr/bin/true"), "/usr/bin/true");
        assert_eq!(absolute("/", "./x"), "/x");
        assert_eq!(absolute("/tmp/w", "x/../y"), "/tmp/w/y");
        assert_eq!(absolute("/tmp", "/usr/../bin/x"), "/usr/../bin/x");
        assert_eq!(absolute("/a", "../../../x"), "/x");
    }

    #[test]
    fn modes_as_ls_shows_them() {
        assert_eq!(permission(0o100_644), "-rw-r--r--");
        assert_eq!(permission(0o040_755), "drwxr-xr-x");
        assert_eq!(permission(0o104_755), "-rwsr-xr-x");
        assert_eq!(permission(0o102_640), "-rw-r-S---");
        assert_eq!(permission(0o041_777), "drwxrwxrwt");
    }

    #[test]
    fn signals() {
        assert_eq!(
            (signal_name(9), signal_name(15), signal_name(31)),
            ("SIGKILL".into(), "SIGTERM".into(), "SIGSYS".into())
        );
        assert_eq!(signal_name(40), "signal 40");
    }

    #[test]
    fn privileges_from_files() {
        let mut exec = ExecRecord::default();
        exec.fixed.cred.ids = [1000, 1000, 0, 1000, 0, 1000, 0, 1000];
        exec.fixed.mode = 0o104_755;
        let found = binary_properties(&exec, Some(0)).unwrap();
        assert_eq!((found.setuid, found.setgid), (Some(0), None));
        assert_eq!(
            found.privileges_changed,
            [ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetuid as i32]
        );
        // Root runs it: nothing changes.
        exec.fixed.cred.ids = [0; 8];
        assert_eq!(binary_properties(&exec, Some(0)), None);
        // File capabilities of an ordinary user.
        exec.fixed.mode = 0o100_755;
        exec.fixed.cred.ids = [1000; 8];
        exec.fixed.cred.caps = [0, 1 << 13, 1 << 13];
        let found = binary_properties(&exec, Some(0)).unwrap();
        assert_eq!(found.privileges_changed, [ProcessPrivilegesChanged::PrivilegesRaisedExecFileCap as i32]);
        assert_eq!(binary_properties(&exec, Some(1 << 13)), None);
        assert_eq!(binary_properties(&exec, None), None);
        // A program that has no name any more.
        exec.fixed.ino = 7;
        exec.exe = "/memfd:x (deleted)".into();
        let file = binary_properties(&exec, None).unwrap().file.unwrap();
        assert_eq!((file.inode.unwrap().number, file.path.as_str()), (7, "/memfd:x (deleted)"));
    }
}
