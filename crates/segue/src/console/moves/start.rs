//! `/console/tenants/{tenant}/move`: where a move begins. First a form, then a dry run, which is a question and
//! so has an address of its own; then the word to start.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use segue_core::ids::{StoreId, TenantId};
use segue_core::tenancy::migration::{MigrationConfig, VerificationLevel};

use super::one::Refused;
use super::options::{FIELDS, Field as Setting, Kind, Typed, Wrong};
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble, done};
use crate::console::done::Done;
use crate::console::frame::{Frame, Place};
use crate::console::lengths::{lasting, lasting_ms, rate};
use crate::console::parts::{Field, Figure, Tone, alert, figures, heading, pairs};
use crate::console::sent::{Asked, Sent};
use crate::console::told;
use crate::console::viewer::Viewer;
use crate::console::{home, paths, words};
use crate::http::App;
use crate::tenants::{DryRun, StoreView, TenantState, TenantView};

/// The field that names the store to move to.
const TARGET: &str = "target";

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantView,
    stores: Vec<StoreView>,
    target: String,
    typed: Typed,
    wrong: Vec<Wrong>,
    refused: Option<Refused>,
    /// What would happen, and the settings with which it would.
    dry_run: Option<(DryRun, MigrationConfig)>,
}

/// Shows the form, and what would happen once a store was chosen.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    Asked(asked): Asked,
) -> Result<Response, Trouble> {
    if asked.text(TARGET).is_empty() {
        let typed = Typed::of_config(app.opened.moves.config());
        let view = View::read(&app, tenant, String::new(), typed).await?;
        return Ok(Page(view.page(&viewer)).into_response());
    }
    let mut view = View::of_form(&app, tenant, &asked).await?;
    if let Some((target, config)) = view.understood() {
        match app.opened.moves.dry_run(tenant, &target, &config).await {
            Ok(run) => view.dry_run = Some((run, config)),
            Err(error) => view.refused = Some(Refused::of(error)),
        }
    }
    Ok(view.answer(&viewer))
}

/// Starts the move.
pub async fn start(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let mut view = View::of_form(&app, tenant, &sent).await?;
    let Some((target, config)) = view.understood() else { return Ok(view.answer(&viewer)) };
    let by = viewer.by(app.clock.now());
    match app.opened.moves.start_migration(tenant, &target, config, &by).await {
        Ok(migration) => {
            Ok(done(&paths::one_move(migration.id), Done::MoveStarted).into_response())
        }
        Err(error) => {
            view.refused = Some(Refused::of(error));
            Ok(view.answer(&viewer))
        }
    }
}

impl View {
    async fn read(
        app: &App,
        tenant: TenantId,
        target: String,
        typed: Typed,
    ) -> Result<Self, Trouble> {
        let router = &app.opened.router;
        let (tenant, stores) = tokio::join!(router.tenant_view(tenant), router.store_views());
        let (wrong, refused, dry_run) = (Vec::new(), None, None);
        Ok(Self { tenant: tenant?, stores: stores?, target, typed, wrong, refused, dry_run })
    }

    async fn of_form(app: &App, tenant: TenantId, sent: &Sent) -> Result<Self, Trouble> {
        let texts = FIELDS.iter().map(|field| (field.name, sent.text(field.name)));
        let texts = texts.filter(|(name, text)| !text.is_empty() || !is_switch(name));
        let typed = Typed::of_form(texts);
        Self::read(app, tenant, sent.text(TARGET).to_owned(), typed).await
    }

    /// The store and the settings that were typed; nothing when they cannot be understood, with what is wrong.
    fn understood(&mut self) -> Option<(StoreId, MigrationConfig)> {
        let target = self.target.parse::<StoreId>().ok();
        if target.is_none() {
            let message = "Choose one of the stores.".to_owned();
            self.wrong.push(Wrong { name: TARGET, message });
        }
        match self.typed.read() {
            Ok(config) => target.map(|target| (target, config)),
            Err(wrong) => {
                self.wrong.extend(wrong);
                None
            }
        }
    }

