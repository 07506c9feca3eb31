//! Flags from the files of a folder, and how wrong ones are told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::parser::ValueSource;

/// Exit code of a wrong flag.
const WRONG: u8 = 2;

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// From the command line; it knows how to print itself and its exit code. Help and version are
    /// such errors too.
    Clap(clap::Error),
    /// Anything else.
    Other(anyhow::Error),
}

impl LoadError {
    /// Tells it to whoever started the program.
    pub fn exit(self) -> ExitCode {
        match self {
            LoadError::Clap(e) => e.exit(),
            LoadError::Other(e) => {
                eprintln!("error: {e:#}");
                ExitCode::from(WRONG)
            }
        }
    }
}

impl From<clap::Error> for LoadError {
    fn from(e: clap::Error) -> Self {
        LoadError::Clap(e)
    }
}

impl From<anyhow::Error> for LoadError {
    fn from(e: anyhow::Error) -> Self {
        LoadError::Other(e)
    }
}

/// Values by the name of their flag, with the file that each comes from.
pub type Settings = BTreeMap<String, (String, PathBuf)>;

/// The settings of a folder: the file's name is the flag's, its content the value. Kubernetes mounts a
/// ConfigMap as links to hidden folders: those are passed over, the links are read.
pub fn read_config_dir(dir: &Path, must_exist: bool) -> Result<Settings> {
    let mut settings = Settings::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(settings),
        Err(e) => return Err(e).with_context(|| format!("--config-dir {}: cannot be read", dir.display())),
    };
    for entry in entries {
        let path = entry.with_context(|| format!("{}: cannot be read", dir.display()))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        let value =
            std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        settings.insert(name.to_owned(), (value.trim().to_owned(), path.clone()));
    }
    Ok(settings)
}

/// Settings as arguments, without those that the command line or the environment says otherwise.
/// `help` is the command that lists the flags.
pub fn weaker_arguments(
    settings: Settings,
    stronger: &clap::ArgMatches,
    help: &str,
) -> Result<Vec<OsString>, LoadError> {
    let mut all = Vec::new();
    for (name, (value, path)) in settings {
        let id = name.replace('-', "_");
        if stronger.try_get_raw(&id).is_err() {
            let message = format!("{}: there is no flag `{name}`; see {help}", path.display());
            return Err(LoadError::Other(anyhow::anyhow!(message)));
        }
        let source = stronger.value_source(&id);
        if !matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
            all.push(OsString::from(format!("--{name}={value}")));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_must_be_there_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert!(read_config_dir(&none, false).unwrap().is_empty());
        let error = format!("{:#}", read_config_dir(&none, true).unwrap_err());
        assert!(error.contains("--config-dir") && error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn hidden_files_and_folders_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("..data")).unwrap();
        std::fs::write(dir.path().join(".hidden"), "x").unwrap();
        std::fs::write(dir.path().join("log-level"), "debug\n").unwrap();
        let settings = read_config_dir(dir.path(), true).unwrap();
        let names: Vec<_> = settings.iter().map(|(n, (v, _))| (n.as_str(), v.as_str())).collect();
        assert_eq!(names, [("log-level", "debug")]);
    }
}
