//! The console in a real browser: what an operator does with mouse and keyboard, through the real binary.
//! Needs Debian's `chromium` and `chromium-driver`; `./test` installs them. Pictures of the pages come to
//! `target/screenshots/`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod guarded;
mod relocation;
mod support;

use browser::{Browser, ENTER, Scripts, TAB};
use guarded::Guarded;
use relocation::{append, append_each, home, server};
use serde_json::{Value, json};
use support::{Server, Tenant, order_flow};
use uuid::Uuid;

/// Version 2 of the quickstart: the age is asked for before the checkout, and minors are turned away.
fn with_age_check() -> Value {
    json!({
        "name": "Order Flow",
        "version": 2,
        "entry_step_id": "welcome",
        "steps": [
            {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "age_check"}]},
            {"id": "age_check", "name": "Age Verification", "collects_profile_fields": ["age"],
             "transitions": [
                {"to_step_id": "rejection", "condition_text": "age < 18", "priority": 10},
                {"to_step_id": "checkout", "condition_text": "age >= 18"}
             ]},
            {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
             "transitions": [{"to_step_id": "confirm"}]},
            {"id": "confirm", "name": "Confirm", "is_terminal": true},
            {"id": "rejection", "name": "Rejection", "is_terminal": true}
        ]
    })
}

