//! The language, case by case: what is right compiles to what it means, what is wrong is named.

use serde_json::json;
use tetragon_api::plan::{ArgType, Plan, Target};
use tetragon_api::workload::{Choice, Container};
use tetragon_compiler::{Compiled, compile_value, compile_yaml};

fn compile(spec: &str) -> Compiled {
    let text = format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: case\nspec:\n{}\n",
        spec.trim_end().lines().map(|l| format!("  {l}\n")).collect::<String>()
    );
    compile_yaml("case.yaml", &text)
}

/// A hook with a file, an int, a string and a uint64, and this selector.
fn selector(selector: &str) -> String {
    format!(
        "kprobes:\n- call: security_mmap_file\n  syscall: false\n  args:\n  - {{index: 0, type: file}}\n  \
         - {{index: 1, type: int}}\n  - {{index: 2, type: string}}\n  - {{index: 3, type: uint64}}\n  \
         - {{index: 4, type: capability}}\n  selectors:\n  - {selector}\n"
    )
}

fn arg(index: u32, operator: &str, values: &str) -> String {
    selector(&format!("matchArgs: [{{index: {index}, operator: {operator}, values: {values}}}]"))
}

fn lines(compiled: &Compiled) -> String {
    compiled.diagnostics.iter().map(|d| format!("{}\n", d.one_line())).collect()
}

fn plan(spec: &str) -> Plan {
    let compiled = compile(spec);
    let shown = lines(&compiled);
    compiled.policies.into_iter().next().and_then(|p| p.plan).unwrap_or_else(|| panic!("{shown}\n{spec}"))
}

/// Exactly one error, of this code, with all these texts in its line.
fn refused(spec: &str, code: &str, texts: &[&str]) {
    let compiled = compile(spec);
    let shown = lines(&compiled);
    let errors: Vec<_> = compiled.diagnostics.iter().filter(|d| d.severity.name() == "error").collect();
    assert_eq!(errors.len(), 1, "{shown}\n{spec}");
    assert_eq!(errors[0].code.id(), code, "{shown}\n{spec}");
    for text in texts {
        assert!(errors[0].one_line().contains(text), "{text:?} is not in\n{shown}");
    }
    assert!(errors[0].help.is_some(), "what would be right?\n{shown}");
    assert!(compiled.policies.iter().all(|p| p.plan.is_none()));
}

#[test]
fn operators_and_values_that_do_not_fit() {
    let long = |n: usize| format!("[\"/{}\"]", "x".repeat(n - 1));
    let cases: &[(String, &str, &[&str])] = &[
        (arg(1, "Equal", "[\"abc\"]"), "bad-value", &["matchArgs[0].values[0]", "\"abc\" is not an integer"]),
        (arg(1, "Equal", "[\"4294967296\"]"), "bad-value", &["out of range", "-2147483648 to 2147483647"]),
        (arg(3, "Equal", "[\"-1\"]"), "bad-value", &["out of range"]),
        (arg(1, "Equal", "[\"\"]"), "bad-value", &["not an integer"]),
        (arg(1, "GT", "[\"2147483647\"]"), "bad-value", &["beyond"]),
        (arg(3, "LT", "[\"0\"]"), "bad-value", &["beyond"]),
        (arg(1, "InRange", "[\"5\"]"), "bad-value", &["not a range", "Equal"]),
        (arg(1, "InRange", "[\"9:5\"]"), "bad-value", &["empty", "5:9"]),
        (arg(3, "Mask", "[\"0\"]"), "bad-value", &["never matches"]),
        (arg(1, "Mask", "[\"0x100000000\"]"), "bad-value", &["out of range"]),
        (arg(1, "SAddr", "[\"127.0.0.1\"]"), "operator-mismatch", &["operator", "SAddr", "type int"]),
        (arg(1, "Prefix", "[\"/x\"]"), "operator-mismatch", &["Prefix", "type int"]),
        (arg(0, "GT", "[\"1\"]"), "operator-mismatch", &["GT", "type file"]),
        (arg(2, "Mask", "[\"1\"]"), "operator-mismatch", &["Mask", "type string"]),
        (arg(4, "Equal", "[\"1\"]"), "operator-mismatch", &["capability"]),
        (arg(0, "DPort", "[\"80\"]"), "operator-mismatch", &["DPort"]),
        (arg(0, "SubString", "[\"a\"]"), "not-supported-yet", &["not supported yet: operator SubString"]),
        (arg(0, "FileType", "[\"reg\"]"), "not-supported-yet", &["FileType"]),
        (arg(1, "CelExpr", "[\"arg0 == 1\"]"), "not-supported-yet", &["CelExpr"]),
        (arg(0, "In", "[\"/x\"]"), "unknown-operator", &["unknown operator", "Equal"]),
        (arg(0, "NotIn", "[\"/x\"]"), "unknown-operator", &["NotEqual"]),
        (arg(0, "EqualTo", "[\"/x\"]"), "unknown-operator", &["operator", "did you mean \"Equal\""]),
        (arg(0, "equal", "[\"/x\"]"), "unknown-operator", &["did you mean \"Equal\""]),
        (arg(7, "Equal", "[\"/x\"]"), "unknown-arg", &["index 7", "0, 1, 2, 3, 4"]),
        (arg(0, "Equal", "[]"), "missing-values", &["values"]),
        (arg(0, "Equal", "~"), "missing-values", &["values"]),
        (arg(0, "Equal", "[5]"), "wrong-type", &["put it in quotes: \"5\""]),
        (arg(0, "Equal", "\"/x\""), "wrong-type", &["must be a list"]),
        (arg(0, "Prefix", "[\"\"]"), "bad-value", &["empty"]),
        (arg(0, "Prefix", &long(256)), "value-too-long", &["255", "256"]),
        (arg(0, "Postfix", &long(128)), "value-too-long", &["127"]),
        (arg(0, "Equal", &long(4096)), "value-too-long", &["4095"]),
        (selector("matchArgs: [{args: [9], operator: Equal, values: [a]}]"), "unknown-arg", &["no entry 9"]),
        (selector("matchArgs: [{args: [0, 1], operator: Equal, values: [a]}]"), "too-many", &["args: [0]"]),
        (selector("matchArgs: [{index: 0, values: [a]}]"), "missing-field", &["operator is missing"]),
        (selector("matchArgs: {index: 0}"), "wrong-type", &["must be a list", "dash"]),
    ];
    for (spec, code, texts) in cases {
        refused(spec, code, texts);
    }
    for (operator, values) in [
        ("Prefix", long(255)),
        ("NotPostfix", long(127)),
        ("Equal", long(4095)),
        ("NotEqual", "[\"/etc/x\\0\"]".into()),
    ] {
        assert_eq!(plan(&arg(0, operator, &values)).hooks.len(), 1);
    }
}

