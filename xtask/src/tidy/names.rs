//! What the docs name: flags of our programs, metrics, values of the chart, codes of findings. Each must exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::Value;

use super::{Finding, Tree, text};
use crate::build;
use crate::tools::{command, output, root};

/// Programs whose flags are looked up, and how a command line of theirs begins.
const PROGRAMS: [(&str, &str); 4] = [
    ("tetragon", "tetragon"),
    ("tetra", "tetra"),
    ("tetragon-operator", "tetragon-operator"),
    ("xtask", "cargo xtask"),
];
/// Flags of other programs that stand alone in a sentence: cargo's, helm's, buildah's.
const OTHERS: &[&str] = &["--workspace", "--set", "--kube-version", "--platform"];
/// Where flags are defined that no `--help` shows: Tetragon's, which are accepted or refused by name.
const HIDDEN: [&str; 2] = ["node-agent/src/config.rs", "tetra/src/cli.rs"];
/// Files and templates that look like values of the chart.
const NO_VALUES: &[&str] = &["tetragon.sock", "tetragon.pid", "tetragon.volumemounts.extra"];
/// Where metrics are registered.
const METRICS: [&str; 3] = ["node-agent/src", "operator/src", "daemon/src"];
/// What Prometheus adds to a name, or the registry.
const ENDINGS: [&str; 6] = ["_total", "_bucket", "_sum", "_count", "_seconds", "_bytes"];
const CODES: &str = "policy-compiler/resources/codes";
const SCHEMA: &str = "charts/tetragon/values.schema.json";
const UNSUPPORTED: &str = "charts/tetragon/files/unsupported.yaml";

/// A name in a page, with where it stands.
struct Named<'p> {
    file: &'p Path,
    line: usize,
    name: String,
}

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let pages = tree.pages()?;
    let flags = Flags::read(tree)?;
    let metrics = Metrics::read(tree)?;
    let values = Values::read()?;
    let mut findings = Vec::new();
    let mut find = |what: &str, named: Vec<Named<'_>>| {
        findings.extend(
            named
                .into_iter()
                .map(|n| format!("{}:{}: there is no {what} `{}`", n.file.display(), n.line, n.name)),
        );
    };
    for (file, text) in &pages {
        let named = |pick: &dyn Fn(&str) -> Vec<String>| {
            let lines = text.lines().enumerate();
            lines
                .flat_map(|(n, line)| {
                    pick(line).into_iter().map(move |name| Named { file, line: n + 1, name })
                })
                .collect()
        };
        find("flag", named(&|line| flags.unknown(line)));
        find("metric", named(&|line| metrics.unknown(line)));
        find("value of the chart", named(&|line| values.unknown(line)));
        find("code", named(&unknown_codes));
    }
    Ok(findings)
}

fn found(pattern: &Regex, line: &str) -> Vec<String> {
    pattern.captures_iter(line).map(|found| found[1].to_owned()).collect()
}

/// Each `...` of a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn unknown_codes(line: &str) -> Vec<String> {
    static CODE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:error|warning|note)\[([a-z-]+)\]").expect("a valid expression"));
    let mut codes = found(&CODE, line);
    codes.retain(|code| !root().join(CODES).join(format!("{code}.md")).is_file());
    codes
}

/// The flags of our programs.
struct Flags {
    /// By program, those of all its commands, as `--help` shows them.
    shown: BTreeMap<&'static str, BTreeSet<String>>,
    /// What may be one that is hidden: a text or a field of the sources.
    hidden: BTreeSet<String>,
}

impl Flags {
    fn read(tree: &Tree) -> Result<Flags> {
        let mut shown = BTreeMap::new();
        for (program, line) in PROGRAMS {
            let mut flags = BTreeSet::new();
            collect(program, &[], &mut flags)?;
            shown.insert(line, flags);
        }
        let names = Regex::new(r#"(?:"(?:--)?|(?m:^) +(?:pub(?:\(crate\))? )?)([a-z][a-z0-9_-]+)(?:"|: )"#)?;
        let sources = tree.with_ending("rs")?;
        let sources = sources.iter().filter(|(file, _)| HIDDEN.iter().any(|folder| file.starts_with(folder)));
        let hidden = sources
            .flat_map(|(_, text)| found(&names, text))
            .map(|name| format!("--{}", name.replace('_', "-")));
        Ok(Flags { shown, hidden: hidden.collect() })
    }

    fn unknown(&self, line: &str) -> Vec<String> {
        // A family such as `--tls-*` is not a flag.
        static FLAG: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?:^|[\s\[(/])(--[a-z][a-z0-9-]*[a-z0-9])(?:[^a-z0-9-]|$)")
                .expect("a valid expression")
        });
        let mut unknown = Vec::new();
        let commands = spans(line).chain(line.strip_prefix("$ "));
        for part in commands.flat_map(|command| command.split([';', '|', '&'])).map(str::trim) {
            let is_of = |line: &str| part.strip_prefix(line).is_some_and(|rest| rest.starts_with(' '));
            let program = self.shown.iter().find(|(line, _)| is_of(line)).map(|(_, flags)| flags);
            if program.is_none() && !part.starts_with("--") {
                continue;
            }
            // What follows a lone `--` is another program's.
            let part = part.split(" -- ").next().unwrap_or(part);
            unknown.extend(found(&FLAG, part).into_iter().filter(|flag| !self.has(program, flag)));
        }
        unknown
    }

