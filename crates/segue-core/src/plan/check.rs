//! What an operator may set: every problem of a set of policies at once.

use crate::diff::map::Map;
use crate::ids::StepId;
use crate::plan::Plan;
use crate::plan::lifecycle::Refused;
use crate::plan::policy::{AnchorKey, AnchorMigrationPolicy, Policies, ScopeFilter};
use crate::scenario::validate::Problem;

/// Why policies are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The plan is no longer pending.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The policies do not fit the plan.
    #[error("{} problem(s) with the policies; the first: {}", .0.len(), .0[0].message)]
    Invalid(Vec<Problem>),
}

impl Plan {
    /// The plan with these policies set; anchors that are not named keep theirs. Its revision has risen.
    ///
    /// # Errors
    /// When the plan is no longer pending, or with every problem of the policies.
    pub fn with_policies(self, policies: Policies) -> Result<Self, Error> {
        self.status.check_editable()?;
        let policies = check(&self.map, policies).map_err(Error::Invalid)?;
        let mut all = self.policies;
        all.extend(policies);
        Ok(Self { policies: all, revision: self.revision + 1, ..self })
    }
}

/// Checks policies against what they are about, and fills in hashes and names.
///
/// # Errors
/// Every problem at once, with pointers below the object of policies.
pub fn check(map: &Map, policies: Policies) -> Result<Policies, Vec<Problem>> {
    let mut check = Check { map, found: Vec::new() };
    let checked: Policies = policies
        .into_iter()
        .map(|(key, policy)| {
            let policy = check.policy(&key, policy);
            (key, policy)
        })
        .collect();
    if check.found.is_empty() { Ok(checked) } else { Err(check.found) }
}

struct Check<'a> {
    map: &'a Map,
    found: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, code: &str, path: String, message: String) {
        self.found.push(Problem { code: code.to_owned(), path, message });
    }

    fn policy(&mut self, key: &AnchorKey, policy: AnchorMigrationPolicy) -> AnchorMigrationPolicy {
        let at = format!("/{}", key.0.replace('~', "~0").replace('/', "~1"));
        self.filter(&at, &policy.scope_filter);
        let name = match key.mapped_step() {
            Some(step) => self.mapping(&at, step, policy.map_to_step_id.as_ref()),
            None => self.anchor(&at, key, policy.map_to_step_id.as_ref()),
        };
        if policy.anchor_content_hash.as_ref().is_some_and(|named| named != key) {
            self.report(
                "contradicting_anchor",
                format!("{at}/anchor_content_hash"),
                format!("the policy is filed under '{key}' but names another anchor; leave it out"),
            );
        }
        AnchorMigrationPolicy {
            anchor_content_hash: Some(key.clone()),
            anchor_name: name.or(policy.anchor_name),
            ..policy
        }
    }

    fn anchor(&mut self, at: &str, key: &AnchorKey, map_to: Option<&StepId>) -> Option<String> {
        if map_to.is_some() {
            self.report(
                "mapping_on_anchor",
                format!("{at}/map_to_step_id"),
                format!("'{key}' is an anchor already; only a deleted step can be mapped"),
            );
        }
        let name = self
            .map
            .anchors()
            .iter()
            .find(|anchor| anchor.key == *key)
            .map(|anchor| anchor.name.clone());
        if name.is_none() {
            self.report(
                "unknown_anchor",
                at.to_owned(),
                format!(
                    "the plan has no anchor '{key}'; its anchors are listed in transformation_map"
                ),
            );
        }
        name
    }

    fn mapping(&mut self, at: &str, step: &str, map_to: Option<&StepId>) -> Option<String> {
        let deleted = self.map.deleted_nodes().iter().find(|node| node.node_id_v1.as_str() == step);
        let name = deleted.map(|node| node.node_name.clone());
        if name.is_none() {
            self.report(
                "unknown_anchor",
                at.to_owned(),
                format!(
                    "'{step}' is not a deleted step of the old version; only those can be mapped"
                ),
            );
        }
        match map_to {
            None => self.report(
                "missing_mapping",
                format!("{at}/map_to_step_id"),
                "name the step of the new version where sessions go on".to_owned(),
            ),
            Some(target) if !self.map.has_step_v2(target) => self.report(
                "unknown_step",
                format!("{at}/map_to_step_id"),
                format!("the new version has no step '{target}'"),
            ),
            Some(_) => {}
        }
        name
    }

    fn filter(&mut self, at: &str, filter: &ScopeFilter) {
        let at = format!("{at}/scope_filter");
        if let (Some(min), Some(max)) = (filter.min_session_age_days, filter.max_session_age_days)
            && min > max
        {
            self.report(
                "contradictory_filter",
                format!("{at}/min_session_age_days"),
                format!("no session is at least {min} and at most {max} days old"),
            );
        }
        for channel in &filter.include_channels {
            if filter.exclude_channels.contains(channel) {
                self.report(
                    "contradictory_filter",
                    format!("{at}/exclude_channels"),
                    format!("the channel '{channel}' is both included and excluded"),
                );
            }
        }
        for node in &filter.include_current_nodes {
            if filter.exclude_current_nodes.contains(node) {
                self.report(
                    "contradictory_filter",
                    format!("{at}/exclude_current_nodes"),
                    format!("the step '{node}' is both included and excluded"),
                );
            }
        }
        let lists = [
            ("include_current_nodes", &filter.include_current_nodes),
            ("exclude_current_nodes", &filter.exclude_current_nodes),
        ];
        for (list, nodes) in lists {
            for (nth, node) in nodes.iter().enumerate() {
                if !self.map.has_step_v1(node) {
                    self.report(
                        "unknown_step",
                        format!("{at}/{list}/{nth}"),
                        format!("the version that sessions leave has no step '{node}'"),
                    );
                }
            }
        }
    }
}
