//! The names of things: one type each, parsed once at the edge.
//!
//! Tenants, scenarios, plans, sessions and events are UUIDs. Steps, customers, stores, streams and
//! fields are short texts; their types enforce the length that the stores index.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Says why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The text is empty.
    #[error("a {kind} must not be empty")]
    Empty {
        /// What the text should have named.
        kind: &'static str,
    },
    /// The text has more characters than the limit.
    #[error("a {kind} has at most {limit} characters, this one has {actual}")]
    TooLong {
        /// What the text should have named.
        kind: &'static str,
        /// The limit in characters.
        limit: usize,
        /// What was found.
        actual: usize,
    },
    /// The text holds a control character.
    #[error("a {kind} must not hold control characters")]
    Control {
        /// What the text should have named.
        kind: &'static str,
    },
    /// The text is not a UUID.
    #[error("a {kind} is a UUID such as 6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10")]
    NotUuid {
        /// What the text should have named.
        kind: &'static str,
    },
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Uuid::parse_str(text).map(Self).map_err(|_| Invalid::NotUuid { kind: $kind })
            }
        }
    };
}

uuid_id!(/// The unit of isolation and of placement.
    TenantId, "tenant id");
uuid_id!(/// A scenario, across all its versions.
    ScenarioId, "scenario id");
uuid_id!(/// A migration plan.
    PlanId, "plan id");
uuid_id!(/// A session: one customer's way through a scenario.
    SessionId, "session id");
uuid_id!(/// One move of a tenant to another store.
    MigrationId, "migration id");
uuid_id!(/// An API key.
    KeyId, "key id");
uuid_id!(/// An event; appending the same id twice has the effect of appending it once.
    EventId, "event id");

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest one, in characters.
            pub const LIMIT: usize = $limit;

            /// Parses the text.
            ///
            /// # Errors
            /// When the text is empty, too long or holds control characters.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, Invalid> {
                let text: Arc<str> = text.into();
                if text.is_empty() {
                    return Err(Invalid::Empty { kind: $kind });
                }
                let actual = text.chars().count();
                if actual > Self::LIMIT {
                    return Err(Invalid::TooLong { kind: $kind, limit: Self::LIMIT, actual });
                }
                if text.chars().any(char::is_control) {
                    return Err(Invalid::Control { kind: $kind });
                }
                Ok(Self(text))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }
    };
}

text_id!(/// A step of a scenario: a UUID or a slug such as `welcome`.
    StepId, "step id", 128);
text_id!(/// A customer, across sessions.
    CustomerId, "customer id", 128);
text_id!(/// A named event store of the configuration.
    StoreId, "store id", 64);
text_id!(/// One aggregate's events inside a tenant log.
    StreamId, "stream id", 200);
text_id!(/// The name of a profile field or session variable.
    FieldName, "field name", 128);
text_id!(/// A named consumer of a tenant log.
    SubscriptionName, "subscription name", 128);
text_id!(/// Where a session takes place, such as `whatsapp`.
    Channel, "channel", 64);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// A place in a tenant log: 1, 2, 3, … without gaps; 0 is before the first event.
    Position);
number!(/// A place in a stream: 1, 2, 3, … without gaps; 0 means that the stream is empty.
    StreamVersion);
number!(/// A number minted only by a decision in the control plane; a store accepts a tenant's write only
    /// at its own epoch.
    Epoch);
number!(/// The number of the last decision about where and how a tenant is written; every decision has a
    /// greater one, so an effect that comes late is recognised.
    Term);
number!(/// The version of a scenario, from 1 on.
    Version);
