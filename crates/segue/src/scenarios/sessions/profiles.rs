//! What is known of a customer across sessions: a stream of its own, whose snapshot is the profile.

use std::collections::BTreeMap;

use segue_core::fields::{Known, Profile, Source};
use segue_core::ids::{CustomerId, EventId, FieldName, StreamVersion, TenantId};
use segue_store::control::audit::{Action, Entry, Subject};
use segue_store::events::{self, Expected, Facets, NewEvent, Snapshot, StreamAppend, StreamState};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Sessions, customer_stream, turns};
use crate::error::{Error, Result};
use crate::scenarios::CUSTOMER;
use crate::tenants::TenantStoreRouter;
use crate::tenants::failure::Failure;

/// How often a change of a profile is tried again because a turn changed it first.
const ROUNDS: usize = 16;

/// A profile and where its stream stands.
#[derive(Debug, Default)]
pub(in crate::scenarios) struct LoadedProfile {
    pub(in crate::scenarios) profile: Profile,
    version: StreamVersion,
}

#[derive(Serialize)]
struct ProfileChanged<'a> {
    fields: &'a BTreeMap<FieldName, Known>,
    /// The operator; nobody when it was the customer, in a turn of the same append group.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<&'a str>,
}

/// Reads a profile; a customer of whom nothing is known has an empty one.
pub(super) async fn load(
    router: &TenantStoreRouter,
    tenant: TenantId,
    customer: &CustomerId,
) -> Result<LoadedProfile> {
    let [state] = router.load(tenant, [customer_stream(customer)]).await?;
    state.map_or_else(|| Ok(LoadedProfile::default()), folded)
}

/// The profile that a customer's stream holds.
pub(in crate::scenarios) fn folded(state: StreamState) -> Result<LoadedProfile> {
    // Every change brings the profile along, so a stream without one was redacted: it begins anew.
    let Some(taken) = &state.snapshot else {
        return Ok(LoadedProfile { profile: Profile::default(), version: state.version });
    };
    let profile = Some(taken)
        .filter(|taken| taken.version == state.version)
        .and_then(|taken| serde_json::from_slice(&taken.state).ok())
        .ok_or_else(|| Error::Corrupt {
            what: "the event store",
            reason: format!("the snapshot of stream {} is not a profile", state.stream_id),
            source: None,
        })?;
    Ok(LoadedProfile { profile, version: state.version })
}

/// What a change adds to a customer's stream.
pub(super) fn append(
    customer: &CustomerId,
    LoadedProfile { mut profile, version }: LoadedProfile,
    writes: &BTreeMap<FieldName, Known>,
    changed_by: Option<&str>,
    event_id: EventId,
) -> StreamAppend {
    let changed = ProfileChanged { fields: writes, changed_by };
    let event = NewEvent {
        event_id,
        event_type: "ProfileChanged".into(),
        payload: serde_json::to_vec(&changed).expect("plain data serialises"),
        metadata: Vec::new(),
    };
    profile.fields.extend(writes.clone());
    StreamAppend {
        stream_id: customer_stream(customer),
        stream_type: CUSTOMER.into(),
        expected: Expected::Version(version),
        events: vec![event],
        snapshot: Some(Snapshot {
            state: serde_json::to_vec(&profile).expect("plain data serialises"),
            facets: Facets { customer_id: Some(customer.clone()), ..Facets::default() },
        }),
    }
}

impl Sessions {
    /// What is known of a customer.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn profile(&self, tenant: TenantId, customer: &CustomerId) -> Result<Profile> {
        Ok(load(&self.0.router, tenant, customer).await?.profile)
    }

    /// Sets fields of a customer's profile; those that are not named stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] for values that their fields do not accept.
    pub async fn patch_profile(
        &self,
        tenant: TenantId,
        customer: &CustomerId,
        fields: BTreeMap<FieldName, Value>,
        by: &str,
    ) -> Result<Profile> {
        let shared = &self.0;
        let definitions = shared.control.fields(tenant).await?.definitions;
        let now = shared.now();
        let known =
            |value| Known { value, source: Source::Operator, confidence: 1.0, updated_at: now };
        let writes: BTreeMap<_, _> = turns::accepted(&definitions, fields, "/fields")?
            .into_iter()
            .map(|(name, value)| (name, known(value)))
            .collect();
        for _ in 0..ROUNDS {
            let loaded = load(&shared.router, tenant, customer).await?;
            if writes.is_empty() {
                return Ok(loaded.profile);
            }
            let mut after = loaded.profile.clone();
            after.fields.extend(writes.clone());
            let id = EventId(shared.clock.new_id());
            let append = append(customer, loaded, &writes, Some(by), id);
            match shared.router.append(tenant, now, vec![append]).await {
                Ok(_) => {
                    let entry = Entry {
                        at: now,
                        actor: by.to_owned(),
                        action: Action::ProfileChanged,
                        subject: Subject::Customer,
                        subject_id: customer.to_string(),
                        details: json!({"fields": writes.keys().collect::<Vec<_>>()}),
                    };
                    // The event names the operator too, so the change is on record whatever happens here.
                    if let Err(error) = shared.control.record(tenant, &entry).await {
                        tracing::error!(%customer, %error, "a change of a profile is missing in the audit log");
                    }
                    return Ok(after);
                }
                Err(Failure::Store(events::Error::Conflict { .. })) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(Error::Unavailable {
            what: "the event store",
            reason: format!("the profile of customer {customer} changes too fast"),
            source: None,
        })
    }
}
