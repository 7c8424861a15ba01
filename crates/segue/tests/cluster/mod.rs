//! `segue serve` processes over PostgreSQL, each of which can be killed, frozen and started again, and clients
//! that talk to any of them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod api;
pub mod chain;
pub mod operator;
pub mod readers;
pub mod turns;
pub mod writers;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, RwLock};

use segue_testing::postgres::{Server, TestDatabase};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What decides all that is random: given by hand to see a run again, or else drawn.
pub fn seed() -> u64 {
    from_environment("SEGUE_CHAOS_SEED").unwrap_or_else(|| {
        u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap())
    })
}

/// A number that was given by hand.
pub fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

/// How many nodes a cluster has that says nothing else.
pub const NODES: usize = 2;

/// Where each node listens now, as `http://127.0.0.1:port`. It changes when a node is started again.
pub type Addresses = Arc<RwLock<Vec<String>>>;

/// Servers and their database. Dropped, everything stops.
pub struct Cluster {
    pub addresses: Addresses,
    nodes: Vec<Option<Child>>,
    folder: TempDir,
    pub database: TestDatabase,
    pub postgres: Server,
}

impl Cluster {
    /// Starts both nodes on a database of this server. `more` are lines of the configuration
    /// of both the store and the control plane.
    pub fn start(runtime: &Runtime, postgres: Server, more: &str) -> Self {
        let database = runtime.block_on(TestDatabase::on(&postgres));
        let url = database.url();
        let config = format!(
            "[control]\nurl = \"{url}\"\n{more}\n[stores]\ndefault = \"main\"\n\n[stores.main]\n\
             kind = \"postgres\"\nurl = \"{url}\"\n{more}"
        );
        Self::configured(NODES, &config, database, postgres)
    }

    /// Starts so many nodes with this configuration, which names a database of this server.
    pub fn configured(
        nodes: usize,
        config: &str,
        database: TestDatabase,
        postgres: Server,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("segue.toml"), config).unwrap();
        let addresses = Arc::new(RwLock::new(vec![String::new(); nodes]));
        let stopped = (0..nodes).map(|_| None).collect();
        let mut cluster = Self { addresses, nodes: stopped, folder, database, postgres };
        (0..nodes).for_each(|node| cluster.start_node(node));
        cluster
    }

    /// Starts a node that is not running, and waits for its ready line.
    pub fn start_node(&mut self, node: usize) {
        assert!(self.nodes[node].is_none(), "node {node} is running");
        let log = OpenOptions::new().append(true).create(true).open(self.log_file(node)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_segue"))
            .args(["serve", "--config", "segue.toml", "--listen", "127.0.0.1:0"])
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .env("SEGUE_LOG", "warn,deadpool=error")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().map(Result::unwrap);
        let ready = ready.unwrap_or_else(|| panic!("node {node} ended:\n{}", self.log(node)));
        let address = ready.strip_prefix("segue listens on ").expect(&ready).to_owned();
        self.addresses.write().unwrap()[node] = address;
        // Whatever else it prints is read away, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        self.nodes[node] = Some(child);
    }

    /// `kill -9`
    pub fn kill_node(&mut self, node: usize) {
        let mut child = self.nodes[node].take().expect("the node is running");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops a node where it stands, as a long pause of its machine would, until [`Cluster::thaw_node`].
    pub fn freeze_node(&self, node: usize) {
        self.signal(node, "-STOP");
    }

    pub fn thaw_node(&self, node: usize) {
        self.signal(node, "-CONT");
    }

    /// Kills a node, and starts it again after a while.
    pub fn kill_node_for(&mut self, node: usize, a_while: impl FnOnce()) {
        self.kill_node(node);
        a_while();
        self.start_node(node);
    }

    /// Kills all nodes, and starts them again after a while.
    pub fn kill_all_nodes_for(&mut self, a_while: impl FnOnce()) {
        (0..self.nodes.len()).for_each(|node| self.kill_node(node));
        a_while();
        (0..self.nodes.len()).for_each(|node| self.start_node(node));
    }

    fn signal(&self, node: usize, signal: &str) {
        let child = self.nodes[node].as_ref().expect("the node is running");
        let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// What a node has logged, over all its lives.
    pub fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{node}.log"))
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The resident memory of a node, in bytes.
    pub fn resident_bytes(&self, node: usize) -> u64 {
        let pid = self.nodes[node].as_ref().expect("the node is running").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }
}

/// Crashes a database server, and starts it again after a while.
pub fn crash_for(postgres: &mut Server, a_while: impl FnOnce()) {
    postgres.stop_immediate();
    a_while();
    postgres.start_again();
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if let Some(child) = node {
                let _ = child.kill();
                let _ = child.wait();
            }
            if std::thread::panicking() {
                let log =
                    std::fs::read_to_string(self.folder.path().join(format!("node-{number}.log")));
                let log = log.unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let last = &lines[lines.len().saturating_sub(15)..];
                eprintln!("node {number} logged last:\n{}", last.join("\n"));
            }
        }
    }
}
