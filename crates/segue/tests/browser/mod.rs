//! A person in front of a browser: opens pages, clicks, types, reads, and waits as people do, for a while.
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod driver;
pub mod pictures;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use driver::Driver;
pub use driver::Scripts;

/// How long something that happens by itself may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name under which WebDriver hides the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The keys that are not letters.
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";

/// A browser that looks at a server.
pub struct Browser {
    driver: Driver,
    url: String,
    _profile: TempDir,
}

/// Where something is on a page.
#[derive(Debug, Clone, Copy)]
enum At<'a> {
    Css(&'a str),
    Path(&'a str),
}

impl Browser {
    pub fn at(url: &str) -> Self {
        Self::with(url, Scripts::On)
    }

    pub fn with(url: &str, scripts: Scripts) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let driver = Driver::start(profile.path(), scripts);
        Self { driver, url: url.to_owned(), _profile: profile }
    }

    /// Opens a page.
    pub fn open(&self, path: &str) {
        let url = format!("{}{path}", self.url);
        self.driver.ask("POST", "/url", &json!({ "url": url })).unwrap();
    }

    /// The path of the page, with what it asks.
    pub fn path(&self) -> String {
        let url = self.driver.ask("GET", "/url", &Value::Null).unwrap();
        let url = url.as_str().unwrap();
        url.strip_prefix(&self.url).unwrap_or(url).to_owned()
    }

    /// Presses the button that says this.
    #[track_caller]
    pub fn press(&self, name: &str) {
        self.click_at(At::Path(&format!("//button[normalize-space()='{name}']")));
    }

    /// Follows the link that says this, in the main part of the page.
    #[track_caller]
    pub fn follow(&self, name: &str) {
        self.click_at(At::Path(&format!("//main//a[normalize-space()='{name}']")));
    }

    /// Opens what is folded under this.
    #[track_caller]
    pub fn unfold(&self, name: &str) {
        self.click_at(At::Path(&format!("//summary[normalize-space()='{name}']")));
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        self.click_at(At::Css(css));
    }

    #[track_caller]
    fn click_at(&self, at: At<'_>) {
        self.until(&format!("{at:?} can be clicked"), || {
            let element = self.find(at)?;
            self.of(&element, "POST", "click", &json!({}))
        });
    }

    /// Types into the field of this name, over what stood there.
    #[track_caller]
    pub fn fill(&self, name: &str, text: &str) {
        let css = format!("main [name='{name}']:not([type='hidden'])");
        self.until(&format!("{name} can be typed into"), || {
            let element = self.find(At::Css(&css))?;
            self.of(&element, "POST", "clear", &json!({}))?;
            self.of(&element, "POST", "value", &json!({ "text": text }))
        });
    }

    /// What stands in the field of this name.
    #[track_caller]
    pub fn value(&self, name: &str) -> String {
        let css = format!("main [name='{name}']");
        self.until(name, || {
            let element = self.find(At::Css(&css))?;
            let value = self.of(&element, "GET", "property/value", &Value::Null)?;
            Ok(value.as_str().unwrap_or_default().to_owned())
        })
    }

    /// Waits until the page says this.
    #[track_caller]
    pub fn sees(&self, text: &str) {
        self.until(&format!("the page says “{text}”"), || {
            let body = self.text()?;
            if body.contains(text) { Ok(()) } else { Err(body) }
        });
    }

    #[track_caller]
    pub fn sees_not(&self, text: &str) {
        let body = self.until("the page can be read", || self.text());
        assert!(!body.contains(text), "“{text}” is in {body}");
    }

    /// What can be read on the page, with single spaces between words.
    fn text(&self) -> Result<String, String> {
        let body = self.find(At::Css("body"))?;
        let text = self.of(&body, "GET", "text", &Value::Null)?;
        let words: Vec<&str> = text.as_str().unwrap_or_default().split_whitespace().collect();
        Ok(words.join(" "))
    }

    /// Presses a key, whatever has the focus.
    pub fn key(&self, key: &str) {
        let strokes =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] });
        self.driver.ask("POST", "/actions", &actions).unwrap();
    }

    /// Types letter by letter, whatever has the focus.
    pub fn types(&self, text: &str) {
        text.chars().for_each(|letter| self.key(letter.encode_utf8(&mut [0; 4])));
    }

    /// Whatever a script answers.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.driver.ask("POST", "/execute/sync", &body).unwrap()
    }

    /// Fails if the browser complained about anything, such as a script that broke or something that a page
    /// must not load; `expected` are parts of complaints that the test brought about.
    #[track_caller]
    pub fn has_no_complaint(&self, expected: &[&str]) {
        let log = self.driver.ask("POST", "/se/log", &json!({ "type": "browser" })).unwrap();
        // Advice, as against scripts that broke, comes as DEBUG and INFO.
        let is_complaint =
            |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let log = log.as_array().unwrap().iter().filter(is_complaint);
        let told: Vec<&str> = log.filter_map(|entry| entry["message"].as_str()).collect();
        let is_expected = |told: &str| expected.iter().any(|expected| told.contains(expected));
        let wrong: Vec<&&str> = told.iter().filter(|told| !is_expected(told)).collect();
        assert!(wrong.is_empty(), "the browser complains: {wrong:#?}");
    }

    fn find(&self, at: At<'_>) -> Result<String, String> {
        let (using, value) = match at {
            At::Css(css) => ("css selector", css),
            At::Path(path) => ("xpath", path),
        };
        let found =
            self.driver.ask("POST", "/element", &json!({ "using": using, "value": value }))?;
        Ok(found[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    fn of(&self, element: &str, method: &str, what: &str, body: &Value) -> Result<Value, String> {
        self.driver.ask(method, &format!("/element/{element}/{what}"), body)
    }

    /// Tries again while a page loads or a part of it is replaced.
    #[track_caller]
    pub fn until<T>(&self, what: &str, attempt: impl Fn() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match attempt() {
                Ok(done) => return done,
                Err(error) => error,
            };
            assert!(Instant::now() < deadline, "not in time at {}: {what}: {error}", self.path());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