#[test]
fn other_matchers_that_do_not_fit() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("matchBinaries: [{operator: Equal, values: [/a]}]", "unknown-operator", &["write In"]),
        (
            "matchBinaries: [{operator: In, values: [/a]}, {operator: In, values: [/b]}]",
            "too-many",
            &["at most 1"],
        ),
        (
            "matchBinaries: [{operator: In, values: [/a], followChildren: true}]",
            "not-supported-yet",
            &["followChildren"],
        ),
        ("matchBinaries: [{operator: In}]", "missing-values", &["values"]),
        ("matchParentBinaries: [{operator: IN, values: [/a]}]", "unknown-operator", &["did you mean \"In\""]),
        ("matchPIDs: [{operator: In, values: [-1]}]", "bad-value", &["-1 is out of range"]),
        ("matchPIDs: [{operator: In, values: [\"1\"]}]", "wrong-type", &["without quotes"]),
        ("matchPIDs: [{operator: Equal, values: [1]}]", "unknown-operator", &["In"]),
        ("matchPIDs: [{operator: In, values: []}]", "missing-values", &[]),
        (
            "matchPIDs: [{operator: In, values: [1], isNamespacePid: true}]",
            "unknown-field",
            &["isNamespacePID"],
        ),
        ("matchPIDs: [{operator: In, values: [1], followForks: 1}]", "wrong-type", &["true or false"]),
        (
            "matchNamespaces: [{namespace: pid, operator: In, values: [host_ns]}]",
            "unknown-name",
            &["\"Pid\""],
        ),
        ("matchNamespaces: [{namespace: Pid, operator: In, values: [host]}]", "bad-value", &["host_ns"]),
        (
            "matchNamespaces: [{namespace: Pid, operator: In, values: [\"4294967296\"]}]",
            "bad-value",
            &["host_ns"],
        ),
        ("matchNamespaces: [{namespace: Pid, operator: In, values: []}]", "missing-values", &[]),
        (
            "matchCapabilities: [{operator: In, values: [CAP_BPF]}]",
            "not-supported-yet",
            &["not supported yet"],
        ),
        ("matchNamespaceChanges: [{operator: In, values: [Uts]}]", "not-supported-yet", &[]),
        ("matchReturnArgs: [{index: 0, operator: Equal, values: ['1']}]", "not-supported-yet", &[]),
        ("matchArg: []", "unknown-field", &["did you mean \"matchArgs\""]),
        ("5", "wrong-type", &["must be a mapping"]),
        ("macros: [nothing]", "unknown-macro", &["nothing"]),
    ];
    for (text, code, texts) in cases {
        refused(&selector(text), code, texts);
    }
    let long = "x".repeat(255);
    refused(
        &selector(&format!("matchBinaries: [{{operator: In, values: [\"/{long}\"]}}]")),
        "value-too-long",
        &["255"],
    );
}

#[test]
fn actions_that_cannot_be() {
    let action = |text: &str| selector(&format!("matchActions: {text}"));
    let cases: &[(&str, &str, &[&str])] = &[
        ("[{action: Signal}]", "bad-action", &["argSig"]),
        ("[{action: Signal, argSig: 65}]", "bad-action", &["no signal 65"]),
        ("[{action: Signal, argSig: 0}]", "bad-action", &["no signal 0"]),
        ("[{action: Override}]", "bad-action", &["argError"]),
        ("[{action: Override, argError: -4096}]", "bad-action", &["-4095 to -1"]),
        ("[{action: Override, argError: 13}]", "bad-action", &["write -13"]),
        ("[{action: Override, argError: 0}]", "bad-action", &[]),
        ("[{action: Sigkill, argError: -1}]", "bad-action", &["argError does nothing with Sigkill"]),
        ("[{action: Sigkill, rateLimit: 1m}]", "bad-action", &["rateLimit does nothing with Sigkill"]),
        ("[{action: Post, rateLimit: 5x}]", "bad-value", &["5x"]),
        ("[{action: Post, rateLimit: \"0\"}]", "bad-value", &["no time"]),
        ("[{action: Post, rateLimit: é}]", "bad-value", &["no time"]),
        ("[{action: Post, rateLimit: 5}]", "wrong-type", &["quotes"]),
        ("[{action: Post, rateLimitScope: global}]", "bad-action", &["without rateLimit"]),
        (
            "[{action: Post, rateLimit: 5s, rateLimitScope: pod}]",
            "unknown-name",
            &["thread, process, global"],
        ),
        ("[{action: Post, kernelStackTrace: true}]", "not-supported-yet", &["kernelStackTrace"]),
        ("[{action: GetUrl}]", "not-supported-yet", &["action GetUrl"]),
        ("[{action: SigKill}]", "unknown-action", &["\"Sigkill\""]),
        ("[{action: Sigkill}, {action: Signal, argSig: 15}]", "action-conflict", &["9 and 15"]),
        ("[{action: NoPost}, {action: Post}]", "action-conflict", &["exclude"]),
        ("[{action: Post}, {action: Post}, {action: Post}, {action: Post}]", "too-many", &["3 are possible"]),
        ("[{}]", "missing-field", &["action is missing"]),
    ];
    for (text, code, texts) in cases {
        refused(&action(text), code, texts);
    }
    let hook = |hook: &str| {
        format!("{hook}\n  selectors: [{{matchActions: [{{action: Override, argError: -1}}]}}]\n")
    };
    for (text, texts) in [
        ("kprobes:\n- call: sys_openat", ["openat", "lsmhooks with hook: file_open"]),
        ("kprobes:\n- call: sys_getpid", ["getpid", "CONFIG_BPF_KPROBE_OVERRIDE"]),
        ("kprobes:\n- call: do_filp_open\n  syscall: false", ["do_filp_open", "security_ function"]),
        ("kprobes:\n- call: security_bprm_committed_creds\n  syscall: false", ["returns nothing", "Sigkill"]),
        ("lsmhooks:\n- hook: inode_post_setxattr", ["returns nothing", "earlier"]),
        (
            "tracepoints:\n- {subsystem: sched, event: sched_process_exec}",
            ["a tracepoint has no result", "lsmhooks"],
        ),
    ] {
        let spec = hook(&text.replace("}", "").replace("- {subsystem: sched, ", "- subsystem: sched\n  "));
        refused(&spec, "override-hook", &texts);
    }
    assert_eq!(plan(&hook("lsmhooks:\n- hook: file_open")).hooks[0].selectors[0].actions.deny, Some(1));
}

