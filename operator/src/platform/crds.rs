//! Installs the definitions of the custom resources, and brings older ones up to date: Tetragon's
//! own too. What others wrote into a definition beside its content (a conversion webhook, labels)
//! stays; no object is touched.
//!
//! Every replica does this at its start. A definition of a newer version is left alone, so two
//! operators of different versions do not fight.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt as _};
use tetragon_api::crd::{CRD_VERSION, CRD_VERSION_ANNOTATION};

use super::client::{FIELD_MANAGER, kube_error};
use crate::config::Serve;

/// How long a definition may take to be served.
const ESTABLISHED: Duration = Duration::from_secs(30);
/// Longest time between two attempts.
const MOST_PATIENT: Duration = Duration::from_secs(30);

/// Which definitions are installed.
#[derive(Clone, Copy, Debug)]
pub struct Install {
    /// TracingPolicy and TracingPolicyNamespaced.
    pub policies: bool,
    /// PodInfo.
    pub pod_info: bool,
    /// Newer ones are replaced.
    pub force: bool,
}

impl Install {
    /// What the flags ask for; `None`: nothing is installed.
    pub fn of(flags: &Serve) -> Option<Install> {
        (!flags.skip_crd_creation).then_some(Install {
            policies: !flags.skip_tracing_policy_crd,
            pod_info: !flags.skip_pod_info_crd,
            force: flags.force_update_crds,
        })
    }

    fn wanted(self) -> impl Iterator<Item = CustomResourceDefinition> {
        tetragon_api::crd::all().into_iter().filter(move |crd| match crd.spec.names.kind.as_str() {
            "PodInfo" => self.pod_info,
            "TracingPolicy" | "TracingPolicyNamespaced" => self.policies,
            _ => true,
        })
    }

    /// Installs them, and tries again until all are served. `tried` is called after each
    /// time.
    pub async fn until_done(self, client: &Client, tried: impl Fn()) {
        let (mut wait, mut told) = (Duration::from_secs(1), String::new());
        while let Err(error) = self.all(client).await {
            tried();
            let text = format!("{error:#}");
            if text != told {
                tracing::warn!("a definition of custom resources is not installed, and tried again: {text}");
                told = text;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(MOST_PATIENT);
        }
        if !told.is_empty() {
            tracing::info!("all definitions of custom resources are installed");
        }
        tried();
    }

    /// Installs them once. One that cannot be installed does not keep the others.
    pub async fn all(self, client: &Client) -> Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let mut failed = Ok(());
        for crd in self.wanted() {
            if let Err(error) = install(&api, &crd, self.force).await {
                failed = failed.and(Err(error.context(crd.name_any())));
            }
        }
        failed
    }
}

/// What is done about one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It is not there.
    Create,
    /// It is of an older version, or of no known one.
    Upgrade,
    /// It is of this version: whatever was changed in it is put right.
    Refresh,
    /// It is newer.
    Leave(u32),
}

fn decide(found: Option<&CustomResourceDefinition>, force: bool) -> Decision {
    let Some(found) = found else { return Decision::Create };
    let version = found.annotations().get(CRD_VERSION_ANNOTATION).and_then(|v| v.parse().ok());
    match version {
        Some(newer) if newer > CRD_VERSION && !force => Decision::Leave(newer),
        Some(CRD_VERSION) => Decision::Refresh,
        _ => Decision::Upgrade,
    }
}

async fn install(
    api: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
    force: bool,
) -> Result<()> {
    let name = crd.name_any();
    let found = api.get_opt(&name).await.map_err(kube_error).context("reading it")?;
    let decision = decide(found.as_ref(), force);
    if let Decision::Leave(newer) = decision {
        tracing::warn!(
            crd = name,
            "its version is {newer}, and this operator's is {CRD_VERSION}: it stays; --force-update-crds replaces it"
        );
    } else if would_change(api, crd, found.as_ref()).await? {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(crd)).await;
        applied.map_err(kube_error).context("writing it")?;
        tracing::info!(crd = name, version = CRD_VERSION, "{}", told(decision));
    }
    served(api, &name).await
}

/// Asks with a dry run. A real apply that changes nothing would be no write either, but for servers
/// that drop a field that they do not know (validations by CEL, before 1.25): those write every time.
async fn would_change(
    api: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
    found: Option<&CustomResourceDefinition>,
) -> Result<bool> {
    let Some(found) = found else { return Ok(true) };
    let parameters = PatchParams::apply(FIELD_MANAGER).force().dry_run();
    let applied = api.patch(&found.name_any(), &parameters, &Patch::Apply(crd)).await;
    let applied = applied.map_err(kube_error).context("writing it")?;
    Ok(applied.spec != found.spec || applied.annotations() != found.annotations())
}

async fn served(api: &Api<CustomResourceDefinition>, name: &str) -> Result<()> {
    let established = await_condition(api.clone(), name, is_crd_established());
    match tokio::time::timeout(ESTABLISHED, established).await {
        Ok(established) => established.map(drop).context("waiting until it is served"),
        Err(_) => bail!("it is not served after {ESTABLISHED:?}: see kubectl describe crd {name}"),
    }
}

fn told(decision: Decision) -> &'static str {
    match decision {
        Decision::Create => "the definition is installed",
        _ => "the definition is brought up to date",
    }
}

/// All of them as YAML documents.
pub fn yaml() -> String {
    tetragon_api::crd::all().iter().map(|crd| format!("---\n{}", tetragon_api::crd::yaml(crd))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: Option<&str>) -> CustomResourceDefinition {
        let mut crd = tetragon_api::crd::all().remove(0);
        crd.metadata.annotations =
            version.map(|v| [(CRD_VERSION_ANNOTATION.to_owned(), v.to_owned())].into());
        crd
    }

    #[test]
    fn a_newer_definition_stays() {
        let newer = (CRD_VERSION + 1).to_string();
        let current = CRD_VERSION.to_string();
        for (version, force, decision) in [
            (None, false, Decision::Upgrade),
            (Some("x"), false, Decision::Upgrade),
            (Some("0"), false, Decision::Upgrade),
            (Some(current.as_str()), false, Decision::Refresh),
            (Some(newer.as_str()), false, Decision::Leave(CRD_VERSION + 1)),
            (Some(newer.as_str()), true, Decision::Upgrade),
        ] {
            assert_eq!(decide(Some(&found(version)), force), decision, "{version:?}");
        }
        assert_eq!(decide(None, false), Decision::Create);
    }

    #[test]
    fn flags_choose() {
        let kinds = |policies, pod_info| -> Vec<String> {
            Install { policies, pod_info, force: false }.wanted().map(|c| c.spec.names.kind).collect()
        };
        assert_eq!(kinds(true, true).len(), 4);
        assert_eq!(kinds(false, true), ["TetragonNode", "PodInfo"]);
        assert_eq!(kinds(true, false), ["TracingPolicy", "TracingPolicyNamespaced", "TetragonNode"]);
    }
}