    fn answer(&self, viewer: &Viewer) -> Response {
        let status = match (&self.refused, self.wrong.is_empty()) {
            (Some(refused), _) => refused.status(),
            (None, false) => StatusCode::BAD_REQUEST,
            (None, true) => StatusCode::OK,
        };
        (status, Page(self.page(viewer))).into_response()
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let tenant = self.tenant.tenant_id;
        let trail = [
            ("Tenants".to_owned(), paths::TENANTS.to_owned()),
            (tenant.to_string(), paths::tenant(tenant)),
        ];
        let place = Place::Tenant(tenant);
        let frame = Frame { place, title: "Move a tenant", trail: &trail, viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Move this tenant" } (home::state(self.tenant.state)) },
                html! { p { "It lives in " strong { (self.tenant.store_id) } ". Nothing stops while it moves: reads and writes go on, and wait for a moment at the cutover." } },
                html! {},
            ))
            @if let Some(refused) = &self.refused { (refused.shown()) }
            @if let Some((run, config)) = &self.dry_run { (self.would(run, config)) }
            (self.form())
        })
    }

    /// The form. It asks first; only what follows the dry run starts anything.
    fn form(&self) -> Markup {
        let tenant = self.tenant.tenant_id;
        let others: Vec<&StoreView> =
            self.stores.iter().filter(|store| store.store_id != self.tenant.store_id).collect();
        if others.is_empty() {
            return html! {
                section.card aria-labelledby="where" {
                    header { h2 #where { "Where to" } }
                    (crate::console::parts::empty("There is no other store", html! {
                        p { "Name another one in the configuration of every server, and start them again:" }
                        pre { "[stores.dedicated]\nkind = \"sqlite\"\npath = \"./segue-data/dedicated.db\"" }
                    }))
                }
            };
        }
        let is_wrong = !self.wrong.iter().all(|wrong| wrong.name == TARGET);
        html! {
            form.card action=(paths::start_move(tenant)) method="get" {
                header { h2 { @if self.dry_run.is_some() { "Ask again with other settings" } @else { "Where to" } } }
                div.inside.fields {
                    (self.targets(&others))
                    details.more open[is_wrong] {
                        summary { "Settings of this move" }
                        div.settings { @for field in FIELDS { (self.setting(field)) } }
                    }
                }
                footer.row.apart {
                    span { "A dry run looks at both stores and changes nothing." }
                    button.first[self.dry_run.is_none()] { "Dry run" }
                }
            }
        }
    }

    fn targets(&self, others: &[&StoreView]) -> Markup {
        let wrong = self.wrong(TARGET);
        let first = others.first().map(|store| store.store_id.as_str());
        html! {
            fieldset {
                legend { "The store that it shall live in" }
                @if let Some(wrong) = wrong { p.wrong { (wrong) } }
                div.stores {
                    @for store in others {
                        @let id = store.store_id.as_str();
                        @let is_chosen = if self.target.is_empty() { Some(id) == first } else { self.target == id };
                        label.choice.pick {
                            input type="radio" name=(TARGET) value=(id) checked[is_chosen];
                            span {
                                span.strong { (id) } " " span.quiet { (store.kind) }
                                span.hint {
                                    @match &store.reason {
                                        None => { "healthy, " (words::counted(store.tenants, "tenant")) },
                                        Some(reason) => { "away: " (reason) },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn setting(&self, setting: Setting) -> Markup {
        let label = match setting.unit {
            "" => setting.label.to_owned(),
            unit => format!("{}, {unit}", setting.label),
        };
        let field = Field {
            name: setting.name,
            label: &label,
            value: self.typed.text(setting.name),
            hint: setting.hint,
            wrong: self.wrong(setting.name),
        };
        let levels = ["COUNT", "HASH", "FULL"].map(|level| (level.to_owned(), level.to_owned()));
        match setting.kind {
            Kind::Whole | Kind::Number | Kind::NumberOrNothing => field.number(),
            Kind::Level => field.select(&levels),
            Kind::Switch => html! {
                label.choice {
                    input type="checkbox" name=(setting.name) value="on" checked[self.typed.is_on(setting.name)];
                    span { (setting.label) span.hint { (setting.hint) } }
                }
            },
        }
    }

    fn wrong(&self, name: &str) -> Option<&str> {
        self.wrong.iter().find(|wrong| wrong.name == name).map(|wrong| wrong.message.as_str())
    }

    /// What would happen, and the word to start.
    fn would(&self, run: &DryRun, config: &MigrationConfig) -> Markup {
        html! {
            section.stack aria-labelledby="would" {
                h2 #would { "What would happen" }
                @for (tone, warning) in warnings(run, config, self.tenant.state) {
                    (alert(tone, &warning.0, html! { p { (warning.1) } }))
                }
                (expected(run))
                div.card {
                    div.inside {
                        ol.told.numbered { @for step in &run.steps { li { (told::sentence(&words::sentence(step))) } } }
                        (pairs(&[
                            ("Source keeps", html! { (run.durability.source) }),
                            ("Target keeps", html! { (run.durability.target) }),
                        ]))
                    }
                    form.actions.foot action=(paths::start_move(self.tenant.tenant_id)) method="post" {
                        input type="hidden" name=(TARGET) value=(self.target);
                        @for (name, text) in self.typed.all() { input type="hidden" name=(name) value=(text); }
                        button.first { "Start the move to " (run.target_store_id) }
                        a.button.plain href=(paths::tenant(self.tenant.tenant_id)) { "Not now" }
                    }
                }
            }
        }
    }
}

fn is_switch(name: &str) -> bool {
    FIELDS.iter().any(|field| field.name == name && field.kind == Kind::Switch)
}

fn expected(run: &DryRun) -> Markup {
    figures(&[
        Figure {
            name: "To copy",
            value: html! { (words::count(run.events_to_copy)) },
            note: html! {
                "of " (words::counted(run.total_events, "event"))
                @if run.events_in_target > 0 { "; the target holds " (words::count(run.events_in_target)) }
            },
        },
        Figure {
            name: "That takes about",
            value: html! {
                @match run.estimated_copy_seconds { Some(time) => (lasting(time)), None => "a moment" }
            },
            note: html! { "at " (rate(run.estimated_events_per_second)) ", more while it is written" },
        },
        Figure {
            name: "Writes would wait",
            value: html! { (lasting_ms(run.estimated_pause_ms)) },
            note: html! { "given up after " (lasting_ms(run.pause_budget_ms)) },
        },
        Figure {
            name: "Subscriptions",
            value: html! { (words::count(run.subscriptions)) },
            note: html! { "go on at the same places" },
        },
    ])
}

/// What whoever starts it should know before.
fn warnings(
    run: &DryRun,
    config: &MigrationConfig,
    state: TenantState,
) -> Vec<(Tone, (String, String))> {
    let mut all = Vec::new();
    let mut warn = |tone, title: &str, more: String| all.push((tone, (title.to_owned(), more)));
    if run.estimated_pause_ms > run.pause_budget_ms {
        warn(
            Tone::Bad,
            "The cutover would be given up",
            format!(
                "Writes would wait for about {}, and may wait for {} at most.",
                lasting_ms(run.estimated_pause_ms),
                lasting_ms(run.pause_budget_ms)
            ),
        );
    }
    if config.allow_unsafe_durability {
        warn(
            Tone::Warn,
            "A store may forget what it has acknowledged",
            "With the power a fence may be lost, and \
              the tenant could be written in two places. For tries only."
                .to_owned(),
        );
    }
    if state == TenantState::Paused {
        warn(
            Tone::Warn,
            "The tenant's writes are paused",
            "A tenant that is not written is copied, but not cut \
              over. Resume its writes before."
                .to_owned(),
        );
    }
    if config.auto_cutover {
        warn(
            Tone::Info,
            "It cuts over by itself",
            "As soon as the target is close enough and verified, without \
              your word."
                .to_owned(),
        );
    }
    if config.verification_level == VerificationLevel::Count {
        warn(
            Tone::Warn,
            "What is stored is not read back",
            "COUNT compares ends and streams only. HASH reads \
              back everything that the target has stored."
                .to_owned(),
        );
    }
    if !config.keep_way_back {
        warn(
            Tone::Info,
            "The old source does not follow",
            "It keeps its copy as it was at the cutover; a move \
              back begins from there."
                .to_owned(),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;
    use crate::console::moves::sample;
    use crate::tenants::DurabilityOfBoth;
    use crate::tenants::MigrationError;

    fn view() -> View {
        View {
            tenant: sample::tenant(TenantState::Normal),
            stores: crate::console::stores::sample(),
            target: String::new(),
            typed: Typed::of_config(&MigrationConfig::default()),
            wrong: Vec::new(),
            refused: None,
            dry_run: None,
        }
    }

    fn run() -> DryRun {
        DryRun {
            tenant_id: check::tenant(),
            source_store_id: "shared".parse().unwrap(),
            target_store_id: "dedicated".parse().unwrap(),
            total_events: 1_234_567,
            events_in_target: 500,
            events_to_copy: 1_234_067,
            subscriptions: 3,
            estimated_events_per_second: 21_000.0,
            estimated_copy_seconds: Some(58.8),
            estimated_pause_ms: 17.4,
            pause_budget_ms: 5_000.0,
            durability: DurabilityOfBoth {
                source: "<script>".to_owned(),
                target: "WAL".to_owned(),
            },
            steps: vec!["copy from `shared` <script>".to_owned()],
        }
    }

    async fn shown(view: &View) -> String {
        check::shown(view.page(&Viewer::sample())).await
    }

    #[tokio::test]
    async fn a_move_begins_with_a_question_and_never_offers_the_store_it_is_in() {
        let html = shown(&view()).await;
        assert!(
            html.contains("value=\"dedicated\" checked") && html.contains("value=\"far\""),
            "{html}"
        );
        assert!(!html.contains("value=\"shared\""), "{html}");
        assert!(!html.contains("method=\"post\""), "nothing can be started yet");
    }

    #[tokio::test]
    async fn the_dry_run_tells_what_would_happen_and_only_then_it_can_be_started() {
        let mut view = view();
        view.target = "dedicated".to_owned();
        view.dry_run = Some((run(), MigrationConfig::default()));
        let html = shown(&view).await;
        for told in
            ["1,234,067", "59 s", "17.4 ms", "Start the move to dedicated", "<code>shared</code>"]
        {
            assert!(html.contains(told), "{told}: {html}");
        }
        assert!(html.contains(r#"type="hidden" name="batch_size" value="1000""#), "{html}");
    }

    #[test]
    fn whoever_starts_it_is_warned_of_what_they_chose() {
        let config = MigrationConfig {
            allow_unsafe_durability: true,
            auto_cutover: true,
            keep_way_back: false,
            verification_level: VerificationLevel::Count,
            ..MigrationConfig::default()
        };
        let slow = DryRun { estimated_pause_ms: 6_000.0, ..run() };
        assert_eq!(warnings(&slow, &config, TenantState::Paused).len(), 6);
        assert_eq!(warnings(&run(), &MigrationConfig::default(), TenantState::Normal), []);
    }

    #[tokio::test]
    async fn what_is_mistyped_or_refused_is_shown_with_what_was_typed() {
        let mut view = view();
        view.typed = Typed::of_form([("batch_size", "<script>")]);
        view.wrong = view.typed.read().unwrap_err();
        let (tenant_id, store) = (check::tenant(), "dedicated".parse().unwrap());
        let details = "it is open <script>".to_owned();
        let error = MigrationError::TargetOccupied { tenant_id, store, details };
        view.refused = Some(Refused::of(error.into()));
        let html = shown(&view).await;
        assert!(
            html.contains("must be a whole number") && html.contains("details class=\"more\" open"),
            "{html}"
        );
        assert!(html.contains("not a copy of its present one"), "{html}");
    }

    #[tokio::test]
    async fn without_another_store_it_says_how_to_get_one() {
        let mut view = view();
        view.stores.truncate(1);
        assert!(shown(&view).await.contains("There is no other store"));
    }
}
