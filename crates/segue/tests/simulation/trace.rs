//! What happened, line by line, for whoever has to find out why; and as a number, to tell two runs apart.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use tokio::time::Instant;

/// More lines than any run has that comes to an end.
const LINES: usize = 50_000;

/// The lines of one run.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    lines: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Trace {
    pub fn new() -> Self {
        let (lines, wrong, counts) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { begun: Instant::now(), lines, wrong, counts }
    }

    pub fn begun(&self) -> Instant {
        self.begun
    }

    pub fn note(&self, line: impl AsRef<str>) {
        let at = self.begun.elapsed().as_micros();
        let mut lines = self.lines.lock().unwrap();
        lines.push(format!("{at:>10} {}", line.as_ref()));
        // Somebody does the same over and over while no time passes.
        if lines.len() > LINES {
            println!("this does not end:\n{}\n{}", lines[0], lines[LINES - 40..].join("\n"));
            // A panic would end one task of many.
            std::process::exit(1);
        }
    }

    /// Notes what must not be.
    pub fn wrong(&self, line: impl AsRef<str>) {
        self.note(format!("WRONG: {}", line.as_ref()));
        self.wrong.lock().unwrap().push(line.as_ref().to_owned());
    }

    pub fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// Counts something, to show what a seed is good for.
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap().clone()
    }

    /// The same for two runs that went the same way.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lines.lock().unwrap().hash(&mut hasher);
        hasher.finish()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}