#[test]
fn hooks_that_cannot_be() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("kprobes: [{call: security_file_open}]", "syscall-default", &["(its default)", "syscall: false"]),
        (
            "kprobes: [{call: security_file_open, syscall: true}]",
            "syscall-default",
            &["syscall is true; say"],
        ),
        ("kprobes: [{call: lseek}]", "bad-call", &["write sys_lseek"]),
        ("kprobes: [{call: stat}]", "bad-call", &["write sys_newstat"]),
        ("kprobes: [{call: __ia32_sys_read}]", "not-supported-yet", &["x86-64 and arm64"]),
        ("kprobes: [{call: __arm64_compat_sys_open}]", "not-supported-yet", &["64-bit"]),
        ("kprobes: [{call: arm64/sys_read}]", "not-supported-yet", &["sys_NAME"]),
        ("kprobes: [{call: i386/sys_read}]", "not-supported-yet", &[]),
        ("kprobes: [{call: \"a b\", syscall: false}]", "bad-call", &["\"a b\""]),
        ("kprobes: [{call: \"\", syscall: false}]", "bad-call", &[]),
        ("kprobes: [{call: \"a b\"}]", "bad-call", &["\"a b\"", "sys_openat"]),
        ("kprobes: [{call: \"\"}]", "bad-call", &["\"\" cannot be the name of a system call"]),
        ("kprobes: [{syscall: false}]", "missing-field", &["call is missing"]),
        ("kprobes: [{call: \"list:x\"}]", "unknown-list", &["spec.lists"]),
        ("lsmhooks: [{hook: bpf_lsm_file_open}]", "bad-call", &["write file_open"]),
        ("lsmhooks: [{hook: bprm_check}]", "bad-call", &["write bprm_check_security"]),
        ("lsmhooks: [{}]", "missing-field", &["hook is missing"]),
        ("tracepoints: [{event: x}]", "missing-field", &["subsystem is missing"]),
        ("tracepoints: [{subsystem: a, event: \"a:b\"}]", "bad-call", &["subsystem: a and event: b"]),
        ("kprobes: [{call: sys_dup, args: [{index: 0, type: inte}]}]", "unknown-type", &["did you mean"]),
        ("kprobes: [{call: sys_dup, args: [{index: 0, type: sock}]}]", "not-supported-yet", &["type sock"]),
        ("kprobes: [{call: sys_dup, args: [{index: 0}]}]", "missing-field", &["type is missing"]),
        ("kprobes: [{call: sys_dup, args: [{index: 0, type: auto}]}]", "type-mismatch", &["auto"]),
        ("kprobes: [{call: sys_dup, args: [{index: 0, type: file}]}]", "type-mismatch", &["fd"]),
        ("kprobes: [{call: sys_dup, args: [{index: 6, type: int}]}]", "bad-index", &["0 to 5"]),
        ("kprobes: [{call: sys_dup, args: [{index: -1, type: int}]}]", "bad-index", &["-1"]),
        ("kprobes: [{call: sys_dup, args: [{type: int}]}]", "missing-field", &["index is missing"]),
        ("lsmhooks: [{hook: file_open, args: [{index: 5, type: int}]}]", "bad-index", &["0 to 4"]),
        ("lsmhooks: [{hook: file_open, args: [{index: 0}]}]", "not-supported-yet", &["auto"]),
        ("lsmhooks: [{hook: file_open, return: true}]", "unknown-field", &["return"]),
        ("kprobes: [{call: sys_dup, return: true}]", "not-supported-yet", &["return"]),
        ("kprobes: [{call: sys_dup, ignore: {callNotfound: true}}]", "unknown-field", &["callNotFound"]),
        ("kprobes: [{call: sys_dup, tags: [\"\"]}]", "bad-value", &["empty"]),
        (
            "uprobes: [{path: /bin/sh}]",
            "not-supported-yet",
            &["uprobes", "kprobes, lsmhooks and tracepoints"],
        ),
        ("fentries: [{call: x}]", "not-supported-yet", &["fentries"]),
        ("loader: true", "not-supported-yet", &["loader"]),
        ("enforcers: [{calls: [sys_dup]}]", "not-supported-yet", &["enforcers"]),
        ("kprobe: []", "unknown-field", &["did you mean \"kprobes\""]),
        ("options: [{name: override-method, value: fmod-ret}]", "not-supported-yet", &["override-method"]),
        ("options: [{name: nothing}]", "unknown-name", &["policy-mode"]),
        ("options: [{name: policy-mode, value: audit}]", "bad-value", &["enforce, monitor"]),
        ("options: [{name: disable-kprobe-multi, value: maybe}]", "bad-value", &["\"true\""]),
        ("options: [{name: disable-kprobe-multi, value: true}]", "wrong-type", &["quotes"]),
        ("lists: [{name: l, type: generated_syscalls}]", "not-supported-yet", &["generated_syscalls"]),
        ("lists: [{name: l, type: syscall, values: [sys_dup]}]", "unknown-name", &["\"syscalls\""]),
        ("lists: [{name: l}]", "missing-values", &["values"]),
        ("selectorsMacros: {m: {macros: [x]}}", "macro-conflict", &["cannot use macros"]),
        ("selectorsMacros: {m: {matchX: 1}}", "unknown-field", &["selectorsMacros.m.matchX"]),
    ];
    for (spec, code, texts) in cases {
        refused(spec, code, texts);
    }
    let many = |n: usize, what: &str| vec![what; n].join(", ");
    let selectors = |n| format!("kprobes: [{{call: sys_dup, selectors: [{}]}}]", many(n, "{}"));
    refused(&selectors(65), "too-many", &["at most 64"]);
    assert_eq!(plan(&selectors(64)).hooks[0].selectors.len(), 64);
    let args = |n| format!("kprobes: [{{call: sys_dup, args: [{}]}}]", many(n, "{index: 0, type: int}"));
    refused(&args(9), "too-many", &["8 are possible"]);
    assert_eq!(plan(&args(8)).hooks[0].args.len(), 8);
    refused(
        &format!("kprobes: [{{call: sys_dup, tags: [{}]}}]", many(17, "aa")),
        "too-many",
        &["16 are possible"],
    );
}

