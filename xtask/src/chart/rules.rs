//! The PrometheusRule: promtool reads it, and runs the alerts over series that a node would have.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::helm::Chart;
use crate::cluster;
use crate::tools::{cache, command, output_of_both};

/// The chart's default alerts.
const ALERTS: [&str; 4] =
    ["TetragonEventsSpike", "TetragonSigkill", "TetragonNewBinary", "TetragonMissedEvents"];

pub(super) fn alerts(chart: &Chart) -> Result<()> {
    let folder = cache().join("chart/rules");
    fs::create_dir_all(&folder)?;
    let objects = chart.objects(&["--set=tetragon.prometheus.prometheusRule.enabled=true"])?;
    let rule =
        objects.iter().find(|o| o["kind"] == "PrometheusRule").context("there is no PrometheusRule")?;
    let rules = folder.join("rules.json");
    fs::write(&rules, rule["spec"].to_string())?;
    let names: Vec<&str> = rule["spec"]["groups"][0]["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r["alert"].as_str())
        .collect();
    ensure!(names == ALERTS, "the alerts are {names:?}");
    let tests = folder.join("alerts.yaml");
    fs::copy(chart.path("ci/rules/alerts.yaml"), &tests).context("copying the tests of the alerts")?;
    promtool(&["check", "rules", &rules.display().to_string()])?;
    let said = promtool(&["test", "rules", &tests.display().to_string()])?;
    ensure!(said.contains("SUCCESS"), "{said}");
    // Every alert is shown to fire.
    let text = fs::read_to_string(&tests)?;
    let quiet: Vec<&str> =
        ALERTS.into_iter().filter(|a| !text.contains(&format!("alertname: {a}"))).collect();
    ensure!(quiet.is_empty(), "no test is about {quiet:?}");
    each_can_be_left_out(chart)
}

fn each_can_be_left_out(chart: &Chart) -> Result<()> {
    for (rule, alert) in ["eventsSpike", "sigkill", "newBinaries", "missedEvents"].iter().zip(ALERTS) {
        let off = format!("--set=tetragon.prometheus.prometheusRule.rules.{rule}.enabled=false");
        let text = chart
            .objects(&["--set=tetragon.prometheus.prometheusRule.enabled=true", &off])?
            .iter()
            .find(|o| o["kind"] == "PrometheusRule")
            .map(Value::to_string)
            .unwrap_or_default();
        ensure!(!text.is_empty() && !text.contains(alert), "{alert} is there in spite of {off}");
    }
    Ok(())
}

fn promtool(args: &[&str]) -> Result<String> {
    let mut promtool = command(cluster::program("promtool")?, args);
    let status = promtool.output()?.status;
    let said = output_of_both(&mut promtool)?;
    ensure!(status.success(), "promtool {}:\n{said}", args.join(" "));
    Ok(said)
}
