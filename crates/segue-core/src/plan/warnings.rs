//! What an operator should look at before approving.

use std::collections::BTreeSet;

use crate::diff::map::MappedAnchor;
use crate::diff::{Anchor, Diff};
use crate::plan::policy::MigrationScenario;
use crate::plan::summary::{Basis, Judge, MigrationWarning, Needed, Severity};
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::validate;

/// Warnings of one kind that a summary lists; how many more there are is said.
const MAX_OF_A_KIND: usize = 100;
/// Distinct conditions that are parsed for the summary; parsing is slow.
const MAX_PARSED: usize = 200;

/// The warnings of one kind: those that are listed, and what is left out.
struct Kind {
    what: &'static str,
    shown: Vec<MigrationWarning>,
    /// How many there are, listed or not.
    total: usize,
    /// Sessions concerned by those that are not listed.
    hidden_sessions: u64,
}

impl Kind {
    fn of(what: &'static str, mut all: Vec<MigrationWarning>) -> Self {
        let total = all.len();
        let hidden = all.iter().skip(MAX_OF_A_KIND).map(|w| w.affected_sessions_estimate).sum();
        all.truncate(MAX_OF_A_KIND);
        Self { what, shown: all, total, hidden_sessions: hidden }
    }
}

/// Everything worth a look, the gravest first.
pub(super) fn warnings(basis: Basis<'_>, fields: &[Needed]) -> Vec<MigrationWarning> {
    let kinds = [
        Kind::of("deleted steps with sessions", deleted_steps(basis)),
        checkpoints(basis),
        Kind::of("duplicates", duplicates(basis)),
        Kind::of("steps that lead elsewhere", rewired(basis)),
        Kind::of("conditions that nobody can evaluate", unjudged(basis)),
        Kind::of("notes on the new version", new_version(basis)),
        Kind::of("fields", may_be_asked(fields)),
    ];
    let mut all = Vec::new();
    for Kind { what, shown, total, hidden_sessions } in kinds {
        let rest = total - shown.len();
        let severity = shown.last().map(|warning| warning.severity);
        all.extend(shown);
        if let Some(severity) = severity.filter(|_| rest > 0) {
            all.push(general(severity, format!("… and {rest} more {what}"), hidden_sessions));
        }
    }
    all.sort_by_key(|warning| std::cmp::Reverse(warning.severity));
    all
}

fn general(severity: Severity, message: String, sessions: u64) -> MigrationWarning {
    MigrationWarning {
        severity,
        anchor_name: None,
        anchor_key: None,
        message,
        affected_sessions_estimate: sessions,
    }
}

fn may_be_asked(fields: &[Needed]) -> Vec<MigrationWarning> {
    let warning = |needed: &Needed| {
        let names = &needed.field.affected_anchors;
        let is_single = needed.only_anchor.is_some();
        MigrationWarning {
            severity: Severity::Info,
            anchor_name: Some(if is_single { names[0].clone() } else { "Multiple".to_owned() }),
            anchor_key: needed.only_anchor.clone(),
            message: format!(
                "Customers may be asked for '{}' if not in profile",
                needed.field.field_name
            ),
            affected_sessions_estimate: needed.sessions,
        }
    };
    fields.iter().map(warning).collect()
}

/// For each anchor whose customers may be redirected: the checkpoints on the way there. Whoever passed one
/// cannot be taken to where it would be undone.
fn checkpoints(basis: Basis<'_>) -> Kind {
    let Basis { diff, map, sessions, .. } = basis;
    let standing: Vec<Ix> =
        diff.v1().indices().filter(|ix| diff.v1().step(*ix).is_checkpoint).collect();
    let reached: Vec<_> = standing.iter().map(|ix| diff.v1().reachable_from(*ix)).collect();
    let inserted = map.inserted_where(|node| node.is_checkpoint);
    // There can be a pair of every anchor and every checkpoint, so only those that are shown are written
    // out: the ones that have been passed, most first, then as many others as there is room for.
    let (mut passed, mut others, mut total) = (Vec::new(), Vec::new(), 0);
    for (anchor, ixs) in map.anchors().iter().zip(diff.anchors()) {
        if anchor.migration_scenario != MigrationScenario::ReRoute {
            continue;
        }
        for node in inserted.upstream(anchor) {
            total += 1;
            if others.len() < MAX_OF_A_KIND {
                others.push((anchor, inserted.nodes()[node].node_name.as_str()));
            }
        }
        for (checkpoint, reached) in standing.iter().zip(&reached) {
            if !reached.contains(ixs.v1.at()) {
                continue;
            }
            total += 1;
            let step = diff.v1().step(*checkpoint);
            match sessions.passed_at(&step.id, &anchor.v1) {
                0 if others.len() < MAX_OF_A_KIND => others.push((anchor, step.name.as_str())),
                0 => {}
                count => passed.push((count, anchor, step.name.as_str())),
            }
        }
    }
    passed.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let hidden = passed.iter().skip(MAX_OF_A_KIND).map(|(count, ..)| count).sum();
    let others = others.into_iter().map(|(anchor, name)| (0, anchor, name));
    let shown = passed.into_iter().chain(others).take(MAX_OF_A_KIND);
    Kind {
        what: "checkpoints that may block a redirection",
        shown: shown.map(|(count, anchor, name)| blocks(anchor, name, count)).collect(),
        total,
        hidden_sessions: hidden,
    }
}

