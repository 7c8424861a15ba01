//! Who may do what, through the real binary: keys, roles, tenants, rates, browsers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod guarded;
mod support;

use std::fs;
use std::time::{Duration, Instant};

use guarded::Guarded;
use serde_json::{Value, json};
use support::{Server, order_flow, printed, segue};
use uuid::Uuid;

/// What only tenant B has.
const MARK: &str = "only-b-may-read-this";

/// Every route of the description.
fn routes(server: &Server) -> Vec<(String, String)> {
    let api = server.send("GET", "/openapi.json", &[], b"").is(200);
    let paths = api["paths"].as_object().unwrap().iter();
    let each = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    each.collect()
}

#[test]
fn without_a_key_there_is_health_and_nothing_else() {
    let guarded = Guarded::start();
    let mut open = Vec::new();
    for (method, path) in routes(&guarded.server) {
        let answer = guarded.send("", &method, &path, None);
        if answer.status == 401 {
            let challenge = answer.headers["www-authenticate"].to_str().unwrap().to_owned();
            assert_eq!(challenge, "Bearer realm=\"segue\"");
            answer.refused(401, "unauthenticated");
        } else {
            open.push(path);
        }
    }
    open.sort();
    assert_eq!(open, ["/healthz", "/readyz"]);
    for wrong in ["Bearer nonsense", "Basic b2xnYTpzZWNyZXQ=", "segue_x", "Bearer "] {
        let headers = [("Authorization", wrong)];
        guarded.server.send("GET", "/api/v1/stores", &headers, b"").refused(401, "unauthenticated");
        // Whoever watches whether it lives need not care what its proxy adds.
        assert_eq!(guarded.server.send("GET", "/healthz", &headers, b"").status, 200);
    }
    let known = &guarded.platform[..guarded.platform.len() - 1];
    let other = if guarded.platform.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{known}{other}");
    guarded.send(&wrong, "GET", "/api/v1/stores", None).refused(401, "unauthenticated");
}

#[test]
fn each_role_opens_its_routes_and_no_others() {
    let guarded = Guarded::start();
    let tenant = Uuid::new_v4();
    let keys = [
        ("app", guarded.key_of("app", &["app"], Some(tenant))),
        ("operator", guarded.key_of("operator", &["operator"], None)),
        ("platform", guarded.platform.clone()),
    ];
    let mut opened: Vec<(&str, Vec<String>)> = Vec::new();
    for (role, key) in &keys {
        let mut routes: Vec<String> = routes(&guarded.server)
            .into_iter()
            .filter(|(method, path)| guarded.send(key, method, path, None).status != 403)
            .map(|(method, path)| format!("{method} {}", path.trim_start_matches("/api/v1")))
            .collect();
        routes.sort();
        opened.push((role, routes));
    }
    let may = |role: &str, route: &str| {
        let (_, routes) = opened.iter().find(|(of, _)| *of == role).unwrap();
        routes.iter().any(|opened| opened == route)
    };
    for (route, roles) in [
        ("POST /sessions/{session_id}/turns", &["app"][..]),
        ("POST /streams/{stream_id}/events", &["app"]),
        ("GET /sessions", &["app", "operator"]),
        ("POST /migration-plans/{plan_id}/deploy", &["operator"]),
        ("PUT /migration-plans/{plan_id}/policies", &["operator"]),
        ("POST /customers/{customer_id}/erase", &["operator"]),
        ("GET /stores", &["operator", "platform"]),
        ("GET /metrics", &["operator", "platform"]),
        ("POST /tenants/{tenant_id}/migrations", &["platform"]),
        ("POST /tenant-migrations/{migration_id}/cutover", &["platform"]),
        ("POST /keys", &["platform"]),
        ("DELETE /keys/{key_id}", &["platform"]),
        ("GET /healthz", &["app", "operator", "platform"]),
    ] {
        for (role, _) in &keys {
            assert_eq!(may(role, route), roles.contains(role), "{role} and {route}");
        }
    }
}

/// A tenant with something of every kind.
struct Furnished {
    scenario: String,
    plan: String,
    session: String,
}

