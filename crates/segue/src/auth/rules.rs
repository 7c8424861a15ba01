//! Which roles open which route. What is not named here is closed.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use segue_store::control::keys::Role::{self, App, Operator, Platform};

/// Who may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everybody, without a key.
    Public,
    /// Who has one of these roles; a key of one tenant in that tenant's name.
    Tenant(&'static [Role]),
    /// Who has one of these roles by a key that is for all tenants.
    Everyone(&'static [Role]),
}

use Door::{Everyone, Public, Tenant};

/// Health, the description, and the way in.
const OPEN: &[(&str, &str, Door)] = &[
    ("GET", "/healthz", Public),
    ("GET", "/readyz", Public),
    ("GET", "/metrics", Everyone(&[Operator, Platform])),
    ("GET", "/openapi.json", Public),
    ("GET", "/docs", Public),
    ("GET", "/docs/", Public),
    ("GET", "/docs/{*rest}", Public),
];

/// What belongs to a tenant.
const OF_TENANTS: &[(&str, &str, Door)] = &[
    ("POST", "/scenarios", Tenant(&[Operator])),
    ("GET", "/scenarios", Tenant(&[App, Operator])),
    ("GET", "/scenarios/{scenario_id}", Tenant(&[App, Operator])),
    ("GET", "/scenarios/{scenario_id}/versions", Tenant(&[App, Operator])),
    ("GET", "/scenarios/{scenario_id}/versions/{version}", Tenant(&[App, Operator])),
    ("POST", "/scenarios/{scenario_id}/migration-plan", Tenant(&[Operator])),
    ("GET", "/migration-plans", Tenant(&[Operator])),
    ("GET", "/migration-plans/{plan_id}", Tenant(&[Operator])),
    ("GET", "/migration-plans/{plan_id}/summary", Tenant(&[Operator])),
    ("GET", "/migration-plans/{plan_id}/anchors/{anchor_key}", Tenant(&[Operator])),
    ("PUT", "/migration-plans/{plan_id}/policies", Tenant(&[Operator])),
    ("POST", "/migration-plans/{plan_id}/approve", Tenant(&[Operator])),
    ("POST", "/migration-plans/{plan_id}/reject", Tenant(&[Operator])),
    ("POST", "/migration-plans/{plan_id}/deploy", Tenant(&[Operator])),
    ("POST", "/migration-plans/{plan_id}/withdraw", Tenant(&[Operator])),
    ("GET", "/migration-plans/{plan_id}/deployment-status", Tenant(&[Operator])),
    ("GET", "/migration-plans/{plan_id}/applications", Tenant(&[Operator])),
    ("POST", "/migration-plans/{plan_id}/forecast", Tenant(&[Operator])),
    ("GET", "/migration-plans/{plan_id}/forecast", Tenant(&[Operator])),
    ("DELETE", "/migration-plans/{plan_id}/forecast", Tenant(&[Operator])),
    ("PUT", "/fields/{name}", Tenant(&[Operator])),
    ("GET", "/fields", Tenant(&[App, Operator])),
    ("POST", "/sessions", Tenant(&[App])),
    ("GET", "/sessions", Tenant(&[App, Operator])),
    ("GET", "/sessions/{session_id}", Tenant(&[App, Operator])),
    ("GET", "/sessions/{session_id}/events", Tenant(&[App, Operator])),
    ("POST", "/sessions/{session_id}/turns", Tenant(&[App])),
    ("GET", "/customers/{customer_id}/profile", Tenant(&[App, Operator])),
    ("PATCH", "/customers/{customer_id}/profile", Tenant(&[App, Operator])),
    ("POST", "/customers/{customer_id}/erase", Tenant(&[Operator])),
    ("POST", "/streams/{stream_id}/events", Tenant(&[App])),
    ("GET", "/streams/{stream_id}/events", Tenant(&[App, Operator])),
    ("POST", "/streams/{stream_id}/redact", Tenant(&[Operator])),
    ("GET", "/events", Tenant(&[App, Operator])),
    ("GET", "/subscriptions", Tenant(&[App, Operator])),
    ("PUT", "/subscriptions/{name}", Tenant(&[App])),
    ("GET", "/subscriptions/{name}", Tenant(&[App, Operator])),
    ("DELETE", "/subscriptions/{name}", Tenant(&[App])),
    ("GET", "/subscriptions/{name}/events", Tenant(&[App])),
    ("POST", "/subscriptions/{name}/ack", Tenant(&[App])),
];

/// What belongs to the platform.
const OF_PLATFORM: &[(&str, &str, Door)] = &[
    ("GET", "/stores", Everyone(&[Operator, Platform])),
    ("GET", "/tenants", Everyone(&[Operator, Platform])),
    ("GET", "/tenants/{tenant_id}", Tenant(&[Operator, Platform])),
    ("PUT", "/tenants/{tenant_id}", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant_id}/pause-writes", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant_id}/resume-writes", Everyone(&[Platform])),
    ("GET", "/tenants/{tenant_id}/audit", Tenant(&[Operator, Platform])),
    ("POST", "/tenants/{tenant_id}/verify", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant_id}/migrations", Everyone(&[Platform])),
    ("GET", "/tenant-migrations", Everyone(&[Operator, Platform])),
    ("GET", "/tenant-migrations/{migration_id}", Everyone(&[Operator, Platform])),
    ("GET", "/tenant-migrations/{migration_id}/status", Everyone(&[Operator, Platform])),
    ("POST", "/tenant-migrations/{migration_id}/pause", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/resume", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/abort", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/cutover", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/reverse", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/finish", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/verify", Everyone(&[Platform])),
    ("POST", "/tenant-migrations/{migration_id}/repair", Everyone(&[Platform])),
    ("GET", "/tenant-migrations/{migration_id}/verification", Everyone(&[Operator, Platform])),
    ("GET", "/tenant-migrations/{migration_id}/failure-stats", Everyone(&[Operator, Platform])),
    ("GET", "/tenant-migrations/{migration_id}/subscriptions", Everyone(&[Operator, Platform])),
    ("GET", "/tenant-migrations/{migration_id}/audit", Everyone(&[Operator, Platform])),
    ("POST", "/keys", Everyone(&[Platform])),
    ("GET", "/keys", Everyone(&[Platform])),
    ("GET", "/keys/{key_id}", Everyone(&[Platform])),
    ("DELETE", "/keys/{key_id}", Everyone(&[Platform])),
    ("POST", "/keys/{key_id}/rotate", Everyone(&[Platform])),
    ("GET", "/keys/{key_id}/audit", Everyone(&[Platform])),
];

