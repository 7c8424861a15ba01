//! A tenant is moved by the forms of the console, as a browser without JavaScript sends them, through the real
//! binary: a dry run, a move there, a cutover, and the way back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod relocation;
mod support;

use relocation::{
    append, append_each, ask, home, read, server, server_with, slow, started, until, until_state,
};
use serde_json::{Value, json};
use support::{Answer, Server};

/// Opens a page.
fn open(server: &Server, path: &str) -> Answer {
    server.send("GET", path, &[], b"")
}

/// Opens a page that is there.
#[track_caller]
fn page(server: &Server, path: &str) -> String {
    let answer = open(server, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

/// Sends a form, as a browser does, and does not follow where it leads.
fn send(server: &Server, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!(
            "{name}={}&",
            value.replace('%', "%25").replace('&', "%26").replace(' ', "+")
        ));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(30)))
        .build()
        .into();
    let request = agent.post(format!("{}{path}", server.url));
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let mut response = request.send(body.trim_end_matches('&')).unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.body_mut().read_to_string().unwrap() }
}

/// Sends a form that is carried out, and opens the page that it leads to.
#[track_caller]
fn done(server: &Server, path: &str, fields: &[(&str, &str)]) -> (String, String) {
    let answer = send(server, path, fields);
    assert_eq!(answer.status, 303, "{path}: {}", answer.text);
    let next = answer.headers["location"].to_str().unwrap().to_owned();
    let shown = page(server, &next);
    (next, shown)
}

/// The fields that are hidden in the form by which a move is started.
fn hidden(page: &str) -> Vec<(&str, &str)> {
    let inputs = page.split("<input type=\"hidden\" name=\"").skip(1);
    inputs
        .map(|rest| {
            let (name, rest) = rest.split_once('"').unwrap();
            let (_, value) = rest.split_once("value=\"").unwrap();
            (name, value.split_once('"').unwrap().0)
        })
        .collect()
}

fn id_in(path: &str) -> String {
    let id = path.strip_prefix("/console/moves/").unwrap();
    id.split('?').next().unwrap().to_owned()
}

#[test]
fn a_tenant_moves_there_and_back_by_forms_alone() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 1_200);
    tenant.put("/subscriptions/billing", &json!({ "from": 1_000 })).is(201);

    let shown = page(&server, &tenant.console(""));
    assert!(shown.contains("reads and writes go on") && shown.contains("Move it…"), "{shown}");
    let form = page(&server, &tenant.console("/move"));
    assert!(form.contains("value=\"dedicated\" checked"), "{form}");

    let asked = "/move?target=dedicated&verification_level=FULL&sample_percentage=100&cutover_timeout_seconds=5\
                 &sync_lag_threshold=100&keep_way_back=on&source_retention_seconds=60&max_bulk_copy_rate=\
                 &batch_size=500&sync_check_interval=0.02&enable_metrics=on&enable_tracing=on";
    let would = page(&server, &tenant.console(asked));
    assert!(would.contains("What would happen") && would.contains("1,200"), "{would}");
    assert_eq!(home(&tenant)["migration_id"], Value::Null, "nothing has begun");

    let (path, begun) = done(&server, &tenant.console("/move"), &hidden(&would));
    assert!(
        begun.contains("The move has begun") && begun.contains("shared → dedicated"),
        "{begun}"
    );
    let id = id_in(&path);
    let migration = until_state(&server, &id, "dual_write");
    assert_eq!(
        (&migration["created_by"], &migration["config"]["batch_size"]),
        (&json!("operator"), &json!(500))
    );
    assert_eq!(migration["config"]["verification_level"], "FULL");
    let follows = page(&server, &format!("/console/moves/{id}"));
    assert!(
        follows.contains("100 %") && follows.contains("Cut over…") && follows.contains("billing"),
        "{follows}"
    );

    let cutover = format!("/console/moves/{id}/cutover");
    let mistyped = send(&server, &cutover, &[("target", "shared")]);
    assert_eq!(mistyped.status, 400);
    assert!(mistyped.text.contains("Type dedicated here; nothing was done."), "{}", mistyped.text);
    assert_eq!(read(&server, &id, "")["cutover"]["requested"], false);

    let (_, moved) = done(&server, &cutover, &[("target", "dedicated")]);
    until_state(&server, &id, "migrated");
    assert!(moved.contains("The tenant has moved.") || moved.contains("asked for"), "{moved}");
    let moved = page(&server, &format!("/console/moves/{id}"));
    assert!(moved.contains("for a way back") && moved.contains("Writes waited"), "{moved}");
    assert!(page(&server, &tenant.console("")).contains("Lives in store <code>dedicated</code>"));

    let (back, shown) =
        done(&server, &format!("/console/moves/{id}/reverse"), &[("source", "shared")]);
    let back = id_in(&back);
    assert!(back != id && shown.contains("the way back"), "{shown}");
    until_state(&server, &back, "dual_write");
    done(
        &server,
        &format!("/console/moves/{back}/cutover"),
        &[("target", "shared"), ("force", "yes")],
    );
    until_state(&server, &back, "migrated");
    done(&server, &format!("/console/moves/{back}/finish"), &[("now", "yes")]);
    until(&server, &back, "it is over", |migration| migration["is_active"] == false);
    let over = page(&server, &format!("/console/moves/{back}"));
    assert!(over.contains("This move is over") && over.contains("but a tombstone"), "{over}");
    assert_eq!(home(&tenant)["store_id"], "shared");

    let list = page(&server, "/console/moves");
    assert!(list.contains(&id) && list.contains(&back) && list.contains("a way back"), "{list}");
    let record = page(&server, &format!("/console/decided?move={id}"));
    assert!(record.contains("Tenant migrated") && record.contains("Cutover requested"), "{record}");
}

