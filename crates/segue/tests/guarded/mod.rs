//! The real binary, asking for API keys, and the first of them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, printed, segue};

/// A server that asks for keys, and the first of them.
pub struct Guarded {
    pub server: Server,
    pub platform: String,
}

impl Guarded {
    pub fn start() -> Self {
        Self::with("")
    }

    pub fn with(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!("[access]\nmode = \"api_keys\"\n{settings}");
        fs::write(dir.path().join("segue.toml"), config).unwrap();
        let create = ["key", "create", "--local", "--config", "segue.toml", "--json"];
        let made = segue(dir.path())
            .args(create)
            .args(["--name", "root", "--role", "platform"])
            .output()
            .unwrap();
        let (made, errors) = printed(&made);
        let made: Value = serde_json::from_str(&made).unwrap_or_else(|_| panic!("{errors}"));
        let server = Server::start_in(dir, &["--config", "segue.toml"]);
        Self { server, platform: made["key"].as_str().unwrap().to_owned() }
    }

    pub fn send(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.send_with(key, method, path, body, &[])
    }

    pub fn send_with(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
        more: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut headers = more.to_vec();
        if !key.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        self.server.send(method, path, &headers, body.as_bytes())
    }

    pub fn key(&self, body: &Value) -> (String, String) {
        let made = self.send(&self.platform, "POST", "/api/v1/keys", Some(body)).is(201);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("key"), text("key_id"))
    }

    pub fn key_of(&self, name: &str, roles: &[&str], tenant: Option<Uuid>) -> String {
        self.key(&json!({"name": name, "roles": roles, "tenant_id": tenant})).0
    }

    pub fn api(&self, key: &str, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.send(key, method, &format!("/api/v1{path}"), Some(body));
        assert!(answer.status < 300, "{method} {path}: {}", answer.text);
        answer.json()
    }
}
