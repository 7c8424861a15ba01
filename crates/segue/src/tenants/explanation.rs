//! A tenant's situation in words: where it lives, where it is going, who carries that on, what happens next,
//! and what stands in the way. One sentence a line.

use jiff::Timestamp;
use segue_core::tenancy::migration::{Afterwards, Copying, MigrationState, Moving, Stage};
use segue_store::control::audit;
use segue_store::control::migrations::Migration;
use segue_store::control::routing::{Phase, Route};
use segue_store::events::Head;

/// What is known of a tenant.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    /// What is decided.
    pub(super) route: &'a Route,
    /// What its store says, or why it says nothing.
    pub(super) head: Result<&'a Head, &'a str>,
    /// The migration that the route is about.
    pub(super) migration: Option<&'a Migration>,
    /// The last decision about that.
    pub(super) last: Option<&'a audit::Entry>,
}

impl Situation<'_> {
    /// All of it.
    pub(super) fn explain(&self) -> String {
        let mut lines = vec![self.home()];
        if let Some(moving) = &self.route.moving {
            lines.push(self.standing(moving));
            lines.extend(self.carried_on_by(moving));
            lines.push(format!("next: {}", self.next(moving)));
            lines.extend(self.in_the_way());
        }
        lines.join("\n")
    }

    fn home(&self) -> String {
        let route = self.route;
        let store = format!("lives in store `{}` at epoch {}", route.store_id, route.epoch);
        match (&self.head, route.phase) {
            (Err(reason), _) => {
                format!("{store}; the store cannot say how far its log goes: {reason}")
            }
            (Ok(head), _) if head.epoch != route.epoch && !route.is_cut_over() => format!(
                "{store}, but the store has it at epoch {} and {}: read and write it once, and if this \
                 stays, somebody has to look",
                head.epoch, head.mode
            ),
            (Ok(_), Phase::Paused { since }) => {
                format!("{store}; its writes wait since {since}, its reads go on")
            }
            (Ok(_), Phase::Settled) => match waiting_since(route) {
                Some(since) => format!("{store}; its writes wait since {since}, its reads go on"),
                None => format!("{store}; reads and writes go on"),
            },
        }
    }

    /// Where the move stands.
    fn standing(&self, moving: &Moving) -> String {
        let (id, peer) = (moving.migration, &moving.peer);
        match &moving.stage {
            Stage::Pending => format!("migration {id} to store `{peer}` looks at both stores"),
            Stage::BulkCopy => {
                format!("migration {id} copies it to store `{peer}`{}", self.progress())
            }
            Stage::DualWrite => {
                format!("migration {id}: store `{peer}` follows it closely{}", self.progress())
            }
            Stage::Paused { from } => format!(
                "migration {id} to store `{peer}` was paused in {}; its writers do not notice{}",
                copying(*from),
                self.progress()
            ),
            Stage::Failed { from } => format!(
                "migration {id} to store `{peer}` failed in {}; its writers do not notice{}",
                copying(*from),
                self.progress()
            ),
            Stage::CutoverPaused { since, .. } => format!(
                "migration {id} cuts over to store `{peer}` since {since} (attempt {})",
                moving.attempts
            ),
            Stage::Reopening { then: Afterwards::DualWrite, .. } => {
                format!("migration {id}: the cutover to store `{peer}` was given up")
            }
            Stage::Reopening { then: Afterwards::RollBack, .. } => {
                format!("migration {id} to store `{peer}` was aborted during its cutover")
            }
            Stage::RollingBack => format!("migration {id} to store `{peer}` was aborted"),
            Stage::Migrated { at } => format!(
                "migration {id} brought it here from store `{peer}` at position {}; {}",
                at.position,
                match self.keeps_way_back() {
                    true => "that store follows it, for a way back",
                    false => "that store keeps its copy as it was then",
                }
            ),
            Stage::Finishing { at, .. } => format!(
                "migration {id} brought it here from store `{peer}` at position {} and is finished: there \
                 is no way back",
                at.position
            ),
        }
    }

    /// How far the copy is, as its coordinator last told.
    fn progress(&self) -> String {
        let Some(migration) = self.migration else { return String::new() };
        let progress = &migration.progress;
        if progress.total.0 == 0 {
            return String::new();
        }
        let eta = match progress.eta() {
            Some(eta) if progress.lag() > migration.config.sync_lag_threshold => {
                format!(", about {:.0} s to go", eta.as_secs_f64().ceil())
            }
            Some(_) | None => String::new(),
        };
        format!(
            ": {} of {} events ({:.0} %), {} behind{eta}",
            progress.copied,
            progress.total,
            progress.percentage(),
            progress.lag()
        )
    }

    /// Who carries it on, and since when it stands where it does.
    fn carried_on_by(&self, moving: &Moving) -> Vec<String> {
        let waits_for_operator =
            matches!(moving.stage, Stage::Paused { .. } | Stage::Failed { .. });
        let coordinator = self.migration.and_then(|migration| migration.coordinator);
        let who = match (waits_for_operator, coordinator) {
            (true, _) => "nobody carries it on: it waits for an operator".to_owned(),
            (false, Some(process)) => format!(
                "process {process} carries it on; should it fall silent, another one takes over"
            ),
            (false, None) => "nobody carries it on yet".to_owned(),
        };
        let decided = self.last.map(|last| {
            let action = last.action.as_str().replace('_', " ");
            format!("last decision: {action}, by {}, at {}", last.actor, last.at)
        });
        std::iter::once(who).chain(decided).collect()
    }

    fn next(&self, moving: &Moving) -> String {
        let (id, owner, peer) = (moving.migration, &self.route.store_id, &moving.peer);
        match &moving.stage {
            Stage::Pending => "the copy begins, if both stores will do".to_owned(),
            Stage::BulkCopy => format!(
                "when store `{peer}` lacks no more than {} events it follows closely",
                self.threshold()
            ),
            Stage::DualWrite => self.before_cutover(moving),
            Stage::Paused { .. } => format!(
                "nothing, until somebody resumes it (`segue tenant migration resume {id}`) or aborts it"
            ),
            Stage::Failed { .. } => format!(
                "nothing, until what is in the way is mended and somebody resumes it \
                 (`segue tenant migration resume {id}`), or aborts it"
            ),
            Stage::CutoverPaused { .. } => format!(
                "store `{peer}` is brought to where `{owner}` ends and proven, then it owns the tenant; if \
                 that takes longer than {} s, writes go on in `{owner}`",
                self.budget()
            ),
            Stage::Reopening { then: Afterwards::DualWrite, .. } => {
                format!("writes go on in `{owner}`, and `{peer}` goes on following")
            }
            Stage::Reopening { then: Afterwards::RollBack, .. } => {
                format!("writes go on in `{owner}`, and the copy in `{peer}` is purged")
            }
            Stage::RollingBack => format!("the copy in `{peer}` is purged; a tombstone stays"),
            Stage::Migrated { .. } => format!(
                "nothing by itself: go back with `segue tenant migration reverse {id}`, or give up the way \
                 back with `segue tenant migration finish {id}`"
            ),
            Stage::Finishing { purge_at, .. } => {
                format!("the copy in `{peer}` is purged, not before {purge_at}; a tombstone stays")
            }
        }
    }

    fn before_cutover(&self, moving: &Moving) -> String {
        let wish = self.migration.and_then(|migration| migration.journal.wish.as_ref());
        let is_automatic = self.migration.is_some_and(|migration| migration.config.auto_cutover);
        let when = format!(
            "as soon as store `{}` lacks no more than {} events and is verified",
            moving.peer,
            self.threshold()
        );
        match wish {
            Some(wish) => {
                format!("the cutover that {} asked for at {}, {when}", wish.by, wish.at)
            }
            None if is_automatic => format!("the cutover, by itself, {when}"),
            None => format!(
                "it goes on following until somebody cuts it over: `segue tenant migration cutover {}`",
                moving.migration
            ),
        }
    }

    fn in_the_way(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(error) = self.migration.and_then(|migration| migration.journal.error.as_ref()) {
            let then = error.suggested_action.as_ref().map(|action| format!("; {action}"));
            let then = then.unwrap_or_default();
            lines.push(format!("in the way since {}: {}{then}", error.at, error.message));
        }
        let follows =
            self.route.moving.as_ref().is_some_and(|moving| {
                MigrationState::from(&moving.stage) == MigrationState::DualWrite
            });
        let says_so = lines.iter().any(|line| line.contains("writes are paused"));
        if follows && !says_so && matches!(self.route.phase, Phase::Paused { .. }) {
            lines.push(
                "in the way: an operator has paused its writes, and a tenant that is not written is not cut \
                 over; resume them"
                    .to_owned(),
            );
        }
        lines
    }

    fn threshold(&self) -> u64 {
        self.migration.map_or(0, |migration| migration.config.sync_lag_threshold)
    }

    fn budget(&self) -> f64 {
        self.migration.map_or(0.0, |migration| migration.config.cutover_timeout_seconds)
    }

    fn keeps_way_back(&self) -> bool {
        self.migration.is_some_and(|migration| migration.config.keep_way_back)
    }
}