#[test]
fn what_the_server_refuses_is_said_in_words_where_it_was_asked() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 40);
    let id = started(&tenant, &slow());
    until_state(&server, &id, "bulk_copy");

    let early = send(&server, &format!("/console/moves/{id}/cutover"), &[("target", "dedicated")]);
    assert_eq!(early.status, 409);
    assert!(early.text.contains("is bulk_copy and cannot cut over"), "{}", early.text);
    let form = "target=dedicated&batch_size=500&verification_level=HASH&sample_percentage=100\
                &sync_check_interval=1&cutover_timeout_seconds=5&sync_lag_threshold=1&source_retention_seconds=1";
    let again = open(&server, &tenant.console(&format!("/move?{form}")));
    assert_eq!(again.status, 409);
    assert!(
        again.text.contains("wait for that migration, abort it, or finish it")
            || again.text.contains("Wait for that"),
        "{}",
        again.text
    );
    let wrong =
        open(&server, &tenant.console(&format!("/move?{}", form.replace("500", "%3Cscript%3E"))));
    assert_eq!(wrong.status, 400);
    assert!(wrong.text.contains("must be a whole number") && wrong.text.contains("&lt;script&gt;"));

    let long = "x".repeat(10_000);
    let refused = send(&server, &format!("/console/moves/{id}/abort"), &[("reason", &long)]);
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("A reason has at most"), "{}", refused.text);
    let (_, paused) = done(&server, &format!("/console/moves/{id}/pause"), &[]);
    assert!(paused.contains("The copying is paused") && paused.contains("Resume"), "{paused}");
    let twice = send(&server, &format!("/console/moves/{id}/pause"), &[]);
    assert!(twice.status == 409 && twice.text.contains("cannot be paused"), "{}", twice.text);
    done(&server, &format!("/console/moves/{id}/resume"), &[]);
    let (_, aborted) =
        done(&server, &format!("/console/moves/{id}/abort"), &[("reason", "<b>enough</b> of it")]);
    assert!(
        aborted.contains("&lt;b&gt;enough&lt;/b&gt; of it") && !aborted.contains("<b>enough"),
        "{aborted}"
    );
    let nonsense = open(&server, "/console/moves/%3Cscript%3E");
    assert!(nonsense.status == 404 && nonsense.text.contains("No such page"), "{}", nonsense.text);
    let missing = open(&server, "/console/moves/01936a5e-7c1e-7b3a-9d55-2f6e1c0a9b42");
    assert_eq!(missing.status, 404);
    assert!(missing.text.contains("<h1") || missing.text.contains("Not found"), "{}", missing.text);
}

