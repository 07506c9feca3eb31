//! Rows: what was measured, beside what it is compared with and what was aimed at.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// A measured value, or why there is none.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `open/monitor-misses`: what is measured.
    pub(crate) name: String,
    /// Whose: `tetragon-rs`, `Tetragon`, or nobody's.
    pub(crate) agent: &'static str,
    pub(crate) kernel: String,
    pub(crate) value: Result<f64, String>,
    pub(crate) unit: &'static str,
    /// The same without what is measured.
    pub(crate) baseline: Option<f64>,
}

/// What a row is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// The value at most that.
    Value(f64),
    /// The value at most that much above the baseline.
    Added(f64),
    /// The value at most that multiple of the baseline.
    Ratio(f64),
}

impl Aim {
    /// The aim of a row, in guest instructions where it is about cost.
    pub(crate) fn of(name: &str, unit: &str) -> Option<Aim> {
        let costs = [
            ("open/monitor-misses", Aim::Added(2_000.0)),
            ("open/claim-*/not-listed", Aim::Added(500.0)),
            ("exec/base", Aim::Added(13_000.0)),
            ("agent/10000-matched", Aim::Value(1e9)),
        ];
        let others = [
            ("flat/*", Aim::Value(1.1)),
            ("flood/missed", Aim::Value(0.0)),
            ("rss/idle", Aim::Value(25.0)),
            ("rss/ten", Aim::Value(30.0)),
            ("memory/policy-*", Aim::Value(5_000.0)),
            ("appear/1000-loaded", Aim::Value(20.0)),
            ("denied/*", Aim::Value(0.0)),
            ("json/slim", Aim::Ratio(0.5)),
            ("workloads/open-*", Aim::Ratio(1.1)),
            ("workloads/policy*", Aim::Value(5_000.0)),
            ("workloads/cgroup*", Aim::Value(1_000.0)),
            ("workloads/known-*", Aim::Value(5.0)),
            // Of 5,000 nodes; how long a thousand policies take at once is not aimed at.
            ("cluster/one/*/ready", Aim::Value(30.0)),
            ("cluster/*/idle/node-writes", Aim::Value(0.0)),
            ("cluster/*/node-writes", Aim::Value(1.0)),
            ("cluster/*/operator-rss", Aim::Value(256.0)),
            ("cluster/*/status", Aim::Value(16.0 * 1024.0)),
            ("pods/*/rss", Aim::Value(60.0)),
        ];
        let of_costs: &[_] = if unit == "instructions" { &costs } else { &[] };
        of_costs.iter().chain(&others).find(|(pattern, _)| is_like(pattern, name)).map(|(_, aim)| *aim)
    }

    fn met(self, value: f64, baseline: Option<f64>) -> Option<bool> {
        Some(match self {
            Aim::Value(limit) => value <= limit,
            Aim::Added(limit) => value - baseline? <= limit,
            Aim::Ratio(limit) => value / baseline? <= limit,
        })
    }

    fn text(self) -> String {
        match self {
            Aim::Value(limit) => format!("<= {}", number(limit)),
            Aim::Added(limit) => format!("+{} at most", number(limit)),
            Aim::Ratio(limit) => format!("<= {limit:.2} x"),
        }
    }
}

/// Whether a name is as a pattern with `*` says.
pub(crate) fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            rest.is_empty() || name.char_indices().any(|(i, _)| is_like(rest, &name[i..]))
        }),
    }
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