/// The last part of a path, without what it asks.
fn last(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

/// A customer who has said hello, and stands at the checkout.
fn customer(tenant: &Tenant<'_>, scenario: &str, name: &str) -> String {
    let start = json!({ "scenario_id": scenario, "channel": "whatsapp", "customer_id": name });
    let session = tenant.post("/sessions", &start).is(201)["id"].as_str().unwrap().to_owned();
    tenant.turn(&session, &json!({ "message": { "text": "Hello!" } }));
    session
}

/// A tenant with a customer at the checkout, and a plan to the new version; answers with the plan's id.
fn planned(tenant: &Tenant<'_>) -> String {
    let scenario = tenant.registered(&order_flow());
    customer(tenant, &scenario, "anna");
    let plan = json!({ "new_scenario": with_age_check(), "created_by": "olga" });
    let plan = tenant.post(&format!("/scenarios/{scenario}/migration-plan"), &plan).is(201);
    plan["id"].as_str().unwrap().to_owned()
}

/// Registers version 1 by the form, after a mistake; answers with the scenario's id.
fn registers(browser: &Browser, tenant: &Tenant<'_>) -> String {
    browser.open(&tenant.console("/scenarios"));
    browser.picture("scenarios-empty");
    browser.open(&tenant.console("/scenarios/new"));
    browser.fill("document", "{\"name\": \"Order Flow\"}");
    browser.press("Register");
    browser.sees("missing field `steps`");
    browser.picture("register-refused");
    browser.fill("document", &order_flow().to_string());
    browser.press("Register");
    browser.sees("The scenario is registered.");
    last(&browser.path())
}

/// Makes a plan to version 2 by the form; answers with its id.
fn plans(browser: &Browser, tenant: &Tenant<'_>, scenario: &str) -> String {
    browser.open(&tenant.console(&format!("/scenarios/{scenario}/new-version")));
    assert!(browser.value("document").contains("\"checkout\""), "it begins with what is there");
    browser.fill("document", &with_age_check().to_string());
    browser.press("Compare and plan");
    browser.sees("The plan is ready for review.");
    browser.sees("Age Verification");
    browser.picture("plan");
    last(&browser.path())
}

/// Says whom the plan is for, after a mistake; begins on the plan's page.
fn sets_a_policy(browser: &Browser) {
    browser.follow("Checkout");
    browser.sees("Sessions here move to the new version");
    browser.picture("anchor");
    browser.fill("include_channels", "whatsapp");
    browser.fill("max_session_age_days", "thirty");
    browser.press("Save the policy");
    browser.sees("“thirty” is not a number of days.");
    browser.fill("max_session_age_days", "30");
    browser.press("Save the policy");
    browser.sees("The policy is saved.");
}

/// Approves and deploys the plan, after a mistake.
fn decides(browser: &Browser, tenant: &Tenant<'_>, plan: &str) {
    browser.open(&tenant.console(&format!("/plans/{plan}")));
    browser.sees("only whatsapp; 30 days old or less");
    browser.press("Approve");
    browser.sees("The plan is approved.");
    browser.fill("confirmation", "Other Flow");
    browser.press("Deploy");
    browser.sees("Type “Order Flow” to confirm; nothing was changed.");
    browser.picture("plan-deploy-refused");
    browser.fill("confirmation", "Order Flow");
    browser.press("Deploy");
    browser.sees("The plan is deployed.");
    assert!(browser.path().contains("/deployment"), "{}", browser.path());
}

#[test]
fn a_scenario_is_changed_under_a_customer_by_mouse() {
    let server = Server::start();
    let tenant = server.tenant();
    let age = json!({ "value_type": "integer", "collection_prompt": "What is your age?" });
    tenant.put("/fields/age", &age).is(200);
    let browser = Browser::at(&server.url);

    let scenario = registers(&browser, &tenant);
    let [anna, bert] = ["anna", "bert"].map(|name| customer(&tenant, &scenario, name));
    tenant.patch("/customers/bert/profile", &json!({ "fields": { "age": 34 } })).is(200);
    browser.open(&tenant.console(&format!("/scenarios/{scenario}")));
    browser.picture("scenario");

    let plan = plans(&browser, &tenant, &scenario);
    sets_a_policy(&browser);
    decides(&browser, &tenant, &plan);
    browser.sees("0 migrated, 2 still to come");

    browser.script("window.wasNotReloaded = true");
    let back = json!({ "message": { "text": "I am back" } });
    let asked = tenant.turn(&anna, &back);
    assert_eq!(asked["reconciliation"]["action"], "collect", "{asked}");
    tenant.turn(&bert, &back);
    browser.sees("1 migrated, 1 still to come");
    tenant.turn(&anna, &json!({ "fields": { "age": 41 } }));
    browser.sees("2 migrated, 0 still to come");
    assert_eq!(browser.script("return window.wasNotReloaded"), true, "it refreshed by itself");
    browser.picture("deployment");

    browser.open(&tenant.console(&format!("/sessions/{anna}")));
    browser.sees("The migration waits");
    browser.sees("Migrated from version 1 to 2");
    browser.picture("session");
    browser.open(&tenant.console("/sessions"));
    browser.picture("sessions");
    browser.open(&tenant.console("/plans"));
    browser.picture("plans");
    browser.open(&tenant.console("/audit"));
    browser.sees("operator");
    browser.picture("audit");
    browser.has_no_complaint(&["status of 400", "status of 422"]);
}

#[test]
fn a_tenant_is_moved_there_and_back_by_mouse() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 1_200);
    append_each(&tenant, "more", 20);
    let browser = Browser::at(&server.url);
    browser.open("/console");
    browser.sees(&tenant.id.to_string());
    browser.picture("overview");
    browser.follow(&tenant.id.to_string());
    browser.picture("tenant");
    browser.follow("Move it…");
    browser.press("Dry run");
    browser.sees("What would happen");
    browser.picture("move-dry-run");
    assert_eq!(home(&tenant)["migration_id"], Value::Null, "nothing has begun");

    browser.press("Start the move to dedicated");
    browser.sees("Cut over…");
    let there = browser.path().split('?').next().unwrap().to_owned();
    browser.script("window.wasNotReloaded = true");
    append(&tenant, "while-it-moves", 30);
    browser.sees("1,250");
    assert_eq!(browser.script("return window.wasNotReloaded"), true, "it refreshed by itself");
    browser.picture("move-following");

    browser.unfold("Verify…");
    browser.press("Verify");
    browser.sees("Consistent");
    browser.unfold("Cut over…");
    browser.fill("target", "shared");
    browser.press("Cut over");
    browser.sees("Type dedicated here; nothing was done.");
    browser.fill("target", "dedicated");
    browser.press("Cut over");
    browser.sees("Go back…");
    assert_eq!(home(&tenant)["store_id"], "dedicated");
    browser.picture("move-migrated");

    browser.unfold("Go back…");
    browser.fill("source", "shared");
    browser.press("Go back");
    browser.sees("This is the way back");
    browser.sees("Cut over…");
    assert_ne!(browser.path().split('?').next().unwrap(), there, "a move of its own");
    browser.unfold("Cut over…");
    browser.fill("target", "shared");
    browser.press("Cut over");
    browser.sees("Go back…");
    assert_eq!(home(&tenant)["store_id"], "shared");
    for (path, name) in [
        ("/console/moves", "moves"),
        ("/console/stores", "stores"),
        ("/console/tenants", "tenants"),
        ("/console/decided", "decided"),
    ] {
        browser.open(path);
        browser.picture(name);
    }
    browser.has_no_complaint(&["status of 400"]);
}

