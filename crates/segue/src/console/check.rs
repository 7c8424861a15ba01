//! Reads a page as a visitor would, for tests: what is open is closed, what is a control has a name, what is a
//! link leads somewhere, and nothing that somebody else wrote is more than text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use maud::Markup;
use segue_core::ids::TenantId;
use tower::ServiceExt;

use crate::auth::Access;
use crate::clock::SystemClock;
use crate::config::{Config, Database, Store};
use crate::http::App;
use crate::http::live::Live;
use crate::stores::Opened;

/// Elements that have no end.
const VOID: &[&str] = &["meta", "link", "input", "br", "hr", "img"];

/// An element as it begins.
#[derive(Debug)]
pub struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    /// The names of the elements around it.
    within: Vec<String>,
}

impl Element {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// The tenant of the samples.
pub fn tenant() -> TenantId {
    "6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10".parse().unwrap()
}

/// A server in memory, with nothing in it.
pub async fn app() -> App {
    let mut config = Config::default();
    config.control.url = Database::Memory;
    config.stores.by_id.values_mut().for_each(|store| *store = Store::Memory);
    let clock = Arc::new(SystemClock);
    let opened = Opened::open(&config, clock.clone()).await.unwrap();
    App {
        access: Access::new(&config, opened.control.clone(), clock.clone()),
        opened: Arc::new(opened),
        clock,
        prometheus: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
        max_body_bytes: 1024 * 1024,
        request_timeout: Duration::from_secs(10),
        stalled_reader_timeout: Duration::from_secs(10),
        live: Live::new(config.server.live_limits()),
        checks: Arc::default(),
    }
}

/// A whole page: a document with a language, a title, landmarks, and links that lead somewhere.
pub async fn page(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>"), "it is no document");
    let elements = fragment(html);
    let drawn = |element: &Element| element.within.iter().any(|around| around == "svg");
    let named = |name: &str| elements.iter().filter(|e| e.name == name && !drawn(e)).count();
    assert_eq!((named("h1"), named("main"), named("title")), (1, 1, 1), "one h1, main and title");
    let html = elements.iter().find(|element| element.name == "html").unwrap();
    assert_eq!(html.get("lang"), Some("en"));
    headings(&elements);
    links(&elements).await;
}

/// A page that was read so, as text.
pub async fn shown(page: Markup) -> String {
    let html = page.into_string();
    self::page(&html).await;
    html
}

/// A part of a page: all that can be said of it alone.
pub fn fragment(html: &str) -> Vec<Element> {
    let elements = elements(html);
    let mut ids = BTreeSet::new();
    for element in &elements {
        for name in element.attributes.keys() {
            assert!(name != "style" && !name.starts_with("on"), "inline: {element:?}");
        }
        match element.name.as_str() {
            "script" => {
                assert!(element.get("src").is_some_and(|src| src.starts_with('/')), "{element:?}")
            }
            "style" => panic!("inline: {element:?}"),
            "img" => assert!(element.get("alt").is_some(), "no alt: {element:?}"),
            "th" => assert!(element.get("scope").is_some(), "no scope: {element:?}"),
            "form" => assert!(element.get("action").is_some(), "no action: {element:?}"),
            "svg" => assert!(
                element.get("aria-hidden").is_some()
                    || element.get("aria-label").is_some()
                    || element.get("aria-labelledby").is_some(),
                "a picture without a name: {element:?}"
            ),
            _ => {}
        }
        if let Some(id) = element.get("id") {
            assert!(ids.insert(id.to_owned()), "two elements have the id {id}");
        }
    }
    named(&elements, &ids);
    elements
}

/// Every control has a label, and every reference to an element one.
fn named(elements: &[Element], ids: &BTreeSet<String>) {
    let labelled: BTreeSet<&str> =
        elements.iter().filter(|e| e.name == "label").filter_map(|e| e.get("for")).collect();
    for element in elements {
        let is_control = ["input", "select", "textarea"].contains(&element.name.as_str());
        if is_control && element.get("type") != Some("hidden") {
            let has_label = element.get("id").is_some_and(|id| labelled.contains(id))
                || element.within.iter().any(|around| around == "label")
                || element.get("aria-label").is_some();
            assert!(has_label, "no label: {element:?}");
            assert!(
                element.within.iter().any(|around| around == "form"),
                "not in a form: {element:?}"
            );
        }
        for reference in ["for", "aria-labelledby", "aria-describedby", "aria-controls"] {
            for id in element.get(reference).unwrap_or_default().split_whitespace() {
                assert!(
                    ids.contains(id),
                    "{reference} names {id}, which is not there: {element:?}"
                );
            }
        }
    }
}

/// No heading leaves out a level.
fn headings(elements: &[Element]) {
    let mut last = 1;
    for element in elements.iter().filter(|e| e.within.iter().any(|around| around == "main")) {
        let Some(level) = element.name.strip_prefix('h').and_then(|n| n.parse::<u8>().ok()) else {
            continue;
        };
        assert!(level <= last + 1, "after a heading of level {last} comes one of level {level}");
        last = level;
    }
}

/// Every link and every form leads somewhere.
async fn links(elements: &[Element]) {
    let router = crate::http::router(app().await);
    let mut targets = BTreeSet::new();
    for element in elements {
        let method = element.get("method").unwrap_or("get");
        for (attribute, method) in [
            ("href", "get"),
            ("src", "get"),
            ("hx-get", "get"),
            ("action", method),
            ("formaction", "post"),
        ] {
            if let Some(target) = element.get(attribute).filter(|target| !target.starts_with('#')) {
                assert!(
                    target.starts_with('/') && !target.starts_with("//"),
                    "another host: {target}"
                );
                targets.insert((method.to_owned(), target.to_owned()));
            }
        }
    }
    for (method, target) in targets {
        let (status, body) = answer(&router, &method, &target).await;
        let is_there = status != StatusCode::METHOD_NOT_ALLOWED
            && !body.contains("No such page")
            && !body.contains("route_not_found");
        assert!(is_there, "{method} {target} leads nowhere: {status}");
        assert!(!status.is_server_error(), "{method} {target}: {status}");
    }
}

/// What a router answers to an empty request.
async fn answer(router: &Router, method: &str, target: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method.to_ascii_uppercase().as_str())
        .uri(target)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::empty())
        .unwrap_or_else(|error| panic!("{target}: {error}"));
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The elements of a document, which must be well-formed.
fn elements(html: &str) -> Vec<Element> {
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "text that is not escaped: {text}");
        let (tag, after) = tag(after);
        rest = after;
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in another order");
            continue;
        }
        let closes_itself = tag.ends_with('/');
        let mut element = element(tag.trim_end_matches('/'));
        element.within = open.clone();
        let name = element.name.clone();
        found.push(element);
        if !VOID.contains(&name.as_str()) && !closes_itself {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    found
}

/// What is up to the end of a tag, and after it. A `>` in quotes does not end it.
fn tag(html: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (at, character) in html.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return (&html[..at], &html[at + 1..]),
            _ => {}
        }
    }
    panic!("a tag without end: {}", &html[..html.len().min(80)]);
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "a tag <{tag}>");
    let mut attributes = BTreeMap::new();
    while !rest.trim().is_empty() {
        rest = rest.trim_start();
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"').expect("quotes end"),
            None => ("", after),
        };
        let old = attributes.insert(key.to_owned(), unescaped(value));
        assert!(old.is_none(), "{key} twice in <{tag}>");
        rest = after;
    }
    Element { name: name.to_owned(), attributes, within: Vec::new() }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[test]
#[should_panic(expected = "a tag <script")]
fn what_a_customer_wrote_is_found_where_it_is_not_escaped() {
    elements("<p>Hello <script!></p>");
}

#[test]
#[should_panic(expected = "no label")]
fn a_control_without_a_label_is_found() {
    fragment("<form action=\"/\"><input name=\"a\"></form>");
}
