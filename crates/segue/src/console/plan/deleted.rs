//! Steps that nothing in the new version means, and where sessions that stand there go on.

use maud::{Markup, html};
use segue_core::diff::document::{DeletedNode, Suggestion, SuggestionReason};
use segue_core::plan::policy::AnchorKey;

use super::View;
use crate::console::parts::{Tone, badge};
use crate::console::{paths, words};

/// Deleted steps that the table shows; those at which sessions stand first.
const SHOWN: usize = 50;

/// Why two steps probably belong together, in words.
pub(super) fn because(suggestion: &Suggestion) -> String {
    let words: Vec<&str> = suggestion
        .reasons
        .iter()
        .map(|reason| match reason {
            SuggestionReason::SameId => "the same id",
            SuggestionReason::SamePlace => "the same place",
            SuggestionReason::SameName => "the same name",
        })
        .collect();
    format!("{} ({:.0} % sure)", words.join(", "), suggestion.confidence * 100.0)
}

impl View {
    pub(super) fn deleted(&self) -> Markup {
        let sessions = &self.plan.summary.sessions_by_deleted_node;
        let at = |node: &DeletedNode| sessions.get(&node.node_id_v1).copied().unwrap_or(0);
        let mut nodes: Vec<&DeletedNode> = self.plan.map.deleted_nodes().iter().collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(at(node)));
        html! {
            @if !nodes.is_empty() {
                section.card aria-labelledby="deleted" {
                    header {
                        h2 #deleted { "Steps that are gone" }
                        p { "An edited step counts as gone and new, until you say that the two are one." }
                    }
                    div.scroll {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Step" }
                                    th.number scope="col" { "Sessions" }
                                    th scope="col" { "They go on at" }
                                    th scope="col" { "Probably the same as" }
                                    th scope="col" { span.unseen { "Decide" } }
                                }
                            }
                            tbody { @for node in nodes.iter().take(SHOWN) { (self.gone(node, at(node))) } }
                        }
                    }
                    @if nodes.len() > SHOWN {
                        footer { "The first " (SHOWN) " of " (words::length(nodes.len())) ". " code { "segue plan show --json" } " lists them all." }
                    }
                }
            }
        }
    }

    fn gone(&self, node: &DeletedNode, sessions: u64) -> Markup {
        let key = AnchorKey::for_mapping(&node.node_id_v1);
        let mapped = self.plan.policies.get(&key).and_then(|policy| policy.map_to_step_id.as_ref());
        let suggestion =
            self.plan.map.suggestions().iter().find(|suggestion| suggestion.key == key);
        let decide = match (self.is_pending(), mapped) {
            (true, None) => "Decide",
            (true, Some(_)) => "Change",
            (false, _) => "Look",
        };
        html! {
            tr {
                th scope="row" { (node.node_name) span.under { code { (node.node_id_v1) } } }
                td.number { (words::count(sessions)) }
                td {
                    @match (mapped, &node.nearest_anchor_id_v2) {
                        (Some(step), _) => { code { (step) } " " (badge(Tone::Lead, "Mapped")) }
                        (None, Some(step)) => { code { (step) } span.under { "the nearest anchor" } }
                        (None, None) => span.quiet { "nowhere: they are let go" },
                    }
                }
                td {
                    @match suggestion {
                        Some(suggestion) => { (suggestion.node_name_v2) span.under { (because(suggestion)) } }
                        None => span.quiet { "nothing" },
                    }
                }
                td.end { a.button.plain href=(paths::anchor(self.tenant, self.plan.id, &key)) aria-label={ (decide) ": " (node.node_name) } { (decide) } }
            }
        }
    }
}
