//! The decision about a plan: approve, reject, deploy, withdraw. What cannot be undone is asked for twice: the
//! scenario's name or id has to be typed.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use segue_core::ids::{PlanId, TenantId};
use segue_core::plan::lifecycle::{Approval, Kind, Signed, Status};
use segue_store::events::limits::{ACTOR_BYTES, REASON_BYTES};

use super::{Refused, View};
use crate::console::address::Path;
use crate::console::answer::{Trouble, done};
use crate::console::done::Done;
use crate::console::parts::{Field, Tone, alert, pairs};
use crate::console::sent::Sent;
use crate::console::viewer::Viewer;
use crate::console::{paths, words};
use crate::error::Error;
use crate::http::App;
use crate::http::error::Refusal;
use crate::scenarios::Signature;

/// What keeps a form from being carried out.
#[derive(Debug)]
pub(super) enum Wrong {
    Typed(String),
    Refused(Box<Refusal>),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Refused(Box::new(error.into()))
    }
}

/// Approves a plan.
pub async fn approve(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let decided = async {
        let by = name(&sent, "approved_by", &viewer)?;
        app.opened.scenarios.planner.approve_plan(tenant, id, by).await?;
        Ok(())
    };
    let decided = decided.await;
    answer(&app, &viewer, (tenant, id), sent, "approve", decided, Done::Approved).await
}

/// Rejects a plan.
pub async fn reject(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let decided = async {
        let by = name(&sent, "rejected_by", &viewer)?;
        let reason = sent.text("reason");
        if reason.is_empty() {
            return Err(Wrong::Typed(
                "Say why: whoever made the plan will want to know.".to_owned(),
            ));
        }
        if reason.len() > REASON_BYTES {
            return Err(Wrong::Typed(format!("A reason has at most {REASON_BYTES} bytes.")));
        }
        let reason = Some(reason.to_owned());
        app.opened.scenarios.planner.reject_plan(tenant, id, by, reason).await?;
        Ok(())
    };
    let decided = decided.await;
    answer(&app, &viewer, (tenant, id), sent, "reject", decided, Done::Rejected).await
}

/// Deploys a plan.
pub async fn deploy(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let decided = async {
        confirmed(&app, tenant, id, &sent).await?;
        let by = viewer.signature(None);
        app.opened.scenarios.deployer.deploy(tenant, id, by).await?;
        Ok(())
    };
    let decided = decided.await;
    answer(&app, &viewer, (tenant, id), sent, "deploy", decided, Done::Deployed).await
}

/// Takes a deployed plan back.
pub async fn withdraw(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let decided = async {
        confirmed(&app, tenant, id, &sent).await?;
        let by = viewer.signature(None);
        app.opened.scenarios.deployer.withdraw(tenant, id, by).await?;
        Ok(())
    };
    let decided = decided.await;
    answer(&app, &viewer, (tenant, id), sent, "withdraw", decided, Done::Withdrawn).await
}

/// Where to go after a decision, or the page again with what was wrong.
pub(super) async fn answer(
    app: &App,
    viewer: &Viewer,
    (tenant, id): (TenantId, PlanId),
    sent: Sent,
    form: &'static str,
    decided: Result<(), Wrong>,
    made: Done,
) -> Result<Response, Trouble> {
    let (status, message) = match decided {
        Ok(()) if made == Done::Deployed => {
            let deployment = paths::of_plan(tenant, id, "deployment");
            return Ok(done(&deployment, made).into_response());
        }
        Ok(()) => return Ok(done(&paths::plan(tenant, id), made).into_response()),
        Err(Wrong::Typed(message)) => (StatusCode::UNPROCESSABLE_ENTITY, message),
        Err(Wrong::Refused(refusal)) => {
            let trouble = Trouble::from(*refusal);
            if !trouble.is_the_senders() {
                return Err(trouble);
            }
            (trouble.status, trouble.message)
        }
    };
    let view = View::read(app, tenant, id, &Sent::default()).await?;
    Ok(view.again(viewer, Refused { status, form, message, typed: sent }))
}

/// Who decides: the name that was typed, or the viewer's.
fn name(sent: &Sent, field: &str, viewer: &Viewer) -> Result<Signature, Wrong> {
    let typed = sent.text(field);
    if typed.len() > ACTOR_BYTES {
        return Err(Wrong::Typed(format!("A name has at most {ACTOR_BYTES} bytes.")));
    }
    Ok(viewer.signature((!typed.is_empty()).then(|| typed.to_owned())))
}

/// Whether the scenario's name or id was typed.
async fn confirmed(app: &App, tenant: TenantId, id: PlanId, sent: &Sent) -> Result<(), Wrong> {
    let scenarios = &app.opened.scenarios;
    let plan = scenarios.planner.header(tenant, id).await?;
    let scenario = scenarios.catalog.scenario(tenant, plan.scenario_id).await?;
    let typed = sent.text("confirmation");
    if typed == scenario.name.trim() || typed == scenario.scenario_id.to_string() {
        return Ok(());
    }
    Err(Wrong::Typed(format!("Type “{}” to confirm; nothing was changed.", scenario.name)))
}

impl View {
    fn typed(&self, form: &str, name: &str) -> Option<&str> {
        let refused = self.refused.as_ref().filter(|refused| refused.form == form)?;
        Some(refused.typed.text(name))
    }

    pub(super) fn wrong(&self, form: &str) -> Option<&str> {
        let refused = self.refused.as_ref().filter(|refused| refused.form == form)?;
        Some(&refused.message)
    }

