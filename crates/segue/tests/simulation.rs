//! Seeded runs of the real routers and coordinators over stores and a control plane in memory, with
//! everything that can go wrong: processes that die, freeze and wake, calls that fail before or after their
//! work, are late or are not answered, operators that change their minds, clocks that differ.
//!
//! A seed decides everything, and the same seed is the same run: time is simulated, there is one thread,
//! and nothing here is random. A run that goes wrong prints its seed and its last lines:
//!
//! ```sh
//! SEGUE_SIM_SEED=4711 cargo test -p segue --test simulation seeds -- --nocapture   # this one, with all lines
//! SEGUE_SIM_SEEDS=5000 cargo test -p segue --test simulation seeds                 # so many
//! ```
//!
//! Writes, reads and consumers are checked as they go and when the dust has settled; see
//! `simulation/rest.rs` for what must be true then. That the simulation can find what it looks for is shown
//! by stores that break a rule, `simulation/bent.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod simulation {
    pub mod audit;
    pub mod bent;
    pub mod chance;
    pub mod clock;
    pub mod fate;
    pub mod operator;
    pub mod process;
    pub mod reader;
    pub mod rest;
    pub mod run;
    pub mod subscriber;
    pub mod trace;
    pub mod trouble;
    pub mod truth;
    pub mod world;
    pub mod writer;
}

use std::collections::BTreeMap;
use std::time::Instant;

use simulation::bent::Bend;
use simulation::run::{Run, run};

/// How many seeds are run where nothing else is said.
const SEEDS: u64 = 100;

/// How many seeds a broken rule may take to be noticed.
const MUTANT_SEEDS: u64 = 300;

/// How many lines of a run that went wrong are printed.
const LINES: usize = 120;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn told(run: &Run, lines: usize) -> String {
    let from = run.lines.len().saturating_sub(lines);
    format!(
        "seed {} went wrong; SEGUE_SIM_SEED={} runs it again\n{}\n\n{}",
        run.seed,
        run.seed,
        run.lines[from..].join("\n"),
        run.wrong.join("\n")
    )
}

#[test]
fn seeds_come_to_rest_with_nothing_lost() {
    if let Some(seed) = setting("SEGUE_SIM_SEED") {
        let run = run(seed, Bend::Straight);
        println!("{}", run.lines.join("\n"));
        assert!(run.wrong.is_empty(), "{}", told(&run, 0));
        return;
    }
    let seeds = setting("SEGUE_SIM_SEEDS").unwrap_or(SEEDS);
    let (begun, mut counts) = (Instant::now(), BTreeMap::new());
    let first = setting("SEGUE_SIM_FROM").unwrap_or(1);
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let run = run(seed, Bend::Straight);
        for (what, count) in &run.counts {
            *counts.entry(*what).or_insert(0) += count;
        }
        if !run.wrong.is_empty() {
            println!("{}\n", told(&run, if failed.is_empty() { LINES } else { 0 }));
            failed.push(seed);
        }
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{seeds} seeds, {:.0} seeds per minute; in these {counts:?}", seeds as f64 / minutes);
    assert!(failed.is_empty(), "{} of {seeds} seeds went wrong: {failed:?}", failed.len());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..6 {
        let (one, other) = (run(seed, Bend::Straight), run(seed, Bend::Straight));
        if one.fingerprint != other.fingerprint {
            let differ = one.lines.iter().zip(&other.lines).position(|(one, other)| one != other);
            let at = differ.unwrap_or(one.lines.len().min(other.lines.len()));
            let around = |run: &Run| {
                run.lines[at.saturating_sub(5)..].iter().take(9).cloned().collect::<Vec<_>>()
            };
            panic!("seed {seed}:\n{:#?}\nand\n{:#?}", around(&one), around(&other));
        }
    }
}

/// Runs seeds with a store that breaks a rule until one goes wrong in the way that is expected of it.
fn finds(bend: Bend, expected: &str) {
    let found = (1..=MUTANT_SEEDS).find_map(|seed| {
        let run = run(seed, bend);
        let wrong = run.wrong.iter().find(|wrong| wrong.contains(expected)).cloned();
        wrong.map(|wrong| (seed, wrong))
    });
    let (seed, wrong) =
        found.unwrap_or_else(|| panic!("{MUTANT_SEEDS} seeds do not notice {bend:?}"));
    println!("{bend:?} is noticed under seed {seed}: {wrong}");
}

#[test]
fn a_simulation_in_which_a_fence_is_dropped_finds_a_lost_write() {
    finds(Bend::FenceDropped, "lost: ");
}

#[test]
fn a_simulation_in_which_stores_answer_whoever_asks_finds_a_read_that_is_old() {
    finds(Bend::ReadsUnchecked, "a reader at ");
}

#[test]
fn a_simulation_in_which_states_stay_behind_finds_a_snapshot_that_is_gone() {
    finds(Bend::StatesDropped, "the snapshot of ");
}