#[test]
fn defaults_of_go_mean_the_same_as_nothing() {
    let spelled = "kprobes:\n- call: security_file_open\n  syscall: false\n  return: false\n  data: []\n  returnArgAction: \"\"\n  \
                   args: [{index: 0, type: file, resolve: \"\", maxData: false, sizeArgIndex: 0}]\n  selectors: []\nuprobes: []\nloader: false\n\
                   podSelector:\n";
    let short = "kprobes: [{call: security_file_open, syscall: false, args: [{index: 0, type: file}]}]";
    assert_eq!(plan(spelled), plan(short));
}

#[test]
fn spellings_of_one_type_are_one_type() {
    for (names, ty) in [
        (&["int", "sint32", "int32"][..], ArgType::Int32),
        (&["sint8", "int8"], ArgType::Int8),
        (&["sint16", "int16"], ArgType::Int16),
        (&["long", "sint64", "int64"], ArgType::Int64),
        (&["ulong", "uint64"], ArgType::Uint64),
        (&["uint8"], ArgType::Uint8),
        (&["uint16"], ArgType::Uint16),
        (&["uint32"], ArgType::Uint32),
        (&["size_t"], ArgType::Size),
        (&["fd"], ArgType::Fd),
        (&["string"], ArgType::String),
        (&["nop"], ArgType::Nop),
    ] {
        for name in names {
            let plan = plan(&format!("kprobes: [{{call: sys_dup, args: [{{index: 0, type: {name}}}]}}]"));
            assert_eq!(plan.hooks[0].args[0].ty, ty, "{name}");
        }
    }
    let tracepoint = plan("tracepoints: [{subsystem: syscalls, event: sys_enter_lseek, args: [{index: 7}]}]");
    assert_eq!(tracepoint.hooks[0].args[0].ty, ArgType::Auto);
}

#[test]
fn calls_are_resolved() {
    let targets = |spec: &str| plan(spec).hooks.into_iter().map(|h| h.target).collect::<Vec<_>>();
    let syscall = |name: &str| Target::Syscall(name.into());
    assert_eq!(
        targets(
            "kprobes: [{call: sys_setns}, {call: __x64_sys_setns, syscall: true}, {call: __arm64_sys_setns}]"
        ),
        [syscall("setns"), syscall("setns"), syscall("setns")]
    );
    assert_eq!(
        targets(
            "lists: [{name: l, values: [security_b, security_a]}]\nkprobes: [{call: \"list:l\", syscall: false}]"
        ),
        [Target::Function("security_a".into()), Target::Function("security_b".into())]
    );
    assert_eq!(
        targets(
            "lists: [{name: l, type: syscalls, values: [x64/sys_dup2, __x64_sys_dup, arm64/sys_dup3, __arm64_sys_dup]}]\nkprobes: [{call: \"list:l\"}]"
        ),
        [syscall("dup"), syscall("dup2"), syscall("dup3")]
    );
    assert_eq!(
        targets(
            "tracepoints: [{subsystem: task, event: task_newtask, raw: true}]\nlsmhooks: [{hook: file_open}]"
        ),
        [Target::Lsm("file_open".into()), Target::RawTracepoint("task".into(), "task_newtask".into())]
    );
    let plan = plan(
        "kprobes: [{call: no_such, syscall: false, ignore: {callNotFound: true}, message: m, tags: [a, b]}]",
    );
    assert!(plan.hooks[0].ignore_missing);
    assert_eq!(
        (plan.hooks[0].message.as_deref(), &plan.hooks[0].tags[..]),
        (Some("m"), &["a".into(), "b".into()][..])
    );
}

#[test]
fn macros_add_their_fields() {
    let with = "selectorsMacros:\n  tmp:\n    label: temporary\n    matchArgs: [{index: 0, operator: Prefix, values: [/tmp/]}]\n  cat:\n    \
                matchBinaries: [{operator: In, values: [/usr/bin/cat]}]\n";
    let hook = "lsmhooks:\n- hook: file_open\n  args: [{index: 0, type: file}]\n  selectors:\n";
    let written = "  - label: temporary\n    matchArgs: [{index: 0, operator: Prefix, values: [/tmp/]}]\n    matchBinaries: [{operator: In, values: [/usr/bin/cat]}]\n";
    assert_eq!(plan(&format!("{with}{hook}  - macros: [tmp, cat]\n")), plan(&format!("{hook}{written}")));
    let own = plan(&format!("{with}{hook}  - macros: [tmp]\n    label: mine\n"));
    assert_eq!(own.hooks[0].selectors[0].label.as_deref(), Some("mine"));
    // An error in a macro is shown once, where it stands, however often the macro is used.
    let bad = format!("{}{hook}  - macros: [tmp]\n  - macros: [tmp]\n", with.replace("Prefix", "Perfix"));
    refused(&bad, "unknown-operator", &["case.yaml:9:", "spec.selectorsMacros.tmp.matchArgs[0].operator"]);
    // A macro that is not used is checked for its names only.
    refused(
        &format!("{}{hook}  - {{}}\n", with.replace("matchArgs", "matchArg")),
        "unknown-field",
        &["matchArg"],
    );
}