#[test]
fn a_key_opens_what_it_is_for_and_nothing_else() {
    let guarded = Guarded::start();
    let (own, other) = (Uuid::new_v4(), Uuid::new_v4());
    let (key, id) =
        guarded.key(&json!({ "name": "olga", "roles": ["operator"], "tenant_id": own }));
    let scenario = guarded.api(&key, "POST", "/scenarios", &order_flow());
    let scenario = scenario["id"].as_str().unwrap().to_owned();
    let plan = json!({ "new_scenario": with_age_check() });
    let plan = guarded.api(&key, "POST", &format!("/scenarios/{scenario}/migration-plan"), &plan);
    let plan = format!("/console/tenants/{own}/plans/{}", plan["id"].as_str().unwrap());

    let browser = Browser::at(&guarded.server.url);
    for page in [&*plan, "/console", "/console/moves"] {
        browser.open(page);
        browser.sees("Log in");
        assert!(browser.path().starts_with("/console/login"), "{}", browser.path());
    }
    browser.picture("login");
    browser.open(&plan);
    browser.fill("key", "segue_nonsense");
    browser.press("Log in");
    browser.sees("That did not open it");
    browser.picture("login-refused");
    browser.fill("key", &key);
    browser.press("Log in");
    browser.sees("Acting as olga");
    assert!(browser.path().starts_with(&plan), "{}", browser.path());
    browser.sees_not("Platform");
    browser.picture("logged-in");
    browser.press("Approve");
    browser.sees("approved by olga");

    browser.open("/console");
    assert_eq!(browser.path(), format!("/console/tenants/{own}/scenarios"), "its own tenant");
    browser.open(&format!("/console/tenants/{other}/scenarios"));
    browser.sees("Not allowed");
    browser.picture("not-allowed");
    browser.open("/console/stores");
    browser.sees("Not allowed");

    browser.open(&plan);
    browser.press("Log out");
    browser.sees("API key");
    browser.open(&plan);
    browser.sees("API key");
    browser.fill("key", &key);
    browser.press("Log in");
    browser.sees("Acting as olga");
    let revoke = format!("/api/v1/keys/{id}");
    guarded.send(&guarded.platform, "DELETE", &revoke, None).is(200);
    browser.open(&plan);
    browser.sees("API key");
    browser.has_no_complaint(&["status of 401", "status of 403"]);
}

/// Whether something visible says where the keyboard is.
const IS_MARKED: &str = "const style = getComputedStyle(document.activeElement); \
                         return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2";

#[test]
fn a_plan_is_approved_with_the_keyboard_alone() {
    let server = Server::start();
    let tenant = server.tenant();
    let plan = planned(&tenant);
    let browser = Browser::at(&server.url);
    browser.open(&tenant.console(&format!("/plans/{plan}")));
    browser.key(TAB);
    let focused = || browser.script("return document.activeElement.textContent.trim()");
    assert_eq!(focused(), "To the content");
    assert_eq!(browser.script(IS_MARKED), true, "the focus is seen");
    assert_eq!(
        browser.script("return document.activeElement.getBoundingClientRect().top >= 0"),
        true,
        "the link comes into sight"
    );
    browser.key(ENTER);
    assert_eq!(browser.script("return document.activeElement.id"), "main");
    let mut passed = 0;
    while focused() != "Approve" {
        browser.key(TAB);
        passed += 1;
        assert!(passed < 100, "there is no way to Approve");
        assert_eq!(browser.script(IS_MARKED), true, "the focus is seen on {}", focused());
    }
    browser.key(ENTER);
    browser.sees("The plan is approved.");
    browser.has_no_complaint(&[]);
}

#[test]
fn a_plan_is_approved_without_javascript() {
    let server = Server::start();
    let tenant = server.tenant();
    let plan = planned(&tenant);
    let with_scripts = Browser::at(&server.url);
    let browser = Browser::with(&server.url, Scripts::Off);
    for (browser, htmx) in [(&with_scripts, "object"), (&browser, "undefined")] {
        browser.open(&tenant.console(&format!("/plans/{plan}")));
        assert_eq!(browser.script("return typeof window.htmx"), htmx);
    }
    browser.press("Approve");
    browser.sees("The plan is approved.");
    browser.fill("confirmation", "Order Flow");
    browser.press("Deploy");
    browser.sees("The plan is deployed.");
    browser.sees("Still to come");
    browser.has_no_complaint(&[]);
}
