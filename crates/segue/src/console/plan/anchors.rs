//! The table of a plan's anchors: filtered, and page by page.

use maud::{Markup, html};
use segue_core::diff::document::ChangeCounts;
use segue_core::diff::map::MappedAnchor;
use segue_core::plan::policy::MigrationScenario;

use super::{View, policy, scenario};
use crate::console::parts::{Field, empty, pager};
use crate::console::sent::Sent;
use crate::console::{paths, words};

/// Anchors on a page.
const ANCHORS: usize = 50;

/// Which anchors are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Whose name or step holds this.
    text: String,
    kind: Option<MigrationScenario>,
    /// Only those with sessions, or with a policy of their own.
    only: Only,
    /// From 0.
    page: usize,
}

/// Only some anchors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Only {
    #[default]
    All,
    WithSessions,
    WithPolicy,
}

impl Only {
    const ALL: [Self; 3] = [Self::All, Self::WithSessions, Self::WithPolicy];

    fn word(self) -> &'static str {
        match self {
            Self::All => "",
            Self::WithSessions => "sessions",
            Self::WithPolicy => "policy",
        }
    }

    fn called(self) -> &'static str {
        match self {
            Self::All => "All anchors",
            Self::WithSessions => "Where sessions stand",
            Self::WithPolicy => "With a policy of its own",
        }
    }
}

const KINDS: [(MigrationScenario, &str, &str); 3] = [
    (MigrationScenario::CleanGraft, "clean_graft", "Silent"),
    (MigrationScenario::GapFill, "gap_fill", "May be asked"),
    (MigrationScenario::ReRoute, "re_route", "May be redirected"),
];

impl Wanted {
    pub(super) fn of(asked: &Sent) -> Result<Self, String> {
        let word = asked.text("kind");
        let kind = KINDS.iter().find(|(_, known, _)| *known == word).map(|(kind, ..)| *kind);
        let only = Only::ALL.into_iter().find(|only| only.word() == asked.text("only"));
        Ok(Self {
            text: asked.text("q").to_owned(),
            kind,
            only: only.unwrap_or_default(),
            page: asked.optional("page", "the number of a page")?.unwrap_or(0),
        })
    }

    fn path(&self, here: &str, page: usize) -> String {
        let page = if page == 0 { String::new() } else { page.to_string() };
        let kind = KINDS.iter().find(|(kind, ..)| Some(*kind) == self.kind);
        let asked = [
            ("q", self.text.as_str()),
            ("kind", kind.map_or("", |(_, word, _)| word)),
            ("only", self.only.word()),
            ("page", &page),
        ];
        format!("{}#anchors", paths::asking(here, &asked))
    }
}

