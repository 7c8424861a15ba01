//! Every stable error code, with its status. A page in `docs/errors` explains each.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:ident;)*) => {
        /// What a client matches on. The texts never change; messages may.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it is sent.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status that it is sent with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// There is no `X-Tenant-ID`.
    MissingTenant = "missing_tenant", BAD_REQUEST;
    /// `X-Tenant-ID` is not a UUID.
    InvalidTenant = "invalid_tenant", BAD_REQUEST;
    /// The body is not JSON.
    MalformedJson = "malformed_json", BAD_REQUEST;
    /// The body has a field that the request does not have.
    UnknownField = "unknown_field", BAD_REQUEST;
    /// A field of the body is missing or has the wrong type.
    InvalidBody = "invalid_body", BAD_REQUEST;
    /// A part of the path, the query or a header is wrong.
    InvalidParameter = "invalid_parameter", BAD_REQUEST;
    /// The cursor does not come from this list.
    InvalidCursor = "invalid_cursor", BAD_REQUEST;
    /// The scenario cannot be walked.
    InvalidScenario = "invalid_scenario", BAD_REQUEST;
    /// The policies name an unknown anchor or contradict themselves.
    InvalidPolicies = "invalid_policies", BAD_REQUEST;
    /// The field definition makes no sense.
    InvalidFieldDefinition = "invalid_field_definition", BAD_REQUEST;
    /// A value does not fit its field.
    InvalidFieldValue = "invalid_field_value", BAD_REQUEST;
    /// The turn cannot be taken as it is.
    InvalidTurn = "invalid_turn", BAD_REQUEST;
    /// Another part of the request breaks a rule.
    InvalidRequest = "invalid_request", BAD_REQUEST;
    /// The events cannot be appended as they are.
    InvalidAppend = "invalid_append", BAD_REQUEST;
    /// The request does not say who it is from, or by no valid API key.
    Unauthenticated = "unauthenticated", UNAUTHORIZED;
    /// The API key is for something else.
    Forbidden = "forbidden", FORBIDDEN;
    /// The API key is for another tenant.
    TenantMismatch = "tenant_mismatch", FORBIDDEN;
    /// A browser sent it from a page of another site, or called the server by another name.
    CrossOrigin = "cross_origin", FORBIDDEN;
    /// Whoever made a plan may not approve it.
    FourEyes = "four_eyes", FORBIDDEN;
    /// The stream belongs to Segue itself.
    ReservedStream = "reserved_stream", FORBIDDEN;
    /// There is no such path.
    RouteNotFound = "route_not_found", NOT_FOUND;
    /// The tenant has no such scenario.
    ScenarioNotFound = "scenario_not_found", NOT_FOUND;
    /// The scenario has no such version.
    VersionNotFound = "version_not_found", NOT_FOUND;
    /// The tenant has no such plan.
    PlanNotFound = "plan_not_found", NOT_FOUND;
    /// The plan has no such anchor.
    AnchorNotFound = "anchor_not_found", NOT_FOUND;
    /// The tenant has no such session.
    SessionNotFound = "session_not_found", NOT_FOUND;
    /// The tenant has no such field.
    FieldNotFound = "field_not_found", NOT_FOUND;
    /// The tenant was never placed in a store.
    TenantNotFound = "tenant_not_found", NOT_FOUND;
    /// No store of this id is configured.
    StoreNotFound = "store_not_found", NOT_FOUND;
    /// There is no such migration of a tenant.
    MigrationNotFound = "migration_not_found", NOT_FOUND;
    /// The tenant has no such stream.
    StreamNotFound = "stream_not_found", NOT_FOUND;
    /// The tenant has no such subscription.
    SubscriptionNotFound = "subscription_not_found", NOT_FOUND;
    /// There is no such API key.
    KeyNotFound = "key_not_found", NOT_FOUND;
    /// Nobody asked for a forecast of the plan.
    ForecastNotFound = "forecast_not_found", NOT_FOUND;
    /// The path exists but not with this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The id is taken.
    AlreadyExists = "already_exists", CONFLICT;
    /// The new version does not come after the current one.
    VersionNotGreater = "version_not_greater", CONFLICT;
    /// A plan for the same versions is open.
    PlanExists = "plan_exists", CONFLICT;
    /// The state of the plan or the migration does not allow it.
    InvalidStateTransition = "invalid_state_transition", CONFLICT;
    /// Somebody else changed the plan at the same moment.
    PlanChanged = "plan_changed", CONFLICT;
    /// The tenant lives in another store.
    TenantAlreadyPlaced = "tenant_already_placed", CONFLICT;
    /// The tenant is on the move.
    MigrationAlreadyExists = "migration_already_exists", CONFLICT;
    /// The tenant lives in that store already.
    SameStore = "same_store", CONFLICT;
    /// The target store holds another log of the tenant.
    TargetOccupied = "target_occupied", CONFLICT;
    /// A store of the migration may lose what it has acknowledged.
    UnsafeDurability = "unsafe_durability", CONFLICT;
    /// The target does not hold what the source holds.
    ConsistencyError = "consistency_error", CONFLICT;
    /// Something stands in the way of the migration.
    MigrationObstructed = "migration_obstructed", CONFLICT;
    /// The session takes no more turns.
    SessionOver = "session_over", CONFLICT;
    /// The graph has no such way.
    StepNotAllowed = "step_not_allowed", CONFLICT;
    /// The tenant has as many of these as it may.
    LimitReached = "limit_reached", CONFLICT;
    /// The stream is not at the expected version.
    VersionConflict = "version_conflict", CONFLICT;
    /// The event id belongs to another event.
    DuplicateEvent = "duplicate_event", CONFLICT;
    /// The position was not read yet.
    PositionAhead = "position_ahead", CONFLICT;
    /// What was said in the session was erased.
    SessionErased = "session_erased", GONE;
    /// The body is too large.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// The body is not sent as JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// The idempotency key belongs to another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY;
    /// The API key is used more often than it may be.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS;
    /// The tenant follows its log as often at once as it may.
    TooManyStreams = "too_many_streams", TOO_MANY_REQUESTS;
    /// The server computes as many forecasts as it does at once.
    TooManyForecasts = "too_many_forecasts", TOO_MANY_REQUESTS;
    /// A defect of Segue.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// Stored data was damaged.
    StoreCorrupt = "store_corrupt", INTERNAL_SERVER_ERROR;
    /// Too many turns of one session at once.
    Contended = "contended", SERVICE_UNAVAILABLE;
    /// A store cannot be used at the moment.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE;
    /// The tenant's writes are paused.
    WritePaused = "write_paused", SERVICE_UNAVAILABLE;
    /// The server serves as many live streams as it may.
    StreamsExhausted = "streams_exhausted", SERVICE_UNAVAILABLE;
    /// The cutover took longer than it may.
    CutoverTimeout = "cutover_timeout", SERVICE_UNAVAILABLE;
    /// The request took too long.
    TimedOut = "timed_out", SERVICE_UNAVAILABLE;
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_has_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
            .filter(|name| name != "README")
            .collect();
        let codes: BTreeSet<String> =
            Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        assert_eq!(pages, codes);

        for code in Code::ALL {
            let page =
                std::fs::read_to_string(folder.join(format!("{}.md", code.as_str()))).unwrap();
            let title = format!("# {} ({})", code.as_str(), code.status().as_u16());
            assert!(page.starts_with(&title), "{} does not begin with {title}", code.as_str());
            let (what, to_do) = page.split_once("## What to do").unwrap_or_else(|| {
                panic!("{} does not say what to do", code.as_str());
            });
            assert!(what.len() > 80, "{} hardly says what happened", code.as_str());
            assert!(to_do.trim().len() > 30, "{} hardly says what to do", code.as_str());
        }
        let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
        for code in Code::ALL {
            assert!(
                index.contains(&format!("({}.md)", code.as_str())),
                "{} is not in the index",
                code.as_str()
            );
        }
    }
}
