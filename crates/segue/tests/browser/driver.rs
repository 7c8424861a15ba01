//! The process that drives Chromium: Debian's `chromedriver`, spoken to by the WebDriver protocol, which is JSON
//! over HTTP.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// What to do when there is no browser: a test that is skipped would prove nothing.
const INSTALL: &str = "this test needs a real browser: apt-get install chromium chromium-driver";

const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// A browser and its driver; both end with it.
pub struct Driver {
    child: Child,
    agent: ureq::Agent,
    /// The address of the session.
    session: String,
    /// The browser's process.
    browser: Option<u64>,
}

impl Driver {
    /// Starts both; `profile` is an empty folder.
    pub fn start(profile: &Path, scripts: Scripts) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("no chromedriver, {error}: {INSTALL}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut driver = Self { child, agent, session: String::new(), browser: None };
        let port = port.expect("chromedriver says on which port it listens");
        driver.session = format!("http://127.0.0.1:{port}/session");
        driver.open(profile, scripts);
        driver
    }

    fn open(&mut self, profile: &Path, scripts: Scripts) {
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.push("--window-size=1280,900".to_owned());
        let scripts = match scripts {
            Scripts::On => 1,
            Scripts::Off => 2,
        };
        let asked = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": scripts },
            },
        } } });
        let opened = self.ask("POST", "", &asked);
        let opened = opened.unwrap_or_else(|error| panic!("no Chromium, {error}: {INSTALL}"));
        self.browser = opened["capabilities"]["goog:processID"].as_u64();
        let id = opened["sessionId"].as_str().expect("a session has an id");
        self.session = format!("{}/{id}", self.session);
    }

    /// Asks for something of the session; the error is what the driver says about it.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("Content-Type", "application/json");
        let answer = self.agent.run(request.body(body).unwrap());
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string();
        let text = text.map_err(|error| error.to_string())?;
        let mut answer_body: Value = serde_json::from_str(&text).map_err(|_| text)?;
        let value = answer_body["value"].take();
        if answer.status().is_success() {
            return Ok(value);
        }
        Err(format!("{}: {}", value["error"], value["message"]))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let closed = self.ask("DELETE", "", &Value::Null);
        if let (Err(_), Some(browser)) = (closed, self.browser) {
            let _ = Command::new("kill").arg(browser.to_string()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
