//! The main flows by forms, over the real router: what a browser would send, and what its user would read.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use segue_core::ids::{ScenarioId, TenantId};
use segue_core::session::turn::Input;
use tower::ServiceExt;

use super::{check, paths, samples};
use crate::http::App;
use crate::scenarios::StartSession;

const FORM: &str = "application/x-www-form-urlencoded";

/// A browser without JavaScript.
struct Browser {
    app: App,
    router: Router,
    tenant: TenantId,
}

/// What it shows.
struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Shown {
    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.html.contains(text), "{text} is not in {} {}", self.status, self.html);
        self
    }

    #[track_caller]
    fn leads_to(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.html);
        self.headers[header::LOCATION].to_str().unwrap().to_owned()
    }
}

impl Browser {
    async fn open() -> Self {
        let app = check::app().await;
        let router = crate::http::router(app.clone());
        Self { app, router, tenant: TenantId(uuid::Uuid::new_v4()) }
    }

    async fn send(&self, request: Request<Body>) -> Shown {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Shown { status, headers, html: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Shown {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form to a path below the tenant's.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let path = if path.starts_with("/console") { path.to_owned() } else { self.at(path) };
        let request = Request::post(path).header(header::CONTENT_TYPE, FORM);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Looks again until the page says something, for some seconds.
    async fn until(&self, path: &str, says: &str) -> Shown {
        for _ in 0..1_200 {
            let shown = self.get(path).await;
            if shown.html.contains(says) {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{path} never says {says}: {}", self.get(path).await.html)
    }

    fn at(&self, path: &str) -> String {
        format!("/console/tenants/{}{path}", self.tenant)
    }

    async fn registered(&self) -> ScenarioId {
        let document = serde_json::to_string(&samples::order_flow(1)).unwrap();
        let sent = self.post("/scenarios/new", &[("document", &document)]).await;
        let to = sent.leads_to();
        self.get(&to).await.says("The scenario is registered").says("Order &lt;script&gt;");
        samples::order_flow(1).id
    }

    /// Makes a plan, and gives its address.
    async fn planned(&self) -> String {
        let id = self.registered().await;
        let document = serde_json::to_string(&samples::order_flow(2)).unwrap();
        let fields = [("document", document.as_str()), ("created_by", "Ann")];
        let to = self.post(&format!("/scenarios/{id}/new-version"), &fields).await.leads_to();
        self.get(&to).await.says("The plan is ready for review").says("by Ann");
        to.split_once('?').unwrap().0.to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_comes_to_a_returning_customer_by_forms_alone() {
    let browser = Browser::open().await;
    let plan = browser.planned().await;
    let sessions = browser.app.opened.scenarios.sessions.clone();
    let start = StartSession {
        scenario_id: samples::order_flow(1).id,
        channel: "web".parse().unwrap(),
        customer_id: None,
        variables: Default::default(),
        id: None,
    };
    let session = sessions.start(browser.tenant, start).await.unwrap().session.id;

    let approved = browser.post(&format!("{plan}/approve"), &[("approved_by", "Olga")]).await;
    browser.get(&approved.leads_to()).await.says("approved by <span class=\"strong\">Olga</span>");
    let careless = browser.post(&format!("{plan}/deploy"), &[("confirmation", "order")]).await;
    assert_eq!(careless.status, StatusCode::UNPROCESSABLE_ENTITY);
    careless.says("nothing was changed").says(r#"value="order""#).says("Approved");
    let deploy = [("confirmation", "Order <script>")];
    let deployed = browser.post(&format!("{plan}/deploy"), &deploy).await.leads_to();
    browser.get(&deployed).await.says("The plan is deployed").says("Nobody has come back yet");

    let page = browser.at(&format!("/sessions/{session}"));
    browser.get(&page).await.says("It migrates at the customer's next message");
    sessions.take_turn(browser.tenant, session, Input::default(), None).await.unwrap();
    browser.get(&page).await.says("Migrated from version 1 to 2");
    browser.get(&format!("{plan}/deployment/live")).await.says(&session.to_string());
    let audit = browser.at("/audit?action=plan_deployed");
    browser.get(&audit).await.says("1 of 1 line").says("operator");

    let withdrawn = browser.post(&format!("{plan}/withdraw"), &deploy).await.leads_to();
    browser.get(&withdrawn).await.says("withdrawn by");
    let again = browser.post(&format!("{plan}/withdraw"), &deploy).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    again.says("Cannot withdraw a plan that is withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_forecast_by_a_button_and_held_against_what_was_decided() {
    let browser = Browser::open().await;
    let plan = browser.planned().await;
    let sessions = browser.app.opened.scenarios.sessions.clone();
    let start = StartSession {
        scenario_id: samples::order_flow(1).id,
        channel: "web".parse().unwrap(),
        customer_id: None,
        variables: Default::default(),
        id: None,
    };
    let session = sessions.start(browser.tenant, start).await.unwrap().session.id;

    browser.get(&plan).await.says("What would it do to each session?");
    let begun = browser.post(&format!("{plan}/forecast"), &[]).await.leads_to();
    browser.get(&begun).await.says("The forecast has begun");
    browser.until(&plan, "1 example").await.says("Forecast again").says(&session.to_string());
    let late = browser.post(&format!("{plan}/forecast/cancel"), &[]).await.leads_to();
    assert_eq!(late, plan, "there is nothing to cancel any more");
    let fragment = browser.get(&format!("{plan}/forecast")).await;
    assert!(!fragment.html.contains("<html") && !fragment.html.contains("every 1s"));

    browser.post(&format!("{plan}/approve"), &[("approved_by", "Olga")]).await.leads_to();
    let deploy = [("confirmation", "Order <script>")];
    browser.post(&format!("{plan}/deploy"), &deploy).await.leads_to();
    sessions.take_turn(browser.tenant, session, Input::default(), None).await.unwrap();
    browser.until(&plan, "of 1 decided").await.says("As foreseen").says("Really");
    browser.until(&format!("{plan}/deployment"), "of 1 decided").await.says("Held against");
    let part = browser.get(&format!("{plan}/deployment/forecast")).await;
    part.says("As foreseen").says("every 5s");
    let late = browser.post(&format!("{plan}/forecast"), &[]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    late.says("It was not begun").says("Cannot forecast a plan that is deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_set_by_its_form_and_a_wrong_one_is_shown_again() {
    let browser = Browser::open().await;
    let plan = browser.planned().await;
    let anchor = samples::plan().map.anchors()[0].key.clone();
    let page = format!("{plan}/anchors/{anchor}");
    let policy = [("include_channels", "web\nsms"), ("force_scenario", "gap_fill")];
    let saved = browser.post(&page, &policy).await.leads_to();
    browser.get(&saved).await.says("stays; forced: gap fill; only web, sms");
    browser.get(&page).await.says("web\nsms</textarea>");

    let wrong = [("min_session_age_days", "9"), ("max_session_age_days", "3")];
    let refused = browser.post(&page, &wrong).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    refused.says("no session is at least 9 and at most 3 days old").says(r#"value="9""#);
    let mapped = [("map_to_step_id", "paid"), ("update_downstream", "yes")];
    let saved = browser.post(&format!("{plan}/anchors/suggestion:paid"), &mapped).await.leads_to();
    browser.get(&saved).await.says("Mapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_shown_once_rotated_and_revoked_by_forms() {
    let browser = Browser::open().await;
    let keyring = browser.app.access.keyring.clone();
    let secret = |shown: &Shown| {
        assert_eq!(shown.status, StatusCode::CREATED, "{}", shown.html);
        assert_eq!(shown.headers[header::CACHE_CONTROL], "no-store");
        let (_, after) = shown.html.split_once("<pre class=\"secret\">").unwrap();
        after.split_once('<').unwrap().0.to_owned()
    };
    browser.get("/console/keys").await.says("There is no key yet");
    let careless = browser.post("/console/keys/new", &[("name", "Olga <script>")]).await;
    assert_eq!(careless.status, StatusCode::BAD_REQUEST);
    careless.says("at least one of").says(r#"value="Olga &lt;script&gt;""#);
    let fields = [("name", "Olga <script>"), ("roles", "operator"), ("roles", "platform")];
    let id = uuid::Uuid::new_v4().to_string();
    let fields = [fields.as_slice(), &[("new_id", id.as_str())]].concat();
    let old = secret(&browser.post("/console/keys/new", &fields).await);
    let twice = browser.post("/console/keys/new", &fields).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    twice.says("No key was made").says("made its key already");
    assert!(!twice.html.contains(&format!("value=\"{id}\"")), "it makes another one");
    let key = keyring.recognise(&old).await.unwrap();
    assert_eq!((key.roles.to_string().as_str(), key.tenant), ("operator platform", None));

    let page = format!("/console/keys/{}", key.id);
    browser.get("/console/keys").await.says(&page).says("Valid").says("1 of 1 key");
    let seen = browser.get(&page).await;
    seen.says("Key created").says("Olga &lt;script&gt;");
    assert!(!seen.html.contains(&old), "a secret is shown once");
    for (odd, says) in [
        ([("overlap", "9999999"), ("new_id", "")], "30 days at most"),
        ([("overlap", "0"), ("new_id", "x")], "not the id of a key"),
    ] {
        let refused = browser.post(&format!("{page}/rotate"), &odd).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        refused.says(says);
    }
    let id = uuid::Uuid::new_v4().to_string();
    let mut fields = [("overlap", "3600"), ("new_id", id.as_str())];
    let new = secret(&browser.post(&format!("{page}/rotate"), &fields).await);
    assert_ne!(new, old);
    let other = keyring.recognise(&new).await.unwrap();
    let twice = browser.post(&format!("{page}/rotate"), &fields).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    twice.says("made its key already").says("Rotate the key");
    assert!(!twice.html.contains(&format!("value=\"{id}\"")), "it makes another one");
    assert!(keyring.recognise(&old).await.is_ok() && keyring.recognise(&new).await.is_ok());

    let careless = browser.post(&format!("{page}/revoke"), &[("confirmation", "olga")]).await;
    assert_eq!(careless.status, StatusCode::UNPROCESSABLE_ENTITY);
    careless.says("nothing was changed");
    assert!(keyring.recognise(&old).await.is_ok());
    let begins_with = format!("segue_{}", key.prefix);
    let confirmed = [("confirmation", begins_with.as_str())];
    let revoked = browser.post(&format!("{page}/revoke"), &confirmed).await.leads_to();
    browser.get(&revoked).await.says("The key is revoked").says("Key revoked");
    assert!(keyring.recognise(&old).await.is_err() && keyring.recognise(&new).await.is_ok());
    let late = browser.post(&format!("{page}/rotate"), &[("overlap", "0")]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    late.says("is over; make a new one instead");
    fields[0].1 = "0";
    let twice = browser.post(&format!("{page}/rotate"), &fields).await;
    twice.says("made its key already");
    let untrue = browser.get(&format!("{}?done=key-revoked", paths::key(other.id))).await;
    assert!(!untrue.html.contains("The key is revoked"), "{}", untrue.html);
    let nobody = format!("/console/keys/{}", uuid::Uuid::nil());
    assert_eq!(browser.get(&nobody).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_wants_a_reason_and_keeps_it() {
    let browser = Browser::open().await;
    let plan = browser.planned().await;
    let fields = [("rejected_by", "Olga"), ("reason", " ")];
    let refused = browser.post(&format!("{plan}/reject"), &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused.says("Say why").says(r#"value="Olga""#).says("To be reviewed");
    let fields = [("rejected_by", "Olga"), ("reason", "no <script>")];
    let rejected = browser.post(&format!("{plan}/reject"), &fields).await.leads_to();
    browser.get(&rejected).await.says("no &lt;script&gt;").says("Rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_can_be_uploaded_and_one_that_is_wrong_says_where() {
    let browser = Browser::open().await;
    let document = serde_json::to_string(&samples::order_flow(1)).unwrap();
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"document\"\r\n\r\n\r\n--x\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"a.json\"\r\n\r\n{document}\r\n--x--\r\n"
    );
    let request = Request::post(browser.at("/scenarios/new"))
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
    browser.send(request.body(Body::from(body)).unwrap()).await.leads_to();

    let torn = browser.post("/scenarios/new", &[("document", "{\"name\": ")]).await;
    assert_eq!(torn.status, StatusCode::BAD_REQUEST);
    torn.says("is not JSON").says("{&quot;name&quot;:");
    let mut lost = serde_json::to_value(samples::order_flow(1)).unwrap();
    lost["steps"][0]["transitions"][0]["to_step_id"] = "nowhere".into();
    lost["id"] = uuid::Uuid::new_v4().to_string().into();
    let lost = browser.post("/scenarios/new", &[("document", &lost.to_string())]).await;
    assert_eq!(lost.status, StatusCode::BAD_REQUEST);
    lost.says("/steps/0/transitions/0").says("nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_on_a_page() {
    let browser = Browser::open().await;
    let plan = browser.planned().await;
    let id = plan.rsplit_once('/').unwrap().1;
    let of_another = format!("/console/tenants/{}/plans/{id}", uuid::Uuid::new_v4());
    for path in [
        of_another.as_str(),
        "/console/no/such/page",
        "/console/tenants/not-an-id/plans",
        &browser.at("/sessions/00000000-0000-4000-8000-000000000000"),
        &format!("{plan}/anchors/none"),
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, StatusCode::NOT_FOUND, "{path}");
        shown.says("<!DOCTYPE html>").says("To the overview");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_may_load_anything_from_elsewhere_or_be_kept() {
    let browser = Browser::open().await;
    let shown = browser.get("/console").await;
    let policy = shown.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe")
    );
    assert_eq!(shown.headers[header::CACHE_CONTROL], "no-store");
    let asset = browser.get(&super::assets::STYLE.path()).await;
    assert!(asset.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
}
