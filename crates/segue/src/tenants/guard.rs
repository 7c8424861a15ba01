//! A store that came back from a backup, or as a standby that lagged, has lost fences with what was not
//! copied. Here they are put back, before the store is used as any tenant's owner again.
//!
//! The control plane keeps as which incarnation each store is known. A process tells its store so before it
//! uses it; a store that finds itself to be another refuses all but heads and copies
//! ([`EventStore::quarantine`]). Whoever attends to migrations then sets every head there to what its route
//! says ([`restored`]), takes note of the new incarnation, and admits it. Doing that twice changes nothing.

use std::sync::Arc;

use futures_util::future::join_all;
use segue_core::ids::{StoreId, TenantId};
use segue_core::tenancy::head::Mode;
use segue_core::tenancy::restored;
use segue_store::control::audit::{Action, Entry, Subject};
use segue_store::events::{self, EventStore, Quarantine, Reason};
use serde_json::json;

use super::TenantStoreRouter;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// How many tenants are read at once.
const PAGE: u32 = 500;

/// How often a head that others change meanwhile is looked at.
const ROUNDS: usize = 8;

/// Whether a store may be believed: not while the fences of a database that came back are put back.
pub(super) fn has_its_fences(store: &dyn EventStore) -> events::Result<()> {
    match store.quarantine() {
        None => Ok(()),
        Some(_) => Err(events::Error::Unavailable { reason: Reason::Restored, source: None }),
    }
}

impl TenantStoreRouter {
    /// Tells a store as which incarnation it is known, once.
    pub(super) async fn introduce(&self, id: &StoreId) -> Result<()> {
        let Some((store, introduced)) = self.introductions(id) else { return Ok(()) };
        let introduce = || async {
            if let Some(known) = self.control().incarnation(id).await? {
                store.admit(&known);
            }
            Ok(())
        };
        introduced.get_or_try_init(introduce).await.copied()
    }

    /// Looks whether each store is as it is known, and puts its fences back if it is not.
    pub(super) async fn guard(&self, clock: &dyn Clock) {
        join_all(self.stores().map(|(id, store)| async move {
            let guarded = async {
                // Also one that no route names here: it may be a move's other end.
                self.introduce(id).await?;
                match store.quarantine() {
                    Some(quarantine) => self.readmit(id, store, quarantine, clock).await,
                    None => self.make_known(id, store).await,
                }
            };
            if let Err(error) = guarded.await {
                tracing::debug!(store = %id, %error, "cannot look after a store; looking again");
            }
        }))
        .await;
    }

    /// Takes note of what a store is that was never looked at.
    async fn make_known(&self, id: &StoreId, store: &Arc<dyn EventStore>) -> Result<()> {
        let make_known = || async {
            if self.control().incarnation(id).await?.is_none() {
                let found =
                    store.incarnation().await.map_err(|error| Error::of_store(id, error))?;
                self.control().set_incarnation(id, None, &found).await?;
            }
            Ok(())
        };
        self.noted(id).get_or_try_init(make_known).await.copied()
    }

    async fn readmit(
        &self,
        id: &StoreId,
        store: &Arc<dyn EventStore>,
        Quarantine { was, is }: Quarantine,
        clock: &dyn Clock,
    ) -> Result<()> {
        let known = self.control().incarnation(id).await?;
        if known.as_ref() != Some(&is) {
            tracing::warn!(store = %id, was, is, "putting fences back");
            let fences = self.put_fences_back(id, store, clock).await?;
            if !self.control().set_incarnation(id, known.as_deref(), &is).await? {
                // Somebody else has noted something meanwhile.
                return Ok(());
            }
            tracing::warn!(store = %id, was, is, fences, "the store is in use again");
        }
        store.admit(&is);
        Ok(())
    }

    /// Sets every head to what its route says; answers how many were in another mode.
    async fn put_fences_back(
        &self,
        id: &StoreId,
        store: &Arc<dyn EventStore>,
        clock: &dyn Clock,
    ) -> Result<u64> {
        let (mut after, mut fences) = (None, 0);
        loop {
            let tenants = self.control().tenants_decided_on(id, after, PAGE).await?;
            let Some(last) = tenants.last() else { return Ok(fences) };
            after = Some(*last);
            for tenant in tenants {
                if let Some(mode) = self.put_fence_back(tenant, id, store).await? {
                    fences += 1;
                    let entry = restored(tenant, id, mode, clock);
                    self.control().record(tenant, &entry).await?;
                }
            }
        }
    }

    /// Sets one tenant's head to what its route says; answers its mode, if it was in another.
    async fn put_fence_back(
        &self,
        tenant: TenantId,
        id: &StoreId,
        store: &Arc<dyn EventStore>,
    ) -> Result<Option<Mode>> {
        for _ in 0..ROUNDS {
            let Some(route) = self.control().route(tenant).await? else { return Ok(None) };
            let head = match store.head(tenant).await {
                Ok(head) => head,
                Err(events::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(Error::of_store(id, error)),
            };
            let Some(swap) = restored::mend(&route, id, &head) else { return Ok(None) };
            match store.swap_head(tenant, swap).await {
                Ok(_) => return Ok((swap.mode != head.mode).then_some(swap.mode)),
                Err(events::Error::HeadDiffers { .. }) => {}
                Err(error) => return Err(Error::of_store(id, error)),
            }
        }
        Err(Error::Unavailable {
            what: "the event store",
            reason: format!("others keep changing the head of tenant {tenant} in store `{id}`"),
            source: None,
        })
    }
}

fn restored(tenant: TenantId, store: &StoreId, mode: Mode, clock: &dyn Clock) -> Entry {
    Entry {
        at: clock.now(),
        actor: "segue".to_owned(),
        action: Action::FencesRestored,
        subject: Subject::Tenant,
        subject_id: tenant.to_string(),
        details: json!({ "store_id": store, "mode": mode }),
    }
}