/// A number as people read it: thousands apart, fractions only of small ones.
pub(crate) fn number(value: f64) -> String {
    if value.abs() >= 1e8 {
        return format!("{:.2}e9", value / 1e9);
    }
    if value.abs() < 100.0 && value.fract().abs() > 1e-9 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

impl Row {
    /// Whether the aim is met, if there is one and a value.
    pub(crate) fn met(&self) -> Option<bool> {
        Aim::of(&self.name, self.unit)?.met(*self.value.as_ref().ok()?, self.baseline)
    }
}

/// All rows as JSON, those without a value with the reason.
pub(crate) fn to_json(rows: &[Row]) -> Value {
    let one = |row: &Row| {
        let mut object = json!({"row": row.name, "agent": row.agent, "kernel": row.kernel,
            "value": row.value.as_ref().ok(), "unit": row.unit, "baseline": row.baseline,
            "met": row.met()});
        if let Err(reason) = &row.value {
            object["error"] = json!(reason);
        }
        object
    };
    rows.iter().map(one).collect()
}

/// A table of one kernel's rows: ours, beside them the other agent's when it was measured.
pub(crate) fn table(rows: &[Row], other: &'static str) -> String {
    let with_other = rows.iter().any(|r| r.agent == other);
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let mut lines =
        vec![["ROW", "VALUE", "UNIT", "BASELINE", "ADDED", "RATIO", "AIM", ""].map(str::to_owned).to_vec()];
    if with_other {
        lines[0].extend(["TETRAGON", "ADDED", "RATIO"].map(str::to_owned));
    }
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for name in names {
        let find = |a: &dyn Fn(&str) -> bool| rows.iter().find(|r| r.name == name && a(r.agent));
        let (ours, theirs) = (find(&|a| a != other), find(&|a| a == other));
        let Some(first) = ours.or(theirs) else { continue };
        let mut cells = vec![name.to_owned()];
        let [value, added, ratio] = compared(ours);
        let baseline = first.baseline.map(number).unwrap_or_default();
        cells.extend([value, first.unit.to_owned(), baseline, added, ratio]);
        let aim = Aim::of(name, first.unit);
        let met = ours.and_then(Row::met);
        cells.push(aim.map(Aim::text).unwrap_or_default());
        cells.push(met.map_or("", |met| if met { "met" } else { "MISSED" }).into());
        if with_other {
            cells.extend(compared(theirs));
        }
        lines.push(cells);
        for row in [ours, theirs].into_iter().flatten() {
            if let Err(reason) = &row.value {
                let reason = format!("{}: {}", row.agent, reason.trim());
                match reasons.iter_mut().find(|(r, _)| *r == reason) {
                    Some((_, names)) => names.push(name),
                    None => reasons.push((reason, vec![name])),
                }
            }
        }
    }
    let mut text = aligned(&lines);
    for (reason, names) in reasons {
        let _ = writeln!(text, "\nnot measured: {}\n  {reason}", names.join(", "));
    }
    text
}

/// The value, what it adds to its baseline, and the ratio.
fn compared(row: Option<&Row>) -> [String; 3] {
    let Some(row) = row else { return Default::default() };
    let Ok(value) = row.value else { return ["-".into(), String::new(), String::new()] };
    let added = row.baseline.map(|b| {
        let text = number(value - b);
        if text.starts_with('-') { text } else { format!("+{text}") }
    });
    let ratio = row.baseline.filter(|b| *b > 0.0).map(|b| format!("{:.3}", value / b));
    [number(value), added.unwrap_or_default(), ratio.unwrap_or_default()]
}

/// Columns: the first to the left, units too, the rest to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|c| lines.iter().filter_map(|l| l.get(c)).map(|t| t.chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(i, (cell, width))| match i {
            0 | 2 | 6 | 7 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, agent: &'static str, value: Result<f64, &str>, baseline: Option<f64>) -> Row {
        let value = value.map_err(str::to_owned);
        Row { name: name.into(), agent, kernel: "6.12".into(), value, unit: "instructions", baseline }
    }

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.0, "0"),
            (1.004, "1.00"),
            (-0.3, "-0.30"),
            (42.0, "42"),
            (8_948.2, "8,948"),
            (-1_234_567.0, "-1,234,567"),
            (8.5e9, "8.50e9"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_middle_of_few_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn aims_are_of_instructions_and_judged_by_their_kind() {
        assert_eq!(Aim::of("open/claim-100/not-listed", "instructions"), Some(Aim::Added(500.0)));
        assert_eq!(Aim::of("open/claim-100/not-listed", "ns"), None, "time on a machine is no instruction");
        assert_eq!(Aim::of("open/none", "instructions"), None);
        assert_eq!(Aim::Added(2_000.0).met(8_000.0, Some(6_500.0)), Some(true));
        assert_eq!(Aim::Added(2_000.0).met(9_000.0, Some(6_500.0)), Some(false));
        assert_eq!(Aim::Ratio(0.5).met(3.0, Some(5.0)), Some(false));
        assert_eq!(Aim::Ratio(0.5).met(3.0, None), None);
    }

    #[test]
    fn the_first_aim_that_fits_a_name_counts() {
        for (name, value, met) in [
            ("cluster/one/apply/ready", 30.0, Some(true)),
            ("cluster/one/apply/ready", 30.1, Some(false)),
            ("cluster/many/apply/ready", 300.0, None),
            ("cluster/many/apply/node-writes", 1.0, Some(true)),
            ("cluster/many/idle/node-writes", 0.1, Some(false)),
            ("cluster/one/change/operator-rss", 256.5, Some(false)),
            ("cluster/one/change/status", 16_384.0, Some(true)),
            ("pods/1000-policies/rss", 60.1, Some(false)),
            ("pods/1000-policies/highest-rss", 90.0, None),
        ] {
            assert_eq!(row(name, "", Ok(value), None).met(), met, "{name} {value}");
        }
    }

    #[test]
    fn the_table_has_both_agents_and_says_what_is_missing() {
        let rows = [
            row("open/monitor-misses", "tetragon-rs", Ok(8_000.0), Some(6_500.0)),
            row("open/monitor-misses", "Tetragon", Ok(14_636.0), Some(6_500.0)),
            row("exec/base", "tetragon-rs", Err("it did not start"), Some(460_000.0)),
            row("exec/other", "tetragon-rs", Err("it did not start"), None),
        ];
        let text = table(&rows, "Tetragon");
        let lines: Vec<&str> = text.lines().collect();
        let heads: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!(heads[heads.len() - 3..], ["TETRAGON", "ADDED", "RATIO"], "{text}");
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            words,
            "open/monitor-misses 8,000 instructions 6,500 +1,500 1.231 +2,000 at most met 14,636 +8,136 2.252"
                .split(' ')
                .collect::<Vec<_>>()
        );
        assert!(
            text.ends_with("\nnot measured: exec/base, exec/other\n  tetragon-rs: it did not start\n"),
            "{text}"
        );
        assert!(!table(&rows[..1], "Tetragon").contains("TETRAGON"));
    }

    #[test]
    fn json_has_the_agreed_fields() {
        let json = to_json(&[row("a", "tetragon-rs", Ok(1.5), None), row("b", "", Err("no"), Some(2.0))]);
        assert_eq!(json[0]["value"], 1.5);
        assert!(json[0]["baseline"].is_null());
        assert!(json[0]["met"].is_null(), "it has no aim");
        assert_eq!((json[1]["row"].as_str(), json[1]["error"].as_str()), (Some("b"), Some("no")));
        assert!(json[1]["value"].is_null());
    }
}
