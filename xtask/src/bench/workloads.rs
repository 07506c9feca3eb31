//! A thousand policies for a thousand workloads: `drive scale` in a guest of its own, as rows.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::agent::Kind;
use super::place::Place;
use super::rows::Row;
use super::{Effort, Rows};
use crate::build::{TARGET, workspace};
use crate::tools::{root, run};

/// Builds the program that measures.
pub(crate) fn build() -> Result<PathBuf> {
    run(&mut workspace(["build", "--release", "--quiet", "--bin", "drive"]))?;
    Ok(root().join("target").join(TARGET).join("release/drive"))
}

/// Measures all rows; those that have no value say why.
pub(crate) fn measure(place: &Place, drive: &std::path::Path, effort: Effort, rows: &mut Rows) {
    let found = scale(place, drive).and_then(|found| table(&found, effort.unit()));
    match found {
        Ok(all) => all.into_iter().for_each(|row| rows.push_row(row)),
        Err(error) => {
            rows.push("workloads", Kind::Ours.name(), Err(format!("{error:#}")), effort.unit(), None);
        }
    }
}

fn scale(place: &Place, drive: &std::path::Path) -> Result<Value> {
    let program = place.path("drive");
    place.copy(drive, &program, 0o755)?;
    let said = place.run(&[&program, "scale"])?;
    let object = said.lines().find_map(|l| l.strip_prefix("pass scale: "));
    let Some((object, _time)) = object.and_then(|o| o.rsplit_once(" (")) else {
        bail!("`drive scale` said: {}", said.trim())
    };
    Ok(serde_json::from_str(object)?)
}

/// The rows of what `drive scale` prints.
fn table(found: &Value, unit: &'static str) -> Result<Vec<Row>> {
    let number = |path: &str| {
        let value = found.pointer(path).and_then(Value::as_f64);
        value.with_context(|| format!("`drive scale` gave no {path}: {found}"))
    };
    let mut all = Vec::new();
    let mut push = |name: &str, value: f64, unit, baseline| {
        let name = format!("workloads/{name}");
        all.push(Row {
            name,
            agent: Kind::Ours.name(),
            kernel: String::new(),
            value: Ok(value),
            unit,
            baseline,
        });
    };
    for caller in ["host", "none", "one"] {
        let (one, many) = (number(&format!("/few/{caller}"))?, number(&format!("/many/{caller}"))?);
        push(&format!("open-{caller}"), many, unit, Some(one));
    }
    push("policy", number("/policy_bytes")?, "bytes", None);
    push("policy-counted", number("/policy_bytes_counted")?, "bytes", None);
    push("cgroup", number("/cgroup_bytes")?, "bytes", None);
    push("cgroup-counted", number("/cgroup_bytes_counted")?, "bytes", None);
    push("known-median", number("/known_ns/median")? / 1e6, "ms", None);
    push("known-p99", number("/known_ns/p99")? / 1e6, "ms", None);
    push("known-worst", number("/known_ns/worst")? / 1e6, "ms", None);
    push("known-alike", number("/like_known_ns")? / 1e6, "ms", None);
    push("linked", number("/linked_ns")? / 1e6, "ms", None);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_drive_prints_becomes_rows() {
        let caller = |n: i64| json!({"host": n, "none": n + 1, "one": n + 2});
        let found = json!({
            "alone": 6000, "few": caller(700), "many": caller(800),
            "policy_bytes": 623, "policy_bytes_counted": 445, "cgroup_bytes": 98, "cgroup_bytes_counted": 79,
            "linked_ns": 5e8, "known_ns": {"median": 5e5, "p99": 1e6, "worst": 5e6}, "like_known_ns": 7000,
        });
        let rows = table(&found, "instructions").unwrap();
        let none = rows.iter().find(|r| r.name == "workloads/open-none").unwrap();
        assert_eq!((none.value.as_ref().ok(), none.baseline), (Some(&801.0), Some(701.0)));
        assert!(table(&json!({"few": caller(1)}), "ns").is_err_and(|e| e.to_string().contains("/many/host")));
    }
}