#[test]
fn every_error_of_a_file_is_shown_at_once() {
    let text = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: A}\nspec:\n  banana: 1\n  kprobes:\n  \
                - call: sys_dup\n    args: [{index: 0, type: itn}, {index: 9, type: int}]\n    selectors:\n    \
                - matchPIDs: [{operator: Has, values: [x]}]\n      matchActions: [{action: Kill}]\n---\nkind: TracingPolicy\n---\n{ broken\n---\n\
                apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: good}\nspec:\n  lsmhooks: [{hook: file_open}]\n";
    let compiled = compile_yaml("f.yaml", text);
    let codes: Vec<_> = compiled
        .diagnostics
        .iter()
        .map(|d| format!("{}:{}", d.span.expect("a place").line, d.code.id()))
        .collect();
    assert_eq!(
        codes,
        [
            "3:bad-name",
            "5:unknown-field",
            "8:unknown-type",
            "8:bad-index",
            "10:unknown-operator",
            "10:wrong-type",
            "11:unknown-action",
            "13:missing-field",
            "13:missing-field",
            "13:missing-field",
            "15:yaml-syntax"
        ],
        "{}",
        lines(&compiled)
    );
    let good: Vec<_> =
        compiled.policies.iter().filter(|p| p.plan.is_some()).map(|p| p.name.as_str()).collect();
    assert_eq!(good, ["good"]);
}

#[test]
fn long_texts_are_cut_with_a_warning() {
    let hook = |message: &str, tag: &str| {
        format!("lsmhooks:\n- hook: file_open\n  message: {message}\n  tags: [{tag}]\n")
    };
    let whole = compile(&hook(&"é".repeat(256), &"t".repeat(128)));
    assert_eq!(lines(&whole), "");
    let spec = hook(&"é".repeat(257), &"t".repeat(129));
    let codes: Vec<_> = compile(&spec).diagnostics.iter().map(|d| (d.severity.name(), d.code.id())).collect();
    assert_eq!(codes, [("warning", "cut-short"); 2]);
    let plan = plan(&spec);
    assert_eq!(plan.hooks[0].message.as_deref(), Some("é".repeat(256).as_str()));
    assert_eq!(plan.hooks[0].tags, ["t".repeat(128)]);
}

#[test]
fn texts_of_a_policy_do_not_reach_the_terminal_raw() {
    let compiled = compile("kprobes: [{call: \"a\\e[31m\\nb\", syscall: false}]\n\"ba\\nd\": 1");
    assert_eq!(compiled.diagnostics.len(), 2, "{:?}", compiled.diagnostics);
    for d in &compiled.diagnostics {
        assert!(!d.one_line().contains(char::is_control), "{:?}", d.one_line());
    }
}

#[test]
fn one_mistake_is_one_error() {
    // Of a function that is taken for a system call, args and actions are still those of a function.
    let spec = "kprobes: [{call: security_file_open, args: [{index: 0, type: file}], selectors: [{matchActions: [{action: Override, argError: -1}]}]}]";
    refused(spec, "syscall-default", &["syscall: false"]);
    // An argument whose type is not known yet gives no errors of what compares it.
    refused(
        "kprobes: [{call: tcp_connect, syscall: false, args: [{index: 0, type: sock}], selectors: [{matchArgs: [{index: 0, operator: DPort, values: ['80']}]}]}]",
        "not-supported-yet",
        &["type sock"],
    );
    let values = compile(&arg(1, "Equal", "[\"abc\", 5, \"4294967296\"]"));
    let codes: Vec<_> = values.diagnostics.iter().map(|d| d.code.id()).collect();
    assert_eq!(codes, ["bad-value", "wrong-type", "bad-value"]);
}

#[test]
fn each_policy_has_the_text_of_its_document() {
    let one = "# first\napiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: é}\nspec: {}\n";
    let two =
        "---\n# second\napiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: b}\nspec: {}\n";
    let three = "--- # third\nkind: TracingPolicy\n";
    let compiled = compile_yaml("f.yaml", &format!("{one}{two}{three}"));
    let sources: Vec<_> = compiled.policies.iter().map(|p| p.source.as_str()).collect();
    assert_eq!(sources, [one, two, three]);
    assert!(compiled.policies[1].plan.is_some());
    let again = compile_yaml("f.yaml", &compiled.policies[1].source);
    assert_eq!(again.policies[0].plan, compiled.policies[1].plan);
}

#[test]
fn anchors_and_merge_keys_work() {
    let anchored = plan(
        "lsmhooks:\n- &a\n  hook: file_open\n  args: &args [{index: 0, type: file}]\n- <<: *a\n  hook: file_permission\n- hook: file_lock\n  args: *args\n",
    );
    let written = plan(
        "lsmhooks:\n- {hook: file_open, args: [{index: 0, type: file}]}\n- {hook: file_permission, args: [{index: 0, type: file}]}\n- {hook: file_lock, args: [{index: 0, type: file}]}\n",
    );
    assert_eq!(anchored, written);
}

