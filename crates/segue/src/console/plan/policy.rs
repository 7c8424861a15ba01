//! A policy as a form, and in words.

use maud::{Markup, html};
use segue_core::ids::{Channel, StepId};
use segue_core::plan::policy::{AnchorMigrationPolicy, MigrationScenario, ScopeFilter};

use crate::console::parts::{Field, Tone, badge};
use crate::console::sent::Sent;

const FORCED: [(&str, &str); 4] = [
    ("", "As computed"),
    ("clean_graft", "Go on silently"),
    ("gap_fill", "Ask for what is missing"),
    ("re_route", "Follow the new rules"),
];

/// What stands in a policy's form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form {
    include_channels: String,
    exclude_channels: String,
    include_current_nodes: String,
    exclude_current_nodes: String,
    max_session_age_days: String,
    min_session_age_days: String,
    update_downstream: bool,
    force_scenario: String,
    map_to_step_id: String,
}

/// A list as it is typed: one a line.
fn lines<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What was typed, one a line.
fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Result<Vec<T>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| line.parse().map_err(|_| format!("“{line}” is not the name of {what}.")))
        .collect()
}

impl Form {
    /// The form of a policy as it is.
    pub(super) fn of(policy: &AnchorMigrationPolicy) -> Self {
        let AnchorMigrationPolicy {
            anchor_content_hash: _,
            anchor_name: _,
            scope_filter,
            update_downstream,
            force_scenario,
            map_to_step_id,
        } = policy;
        let ScopeFilter {
            include_channels,
            exclude_channels,
            include_current_nodes,
            exclude_current_nodes,
            max_session_age_days,
            min_session_age_days,
        } = scope_filter;
        let days = |days: &Option<u32>| days.map(|days| days.to_string()).unwrap_or_default();
        Self {
            include_channels: lines(include_channels),
            exclude_channels: lines(exclude_channels),
            include_current_nodes: lines(include_current_nodes),
            exclude_current_nodes: lines(exclude_current_nodes),
            max_session_age_days: days(max_session_age_days),
            min_session_age_days: days(min_session_age_days),
            update_downstream: *update_downstream,
            force_scenario: force_scenario.map_or("", word).to_owned(),
            map_to_step_id: map_to_step_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The form as it was sent.
    pub(super) fn sent(sent: &Sent) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        Self {
            include_channels: text("include_channels"),
            exclude_channels: text("exclude_channels"),
            include_current_nodes: text("include_current_nodes"),
            exclude_current_nodes: text("exclude_current_nodes"),
            max_session_age_days: text("max_session_age_days"),
            min_session_age_days: text("min_session_age_days"),
            update_downstream: sent.has("update_downstream"),
            force_scenario: text("force_scenario"),
            map_to_step_id: text("map_to_step_id"),
        }
    }

    /// The policy that it describes.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(super) fn policy(&self) -> Result<AnchorMigrationPolicy, String> {
        let days = |text: &str| match text {
            "" => Ok(None),
            text => text
                .parse::<u32>()
                .map(Some)
                .map_err(|_| format!("“{text}” is not a number of days.")),
        };
        let scope_filter = ScopeFilter {
            include_channels: parsed::<Channel>(&self.include_channels, "a channel")?,
            exclude_channels: parsed::<Channel>(&self.exclude_channels, "a channel")?,
            include_current_nodes: parsed::<StepId>(&self.include_current_nodes, "a step")?,
            exclude_current_nodes: parsed::<StepId>(&self.exclude_current_nodes, "a step")?,
            max_session_age_days: days(&self.max_session_age_days)?,
            min_session_age_days: days(&self.min_session_age_days)?,
        };
        let force_scenario = match self.force_scenario.as_str() {
            "" => None,
            "clean_graft" => Some(MigrationScenario::CleanGraft),
            "gap_fill" => Some(MigrationScenario::GapFill),
            "re_route" => Some(MigrationScenario::ReRoute),
            other => return Err(format!("“{other}” is none of the three migration scenarios.")),
        };
        let map_to_step_id = match self.map_to_step_id.as_str() {
            "" => None,
            step => Some(step.parse().map_err(|_| format!("“{step}” is not the id of a step."))?),
        };
        Ok(AnchorMigrationPolicy {
            anchor_content_hash: None,
            anchor_name: None,
            scope_filter,
            update_downstream: self.update_downstream,
            force_scenario,
            map_to_step_id,
        })
    }

