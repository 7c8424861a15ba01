//! Runs the real binary in a directory of its own, and talks to it like any other client.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// The binary in a directory, with nothing of the surrounding environment that could configure it.
pub fn segue(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SEGUE_") || name.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).env("NO_COLOR", "1").env("SEGUE_LOG", "warn");
    command
}

/// A running server, stopped when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    pub dir: TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts on a free port; the data that the directory holds is found again.
    pub fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        let mut command = segue(dir.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command, dir)
    }

    pub fn spawn(mut command: Command, dir: TempDir) -> Self {
        let log = std::fs::File::create(dir.path().join("server.log")).unwrap();
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut server = Self { child, url: String::new(), dir };
        let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
        let ready = lines.next().map(Result::unwrap).unwrap_or_else(|| server.log());
        server.url = ready.strip_prefix("segue listens on ").expect(&ready).to_owned();
        // Whatever else it prints is read away, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        server
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap()
    }

    pub fn tenant(&self) -> Tenant<'_> {
        Tenant { server: self, id: Uuid::new_v4() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks it to stop, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Kills it without warning, and gives its directory back.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let empty = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.dir, empty)
    }

    /// Sends a request as it is.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let headers = response.headers().clone();
        let text = response.body_mut().read_to_string().unwrap();
        Answer { status: response.status().as_u16(), headers, text }
    }
}

impl Server {
    /// The value of one series of `/metrics`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.send("GET", "/metrics", &[], b"").text;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The body of a success with this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The details of a refusal in our shape, with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["code"], code, "{}", self.text);
        assert!(
            body["message"].as_str().is_some_and(|message| message.len() > 10),
            "{}",
            self.text
        );
        body["details"].clone()
    }
}

/// A server on behalf of a tenant.
pub struct Tenant<'a> {
    pub server: &'a Server,
    pub id: Uuid,
}

impl Tenant<'_> {
    /// The path of one of its pages on the console.
    pub fn console(&self, more: &str) -> String {
        format!("/console/tenants/{}{more}", self.id)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, body)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.json("PATCH", path, body)
    }

    /// A POST without a body.
    pub fn act(&self, path: &str) -> Answer {
        self.send("POST", path, &[], b"")
    }

    pub fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.text(method, path, &body.to_string())
    }

    pub fn text(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, &[("Content-Type", "application/json")], body.as_bytes())
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let id = self.id.to_string();
        let mut all = vec![("X-Tenant-ID", id.as_str())];
        all.extend_from_slice(headers);
        self.server.send(method, &format!("/api/v1{path}"), &all, body)
    }

    /// Runs the command line against the server, as this tenant.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        segue(self.server.dir.path())
            .env("SEGUE_URL", &self.server.url)
            .env("SEGUE_TENANT", self.id.to_string())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Registers a scenario and starts a session on it for each channel.
    pub fn registered(&self, scenario: &Value) -> String {
        self.post("/scenarios", scenario).is(201)["id"].as_str().unwrap().to_owned()
    }

    pub fn started(&self, scenario_id: &str, channel: &str) -> String {
        let body = json!({ "scenario_id": scenario_id, "channel": channel });
        self.post("/sessions", &body).is(201)["id"].as_str().unwrap().to_owned()
    }

    pub fn turn(&self, session: &str, body: &Value) -> Value {
        self.post(&format!("/sessions/{session}/turns"), body).is(200)
    }
}

/// What a command printed, as text.
pub fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Waits for a command that is expected to end by itself.
pub fn ended(mut child: Child, within: Duration) -> ExitStatus {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it is still running");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Welcome → Checkout → Confirm, as in the quickstart.
pub fn order_flow() -> Value {
    json!({
        "name": "Order Flow",
        "version": 1,
        "entry_step_id": "welcome",
        "steps": [
            {"id": "welcome", "name": "Welcome", "is_entry": true, "transitions": [{"to_step_id": "checkout"}]},
            {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
             "transitions": [{"to_step_id": "confirm"}]},
            {"id": "confirm", "name": "Confirm", "is_terminal": true}
        ]
    })
}