#[test]
fn an_object_gives_the_same_plan_and_paths_without_positions() {
    let spec = json!({"kprobes": [{"call": "security_file_open", "syscall": false, "args": [{"index": 0, "type": "file"}],
        "selectors": [{"matchArgs": [{"index": 0, "operator": "Prefix", "values": ["/etc/"]}]}]}]});
    let mut object = json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": "case", "uid": "1", "resourceVersion": "5", "managedFields": []}, "spec": spec, "status": {"x": 1}});
    let compiled = compile_value(&object);
    assert_eq!(compiled.diagnostics, []);
    let from_text = plan(
        "kprobes:\n- call: security_file_open\n  syscall: false\n  args: [{index: 0, type: file}]\n  selectors:\n  - matchArgs: [{index: 0, operator: Prefix, values: [/etc/]}]\n",
    );
    assert_eq!(compiled.policies[0].plan.as_ref(), Some(&from_text));

    object["spec"]["kprobes"][0]["selectors"][0]["matchArgs"][0]["operator"] = json!("Perfix");
    let compiled = compile_value(&object);
    assert_eq!(
        lines(&compiled),
        "error[unknown-operator] spec.kprobes[0].selectors[0].matchArgs[0].operator: unknown operator \"Perfix\"; did you mean \"Prefix\"?\n"
    );
    assert_eq!(compiled.policies[0].plan, None);
}

#[test]
fn names_and_kinds() {
    let document = |kind: &str, metadata: &str| {
        compile_yaml(
            "f.yaml",
            &format!(
                "apiVersion: cilium.io/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec: {{lsmhooks: [{{hook: file_open}}]}}\n"
            ),
        )
    };
    for (kind, metadata, code) in [
        ("TracingPolicy", "{}", Some("missing-field")),
        ("TracingPolicy", "{generateName: x}", Some("missing-field")),
        ("TracingPolicy", "{name: Bad_Name!}", Some("bad-name")),
        ("TracingPolicy", "{name: -a}", Some("bad-name")),
        ("TracingPolicy", "{name: a..b}", Some("bad-name")),
        ("TracingPolicy", "{name: 5}", Some("wrong-type")),
        ("TracingPolicy", "{name: process.credentials.changes}", None),
        ("TracingPolicy", "{name: a, nmae: b}", Some("unknown-field")),
        ("TracingPolicy", "{name: a, namespace: b}", Some("namespace-ignored")),
        ("TracingPolicyNamespaced", "{name: a, namespace: b}", None),
        ("TracingPolicyNamespaced", "{name: a}", Some("namespace-default")),
        ("TracingPolicyNamespaced", "{name: a, namespace: a.b}", Some("bad-name")),
        ("TracingPolicyNamespaced", "{name: a, namespace: Web}", Some("bad-name")),
        ("TracingPolicyX", "{name: a}", Some("wrong-kind")),
        ("[]", "{name: a}", Some("wrong-type")),
    ] {
        let compiled = document(kind, metadata);
        let codes: Vec<_> = compiled.diagnostics.iter().map(|d| d.code.id()).collect();
        assert_eq!(codes, Vec::from_iter(code), "{kind} {metadata}");
    }
    // A document that is meant as a policy hides nothing else that is wrong with it.
    let wrong = compile_yaml(
        "f.yaml",
        "apiVersion: cilium.io/v1\nkind: Tracingpolice\nmetadata: {name: Bad_Name}\nspec: {kprobe: []}\n",
    );
    let codes: Vec<_> = wrong.diagnostics.iter().map(|d| d.code.id()).collect();
    assert_eq!(codes, ["wrong-kind", "wrong-kind", "bad-name", "unknown-field"]);
    let namespaced = document("TracingPolicyNamespaced", "{name: a, namespace: b}");
    assert_eq!(namespaced.policies[0].namespace.as_deref(), Some("b"));
    let without = document("TracingPolicyNamespaced", "{name: a}");
    let plan = without.policies[0].plan.as_ref().expect("it loads");
    assert_eq!(plan.namespace.as_deref(), Some("default"));
    let long = document("TracingPolicy", &format!("{{name: {}}}", "a".repeat(254)));
    assert_eq!(long.diagnostics[0].code.id(), "bad-name");
}

/// A policy of a hook with this selector, and these lines of spec.
fn workloads(spec: &str, selector: &str) -> String {
    format!("{spec}\nlsmhooks:\n- hook: file_open\n  selectors: [{selector}]\n")
}

fn namespaced(spec: &str) -> Compiled {
    let spec: String = spec.lines().map(|l| format!("  {l}\n")).collect();
    let head =
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicyNamespaced\nmetadata: {name: p, namespace: shop}";
    compile_yaml("f.yaml", &format!("{head}\nspec:\n{spec}"))
}

/// The table of Tetragon's documentation.
#[test]
fn workloads_compile_to_what_they_mean() {
    let labels = json!({"matchLabels": {"app": "web"}});
    let named = json!({"matchLabels": {"name": "main"}});
    for (host, pod, container, expected) in [
        (false, None, None, json!(null)),
        (false, None, Some(&named), json!({"pods": {"containers": named}})),
        (false, Some(&labels), None, json!({"pods": {"labels": labels}})),
        (false, Some(&labels), Some(&named), json!({"pods": {"labels": labels, "containers": named}})),
        (true, None, None, json!({"host": true})),
        (true, None, Some(&named), json!({"host": true, "pods": {"containers": named}})),
        (true, Some(&labels), None, json!({"host": true, "pods": {"labels": labels}})),
        (
            true,
            Some(&labels),
            Some(&named),
            json!({"host": true, "pods": {"labels": labels, "containers": named}}),
        ),
        (false, Some(&json!({})), None, json!({"pods": {}})),
        (false, Some(&json!({})), Some(&json!({"matchLabels": {}})), json!({"pods": {}})),
        (true, Some(&json!({})), None, json!(null)),
    ] {
        let mut fields = Vec::new();
        fields.extend(host.then(|| "hostSelector: {}".to_owned()));
        fields.extend(pod.map(|s| format!("podSelector: {s}")));
        fields.extend(container.map(|s| format!("containerSelector: {s}")));
        let of_policy = plan(&workloads(&fields.join("\n"), "{}"));
        assert_eq!(json!(of_policy.workloads), expected, "{fields:?}");
        let selector = format!("{{matchWorkloads: {{{}}}}}", fields.join(", "));
        let of_selector = plan(&workloads("", &selector));
        let matchers = json!(of_selector.hooks[0].selectors[0].matchers);
        let expected = if expected.is_null() { json!([]) } else { json!([{"workload": expected}]) };
        assert_eq!(matchers, expected, "{selector}");
    }
}

