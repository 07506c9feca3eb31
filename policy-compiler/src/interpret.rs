//! The language's reference interpreter: what a hook decides about a call, on plain values. It is the
//! specification that the kernel's decisions are tested against, so it is kept obvious, not fast.

use tetragon_api::plan::{Hook, IntRange, Matcher, NamespaceValue, TextOp};

/// A call of a hooked function, as a policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Path of the calling process's executable, as it was at exec. `None` for a kernel thread: it
    /// is equal to no path.
    pub binary: Option<String>,
    /// The same of its parent.
    pub parent_binary: Option<String>,
    /// The calling process, and then its ancestors as far as they are known, the parent first.
    pub lineage: Vec<Process>,
    /// Inode numbers of the calling task's namespaces, by [`tetragon_api::plan::NamespaceKind`].
    pub namespaces: [u32; 10],
    /// Those of the node's first process.
    pub host_namespaces: [u32; 10],
    /// The values of [`Hook::args`], in its order.
    pub args: Vec<Value>,
}

/// A process, by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Thread group id, as the host sees it.
    pub pid: u32,
    /// Thread group id in the innermost PID namespace; 0 in the host's.
    pub namespace_pid: u32,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of an integer type.
    Int(i128),
    /// Of a text type.
    Text(String),
    /// It could not be read, or has no text (a pipe has no path). No matcher on it matches, negated
    /// or not.
    Missing,
}

/// The selector that decides about a call: the first that matches. `None`: the call is not reported.
pub fn decide(hook: &Hook, call: &Call) -> Option<usize> {
    hook.selectors.iter().position(|s| s.matchers.iter().all(|m| matches(m, call)))
}

/// One matcher on a call.
pub fn matches(matcher: &Matcher, call: &Call) -> bool {
    match matcher {
        Matcher::Binary { op, not, values } => path(call.binary.as_deref(), *op, values) != *not,
        Matcher::ParentBinary { op, not, values } => path(call.parent_binary.as_deref(), *op, values) != *not,
        Matcher::Pid { not, follow_forks, namespace_pid, values } => {
            let looked_at = if *follow_forks { call.lineage.len() } else { 1 };
            let id = |p: &Process| if *namespace_pid { p.namespace_pid } else { p.pid };
            let found = call.lineage.iter().take(looked_at).any(|p| values.contains(&id(p)));
            found != *not
        }
        Matcher::Namespace { namespace, not, values } => {
            let own = call.namespaces[*namespace as usize];
            let host = call.host_namespaces[*namespace as usize];
            let found = values.iter().any(|v| match v {
                NamespaceValue::Host => own == host,
                NamespaceValue::Inum(number) => own == *number,
            });
            found != *not
        }
        Matcher::Text { arg, op, not, values } => match call.args.get(*arg) {
            Some(Value::Text(text)) => path(Some(text), *op, values) != *not,
            _ => false,
        },
        Matcher::Int { arg, not, ranges } => match call.args.get(*arg) {
            Some(Value::Int(int)) => ranges.iter().any(|r| within(*int, *r)) != *not,
            _ => false,
        },
        Matcher::Mask { arg, mask } => match call.args.get(*arg) {
            Some(Value::Int(int)) => int & i128::from(*mask) != 0,
            _ => false,
        },
        // A call here does not say where it runs; who knows asks Workloads::select.
        Matcher::Workload(_) => true,
    }
}

fn path(text: Option<&str>, op: TextOp, values: &[String]) -> bool {
    let Some(text) = text else { return false };
    values.iter().any(|v| match op {
        TextOp::Equal => text == v,
        TextOp::Prefix => text.starts_with(v.as_str()),
        TextOp::Postfix => text.ends_with(v.as_str()),
    })
}