/// The console. What is about all tenants is closed to a key of one; its first page sends such a one to its
/// tenant.
const OF_CONSOLE: &[(&str, &str, Door)] = &[
    ("GET", "/login", Public),
    ("POST", "/login", Public),
    ("GET", "/logout", Public),
    ("POST", "/logout", Tenant(&[Operator, Platform])),
    ("GET", "/assets/{name}", Public),
    ("GET", "", Tenant(&[Operator, Platform])),
    ("GET", "/", Tenant(&[Operator, Platform])),
    ("GET", "/{*path}", Tenant(&[Operator, Platform])),
    ("POST", "/{*path}", Tenant(&[Operator, Platform])),
    ("GET", "/open", Everyone(&[Operator, Platform])),
    ("GET", "/tenants", Everyone(&[Operator, Platform])),
    ("GET", "/stores", Everyone(&[Operator, Platform])),
    ("GET", "/decided", Everyone(&[Operator, Platform])),
    ("GET", "/tenants/{tenant}", Tenant(&[Operator, Platform])),
    ("GET", "/tenants/{tenant}/audit", Tenant(&[Operator, Platform])),
    ("GET", "/tenants/{tenant}/pause-writes", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant}/pause-writes", Everyone(&[Platform])),
    ("GET", "/tenants/{tenant}/resume-writes", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant}/resume-writes", Everyone(&[Platform])),
    ("GET", "/tenants/{tenant}/verify", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant}/verify", Everyone(&[Platform])),
    ("GET", "/tenants/{tenant}/check", Everyone(&[Platform])),
    ("GET", "/tenants/{tenant}/move", Everyone(&[Platform])),
    ("POST", "/tenants/{tenant}/move", Everyone(&[Platform])),
    ("GET", "/tenants/{tenant}/scenarios", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/scenarios/new", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/scenarios/new", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/scenarios/{scenario}", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/scenarios/{scenario}/new-version", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/scenarios/{scenario}/new-version", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans/{plan}", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans/{plan}/anchors/{key}", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/anchors/{key}", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/approve", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/reject", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/deploy", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/withdraw", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans/{plan}/deployment", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans/{plan}/deployment/live", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans/{plan}/deployment/forecast", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/plans/{plan}/forecast", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/forecast", Tenant(&[Operator])),
    ("POST", "/tenants/{tenant}/plans/{plan}/forecast/cancel", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/sessions", Tenant(&[Operator])),
    ("GET", "/tenants/{tenant}/sessions/{session}", Tenant(&[Operator])),
    ("GET", "/keys", Everyone(&[Platform])),
    ("GET", "/keys/new", Everyone(&[Platform])),
    ("POST", "/keys/new", Everyone(&[Platform])),
    ("GET", "/keys/{key}", Everyone(&[Platform])),
    ("GET", "/keys/{key}/rotate", Everyone(&[Platform])),
    ("POST", "/keys/{key}/rotate", Everyone(&[Platform])),
    ("GET", "/keys/{key}/revoke", Everyone(&[Platform])),
    ("POST", "/keys/{key}/revoke", Everyone(&[Platform])),
    ("GET", "/moves", Everyone(&[Operator, Platform])),
    ("GET", "/moves/{id}", Everyone(&[Operator, Platform])),
    ("GET", "/moves/{id}/live", Everyone(&[Operator, Platform])),
    ("GET", "/moves/{id}/check", Everyone(&[Operator, Platform])),
    ("GET", "/moves/{id}/{act}", Everyone(&[Operator, Platform])),
    ("POST", "/moves/{id}/{act}", Everyone(&[Platform])),
];

/// Where the console lives.
const CONSOLE: &str = crate::console::paths::HOME;

/// Where the API lives, as the rules of it leave out.
const BASE: &str = crate::http::BASE;

type Doors = HashMap<&'static str, Vec<(&'static str, Door)>>;

/// The doors of each route, by its pattern.
static DOORS: LazyLock<Doors> = LazyLock::new(|| {
    let mut doors = Doors::new();
    for (method, route, door) in OPEN {
        doors.entry(route).or_default().push((method, *door));
    }
    let below = |base: &'static str, rules: &'static [(&'static str, &'static str, Door)]| {
        rules.iter().map(move |(method, route, door)| (*method, format!("{base}{route}"), *door))
    };
    for (method, route, door) in
        below(BASE, OF_TENANTS).chain(below(BASE, OF_PLATFORM)).chain(below(CONSOLE, OF_CONSOLE))
    {
        doors.entry(Box::leak(route.into_boxed_str())).or_default().push((method, door));
    }
    doors
});

/// What stands before a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// This door.
    Door(Door),
    /// The route has doors, none of them for this method.
    NoSuchMethod,
    /// Nothing is said of it: it is closed.
    Unnamed,
}

