//! A configuration that comes late. The kubelet mounts a ConfigMap as it knows it, and after an outage of
//! the API server it may know the one of before for a minute: a pod that was made for new values starts
//! with the old ones. Such a program starts again when the kubelet has brought the new ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::flags::read_config_dir;

/// The environment variable in which the chart says which settings the pod was made for.
pub const DIGEST: &str = "TETRAGON_CONFIG_DIGEST";

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The settings that the pod was made for are not in the folder.
#[derive(Debug)]
pub struct Late {
    folder: PathBuf,
    digest: String,
}

impl Late {
    /// `None`: the folder has what [`DIGEST`] says, or nothing is said.
    pub fn of(folder: Option<&Path>) -> Option<Late> {
        let late = Late { folder: folder?.to_owned(), digest: std::env::var(DIGEST).ok()? };
        if late.has_come() {
            return None;
        }
        tracing::info!(
            "{}: not the settings that this pod was made for: the ConfigMap was edited by hand, or the kubelet \
             brings the new ones late; if they come, they are taken",
            late.folder.display()
        );
        Some(late)
    }

    fn has_come(&self) -> bool {
        digest(&self.folder).is_some_and(|found| found == self.digest)
    }

    /// Ends when they are there; without [`Late`] never.
    pub async fn come(late: Option<&Late>) {
        let Some(late) = late else { return std::future::pending().await };
        let mut look = tokio::time::interval(LOOK);
        look.tick().await;
        while !late.has_come() {
            look.tick().await;
        }
    }
}

/// SHA-256 in hex of `NAME=VALUE` lines sorted by name: `tetragon.digest` of the chart.
fn digest(folder: &Path) -> Option<String> {
    let settings = read_config_dir(folder, true).ok()?;
    let lines = settings.iter().map(|(name, (value, _))| format!("{name}={value}\n"));
    let sum = Sha256::digest(lines.collect::<String>());
    Some(sum.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As the kubelet mounts: files that are links through `..data`, which is replaced at once.
    fn bring(folder: &Path, version: &str, value: &str) {
        std::fs::create_dir(folder.join(version)).unwrap();
        std::fs::write(folder.join(version).join("debug"), value).unwrap();
        symlink(version, folder.join("..new")).unwrap();
        std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn it_ends_when_the_kubelet_has_brought_what_the_pod_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        symlink("..data/debug", folder.path().join("debug")).unwrap();
        bring(folder.path(), "..1", "true\n");
        let digest = digest(folder.path()).unwrap();
        bring(folder.path(), "..2", "false");
        let late = Late { folder: folder.path().to_owned(), digest };
        assert!(!late.has_come());
        let wait = |limit| tokio::time::timeout(limit, Late::come(Some(&late)));
        assert!(wait(Duration::from_millis(50)).await.is_err(), "what is there is not what is waited for");
        bring(folder.path(), "..3", "true");
        wait(2 * LOOK).await.unwrap();
        assert!(late.has_come());
    }

    #[test]
    fn the_digest_is_that_of_sorted_lines() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "2\n").unwrap();
        std::fs::write(folder.path().join("a"), "1").unwrap();
        // printf 'a=1\nb=2\n' | sha256sum
        let sum = "4a73850fde34aad40ff8649b93a66523a5fe744357a3931caea0f10609d0d930";
        assert_eq!(digest(folder.path()).unwrap(), sum);
        assert_eq!(digest(&folder.path().join("none")), None);
    }
}