#[test]
fn what_a_policy_chooses_is_of_the_policy_and_of_its_selectors() {
    let pod = |app: &str| {
        let labels = [("app".to_owned(), app.to_owned())].into();
        Container { labels, name: "main".into(), ..Container::default() }
    };
    let of = |spec: &str, selectors: &str| plan(&workloads(spec, selectors)).choice();
    let (web, db) = ("podSelector: {matchLabels: {app: web}}", "podSelector: {matchLabels: {app: db}}");
    let own = |pods: &str| format!("{{matchWorkloads: {{{pods}}}}}");
    let chosen = |choice: Option<Choice>| choice.map(|c| (c.select(&pod("web")), c.select(&pod("db"))));
    assert_eq!(chosen(of("", "{}")), None);
    assert_eq!(chosen(of(web, "{}")), Some((true, false)));
    assert_eq!(chosen(of("", &own(web))), Some((true, false)));
    assert_eq!(chosen(of("", &format!("{}, {}", own(web), own(db)))), Some((true, true)), "either selector");
    let named = "podSelector: {matchExpressions: [{key: app, operator: Exists}]}";
    assert_eq!(chosen(of(named, &own(db))), Some((false, true)), "both ask");
    assert_eq!(chosen(of("", &format!("{}, {{}}", own(web)))), None, "the other selector is for all");
    assert_eq!(chosen(of("hostSelector: {}", "{}")), None, "the host is no pod");
}

#[test]
fn a_namespaced_policy_chooses_pods_of_its_namespace() {
    let asked = |spec: &str| {
        let compiled = namespaced(&workloads(spec, "{}"));
        let plan = compiled.policies[0].plan.as_ref().unwrap_or_else(|| panic!("{}", lines(&compiled)));
        assert_eq!(plan.namespace.as_deref(), Some("shop"));
        json!(plan.workloads)
    };
    assert_eq!(asked(""), json!({"pods": {"namespace": "shop"}}));
    assert_eq!(asked("podSelector: {}"), json!({"pods": {"namespace": "shop"}}));
    let web = "podSelector: {matchLabels: {app: web}}";
    assert_eq!(asked(web), json!({"pods": {"namespace": "shop", "labels": {"matchLabels": {"app": "web"}}}}));
    let compiled = namespaced(&workloads("hostSelector: {}", "{}"));
    assert_eq!(
        lines(&compiled),
        "f.yaml:5:3: error[bad-value] spec.hostSelector: a TracingPolicyNamespaced is for pods of its namespace, \
         and for no others; leave hostSelector out, or write a TracingPolicy\n"
    );
    assert_eq!(compiled.policies[0].plan, None);
}

#[test]
fn selectors_that_mean_the_same_are_one_selector() {
    let digest = |selector: &str| plan(&workloads(&format!("podSelector: {selector}"), "{}")).digest();
    let one = digest(
        "{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: NotIn, values: [b, a, b]}]}",
    );
    let other = digest(
        "{matchExpressions: [{key: tier, operator: NotIn, values: [a, b]}, {key: app, operator: In, values: [web]}]}",
    );
    assert_eq!(one, other);
    assert_ne!(one, digest("{matchLabels: {app: web}}"));
    assert_ne!(digest("{}"), plan(&workloads("", "{}")).digest());
}

#[test]
fn workloads_that_cannot_be() {
    let pod = |selector: &str| format!("podSelector: {{{selector}}}");
    let container = |selector: &str| format!("containerSelector: {{{selector}}}");
    let cases: &[(String, &str, &[&str])] = &[
        (
            "hostSelector: {matchLabels: {a: b}}".into(),
            "unknown-field",
            &["spec.hostSelector.matchLabels", "only be {}"],
        ),
        ("hostSelector: true".into(), "wrong-type", &["must be a mapping"]),
        (pod("matchLabel: {a: b}"), "unknown-field", &["did you mean \"matchLabels\""]),
        (pod("matchLabels: {a: /x}"), "bad-value", &["spec.podSelector.matchLabels.a", "label's value"]),
        (pod("matchLabels: {'a b': x}"), "bad-name", &["label's name"]),
        (
            pod("matchLabels: {'k8s:io.kubernetes.pod.namespaces': x}"),
            "unknown-name",
            &["pods have no label", "did you mean \"k8s:io.kubernetes.pod.namespace\""],
        ),
        (
            pod(&format!("matchLabels: {{'k8s:io.kubernetes.pod.workload': {}}}", "a".repeat(254))),
            "bad-value",
            &["label's value"],
        ),
        (
            pod("matchExpressions: [{key: 'k8s:app', operator: Exists}]"),
            "unknown-name",
            &["podSelector.matchExpressions[0].key", "k8s:io.kubernetes.pod.workload"],
        ),
        (pod("matchExpressions: [{key: a, operator: Equal, values: [x]}]"), "unknown-operator", &["NotIn"]),
        (pod("matchExpressions: [{key: a, operator: In}]"), "missing-values", &["matchExpressions[0]"]),
        (container("matchLabels: {names: a}"), "unknown-name", &["did you mean \"name\""]),
        (container("matchLabels: {image: a}"), "unknown-name", &["write repo"]),
        (container("matchLabels: {name: A_b}"), "bad-value", &["container's name"]),
        (
            container("matchLabels: {repo: 'docker.io/library/nginx:1.27'}"),
            "bad-value",
            &["neither tag nor digest", "write \"docker.io/library/nginx\""],
        ),
    ];
    for (spec, code, texts) in cases {
        refused(&workloads(spec, "{}"), code, texts);
        let of_selector = workloads("", &format!("{{matchWorkloads: {{{spec}}}}}"));
        let texts: Vec<_> = texts.iter().filter(|t| !t.starts_with("spec.")).copied().collect();
        refused(&of_selector, code, &texts);
    }
    let macros = "selectorsMacros: {m: {matchWorkloads: {podSelector: {}}}}";
    refused(&workloads(macros, "{macros: [m]}"), "macro-conflict", &["selectorsMacros.m.matchWorkloads"]);
    let option =
        |value: &str| workloads(&format!("options: [{{name: unknown-containers, value: {value}}}]"), "{}");
    refused(&option("closed"), "bad-value", &["did you mean \"fail-closed\""]);
    refused(&option("maybe"), "bad-value", &["fail-open, fail-closed"]);
    for right in [
        pod("matchLabels: {'k8s:io.kubernetes.pod.namespace': x, 'k8s:io.kubernetes.pod.name': web-0.a}"),
        pod(
            "matchLabels: {'k8s:io.kubernetes.pod.workload': web, 'k8s:io.kubernetes.pod.workload_kind': Deployment}",
        ),
        pod(&format!("matchLabels: {{'k8s:io.kubernetes.pod.workload': {}}}", "a".repeat(253))),
        container("matchLabels: {name: main-2, repo: 'localhost:5000/a/b'}"),
    ] {
        assert!(plan(&workloads(&right, "{}")).workloads.is_some(), "{right}");
    }
}

