//! Takes plans away that nobody needs: old versions that every node has left, and plans of policies that
//! are gone.

use std::collections::BTreeSet;

use kube::api::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt as _};
use tetragon_api::published::PolicyRef;

use super::dereference::{kind, resource};
use super::error::Error;
use super::publish::{Found, Plans};
use crate::nodes::Scope;

/// Deletes the versions that no node names any more. `others`: the plans of the policy but the wanted one.
pub async fn retire(plans: &Plans, others: &[Found], in_use: &BTreeSet<String>) -> Result<(), Error> {
    for found in others.iter().filter(|f| !in_use.contains(&f.name)) {
        tracing::info!(plan = found.name, "no node names this version any more: it is retired");
        plans.delete(&found.object).await?;
    }
    Ok(())
}

/// Takes away a plan of a generation that the policy never had. If it has: this is
/// [`Error::Stale`], somebody else has seen more.
pub async fn refuse_newer(
    client: &Client,
    plans: &Plans,
    policy: &PolicyRef,
    generation: i64,
    found: &[Found],
) -> Result<(), Error> {
    for newer in found.iter().filter(|f| f.revision() > generation) {
        let live = live(client, policy).await?;
        let had = live.and_then(|o| o.metadata.generation).is_some_and(|g| g >= newer.revision());
        if had {
            return Err(Error::Stale { plan: newer.name.clone(), revision: newer.revision(), generation });
        }
        tracing::warn!(plan = newer.name, "a plan of a generation that the policy never had is deleted");
        plans.delete(&newer.object).await?;
    }
    Ok(())
}

/// Deletes the plans of policies that are gone, and what only looks like a plan. `is_ours`: by its name, it
/// belongs to a policy that the watch has seen; reconciling that puts right whatever is wrong with it.
pub async fn sweep(client: &Client, plans: &Plans, is_ours: &impl Fn(&str) -> bool) -> Result<(), Error> {
    for found in plans.all().into_iter().filter(|f| !is_ours(&f.name)) {
        match &found.meta {
            // The watch of policies may be behind: the API server has the last word.
            Some(meta) if live(client, &meta.policy).await?.is_some() => continue,
            Some(meta) => {
                let policy = &meta.policy.name;
                tracing::info!(plan = found.name, policy, "its policy is gone: the plan is deleted");
            }
            None => tracing::warn!(plan = found.name, "what says that it is a plan and is none is deleted"),
        }
        plans.delete(&found.object).await?;
    }
    plans.tidy(is_ours);
    Ok(())
}

/// The policy, if it is there and is the same object.
async fn live(client: &Client, policy: &PolicyRef) -> Result<Option<DynamicObject>, Error> {
    let scope = if policy.kind == kind(Scope::Cluster) { Scope::Cluster } else { Scope::Namespaced };
    let resource: ApiResource = resource(scope);
    let api: Api<DynamicObject> = match &policy.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let object = api.get_opt(&policy.name).await.map_err(Error::api("read a policy"))?;
    Ok(object.filter(|o| o.uid().as_ref() == Some(&policy.uid)))
}