    /// What can be decided now, and what was.
    pub(super) fn decision(&self, viewer: &Viewer) -> Markup {
        let status = &self.plan.status;
        let may_deploy = match status.kind() {
            Kind::Pending => self.approval == Approval::Optional,
            Kind::Approved => true,
            Kind::Rejected | Kind::Deployed | Kind::Withdrawn | Kind::Superseded => false,
        };
        // A form that is still there says itself what was wrong with it.
        let is_shown = |form: &str| match form {
            "approve" => status.kind() == Kind::Pending,
            "reject" => matches!(status.kind(), Kind::Pending | Kind::Approved),
            "deploy" => may_deploy,
            _ => status.kind() == Kind::Deployed,
        };
        html! {
            section.card #decision aria-labelledby="to-decide" {
                header { h2 #to-decide { "Decision" } }
                div.inside {
                    @if let Some(refused) = &self.refused {
                        div role="alert" { (alert(Tone::Bad, "That was not done", html! {
                            @if !is_shown(refused.form) { p { (refused.message) } }
                        })) }
                    }
                    (self.history())
                    @if status.kind() == Kind::Pending { (self.approve(viewer)) }
                    @if may_deploy { (self.confirm("deploy", "Deploy", "Its version becomes current, and each session migrates at its customer's next message. No session is touched before.")) }
                    @match status.kind() {
                        Kind::Pending | Kind::Approved => (self.reject(viewer)),
                        Kind::Deployed => {
                            details.more open[self.wrong("withdraw").is_some()] {
                                summary { "Withdraw" }
                                (self.confirm("withdraw", "Withdraw", "Sessions that have not migrated stay where they are, and the version before is current again. Who has migrated has migrated."))
                            }
                        }
                        Kind::Rejected | Kind::Withdrawn | Kind::Superseded => {}
                    }
                }
            }
        }
    }

    fn approve(&self, viewer: &Viewer) -> Markup {
        let by = Field {
            name: "approved_by",
            label: "Approved by",
            value: self.typed("approve", "approved_by").unwrap_or(&viewer.name),
            wrong: self.wrong("approve"),
            ..Field::default()
        };
        html! {
            form.fields action=(paths::of_plan(self.tenant, self.plan.id, "approve")) method="post" {
                (by.text())
                div.actions { button.first { "Approve" } }
            }
        }
    }

    fn reject(&self, viewer: &Viewer) -> Markup {
        let by = Field {
            name: "rejected_by",
            label: "Rejected by",
            value: self.typed("reject", "rejected_by").unwrap_or(&viewer.name),
            ..Field::default()
        };
        let reason = Field {
            name: "reason",
            label: "Why",
            value: self.typed("reject", "reason").unwrap_or_default(),
            wrong: self.wrong("reject"),
            ..Field::default()
        };
        html! {
            details.more open[self.wrong("reject").is_some()] {
                summary { "Reject" }
                form.fields action=(paths::of_plan(self.tenant, self.plan.id, "reject")) method="post" {
                    (by.text())
                    (reason.area())
                    div.actions { button.danger { "Reject the plan" } }
                }
            }
        }
    }

    /// A form that wants the scenario's name typed.
    fn confirm(&self, form: &str, verb: &str, what: &str) -> Markup {
        let field = Field {
            name: "confirmation",
            label: "Type the scenario's name to confirm",
            value: self.typed(form, "confirmation").unwrap_or_default(),
            hint: &self.scenario,
            wrong: self.wrong(form),
        };
        let class = if form == "deploy" { "first" } else { "danger" };
        html! {
            form.fields action=(paths::of_plan(self.tenant, self.plan.id, form)) method="post" {
                p.quiet.small { (what) }
                (field.text())
                div.actions { button class=(class) { (verb) } }
            }
        }
    }

    /// What was decided so far.
    fn history(&self) -> Markup {
        let signed = |signed: &Signed, word: &str| {
            html! {
                (word)
                @if let Some(by) = &signed.by { " by " span.strong { (by) } }
                ", " (words::when(signed.at, self.now))
            }
        };
        let status = &self.plan.status;
        let mut told = Vec::new();
        if let Some(approved) = status.approved() {
            told.push(("Approval", signed(approved, "approved")));
        }
        if let Some(deployed) = status.deployed() {
            told.push(("Deploy", signed(&deployed.signed, "deployed")));
            told.push(("Marked", html! { (words::counted(deployed.sessions_marked, "session")) }));
        }
        match status {
            Status::Pending if self.approval == Approval::Required => {
                told.push(("Next", html! { "somebody has to approve it" }));
            }
            Status::Pending => {
                told.push(("Next", html! { "it may be approved, or deployed at once" }))
            }
            Status::Approved { .. } => told.push(("Next", html! { "it can be deployed" })),
            Status::Deployed { .. } => {}
            Status::Rejected { rejected, reason } => {
                told.push(("Rejection", signed(rejected, "rejected")));
                told.push(("Why", html! { (reason.as_deref().unwrap_or("no reason was given")) }));
            }
            Status::Withdrawn { withdrawn, .. } => {
                told.push(("Withdrawal", signed(withdrawn, "withdrawn")));
            }
            Status::Superseded { at, by_plan, .. } => told.push((
                "Superseded",
                html! {
                    (words::when(*at, self.now)) " by "
                    a href=(paths::plan(self.tenant, *by_plan)) { "a newer plan" }
                },
            )),
        }
        html! { (pairs(&told)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    #[tokio::test]
    async fn a_form_that_was_not_carried_out_keeps_what_was_typed_and_says_why() {
        let refused = Refused {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            form: "reject",
            message: "Say why.".to_owned(),
            typed: Sent::parse(b"rejected_by=Ann+%3Cscript%3E&reason="),
        };
        let view = View { refused: Some(refused), ..View::sample() };
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains(r#"value="Ann &lt;script&gt;""#), "{html}");
        assert!(
            html.contains(r#"id="reason-wrong""#) && html.contains("<details class=\"more\" open>")
        );
    }
}
