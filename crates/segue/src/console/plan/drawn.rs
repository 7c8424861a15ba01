//! Both versions in one picture, or the part of it that changes.

use maud::{Markup, PreEscaped, html};
use segue_core::diff::Diff;
use segue_core::diff::picture::Picture;
use segue_core::ids::TenantId;
use segue_core::plan::Plan;
use segue_core::plan::policy::AnchorKey;
use segue_core::plan::summary::SessionCounts;

use crate::console::{paths, words};

/// Steps that a picture has room for.
const PICTURED: usize = 120;

/// Both versions, drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    svg: String,
    /// How many steps it shows, …
    shown: usize,
    /// … of how many.
    of: usize,
}

impl Drawn {
    /// Draws them, with the sessions that stood at each step when the plan was made.
    pub(super) fn of(tenant: TenantId, plan: &Plan, diff: &Diff, is_whole: bool) -> Self {
        let summary = &plan.summary;
        let mut by_step = summary.sessions_by_deleted_node.clone();
        for anchor in plan.map.anchors() {
            if let Some(sessions) = summary.sessions_by_anchor.get(&anchor.key) {
                *by_step.entry(anchor.v1.clone()).or_default() += sessions;
            }
        }
        let sessions = SessionCounts { by_step, ..SessionCounts::default() };
        let picture = Picture::of(diff, &sessions);
        let part = if is_whole { None } else { picture.around_changes(PICTURED) };
        let shown = part.as_ref().unwrap_or(&picture);
        let svg = shown.inline("versions-", &|spot| {
            let key = match &spot.anchor {
                Some(key) => key.clone(),
                None if spot.is_deleted => AnchorKey::for_mapping(&spot.step),
                None => return None,
            };
            Some(paths::anchor(tenant, plan.id, &key))
        });
        Self { shown: shown.len(), of: picture.len(), svg }
    }

    /// The picture with its key.
    pub(super) fn card(&self, here: &str, plan: &Plan) -> Markup {
        html! {
            section.card #picture aria-labelledby="both" {
                header {
                    h2 #both { "Both versions in one picture" }
                    p { "Version " (plan.from_version) " laid over version " (plan.to_version) ". Choose a step to decide about it." }
                }
                (key())
                div.canvas tabindex="0" role="region" aria-label="Both versions; a step leads to its anchor" {
                    (PreEscaped(&self.svg))
                }
                @if self.shown < self.of {
                    footer {
                        (words::length(self.shown)) " of " (words::length(self.of)) " steps: what changes, and what stands beside it. "
                        a href={ (paths::asking(here, &[("whole", "1")])) "#picture" } { "Show all of them" }
                    }
                }
            }
        }
    }
}

/// What the signs in the picture mean.
fn key() -> Markup {
    let card = |class: &str, sign: &str, word: &str| {
        html! {
            li {
                svg.graph viewBox="0 0 22 14" aria-hidden="true" {
                    g class=(class) {
                        rect.card x="1" y="1" width="20" height="12" rx="3" {}
                        text.sign x="11" y="11" { (sign) }
                    }
                }
                (word)
            }
        }
    };
    html! {
        ul.key aria-label="Key" {
            (card("kept", "", "kept"))
            (card("moved", "↷", "moved"))
            (card("inserted", "+", "inserted"))
            (card("deleted", "−", "deleted"))
            li {
                svg.graph viewBox="0 0 22 14" aria-hidden="true" { path.fork d="M11 0L18 7L11 14L4 7Z" {} }
                "new fork"
            }
            li {
                svg.graph viewBox="0 0 22 14" aria-hidden="true" {
                    rect.card x="1" y="1" width="20" height="12" rx="3" {}
                    rect.inner x="4" y="4" width="14" height="6" rx="1.5" {}
                }
                "checkpoint"
            }
            li {
                svg.graph viewBox="0 0 22 14" aria-hidden="true" { path.line.changed d="M1 7H21" {} }
                "changed condition"
            }
            li {
                svg.graph viewBox="0 0 22 14" aria-hidden="true" {
                    rect.pill width="22" height="14" rx="7" {}
                    text.count x="11" y="11" { "7" }
                }
                "sessions here"
            }
        }
    }
}
