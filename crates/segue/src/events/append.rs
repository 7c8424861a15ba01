//! An application's append: checked, then given its ids.

use std::collections::HashSet;

use segue_core::ids::{EventId, StreamId, TenantId};
use segue_core::scenario::validate::Problem;
use segue_store::events::{self, Expected, NewEvent, STREAM_REDACTED, StreamAppend, limits};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::scenarios::keeps;
use crate::tenants::failure::Failure;

/// Events that an application appends to one stream, all or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendEvents {
    /// The stream; any id that is not one of Segue's own.
    pub stream_id: StreamId,
    /// What it is; fixed by its first event.
    pub stream_type: String,
    /// Where the stream must be.
    pub expected: Expected,
    /// The events, at least one, in order.
    pub events: Vec<GivenEvent>,
    /// Makes the ids of events that have none, so that a repetition is recognised.
    pub idempotency_key: Option<String>,
}

/// An event as an application gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenEvent {
    /// Its id; made from the idempotency key if there is one, a fresh one otherwise.
    pub event_id: Option<EventId>,
    /// What happened.
    pub event_type: String,
    /// What there is to say about it; any bytes.
    pub payload: Vec<u8>,
    /// What belongs beside it; any bytes.
    pub metadata: Vec<u8>,
}

impl AppendEvents {
    /// Refuses what cannot be stored, with every problem by its place.
    pub(super) fn check(&self) -> Result<()> {
        if keeps(&self.stream_id) {
            return Err(Error::ReservedStream { stream: self.stream_id.clone() });
        }
        let mut problems = Vec::new();
        word(&mut problems, "/stream_type", &self.stream_type, limits::STREAM_TYPE_BYTES);
        match self.events.len() {
            0 => problems.push(problem("empty", "/events", "an append needs at least one event")),
            count => at_most(
                &mut problems,
                "/events",
                "the events of an append",
                limits::EVENTS_PER_APPEND,
                count,
            ),
        }
        let mut ids = HashSet::new();
        let mut total = 0;
        for (nth, event) in self.events.iter().enumerate().take(limits::EVENTS_PER_APPEND) {
            let path = format!("/events/{nth}/event_type");
            word(&mut problems, &path, &event.event_type, limits::EVENT_TYPE_BYTES);
            if event.event_type == STREAM_REDACTED {
                let message =
                    format!("{STREAM_REDACTED} is what a redaction says: choose another type");
                problems.push(problem("reserved", &path, message));
            }
            let size = event.payload.len() + event.metadata.len();
            let path = format!("/events/{nth}/payload");
            let thing = "payload and metadata, in bytes,";
            at_most(&mut problems, &path, thing, limits::EVENT_BYTES, size);
            if event.event_id.is_some_and(|id| !ids.insert(id)) {
                let path = format!("/events/{nth}/event_id");
                problems.push(problem("twice", &path, "this id comes twice in one append"));
            }
            total += size;
        }
        let thing = "payload and metadata of all events, in bytes,";
        at_most(&mut problems, "/events", thing, limits::APPEND_BYTES, total);
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid { what: "append", problems }) }
    }

    /// The idempotency key, if it makes the ids of all events.
    pub(super) fn key_of_all(&self) -> Option<&String> {
        let made = self.events.iter().all(|event| event.event_id.is_none());
        self.idempotency_key.as_ref().filter(|_| made)
    }

    /// What the store is asked to append.
    pub(super) fn into_stream(
        self,
        tenant: TenantId,
        mut fresh: impl FnMut() -> Uuid,
    ) -> StreamAppend {
        let Self { stream_id, stream_type, expected, events, idempotency_key } = self;
        let space = idempotency_key.map(|key| {
            let of_stream = Uuid::new_v5(&tenant.0, stream_id.as_str().as_bytes());
            Uuid::new_v5(&of_stream, key.as_bytes())
        });
        let events = events.into_iter().enumerate().map(|(nth, given)| {
            let made = || match &space {
                Some(space) => EventId(Uuid::new_v5(space, &nth.to_be_bytes())),
                None => EventId(fresh()),
            };
            NewEvent {
                event_id: given.event_id.unwrap_or_else(made),
                event_type: given.event_type.into(),
                payload: given.payload,
                metadata: given.metadata,
            }
        });
        StreamAppend {
            events: events.collect(),
            stream_id,
            stream_type: stream_type.into(),
            expected,
            snapshot: None,
        }
    }
}

/// What a store's refusal means to the application.
pub(super) fn refused(failure: Failure, idempotency_key: Option<String>) -> Error {
    match failure {
        Failure::Store(events::Error::Conflict { stream, expected, current }) => {
            Error::VersionConflict { stream, expected, current }
        }
        Failure::Store(events::Error::DuplicateEvent { event_id }) => match idempotency_key {
            Some(key) => Error::IdempotencyKeyReused { key },
            None => Error::DuplicateEvent { event_id },
        },
        Failure::Store(events::Error::Invalid(message)) => {
            let problems = vec![problem("refused", "/stream_type", message)];
            Error::Invalid { what: "append", problems }
        }
        failure @ (Failure::Store(_) | Failure::Other(_)) => failure.into(),
    }
}

