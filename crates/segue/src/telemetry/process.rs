//! What the operating system knows of this process, by the names that Prometheus' own clients use.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{describe_gauge, gauge};

const STARTED: &str = "process_start_time_seconds";
const MEMORY: &str = "process_resident_memory_bytes";
const FILES: &str = "process_open_fds";

/// Describes them, and keeps when the process began to count.
pub(super) fn describe() {
    describe_gauge!(STARTED, "When the process began, in seconds since 1970.");
    describe_gauge!(MEMORY, "Bytes of memory that the process has in use. On Linux only.");
    describe_gauge!(FILES, "Files and connections that the process has open. On Linux only.");
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!(STARTED).set(began.as_secs_f64());
}

/// Tells how it is now. Where `/proc` is not there, nothing is told.
pub(super) fn tell() {
    if let Some(bytes) = resident_bytes() {
        gauge!(MEMORY).set(bytes as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge!(FILES).set(files.count() as f64);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
