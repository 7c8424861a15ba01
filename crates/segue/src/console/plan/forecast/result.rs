//! The result of a forecast: how many sessions of each kind, which fields, from where to where, and some of the
//! sessions with the reason in words.

use maud::{Markup, html};
use segue_core::ids::{FieldName, StepId, TenantId};
use segue_core::plan::forecast::{
    Count, Differing, Kind, Outcome, Sample, Summary, Unaffected, Way, Why,
};

use crate::console::parts::{Part, Tone, badge, parts};
use crate::console::session::source;
use crate::console::{paths, words};
use crate::scenarios::{ForecastActual, ForecastResult};

/// The longest list of fields, steps or checkpoints that is shown.
const LISTED: usize = 20;

/// The result; beside it what was really decided, once something was.
pub(super) fn shown(
    tenant: TenantId,
    result: &ForecastResult,
    actual: Option<&ForecastActual>,
) -> Markup {
    let of = |summary: &Summary, kind| summary.sessions_by_kind.get(&kind).copied().unwrap_or(0);
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        of(&result.summary, *kind) > 0
            || actual.is_some_and(|actual| of(&actual.summary, *kind) > 0)
    });
    html! {
        div.inside { (bar(&result.summary)) }
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "What becomes of them" }
                        th.number scope="col" { "Foreseen" }
                        @if actual.is_some() { th.number scope="col" { "Really" } }
                        th scope="col" { "Whom, and why" }
                    }
                }
                tbody {
                    @for kind in kinds {
                        tr {
                            th scope="row" { (named(kind)) span.under { (meaning(kind)) } }
                            td.number { (words::count(of(&result.summary, kind))) }
                            @if let Some(actual) = actual {
                                td.number { (words::count(of(&actual.summary, kind))) }
                            }
                            td.further { (further(tenant, kind, result)) }
                        }
                    }
                }
            }
        }
        @if result.summary.without_details > 0 {
            p.inside.quiet.small {
                "Of " (words::counted(result.summary.without_details, "session"))
                " no more than the kind is told: there are too many different outcomes."
            }
        }
    }
}

fn bar(summary: &Summary) -> Markup {
    let part = |tone, name, kinds: &[Kind]| Part {
        tone,
        name,
        amount: kinds.iter().filter_map(|kind| summary.sessions_by_kind.get(kind)).sum(),
    };
    parts(&[
        part(Tone::Good, "move silently", &[Kind::CleanGraft, Kind::GapFill]),
        part(Tone::Info, "are asked or wait for an action", &[Kind::Asked, Kind::ActionDue]),
        part(Tone::Lead, "are redirected", &[Kind::Redirected]),
        part(Tone::Bad, "are relocated or let go", &[Kind::Relocated, Kind::Exits]),
        part(Tone::Warn, "are blocked or stay", &[Kind::Blocked, Kind::Kept]),
        part(Tone::Idle, "are not concerned", &[Kind::Unaffected, Kind::OtherPlans]),
    ])
}

fn named(kind: Kind) -> Markup {
    match kind {
        Kind::CleanGraft => badge(Tone::Good, "Silent"),
        Kind::GapFill => badge(Tone::Good, "Gap filled"),
        Kind::Asked => badge(Tone::Info, "Asked"),
        Kind::ActionDue => badge(Tone::Info, "Action first"),
        Kind::Redirected => badge(Tone::Lead, "Redirected"),
        Kind::Relocated => badge(Tone::Warn, "Relocated"),
        Kind::Blocked => badge(Tone::Warn, "Blocked by a checkpoint"),
        Kind::Kept => badge(Tone::Idle, "Stays"),
        Kind::Exits => badge(Tone::Bad, "Let go"),
        Kind::OtherPlans => badge(Tone::Idle, "Other plans"),
        Kind::Unaffected => badge(Tone::Idle, "Unaffected"),
    }
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::CleanGraft => "the customer notices nothing",
        Kind::GapFill => "what is missing is known",
        Kind::Asked | Kind::ActionDue => "before they move",
        Kind::Redirected => "a new rule demands it",
        Kind::Relocated => "their step is gone",
        Kind::Blocked => "they passed it and keep their version",
        Kind::Kept => "the plan says so",
        Kind::Exits => "there is no place for them",
        Kind::OtherPlans => "decided by others, or by none",
        Kind::Unaffected => "they go on as they are",
    }
}

/// What can be told of the sessions of a kind beside their number.
fn further(tenant: TenantId, kind: Kind, result: &ForecastResult) -> Markup {
    let of_kind = |sample: &&Sample| sample.outcome.kind() == kind;
    let samples: Vec<&Sample> = result.samples.iter().filter(of_kind).collect();
    html! {
        (most(kind, &result.summary))
        @if !samples.is_empty() {
            details {
                summary { (words::counted(samples.len() as u64, "example")) }
                ul.told {
                    @for sample in samples {
                        li {
                            a href=(paths::session(tenant, sample.session_id)) { (words::short_id(sample.session_id)) }
                            " at " code { (sample.step_id) } ", version " (sample.version) " on " (sample.channel)
                            span.under { (sample.reason) }
                        }
                    }
                }
            }
        }
    }
}

