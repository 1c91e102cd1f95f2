//! Who changed who answers, as the keeper knows it: asked for whenever it has changed, so
//! that nobody who looks has to wait for the keeper.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio_util::task::AbortOnDropHandle;

use super::Page;
use crate::registry::{Change, Keeper, Registry};

/// Changes that are shown of one model.
const SHOWN: usize = 30;

/// The last changes of each model, newest first.
pub(super) type Policies = Arc<ArcSwap<BTreeMap<String, Arc<[Change]>>>>;

/// Keeps what the page knows of policies as the keeper has it, until it is dropped.
pub(in crate::server) fn follow(page: &Page, registry: &Arc<Registry>, keeper: &Keeper) -> AbortOnDropHandle<()> {
    let (policies, registry, keeper) = (Arc::clone(&page.policies), Arc::clone(registry), keeper.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut changes = registry.changes();
        loop {
            look(&policies, &registry, &keeper).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }))
}

/// Asks for the changes of the models that have newer ones than are known.
async fn look(policies: &Policies, registry: &Registry, keeper: &Keeper) {
    let before = policies.load_full();
    let mut now = BTreeMap::new();
    for (name, model) in registry.models().iter() {
        let known = before.get(name).filter(|changes| newest(changes) == model.revision);
        let found = match known {
            Some(known) => Some(Arc::clone(known)),
            None => keeper.history(name).await.ok().map(|changes| changes.into_iter().take(SHOWN).collect()),
        };
        now.extend(found.map(|found| (name.clone(), found)));
    }
    policies.store(Arc::new(now));
}

fn newest(changes: &[Change]) -> u64 {
    changes.first().map_or(0, |change| change.revision)
}
