//! The command line, as people and scripts use it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Server, Tenant, order_flow, printed, segue};

fn json_of(tenant: &Tenant<'_>, arguments: &[&str]) -> Value {
    let output = tenant.cli(&[arguments, &["--json"]].concat());
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn text_of(tenant: &Tenant<'_>, arguments: &[&str]) -> String {
    let output = tenant.cli(arguments);
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert!(!stdout.contains('\u{1b}'), "no colours where nobody can see them");
    stdout
}

fn write(server: &Server, name: &str, value: &Value) {
    std::fs::write(server.dir.path().join(name), value.to_string()).unwrap();
}

fn second_version() -> Value {
    let mut scenario = order_flow();
    scenario["version"] = 2.into();
    scenario["steps"][0]["transitions"] = json!([{"to_step_id": "age_check"}]);
    let age_check = json!({"id": "age_check", "name": "Age Verification",
        "collects_profile_fields": ["age"], "transitions": [{"to_step_id": "checkout"}]});
    scenario["steps"].as_array_mut().unwrap().push(age_check);
    scenario
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_scenario_is_changed_from_the_command_line_from_end_to_end() {
    let server = Server::start();
    let tenant = server.tenant();
    write(&server, "v1.json", &order_flow());
    write(&server, "v2.json", &second_version());

    let scenario = id(&json_of(&tenant, &["scenario", "register", "v1.json"]));
    text_of(&tenant, &["field", "put", "age", "--type", "integer", "--prompt", "How old are you?"]);
    assert!(text_of(&tenant, &["field", "list"]).contains("How old are you?"));
    let start = ["session", "start", &scenario, "--channel", "web", "--customer", "anna"];
    let session = id(&json_of(&tenant, &start));
    let turn = text_of(&tenant, &["session", "turn", &session, "--message", "Hello!"]);
    assert!(turn.contains("checkout"), "{turn}");

    let plan = id(&json_of(&tenant, &["plan", "generate", &scenario, "v2.json"]));
    let shown = text_of(&tenant, &["plan", "show", &plan]);
    assert!(shown.contains("gap_fill") && shown.contains("Checkout"), "{shown}");
    let listed = text_of(&tenant, &["plan", "list", "--status", "pending"]);
    assert!(listed.contains(&plan), "{listed}");
    let anchor = json_of(&tenant, &["plan", "show", &plan])["transformation_map"]["anchors"][1]
        ["anchor_key"]
        .as_str()
        .unwrap()
        .to_owned();
    text_of(&tenant, &["plan", "show", &plan, "--anchor", &anchor]);
    let picture = text_of(&tenant, &["plan", "show", &plan, "--svg"]);
    assert!(picture.starts_with("<svg") && picture.contains("1 session"), "{picture}");
    write(
        &server,
        "policies.json",
        &json!({anchor: {"scope_filter": {"exclude_channels": ["sms"]}}}),
    );
    text_of(&tenant, &["plan", "policies", &plan, "policies.json"]);
    assert!(text_of(&tenant, &["plan", "approve", &plan, "--by", "olga"]).contains("approved"));
    assert!(text_of(&tenant, &["plan", "deploy", &plan]).contains("1 sessions"));
    assert!(text_of(&tenant, &["session", "list", "--pending"]).contains("to 2 pending"));

    let asked = text_of(&tenant, &["session", "turn", &session, "-m", "I am back"]);
    assert!(asked.contains("collect") && asked.contains("age"), "{asked}");
    let moved = text_of(&tenant, &["session", "turn", &session, "--field", "age=41"]);
    assert!(moved.contains("gap_fill"), "{moved}");
    assert!(text_of(&tenant, &["session", "show", &session]).contains("version    2"));
    assert!(text_of(&tenant, &["session", "events", &session]).contains("MigrationApplied"));
    let applied = text_of(&tenant, &["plan", "applications", &plan]);
    assert!(applied.contains(&session), "{applied}");
    assert_eq!(json_of(&tenant, &["plan", "status", &plan])["migrations_applied"], 1);
    assert!(text_of(&tenant, &["plan", "withdraw", &plan]).contains("withdrawn"));
    assert!(text_of(&tenant, &["scenario", "list"]).contains("1 on 2"));
    assert!(text_of(&tenant, &["scenario", "show", &scenario]).contains("Welcome"));
    assert!(text_of(&tenant, &["scenario", "versions", &scenario]).contains("current"));
}

#[test]
fn the_exit_code_tells_what_went_wrong() {
    let server = Server::start();
    let tenant = server.tenant();
    write(&server, "v1.json", &order_flow());
    write(&server, "v2.json", &second_version());
    write(&server, "empty.json", &json!({"name": "Empty", "entry_step_id": "a", "steps": []}));
    std::fs::write(server.dir.path().join("broken.json"), "{").unwrap();
    let scenario = id(&json_of(&tenant, &["scenario", "register", "v1.json"]));
    let plan = id(&json_of(&tenant, &["plan", "generate", &scenario, "v2.json"]));
    let nobody = uuid::Uuid::new_v4().to_string();

    let code = |arguments: &[&str]| {
        let output = tenant.cli(arguments);
        let (_, stderr) = printed(&output);
        (output.status.code().unwrap(), stderr)
    };
    assert_eq!(code(&["scenario", "register", "broken.json"]).0, 1);
    assert_eq!(code(&["scenario", "register", "nothing.json"]).0, 1);
    assert_eq!(code(&["scenario", "sing"]).0, 2);
    assert_eq!(code(&["scenario", "list", "--url", "http://127.0.0.1:9"]).0, 3);
    assert_eq!(code(&["session", "show", &nobody]).0, 4);
    let (wrong, message) = code(&["scenario", "register", "empty.json"]);
    assert_eq!(wrong, 5);
    assert!(message.contains("/steps"), "every problem is listed: {message}");
    let (conflict, message) = code(&["plan", "deploy", &plan]);
    assert_eq!(conflict, 6);
    assert!(message.contains("invalid_state_transition"), "{message}");
}

fn offline(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = segue(dir).args(arguments).output().unwrap();
    let (stdout, stderr) = printed(&output);
    (output.status.code(), stdout, stderr)
}

#[test]
fn two_versions_are_compared_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("v1.json"), order_flow().to_string()).unwrap();
    std::fs::write(dir.path().join("v2.json"), second_version().to_string()).unwrap();
    let (code, stdout, _) = offline(dir.path(), &["plan", "diff", "v1.json", "v2.json"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("Age Verification") && stdout.contains("gap_fill"), "{stdout}");
    let (_, stdout, _) = offline(dir.path(), &["plan", "diff", "v1.json", "v2.json", "--json"]);
    let map: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(map["new_node_ids"], json!(["age_check"]));

    let (_, picture, _) = offline(dir.path(), &["plan", "diff", "v1.json", "v2.json", "--svg"]);
    assert!(picture.starts_with("<svg") && picture.contains("Age Verification"), "{picture}");
    let (_, graph, _) = offline(dir.path(), &["plan", "diff", "v1.json", "v2.json", "--dot"]);
    assert!(graph.starts_with("digraph") && graph.contains("Age Verification"), "{graph}");

    std::fs::write(dir.path().join("bad.json"), r#"{"name": "x", "steps": []}"#).unwrap();
    let (code, _, stderr) = offline(dir.path(), &["plan", "diff", "v1.json", "bad.json"]);
    assert_eq!(code, Some(5));
    assert!(stderr.contains("invalid_scenario"), "{stderr}");
}

#[test]
fn the_example_case_is_explained_without_a_server() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/case.json");
    let example = example.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = offline(dir.path(), &["plan", "explain", example]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("re_route") && stdout.contains("rejection"), "{stdout}");

    // The same customer, grown up.
    let mut case: Value = serde_json::from_str(&std::fs::read_to_string(example).unwrap()).unwrap();
    case["profile"]["age"] = 34.into();
    std::fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
    let (_, stdout, _) = offline(dir.path(), &["plan", "explain", "case.json", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["reconciliation"]["migration_scenario"], "gap_fill");
    assert_eq!(answer["session"]["step_id"], "checkout");

    case["session"]["step_id"] = "nowhere".into();
    std::fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
    let (code, _, stderr) = offline(dir.path(), &["plan", "explain", "case.json"]);
    assert_eq!(code, Some(5));
    assert!(stderr.contains("v1 has no step nowhere"), "{stderr}");
}

#[test]
fn the_demo_tells_its_whole_story() {
    let dir = tempfile::tempdir().unwrap();
    let (code, story, stderr) = offline(dir.path(), &["demo", "--once"]);
    assert_eq!(code, Some(0), "{stderr}");
    for line in [
        "142",
        "96 sessions are marked",
        "Everything that they ask is known.",
        "how old are you?",
        "to confirm age = 25?",
        "now at rejection, version 2",
        "Cannot migrate past checkpoint",
        "undisturbed on version 1",
        "marked       96",
        "blocked      1",
        "6. The tenant moves to a store of its own",
        ", none failed",
        "both stores, field by field  the same; ",
        "the tenant lives in          own",
    ] {
        assert!(story.contains(line), "{line} is missing in\n{story}");
    }
    let of = |fact: &str| {
        let line = story.lines().find(|line| line.starts_with(fact)).unwrap();
        let number = line[fact.len()..].trim().split([' ', ',']).next().unwrap();
        number.parse::<f64>().unwrap()
    };
    assert!(of("turns answered meanwhile") >= 4.0, "every customer was answered:\n{story}");
    let (turn, pause) = (of("the longest of them took"), of("writes were paused for"));
    assert!(turn > 0.0 && pause > 0.0 && pause < 5_000.0, "{story}");
}
