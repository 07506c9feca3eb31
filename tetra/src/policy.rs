//! `tetra policy`: the policy compiler without an agent.

mod checked;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use tetragon_compiler::{Code, Diagnostic, explain};

use self::checked::Checked;
use self::summary::Summary;
use crate::cli::{Color, Output, Policy};
use crate::terminal::{EXIT_POLICY_ERRORS, note, print};

/// Runs a subcommand.
pub(crate) fn run(command: Policy) -> anyhow::Result<ExitCode> {
    match command {
        Policy::Check { files, output, color } => check(&files, output, color),
        Policy::Compile { file } => compile(&Checked::new(&file).or_no_policy()),
        Policy::Explain { code: Some(code) } => explain_code(&code),
        Policy::Explain { code: None } => {
            print(
                &Code::ALL
                    .iter()
                    .map(|c| format!("{} {}\n", c.severity().name(), c.id()))
                    .collect::<String>(),
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(files: &[PathBuf], output: Output, color: Color) -> anyhow::Result<ExitCode> {
    let mut checked: Vec<_> = files.iter().map(|f| Checked::new(f)).collect();
    // Beside policies, a file of something else is passed over; alone, it is most likely the wrong one.
    if checked.iter().all(|c| c.compiled.policies.is_empty()) {
        checked = checked.into_iter().map(Checked::or_no_policy).collect();
    }
    match output {
        Output::Json => print(&format!("{}\n", serde_json::to_string(&Report::new(&checked))?))?,
        Output::Text => print(&text(&checked, color.on_stdout()))?,
    }
    Ok(exit_code(&checked))
}

fn compile(checked: &Checked) -> anyhow::Result<ExitCode> {
    for diagnostic in &checked.compiled.diagnostics {
        note(checked.compiled.render(diagnostic, &checked.text, false).trim_end());
    }
    let mut out = String::new();
    for plan in checked.compiled.policies.iter().filter_map(|p| p.plan.as_ref()) {
        out.push_str(&serde_json::to_string_pretty(plan)?);
        out.push('\n');
    }
    print(&out)?;
    Ok(exit_code(std::slice::from_ref(checked)))
}

fn explain_code(code: &str) -> anyhow::Result<ExitCode> {
    // As it stands in a message, or the whole of it.
    let id = code.rsplit_once('[').map_or(code, |(_, id)| id.trim_end_matches(']'));
    let Some(page) = explain(id) else {
        let ids: Vec<_> = Code::ALL.iter().map(|c| c.id()).collect();
        bail!("there is no code {id:?}; the codes are {}", ids.join(", "));
    };
    print(&format!("{}\n", page.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

fn exit_code(checked: &[Checked]) -> ExitCode {
    let errors = checked.iter().any(|c| c.compiled.has_errors());
    if errors { ExitCode::from(EXIT_POLICY_ERRORS) } else { ExitCode::SUCCESS }
}

/// All findings with their places, then the summary.
fn text(checked: &[Checked], colour: bool) -> String {
    let mut out = String::new();
    for file in checked {
        for diagnostic in &file.compiled.diagnostics {
            out.push_str(&file.compiled.render(diagnostic, &file.text, colour));
        }
    }
    out.push_str(&Summary::new(checked).text(colour));
    out
}

/// `tetra policy check -o json`.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: Summary,
    files: Vec<FileReport<'a>>,
}

#[derive(Serialize)]
struct FileReport<'a> {
    file: &'a str,
    policies: Vec<PolicyReport<'a>>,
    diagnostics: &'a [Diagnostic],
}

#[derive(Serialize)]
struct PolicyReport<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    /// The Plan's digest; none if the policy has errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl<'a> Report<'a> {
    fn new(checked: &'a [Checked]) -> Self {
        let file = |c: &'a Checked| FileReport {
            file: &c.file,
            diagnostics: &c.compiled.diagnostics,
            policies: c
                .compiled
                .policies
                .iter()
                .map(|p| PolicyReport {
                    name: &p.name,
                    namespace: p.namespace.as_deref(),
                    digest: p.plan.as_ref().map(tetragon_api::plan::Plan::digest),
                })
                .collect(),
        };
        Self { summary: Summary::new(checked), files: checked.iter().map(file).collect() }
    }
}
