//! Scenarios are deployed and sessions migrate just in time, over HTTP, while their tenant moves back and forth
//! between two stores the whole time: every answer is the one that a tenant gets that stays where it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod orders;
mod relocation;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use relocation::{ask, home, operator, server, start, until, until_state};
use segue_store::dice::Dice;
use serde_json::{Value, json};
use support::{Server, Tenant};
use uuid::Uuid;

/// How many cutovers a situation must have seen.
const CUTOVERS: usize = 3;
/// The longest pause between two requests, so that they meet all phases of a move.
const LONGEST_PAUSE_MS: u64 = 120;

/// What a tenant was asked and answered, without what is different each time.
struct Told<'a> {
    tenant: Tenant<'a>,
    /// Decides how long it rests before each request, where it does.
    pace: Option<Dice>,
    ids: Vec<String>,
    answers: Vec<String>,
}

impl<'a> Told<'a> {
    fn new(server: &'a Server, pace: Option<Dice>) -> Self {
        Self { tenant: server.tenant(), pace, ids: Vec::new(), answers: Vec::new() }
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        self.ask_with(method, path, &[], body)
    }

    fn ask_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Value {
        if let Some(dice) = &mut self.pace {
            std::thread::sleep(Duration::from_millis(dice.below(LONGEST_PAUSE_MS)));
        }
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.tenant.send(method, path, &headers, text.as_bytes());
        let (status, body) = (answer.status, answer.json());
        let mut same = body.clone();
        self.leave_out(&mut same);
        let mut path = Value::from(path);
        self.leave_out(&mut path);
        self.answers.push(format!("{method} {path} -> {status} {same:#}"));
        body
    }