/// What most of a kind have in common.
fn most(kind: Kind, summary: &Summary) -> Markup {
    match kind {
        Kind::Asked => html! {
            (counts(&summary.asked_fields, "asked for"))
            (counts(&summary.confirmed_fields, "asked to confirm"))
        },
        Kind::GapFill => {
            let filled = summary.filled.iter();
            let filled = filled.map(|one| {
                (html! { code { (one.field) } ", " (source(one.source)) }, one.sessions)
            });
            listed(filled, "")
        }
        Kind::ActionDue => counts(&summary.due_actions, "action of"),
        Kind::Redirected => ways(&summary.redirected),
        Kind::Relocated => ways(&summary.relocated),
        Kind::Blocked => counts(&summary.blocking_checkpoints, "passed"),
        Kind::Unaffected => {
            let because = summary.unaffected_because.iter();
            listed(because.map(|(why, sessions)| (html! { (unaffected(*why)) }, *sessions)), "")
        }
        Kind::CleanGraft | Kind::Kept | Kind::Exits | Kind::OtherPlans => html! {},
    }
}

fn counts(counts: &[Count], word: &str) -> Markup {
    listed(counts.iter().map(|count| (html! { code { (count.name) } }, count.sessions)), word)
}

fn ways(ways: &[Way]) -> Markup {
    let way = |way: &Way| (html! { code { (way.from) } " → " code { (way.to) } }, way.sessions);
    listed(ways.iter().map(way), "")
}

fn listed(entries: impl ExactSizeIterator<Item = (Markup, u64)>, word: &str) -> Markup {
    let all = entries.len();
    html! {
        @if all > 0 {
            ul.told {
                @for (of, sessions) in entries.take(LISTED) {
                    li { @if !word.is_empty() { (word) " " } (of) ": " (words::counted(sessions, "session")) }
                }
                @if all > LISTED { li { (words::length(all - LISTED)) " more" } }
            }
        }
    }
}

fn unaffected(because: Unaffected) -> &'static str {
    match because {
        Unaffected::OtherVersion => "on a version that the plan does not lead from",
        Unaffected::OutOfScope => "left out by the plan's scope",
        Unaffected::NotMarked => "the settings let no plan apply to sessions that exist",
    }
}

/// Some of the sessions that went otherwise than foreseen.
pub(super) fn differences(tenant: TenantId, actual: &ForecastActual) -> Markup {
    html! {
        @if !actual.differences.is_empty() {
            div.scroll {
                table {
                    caption.unseen { "Sessions that went otherwise" }
                    thead {
                        tr {
                            th scope="col" { "Went otherwise" }
                            th scope="col" { "Foreseen" }
                            th scope="col" { "Really" }
                            th scope="col" { "Why" }
                        }
                    }
                    tbody { @for one in &actual.differences { (difference(tenant, one)) } }
                }
            }
        }
    }
}

fn difference(tenant: TenantId, one: &Differing) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(paths::session(tenant, one.session_id)) { (words::short_id(one.session_id)) } }
            td { @match &one.forecast { Some(forecast) => (told(forecast)), None => "nothing" } }
            td { (told(&one.actual)) }
            td { (why(one.because)) }
        }
    }
}

fn why(because: Why) -> &'static str {
    match because {
        Why::NotForeseen => "it began after the forecast, or took no turns then",
        Why::Changed => "it took turns between the forecast and the decision",
        Why::Brought => "its turn brought values, a message, or what had been done",
        Why::Around => "the customer's profile, the settings or the time made the difference",
    }
}

/// What becomes of one session.
fn told(outcome: &Outcome) -> Markup {
    html! { (named(outcome.kind())) span.under { (details(outcome)) } }
}

fn details(outcome: &Outcome) -> Markup {
    let way = |from: &StepId, to: &StepId| html! { code { (from) } " → " code { (to) } };
    match outcome {
        Outcome::Unaffected { because } => html! { (unaffected(*because)) },
        Outcome::OtherPlans => html! { "decided by others, or by none" },
        Outcome::CleanGraft { to } => html! { "goes on at " code { (to) } },
        Outcome::GapFill { to, filled } => {
            html! { "goes on at " code { (to) } ", with " (fields(filled.keys())) }
        }
        Outcome::Asked { fields: asked, confirm } => {
            html! { "for " (fields(asked.iter().chain(confirm))) }
        }
        Outcome::ActionDue { steps } => {
            html! { @for step in steps { code { (step) } " " } }
        }
        Outcome::Redirected { from, to } | Outcome::Relocated { from, to } => way(from, to),
        Outcome::Blocked { from, to, checkpoint } => {
            html! { "by “" (checkpoint) "”, on its way " (way(from, to)) }
        }
        Outcome::Kept { at } => html! { "at " code { (at) } },
        Outcome::Exits { from } => html! { "from " code { (from) } },
        Outcome::Rest { of: _ } => html! { "no more is told of it" },
    }
}

fn fields<'a>(names: impl Iterator<Item = &'a FieldName>) -> String {
    names.map(FieldName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    #[test]
    fn whatever_becomes_of_a_session_is_told() {
        let step = |name: &str| name.parse::<StepId>().unwrap();
        let (from, to) = (step("a"), step("b"));
        let asked = Outcome::Asked { fields: ["age".parse().unwrap()].into(), confirm: [].into() };
        for (outcome, says) in [
            (asked, "for age"),
            (Outcome::Relocated { from: from.clone(), to: to.clone() }, "<code>b</code>"),
            (Outcome::Blocked { from, to, checkpoint: "<script>".to_owned() }, "“&lt;script&gt;”"),
            (Outcome::Rest { of: Kind::Asked }, "Asked"),
        ] {
            let html = told(&outcome).into_string();
            check::fragment(&html);
            assert!(html.contains(says), "{says} in {html}");
        }
    }

    #[test]
    fn a_long_list_says_how_much_of_it_is_left_out() {
        let one = |nth: u64| Count { name: format!("field{nth}"), sessions: nth };
        let html = counts(&(0..25).map(one).collect::<Vec<_>>(), "asked for").into_string();
        assert!(html.contains("5 more") && !html.contains("field20"), "{html}");
    }
}
