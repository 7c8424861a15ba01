//! Registers a scenario, and makes a plan to a new version of one, from a document that was pasted or uploaded.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::scenario::Scenario;
use segue_core::scenario::validate::Problem;

use super::paths;
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble, done};
use crate::console::done::Done;
use crate::console::frame::{Frame, Place};
use crate::console::parts::{self, Field, Tone, alert, heading};
use crate::console::sent::Sent;
use crate::console::viewer::Viewer;
use crate::error::Error;
use crate::http::App;
use crate::http::error::Refusal;
use crate::http::extract;
use crate::http::plans::latest_version;
use crate::http::scenarios::NewScenario;

/// What a document is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    /// A new scenario.
    Register,
    /// A new version of this scenario.
    Plan { scenario: ScenarioId, name: String, latest: Version },
}

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    purpose: Purpose,
    document: String,
    from_version: String,
    created_by: String,
    refused: Option<Refused>,
}

/// Why a document was not taken.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    message: String,
    problems: Vec<Problem>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.body.code.status(),
            message: crate::console::words::sentence(&refusal.body.message),
            problems: Vec::new(),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { what, problems } => Self {
                status: StatusCode::BAD_REQUEST,
                message: format!(
                    "The {what} has {}",
                    match problems.len() {
                        1 => "a problem".to_owned(),
                        several => format!("{several} problems"),
                    }
                ),
                problems,
            },
            other => Refusal::from(other).into(),
        }
    }
}

/// The form for a new scenario.
pub async fn register_form(viewer: Viewer, Path(tenant): Path<TenantId>) -> Page {
    Page(View::new(tenant, Purpose::Register, String::new(), &viewer).page(&viewer))
}

/// Registers a scenario.
pub async fn register(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let registered = async {
        let new: NewScenario = extract::parse(document(&sent).as_bytes())?;
        let id = new.id.unwrap_or_else(|| ScenarioId(app.clock.new_id()));
        let scenario = new.into_scenario(id, Version(1))?;
        app.opened.scenarios.catalog.register(tenant, scenario, &viewer.name).await?;
        Ok::<_, Refused>(id)
    };
    match registered.await {
        Ok(id) => Ok(done(&paths::scenario(tenant, id), Done::Registered).into_response()),
        Err(refused) => Ok(View::refused(tenant, Purpose::Register, &sent, refused).again(&viewer)),
    }
}

/// The form for a new version: its current one, to be changed.
pub async fn plan_form(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, ScenarioId)>,
) -> Result<Page, Trouble> {
    let catalog = &app.opened.scenarios.catalog;
    let scenario = catalog.scenario(tenant, id).await?;
    let current = catalog.version(tenant, id, scenario.current_version).await?;
    let latest = latest_version(&app, tenant, id).await?;
    let next = Scenario { version: latest.next(), ..(*current.document).clone() };
    let document = serde_json::to_string_pretty(&next).expect("plain data serialises");
    let purpose = Purpose::Plan { scenario: id, name: scenario.name, latest };
    Ok(Page(View::new(tenant, purpose, document, &viewer).page(&viewer)))
}

/// Makes a plan to a new version.
pub async fn plan(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, ScenarioId)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let planned = async {
        let new: NewScenario = extract::parse(document(&sent).as_bytes())?;
        let latest = latest_version(&app, tenant, id).await?;
        if let Some(other) = new.id.filter(|named| *named != id) {
            return Err(Error::Invalid {
                what: "scenario",
                problems: vec![other_scenario(id, other)],
            }
            .into());
        }
        let from = sent.optional::<u64>("from_version", "the number of a version");
        let from = from.map_err(|message| Refused {
            status: StatusCode::BAD_REQUEST,
            message,
            problems: Vec::new(),
        })?;
        let scenario = new.into_scenario(id, latest.next())?;
        let by = viewer.signature(sent.given("created_by").map(str::to_owned));
        let planner = &app.opened.scenarios.planner;
        Ok::<_, Refused>(planner.generate_plan(tenant, id, scenario, by, from.map(Version)).await?)
    };
    match planned.await {
        Ok(plan) => Ok(done(&paths::plan(tenant, plan.id), Done::Planned).into_response()),
        Err(refused) => {
            let name = app.opened.scenarios.catalog.scenario(tenant, id).await?.name;
            let latest = latest_version(&app, tenant, id).await?;
            let purpose = Purpose::Plan { scenario: id, name, latest };
            Ok(View::refused(tenant, purpose, &sent, refused).again(&viewer))
        }
    }
}

fn other_scenario(id: ScenarioId, other: ScenarioId) -> Problem {
    Problem {
        code: "other_scenario".to_owned(),
        path: "/id".to_owned(),
        message: format!("{other} is not this scenario, {id}: leave the id out or correct it"),
    }
}

/// What was uploaded, or else what was typed.
fn document(sent: &Sent) -> &str {
    let file = sent.text("file");
    if file.is_empty() { sent.text("document") } else { file }
}