fn within(int: i128, range: IntRange) -> bool {
    range.min <= int && int <= range.max
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile_yaml;

    fn hook(selectors: &str) -> Hook {
        let text = format!(
            "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: p}}\nspec:\n  kprobes:\n  \
             - call: security_mmap_file\n    syscall: false\n    args:\n    - {{index: 0, type: file}}\n    \
             - {{index: 1, type: int}}\n    selectors: {selectors}\n"
        );
        let compiled = compile_yaml("p.yaml", &text);
        let plan = compiled.policies.into_iter().next().and_then(|p| p.plan);
        plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)).hooks.remove(0)
    }

    fn call() -> Call {
        Call {
            binary: Some("/usr/bin/cat".into()),
            parent_binary: Some("/usr/bin/bash".into()),
            lineage: vec![
                Process { pid: 100, namespace_pid: 7 },
                Process { pid: 90, namespace_pid: 1 },
                Process { pid: 1, namespace_pid: 0 },
            ],
            namespaces: [10, 11, 12, 99, 14, 15, 16, 17, 18, 19],
            host_namespaces: [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
            args: vec![Value::Text("/etc/shadow".into()), Value::Int(-1)],
        }
    }

    #[test]
    fn each_matcher_decides_as_the_language_says() {
        for (selector, expected) in [
            ("[{}]", true),
            ("[{matchBinaries: [{operator: In, values: [/bin/x, /usr/bin/cat]}]}]", true),
            ("[{matchBinaries: [{operator: NotIn, values: [/bin/x, /usr/bin/cat]}]}]", false),
            ("[{matchBinaries: [{operator: Postfix, values: [/cat]}]}]", true),
            ("[{matchBinaries: [{operator: NotPrefix, values: [/usr/sbin/]}]}]", true),
            ("[{matchParentBinaries: [{operator: Prefix, values: [/usr/bin/ba]}]}]", true),
            ("[{matchParentBinaries: [{operator: In, values: [/usr/bin/cat]}]}]", false),
            ("[{matchPIDs: [{operator: In, values: [100]}]}]", true),
            ("[{matchPIDs: [{operator: In, values: [90, 1]}]}]", false),
            ("[{matchPIDs: [{operator: In, followForks: true, values: [1]}]}]", true),
            ("[{matchPIDs: [{operator: NotIn, followForks: true, values: [90]}]}]", false),
            ("[{matchPIDs: [{operator: In, isNamespacePID: true, values: [7]}]}]", true),
            ("[{matchPIDs: [{operator: In, isNamespacePID: true, values: [1]}]}]", false),
            ("[{matchPIDs: [{operator: In, isNamespacePID: true, followForks: true, values: [1]}]}]", true),
            ("[{matchNamespaces: [{namespace: Pid, operator: NotIn, values: [host_ns]}]}]", true),
            ("[{matchNamespaces: [{namespace: Net, operator: NotIn, values: [host_ns]}]}]", false),
            ("[{matchNamespaces: [{namespace: Pid, operator: In, values: ['99', host_ns]}]}]", true),
            ("[{matchArgs: [{index: 0, operator: Equal, values: [/etc/shadow]}]}]", true),
            ("[{matchArgs: [{index: 0, operator: NotEqual, values: [/etc/passwd, /etc/shadow]}]}]", false),
            ("[{matchArgs: [{index: 0, operator: Prefix, values: [/etc/]}]}]", true),
            ("[{matchArgs: [{index: 0, operator: NotPostfix, values: [dow]}]}]", false),
            ("[{matchArgs: [{index: 1, operator: Equal, values: ['-1']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: GT, values: ['100']}]}]", false),
            ("[{matchArgs: [{index: 1, operator: LT, values: ['0']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: NotInRange, values: ['-5:-2']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: Mask, values: ['0x1000']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: InMap, values: ['3', '-2:0']}]}]", true),
            ("[{matchArgs: [{args: [1], index: 0, operator: NotEqual, values: ['5']}]}]", true),
        ] {
            assert_eq!(decide(&hook(selector), &call()).is_some(), expected, "{selector}");
        }
    }

    #[test]
    fn matchers_are_anded_and_the_first_selector_decides() {
        let hook = hook(
            "[{matchArgs: [{index: 0, operator: Prefix, values: [/etc]}, {index: 1, operator: Equal, values: ['5']}]}, \
             {matchBinaries: [{operator: In, values: [/usr/bin/cat]}]}, {}]",
        );
        assert_eq!(decide(&hook, &call()), Some(1));
        let five = Call { args: vec![Value::Text("/etc/x".into()), Value::Int(5)], ..call() };
        assert_eq!(decide(&hook, &five), Some(0));
        assert_eq!(decide(&hook, &Call { binary: None, ..call() }), Some(2));
    }

    #[test]
    fn what_could_not_be_read_matches_nothing() {
        let missing = Call { args: vec![Value::Missing, Value::Missing], ..call() };
        for selector in [
            "[{matchArgs: [{index: 0, operator: NotEqual, values: [/x]}]}]",
            "[{matchArgs: [{index: 0, operator: Prefix, values: [/]}]}]",
            "[{matchArgs: [{index: 1, operator: NotEqual, values: ['5']}]}]",
            "[{matchArgs: [{index: 1, operator: Mask, values: ['1']}]}]",
        ] {
            assert_eq!(decide(&hook(selector), &missing), None, "{selector}");
        }
        let unknown = Call { binary: None, ..call() };
        assert!(decide(&hook("[{matchBinaries: [{operator: NotIn, values: [/x]}]}]"), &unknown).is_some());
        assert!(decide(&hook("[{matchBinaries: [{operator: In, values: [/x]}]}]"), &unknown).is_none());
    }
}
