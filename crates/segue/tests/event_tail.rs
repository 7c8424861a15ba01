//! Following the log over HTTP: live tails, long polls, subscriptions, and what happens when either side
//! is killed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use segue_testing::postgres::{Server as Postgres, TestDatabase};
use serde_json::{Value, json};
use support::{Server, Tenant, printed, segue};
use tempfile::TempDir;

/// A live stream as a client reads it.
struct Tail {
    lines: Box<dyn Iterator<Item = std::io::Result<String>>>,
}

impl Tail {
    fn open(tenant: &Tenant<'_>, path: &str, last_seen: Option<u64>) -> Self {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            // A tail that hangs is given up; one of a hundred thousand events takes a minute on a loaded machine.
            .timeout_global(Some(Duration::from_secs(300)))
            .build()
            .into();
        let mut request = agent
            .get(format!("{}/api/v1{path}", tenant.server.url))
            .header("X-Tenant-ID", tenant.id.to_string())
            .header("Accept", "text/event-stream");
        if let Some(position) = last_seen {
            request = request.header("Last-Event-ID", position.to_string());
        }
        let response = request.call().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { lines: Box::new(BufReader::new(response.into_body().into_reader()).lines()) }
    }
}

/// Each event with its id; ends when the server ends the stream.
impl Iterator for Tail {
    type Item = (u64, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let mut id = None;
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(position) = line.strip_prefix("id: ") {
                id = Some(position.parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((id?, serde_json::from_str(data).unwrap()));
            }
        }
        None
    }
}

fn append(tenant: &Tenant<'_>, count: u64) -> u64 {
    let events: Vec<Value> =
        (0..count).map(|nth| json!({"event_type": "Counted", "payload": nth})).collect();
    let body = json!({"stream_type": "counter", "expected_version": "any", "events": events});
    tenant.post("/streams/counter/events", &body).is(201)["last_position"].as_u64().unwrap()
}

fn with(settings: &[(&str, &str)]) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let mut command = segue(dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).envs(settings.iter().copied());
    Server::spawn(command, dir)
}

/// Another server on the first one's files.
fn beside(first: &Server) -> Server {
    let mut command = segue(first.dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    Server::spawn(command, tempfile::tempdir().unwrap())
}

/// A server that keeps everything in this database.
fn on_postgres(url: &str) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[control]\nurl = \"{url}\"\n[stores.shared]\nkind = \"postgres\"\nurl = \"{url}\"\n"
    );
    std::fs::write(dir.path().join("my.toml"), text).unwrap();
    let server = Server::start_in(dir, &["--config", "my.toml"]);
    eventually("it is ready", || server.send("GET", "/readyz", &[], b"").status == 200);
    server
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open_streams(server: &Server) -> String {
    let metrics = server.send("GET", "/metrics", &[], b"").text;
    let line = metrics.lines().find(|line| line.starts_with("event_streams_open "));
    line.unwrap().trim_start_matches("event_streams_open ").to_owned()
}

#[test]
fn a_live_tail_begins_where_it_is_told_and_goes_on_with_what_comes() {
    let server = Server::start();
    let tenant = server.tenant();
    append(&tenant, 3);
    let mut tail = Tail::open(&tenant, "/events?after=1", None);
    let (id, event) = tail.next().unwrap();
    assert_eq!((id, &event["position"], &event["payload"]), (2, &json!(2), &json!(1)));
    assert_eq!(tail.next().unwrap().0, 3);
    let begun = Instant::now();
    append(&tenant, 2);
    assert_eq!((tail.next().unwrap().0, tail.next().unwrap().0), (4, 5));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    let mut resumed = Tail::open(&tenant, "/events?after=1", Some(4));
    assert_eq!(resumed.next().unwrap().0, 5, "the last position seen counts");
    let sse = ("Accept", "text/event-stream");
    let wrong = [sse, ("Last-Event-ID", "yesterday")];
    tenant.send("GET", "/events", &wrong, b"").refused(400, "invalid_parameter");
    tenant.send("GET", "/events?limit=5", &[sse], b"").refused(400, "invalid_parameter");
}

#[test]
fn line_breaks_in_a_payload_do_not_break_an_event_apart() {
    let server = Server::start();
    let tenant = server.tenant();
    let body = "{\"stream_type\": \"a\", \"expected_version\": \"any\", \"events\": \
                [{\"event_type\": \"A\", \"payload\": {\"a\":\r\n\"b\\nc\",\n\n\"d\": 1}}]}";
    tenant.text("POST", "/streams/a/events", body).is(201);
    let (_, event) = Tail::open(&tenant, "/events", None).next().unwrap();
    assert_eq!(event["payload"], json!({"a": "b\nc", "d": 1}));
}

