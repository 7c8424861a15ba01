//! What every request meets, whatever it is about.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::Server;

#[test]
fn the_server_tells_that_it_lives_is_ready_and_what_it_counts() {
    let server = Server::start();
    assert_eq!(server.send("GET", "/healthz", &[], b"").is(200)["status"], "ok");
    assert_eq!(server.send("GET", "/readyz", &[], b"").is(200)["status"], "ok");
    let metrics = server.send("GET", "/metrics", &[], b"");
    assert_eq!(metrics.status, 200);
    for line in [
        "# HELP migration_applied_total",
        "migration_sessions_marked_total 0",
        "http_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} 1",
    ] {
        assert!(metrics.text.contains(line), "{line} is missing in\n{}", metrics.text);
    }
}

#[test]
fn the_documentation_loads_nothing_from_another_host() {
    let server = Server::start();
    let page = server.send("GET", "/docs/", &[], b"");
    assert_eq!(page.status, 200);
    let loaded: Vec<&str> = page
        .text
        .split(['"', '\''])
        .filter(|text| text.ends_with(".js") || text.ends_with(".css"))
        .collect();
    assert!(loaded.len() >= 3, "{}", page.text);
    let mut texts = vec![page.text.clone()];
    for file in loaded {
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        let answer = server.send("GET", &path, &[], b"");
        assert_eq!(answer.status, 200, "{path}");
        if path.contains("initializer") || path.ends_with(".css") {
            texts.push(answer.text);
        }
    }
    for text in texts {
        let absolute = text.split(['"', '\'', '(', ' ']).find(|word| {
            (word.starts_with("http://") || word.starts_with("https://"))
                && !word.starts_with("http://www.w3.org/")
        });
        assert_eq!(absolute, None);
    }
    assert_eq!(server.send("GET", "/docs", &[], b"").headers["location"], "/docs/");
}

#[test]
fn the_description_that_is_served_is_the_one_that_is_committed() {
    let server = Server::start();
    let served = server.send("GET", "/openapi.json", &[], b"").text;
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(served == committed, "run: cargo run -p segue -- openapi > docs/openapi.json");
    let description: serde_json::Value = serde_json::from_str(&served).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
}

/// The names under which the types of a crate's sources are described.
fn described(folder: &std::path::Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            described(&path, names);
            continue;
        }
        // From the derive to the type, with its other name between them if it has one.
        let (mut is_described, mut other) = (false, None);
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line = line.trim();
            is_described |= line.contains("ToSchema") && !line.starts_with("use ");
            if let Some((_, name)) = line.split_once("schema(as = ") {
                other = name.split(')').next().map(str::to_owned);
            }
            let mut words = line.split(|sign: char| !sign.is_alphanumeric());
            if is_described && words.any(|word| word == "struct" || word == "enum") {
                let name = other.take().or_else(|| words.next().map(str::to_owned));
                // The types of a macro are named where it is used.
                names.extend(name.filter(|name| !name.is_empty()));
                is_described = false;
            }
        }
    }
}

#[test]
fn no_two_types_share_a_name_in_the_description() {
    let mut names = Vec::new();
    for source in ["segue", "segue-core", "segue-store"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        described(&std::path::Path::new(folder).join(source).join("src"), &mut names);
    }
    assert!(names.len() > 50, "{names:?}");
    names.sort();
    // Of two, one would be described as the other.
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "give one of each another by #[schema(as = …)]: {twice:?}");
}

#[test]
fn an_unknown_path_and_a_wrong_method_are_refused_in_our_shape() {
    let server = Server::start();
    let details = server.send("GET", "/api/v1/nothing", &[], b"").refused(404, "route_not_found");
    assert_eq!(details["path"], "/api/v1/nothing");
    server.send("DELETE", "/healthz", &[], b"").refused(405, "method_not_allowed");
}

#[test]
fn a_server_asked_to_stop_ends_well() {
    let mut server = Server::start();
    assert!(server.terminate().success());
}

/// A connection to the server, and the head of a request that registers a scenario and waits for its body.
fn register(server: &Server, body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    connection.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let tenant = uuid::Uuid::new_v4();
    let length = body.len();
    let head = format!(
        "POST /api/v1/scenarios HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: {tenant}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection
}

#[test]
fn a_server_asked_to_stop_finishes_what_it_has_accepted() {
    let mut server = Server::start();
    let body = support::order_flow().to_string();
    let mut connection = register(&server, &body);
    let mut accepted = [0; 25];
    connection.read_exact(&mut accepted).unwrap();
    assert_eq!(&accepted, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.signal("TERM");
    let deadline = Instant::now() + Duration::from_mins(1);
    while TcpStream::connect(server.url.strip_prefix("http://").unwrap()).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    connection.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    assert!(server.wait().success());
}

#[test]
fn what_came_before_a_server_was_asked_to_stop_is_answered() {
    let mut server = Server::start();
    let body = support::order_flow().to_string();
    server.signal("STOP");
    let send = |_| {
        let mut connection = register(&server, &body);
        connection.write_all(body.as_bytes()).unwrap();
        connection
    };
    let connections: Vec<_> = (0..16).map(send).collect();
    server.signal("TERM");
    server.signal("CONT");
    for mut connection in connections {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("HTTP/1.1 201 Created"), "{answer}");
    }
    assert!(server.wait().success());
}
