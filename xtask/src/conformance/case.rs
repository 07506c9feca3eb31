//! A case as its folder describes it: `case.yaml` and, mostly, `policy.yaml`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Number, Value};

use super::pattern::Pattern;
use crate::arch::Arch;

/// Everything that a case says.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The policy file, if there is one.
    pub(crate) policy: Option<PathBuf>,
    /// How many policies are in it.
    policies: Option<usize>,
    /// The kernels it is for, of any architecture; empty: all.
    pub(crate) kernels: Vec<String>,
    /// The architecture it is for; none: all.
    arch: Option<Arch>,
    pub(crate) agent_args: Vec<String>,
    pub(crate) setup: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) exit: Option<i64>,
    /// The policy must not load.
    pub(crate) load_error: bool,
    /// What the error must contain.
    pub(crate) error: Option<String>,
    /// What `tetra policy check` must warn of.
    pub(crate) warnings: Vec<String>,
    pub(crate) expect: Vec<Expect>,
    pub(crate) forbid: Vec<Pattern>,
    /// Names of expectations, in time order.
    pub(crate) order: Vec<String>,
    /// Events of other processes count too.
    pub(crate) any_process: bool,
}

/// Events that must be there.
#[derive(Debug)]
pub(crate) struct Expect {
    pub(crate) name: Option<String>,
    pub(crate) event: Pattern,
    /// How many exactly; none: at least one.
    pub(crate) count: Option<u64>,
}

impl Case {
    /// Reads a case's folder.
    pub(crate) fn read(folder: &Path) -> Result<Case> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = folder.join("case.yaml");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let policy = folder.join("policy.yaml");
        let mut case = Case::parse(name, &text).with_context(|| file.display().to_string())?;
        if policy.is_file() {
            let text =
                fs::read_to_string(&policy).with_context(|| format!("reading {}", policy.display()))?;
            // A policy that is no YAML is the agent's to refuse.
            case.policies = Yaml::load_from_str(&text).ok().map(|documents| documents.len());
            case.policy = Some(policy);
        }
        Ok(case)
    }

    fn parse(name: String, text: &str) -> Result<Case> {
        let Value::Object(mut fields) = parse_yaml(text)? else { bail!("a case is a mapping") };
        let mut take = |key: &str| fields.remove(key).filter(|v| !v.is_null());
        // For readers, and for whoever compares with Tetragon.
        for key in ["about", "upstream"] {
            take(key);
        }
        let load = text_of(take("load"), "load")?.unwrap_or_else(|| "ok".into());
        if !["ok", "error"].contains(&load.as_str()) {
            bail!("load: `{load}`; right would be ok or error");
        }
        let case = Case {
            name,
            policy: None,
            policies: None,
            kernels: texts(take("kernels"), "kernels")?,
            arch: text_of(take("arch"), "arch")?.map(|name| arch(&name)).transpose()?,
            agent_args: texts(take("agent_args"), "agent_args")?,
            setup: text_of(take("setup"), "setup")?,
            trigger: text_of(take("trigger"), "trigger")?,
            exit: match take("exit") {
                None => None,
                Some(value) => Some(value.as_i64().with_context(|| format!("exit: {value} is no number"))?),
            },
            load_error: load == "error",
            error: text_of(take("error"), "error")?,
            warnings: texts(take("warnings"), "warnings")?,
            expect: list(take("expect"), "expect")?.into_iter().map(expect).collect::<Result<_>>()?,
            forbid: list(take("forbid"), "forbid")?.into_iter().map(Pattern::new).collect::<Result<_>>()?,
            order: texts(take("order"), "order")?,
            any_process: match take("any_process") {
                None => false,
                Some(Value::Bool(yes)) => yes,
                Some(other) => bail!("any_process: {other}; right would be true or false"),
            },
        };
        if let Some(unknown) = fields.keys().next() {
            bail!("`{unknown}` is no key of a case");
        }
        if let Some(missing) =
            case.order.iter().find(|n| !case.expect.iter().any(|e| e.name.as_ref() == Some(n)))
        {
            bail!("order: no entry of expect is called `{missing}`");
        }
        Ok(case)
    }

    /// How many policies are put into a running agent's folder; none: the agent must start with them, or with
    /// other flags, or after what the case sets up.
    pub(crate) fn for_running_agent(&self) -> Option<usize> {
        let starts = self.any_process || !self.agent_args.is_empty();
        self.policies.filter(|_| !starts)
    }

    /// Whether it is for that kernel.
    pub(crate) fn is_for(&self, kernel: &str) -> bool {
        let (series, arch) = Arch::of_kernel(kernel);
        (self.kernels.is_empty() || self.kernels.iter().any(|k| k == series))
            && self.arch.is_none_or(|wanted| wanted == arch)
    }
}