/// What stands before a route. Whoever may read a thing may ask for its head.
#[must_use]
pub fn of(method: &Method, route: &str) -> Rule {
    let Some(doors) = DOORS.get(route) else { return Rule::Unnamed };
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let door = doors.iter().find(|(of, _)| *of == method);
    door.map_or(Rule::NoSuchMethod, |(_, door)| Rule::Door(*door))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_of_the_description_has_a_door_and_every_door_a_route() {
        let api = serde_json::to_value(crate::http::openapi()).unwrap();
        let paths = api["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(move |method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let undescribed = ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"];
        let ruled: BTreeSet<(String, String)> = DOORS
            .iter()
            .filter(|(route, _)| !undescribed.contains(route) && !route.starts_with(CONSOLE))
            .flat_map(|(route, doors)| {
                doors.iter().map(|(method, _)| ((*method).to_owned(), (*route).to_owned()))
            })
            .collect();
        assert_eq!(described, ruled);
    }

    #[test]
    fn forecasts_are_the_operators_in_the_console_too() {
        let of_plan = "/console/tenants/{tenant}/plans/{plan}";
        for (method, what) in [
            (Method::POST, "forecast"),
            (Method::GET, "forecast"),
            (Method::POST, "forecast/cancel"),
            (Method::GET, "deployment/forecast"),
        ] {
            let rule = of(&method, &format!("{of_plan}/{what}"));
            assert_eq!(rule, Rule::Door(Tenant(&[Operator])), "{method} {what}");
        }
    }

    #[test]
    fn keys_are_the_platforms_in_the_console_too() {
        let of_keys = OF_CONSOLE.iter().filter(|(_, route, _)| route.starts_with("/keys"));
        let doors: Vec<_> = of_keys.map(|(_, _, door)| *door).collect();
        assert!(doors.len() >= 8 && doors.iter().all(|door| *door == Everyone(&[Platform])));
    }

    #[test]
    fn what_is_not_named_is_closed() {
        assert_eq!(of(&Method::GET, "/api/v1/secrets"), Rule::Unnamed);
        assert_eq!(of(&Method::PATCH, "/api/v1/keys"), Rule::NoSuchMethod);
        assert_eq!(of(&Method::HEAD, "/healthz"), Rule::Door(Public));
    }
}