fn furnish(guarded: &Guarded, app: &str, operator: &str) -> Furnished {
    let mut first = order_flow();
    first["description"] = json!(MARK);
    let scenario = guarded.api(operator, "POST", "/scenarios", &first);
    let scenario = scenario["id"].as_str().unwrap().to_owned();
    let field = json!({"value_type": "string", "display_name": MARK});
    guarded.api(operator, "PUT", "/fields/address", &field);
    let start = json!({"scenario_id": scenario, "channel": "web", "customer_id": "customer-1",
                       "variables": {"note": MARK}});
    let session = guarded.api(app, "POST", "/sessions", &start);
    let session = session["id"].as_str().unwrap().to_owned();
    let turn = json!({"message": {"text": MARK}});
    guarded.api(app, "POST", &format!("/sessions/{session}/turns"), &turn);
    let profile = json!({"fields": {"address": MARK}});
    guarded.api(app, "PATCH", "/customers/customer-1/profile", &profile);
    let event = json!({"event_type": "Noted", "payload": {"note": MARK}});
    let append = json!({"stream_type": "note", "expected_version": "any", "events": [event]});
    guarded.api(app, "POST", "/streams/note-1/events", &append);
    guarded.api(app, "PUT", "/subscriptions/billing", &json!({}));
    let mut second = order_flow();
    second["version"] = json!(2);
    second["steps"][1]["name"] = json!(MARK);
    second["steps"][1]["collects_profile_fields"] = json!(["address", "age"]);
    let plan = json!({"new_scenario": second, "created_by": MARK});
    let plan =
        guarded.api(operator, "POST", &format!("/scenarios/{scenario}/migration-plan"), &plan);
    Furnished { scenario, plan: plan["id"].as_str().unwrap().to_owned(), session }
}

