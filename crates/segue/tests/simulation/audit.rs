//! The audit: no decision without a line, and no line that does not follow from the one before.

use std::collections::BTreeMap;

use segue_core::tenancy::migration::MigrationState;
use segue_store::control::Page;
use segue_store::control::audit::{Action, Entry, Filter, Subject};
use segue_store::control::migrations;

use super::world::{TENANT, World};

/// Where a migration is, by its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pending,
    BulkCopy,
    DualWrite,
    /// Paused or failed, and where it goes on.
    Halted(Halted),
    CutoverPaused,
    /// Taken back, and whether the move is aborted.
    Reopening(bool),
    RollingBack,
    Migrated,
    Finishing,
    Over(MigrationState),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halted {
    Pending,
    BulkCopy,
    DualWrite,
}

/// What a line makes of a migration; nothing where it cannot follow.
fn follow(before: Option<Stage>, action: Action) -> Option<Stage> {
    use Stage as S;
    let halted = |stage| match stage {
        S::Pending => Some(S::Halted(Halted::Pending)),
        S::BulkCopy => Some(S::Halted(Halted::BulkCopy)),
        S::DualWrite => Some(S::Halted(Halted::DualWrite)),
        _ => None,
    };
    let Some(before) = before else {
        return match action {
            Action::MigrationStarted => Some(S::Pending),
            Action::MigrationReversed => Some(S::BulkCopy),
            _ => None,
        };
    };
    match (action, before) {
        (_, S::Over(_)) => None,
        (Action::MigrationTakenOver, stage) => Some(stage),
        (Action::BulkCopyBegun, S::Pending) => Some(S::BulkCopy),
        (Action::DualWriteBegun, S::BulkCopy) => Some(S::DualWrite),
        (Action::MigrationPaused, S::BulkCopy | S::DualWrite) => halted(before),
        (Action::MigrationFailed, _) => halted(before),
        (Action::MigrationResumed, S::Halted(Halted::Pending)) => Some(S::Pending),
        (Action::MigrationResumed, S::Halted(Halted::BulkCopy)) => Some(S::BulkCopy),
        (Action::MigrationResumed, S::Halted(Halted::DualWrite)) => Some(S::DualWrite),
        (Action::CutoverBegun, S::DualWrite) => Some(S::CutoverPaused),
        (Action::CutoverGivenUp, S::CutoverPaused) => Some(S::Reopening(false)),
        (Action::WritesReopened, S::Reopening(false)) => Some(S::DualWrite),
        (Action::WritesReopened, S::Reopening(true)) => Some(S::RollingBack),
        (Action::TenantMigrated, S::CutoverPaused) => Some(S::Migrated),
        (Action::MigrationAborted, S::Pending | S::Halted(Halted::Pending)) => {
            Some(S::Over(MigrationState::RolledBack))
        }
        (Action::MigrationAborted, S::CutoverPaused | S::Reopening(_)) => Some(S::Reopening(true)),
        (Action::MigrationAborted, S::BulkCopy | S::DualWrite | S::Halted(_)) => {
            Some(S::RollingBack)
        }
        (Action::MigrationRolledBack, S::RollingBack) => Some(S::Over(MigrationState::RolledBack)),
        (Action::MigrationFinished, S::Migrated | S::Finishing) => Some(S::Finishing),
        (Action::SourcePurged, S::Finishing) => Some(S::Over(MigrationState::Migrated)),
        _ => None,
    }
}

/// Checks the lines against each other, the route and the migrations.
pub async fn check(world: &World) {
    let control = &world.databases.control;
    let decisions = decisions(world).await;
    for (_, line) in &decisions {
        world.trace.count(line.action.as_str());
    }
    let route = control.route(TENANT).await.unwrap().unwrap();
    let terms: Vec<u64> = decisions.iter().map(|(term, _)| *term).collect();
    if terms != (1..=route.term.0).collect::<Vec<_>>() {
        world.trace.wrong(format!("the audit has terms {terms:?}, the route {}", route.term));
    }
    let mut stages: BTreeMap<String, Stage> = BTreeMap::new();
    for (term, line) in decisions.iter().filter(|(_, line)| line.subject == Subject::Migration) {
        if line.action == Action::MigrationReversed {
            let ended = line.details["reverses"].as_str().unwrap_or_default().to_owned();
            match stages.insert(ended, Stage::Over(MigrationState::Migrated)) {
                Some(Stage::Migrated) => {}
                other => world.trace.wrong(format!("term {term} reverses what is {other:?}")),
            }
        }
        // Nothing is ever wrong here that does not pass by itself.
        if line.action == Action::MigrationFailed {
            world.trace.wrong(format!("term {term}: it fails: {}", line.details["error"]));
        }
        let before = stages.get(&line.subject_id).copied();
        match follow(before, line.action) {
            Some(after) => drop(stages.insert(line.subject_id.clone(), after)),
            None => {
                let action = line.action;
                world.trace.wrong(format!("term {term}: {action} cannot follow {before:?}"));
            }
        }
    }
    let filter = migrations::Filter { tenant: Some(TENANT), ..migrations::Filter::default() };
    let listed = control.list_migrations(&filter, Page::first(500)).await.unwrap();
    for migration in listed.items {
        let by_lines = stages.get(&migration.id.to_string());
        if !matches!(by_lines, Some(Stage::Over(state)) if *state == migration.state) {
            let (id, state) = (migration.id, migration.state);
            world.trace.wrong(format!("migration {id} is {state}, by its lines {by_lines:?}"));
        }
    }
}

/// The lines of decisions, by their term.
async fn decisions(world: &World) -> Vec<(u64, Entry)> {
    let (mut after, mut lines) = (None, Vec::new());
    loop {
        let page = Page { limit: 500, after };
        let all = Filter::default();
        let listed = world.databases.control.list_audit(TENANT, &all, page).await.unwrap();
        lines.extend(listed.items);
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    let of_term = |line: Entry| Some((line.details["term"].as_u64()?, line));
    let mut decisions: Vec<_> = lines.into_iter().filter_map(of_term).collect();
    decisions.sort_by_key(|(term, _)| *term);
    decisions
}