#[test]
fn the_live_part_is_a_fragment_and_sends_to_the_page_when_something_was_decided() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 300);
    let id = started(&tenant, &json!({}));
    until_state(&server, &id, "dual_write");
    let shown = page(&server, &format!("/console/moves/{id}"));
    let live =
        shown.split_once("hx-get=\"").unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
    assert!(live.contains("shown=dual_write-open-0"), "{live}");
    let fragment = open(&server, &live);
    assert!(
        fragment.text.starts_with("<div") && fragment.text.contains("every 1s"),
        "{}",
        fragment.text
    );
    ask(&server, &id, "pause", &Value::Null).is(200);
    let gone = open(&server, &live);
    assert_eq!(gone.headers["hx-redirect"], format!("/console/moves/{id}"));
    assert_eq!(gone.text, "");
    let all = page(&server, &format!("/console/moves/{id}?span=all"));
    assert!(all.contains("All of it") && all.contains("<svg"), "{all}");
}

#[test]
fn a_verification_is_begun_by_a_form_and_its_page_tells_what_came_of_it() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 700);
    let id = started(&tenant, &json!({}));
    until_state(&server, &id, "dual_write");
    let verify = format!("/console/moves/{id}/verify");
    let wrong = send(&server, &verify, &[("level", "FULL"), ("sample_percentage", "0")]);
    assert!(wrong.status == 400 && wrong.text.contains("over 0, up to 100"), "{}", wrong.text);
    done(&server, &verify, &[("level", "FULL"), ("sample_percentage", "50")]);
    until(&server, &id, "it is verified", |migration| !migration["verification"].is_null());
    let shown = page(&server, &format!("/console/moves/{id}/check"));
    assert!(shown.contains("Consistent") && shown.contains("of 50 % of the events"), "{shown}");
    let (_, repairing) = done(&server, &format!("/console/moves/{id}/repair"), &[]);
    assert!(repairing.contains("The repair has begun"), "{repairing}");

    done(&server, &tenant.console("/verify"), &[]);
    let found = waited(&server, &tenant.console("/check"), "read back in");
    assert!(found.contains("700 events") && found.contains("Sound"), "{found}");
}

/// Opens a fragment until it says something.
#[track_caller]
fn waited(server: &Server, path: &str, what: &str) -> String {
    for _ in 0..400 {
        let shown = page(server, path);
        if shown.contains(what) {
            return shown;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("{path} never says {what}: {}", page(server, path));
}

#[test]
fn writes_are_paused_and_let_go_on_by_a_tenants_page() {
    let server = server_with("");
    let tenant = server.tenant();
    append(&tenant, "history", 1);
    let (_, paused) = done(&server, &tenant.console("/pause-writes"), &[]);
    assert!(
        paused.contains("Writes are paused") && paused.contains("Let writes go on"),
        "{paused}"
    );
    assert_eq!(home(&tenant)["state"], "paused");
    let (_, resumed) = done(&server, &tenant.console("/resume-writes"), &[]);
    assert!(resumed.contains("Writes go on.") && resumed.contains("Pause writes"), "{resumed}");
    append(&tenant, "history", 1);
    let record = page(
        &server,
        &format!("/console/decided?tenant={}&about=tenant&action=writes_paused", tenant.id),
    );
    assert!(
        record.contains("Writes paused") && !record.contains("<th scope=\"row\">Writes resumed"),
        "{record}"
    );
    let stores = page(&server, "/console/stores");
    assert!(stores.contains("dedicated") && stores.contains("Healthy"), "{stores}");
    let there = page(&server, "/console/tenants?store=shared");
    assert!(there.contains(&tenant.id.to_string()), "{there}");
    assert!(page(&server, "/console/tenants?store=dedicated").contains("Nobody lives there"));
}
