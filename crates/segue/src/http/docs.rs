//! `/openapi.json` and `/docs`: the description of the API, and a page to read it on. The page and all
//! that it loads are part of the binary; it asks no other host for anything.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::App;

/// What the description says of the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Segue",
        description = "Change the plan while people are following it. Every request that belongs to a \
                       tenant carries `X-Tenant-ID`; a key that is for one tenant says it by itself. Errors \
                       are `{code, message, details}`; the codes are stable and explained in docs/errors. \
                       Every answer carries `X-Request-ID`, the caller's if it was 1 to 128 visible ASCII \
                       characters.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "scenarios", description = "Graphs of steps, and their immutable versions"),
        (name = "migration plans", description = "From one version to the next: review, approve, deploy, watch"),
        (name = "fields", description = "How data is typed, asked for and found"),
        (name = "sessions", description = "One customer's way through a scenario"),
        (name = "customers", description = "What is known of a customer across sessions"),
        (name = "events", description = "The tenant's log: append, read, follow, subscribe"),
        (name = "erasure", description = "What customers may ask to be forgotten"),
        (name = "tenants", description = "For operators: stores, where tenants live, whether their logs are sound"),
        (name = "tenant migrations", description = "For operators: moving a tenant to another store while it is read and written"),
        (name = "keys", description = "For operators: API keys, and what their bearers may do"),
        (name = "server", description = "Health and metrics"),
    )
)]
struct Whole;

/// The API key, as every request carries it on a server whose `access.mode` is `api_keys`.
fn bearer() -> SecurityScheme {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("segue_…".to_owned());
    bearer.description =
        Some("An API key; needed where `access.mode` is `api_keys` (docs/operating.md)".to_owned());
    SecurityScheme::Http(bearer)
}

/// The description without any endpoint.
#[must_use]
pub fn whole() -> OpenApi {
    let mut whole = Whole::openapi();
    let components = whole.components.get_or_insert_default();
    components.add_security_scheme("api_key", bearer());
    // Either is enough, as far as the description can say: an open server asks for nothing.
    let nothing = SecurityRequirement::default();
    let key = SecurityRequirement::new("api_key", std::iter::empty::<String>());
    whole.security = Some(vec![nothing, key]);
    whole
}

/// What any request under the API may be answered, beside what its endpoint says.
const ANYWHERE: &[(&str, &str)] = &[
    (
        "400",
        "The path, the query, a header or the body is wrong: `invalid_parameter`, `missing_tenant` and others",
    ),
    ("401", "`unauthenticated`"),
    ("403", "`forbidden`, `tenant_mismatch`, `cross_origin`"),
    ("429", "`rate_limited`"),
    ("500", "`internal`, `store_corrupt`"),
    ("503", "`store_unavailable`, `timed_out`"),
];

/// What a request with a body may be answered as well.
const WITH_BODY: &[(&str, &str)] =
    &[("413", "`body_too_large`"), ("415", "`unsupported_media_type`")];

/// The description with what may be answered anywhere, said at every endpoint of the API.
#[must_use]
pub fn completed(mut api: OpenApi) -> OpenApi {
    for (path, item) in &mut api.paths.paths {
        let methods =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            if !path.starts_with(super::BASE) && path != "/metrics" {
                continue;
            }
            let with_body = operation.request_body.as_ref().map_or(&[][..], |_| WITH_BODY);
            for (status, says) in ANYWHERE.iter().chain(with_body) {
                let known = operation.responses.responses.entry((*status).to_owned());
                known.or_insert_with(|| error(says).into());
            }
        }
    }
    open_what_is_part_of_more(&mut api);
    api
}

/// A document that takes no field that it does not know may be a part of an answer with more fields.
fn open_what_is_part_of_more(api: &mut OpenApi) {
    let Some(components) = &mut api.components else { return };
    let parts: Vec<String> = components
        .schemas
        .values()
        .filter_map(|schema| match schema {
            RefOr::T(Schema::AllOf(all)) => Some(&all.items),
            RefOr::T(_) | RefOr::Ref(_) => None,
        })
        .flatten()
        .filter_map(|item| match item {
            RefOr::Ref(part) => part.ref_location.rsplit('/').next().map(str::to_owned),
            RefOr::T(_) => None,
        })
        .collect();
    for part in parts {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&part) {
            object.additional_properties = None;
        }
    }
}

/// An answer that is not a success.
fn error(says: &str) -> Response {
    let schema = Ref::from_schema_name("ErrorBody");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(says).content("application/json", content).build()
}

/// The description as it is served and committed: pretty, with a newline at the end.
#[must_use]
pub fn text(api: &OpenApi) -> String {
    let mut text = api.to_pretty_json().expect("a description is plain data");
    text.push('\n');
    text
}

/// Serves the description and the page.
pub fn routes(api: &OpenApi) -> Router<App> {
    let text: &'static str = Box::leak(text(api).into_boxed_str());
    let serve =
        move || async move { ([(header::CONTENT_TYPE, "application/json")], text).into_response() };
    // Without "none" the page would ask validator.swagger.io for a badge.
    let config = Config::new(["/openapi.json"]).validator_url("none").try_it_out_enabled(true);
    Router::new().route("/openapi.json", get(serve)).merge(SwaggerUi::new("/docs").config(config))
}