impl View {
    fn new(tenant: TenantId, purpose: Purpose, document: String, viewer: &Viewer) -> Self {
        let created_by = viewer.name.clone();
        Self { tenant, purpose, document, from_version: String::new(), created_by, refused: None }
    }

    fn refused(tenant: TenantId, purpose: Purpose, sent: &Sent, refused: Refused) -> Self {
        Self {
            tenant,
            purpose,
            document: document(sent).to_owned(),
            from_version: sent.text("from_version").to_owned(),
            created_by: sent.text("created_by").to_owned(),
            refused: Some(refused),
        }
    }

    /// The page with what is wrong.
    fn again(&self, viewer: &Viewer) -> Response {
        let status = self.refused.as_ref().map_or(StatusCode::OK, |refused| refused.status);
        (status, Page(self.page(viewer))).into_response()
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let mut trail = vec![("Scenarios".to_owned(), paths::scenarios(self.tenant))];
        let title = match &self.purpose {
            Purpose::Register => "Register a scenario".to_owned(),
            Purpose::Plan { scenario, name, .. } => {
                trail.push((name.clone(), paths::scenario(self.tenant, *scenario)));
                format!("New version of {name}")
            }
        };
        let place = Place::Scenarios(self.tenant);
        let frame = Frame { place, title: &title, trail: &trail, viewer: Some(viewer) };
        frame.around(html! {
            (heading(html! { h1 { (title) } }, self.lead(), html! {}))
            @if let Some(refused) = &self.refused { (problems(refused)) }
            section.card aria-label="Document" { div.inside { (self.form()) } }
        })
    }

    fn lead(&self) -> Markup {
        match &self.purpose {
            Purpose::Register => {
                html! { p { "Its first version is current from then on: new sessions begin on it." } }
            }
            Purpose::Plan { latest, .. } => html! {
                p {
                    "Version " (latest.next()) " is compared with the one that sessions are on. You get a plan to review; "
                    "nothing changes for anybody before you deploy it."
                }
            },
        }
    }

    fn form(&self) -> Markup {
        let wrong = self.refused.as_ref().map(|refused| refused.message.as_str());
        let document = Field {
            name: "document",
            label: "Scenario as JSON",
            value: &self.document,
            hint: "Steps with their transitions, as in examples/order-flow-v1.json.",
            wrong,
        };
        let (action, submit) = match &self.purpose {
            Purpose::Register => (paths::new_scenario(self.tenant), "Register"),
            Purpose::Plan { scenario, .. } => {
                (paths::new_version(self.tenant, *scenario), "Compare and plan")
            }
        };
        html! {
            form.fields action=(action) method="post" enctype="multipart/form-data" {
                (document.code())
                div.field {
                    label for="file" { "Or a file" }
                    input type="file" id="file" name="file" accept=".json,application/json";
                    p.hint { "A file takes precedence over what is typed above." }
                }
                @match &self.purpose {
                    Purpose::Register => {}
                    Purpose::Plan { .. } => {
                        div.columns {
                            (Field { name: "created_by", label: "Made by", value: &self.created_by, hint: "Kept with the plan.", ..Field::default() }.text())
                            (Field {
                                name: "from_version",
                                label: "From version",
                                value: &self.from_version,
                                hint: "The current one if left empty; an older one picks up sessions that were left behind.",
                                ..Field::default()
                            }.number())
                        }
                    }
                }
                div.actions { button.first { (submit) } }
            }
        }
    }
}

fn problems(refused: &Refused) -> Markup {
    // What is wrong with all of it stands below the document.
    let title = match refused.problems.is_empty() {
        true => "That was not taken",
        false => &refused.message,
    };
    html! { div role="alert" { (alert(Tone::Bad, title, parts::problems(&refused.problems))) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{check, samples};

    fn refused() -> Refused {
        let problem = |path: &str| Problem {
            code: "unknown_step".to_owned(),
            path: path.to_owned(),
            message: "there is no step <script>".to_owned(),
        };
        Error::Invalid { what: "scenario", problems: vec![problem("/steps/0"), problem("")] }.into()
    }

    #[tokio::test]
    async fn both_forms_say_where_every_problem_is_and_keep_what_was_typed() {
        let plan = Purpose::Plan {
            scenario: samples::order_flow(1).id,
            name: "Order <script>".to_owned(),
            latest: Version(1),
        };
        for purpose in [Purpose::Register, plan] {
            let viewer = Viewer::sample();
            check::page(
                &View::new(check::tenant(), purpose.clone(), "{}".to_owned(), &viewer)
                    .page(&viewer)
                    .into_string(),
            )
            .await;
            let sent = Sent::parse(b"document=%7B%22name%22%3A%22%3Cscript%3E%22&created_by=Ann");
            let view = View::refused(check::tenant(), purpose, &sent, refused());
            let html = view.page(&viewer).into_string();
            check::page(&html).await;
            assert!(html.contains("has 2 problems") && html.contains("/steps/0"), "{html}");
            assert!(html.contains("{&quot;name&quot;:&quot;&lt;script&gt;&quot;"), "{html}");
        }
    }
}
