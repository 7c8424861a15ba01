//! What moving a tenant costs: the copy, the pause that writers see, and what writers notice meanwhile.
//!
//! `cargo bench -p segue --bench moves [-- --url URL] [--events N] [--only copy|pause|beside]
//! [--store postgresql|sqlite]` prints the figures and their ratios to something measured in the same run.
//! Without a URL it starts a PostgreSQL of its own with durable settings.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

#[path = "moves/beside.rs"]
mod beside;
#[path = "moves/copy.rs"]
mod copy;
#[path = "moves/pause.rs"]
mod pause;
#[path = "moves/raw.rs"]
mod raw;
#[path = "moves/world.rs"]
mod world;

use segue_testing::postgres::Server;
use world::Kind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let events = value("--events").map_or(1_000_000, |events| events.parse().unwrap());
    let one_of = |name: &str, words: &[&str]| {
        let chosen = value(name);
        let is_known = chosen.as_deref().is_none_or(|word| words.contains(&word));
        assert!(is_known, "{name} is one of {}", words.join(", "));
        move |word: &str| chosen.as_deref().is_none_or(|chosen| chosen == word)
    };
    let wants_part = one_of("--only", &["copy", "pause", "beside"]);
    let wants_store = one_of("--store", &["postgresql", "sqlite"]);
    let server = if value("--url").is_none() { Some(Server::start()) } else { None };
    let url = value("--url").unwrap_or_else(|| server.as_ref().unwrap().url());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for kind in [Kind::Postgres, Kind::Sqlite] {
            let wanted = |part| wants_store(&kind.name().to_lowercase()) && wants_part(part);
            if wanted("copy") {
                copy::measure(kind, &url, events).await;
            }
            if wanted("pause") {
                pause::measure(kind, &url, events).await;
            }
            if wanted("beside") {
                beside::measure(kind, &url).await;
            }
        }
    });
}
