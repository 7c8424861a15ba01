//! One anchor of a plan, or one step that is gone: what happened before and after it, who stands there, and what
//! is decided for them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use segue_core::diff::document::{
    AnchorTransformation, ChangeSet, ChangeType, DeletedNode, InsertedNode, ModifiedTransition,
    NewFork, Suggestion,
};
use segue_core::ids::{PlanId, StepId, TenantId};
use segue_core::plan::Plan;
use segue_core::plan::lifecycle::Kind;
use segue_core::plan::policy::{AnchorKey, Policies};
use segue_core::scenario::validate::Problem;

use super::deleted::because;
use super::policy::{Form, in_words};
use super::scenario;
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble, done};
use crate::console::done::Done;
use crate::console::frame::{Frame, Place};
use crate::console::parts::{Tone, alert, badge, heading, pairs, problems};
use crate::console::sent::Sent;
use crate::console::viewer::Viewer;
use crate::console::{paths, words};
use crate::error::{Error, Kind as Noun};
use crate::http::App;
use crate::http::error::Refusal;

/// Entries of a list that are shown at once.
const LISTED: usize = 100;

/// What the page is about.
#[derive(Debug)]
enum About {
    Anchor(AnchorTransformation),
    /// A step that is gone, what it probably is now, and where it may be mapped to.
    Deleted(DeletedNode, Option<Suggestion>, Vec<(String, String)>),
}

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    plan: Plan,
    /// What the scenario is called.
    scenario: String,
    key: AnchorKey,
    about: About,
    form: Form,
    refused: Option<(StatusCode, String, Vec<Problem>)>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id, key)): Path<(TenantId, PlanId, AnchorKey)>,
) -> Result<Page, Trouble> {
    Ok(Page(View::read(&app, tenant, id, key).await?.page(&viewer)))
}

/// Saves its policy.
pub async fn save(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id, key)): Path<(TenantId, PlanId, AnchorKey)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let form = Form::sent(&sent);
    let saved = match form.policy() {
        Err(message) => Err((StatusCode::BAD_REQUEST, message, Vec::new())),
        Ok(policy) => {
            let policies = Policies::from([(key.clone(), policy)]);
            let planner = &app.opened.scenarios.planner;
            planner
                .update_policies(tenant, id, policies, viewer.signature(None))
                .await
                .map_err(refusal)
        }
    };
    match saved {
        Ok(_) => Ok(done(&paths::plan(tenant, id), Done::PoliciesSaved).into_response()),
        Err(refused) => {
            let status = refused.0;
            let view = View::read(&app, tenant, id, key).await?;
            let view = View { form, refused: Some(refused), ..view };
            Ok((status, Page(view.page(&viewer))).into_response())
        }
    }
}

fn refusal(error: Error) -> (StatusCode, String, Vec<Problem>) {
    match error {
        Error::Invalid { problems, .. } => {
            (StatusCode::BAD_REQUEST, "The policy does not fit".to_owned(), problems)
        }
        other => {
            let refusal = Refusal::from(other);
            (refusal.body.code.status(), words::sentence(&refusal.body.message), Vec::new())
        }
    }
}

impl View {
    async fn read(
        app: &App,
        tenant: TenantId,
        id: PlanId,
        key: AnchorKey,
    ) -> Result<Self, Trouble> {
        let scenarios = &app.opened.scenarios;
        let plan = scenarios.planner.plan(tenant, id).await?;
        let named = scenarios.catalog.scenario(tenant, plan.scenario_id).await?;
        let v2 = scenarios.catalog.graph(tenant, plan.scenario_id, plan.to_version).await?;
        let targets =
            v2.scenario().steps.iter().map(|step| (step.id.to_string(), step.name.clone()));
        let about = About::of(&plan, &key, targets.collect())
            .ok_or_else(|| Error::NotFound { kind: Noun::Anchor, id: key.0.clone() })?;
        let form = Form::of(&plan.policies.get(&key).cloned().unwrap_or_default());
        Ok(Self { tenant, plan, scenario: named.name, key, about, form, refused: None })
    }

    fn name(&self) -> &str {
        match &self.about {
            About::Anchor(anchor) => &anchor.anchor_name,
            About::Deleted(node, ..) => &node.node_name,
        }
    }