/// Since when a cutover keeps the tenant's writes waiting.
fn waiting_since(route: &Route) -> Option<Timestamp> {
    match route.moving.as_ref()?.stage {
        Stage::CutoverPaused { since, .. } | Stage::Reopening { since, .. } => Some(since),
        Stage::Pending
        | Stage::BulkCopy
        | Stage::DualWrite
        | Stage::Paused { .. }
        | Stage::Failed { .. }
        | Stage::RollingBack
        | Stage::Migrated { .. }
        | Stage::Finishing { .. } => None,
    }
}

fn copying(from: Copying) -> &'static str {
    match from {
        Copying::Pending => "pending",
        Copying::BulkCopy => "bulk_copy",
        Copying::DualWrite => "dual_write",
    }
}

#[cfg(test)]
mod tests {
    use segue_core::digest::Mark;
    use segue_core::ids::{MigrationId, Position, TenantId};
    use segue_core::tenancy::migration::journal::{Obstacle, Wish};
    use segue_core::tenancy::migration::{
        Decision, Journal, MigrationConfig, Progress, Why, record,
    };
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn migration() -> Migration {
        Migration {
            id: MigrationId(Uuid::nil()),
            tenant_id: TenantId(Uuid::nil()),
            source: "shared".parse().unwrap(),
            target: "own".parse().unwrap(),
            state: MigrationState::BulkCopy,
            is_active: true,
            reverses: None,
            created_by: "olga".to_owned(),
            created_at: at(0),
            started_at: None,
            completed_at: None,
            config: MigrationConfig::default(),
            journal: Journal::default(),
            coordinator: Some(Uuid::nil()),
            beats: 7,
            progress: Progress {
                copied: Position(250),
                total: Position(1_000),
                events_per_second: 50.0,
                ..Progress::default()
            },
        }
    }