    fn has(&self, program: Option<&BTreeSet<String>>, flag: &str) -> bool {
        let shown = program.map_or_else(
            || self.shown.values().any(|flags| flags.contains(flag)),
            |flags| flags.contains(flag),
        );
        shown || self.hidden.contains(flag) || OTHERS.contains(&flag)
    }
}

/// The flags of a command and of those below it.
fn collect(program: &str, words: &[&str], flags: &mut BTreeSet<String>) -> Result<()> {
    static FLAG: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^\s+(?:-\w, )?(--[a-z][a-z0-9-]+)").expect("a valid expression"));
    static ALIAS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"aliases?: (--[a-z][a-z0-9-]+)").expect("a valid expression"));
    let help = output(command(build::program(program), words).arg("--help"))
        .with_context(|| format!("{program} {words:?} --help"))?;
    flags.extend(found(&FLAG, &help));
    flags.extend(found(&ALIAS, &help));
    let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let Some(name) =
            line.strip_prefix("  ").and_then(|l| l.split_whitespace().next().filter(|_| !l.starts_with(' ')))
        else {
            continue;
        };
        if name != "help" {
            collect(program, &[words, &[name]].concat(), flags)?;
        }
    }
    Ok(())
}

/// Every text of the sources that may be a metric's name, or a part of one.
struct Metrics(BTreeSet<String>);

impl Metrics {
    fn read(tree: &Tree) -> Result<Metrics> {
        let literal = Regex::new(r#""([a-z][a-z0-9_]*)"#)?;
        let sources = tree.with_ending("rs")?;
        let sources =
            sources.iter().filter(|(file, _)| METRICS.iter().any(|folder| file.starts_with(folder)));
        Ok(Metrics(sources.flat_map(|(_, text)| found(&literal, text)).collect()))
    }

    fn unknown(&self, line: &str) -> Vec<String> {
        static METRIC: LazyLock<Regex> = LazyLock::new(|| {
            // Crates, ids and files look alike: a metric stands in code, alone or before its labels.
            Regex::new(r"(?:^|`)(tetragon_[a-z0-9_]+)(?:`|\{| )").expect("a valid expression")
        });
        found(&METRIC, line).into_iter().filter(|name| !self.has(name)).collect()
    }

    fn has(&self, name: &str) -> bool {
        let ends = std::iter::once(name).chain(ENDINGS.iter().filter_map(|ending| name.strip_suffix(ending)));
        ends.flat_map(|name| {
            [Some(name), name.strip_prefix("tetragon_"), name.strip_prefix("tetragon_operator_")]
                .into_iter()
                .flatten()
        })
        .any(|name| self.0.contains(name))
    }
}

/// What a value of the chart may be: its schema, and what is refused by name.
struct Values {
    schema: Value,
    unsupported: String,
}

impl Values {
    fn read() -> Result<Values> {
        let schema =
            serde_json::from_str(&text(Path::new(SCHEMA))?).with_context(|| format!("reading {SCHEMA}"))?;
        Ok(Values { schema, unsupported: text(Path::new(UNSUPPORTED))? })
    }

    fn unknown(&self, line: &str) -> Vec<String> {
        static VALUE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^([a-zA-Z]+(?:\.[a-zA-Z]+)+)(?:[:=].*)?$").expect("a valid expression")
        });
        let names = spans(line).flat_map(|span| found(&VALUE, span));
        names
            .filter(|name| {
                self.is_meant(name) && !NO_VALUES.contains(&name.as_str()) && !self.has(&self.schema, name)
            })
            .collect()
    }

    /// It begins as a value does. Files and fields of policies have dots, too.
    fn is_meant(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        self.schema["properties"].get(first).is_some_and(|of| of.get("properties").is_some())
    }

    fn has(&self, schema: &Value, name: &str) -> bool {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let last = name.rsplit('.').next().unwrap_or(name);
        match (schema["properties"].get(first), rest) {
            (Some(of), Some(rest)) => self.has(of, rest),
            (Some(_), None) => true,
            // The object is open, or is described elsewhere; or the value is one that is refused by name.
            (None, _) => schema.get("properties").is_none() || self.unsupported.contains(&format!("{last}:")),
        }
    }
}
