//! What lies in `deploy/` fits the server: alerts and panels ask for metrics and labels that there are, and
//! every alert leads to a section that says what to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "deploy/promql.rs"]
mod promql;
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use promql::{Selector, selectors};
use serde_json::Value;
use support::Server;
use yaml_rust2::{Yaml, YamlLoader};

/// What Prometheus itself makes of every target.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Labels that Prometheus adds.
const ADDED_LABELS: [&str; 2] = ["instance", "job"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

fn yaml(path: &str) -> Yaml {
    YamlLoader::load_from_str(&text(path)).unwrap().remove(0)
}

fn rules() -> Vec<Yaml> {
    let groups = yaml("deploy/prometheus-rules.yml")["groups"].clone();
    groups.into_iter().flat_map(|group| group["rules"].clone()).collect()
}

/// Every expression of a dashboard's panels, and of its variables.
fn expressions(dashboard: &Value, found: &mut Vec<String>) {
    match dashboard {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" => found.push(text.clone()),
                    Value::String(text) if name == "definition" => {
                        let inside = text.strip_prefix("label_values(").unwrap();
                        found.push(inside.split(',').next().unwrap().to_owned());
                    }
                    other => expressions(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The samples that a server renders once it has looked around and answered a request.
fn samples() -> Vec<Selector> {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&support::order_flow());
    let session = tenant.started(&scenario, "whatsapp");
    tenant.turn(&session, &serde_json::json!({ "message": { "text": "hello" } }));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = server.send("GET", "/metrics", &[], b"").text;
        if text.contains("segue_store_up{") {
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            return lines.map(|line| selectors(promql::series_of(line)).remove(0)).collect();
        }
        assert!(Instant::now() < deadline, "nothing is known of the stores:\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is wrong with an expression, if anything is.
fn problem(expression: &str, samples: &[Selector]) -> Option<String> {
    let asked = selectors(expression);
    if asked.is_empty() {
        return Some(format!("no metric in {expression}"));
    }
    asked.into_iter().find_map(|asked| {
        if OF_PROMETHEUS.contains(&asked.metric.as_str()) {
            return None;
        }
        let of_metric: Vec<_> =
            samples.iter().filter(|sample| sample.metric == asked.metric).collect();
        if of_metric.is_empty() {
            return Some(format!("there is no metric {} (in {expression})", asked.metric));
        }
        let mut labels = asked.labels.iter();
        let wrong = labels.find(|(label, wanted)| {
            let has = |sample: &&&Selector| match (sample.labels.get(*label), wanted) {
                (Some(Some(value)), Some(wanted)) => value == wanted,
                (Some(_), _) => true,
                (None, _) => false,
            };
            !ADDED_LABELS.contains(&label.as_str()) && !of_metric.iter().any(|one| has(&one))
        });
        wrong.map(|(label, wanted)| {
            format!("{} has no {label} = {wanted:?} (in {expression})", asked.metric)
        })
    })
}

#[test]
fn every_alert_and_every_panel_asks_for_what_the_server_renders() {
    let samples = samples();
    let mut asked: Vec<String> =
        rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    let alerts = asked.len();
    let dashboard = serde_json::from_str(&text("deploy/grafana-dashboard.json")).unwrap();
    expressions(&dashboard, &mut asked);
    assert!(alerts > 20 && asked.len() > alerts + 30, "{alerts} of {}", asked.len());
    let problems: Vec<String> =
        asked.iter().filter_map(|expression| problem(expression, &samples)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    // The check itself finds what is invented.
    for invented in [
        "rate(segue_dreams_total[5m])",
        "segue_store_up{region=\"north\"}",
        "max(tenant_migrations_active{state=\"asleep\"}) > 0",
        "http_request_duration_seconds_median",
        "sum by (le) (rate(http_request_duration_seconds_bucket{route=\"/never\"}[5m]))",
    ] {
        assert!(problem(invented, &samples).is_some(), "{invented}");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_leads_to_a_section_that_says_what_to_do() {
    let manual = text("docs/operating.md");
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().unwrap().len() > 20, "{name}");
        }
        let anchor = format!("docs/operating.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"].as_str().unwrap(), anchor);
        assert!(names.insert(name.clone()), "{name} is there twice");
        let section = manual.split(&format!("\n### {name}\n")).nth(1).unwrap_or_else(|| {
            panic!("docs/operating.md has no section ### {name}");
        });
        let section = section.split("\n#").next().unwrap();
        assert!(section.trim().len() > 100, "{name} is not explained: {section}");
    }
    let sections = manual.lines().filter_map(|line| line.strip_prefix("### Segue"));
    for section in sections {
        assert!(names.contains(&format!("Segue{section}")), "no alert is called Segue{section}");
    }
}

#[test]
fn the_examples_for_prometheus_and_the_collector_are_yaml_and_fit_together() {
    let prometheus = yaml("deploy/prometheus.yml");
    let job = &prometheus["scrape_configs"][0];
    assert_eq!(job["job_name"].as_str(), Some("segue"), "the alerts ask for this job");
    assert_eq!(job["metrics_path"].as_str(), Some("/metrics"));
    assert_eq!(prometheus["rule_files"][0].as_str(), Some("prometheus-rules.yml"));
    let tests = yaml("deploy/prometheus-rules.test.yml");
    let known: BTreeSet<String> =
        rules().iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    for test in tests["tests"].clone() {
        for case in test["alert_rule_test"].clone() {
            assert!(known.contains(case["alertname"].as_str().unwrap()), "{case:?}");
        }
    }
    let collector = yaml("deploy/otel-collector.yml");
    let endpoint = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].as_str();
    assert_eq!(endpoint, Some("127.0.0.1:4318"));
}