#[test]
fn no_route_shows_or_changes_what_another_tenant_has() {
    let guarded = Guarded::start();
    let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
    let of_b = furnish(
        &guarded,
        &guarded.key_of("app of b", &["app"], Some(b)),
        &guarded.key_of("operator of b", &["operator"], Some(b)),
    );
    let position = |tenant: Uuid| {
        let path = format!("/api/v1/tenants/{tenant}");
        let tenant = guarded.send(&guarded.platform, "GET", &path, None).is(200);
        (tenant["position"].clone(), tenant["epoch"].clone())
    };
    let before = position(b);
    let intruder = guarded.key_of("both roles of a", &["app", "operator"], Some(a));
    let fill = |path: &str| {
        path.replace("{scenario_id}", &of_b.scenario)
            .replace("{plan_id}", &of_b.plan)
            .replace("{session_id}", &of_b.session)
            .replace("{tenant_id}", &b.to_string())
            .replace("{migration_id}", &Uuid::new_v4().to_string())
            .replace("{key_id}", &Uuid::new_v4().to_string())
            .replace("{version}", "1")
            .replace("{anchor_key}", "welcome")
            .replace("{customer_id}", "customer-1")
            .replace("{stream_id}", "note-1")
            .replace("{name}", "billing")
    };
    let bodies = [
        None,
        Some(json!({})),
        Some(json!({"position": 1})),
        Some(json!({"message": {"text": "hello"}})),
        Some(json!({"fields": {"address": "elsewhere"}})),
        Some(json!({"policies": {}})),
    ];
    let named = b.to_string();
    let mut tried = 0;
    for (method, path) in routes(&guarded.server) {
        if !path.starts_with("/api/v1") {
            continue;
        }
        let path = fill(&path);
        for body in &bodies {
            if method == "GET" && body.is_some() {
                continue;
            }
            let answer = guarded.send(&intruder, &method, &path, body.as_ref());
            assert!(!answer.text.contains(MARK), "{method} {path}: {}", answer.text);
            assert!(answer.status < 500, "{method} {path}: {}", answer.text);
            let as_b = [("X-Tenant-ID", named.as_str())];
            let answer = guarded.send_with(&intruder, &method, &path, body.as_ref(), &as_b);
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
            assert!(!answer.text.contains(MARK), "{method} {path}: {}", answer.text);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
    let of_another = format!("/api/v1/tenants/{b}");
    guarded.send(&intruder, "GET", &of_another, None).refused(403, "tenant_mismatch");
    assert_eq!(position(b), before, "nothing was written");
    let plan = format!("/api/v1/migration-plans/{}", of_b.plan);
    guarded.send(&intruder, "GET", &plan, None).refused(404, "plan_not_found");
}

#[test]
fn a_key_of_a_tenant_need_not_name_it() {
    let guarded = Guarded::start();
    let tenant = Uuid::new_v4();
    let operator = guarded.key_of("olga", &["operator"], Some(tenant));
    guarded.api(&operator, "POST", "/scenarios", &order_flow());
    let listed = guarded.send(&operator, "GET", "/api/v1/scenarios", None).is(200);
    assert_eq!(listed["total"], 1);
    let everybody = guarded.key_of("ida", &["operator"], None);
    guarded.send(&everybody, "GET", "/api/v1/scenarios", None).refused(400, "missing_tenant");
    let named = [("X-Tenant-ID", &*tenant.to_string())];
    let listed = guarded.send_with(&everybody, "GET", "/api/v1/scenarios", None, &named).is(200);
    assert_eq!(listed["total"], 1);
    let audit = format!("/api/v1/tenants/{tenant}/audit");
    assert_eq!(guarded.send(&operator, "GET", &audit, None).status, 404, "it was never placed");
}

#[test]
fn a_key_ends_when_it_is_revoked_rotated_or_expired() {
    let guarded = Guarded::start();
    let stores = |key: &str| guarded.send(key, "GET", "/api/v1/stores", None);
    let body = json!({"name": "olga", "roles": ["operator"]});
    let (first, first_id) = guarded.key(&body);
    stores(&first).is(200);

    let rotate = format!("/api/v1/keys/{first_id}/rotate");
    let overlap = json!({"overlap_seconds": 600});
    let second = guarded.send(&guarded.platform, "POST", &rotate, Some(&overlap)).is(201);
    let text = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    let (second, second_id) = (text(&second, "key"), text(&second, "key_id"));
    stores(&first).is(200);
    stores(&second).is(200);
    let third = guarded.send(&guarded.platform, "POST", &rotate, None).is(201);
    assert_eq!(
        third["expires_at"],
        Value::Null,
        "the overlap of the first is not its own: {third}"
    );
    guarded.send(&guarded.platform, "POST", &rotate, None).refused(409, "invalid_state_transition");
    let over = stores(&first).refused(401, "unauthenticated");
    assert_eq!(over["ended"], "Rotated");

    let revoke = format!("/api/v1/keys/{second_id}");
    assert_eq!(guarded.send(&guarded.platform, "DELETE", &revoke, None).is(200)["is_valid"], false);
    assert_eq!(stores(&second).refused(401, "unauthenticated")["ended"], "Revoked");
    let audit = format!("/api/v1/keys/{second_id}/audit");
    let audit = guarded.send(&guarded.platform, "GET", &audit, None).is(200);
    let told: Vec<_> = audit["entries"].as_array().unwrap().iter().collect();
    assert_eq!((&told[0]["action"], &told[0]["actor"]), (&json!("key_revoked"), &json!("root")));

    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let short = json!({"name": "short", "roles": ["operator"], "expires_at": soon});
    let (short, _) = guarded.key(&short);
    stores(&short).is(200);
    let deadline = Instant::now() + Duration::from_secs(20);
    while stores(&short).status == 200 {
        assert!(Instant::now() < deadline, "it never expired");
        std::thread::sleep(Duration::from_millis(100));
    }
    let listed = guarded.send(&guarded.platform, "GET", "/api/v1/keys?limit=100", None).is(200);
    assert_eq!(listed["total"], 5, "{listed}");
    let olga = listed["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == *first_id);
    assert!(olga.unwrap()["used_at"].is_string(), "{listed}");
}

#[test]
fn what_a_key_keeps_open_ends_with_it() {
    let guarded = Guarded::start();
    let tenant = Uuid::new_v4();
    let app = guarded.key_of("app", &["app"], Some(tenant));
    let event = json!({"event_type": "Noted", "payload": {"note": "before"}});
    let append = json!({"stream_type": "note", "expected_version": "any", "events": [event]});
    guarded.api(&app, "POST", "/streams/note-1/events", &append);
    let reader = json!({"name": "reader", "roles": ["app"], "tenant_id": tenant});
    let (reader, reader_id) = guarded.key(&reader);
    let expiry = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6);
    let brief =
        json!({"name": "brief", "roles": ["app"], "tenant_id": tenant, "expires_at": expiry});
    let (brief, _) = guarded.key(&brief);
    let get = |key: &str, path: &str, more: &[(&str, &str)]| {
        let answer = guarded.send_with(key, "GET", path, None, more);
        (Instant::now(), answer)
    };
    let live = [("Accept", "text/event-stream")];
    let begun = Instant::now();
    let expires =
        begun + Duration::try_from(expiry.duration_since(jiff::Timestamp::now())).unwrap();
    let (revoked, tail, poll, other) = std::thread::scope(|scope| {
        let tail = scope.spawn(|| get(&reader, "/api/v1/events", &live));
        let poll = scope.spawn(|| get(&reader, "/api/v1/events?after=1&wait_ms=20000", &[]));
        let other = scope.spawn(|| get(&brief, "/api/v1/events", &live));
        let open = || guarded.send(&guarded.platform, "GET", "/metrics", None).text;
        while !open().contains("\nevent_streams_open 3") {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", open());
            std::thread::sleep(Duration::from_millis(20));
        }
        let revoke = format!("/api/v1/keys/{reader_id}");
        guarded.send(&guarded.platform, "DELETE", &revoke, None).is(200);
        let revoked = Instant::now();
        while !tail.is_finished() && revoked.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let event = json!({"event_type": "Noted", "payload": {"note": "after"}});
        let append = json!({"stream_type": "note", "expected_version": "any", "events": [event]});
        guarded.api(&app, "POST", "/streams/note-1/events", &append);
        (revoked, tail.join().unwrap(), poll.join().unwrap(), other.join().unwrap())
    });
    let (ended, tail) = tail;
    for ended in [ended, poll.0] {
        assert!(ended < revoked + Duration::from_secs(4), "{:?}", ended.duration_since(revoked));
    }
    let parts: Vec<_> = tail.text.trim_end().split("\n\n").collect();
    let last = parts.last().unwrap();
    assert!(tail.text.contains("before") && parts.len() == 3, "{}", tail.text);
    assert!(last.starts_with("event: problem") && last.contains("unauthenticated"), "{last}");
    assert_eq!(poll.1.refused(401, "unauthenticated")["ended"], "Revoked");

    let (ended, other) = other;
    assert!(ended + Duration::from_millis(200) > expires, "another key's end is not its own");
    assert!(other.text.contains("after") && other.text.contains("Expired"), "{}", other.text);
}

#[test]
fn what_belongs_to_no_tenant_is_nobodys_to_read_as_one() {
    let guarded = Guarded::start();
    let everybody = guarded.key_of("ida", &["operator", "platform"], None);
    let none = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    let named = [("X-Tenant-ID", none)];
    let scenario = order_flow();
    guarded
        .send_with(&everybody, "POST", "/api/v1/scenarios", Some(&scenario), &named)
        .refused(403, "tenant_mismatch");
    for path in [
        format!("/api/v1/tenants/{none}/audit"),
        format!("/console/tenants/{none}/audit"),
        format!("/console/tenants/%66{}/audit", &none[1..]),
        format!("/console/decided?tenant={none}"),
        format!("/console/decided?tenant={none}&about=key"),
    ] {
        assert_eq!(guarded.send(&everybody, "GET", &path, None).status, 403, "{path}");
    }
    let body = json!({"name": "x", "roles": ["app"], "tenant_id": none});
    let refused = guarded.send(&guarded.platform, "POST", "/api/v1/keys", Some(&body));
    assert_eq!(refused.refused(400, "invalid_request")["path"], "/tenant_id");
}

#[test]
fn a_key_that_makes_no_sense_is_not_made() {
    let guarded = Guarded::start();
    for (body, path) in [
        (json!({"name": "", "roles": ["app"], "tenant_id": Uuid::new_v4()}), "/name"),
        (json!({"name": "x", "roles": []}), "/roles"),
        (json!({"name": "x", "roles": ["app"]}), "/tenant_id"),
        (json!({"name": "x", "roles": ["platform"], "tenant_id": Uuid::new_v4()}), "/tenant_id"),
        (
            json!({"name": "x", "roles": ["operator"], "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at",
        ),
    ] {
        let answer = guarded.send(&guarded.platform, "POST", "/api/v1/keys", Some(&body));
        assert_eq!(answer.refused(400, "invalid_request")["path"], path, "{body}");
    }
    let unknown = json!({"name": "x", "roles": ["god"]});
    guarded
        .send(&guarded.platform, "POST", "/api/v1/keys", Some(&unknown))
        .refused(400, "invalid_body");
    let nobody = format!("/api/v1/keys/{}", Uuid::new_v4());
    guarded.send(&guarded.platform, "DELETE", &nobody, None).refused(404, "key_not_found");
}

#[test]
fn a_key_that_comes_too_often_is_told_when_to_come_back() {
    let guarded = Guarded::start();
    let slow = json!({"name": "slow", "roles": ["operator"], "requests_per_second": 2});
    let (slow, _) = guarded.key(&slow);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = guarded.send(&slow, "GET", "/api/v1/stores", None);
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"));
            let details = answer.refused(429, "rate_limited");
            assert_eq!(details["requests_per_second"], 2);
            assert!(details["wait_ms"].as_u64().unwrap() <= 500);
            statuses.push(429);
        } else {
            statuses.push(answer.status);
        }
    }
    assert_eq!(&statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    guarded.send(&guarded.platform, "GET", "/api/v1/stores", None).is(200);
}

#[test]
fn many_requests_at_once_with_a_key_that_was_never_seen_are_all_let_in() {
    let guarded = Guarded::start();
    let (key, _) = guarded.key(&json!({"name": "busy", "roles": ["operator"]}));
    std::thread::scope(|scope| {
        let asking = |_| scope.spawn(|| guarded.send(&key, "GET", "/api/v1/stores", None).status);
        let asked: Vec<_> = (0..24).map(asking).collect();
        let statuses: Vec<_> = asked.into_iter().map(|asked| asked.join().unwrap()).collect();
        assert_eq!(statuses, [200; 24]);
    });
    let wrong = format!("{}{}", &key[..key.len() - 4], "0000");
    let tried = (0..12).map(|_| guarded.send(&wrong, "GET", "/api/v1/stores", None).status);
    let tried: Vec<_> = tried.collect();
    assert!(tried.contains(&401) && tried.iter().all(|status| [401, 429].contains(status)));
    guarded.send(&key, "GET", "/api/v1/stores", None).is(200);
}

#[test]
fn a_secret_is_in_no_log_and_no_file() {
    let mut guarded = Guarded::start();
    let (key, _) = guarded.key(&json!({"name": "olga", "roles": ["operator"]}));
    guarded.send(&key, "GET", "/api/v1/stores", None).is(200);
    guarded.send(&format!("{}0", &key[..key.len() - 1]), "GET", "/api/v1/stores", None);
    assert!(guarded.server.terminate().success());
    let secrets = [&key, &guarded.platform].map(|key| key.rsplit('_').next().unwrap().to_owned());
    let mut read = 0;
    let mut folders = vec![guarded.server.dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for secret in &secrets {
                assert!(!text.contains(&**secret), "{}", path.display());
            }
            read += 1;
        }
    }
    assert!(read >= 3, "{read}");
}

#[test]
fn who_made_a_plan_cannot_approve_it_where_four_eyes_are_wanted() {
    let guarded = Guarded::with("[scenario_migration.deployment]\nfour_eyes = true\n");
    let tenant = Uuid::new_v4();
    let app = guarded.key_of("app", &["app"], Some(tenant));
    let [olga, ida, uwe] =
        ["olga", "ida", "uwe"].map(|name| guarded.key_of(name, &["operator"], Some(tenant)));
    let furnished = furnish(&guarded, &app, &olga);
    let at = |step: &str| format!("/api/v1/migration-plans/{}/{step}", furnished.plan);
    // Another name with the same key is the same person.
    let as_ida = json!({"approved_by": "ida"});
    guarded.send(&olga, "POST", &at("approve"), Some(&as_ida)).refused(403, "four_eyes");

    let plan = format!("/api/v1/migration-plans/{}", furnished.plan);
    let plan = guarded.send(&uwe, "GET", &plan, None).is(200);
    let anchor = &plan["transformation_map"]["anchors"][0];
    let key = anchor["anchor_content_hash"].as_str().or(anchor["anchor_key"].as_str());
    let key = key.unwrap_or_else(|| panic!("{anchor}")).to_owned();
    let policies = json!({"policies": {key: {"update_downstream": false}}});
    guarded.send(&uwe, "PUT", &at("policies"), Some(&policies)).is(200);
    guarded.send(&uwe, "POST", &at("approve"), None).refused(403, "four_eyes");

    let approved = guarded.send(&ida, "POST", &at("approve"), None).is(200);
    assert_eq!(approved["approved_by"], "ida", "{approved}");
    guarded.send(&olga, "POST", &at("deploy"), None).is(200);
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let server = Server::start();
    let tenant = Uuid::new_v4().to_string();
    let post = |more: &[(&str, &str)]| {
        let mut headers = vec![("X-Tenant-ID", &*tenant), ("Content-Type", "application/json")];
        headers.extend_from_slice(more);
        server.send("POST", "/api/v1/scenarios", &headers, order_flow().to_string().as_bytes())
    };
    for page in [
        &[("Origin", "https://evil.example")][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "http://127.0.0.1:1")],
    ] {
        post(page).refused(403, "cross_origin");
    }
    // A name that somebody made to point here.
    post(&[("Host", "evil.example")]).refused(403, "cross_origin");
    post(&[("Sec-Fetch-Site", "same-origin")]).is(201);
}

#[test]
fn a_session_of_the_console_is_opened_with_a_key_and_carried_by_a_cookie() {
    let outside = "https://segue.example.com";
    let guarded = Guarded::with(&format!("public_url = \"{outside}\"\n"));
    let key = guarded.key_of("olga", &["platform"], None);
    let post = |path: &str, more: &[(&str, &str)], body: &str| {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let headers = [&[form, ("Origin", outside)], more].concat();
        guarded.server.send("POST", path, &headers, body.as_bytes())
    };
    let login = || post("/console/login", &[], &format!("key={key}&next=/console/stores"));
    let entered = login();
    assert_eq!(
        (entered.status, &entered.headers["location"]),
        (303, &"/console/stores".parse().unwrap())
    );
    let cookie = entered.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-segue_console=") && cookie.contains("; Secure"), "{cookie}");
    let token = cookie.split(';').next().unwrap().to_owned();

    let look =
        |more: &[(&str, &str)]| guarded.server.send("GET", "/console/stores", more, b"").status;
    assert_eq!(look(&[]), 303, "to the login");
    assert_eq!(look(&[("Cookie", &token)]), 200);
    // A proxy that asks for something of its own passes it on.
    for of_proxy in ["Basic b2xnYTpzZWNyZXQ=", "Bearer eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(look(&[("Cookie", &token), ("Authorization", of_proxy)]), 200, "{of_proxy}");
    }
    let planted = token.replace("__Host-", "");
    assert_eq!(look(&[("Cookie", &planted)]), 303, "any host may set that name");

    let statuses: Vec<_> = (0..12).map(|_| login().status).collect();
    assert!(statuses.contains(&429), "sessions are not opened without end: {statuses:?}");

    assert_eq!(post("/console/logout", &[("Cookie", &token)], "").status, 303);
    assert_eq!(look(&[("Cookie", &token)]), 303, "it is over");
}

#[test]
fn the_pages_of_keys_are_the_platforms_and_who_ends_their_own_key_is_logged_out() {
    let guarded = Guarded::start();
    let post = |cookie: &str, path: &str, body: &str| {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let headers = [form, ("Origin", &guarded.server.url), ("Cookie", cookie)];
        guarded.server.send("POST", path, &headers, body.as_bytes())
    };
    let get =
        |cookie: &str, path: &str| guarded.server.send("GET", path, &[("Cookie", cookie)], b"");
    let enter = |key: &str| {
        let entered = post("", "/console/login", &format!("key={key}"));
        assert_eq!(entered.status, 303, "{}", entered.text);
        let cookie = entered.headers["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    };
    let wanted = json!({"name": "olga", "roles": ["platform"]});
    let (key, id) = guarded.key(&wanted);
    let page = format!("/console/keys/{id}");
    let begins_with = |key: &str| key.rsplit_once('_').unwrap().0.to_owned();

    for (name, tenant) in [("ida", None), ("tom", Some(uuid::Uuid::new_v4()))] {
        let cookie = enter(&guarded.key_of(name, &["operator"], tenant));
        for path in ["/console/keys", "/console/keys/new", &page] {
            assert_eq!(get(&cookie, path).status, 403, "{name} {path}");
        }
        let revoke = format!("confirmation={}", begins_with(&key));
        for (path, body) in [
            ("/console/keys/new", "name=x&roles=platform"),
            (&format!("{page}/rotate"), "overlap=0"),
            (&format!("{page}/revoke"), &revoke),
        ] {
            assert_eq!(post(&cookie, path, body).status, 403, "{name} {path}");
        }
        let own = match tenant {
            Some(tenant) => format!("/console/tenants/{tenant}/scenarios"),
            None => "/console/stores".to_owned(),
        };
        let shown = get(&cookie, &own);
        assert!(shown.status == 200 && !shown.text.contains("/console/keys"), "{}", shown.text);
    }

    let cookie = enter(&key);
    assert!(get(&cookie, "/console/stores").text.contains("href=\"/console/keys\""));
    let rotated = post(&cookie, &format!("{page}/rotate"), "overlap=0");
    assert_eq!(rotated.status, 201, "{}", rotated.text);
    let (_, new) = rotated.text.split_once("<pre class=\"secret\">").unwrap();
    let new = new.split_once('<').unwrap().0;
    assert_eq!(get(&cookie, "/console/keys").status, 303, "to the login");

    let cookie = enter(new);
    let keys = guarded.send(new, "GET", "/api/v1/keys", None).is(200);
    let id = keys["keys"][0]["key_id"].as_str().unwrap();
    let revoke = format!("confirmation={}", begins_with(new));
    assert_eq!(post(&cookie, &format!("/console/keys/{id}/revoke"), &revoke).status, 303);
    assert_eq!(get(&cookie, "/console/keys").status, 303, "to the login");
    let audit = format!("/api/v1/keys/{id}/audit");
    let audit = guarded.send(&guarded.platform, "GET", &audit, None).is(200);
    let line = &audit["entries"][0];
    assert_eq!(
        (&line["action"], &line["actor"]),
        (&json!("key_revoked"), &json!("olga")),
        "{audit}"
    );
    assert_eq!(line["details"]["key_id"], id, "{line}");
}

#[test]
fn every_answer_says_how_a_browser_should_treat_it() {
    let server = Server::start();
    for path in ["/healthz", "/api/v1/stores", "/nowhere", "/openapi.json"] {
        let answer = server.send("GET", path, &[], b"");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.headers[name], value, "{path} {name}");
        }
    }
    let docs = server.send("GET", "/docs/", &[], b"");
    let policy = docs.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
}

#[test]
fn the_command_line_takes_its_key_from_the_environment() {
    let guarded = Guarded::start();
    let run = |key: Option<&str>| {
        let mut command = segue(guarded.server.dir.path());
        command.env("SEGUE_URL", &guarded.server.url).args(["key", "list"]);
        command.envs(key.map(|key| ("SEGUE_API_KEY", key)));
        command.output().unwrap()
    };
    let listed = run(Some(&guarded.platform));
    let (text, errors) = printed(&listed);
    assert!(text.contains("root") && text.contains("platform"), "{text}{errors}");
    let refused = run(None);
    assert_eq!(refused.status.code(), Some(13));
    assert!(printed(&refused).1.contains("SEGUE_API_KEY"));
}
