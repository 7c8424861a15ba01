//! The routes that this process remembers. Each may be old: a store refuses an operation at another epoch,
//! and the route is read again.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use segue_core::ids::TenantId;
use segue_store::control::Changed;
use segue_store::control::audit::Subject;
use segue_store::control::routing::Route;
use tokio::time::Instant;

/// How many tenants' routes are remembered; beyond it all are forgotten and read again.
const ROUTES: usize = 100_000;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_tenant: RwLock<HashMap<TenantId, Known>>,
}

/// A route, and when it was read.
#[derive(Debug)]
struct Known {
    route: Route,
    read_at: Instant,
    /// Whether it may have changed since.
    is_stale: bool,
}

impl Routes {
    /// The route, unless it may have changed.
    pub(super) fn get(&self, tenant: TenantId) -> Option<Route> {
        let routes = self.read();
        routes.get(&tenant).filter(|known| !known.is_stale).map(|known| known.route.clone())
    }

    /// The route, if it was read so recently; otherwise the caller is to read it, and those who ask
    /// meanwhile are given the old one.
    pub(super) fn get_since(&self, tenant: TenantId, age: Duration) -> Option<Route> {
        let mut routes = self.write();
        let known = routes.get_mut(&tenant)?;
        if !known.is_stale && known.read_at.elapsed() < age {
            return Some(known.route.clone());
        }
        (known.is_stale, known.read_at) = (false, Instant::now());
        None
    }

    /// Keeps what was read of a route, unless something newer is known. Answers whether it is news.
    pub(super) fn keep(&self, tenant: TenantId, route: Option<&Route>) -> bool {
        let mut routes = self.write();
        if routes.len() >= ROUTES {
            routes.clear();
        }
        let Some(route) = route else {
            routes.remove(&tenant);
            return false;
        };
        let known = routes.get(&tenant).map(|known| known.route.term);
        if known > Some(route.term) {
            return false;
        }
        let (read_at, is_stale) = (Instant::now(), false);
        routes.insert(tenant, Known { route: route.clone(), read_at, is_stale });
        known != Some(route.term)
    }

    /// Has routes read again that may have changed, before they are used. Answers whether any may have.
    pub(super) fn doubt(&self, changed: Changed) -> bool {
        let mut routes = self.write();
        match changed {
            Changed::Noun(tenant, Subject::Tenant | Subject::Migration)
            | Changed::Tenant(tenant) => {
                routes.get_mut(&tenant).into_iter().for_each(|known| known.is_stale = true);
            }
            // Nothing else is remembered here.
            Changed::Noun(..) => return false,
            Changed::Anything => routes.values_mut().for_each(|known| known.is_stale = true),
        }
        true
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<TenantId, Known>> {
        // Nothing panics between two changes that belong together.
        self.by_tenant.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<TenantId, Known>> {
        self.by_tenant.write().unwrap_or_else(PoisonError::into_inner)
    }
}