    fn get(&mut self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null)
    }

    /// Puts numbers for ids, in the order in which they were seen, and nothing for moments.
    fn leave_out(&mut self, value: &mut Value) {
        match value {
            Value::String(text) if text.parse::<Timestamp>().is_ok() => {
                *text = "a moment".to_owned()
            }
            Value::String(text) => self.leave_out_ids(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.leave_out(value)),
            Value::Object(fields) => {
                // Cursors are made of ids and moments.
                fields.retain(|name, _| name != "next_cursor" && name != "duration_ms");
                fields.values_mut().for_each(|value| self.leave_out(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn leave_out_ids(&mut self, text: &mut String) {
        const LENGTH: usize = 36;
        let mut at = 0;
        while let Some(part) = text.get(at..at + LENGTH) {
            if Uuid::parse_str(part).is_err() {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            let number = self.ids.iter().position(|id| id == part).unwrap_or_else(|| {
                self.ids.push(part.to_owned());
                self.ids.len() - 1
            });
            text.replace_range(at..at + LENGTH, &format!("#{number}"));
        }
    }
}

/// What customers and operators do.
impl Told<'_> {
    fn registers(&mut self) {
        self.ask("POST", "/scenarios", &orders::document(1));
    }

    fn starts(&mut self, channel: &str, customer: Option<&str>) -> String {
        let body = json!({"scenario_id": orders::ID, "channel": channel, "customer_id": customer});
        self.ask("POST", "/sessions", &body)["id"].as_str().unwrap().to_owned()
    }

    fn turns(&mut self, session: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/sessions/{session}/turns"), body)
    }

    /// A session that chose a product.
    fn at_checkout(&mut self, channel: &str, customer: Option<&str>) -> String {
        let session = self.starts(channel, customer);
        self.turns(&session, &json!({"fields": {"product": "shoes"}}));
        session
    }

    fn plans(&mut self, version: u64) -> Value {
        let path = format!("/scenarios/{}/migration-plan", orders::ID);
        self.ask("POST", &path, &json!({"new_scenario": orders::document(version)}))
    }

    fn deploys(&mut self, plan: &Value) -> String {
        let path = format!("/migration-plans/{}", plan["id"].as_str().unwrap());
        self.ask("POST", &format!("{path}/approve"), &json!({"approved_by": "ann"}));
        self.ask("POST", &format!("{path}/deploy"), &Value::Null);
        path
    }

    /// Reads everything that there is to read of it in the end.
    fn looks_back(&mut self, plans: &[String], sessions: &[String]) {
        for plan in plans {
            self.get(plan);
            self.get(&format!("{plan}/deployment-status"));
            self.get(&format!("{plan}/applications"));
        }
        for session in sessions {
            self.get(&format!("/sessions/{session}"));
            self.get(&format!("/sessions/{session}/events"));
        }
        self.get("/sessions");
        self.get("/sessions?pending=true");
        self.get("/events?limit=1000");
    }
}

/// Lives a situation twice, at rest and on the move, and compares every answer.
#[track_caller]
fn is_the_same_on_the_move(situation: fn(&mut Told<'_>)) {
    let server = server();
    let mut at_rest = Told::new(&server, None);
    situation(&mut at_rest);

    let mut on_the_move = Told::new(&server, Some(Dice(at_rest.answers.len() as u64)));
    let (tenant, is_over) = (on_the_move.tenant.id, AtomicBool::new(false));
    let cutovers = std::thread::scope(|scope| {
        let mover = scope.spawn(|| move_about(&Tenant { server: &server, id: tenant }, &is_over));
        // However the situation ends, the mover ends as well.
        let over = Over(&is_over);
        situation(&mut on_the_move);
        drop(over);
        mover.join().unwrap()
    });
    for (at_rest, on_the_move) in at_rest.answers.iter().zip(&on_the_move.answers) {
        assert_eq!(at_rest, on_the_move);
    }
    assert_eq!(at_rest.answers.len(), on_the_move.answers.len());
    println!("{} answers, {cutovers} cutovers", at_rest.answers.len());
    assert!(cutovers >= CUTOVERS, "{cutovers}");
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Moves a tenant to the other store and back, and now and then for good, until it is over. Answers with the
/// number of cutovers that were made before that.
fn move_about(tenant: &Tenant<'_>, is_over: &AtomicBool) -> usize {
    let server = tenant.server;
    let place = json!({"store_id": "shared"});
    operator(server, "PUT", &format!("/tenants/{}", tenant.id), &place).is(200);
    for cutovers in 0.. {
        let last = home(tenant);
        let id = match last["migration_id"].as_str() {
            Some(id) if cutovers % 3 > 0 => ask(server, id, "reverse", &Value::Null).is(201),
            may_be_finished => {
                if let Some(id) = may_be_finished {
                    ask(server, id, "finish", &json!({"now": true})).is(200);
                    until(server, id, "it is over", |migration| migration["is_active"] == false);
                }
                let target = if last["store_id"] == "shared" { "dedicated" } else { "shared" };
                let auto = json!({"auto_cutover": true});
                start(tenant, &json!({"target_store_id": target, "config": auto})).is(201)
            }
        };
        until_state(server, id["id"].as_str().unwrap(), "migrated");
        if is_over.load(Ordering::SeqCst) {
            return cutovers;
        }
    }
    unreachable!("cutovers are counted for ever")
}

#[test]
fn clean_graft_gap_fill_and_re_route() {
    is_the_same_on_the_move(|told| {
        told.registers();
        let adult = told.at_checkout("whatsapp", None);
        let minor = told.at_checkout("web", None);
        let asked = told.at_checkout("web", None);
        let welcome = told.starts("web", None);
        let plan = told.plans(2);
        let plan = told.deploys(&plan);
        let filled = told.turns(&adult, &json!({"fields": {"age": 30}}));
        assert_eq!(filled["reconciliation"]["action"], "teleport", "{filled:#}");
        let turned_away = told.turns(&minor, &json!({"fields": {"age": 17}}));
        assert_eq!(turned_away["reconciliation"]["migration_scenario"], "re_route");
        let collects = told.turns(&asked, &json!({"message": {"text": "And my order?"}}));
        assert_eq!(collects["reconciliation"]["action"], "collect");
        let grafted = told.turns(&welcome, &json!({}));
        assert_eq!(grafted["reconciliation"]["migration_scenario"], "clean_graft");
        told.turns(&asked, &json!({"message": {"text": "I am 41 years old"}}));
        told.turns(&asked, &json!({"fields": {"age": 41}}));
        told.looks_back(&[plan], &[adult, minor, asked, welcome]);
    });
}

#[test]
fn a_checkpoint_blocks_and_a_plan_is_withdrawn() {
    is_the_same_on_the_move(|told| {
        told.registers();
        let paid = told.at_checkout("web", None);
        told.turns(&paid, &json!({"fields": {"address": "Rue 1", "card": "4", "age": 17}}));
        let waits = told.at_checkout("web", None);
        let plan = told.plans(2);
        let plan = told.deploys(&plan);
        let blocked = told.turns(&paid, &json!({}));
        assert_eq!(blocked["reconciliation"]["blocked_by_checkpoint"], true, "{blocked:#}");
        told.turns(&paid, &json!({}));
        told.ask("POST", &format!("{plan}/withdraw"), &json!({"withdrawn_by": "ann"}));
        told.turns(&waits, &json!({"fields": {"address": "Rue 2"}}));
        let fresh = told.starts("web", None);
        told.looks_back(&[plan], &[paid, waits, fresh]);
    });
}

#[test]
fn a_dormant_session_goes_through_several_versions_at_once() {
    is_the_same_on_the_move(|told| {
        told.registers();
        let dormant = told.at_checkout("web", None);
        let plans: Vec<_> = [2, 3, 4]
            .map(|version| {
                let plan = told.plans(version);
                told.deploys(&plan)
            })
            .into();
        let arrived = told.turns(&dormant, &json!({"fields": {"age": 40, "country": "FR"}}));
        assert_eq!(arrived["session"]["version"], 4, "{arrived:#}");
        told.looks_back(&plans, &[dormant]);
    });
}

#[test]
fn a_repeated_turn_is_not_a_second_one_and_a_profile_is_shared() {
    is_the_same_on_the_move(|told| {
        told.registers();
        let first = told.starts("web", Some("ann"));
        let path = format!("/sessions/{first}/turns");
        let (key, body) = ([("Idempotency-Key", "k1")], json!({"fields": {"age": 30}}));
        let answered = told.ask_with("POST", &path, &key, &body);
        let second = told.at_checkout("whatsapp", Some("ann"));
        let again = told.ask_with("POST", &path, &key, &body);
        assert_eq!(again, answered);
        let plan = told.plans(2);
        let plan = told.deploys(&plan);
        let moved = told.turns(&second, &json!({}));
        assert_eq!(moved["session"]["version"], 2, "{moved:#}");
        assert_eq!(told.ask_with("POST", &path, &key, &body), answered, "also after a deploy");
        told.ask("PATCH", "/customers/ann/profile", &json!({"fields": {"age": 31}}));
        told.get("/customers/ann/profile");
        told.looks_back(&[plan], &[first, second]);
    });
}

#[test]
fn sessions_out_of_scope_stay_undisturbed() {
    is_the_same_on_the_move(|told| {
        told.registers();
        let on_web = told.at_checkout("web", None);
        let on_whatsapp = told.at_checkout("whatsapp", None);
        let plan = told.plans(2);
        let anchors = plan["transformation_map"]["anchors"].as_array().unwrap();
        let checkout = anchors.iter().find(|anchor| anchor["anchor_name"] == "Checkout").unwrap();
        let anchor = checkout["anchor_key"].as_str().unwrap();
        let policy = json!({anchor: {"scope_filter": {"include_channels": ["whatsapp"]}}});
        let path = format!("/migration-plans/{}/policies", plan["id"].as_str().unwrap());
        told.ask("PUT", &path, &json!({"policies": policy}));
        let plan = told.deploys(&plan);
        for session in [&on_web, &on_whatsapp] {
            told.turns(session, &json!({"fields": {"address": "Rue 2", "age": 40}}));
        }
        told.looks_back(&[plan], &[on_web, on_whatsapp]);
    });
}