impl View {
    pub(super) fn anchors(&self) -> Markup {
        let text = self.wanted.text.to_lowercase();
        let all = self.plan.map.anchors().iter();
        let wanted: Vec<&MappedAnchor> = all.filter(|of| self.wants(of, &text)).collect();
        let begin = self.wanted.page.saturating_mul(ANCHORS);
        let page: Vec<&MappedAnchor> = wanted.iter().copied().skip(begin).take(ANCHORS).collect();
        let next = begin.saturating_add(ANCHORS) < wanted.len();
        let next = next.then(|| self.wanted.path(&self.here(), self.wanted.page + 1));
        let first = (self.wanted.page > 0).then(|| self.wanted.path(&self.here(), 0));
        html! {
            section.card #anchors aria-labelledby="all-anchors" {
                header {
                    h2 #all-anchors { "Anchors" }
                    p { "Steps that mean the same in both versions. Here it is decided who migrates, and how." }
                }
                (self.filters())
                @if page.is_empty() {
                    (empty("No such anchor", html! { p { "Nothing matches this filter." } }))
                } @else {
                    (self.table(&page))
                    (pager(page.len(), wanted.len() as u64, "anchor", first.as_deref(), next.as_deref()))
                }
            }
        }
    }

    fn sessions_at(&self, anchor: &MappedAnchor) -> u64 {
        self.plan.summary.sessions_by_anchor.get(&anchor.key).copied().unwrap_or(0)
    }

    /// Whether an anchor is wanted; `text` in small letters.
    fn wants(&self, anchor: &MappedAnchor, text: &str) -> bool {
        let Wanted { text: _, kind, only, page: _ } = &self.wanted;
        let holds = |of: &str| of.to_lowercase().contains(text);
        let is_named =
            holds(&anchor.name) || holds(anchor.v1.as_str()) || holds(anchor.v2.as_str());
        let is_among = match only {
            Only::All => true,
            Only::WithSessions => self.sessions_at(anchor) > 0,
            Only::WithPolicy => self.plan.policies.contains_key(&anchor.key),
        };
        is_named && is_among && kind.is_none_or(|kind| anchor.migration_scenario == kind)
    }

    fn filters(&self) -> Markup {
        let mut kinds = vec![(String::new(), "All".to_owned())];
        kinds.extend(KINDS.map(|(_, word, called)| (word.to_owned(), called.to_owned())));
        let kind = KINDS.iter().find(|(kind, ..)| Some(*kind) == self.wanted.kind);
        let only = Only::ALL.map(|only| (only.word().to_owned(), only.called().to_owned()));
        html! {
            form.filters action={ (self.here()) "#anchors" } method="get" {
                (Field { name: "q", label: "Name or step", value: &self.wanted.text, ..Field::default() }.text())
                (Field { name: "kind", label: "What may happen", value: kind.map_or("", |(_, word, _)| word), ..Field::default() }.select(&kinds))
                (Field { name: "only", label: "Which", value: self.wanted.only.word(), ..Field::default() }.select(&only))
                button { "Filter" }
            }
        }
    }

    fn table(&self, page: &[&MappedAnchor]) -> Markup {
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Anchor" }
                            th scope="col" { "What may happen" }
                            th.number scope="col" { "Sessions" }
                            th scope="col" { "Changed before it" }
                            th scope="col" { "Changed after it" }
                            th scope="col" { "Policy" }
                        }
                    }
                    tbody {
                        @for anchor in page {
                            tr {
                                th scope="row" {
                                    a href=(paths::anchor(self.tenant, self.plan.id, &anchor.key)) { (anchor.name) }
                                    span.under {
                                        code { (anchor.v1) }
                                        @if anchor.v2 != anchor.v1 { " → " code { (anchor.v2) } }
                                    }
                                }
                                td { (scenario(anchor.migration_scenario)) }
                                td.number { (words::count(self.sessions_at(anchor))) }
                                td { (changes(anchor.upstream_counts())) }
                                td { (changes(anchor.downstream_counts())) }
                                td { (policy::in_words(self.plan.policies.get(&anchor.key))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How much changed on one side.
fn changes(counts: ChangeCounts) -> Markup {
    let told = [
        (counts.inserted_nodes, "inserted"),
        (counts.removed_nodes, "removed"),
        (counts.new_forks, if counts.new_forks == 1 { "new fork" } else { "new forks" }),
        (counts.steps_with_modified_transitions, "rewired"),
    ];
    let told: Vec<String> =
        told.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    html! { @if told.is_empty() { span.quiet { "nothing" } } @else { (told.join(", ")) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;
    use crate::console::viewer::Viewer;

    #[tokio::test]
    async fn anchors_are_found_by_what_may_happen_and_by_name() {
        let find = |query: &str| {
            let wanted = Wanted::of(&Sent::parse(query.as_bytes())).unwrap();
            View { wanted, ..View::sample() }.page(&Viewer::sample()).into_string()
        };
        let asked = find("kind=re_route");
        check::page(&asked).await;
        assert!(asked.contains("1 of 1 anchor<"), "{asked}");
        assert!(find("q=check").contains("1 of 1 anchor<"));
        assert!(find("q=nothing").contains("No such anchor"));
        assert!(Wanted::of(&Sent::parse(b"page=x")).is_err());
    }
}