    /// The step of the old version.
    fn step(&self) -> &StepId {
        match &self.about {
            About::Anchor(anchor) => &anchor.anchor_node_id_v1,
            About::Deleted(node, ..) => &node.node_id_v1,
        }
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let plan = &self.plan;
        let of = format!("{}, {} → {}", self.scenario, plan.from_version, plan.to_version);
        let here = paths::plan(self.tenant, plan.id);
        let trail = [("Plans".to_owned(), paths::plans(self.tenant)), (of, here)];
        let place = Place::Plans(self.tenant);
        let frame = Frame { place, title: self.name(), trail: &trail, viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! {
                    h1 { (self.name()) }
                    @match &self.about {
                        About::Anchor(anchor) => (scenario(anchor.migration_scenario)),
                        About::Deleted(..) => (badge(Tone::Bad, "Step is gone")),
                    }
                },
                html! { p { (self.lead()) } },
                html! {},
            ))
            (self.wrong())
            div.split.even {
                div.stack { (self.changes()) }
                div.stack { (self.sessions()) (self.policy()) }
            }
        })
    }

    fn lead(&self) -> &'static str {
        match &self.about {
            About::Anchor(_) => "This step means the same in both versions.",
            About::Deleted(..) => "Nothing in the new version means what this step means.",
        }
    }

    fn wrong(&self) -> Markup {
        html! {
            @if let Some((_, message, list)) = &self.refused {
                div role="alert" { (alert(Tone::Bad, message, problems(list))) }
            }
        }
    }

    fn sessions(&self) -> Markup {
        let summary = &self.plan.summary;
        let sessions = match &self.about {
            About::Anchor(_) => summary.sessions_by_anchor.get(&self.key),
            About::Deleted(node, ..) => summary.sessions_by_deleted_node.get(&node.node_id_v1),
        };
        let (scenario, version) =
            (self.plan.scenario_id.to_string(), self.plan.from_version.to_string());
        let asked =
            [("scenario", &*scenario), ("version", &*version), ("step", self.step().as_str())];
        let list = paths::asking(&paths::sessions(self.tenant), &asked);
        html! {
            section.card aria-labelledby="who" {
                header { h2 #who { "Who stands here" } }
                div.inside {
                    (pairs(&[
                        ("When the plan was made", html! { (words::counted(sessions.copied().unwrap_or(0), "session")) }),
                        ("Step", html! { code { (self.step()) } }),
                        ("Key of the policy", html! { code { (self.key) } }),
                    ]))
                    a.button href=(list) { "Who stands here now" }
                }
            }
        }
    }

    fn policy(&self) -> Markup {
        let action = paths::anchor(self.tenant, self.plan.id, &self.key);
        let targets = match &self.about {
            About::Anchor(_) => None,
            About::Deleted(_, _, targets) => Some(targets.as_slice()),
        };
        html! {
            section.card aria-labelledby="policy" {
                header { h2 #policy { "Policy" } }
                div.inside {
                    @if self.plan.status.kind() == Kind::Pending {
                        form.fields action=(action) method="post" {
                            (self.form.fields(targets))
                            div.actions { button.first { "Save the policy" } }
                        }
                    } @else {
                        p { (in_words(self.plan.policies.get(&self.key))) }
                        p.quiet.small { "Policies can be changed while the plan is to be reviewed." }
                    }
                }
            }
        }
    }

    fn changes(&self) -> Markup {
        match &self.about {
            About::Anchor(anchor) => html! {
                (side("before", "What changed before it", "On the ways that lead here: what somebody who stands here has or has not passed.", &anchor.upstream_changes))
                (side("after", "What changed after it", "From here on: what is still to come.", &anchor.downstream_changes))
            },
            About::Deleted(node, suggestion, _) => gone(node, suggestion.as_ref()),
        }
    }
}

impl About {
    fn of(plan: &Plan, key: &AnchorKey, targets: Vec<(String, String)>) -> Option<Self> {
        let Some(step) = key.mapped_step() else { return plan.map.anchor(key).map(Self::Anchor) };
        let nodes = plan.map.deleted_nodes();
        let node = nodes.iter().find(|node| node.node_id_v1.as_str() == step)?.clone();
        let suggestion = plan.map.suggestions().iter().find(|of| of.key == *key).cloned();
        let mut choices = vec![(String::new(), "The nearest anchor".to_owned())];
        choices.extend(targets);
        Some(Self::Deleted(node, suggestion, choices))
    }
}

fn gone(node: &DeletedNode, suggestion: Option<&Suggestion>) -> Markup {
    let nearest = match &node.nearest_anchor_id_v2 {
        Some(step) => html! { "at the nearest anchor, " code { (step) } },
        None => html! { "nowhere: they are let go with a friendly message" },
    };
    html! {
        section.card aria-labelledby="goes-on" {
            header { h2 #goes-on { "Where sessions go on" } }
            div.inside {
                p { "Unless you decide otherwise, sessions that stand here go on " (nearest) "." }
                @if let Some(suggestion) = suggestion {
                    (alert(Tone::Info, "It was probably edited", html! {
                        p {
                            "“" (suggestion.node_name_v2) "” (" code { (suggestion.node_id_v2) } ") in the new version has "
                            (because(suggestion)) ". Choose it in the policy if the two are one step."
                        }
                    }))
                }
            }
        }
    }
}

fn side(id: &str, title: &str, lead: &str, changes: &ChangeSet) -> Markup {
    html! {
        section.card aria-labelledby=(id) {
            header { h2 id=(id) { (title) } p { (lead) } }
            div.inside {
                @if changes.counts.total() == 0 { p.quiet { "Nothing." } }
                (listed("Inserted steps", &changes.inserted_nodes, inserted))
                (listed("Removed steps", &changes.removed_node_ids, |step| html! { code { (step) } }))
                (listed("New forks", &changes.new_forks, fork))
                (listed("Changed transitions", &changes.modified_transitions, transition))
            }
        }
    }
}

fn listed<T>(title: &str, all: &[T], shown: impl Fn(&T) -> Markup) -> Markup {
    html! {
        @if !all.is_empty() {
            div.tight {
                h3 { (title) " (" (words::length(all.len())) ")" }
                ul.tight { @for one in all.iter().take(LISTED) { li { (shown(one)) } } }
                @if all.len() > LISTED { p.quiet.small { "and " (words::length(all.len() - LISTED)) " more" } }
            }
        }
    }
}

fn inserted(node: &InsertedNode) -> Markup {
    html! {
        span.row {
            span.strong { (node.node_name) }
            code { (node.node_id) }
            @for field in &node.collects_fields { span.chip { "asks " (field) } }
            @if node.is_required_action { (badge(Tone::Warn, "Required action")) }
            @if node.is_checkpoint { (badge(Tone::Warn, "Checkpoint")) }
            @if node.has_rules { (badge(Tone::Info, "Has rules")) }
        }
    }
}

fn fork(fork: &NewFork) -> Markup {
    html! {
        span.strong { (fork.fork_node_name) }
        ul {
            @for branch in &fork.branches {
                li {
                    @if branch.condition_text.is_empty() { span.quiet { "always" } } @else { code.chip { (branch.condition_text) } }
                    " → " (branch.target_step_name)
                }
            }
        }
    }
}

fn transition(change: &ModifiedTransition) -> Markup {
    let said = |text: &Option<String>| match text.as_deref() {
        None | Some("") => html! { span.quiet { "always" } },
        Some(text) => html! { code.chip { (text) } },
    };
    let way = html! { code { (change.from_step_id) } " → " code { (change.to_step_id) } };
    match change.change_type {
        ChangeType::Added => html! { (way) " is new: " (said(&change.new_condition_text)) },
        ChangeType::Removed => html! { (way) " is gone, was: " (said(&change.old_condition_text)) },
        ChangeType::Modified => html! {
            (way) " was " (said(&change.old_condition_text)) ", is " (said(&change.new_condition_text))
            @if change.old_priority != change.new_priority {
                ", priority " (change.old_priority.unwrap_or(0)) " → " (change.new_priority.unwrap_or(0))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{check, samples};

    fn sample(key: &AnchorKey) -> View {
        let plan = samples::plan();
        let targets = vec![("paid".to_owned(), "Paid <script>".to_owned())];
        View {
            tenant: check::tenant(),
            about: About::of(&plan, key, targets).unwrap(),
            scenario: "Order <script>".to_owned(),
            key: key.clone(),
            form: Form::of(&plan.policies.get(key).cloned().unwrap_or_default()),
            refused: None,
            plan,
        }
    }

    #[tokio::test]
    async fn an_anchor_says_what_changed_around_it_and_takes_its_policy() {
        let plan = samples::plan();
        let checkout = plan.map.anchors().iter().find(|anchor| anchor.v1.as_str() == "checkout");
        let html = sample(&checkout.unwrap().key).page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in ["Age &lt;script&gt;", "asks age", "age &gt;= 18", "Save the policy"] {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[tokio::test]
    async fn a_step_that_is_gone_says_what_it_probably_is_now() {
        let view = sample(&AnchorKey::for_mapping(&"paid".parse().unwrap()));
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("the same id") && html.contains("Sessions here go on at"), "{html}");
        let problem = Problem {
            code: "unknown_step".to_owned(),
            path: "/x/<script>".to_owned(),
            message: "no <script>".to_owned(),
        };
        let refused = Some((StatusCode::BAD_REQUEST, "It does not fit".to_owned(), vec![problem]));
        check::page(&View { refused, ..view }.page(&Viewer::sample()).into_string()).await;
    }
}