#[test]
fn a_tail_sees_what_another_server_on_the_same_files_appends() {
    let first = Server::start();
    sees_what_the_other_appends(&first, &beside(&first));
}

#[test]
fn a_tail_sees_what_another_server_on_the_same_postgresql_appends() {
    let database = TestDatabase::fresh_blocking();
    let (first, second) = (on_postgres(database.url()), on_postgres(database.url()));
    sees_what_the_other_appends(&first, &second);
}

fn sees_what_the_other_appends(first: &Server, second: &Server) {
    let tenant = first.tenant();
    append(&tenant, 1);
    let mut tail = Tail::open(&tenant, "/events", None);
    tail.next().unwrap();
    let elsewhere = Tenant { server: second, id: tenant.id };
    for position in 2..6 {
        let begun = Instant::now();
        append(&elsewhere, 1);
        assert_eq!(tail.next().unwrap().0, position);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_server_that_is_asked_to_stop_ends_its_streams_and_is_not_held_up() {
    let mut server = Server::start();
    let tenant = server.tenant();
    append(&tenant, 1);
    let mut tail = Tail::open(&tenant, "/events", None);
    tail.next().unwrap();
    let begun = Instant::now();
    assert!(server.terminate().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(tail.next(), None, "it ends, and does not break off");
}

#[test]
fn a_long_poll_answers_with_the_first_event_or_with_nothing_in_time() {
    let server = Server::start();
    let tenant = server.tenant();
    append(&tenant, 1);
    let empty = tenant.get("/events?after=1&wait_ms=200").is(200);
    assert_eq!((&empty["events"], &empty["next_after"]), (&json!([]), &json!(1)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let begun = Instant::now();
            (tenant.get("/events?after=1&wait_ms=20000").is(200), begun.elapsed())
        });
        std::thread::sleep(Duration::from_millis(300));
        append(&tenant, 2);
        let (page, took) = waiting.join().unwrap();
        assert_eq!(page["events"][0]["position"], 2);
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

#[test]
fn neither_a_tail_nor_a_long_poll_is_cut_by_the_time_that_a_request_may_take() {
    let server = with(&[("SEGUE__SERVER__REQUEST_TIMEOUT_SECONDS", "3.0")]);
    let tenant = server.tenant();
    let mut tail = Tail::open(&tenant, "/events", None);
    let page = tenant.get("/events?wait_ms=20000").is(200);
    assert_eq!(page["events"], json!([]), "it answers in time, with nothing");
    std::thread::sleep(Duration::from_secs(1));
    append(&tenant, 1);
    assert_eq!(tail.next().unwrap().0, 1);
}

#[test]
fn streams_have_seats_and_one_that_is_left_is_free_again() {
    let server = with(&[
        ("SEGUE__SERVER__MAX_STREAMS_PER_TENANT", "2"),
        ("SEGUE__SERVER__MAX_STREAMS", "3"),
    ]);
    let (tenant, other) = (server.tenant(), server.tenant());
    let sse = [("Accept", "text/event-stream")];
    let first = Tail::open(&tenant, "/events", None);
    let _second = Tail::open(&tenant, "/events", None);
    let refused = tenant.send("GET", "/events", &sse, b"");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.refused(429, "too_many_streams")["limit"], 2);
    tenant.get("/events?wait_ms=1000").refused(429, "too_many_streams");
    tenant.get("/events").is(200);
    let _third = Tail::open(&other, "/events", None);
    let refused = other.send("GET", "/events", &sse, b"");
    assert_eq!(refused.headers["retry-after"], "1");
    refused.refused(503, "streams_exhausted");

    drop(first);
    eventually("the seat is free", || {
        append(&tenant, 1);
        open_streams(&server) == "2"
    });
    Tail::open(&tenant, "/events", None).next().unwrap();
}

#[test]
fn a_client_that_takes_nothing_for_long_is_dropped() {
    let server = with(&[("SEGUE__SERVER__STALLED_READER_TIMEOUT_SECONDS", "5.0")]);
    let tenant = server.tenant();
    let large: Vec<Value> =
        (0..15).map(|_| json!({"event_type": "Large", "payload": "x".repeat(1_000_000)})).collect();
    let body = json!({"stream_type": "large", "expected_version": "any", "events": large});
    tenant.post("/streams/large/events", &body).is(201);
    let stalled = Tail::open(&tenant, "/events", None);
    assert_eq!(open_streams(&server), "1");
    eventually("it is dropped", || open_streams(&server) == "0");
    drop(stalled);
    tenant.get("/events?limit=1").is(200);
}

/// Bytes of memory that a process keeps for itself; pages of its own program and of mapped files may come and go.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_reader_that_does_not_read_while_much_is_appended_costs_nothing_and_misses_nothing() {
    let server = with(&[("SEGUE__SERVER__STALLED_READER_TIMEOUT_SECONDS", "600.0")]);
    let tenant = server.tenant();
    let events: Vec<Value> = (0..1_000)
        .map(|nth| json!({"event_type": "Counted", "payload": [nth, "x".repeat(2_000)]}))
        .collect();
    let body = json!({"stream_type": "counter", "expected_version": "any", "events": events});
    let body = body.to_string();
    let send = || tenant.text("POST", "/streams/counter/events", &body).is(201);
    // What the server keeps anyway, such as pages of its database, it has by then.
    for _ in 0..30 {
        send();
    }
    let mut slow = Tail::open(&tenant, "/events", None);
    assert_eq!(slow.next().unwrap().0, 1);
    let before = resident(&server);
    for _ in 0..70 {
        send();
    }
    let grown = resident(&server).saturating_sub(before);
    // Allocators and page caches take a few megabytes when they like: much more is appended than that.
    let appended = 70 * body.len() as u64;
    assert!(
        grown < appended / 4,
        "the server grew by {grown} bytes while {appended} were appended"
    );
    for position in 2..=100_000 {
        assert_eq!(slow.next().unwrap().0, position);
    }
}

#[test]
fn a_subscription_remembers_how_far_its_consumer_has_come() {
    let server = Server::start();
    let tenant = server.tenant();
    append(&tenant, 5);
    let path = "/subscriptions/billing";
    tenant.get(path).refused(404, "subscription_not_found");
    let created = tenant.put(path, &json!({})).is(201);
    assert_eq!((&created["position"], &created["lag"]), (&json!(0), &json!(5)));
    let found = tenant.put(path, &json!({"from": "now"})).is(200);
    assert_eq!(found, created, "putting it again changes nothing");

    let page = tenant.get(&format!("{path}/events?limit=2")).is(200);
    assert_eq!((&page["next_after"], &page["lag"]), (&json!(2), &json!(5)));
    let again = tenant.get(&format!("{path}/events?limit=2")).is(200);
    assert_eq!(again["events"], page["events"], "reading acknowledges nothing");
    let acked = tenant.post(&format!("{path}/ack"), &json!({"position": 2})).is(200);
    assert_eq!((&acked["position"], &acked["lag"]), (&json!(2), &json!(3)));
    let late = tenant.post(&format!("{path}/ack"), &json!({"position": 1})).is(200);
    assert_eq!(late["position"], 2, "never backwards");
    let ahead = tenant.post(&format!("{path}/ack"), &json!({"position": 6}));
    assert_eq!(ahead.refused(409, "position_ahead")["last_position"], 5);
    let rest = tenant.get(&format!("{path}/events")).is(200);
    assert_eq!(rest["events"][0]["position"], 3);
    let (id, _) = Tail::open(&tenant, &format!("{path}/events"), None).next().unwrap();
    assert_eq!(id, 3, "a live stream begins there too");
    let (id, _) = Tail::open(&tenant, &format!("{path}/events"), Some(4)).next().unwrap();
    assert_eq!(id, 5);

    tenant.put("/subscriptions/audit", &json!({"from": "now"})).is(201);
    tenant.put("/subscriptions/third", &json!({"from": 4})).is(201);
    tenant.put("/subscriptions/x", &json!({"from": 9})).refused(409, "position_ahead");
    tenant.put("/subscriptions/x", &json!({"from": "noon"})).refused(400, "invalid_body");
    let listed = tenant.get("/subscriptions?limit=2").is(200);
    let names: Vec<_> = listed["subscriptions"].as_array().unwrap().iter().collect();
    assert_eq!((&names[0]["name"], &names[0]["lag"]), (&json!("audit"), &json!(0)));
    assert_eq!((&listed["total"], &names[1]["name"]), (&json!(3), &json!("billing")));
    let cursor = listed["next_cursor"].as_str().unwrap();
    let rest = tenant.get(&format!("/subscriptions?cursor={cursor}")).is(200);
    assert_eq!(rest["subscriptions"][0]["lag"], 1);

    let reset = tenant.put(path, &json!({"from": "beginning", "reset": true})).is(200);
    assert_eq!((&reset["position"], &reset["lag"]), (&json!(0), &json!(5)));
    let headers = [("Content-Type", "application/json")];
    let deleted = tenant.send("DELETE", path, &headers, b"").is(200);
    assert_eq!(deleted["name"], "billing");
    tenant.get(&format!("{path}/events")).refused(404, "subscription_not_found");
    let nobody = server.tenant();
    nobody.get("/subscriptions/audit").refused(404, "subscription_not_found");
}

/// A consumer as a process of its own: it prints each event as a line, and acknowledges what it printed.
fn consumer(tenant: &Tenant<'_>, dir: &TempDir) -> Child {
    let path = dir.path().join("results");
    let results = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    segue(dir.path())
        .args(["subscription", "read", "billing", "--limit", "7", "--ack", "--follow", "--json"])
        .env("SEGUE_URL", &tenant.server.url)
        .env("SEGUE_TENANT", tenant.id.to_string())
        .stdout(results)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn results(dir: &TempDir) -> Vec<u64> {
    let text = std::fs::read_to_string(dir.path().join("results")).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.map(|event| event["position"].as_u64().unwrap()).collect()
}

#[test]
fn a_consumer_that_is_killed_and_a_server_that_is_killed_lose_nothing_and_keep_the_order() {
    const EVENTS: u64 = 300;
    let mut server = Server::start();
    let address = server.url.trim_start_matches("http://").to_owned();
    let id = server.tenant().id;
    Tenant { server: &server, id }.put("/subscriptions/billing", &json!({})).is(201);
    let dir = tempfile::tempdir().unwrap();
    let url = server.url.clone();
    let appending = std::thread::spawn(move || {
        for nth in 0..EVENTS {
            // A repetition with the same key is appended once, whatever became of the answer.
            let body = json!({"stream_type": "counter", "expected_version": "any",
                "events": [{"event_type": "Counted", "payload": nth}]});
            while ureq::post(format!("{url}/api/v1/streams/counter/events"))
                .header("X-Tenant-ID", id.to_string())
                .header("Idempotency-Key", format!("event-{nth}"))
                .send_json(&body)
                .is_err()
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(8));
        }
    });
    let mut round = 0_u64;
    while !appending.is_finished() {
        round += 1;
        let mut killed = consumer(&Tenant { server: &server, id }, &dir);
        std::thread::sleep(Duration::from_millis(150 + round * 37 % 200));
        if round.is_multiple_of(3) {
            let data = server.kill();
            let mut command = segue(data.path());
            command.args(["serve", "--listen", &address]);
            server = Server::spawn(command, data);
            std::thread::sleep(Duration::from_millis(300));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    appending.join().unwrap();
    let tenant = Tenant { server: &server, id };
    let mut last = consumer(&tenant, &dir);
    eventually("the subscription has caught up", || {
        tenant.get("/subscriptions/billing").is(200)["lag"] == 0
    });
    last.kill().unwrap();
    last.wait().unwrap();

    let seen = results(&dir);
    let mut newest = 0;
    let mut once = Vec::new();
    for position in &seen {
        assert!(*position <= newest + 1, "position {} was passed over", newest + 1);
        if *position > newest {
            newest = *position;
            once.push(*position);
        }
    }
    assert_eq!(once, (1..=EVENTS).collect::<Vec<_>>(), "each once, and in order, by its position");
}

#[test]
fn the_log_is_appended_read_and_subscribed_to_from_the_command_line() {
    let server = Server::start();
    let tenant = server.tenant();
    let run = |arguments: &[&str]| {
        let output = tenant.cli(arguments);
        let (stdout, stderr) = printed(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        stdout
    };
    let append = ["stream", "append", "cart-7", "--type", "cart"];
    let events = ["--event", "ItemAdded={\"b\": 1.0, \"a\": 2}", "--event", "Note=no JSON"];
    let told = run(&[&append[..], &["--expect", "no_stream"], &events[..]].concat());
    assert!(told.contains("cart-7 is at version 2"), "{told}");
    assert!(tenant.get("/events").text.contains(r#""payload":{"b": 1.0, "a": 2}"#));
    std::fs::write(
        server.dir.path().join("events.json"),
        r#"[{"event_type": "Paid", "payload": {"amount":  3}, "metadata": {"by": "ann"}}]"#,
    )
    .unwrap();
    run(&[&append[..], &["--expect", "2", "--file", "events.json"]].concat());
    assert!(tenant.get("/events").text.contains(r#"{"amount":  3}"#));
    let conflict = tenant.cli(&[&append[..], &["--expect", "1"], &events[..]].concat());
    assert_eq!(conflict.status.code(), Some(6));

    let read = run(&["stream", "read", "cart-7"]);
    assert!(read.contains("ItemAdded") && read.contains("up to version 3"), "{read}");
    let log = run(&["events", "--limit", "2"]);
    assert!(log.contains("cart-7@2") && log.contains("--after 2"), "{log}");
    assert!(run(&["subscription", "put", "billing"]).contains("billing"));
    let read = run(&["subscription", "read", "billing", "--limit", "2"]);
    assert!(
        read.contains("of 3; they come again until `segue subscription ack billing 2`"),
        "{read}"
    );
    assert!(run(&["subscription", "read", "billing", "--ack"]).contains("Paid"));
    assert!(run(&["subscription", "list"]).contains('3'));
    run(&["subscription", "put", "billing", "--reset"]);
    let acked = run(&["subscription", "ack", "billing", "2", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&acked).unwrap()["lag"], 1);
    assert!(run(&["subscription", "show", "billing"]).contains("lag"));
    run(&["subscription", "delete", "billing"]);
    assert_eq!(tenant.cli(&["subscription", "show", "billing"]).status.code(), Some(4));
}

#[test]
fn a_followed_log_is_printed_as_it_grows_across_a_restart_of_the_server() {
    let server = Server::start();
    let address = server.url.trim_start_matches("http://").to_owned();
    let id = server.tenant().id;
    append(&Tenant { server: &server, id }, 2);
    let mut following = segue(server.dir.path())
        .args(["events", "--follow", "--json"])
        .env("SEGUE_URL", &server.url)
        .env("SEGUE_TENANT", id.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["position"].as_u64().unwrap()
    };
    assert_eq!((next(), next()), (1, 2));
    let data = server.kill();
    let mut command = segue(data.path());
    command.args(["serve", "--listen", &address]);
    let server = Server::spawn(command, data);
    append(&Tenant { server: &server, id }, 1);
    assert_eq!(next(), 3);
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_followed_log_goes_on_after_postgresql_was_gone() {
    let mut postgres = Postgres::start();
    let server = on_postgres(&postgres.url());
    let tenant = server.tenant();
    append(&tenant, 2);
    tenant.put("/subscriptions/billing", &json!({})).is(201);
    let dir = tempfile::tempdir().unwrap();
    let mut following = consumer(&tenant, &dir);
    eventually("it has caught up", || results(&dir) == [1, 2]);
    let mut tail = Tail::open(&tenant, "/events?after=2", None);
    postgres.stop_immediate();
    assert_eq!(tail.next(), None, "a live stream says why it ends");
    postgres.start_again();
    eventually("it is ready", || server.send("GET", "/readyz", &[], b"").status == 200);
    assert_eq!(append(&tenant, 1), 3);
    eventually("it goes on", || results(&dir).last() == Some(&3));
    assert_eq!(Tail::open(&tenant, "/events", Some(2)).next().unwrap().0, 3);
    following.kill().unwrap();
    following.wait().unwrap();
}

/// The commands of docs/events.md, in order, as one script.
fn tour() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut script = String::from("set -euo pipefail\n");
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```bash" => inside = true,
            "```" => inside = false,
            line if inside => script += &format!("{line}\n"),
            _ => {}
        }
    }
    script
}

#[test]
fn every_command_of_the_tour_does_what_the_page_says() {
    let server = Server::start();
    let tenant = server.tenant();
    let output = Command::new("bash")
        .arg("-c")
        .arg(tour())
        .env("SEGUE_URL", &server.url)
        .env("SEGUE_TENANT", tenant.id.to_string())
        .output()
        .unwrap();
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("version_conflict"), "{stdout}");
    assert!(stdout.contains("id: 1\n") && stdout.contains("id: 3\n"), "{stdout}");
    let cart = tenant.get("/streams/cart-7/events").is(200);
    assert_eq!(cart["version"], 3);
    let billing = tenant.get("/subscriptions/billing").is(200);
    assert_eq!((&billing["position"], &billing["lag"]), (&json!(3), &json!(0)));
}