fn problem(code: &str, path: &str, message: impl Into<String>) -> Problem {
    Problem { code: code.to_owned(), path: path.to_owned(), message: message.into() }
}

/// A short text that stores index.
fn word(problems: &mut Vec<Problem>, path: &str, text: &str, limit: usize) {
    if text.is_empty() {
        problems.push(problem("empty", path, "this must not be empty"));
    }
    if text.chars().any(char::is_control) {
        problems.push(problem("control_character", path, "this must not hold control characters"));
    }
    at_most(problems, path, "this, in bytes,", limit, text.len());
}

fn at_most(problems: &mut Vec<Problem>, path: &str, thing: &str, limit: usize, actual: usize) {
    if actual > limit {
        let message = format!("{thing} may be {limit} at most, here it is {actual}");
        problems.push(problem("over_limit", path, message));
    }
}

#[cfg(test)]
mod tests {
    use segue_core::ids::StreamId;

    use super::*;

    const TENANT: TenantId = TenantId(Uuid::from_u128(1));

    fn event(payload: usize) -> GivenEvent {
        GivenEvent {
            event_id: None,
            event_type: "ItemAdded".to_owned(),
            payload: vec![b'1'; payload],
            metadata: Vec::new(),
        }
    }

    fn append(events: Vec<GivenEvent>) -> AppendEvents {
        AppendEvents {
            stream_id: StreamId::new("cart-7").unwrap(),
            stream_type: "cart".to_owned(),
            expected: Expected::Any,
            events,
            idempotency_key: None,
        }
    }

    fn problems(append: &AppendEvents) -> Vec<(String, String)> {
        match append.check() {
            Err(Error::Invalid { what: "append", problems }) => {
                problems.into_iter().map(|problem| (problem.path, problem.code)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_problem_is_named_by_its_place() {
        let twice = Some(EventId(Uuid::from_u128(9)));
        let wrong = AppendEvents {
            stream_type: String::new(),
            ..append(vec![
                GivenEvent { event_id: twice, ..event(2) },
                event(limits::EVENT_BYTES + 1),
                GivenEvent { event_id: twice, event_type: "a\nb".to_owned(), ..event(2) },
            ])
        };
        let expected = [
            ("/stream_type", "empty"),
            ("/events/1/payload", "over_limit"),
            ("/events/2/event_type", "control_character"),
            ("/events/2/event_id", "twice"),
        ];
        let expected = expected.map(|(path, code)| (path.to_owned(), code.to_owned()));
        assert_eq!(problems(&wrong), expected);
    }

    #[test]
    fn what_only_a_redaction_says_is_refused_by_its_place() {
        let said = GivenEvent { event_type: STREAM_REDACTED.to_owned(), ..event(1) };
        let expected = vec![("/events/1/event_type".to_owned(), "reserved".to_owned())];
        assert_eq!(problems(&append(vec![event(1), said])), expected);
    }

    #[test]
    fn too_many_events_and_too_many_bytes_are_refused() {
        let over = |path: &str| vec![(path.to_owned(), "over_limit".to_owned())];
        assert_eq!(problems(&append(vec![event(1); 1_001])), over("/events"));
        let large = vec![event(limits::EVENT_BYTES); 17];
        assert_eq!(problems(&append(large)), over("/events"));
        append(vec![event(limits::EVENT_BYTES); 16]).check().unwrap();
        let nothing = vec![("/events".to_owned(), "empty".to_owned())];
        assert_eq!(problems(&append(Vec::new())), nothing);
    }

    #[test]
    fn segues_own_streams_are_not_written_from_outside() {
        for own in ["session-1", "customer-anna", "plan-1-applied"] {
            let stream_id = StreamId::new(own).unwrap();
            let refused = AppendEvents { stream_id, ..append(vec![event(1)]) }.check();
            assert!(matches!(refused, Err(Error::ReservedStream { .. })), "{own}: {refused:?}");
        }
        let stream_id = StreamId::new("planning-7").unwrap();
        AppendEvents { stream_id, ..append(vec![event(1)]) }.check().unwrap();
    }

    #[test]
    fn a_key_makes_the_same_ids_again_and_others_in_another_stream() {
        let ids = |stream: &str, key: &str| {
            let append = AppendEvents {
                stream_id: StreamId::new(stream).unwrap(),
                idempotency_key: Some(key.to_owned()),
                ..append(vec![event(1), event(1)])
            };
            let events = append.into_stream(TENANT, || panic!("no fresh ids")).events;
            events.into_iter().map(|event| event.event_id).collect::<Vec<_>>()
        };
        let first = ids("cart-7", "k");
        assert_eq!(first, ids("cart-7", "k"));
        assert_ne!(first[0], first[1]);
        assert_ne!(first, ids("cart-7", "l"));
        assert_ne!(first, ids("cart-8", "k"));
    }
}
