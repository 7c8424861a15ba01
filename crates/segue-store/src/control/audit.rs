//! Who changed what, and when: append-only, written in the transaction of the change itself.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Listing, Page, Result};

/// Whose audit tells of what belongs to no tenant, such as API keys. No tenant may have this id.
pub const PLATFORM: TenantId = TenantId(uuid::Uuid::max());

/// Who does something, and when; what is kept of it in the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct By {
    /// The operator, the API key or the part of Segue that acts.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// Whatever explains it further, such as a reason; null if nothing does.
    pub details: Value,
}

impl By {
    /// An act without further details.
    #[must_use]
    pub fn new(actor: impl Into<String>, at: Timestamp) -> Self {
        Self { actor: actor.into(), at, details: Value::Null }
    }

    /// The same act with one more detail, for the line that an adapter writes.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut details = match &self.details {
            Value::Null => Map::new(),
            Value::Object(details) => details.clone(),
            other => Map::from_iter([("details".to_owned(), other.clone())]),
        };
        details.insert(name.to_owned(), value.into());
        Self { details: Value::Object(details), ..self.clone() }
    }
}

/// An enum of words: each is stored and shown as its text.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that is stored and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = super::UnknownWord;
            fn from_str(text: &str) -> super::Result<Self, super::UnknownWord> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(super::UnknownWord),
                }
            }
        }
    };
}

words!(/// What was done.
Action {
    /// A scenario's first version was registered.
    ScenarioRegistered = "scenario_registered",
    /// Versions that nobody needs any more were removed.
    VersionsDeleted = "versions_deleted",
    /// A plan was generated.
    PlanCreated = "plan_created",
    /// A pending plan's policies were changed.
    PlanPoliciesChanged = "plan_policies_changed",
    /// A plan was approved.
    PlanApproved = "plan_approved",
    /// A plan was rejected.
    PlanRejected = "plan_rejected",
    /// A plan was deployed.
    PlanDeployed = "plan_deployed",
    /// The sessions that a deployed plan concerns were counted.
    PlanCounted = "plan_counted",
    /// A newer plan was deployed in an open plan's place.
    PlanSuperseded = "plan_superseded",
    /// A deployed plan was taken back.
    PlanWithdrawn = "plan_withdrawn",
    /// Plans past their retention were removed.
    PlansCleanedUp = "plans_cleaned_up",
    /// A field was defined, or defined anew.
    FieldDefined = "field_defined",
    /// A new tenant was given its store.
    TenantPlaced = "tenant_placed",
    /// A tenant's writes were paused.
    WritesPaused = "writes_paused",
    /// A tenant's writes went on.
    WritesResumed = "writes_resumed",
    /// A tenant is to move to another store.
    MigrationStarted = "migration_started",
    /// Another process carries a migration on.
    MigrationTakenOver = "migration_taken_over",
    /// A migration began to fill its target.
    BulkCopyBegun = "bulk_copy_begun",
    /// A migration's target began to follow its source.
    DualWriteBegun = "dual_write_begun",
    /// A migration was paused.
    MigrationPaused = "migration_paused",
    /// A migration went on.
    MigrationResumed = "migration_resumed",
    /// A migration met something that does not pass by itself.
    MigrationFailed = "migration_failed",
    /// Somebody wants to cut a migration over.
    CutoverRequested = "cutover_requested",
    /// Somebody verified the copy of a migration.
    MigrationVerified = "migration_verified",
    /// The copy of a migration was taken back to be copied anew.
    MigrationRepaired = "migration_repaired",
    /// A migration's cutover began: the tenant's writes wait.
    CutoverBegun = "cutover_begun",
    /// A migration's cutover was given up.
    CutoverGivenUp = "cutover_given_up",
    /// The tenant's writes went on in the source.
    WritesReopened = "writes_reopened",
    /// The tenant moved.
    TenantMigrated = "tenant_migrated",
    /// A migration was aborted.
    MigrationAborted = "migration_aborted",
    /// A migration's target holds nothing any more.
    MigrationRolledBack = "migration_rolled_back",
    /// A tenant is to move back.
    MigrationReversed = "migration_reversed",
    /// A migration has no way back from now on.
    MigrationFinished = "migration_finished",
    /// A migration's old source holds nothing any more.
    SourcePurged = "source_purged",
    /// What a store holds that is gone for good was given up instead of purged.
    CopyAbandoned = "copy_abandoned",
    /// A store came back as another one than it was, and its fences were put back.
    FencesRestored = "fences_restored",
    /// A subscription was created.
    SubscriptionCreated = "subscription_created",
    /// A subscription was set to another position than the one it had come to.
    SubscriptionReset = "subscription_reset",
    /// A subscription was deleted.
    SubscriptionDeleted = "subscription_deleted",
    /// A customer's profile was changed by an operator.
    ProfileChanged = "profile_changed",
    /// A stream was about to be redacted; the stream's last event tells that it was.
    StreamRedacted = "stream_redacted",
    /// A customer was about to be erased; a line for each stream follows.
    CustomerErased = "customer_erased",
    /// An API key was created.
    KeyCreated = "key_created",
    /// An API key was replaced by a new one.
    KeyRotated = "key_rotated",
    /// An API key was revoked.
    KeyRevoked = "key_revoked",
    /// Somebody logged in to the console.
    ConsoleEntered = "console_entered",
    /// Somebody logged out of the console.
    ConsoleLeft = "console_left",
});

words!(/// What kind of thing was changed.
Subject {
    /// A scenario.
    Scenario = "scenario",
    /// A plan.
    Plan = "plan",
    /// A field definition.
    Field = "field",
    /// The tenant itself.
    Tenant = "tenant",
    /// A tenant's migration.
    Migration = "migration",
    /// A customer.
    Customer = "customer",
    /// A subscription.
    Subscription = "subscription",
    /// A stream of the tenant log.
    Stream = "stream",
    /// An API key.
    Key = "key",
});

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: Action,
    /// To what kind of thing.
    pub subject: Subject,
    /// Which one.
    pub subject_id: String,
    /// What explains it further; null if nothing does.
    pub details: Value,
}

/// Which lines of the audit are wanted; nothing means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this action.
    pub action: Option<Action>,
    /// Only these kinds of things; none means all.
    pub subjects: Vec<Subject>,
    /// Only the thing of this id.
    pub subject_id: Option<String>,
    /// Only this actor.
    pub actor: Option<String>,
    /// Only what was done at this moment or later.
    pub from: Option<Timestamp>,
    /// Only what was done before this moment.
    pub until: Option<Timestamp>,
}

/// Keeps the audit.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds a line about something that is changed elsewhere than in the control plane.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn record(&self, tenant: TenantId, entry: &Entry) -> Result<()>;

    /// Lists a tenant's lines, the last written first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`], [`super::Error::Corrupt`].
    async fn list_audit(
        &self,
        tenant: TenantId,
        filter: &Filter,
        page: Page,
    ) -> Result<Listing<Entry>>;
}