#[test]
fn workloads_of_which_there_are_none_are_warned_of() {
    let warned = |compiled: Compiled, expected: &[(&str, &str)]| {
        let found: Vec<_> = compiled.diagnostics.iter().map(|d| (d.code.id(), d.field.as_str())).collect();
        assert_eq!(found, expected, "{}", lines(&compiled));
        assert!(compiled.policies[0].plan.is_some());
    };
    let pod = |selector: &str| compile(&workloads(&format!("podSelector: {{{selector}}}"), "{}"));
    let never = "never-matches";
    let both = "matchLabels: {a: x}, matchExpressions: [{key: a, operator: In, values: [y, z]}]";
    warned(pod(both), &[(never, "spec.podSelector.matchExpressions[0]")]);
    let absent = "matchLabels: {a: x}, matchExpressions: [{key: a, operator: DoesNotExist}]";
    warned(pod(absent), &[(never, "spec.podSelector.matchExpressions[0]")]);
    let none_left = "matchExpressions: [{key: a, operator: In, values: [x, y]}, {key: a, operator: NotIn, values: [y, x]}]";
    warned(pod(none_left), &[(never, "spec.podSelector.matchExpressions[1]")]);
    let extra = "matchExpressions: [{key: 'k8s:io.kubernetes.pod.namespace', operator: DoesNotExist}]";
    warned(pod(extra), &[(never, "spec.podSelector.matchExpressions[0]")]);
    warned(
        pod("matchExpressions: [{key: a, operator: NotIn, values: [x]}, {key: a, operator: DoesNotExist}]"),
        &[],
    );
    for name in ["namespace", "name", "workload", "workload_kind"] {
        let bare =
            pod(&format!("matchExpressions: [{{key: io.kubernetes.pod.{name}, operator: In, values: [x]}}]"));
        assert!(
            lines(&bare).contains(&format!("write \"k8s:io.kubernetes.pod.{name}\"")),
            "{}",
            lines(&bare)
        );
        warned(bare, &[(never, "spec.podSelector.matchExpressions[0].key")]);
    }
    let repo = compile(&workloads("containerSelector: {matchLabels: {repo: nginx}}", "{}"));
    assert!(lines(&repo).contains("write \"docker.io/library/nginx\""), "{}", lines(&repo));
    warned(repo, &[("dead-value", "spec.containerSelector.matchLabels.repo")]);

    let matcher = "spec.lsmhooks[0].selectors[0].matchWorkloads";
    let web = "podSelector: {matchLabels: {app: web}}";
    let asks = |spec: &str, asked: &str| workloads(spec, &format!("{{matchWorkloads: {{{asked}}}}}"));
    warned(compile(&asks(web, "podSelector: {matchLabels: {app: db}}")), &[(never, matcher)]);
    warned(compile(&asks(web, "podSelector: {matchLabels: {tier: db}}")), &[]);
    warned(compile(&asks(web, "hostSelector: {}")), &[(never, matcher)]);
    warned(
        compile(&asks(web, "hostSelector: {}, podSelector: {matchLabels: {tier: db}}")),
        &[("dead-value", matcher)],
    );
    warned(compile(&asks("hostSelector: {}", "podSelector: {}")), &[(never, matcher)]);
    warned(compile(&asks("", "")), &[("no-effect", matcher)]);
    warned(namespaced(&asks("", "hostSelector: {}")), &[(never, matcher)]);

    let namespace = |operator: &str, name: &str| {
        let key = "k8s:io.kubernetes.pod.namespace";
        let asked = format!(
            "podSelector: {{matchExpressions: [{{key: '{key}', operator: {operator}, values: [{name}]}}]}}"
        );
        namespaced(&workloads(&asked, "{}"))
    };
    warned(namespace("In", "shop"), &[]);
    warned(namespace("In", "bank"), &[(never, "spec.podSelector.matchExpressions[0]")]);
    warned(namespace("NotIn", "shop"), &[(never, "spec.podSelector.matchExpressions[0]")]);

    let option = |spec: &str| {
        compile(&workloads(
            &format!("options: [{{name: unknown-containers, value: fail-closed}}]\n{spec}"),
            "{}",
        ))
    };
    warned(option("podSelector: {}"), &[]);
    warned(option("hostSelector: {}"), &[("no-effect", "spec.options[0].name")]);

    let twice = "{matchWorkloads: {podSelector: {matchLabels: {a: x}}}}, \
                 {matchWorkloads: {podSelector: {matchLabels: {a: x, b: y}}}}, {matchWorkloads: {podSelector: {}}}";
    warned(compile(&workloads("", twice)), &[("unreachable-selector", "spec.lsmhooks[0].selectors[1]")]);
}