    /// The fields; `targets` are the steps that a deleted one may be mapped to, for those alone.
    pub(super) fn fields(&self, targets: Option<&[(String, String)]>) -> Markup {
        let forced = FORCED.map(|(word, called)| (word.to_owned(), called.to_owned()));
        html! {
            @if let Some(targets) = targets {
                (Field {
                    name: "map_to_step_id",
                    label: "Sessions here go on at",
                    value: &self.map_to_step_id,
                    hint: "As if the two steps meant the same. It cannot be undone, only changed.",
                    ..Field::default()
                }.select(targets))
            }
            div.choice {
                input type="checkbox" id="update_downstream" name="update_downstream" value="yes" checked[self.update_downstream];
                div {
                    label for="update_downstream" { "Sessions here move to the new version" }
                    span.hint { "If not, they keep following the version that they are on." }
                }
            }
            (Field {
                name: "force_scenario",
                label: "What happens to them",
                value: &self.force_scenario,
                hint: "Overrides what was computed from the graphs.",
                ..Field::default()
            }.select(&forced))
            (self.scope())
        }
    }

    fn scope(&self) -> Markup {
        let area =
            |name, label, value: &str| Field { name, label, value, ..Field::default() }.area();
        let number =
            |name, label, value: &str| Field { name, label, value, ..Field::default() }.number();
        html! {
            fieldset {
                legend { "Whom it admits" }
                p.hint { "Everybody, unless something is named here. One a line. Ages count at the deploy." }
                div.pair {
                    (area("include_channels", "Only these channels", &self.include_channels))
                    (area("exclude_channels", "Never these channels", &self.exclude_channels))
                    (number("min_session_age_days", "At least so many days old", &self.min_session_age_days))
                    (number("max_session_age_days", "At most so many days old", &self.max_session_age_days))
                    (area("include_current_nodes", "Only at these steps", &self.include_current_nodes))
                    (area("exclude_current_nodes", "Never at these steps", &self.exclude_current_nodes))
                }
            }
        }
    }
}

fn word(scenario: MigrationScenario) -> &'static str {
    match scenario {
        MigrationScenario::CleanGraft => "clean_graft",
        MigrationScenario::GapFill => "gap_fill",
        MigrationScenario::ReRoute => "re_route",
    }
}

/// A policy in a few words; nothing said is the default.
pub(super) fn in_words(policy: Option<&AnchorMigrationPolicy>) -> Markup {
    let Some(policy) = policy else { return html! { span.quiet { "default" } } };
    let mut told = Vec::new();
    let scope = &policy.scope_filter;
    if !policy.update_downstream {
        told.push("stays".to_owned());
    }
    if let Some(scenario) = policy.force_scenario {
        told.push(format!("forced: {}", word(scenario).replace('_', " ")));
    }
    if let Some(step) = &policy.map_to_step_id {
        told.push(format!("goes on at {step}"));
    }
    for (what, names) in [
        ("only", lines(&scope.include_channels)),
        ("not", lines(&scope.exclude_channels)),
        ("only at", lines(&scope.include_current_nodes)),
        ("not at", lines(&scope.exclude_current_nodes)),
    ] {
        if !names.is_empty() {
            told.push(format!("{what} {}", names.replace('\n', ", ")));
        }
    }
    if let Some(days) = scope.min_session_age_days {
        told.push(format!("{days} days old or more"));
    }
    if let Some(days) = scope.max_session_age_days {
        told.push(format!("{days} days old or less"));
    }
    html! {
        @if told.is_empty() { span.quiet { "default" } }
        @else { (badge(Tone::Lead, "Own")) span.under { (told.join("; ")) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    #[test]
    fn a_policy_is_the_same_after_its_form_was_sent_unchanged() {
        let policy = AnchorMigrationPolicy {
            scope_filter: ScopeFilter {
                include_channels: vec!["web".parse().unwrap(), "a, b".parse().unwrap()],
                exclude_channels: vec!["sms".parse().unwrap()],
                include_current_nodes: vec!["welcome".parse().unwrap()],
                exclude_current_nodes: vec!["x <script>".parse().unwrap()],
                max_session_age_days: Some(30),
                min_session_age_days: Some(0),
            },
            update_downstream: false,
            force_scenario: Some(MigrationScenario::GapFill),
            map_to_step_id: Some("paid".parse().unwrap()),
            ..AnchorMigrationPolicy::default()
        };
        assert_eq!(Form::of(&policy).policy().unwrap(), policy);
        let html = html! { form action="/" { (Form::of(&policy).fields(Some(&[]))) } };
        check::fragment(&html.into_string());
        let told = in_words(Some(&policy)).into_string();
        assert!(
            told.contains("stays; forced: gap fill; goes on at paid; only web, a, b; not sms"),
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let wrong = |sent: &[u8]| Form::sent(&Sent::parse(sent)).policy().unwrap_err();
        assert_eq!(wrong(b"max_session_age_days=ten"), "“ten” is not a number of days.");
        assert_eq!(wrong(b"force_scenario=x"), "“x” is none of the three migration scenarios.");
    }
}
