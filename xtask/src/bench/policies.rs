//! The policies that are measured.

use std::fmt::Write as _;

/// A policy: its file's name and text.
pub(crate) type Policy = (String, String);

/// Everything of a policy before its selectors.
fn head(name: &str, hook: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n{hook}    \
         args:\n    - index: 0\n      type: file\n    selectors:\n"
    )
}

const FILE_OPEN: &str = "  kprobes:\n  - call: security_file_open\n    syscall: false\n";
const LSM_FILE_OPEN: &str = "  lsmhooks:\n  - hook: file_open\n";

/// A matcher of the first argument, as first or later part of a selector.
fn paths(first: bool, operator: &str, values: &[String]) -> String {
    let dash = if first { "-" } else { " " };
    let mut text =
        format!("    {dash} matchArgs:\n      - index: 0\n        operator: {operator}\n        values:\n");
    for value in values {
        let _ = writeln!(text, "        - {value:?}");
    }
    text
}

/// `monitor-sensitive-files` of the seed, with that prefix in the place of `/etc/kubernetes/pki`.
pub(crate) fn monitor(prefix: &str) -> Vec<Policy> {
    vec![sensitive("monitor-sensitive-files", "/etc/shadow", prefix, "/var/run/secrets/kubernetes.io")]
}

/// Ten of the same kind, each with values of its own, none of which exist.
pub(crate) fn ten() -> Vec<Policy> {
    (0..10)
        .map(|i| {
            let value = |what: &str| format!("/etc/none{i}{what}");
            sensitive(&format!("ten-{i}"), &value(""), &value("/pki"), &value("/secrets/kubernetes.io"))
        })
        .collect()
}

fn sensitive(name: &str, a: &str, b: &str, c: &str) -> Policy {
    let values = [a, b, c].map(str::to_owned);
    let text = head(name, FILE_OPEN)
        + &paths(true, "Prefix", &values)
        + "      matchActions:\n      - action: Post\n";
    (format!("{name}.yaml"), text)
}

/// The claim's policies: `count` on one hook, each with 16 paths of its own (6 Equal, 5 Prefix, 5 Postfix in
/// three selectors) and, when `lists`, two binaries of its own; `caller` stands in the first one's list.
pub(crate) fn claim(count: usize, lists: bool, caller: &str) -> Vec<Policy> {
    (0..count).map(|i| claimed(i, lists.then_some(caller))).collect()
}

fn claimed(i: usize, caller: Option<&str>) -> Policy {
    let mut text = head(&format!("claim-{i}"), FILE_OPEN);
    let own = |n: usize, path: &dyn Fn(usize) -> String| -> Vec<String> { (0..n).map(path).collect() };
    let selectors = [
        ("Equal", own(6, &|j| format!("/srv/tenant-{i}/data/file-{j}.txt"))),
        ("Prefix", own(5, &|j| format!("/srv/tenant-{i}/secret-{j}/"))),
        ("Postfix", own(5, &|j| format!("/conf-{j}-{i}.yaml"))),
    ];
    for (operator, values) in selectors {
        if let Some(caller) = caller {
            text += "    - matchBinaries:\n      - operator: In\n        values:\n";
            let own = [format!("/usr/bin/app-{i}-0"), format!("/opt/app-{i}/bin/main")];
            let listed = own.into_iter().chain((i == 0).then(|| caller.to_owned()));
            for binary in listed {
                let _ = writeln!(text, "        - {binary:?}");
            }
        }
        text += &paths(caller.is_none(), operator, &values);
        text += "      matchActions:\n      - action: Post\n";
    }
    (format!("claim-{i}.yaml"), text)
}

/// A policy that refuses opens of one file, by the LSM hook or by the function of the same name.
pub(crate) fn deny(name: &str, path: &str, lsm: bool) -> Policy {
    let hook = if lsm { LSM_FILE_OPEN } else { FILE_OPEN };
    let text = head(name, hook)
        + &paths(true, "Equal", &[path.to_owned()])
        + "      matchActions:\n      - action: Override\n        argError: -1\n      - action: NoPost\n";
    (format!("{name}.yaml"), text)
}

#[cfg(test)]
mod tests {
    use saphyr::{LoadableYamlNode, Yaml};

    use super::*;

    fn selectors<'a>(yaml: &'a Yaml<'a>, hook: &str) -> &'a [Yaml<'a>] {
        yaml["spec"][hook][0]["selectors"].as_vec().expect("selectors")
    }

    #[test]
    fn a_claimed_policy_has_sixteen_paths_and_two_binaries() {
        for (i, (file, text)) in claim(3, true, "/bench/b0").iter().enumerate() {
            assert_eq!(file, &format!("claim-{i}.yaml"));
            let yaml = &Yaml::load_from_str(text).expect(text)[0];
            let selectors = selectors(yaml, "kprobes");
            let count = |s: &Yaml<'_>, m: &str| s[m][0]["values"].as_vec().expect(text).len();
            assert_eq!(selectors.iter().map(|s| count(s, "matchArgs")).collect::<Vec<_>>(), [6, 5, 5]);
            let binaries = if i == 0 { 3 } else { 2 };
            assert!(selectors.iter().all(|s| count(s, "matchBinaries") == binaries), "{text}");
        }
        let (_, text) = &claim(1, false, "")[0];
        let yaml = &Yaml::load_from_str(text).expect(text)[0];
        assert!(selectors(yaml, "kprobes").iter().all(|s| s.as_mapping_get("matchBinaries").is_none()));
    }

    #[test]
    fn values_of_different_policies_differ() {
        let mut all: Vec<String> = claim(50, true, "/x")
            .iter()
            .flat_map(|(_, text)| {
                let values = text.lines().filter_map(|l| l.trim().strip_prefix("- \""));
                let mut values: Vec<_> = values.filter(|v| *v != "/x\"").map(str::to_owned).collect();
                values.sort();
                values.dedup();
                values
            })
            .collect();
        assert_eq!(all.len(), 50 * 18);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 50 * 18, "18 values each, all different");
    }

    #[test]
    fn what_denies_does_so_on_the_hook_that_was_asked_for() {
        for (lsm, hook) in [(true, "lsmhooks"), (false, "kprobes")] {
            let (_, text) = deny("d", "/a/b", lsm);
            let yaml = &Yaml::load_from_str(&text).expect(&text)[0];
            let action = &selectors(yaml, hook)[0]["matchActions"][0];
            assert_eq!(action["action"].as_str(), Some("Override"));
            assert_eq!(action["argError"].as_integer(), Some(-1));
        }
    }
}