    /// The route after decisions, and what is said about it.
    fn after(decisions: &[Decision], migration: &Migration) -> String {
        let mut route = Route::first("shared".parse().unwrap());
        for decision in decisions {
            route = record(&route, decision, at(5)).unwrap();
        }
        let head = Head::opened(route.epoch);
        let migration = Some(migration).filter(|_| route.moving.is_some());
        Situation { route: &route, head: Ok(&head), migration, last: None }.explain()
    }

    #[test]
    fn every_stage_of_a_move_says_where_it_stands_and_what_happens_next() {
        let start =
            Decision::Start { migration: MigrationId(Uuid::nil()), target: "own".parse().unwrap() };
        let commit = Decision::Commit { at: Mark { position: Position(1_000), ..Mark::START } };
        let finish = Decision::Finish { purge_at: at(60) };
        let give_up = Decision::GiveUp { why: Why::Timeout };
        let mut way = Vec::new();
        let mut told = |decision: &Decision, expected: &[&str]| {
            way.push(decision.clone());
            let text = after(&way, &migration());
            for phrase in expected {
                assert!(text.contains(phrase), "{phrase:?} is missing in\n{text}");
            }
        };
        assert_eq!(
            after(&[], &migration()),
            "lives in store `shared` at epoch 1; reads and writes go on"
        );
        told(&start, &["looks at both stores", "next: the copy begins"]);
        let copied = "250 of 1000 events (25 %), 750 behind, about 15 s to go";
        told(&Decision::BeginCopy, &["copies it to store `own`", copied, "carries it on"]);
        told(&Decision::Pause, &["was paused in bulk_copy", "waits for an operator", "resumes it"]);
        told(&Decision::Resume, &["next: when store `own` lacks no more than 100 events"]);
        told(&Decision::Fail, &["failed in bulk_copy", "is mended"]);
        told(&Decision::Resume, &[]);
        told(&Decision::BeginDualWrite, &["follows it closely", "segue tenant migration cutover"]);
        told(&Decision::CutOver, &["writes wait since", "attempt 1", "longer than 5 s"]);
        told(&give_up, &["was given up", "writes go on in `shared`"]);
        told(&Decision::Reopened, &["at epoch 3", "reads and writes go on", "follows it closely"]);
        told(&Decision::CutOver, &["attempt 2"]);
        told(&commit, &["lives in store `own`", "at position 1000", "for a way back", "reverse"]);
        told(&finish, &["no way back", "not before 2027-01-15T08:01:00Z; a tombstone stays"]);
    }

    #[test]
    fn a_wish_and_what_stands_in_its_way_are_named() {
        let mut wished = migration();
        wished.journal.wish = Some(Wish { force: false, by: "omar".to_owned(), at: at(9) });
        wished.journal.error = Some(Obstacle {
            message: "the disk is full".to_owned(),
            recoverable: true,
            suggested_action: Some("make room".to_owned()),
            at: at(10),
        });
        let start =
            Decision::Start { migration: MigrationId(Uuid::nil()), target: "own".parse().unwrap() };
        let way = [start, Decision::BeginCopy, Decision::BeginDualWrite];
        let text = after(&way, &wished);
        assert!(text.contains("next: the cutover that omar asked for"), "{text}");
        let obstacle = "in the way since 2027-01-15T08:00:10Z: the disk is full; make room";
        assert!(text.ends_with(obstacle), "{text}");
    }
}
