//! Operators: they start moves, see them through, and change their minds.

use std::sync::Arc;
use std::time::Duration;

use segue::tenants::coordinator::verification::Asked;
use segue::tenants::{Migration, TenantStoreRouter};
use segue_core::digest::Mark;
use segue_core::ids::StoreId;
use segue_core::tenancy::migration::{MigrationState, VerificationLevel};
use segue_store::control::Page;
use segue_store::control::migrations::Filter;

use super::chance::Chance;
use super::process::Process;
use super::world::{TENANT, World};

/// What an operator may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Start,
    Pause,
    Resume,
    Abort,
    CutOver { force: bool },
    Reverse,
    Finish { now: bool },
    Verify,
    Repair,
    DryRun,
    PauseWrites,
    ResumeWrites,
}

/// An operator.
pub struct Operator {
    world: Arc<World>,
    chance: Chance,
}

impl Operator {
    pub fn new(world: &Arc<World>) -> Self {
        Self { world: world.clone(), chance: world.chance.fork() }
    }

    pub async fn work(self) {
        while !self.world.is_at_rest() {
            let process = self.world.process(&self.chance);
            let wish = match self.world.active().await {
                None => Wish::Start,
                Some(active) => self.next_for(&active),
            };
            let wish = if self.has_a_whim() { self.whim() } else { wish };
            self.ask(&process, wish).await;
            self.chance.rest(5, 700).await;
        }
    }

    fn has_a_whim(&self) -> bool {
        self.world.dangers.whims && self.chance.one_in(3)
    }

    /// What leads a migration to its end.
    fn next_for(&self, migration: &Migration) -> Wish {
        match migration.state {
            MigrationState::Paused => Wish::Resume,
            MigrationState::Failed => {
                self.chance.pick(&[Wish::Repair, Wish::Resume, Wish::Resume, Wish::Abort])
            }
            MigrationState::DualWrite => Wish::CutOver { force: self.chance.one_in(4) },
            MigrationState::Migrated => {
                let now = self.chance.percent(70);
                self.chance.pick(&[Wish::Reverse, Wish::Finish { now }])
            }
            MigrationState::Pending
            | MigrationState::BulkCopy
            | MigrationState::CutoverPaused
            | MigrationState::RolledBack => Wish::Verify,
        }
    }

    fn whim(&self) -> Wish {
        let force = self.chance.percent(50);
        let all = [
            Wish::Start,
            Wish::Pause,
            Wish::Resume,
            Wish::Abort,
            Wish::CutOver { force },
            Wish::Reverse,
            Wish::Finish { now: force },
            Wish::Verify,
            Wish::Repair,
            Wish::DryRun,
        ];
        match self.chance.below(8) {
            0 if self.world.dangers.pauses => Wish::PauseWrites,
            1 if self.world.dangers.pauses => Wish::ResumeWrites,
            2 => Wish::Repair,
            3 => Wish::Abort,
            _ => self.chance.pick(&all),
        }
    }

    async fn ask(&self, process: &Process, wish: Wish) {
        let who = format!("olga at {}", process.name);
        self.world.trace.note(format!("{who} wishes {wish:?}"));
        // Nobody waits for ever for an answer.
        let asking = tokio::time::timeout(Duration::from_secs(20), self.make(process, wish));
        let answer = match asking.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => format!("refused: {error}"),
            Err(_) => "waits no longer".to_owned(),
        };
        self.world.trace.note(format!("{who} wished {wish:?}: {answer}"));
    }

    async fn make(&self, process: &Process, wish: Wish) -> segue::Result<String> {
        let (moves, by) = (&process.moves, process.by());
        match wish {
            Wish::Start => {
                let target = self.world.other_store(&process.router).await?;
                let config = self.world.config(&self.chance);
                let started = moves.start_migration(TENANT, &target, config, &by).await?;
                return Ok(format!("{} to {target}: {:?}", started.id, started.config));
            }
            Wish::DryRun => {
                let target = self.world.other_store(&process.router).await?;
                let config = self.world.config(&self.chance);
                let run = moves.dry_run(TENANT, &target, &config).await?;
                return Ok(format!("{} events", run.events_to_copy));
            }
            Wish::PauseWrites => {
                let paused = process.router.pause_writes(TENANT, &by).await?;
                self.chance.rest(1, 1_500).await;
                process.router.resume_writes(TENANT, &by).await?;
                return Ok(format!("paused: {paused}, and resumed"));
            }
            Wish::ResumeWrites => {
                let resumed = process.router.resume_writes(TENANT, &by).await?;
                return Ok(format!("resumed: {}", resumed.is_some()));
            }
            _ => {}
        }
        let Some(active) = self.world.active().await else { return Ok("nothing moves".into()) };
        let id = active.id;
        let after = match wish {
            Wish::Pause => moves.pause_migration(id, &by).await?,
            Wish::Resume => moves.resume_migration(id, &by).await?,
            Wish::Abort => moves.abort_migration(id, "a whim", &by).await?,
            Wish::Reverse => moves.reverse(id, &by).await?,
            Wish::Finish { now } => moves.finish(id, now, &by).await?,
            Wish::Repair => {
                let repaired = moves.repair(id, &by).await?;
                self.world.trace.count("repairs");
                self.world.sound(&repaired.violations);
                repaired.migration
            }
            Wish::CutOver { force } => {
                let patience = self.chance.millis(0, 2_000);
                let outcome = moves.initiate_cutover(id, force, &by, patience).await?;
                return Ok(format!("{outcome:?}").chars().take(9).collect());
            }
            Wish::Verify => {
                let level = self.chance.pick(&[
                    None,
                    Some(VerificationLevel::Hash),
                    Some(VerificationLevel::Full),
                ]);
                let asked = Asked { level, sample_percentage: None, from: Mark::START };
                let report = moves.verify(id, asked, &by, |_| ()).await?;
                self.world.sound(&report.violations);
                return Ok(format!("{} violations", report.violations_total));
            }
            Wish::Start | Wish::DryRun | Wish::PauseWrites | Wish::ResumeWrites => active,
        };
        Ok(after.state.to_string())
    }
}

impl World {
    /// The migration about which something may be done, as the database says.
    pub async fn active(&self) -> Option<Migration> {
        let filter = Filter { tenant: Some(TENANT), only_active: true, ..Filter::default() };
        let listed = self.databases.control.list_migrations(&filter, Page::first(2)).await.unwrap();
        if listed.items.len() > 1 {
            self.trace.wrong("two migrations are active");
        }
        listed.items.into_iter().next().map(Migration::from)
    }

    async fn other_store(&self, router: &TenantStoreRouter) -> segue::Result<StoreId> {
        let home = router.home(TENANT).await?.expect("it was placed").route.store_id;
        let mut ids = self.databases.stores.iter().map(|(id, _)| id);
        Ok(ids.find(|id| **id != home).expect("there are two").clone())
    }

    /// Nothing damages a store here: whatever is found is a mistake of the copy, or of the verifier.
    fn sound(&self, violations: &[segue::tenants::Violation]) {
        for violation in violations {
            self.trace.wrong(format!("the copy differs: {violation}"));
        }
    }
}