fn blocks(anchor: &MappedAnchor, checkpoint: &str, passed: u64) -> MigrationWarning {
    MigrationWarning {
        severity: Severity::Warning,
        anchor_name: Some(anchor.name.clone()),
        anchor_key: Some(anchor.key.clone()),
        message: format!(
            "Re-route anchor has upstream checkpoint '{checkpoint}'. Customers who passed checkpoints may \
             be blocked."
        ),
        affected_sessions_estimate: passed,
    }
}

fn deleted_steps(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, sessions, .. } = basis;
    let warning = |deleted: &crate::diff::Deleted| {
        let step = diff.v1().step(deleted.v1);
        let here = sessions.at(&step.id);
        if here == 0 {
            return None;
        }
        let nearest = deleted.nearest.map(|nth| &diff.anchors()[nth]);
        Some(MigrationWarning {
            severity: if nearest.is_some() { Severity::Warning } else { Severity::Critical },
            anchor_name: nearest.map(|anchor| anchor.name.clone()),
            anchor_key: nearest.map(|anchor| anchor.key.clone()),
            message: match nearest {
                Some(anchor) => format!(
                    "{here} session(s) stand at deleted step '{}' and will go on at '{}'",
                    step.name, anchor.name
                ),
                None => format!(
                    "{here} session(s) stand at deleted step '{}' and have nowhere to go on; map the \
                     step to one of the new version, or they will be let go",
                    step.name
                ),
            },
            affected_sessions_estimate: here,
        })
    };
    let mut found: Vec<_> = diff.deleted().iter().filter_map(warning).collect();
    found.sort_by_key(|w| std::cmp::Reverse((w.severity, w.affected_sessions_estimate)));
    found
}

fn duplicates(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, sessions, .. } = basis;
    let warning = |hash: &crate::scenario::hash::ContentHash| {
        let same: Vec<_> = diff.v1().indices().filter(|ix| diff.v1().hash(*ix) == *hash).collect();
        let name = &diff.v1().step(same[0]).name;
        general(
            Severity::Warning,
            format!(
                "Several steps mean the same as '{name}', and only their position tells which of them \
                 belong together; check their anchors"
            ),
            same.iter().map(|ix| sessions.at(&diff.v1().step(*ix).id)).sum(),
        )
    };
    diff.ambiguous().iter().map(warning).collect()
}

/// Forks that exist in both versions, have not gained a branch, and decide otherwise than before: nobody is
/// redirected because of them at most anchors, but a customer's own past may lead another way.
fn rewired(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, .. } = basis;
    let warning = |anchor: &Anchor| {
        let name = &anchor.name;
        let (severity, message) = if diff.retargeted(anchor.v2) {
            let elsewhere =
                "leads elsewhere than before; customers who come past it may go another way";
            (Severity::Info, format!("'{name}' {elsewhere}"))
        } else if decides_otherwise(diff, anchor) {
            let kept = "customers who are past it already keep the way that they took";
            (Severity::Warning, format!("The conditions at '{name}' have changed; {kept}"))
        } else {
            return None;
        };
        Some(MigrationWarning {
            severity,
            anchor_name: Some(name.clone()),
            anchor_key: Some(anchor.key.clone()),
            message,
            affected_sessions_estimate: 0,
        })
    };
    diff.anchors().iter().filter_map(warning).collect()
}

/// Whether a fork leads to as many steps as before, by other conditions or priorities.
fn decides_otherwise(diff: &Diff, anchor: &Anchor) -> bool {
    let ways = |graph: &Graph, ix| {
        graph.edges(ix).iter().map(|edge| edge.to).collect::<BTreeSet<_>>().len()
    };
    let after = ways(diff.v2(), anchor.v2);
    after > 1 && after == ways(diff.v1(), anchor.v1) && diff.rules_changed(anchor.v2)
}

/// New conditions in natural language that no judge answers.
fn unjudged(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, definitions, judge, .. } = basis;
    if judge == Judge::Configured {
        return Vec::new();
    }
    let v2: &Graph = diff.v2();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for ix in v2.indices().filter(|ix| diff.rules_changed(*ix)) {
        for edge in v2.edges(ix) {
            let Some(condition) = &edge.condition else { continue };
            if seen.len() == MAX_PARSED || !seen.insert(condition.text()) {
                continue;
            }
            let is_defined = |name: &str| definitions.contains_key(name);
            if let Some(reason) = condition.natural_language(is_defined) {
                found.push(general(
                    Severity::Warning,
                    format!(
                        "Nobody can evaluate the condition '{}' at '{}' ({reason}); write it as an \
                         expression or configure a judge",
                        condition.text(),
                        v2.step(ix).name
                    ),
                    0,
                ));
            }
        }
    }
    if seen.len() == MAX_PARSED {
        found.push(general(
            Severity::Info,
            format!(
                "only the first {MAX_PARSED} new conditions were checked for being expressions"
            ),
            0,
        ));
    }
    found
}

fn new_version(basis: Basis<'_>) -> Vec<MigrationWarning> {
    validate::warnings(basis.diff.v2())
        .into_iter()
        .map(|problem| {
            let severity = match problem.code.as_str() {
                "unreachable_step" | "no_way_out" => Severity::Warning,
                _ => Severity::Info,
            };
            general(severity, format!("New version: {}", problem.message), 0)
        })
        .collect()
}
