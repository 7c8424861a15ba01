//! Where everything in the console is: every link is made here.

use std::fmt::Write as _;

use segue_core::ids::{KeyId, MigrationId, PlanId, ScenarioId, SessionId, TenantId, Version};
use segue_core::plan::policy::AnchorKey;

/// The first page.
pub const HOME: &str = "/console";

/// Where an API key opens a session.
pub const LOGIN: &str = "/console/login";

/// Where a session is closed.
pub const LOGOUT: &str = "/console/logout";

/// Where the tenant is opened whose id was typed.
pub const OPEN: &str = "/console/open";

/// Everything of one tenant is below this.
#[must_use]
pub fn tenant(tenant: TenantId) -> String {
    format!("/console/tenants/{tenant}")
}

/// One thing that is asked of a tenant, or one part of its page.
#[must_use]
pub fn of_tenant(of: TenantId, what: &str) -> String {
    format!("{}/{what}", tenant(of))
}

/// A tenant's scenarios.
#[must_use]
pub fn scenarios(of: TenantId) -> String {
    format!("{}/scenarios", tenant(of))
}

/// Where a scenario is registered.
#[must_use]
pub fn new_scenario(of: TenantId) -> String {
    format!("{}/scenarios/new", tenant(of))
}

/// A scenario.
#[must_use]
pub fn scenario(of: TenantId, id: ScenarioId) -> String {
    format!("{}/{id}", scenarios(of))
}

/// One version of a scenario.
#[must_use]
pub fn version(of: TenantId, id: ScenarioId, version: Version) -> String {
    format!("{}?version={version}", scenario(of, id))
}

/// Where a plan to a new version is made.
#[must_use]
pub fn new_version(of: TenantId, id: ScenarioId) -> String {
    format!("{}/new-version", scenario(of, id))
}

/// A plan.
#[must_use]
pub fn plan(of: TenantId, id: PlanId) -> String {
    format!("{}/{id}", plans(of))
}

/// One thing that is done to a plan, or one part of it.
#[must_use]
pub fn of_plan(of: TenantId, id: PlanId, what: &str) -> String {
    format!("{}/{what}", plan(of, id))
}

/// An anchor of a plan, or a deleted step by its policy's key.
#[must_use]
pub fn anchor(of: TenantId, id: PlanId, key: &AnchorKey) -> String {
    format!("{}/anchors/{}", plan(of, id), segment(&key.0))
}

/// A session.
#[must_use]
pub fn session(of: TenantId, id: SessionId) -> String {
    format!("{}/{id}", sessions(of))
}

/// A tenant's plans.
#[must_use]
pub fn plans(of: TenantId) -> String {
    format!("{}/plans", tenant(of))
}

/// A tenant's sessions.
#[must_use]
pub fn sessions(of: TenantId) -> String {
    format!("{}/sessions", tenant(of))
}

/// What was decided for a tenant, and by whom.
#[must_use]
pub fn audit(of: TenantId) -> String {
    format!("{}/audit", tenant(of))
}

/// The stores.
pub const STORES: &str = "/console/stores";

/// Moves of tenants.
pub const MOVES: &str = "/console/moves";

/// All tenants.
pub const TENANTS: &str = "/console/tenants";

/// What was decided about tenants' homes and moves.
pub const DECIDED: &str = "/console/decided";

/// The API keys.
pub const KEYS: &str = "/console/keys";

/// Where an API key is made.
pub const NEW_KEY: &str = "/console/keys/new";

/// One API key.
#[must_use]
pub fn key(id: KeyId) -> String {
    format!("{KEYS}/{id}")
}

/// One thing that is done to an API key.
#[must_use]
pub fn of_key(id: KeyId, what: &str) -> String {
    format!("{}/{what}", key(id))
}

/// Where a move of a tenant begins.
#[must_use]
pub fn start_move(of: TenantId) -> String {
    format!("{}/move", tenant(of))
}

/// One move.
#[must_use]
pub fn one_move(id: MigrationId) -> String {
    format!("{MOVES}/{id}")
}

/// Where something is asked of a move.
#[must_use]
pub fn act(on: MigrationId, act: &str) -> String {
    format!("{}/{act}", one_move(on))
}

/// Text as one part of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("a string takes any text"),
        }
    }
    encoded
}

/// A path with a query of those pairs that have a value.
#[must_use]
pub fn asking(path: &str, pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_named_cannot_leave_its_place_in_a_link() {
        assert_eq!(segment("a/../b?c#d é"), "a%2F..%2Fb%3Fc%23d%20%C3%A9");
        assert_eq!(asking("/a", &[("x", "1&y=2"), ("z", "")]), "/a?x=1%26y%3D2");
    }
}
