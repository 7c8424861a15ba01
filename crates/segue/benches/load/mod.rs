//! What the HTTP benchmarks share: a server process in a temporary folder, a client that costs little
//! beside it, and latencies.
#![allow(dead_code, reason = "each program uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The tenant of every benchmark.
pub const TENANT: &str = "7b1f8a52-0c0e-4a53-9a0e-5f1f1c7d2a01";

/// The release binary, serving from a folder; killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens, as `127.0.0.1:port`.
    pub address: String,
}

impl Server {
    /// Starts the binary in `folder` and waits for its ready line.
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_segue"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .env("SEGUE_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the segue binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let ready = lines.next().expect("a ready line").expect("it is text");
        let address = ready.rsplit("http://").next().expect("an address").trim().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// The resident memory of the server, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the server runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .expect("Linux shows VmRSS in kB");
        kib.trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One kept-alive HTTP/1.1 connection that parses no more than it must.
pub struct Client {
    stream: TcpStream,
    address: String,
    buffer: Vec<u8>,
    /// The API key that requests carry, as a header line.
    key: String,
}

impl Client {
    /// Connects.
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP option");
        let buffer = Vec::with_capacity(16 * 1024);
        Self { stream, address: address.to_owned(), buffer, key: String::new() }
    }

    /// Carries an API key from now on.
    pub fn carry(&mut self, key: &str) {
        self.key = format!("authorization: Bearer {key}\r\n");
    }

    /// Sends a request; answers the status. The body is left in [`Client::body`].
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> u16 {
        self.try_send(method, path, body, None).await.expect("the server answers")
    }

    /// As [`Client::send`], with an idempotency key, to a server that may go away.
    pub async fn try_send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        key: Option<&str>,
    ) -> std::io::Result<u16> {
        let key = key.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: {}\r\nx-tenant-id: {TENANT}\r\n{key}{}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    /// Reads one answer; its body is left in the buffer.
    async fn answer(&mut self) -> std::io::Result<u16> {
        self.buffer.clear();
        loop {
            let n = self.stream.read_buf(&mut self.buffer).await?;
            if n == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((head, length)) = head_and_length(&self.buffer)
                && self.buffer.len() >= head + length
            {
                let status = std::str::from_utf8(&self.buffer[9..12]).expect("a status");
                let status = status.parse().expect("three digits");
                self.buffer.drain(..head);
                return Ok(status);
            }
        }
    }

    /// Asks for a page of the console; answers the status and how many bytes it has.
    pub async fn page(&mut self, path: &str) -> (u16, usize) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.stream.write_all(request.as_bytes()).await.expect("the server reads");
        let status = self.answer().await.expect("the server answers");
        (status, self.buffer.len())
    }

    /// The body of the last answer.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.buffer).unwrap_or(Value::Null)
    }

    /// The value of one of the server's metrics.
    pub async fn metric(&mut self, name: &str) -> f64 {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.stream.write_all(request.as_bytes()).await.expect("the server reads");
        let status = self.answer().await.expect("the server answers");
        assert_eq!(status, 200);
        let text = String::from_utf8_lossy(&self.buffer);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).expect("the metric is there")
    }

    /// Sends a request that must succeed and answers its body.
    pub async fn ok(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let status = self.send(method, path, &body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {}", self.body());
        self.body()
    }
}

/// Where the head of an answer ends, and how long its body is.
fn head_and_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("an ASCII head");
    let length = head
        .split("\r\n")
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        })
        .unwrap_or(0);
    Some((end, length))
}

/// Latencies of one kind of request.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds what went by since `start`.
    pub fn since(&mut self, start: Instant) {
        self.0.push(start.elapsed());
    }

    /// Adds another's.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The latency that this share (0 to 1) of the requests stayed within, in milliseconds.
    pub fn quantile_ms(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).map_or(f64::NAN, |d| d.as_secs_f64() * 1_000.0)
    }
}
