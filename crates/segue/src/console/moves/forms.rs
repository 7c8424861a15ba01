//! What an operator may do about a move, as forms: each only where the move's stage allows it, with what it means
//! in words. What cannot be taken back has to be typed.

use maud::{Markup, html};
use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::{MigrationState, Stage};

use super::phase::{Act, allowed};
use crate::console::parts::Field;
use crate::console::paths;
use crate::tenants::Migration;

impl Act {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::CutOver,
        Self::Reverse,
        Self::Resume,
        Self::Pause,
        Self::Verify,
        Self::Repair,
        Self::Finish,
        Self::FinishNow,
        Self::Abort,
    ];

    /// Its word in an address.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::CutOver => "cutover",
            Self::Abort => "abort",
            Self::Reverse => "reverse",
            Self::Finish => "finish",
            Self::FinishNow => "finish-now",
            Self::Verify => "verify",
            Self::Repair => "repair",
        }
    }

    /// What a word in an address asks for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }
}

/// What was typed into the forms, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed {
    /// For which act.
    pub act: Option<Act>,
    /// The name that confirms it.
    pub confirm: String,
    /// Why a move is aborted.
    pub reason: String,
    /// How thoroughly a copy is compared.
    pub level: String,
    /// How many events of it, in percent.
    pub sample: String,
    /// The field that is wrong, and how.
    pub wrong: Option<(&'static str, String)>,
}

/// The forms of a move.
#[derive(Debug)]
pub struct Forms<'a> {
    /// The move.
    pub migration: &'a Migration,
    /// Where it stands.
    pub stage: Option<&'a Stage>,
    /// What was typed before.
    pub typed: &'a Typed,
}