fn arch(name: &str) -> Result<Arch> {
    let found = Arch::ALL.into_iter().find(|a| a.debian() == name);
    found.with_context(|| format!("arch: `{name}`; right would be amd64 or arm64"))
}

fn expect(value: Value) -> Result<Expect> {
    let Value::Object(mut fields) = value else { bail!("expect: {value} is no mapping") };
    let name = text_of(fields.remove("name"), "expect: name")?;
    let event = Pattern::new(fields.remove("event").context("expect: an entry has no `event`")?)?;
    let count = match fields.remove("count") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_u64().with_context(|| format!("expect: count: {value} is no number"))?),
    };
    if let Some(unknown) = fields.keys().next() {
        bail!("expect: `{unknown}` is no key of an entry");
    }
    Ok(Expect { name, event, count })
}

fn list(value: Option<Value>, key: &str) -> Result<Vec<Value>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => bail!("{key}: {other} is no list"),
    }
}

fn texts(value: Option<Value>, key: &str) -> Result<Vec<String>> {
    list(value, key)?.into_iter().map(|v| text_of(Some(v), key).map(Option::unwrap_or_default)).collect()
}

/// Text; a number is taken as it is written, as in `kernels: [6.12]`.
fn text_of(value: Option<Value>, key: &str) -> Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => bail!("{key}: {other} is no text"),
    }
}

/// The one document of a YAML text, as JSON.
pub(crate) fn parse_yaml(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text).context("not YAML")?;
    match documents.as_slice() {
        [document] => to_json(document),
        other => bail!("{} YAML documents where one is expected", other.len()),
    }
}

fn to_json(yaml: &Yaml<'_>) -> Result<Value> {
    Ok(match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(b) => Value::Bool(*b),
            Scalar::Integer(n) => Value::from(*n),
            Scalar::FloatingPoint(f) => Number::from_f64(f.into_inner()).map_or(Value::Null, Value::Number),
            Scalar::String(s) => Value::String(s.to_string()),
        },
        Yaml::Sequence(list) => Value::Array(list.iter().map(to_json).collect::<Result<_>>()?),
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let key = match to_json(key)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                object.insert(key, to_json(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(_, inner) => to_json(inner)?,
        Yaml::Representation(text, ..) => Value::String(text.to_string()),
        Yaml::Alias(_) | Yaml::BadValue => bail!("a YAML value that a case cannot have"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Case> {
        Case::parse("x".into(), text)
    }

    #[test]
    fn a_whole_case() {
        let case = parse(
            r#"
about: x
kernels: ["6.1", 6.12]
agent_args: ["--enable-process-cred"]
setup: |
  mkdir a
trigger: "true"
exit: 137
expect:
  - name: a
    event: {process_exec: {process: {arguments: 're: ?"two words" it''s', status: null}}}
    count: 1
  - event: {process_exit: {}}
forbid: [{process_kprobe: {}}]
order: [a]
any_process: true
upstream: same
"#,
        )
        .expect("a case");
        assert_eq!(case.kernels, ["6.1", "6.12"]);
        assert_eq!((case.exit, case.load_error, case.any_process), (Some(137), false, true));
        assert_eq!(case.setup.as_deref(), Some("mkdir a\n"));
        assert_eq!(case.trigger.as_deref(), Some("true"));
        assert_eq!((case.expect.len(), case.expect[0].count, case.expect[1].count), (2, Some(1), None));
        assert!(case.is_for("6.12") && case.is_for("6.12-arm64") && !case.is_for("7.3"));
        let case = parse("arch: amd64\ntrigger: x").expect("a case");
        assert!(case.is_for("6.12") && !case.is_for("6.12-arm64"));
    }

    #[test]
    fn which_cases_get_an_agent_that_runs() {
        for (text, policies, wanted) in [
            ("trigger: x", Some(2), Some(2)),
            ("trigger: x", None, None),
            ("load: error", Some(1), Some(1)),
            ("any_process: true", Some(1), None),
            ("agent_args: [--x]", Some(1), None),
        ] {
            let mut case = parse(text).expect(text);
            case.policies = policies;
            assert_eq!(case.for_running_agent(), wanted, "{text}");
        }
    }

    #[test]
    fn what_a_case_cannot_say_is_refused() {
        for (text, why) in [
            ("exit: x", "exit"),
            ("load: maybe", "right would be ok or error"),
            ("arch: x86-64", "right would be amd64 or arm64"),
            ("tirgger: x", "`tirgger` is no key"),
            ("expect: [{count: 1}]", "no `event`"),
            ("expect: [{event: {}, cuont: 1}]", "`cuont`"),
            ("order: [a]", "`a`"),
            ("expect: [{event: {a: 're:('}}]", "re:("),
            ("[1]", "mapping"),
            ("a: [", "not YAML"),
        ] {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