impl Forms<'_> {
    /// All that are allowed; nothing for a move that is over.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let allowed = allowed(self.stage);
        html! {
            @if !allowed.is_empty() {
                section.card aria-labelledby="acts" {
                    header { h2 #acts { "What you can do" } }
                    div.acts { @for act in allowed { (self.act(*act)) } }
                }
            }
        }
    }

    fn act(&self, act: Act) -> Markup {
        match act {
            Act::Pause => self.pause(),
            Act::Resume => self.resume(),
            Act::CutOver => self.cut_over(),
            Act::Abort => self.abort(),
            Act::Reverse => self.reverse(),
            Act::Finish => self.finish(),
            Act::FinishNow => self.finish_now(),
            Act::Verify => self.verify(),
            Act::Repair => self.repair(),
        }
    }

    fn id(&self) -> MigrationId {
        self.migration.id
    }

    /// A form that has to be opened first; open when it was sent and refused.
    fn folded(&self, act: Act, title: &str, within: &Markup) -> Markup {
        html! {
            details.act open[self.typed.act == Some(act)] {
                summary { (title) }
                form.fields action=(paths::act(self.id(), act.word())) method="post" { (within) }
            }
        }
    }

    /// A form that is only a button.
    fn at_once(&self, act: Act, button: &str, note: &str) -> Markup {
        html! {
            form.act.at-once action=(paths::act(self.id(), act.word())) method="post" {
                button { (button) }
                p.quiet.small { (note) }
            }
        }
    }

    /// The field in which a name is typed so that nothing happens by mistake.
    fn confirmation(&self, act: Act, name: &'static str, store: &str) -> Markup {
        let label = format!("Type the name of the store, {store}");
        let is_this = self.typed.act == Some(act);
        let wrong = self.wrong(act, name);
        let value = if is_this { &*self.typed.confirm } else { "" };
        Field { name, label: &label, value, wrong, ..Field::default() }.text()
    }

    fn wrong(&self, act: Act, name: &str) -> Option<&str> {
        let wrong = self.typed.wrong.as_ref().filter(|(field, _)| *field == name);
        wrong.filter(|_| self.typed.act == Some(act)).map(|(_, message)| message.as_str())
    }

    fn pause(&self) -> Markup {
        self.at_once(Act::Pause, "Pause the copying", "Reads and writes go on, and nobody notices.")
    }

    fn resume(&self) -> Markup {
        let note = match self.migration.state {
            MigrationState::Failed => "It goes on where it failed. Mend what is in the way first.",
            MigrationState::Pending
            | MigrationState::BulkCopy
            | MigrationState::DualWrite
            | MigrationState::CutoverPaused
            | MigrationState::Migrated
            | MigrationState::RolledBack
            | MigrationState::Paused => "It goes on where it was; what is copied stays.",
        };
        html! {
            form.act.at-once action=(paths::act(self.id(), Act::Resume.word())) method="post" {
                button.first { "Resume" }
                p.quiet.small { (note) }
            }
        }
    }

    fn cut_over(&self) -> Markup {
        let target = self.migration.target_store_id.as_str();
        if self.migration.cutover.requested {
            return html! {
                div.act { p.small { "The cutover is asked for. It follows as soon as the target is close enough and verified; pausing the copying takes the wish back." } }
            };
        }
        let within = html! {
            p.small { "As soon as the target is close enough and its history is verified, the tenant's writes wait for a moment and " code { (target) } " owns the tenant. Reads go on. If that takes too long it is given up, and writes go on where they were." }
            (self.confirmation(Act::CutOver, "target", target))
            label.choice {
                input type="checkbox" name="force" value="yes";
                span {
                    "Without verifying the history"
                    span.hint { "Only when it was verified already, or must not be waited for. That both logs end alike is checked in any case." }
                }
            }
            div.actions { button.first { "Cut over" } }
        };
        self.folded(Act::CutOver, "Cut over…", &within)
    }

    fn abort(&self) -> Markup {
        let is_rolling_back = self.migration.state == MigrationState::RolledBack;
        let target = self.migration.target_store_id.as_str();
        let reason = Field {
            name: "reason",
            label: "Why",
            value: &self.typed.reason,
            hint: "Stays on record.",
            wrong: self.wrong(Act::Abort, "reason"),
        };
        let within = html! {
            @if is_rolling_back {
                p.small { "It is aborted, and what " code { (target) } " holds is purged as soon as that store answers." }
            } @else {
                p.small { "The tenant stays where it is, and what " code { (target) } " holds of it is purged." }
                (reason.area())
            }
            label.choice {
                input type="checkbox" name="abandon" value="yes";
                span {
                    "Do not wait for the purge"
                    span.hint { "Only when " (target) " is gone for good. Refused while it answers." }
                }
            }
            div.actions { button.danger { @if is_rolling_back { "End it" } @else { "Abort the move" } } }
        };
        self.folded(
            Act::Abort,
            if is_rolling_back { "End without the purge…" } else { "Abort…" },
            &within,
        )
    }

    fn reverse(&self) -> Markup {
        let source = self.migration.source_store_id.as_str();
        let within = html! {
            p.small { "By a move of its own, which begins with what " code { (source) } " holds already and is cut over like any other. As often as you like." }
            (self.confirmation(Act::Reverse, "source", source))
            div.actions { button { "Go back" } }
        };
        self.folded(Act::Reverse, "Go back…", &within)
    }

    fn finish(&self) -> Markup {
        let source = self.migration.source_store_id.as_str();
        let kept = self.migration.config.source_retention_seconds as f64;
        let within = html! {
            p.small {
                "There is no way back then. What " code { (source) } " holds is purged when it was kept for "
                (crate::console::lengths::lasting(kept)) "; a tombstone stays, and the tenant may move again."
            }
            label.choice {
                input type="checkbox" name="now" value="yes";
                span { "Purge it now" span.hint { "And not only after that time." } }
            }
            (self.abandon_source(source))
            div.actions { button.danger { "Finish" } }
        };
        self.folded(Act::Finish, "Finish…", &within)
    }

    fn finish_now(&self) -> Markup {
        let source = self.migration.source_store_id.as_str();
        let within = html! {
            p.small { "It is finished, and what " code { (source) } " holds is kept for a while yet." }
            (self.abandon_source(source))
            div.actions { button.danger { "Purge it now" } }
        };
        self.folded(Act::FinishNow, "Purge the old copy now…", &within)
    }

    fn abandon_source(&self, source: &str) -> Markup {
        html! {
            label.choice {
                input type="checkbox" name="abandon" value="yes";
                span {
                    "Do not purge it at all"
                    span.hint { "Only when " (source) " is gone for good. Refused while it answers." }
                }
            }
        }
    }

    fn verify(&self) -> Markup {
        let config = &self.migration.config;
        let is_this = self.typed.act == Some(Act::Verify);
        let (level, sample) = match is_this {
            true => (self.typed.level.clone(), self.typed.sample.clone()),
            false => (
                config.verification_level.as_str().to_owned(),
                config.sample_percentage.to_string(),
            ),
        };
        let levels = [
            ("COUNT", "COUNT: ends, streams and versions"),
            ("HASH", "HASH: also everything stored, read back and hashed"),
            ("FULL", "FULL: also events and snapshots, field by field"),
        ]
        .map(|(value, called)| (value.to_owned(), called.to_owned()));
        let level = Field {
            name: "level",
            label: "What is compared",
            value: &level,
            wrong: self.wrong(Act::Verify, "level"),
            ..Field::default()
        };
        let sample = Field {
            name: "sample_percentage",
            label: "Of the events, in percent",
            value: &sample,
            hint: "For FULL: over 0, to 100.",
            wrong: self.wrong(Act::Verify, "sample_percentage"),
        };
        let within = html! {
            (level.select(&levels))
            (sample.number())
            div.actions { button { "Verify" } }
        };
        self.folded(Act::Verify, "Verify…", &within)
    }

    fn repair(&self) -> Markup {
        let within = html! {
            p.small { "Compares everything, takes the copy back to the last place where both stores agree, and lets it be copied anew from there. The tenant's reads and writes go on." }
            div.actions { button { "Repair" } }
        };
        self.folded(Act::Repair, "Repair…", &within)
    }
}
