//! Filling a store with a log that another store wrote: pages of events at the positions they have there.
//!
//! A copy begins with [`EventStore::begin_copy`](super::EventStore::begin_copy): the head is in mode
//! `copying`, and nobody but the copier reads or writes the log. Each import then extends it by
//! compare-and-swap on position, digest and the copier's term, so the head is all there is to resume from:
//! a page that was already taken changes nothing, one of an older copier is refused.
//!
//! The chain is computed here from what came in, never believed. A page that does not continue the log
//! (a position, version or group out of place, a payload that is not what was hashed, an id that is taken)
//! is refused by the number of its first bad event, and nothing of it is kept.
//!
//! With its events a page brings the states of streams that end with it: only these are written beside the
//! events. A stream that goes on in the source is brought by the page with its last event; so each stream is
//! written once and not with every page, and when the copy has caught up every one has been. Until then
//! nobody reads here. Where the page holds a redaction, what its stream said before is erased here too. An
//! import without events brings states alone, of streams that end here where they end there: for what did
//! not fit beside its events.
//!
//! An import is durable with the one that prepares the log, not before: a copy that loses its last pages in
//! a crash goes on from where it stands.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use segue_core::digest::{Mark, Verifier};
use segue_core::ids::{Epoch, EventId, StreamId, StreamVersion, TenantId, Term};

use super::append::at_most;
use super::error::{Error, Result};
use super::event::{Event, StreamState};
use super::head::{Head, Mode};
use super::limits;
use super::redact::STREAM_REDACTED;

/// A page of a log on its way into another store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Whose log.
    pub tenant: TenantId,
    /// The term of the coordinator that copies; it must be the head's.
    pub term: Term,
    /// Where the log must end.
    pub after: Mark,
    /// The events that follow, in order, in whole append groups.
    pub events: Vec<Event>,
    /// The states of streams that end with these events, at most one each. One that is newer than its
    /// events here is passed over, as if it had not come. Without events: of any streams, as they end here.
    pub streams: Vec<StreamState>,
    /// Whether the log is whole with this page: then it takes writes at this epoch from now on, and no
    /// further import.
    pub prepare: Option<Epoch>,
}

/// An import whose events continue `after`. What every adapter decides in the same way.
#[derive(Debug)]
pub(crate) struct Continuation {
    import: Import,
    end: Mark,
    digests: Vec<Mark>,
    streams: Vec<Extended>,
}

/// A stream that a page extends.
#[derive(Debug)]
pub(crate) struct Extended {
    pub(crate) id: StreamId,
    pub(crate) kind: Cow<'static, str>,
    /// The version that it has after.
    pub(crate) version: StreamVersion,
    /// Which event of the page is its first; nothing where a state comes alone.
    first: Option<usize>,
    /// Which of the states is its, if it ends with the page.
    state: Option<usize>,
    /// Whether the page redacts it, so that everything that is stored of it is to be erased.
    pub(crate) is_redacted: bool,
}

impl Extended {
    /// A stream whose state comes alone.
    fn by_nothing(state: &StreamState) -> Self {
        Self {
            id: state.stream_id.clone(),
            kind: state.stream_type.clone(),
            version: state.version,
            first: None,
            state: None,
            is_redacted: false,
        }
    }

    fn check_ends_here(&self, current: Option<&(Cow<'_, str>, StreamVersion)>) -> Result<()> {
        match current {
            Some((kind, version)) if *kind == self.kind && *version == self.version => Ok(()),
            Some(_) | None => Err(Error::Invalid(format!(
                "the state of stream {} comes without its events, and the stream does not end at \
                 version {} here",
                self.id, self.version
            ))),
        }
    }
}

/// What is to be done for an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// Nothing: it was done before.
    Before,
    /// To write all of it, and this head.
    Now(Head),
}

impl Continuation {
    pub(crate) fn new(mut import: Import) -> Result<Self> {
        check_limits(&import)?;
        erase(&mut import.events);
        let mut following = Following::after(import.after);
        import.events.iter().try_for_each(|event| following.push(event))?;
        let end = following.verifier.close();
        following.close(end);
        let Following { digests, mut streams, .. } = following;
        if import.events.is_empty() {
            streams.extend(import.streams.iter().map(Extended::by_nothing));
        }
        match_states(&mut streams, &import.streams)?;
        Ok(Self { import, end, digests, streams })
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.import.tenant
    }

    /// Where it continues the log.
    pub(crate) fn after(&self) -> Mark {
        self.import.after
    }

    /// Whether it lets the log be written.
    pub(crate) fn prepares(&self) -> bool {
        self.import.prepare.is_some()
    }

    /// The events, erased as far as the page says so.
    pub(crate) fn events(&self) -> &[Event] {
        &self.import.events
    }

    /// The streams that it extends.
    pub(crate) fn streams(&self) -> &[Extended] {
        &self.streams
    }

    /// The digests to keep.
    pub(crate) fn digests(&self) -> &[Mark] {
        &self.digests
    }

    /// The streams that end with it, each with its state: these are to be written.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (&Extended, &StreamState)> {
        let state = |stream: &Extended| stream.state.map(|nth| &self.import.streams[nth]);
        self.streams.iter().filter_map(move |stream| Some((stream, state(stream)?)))
    }

    /// Whether a head is the one that it continues.
    pub(crate) fn admit(&self, head: &Head) -> Result<Admitted> {
        let Import { term, after, prepare, .. } = &self.import;
        let Mark { position, digest } = self.end;
        let end = match prepare {
            None => Head { position, digest, mode: Mode::Copying, term: *term, ..*head },
            Some(epoch) => {
                Head { position, digest, mode: Mode::Prepared, term: *term, epoch: *epoch }
            }
        };
        let is_there = !self.events().is_empty() || self.streams.is_empty();
        if *head == end && is_there {
            return Ok(Admitted::Before);
        }
        let copies = head.mode == Mode::Copying && head.term == *term;
        if !copies || head.mark() != *after || head.epoch > end.epoch {
            return Err(Error::HeadDiffers { head: Box::new(*head) });
        }
        Ok(Admitted::Now(end))
    }

    /// Whether its events continue what is stored: `current` has the type and version of the last event
    /// that is stored of each of [`Continuation::streams`], in order, where there is one; `taken` is an
    /// event id of the page that is stored already.
    pub(crate) fn check_stored(
        &self,
        current: &[Option<(Cow<'_, str>, StreamVersion)>],
        taken: Option<EventId>,
    ) -> Result<()> {
        for (stream, current) in self.streams.iter().zip(current) {
            let Some(first) = stream.first.map(|first| &self.events()[first]) else {
                stream.check_ends_here(current.as_ref())?;
                continue;
            };
            let version = current.as_ref().map_or(StreamVersion(0), |(_, version)| *version);
            let kind = current.as_ref().map_or(stream.kind.as_ref(), |(kind, _)| kind.as_ref());
            check_follows(first, version.next(), kind)?;
        }
        match taken.and_then(|id| self.events().iter().find(|event| event.event_id == id)) {
            Some(event) => Err(taken_twice(event)),
            None => Ok(()),
        }
    }
}

/// Finds the streams that end with a page.
fn match_states(streams: &mut [Extended], states: &[StreamState]) -> Result<()> {
    let mut extended: HashMap<_, _> =
        streams.iter_mut().map(|stream| (stream.id.clone(), stream)).collect();
    for (nth, state) in states.iter().enumerate() {
        let id = &state.stream_id;
        let Some(stream) = extended.remove(id) else {
            return Err(Error::Invalid(format!(
                "the state of stream {id} comes twice, or without an event of it"
            )));
        };
        if state.stream_type != stream.kind || state.version < stream.version {
            return Err(Error::Invalid(format!(
                "the state of stream {id} is of another type than its events, or older"
            )));
        }
        stream.state = (state.version == stream.version).then_some(nth);
    }
    Ok(())
}

fn check_limits(import: &Import) -> Result<()> {
    at_most("an import in events", limits::EVENTS_PER_IMPORT, import.events.len())?;
    let events: usize = import.events.iter().map(Event::size).sum();
    let states = import.streams.iter().filter_map(|state| state.snapshot.as_ref());
    let states: usize = states.map(|taken| taken.state.len()).sum();
    at_most("an import in bytes", limits::IMPORT_BYTES, events + states)
}

/// Erases what a redaction of the same page should have erased: the page may have been read before it.
fn erase(events: &mut [Event]) {
    let redactions = events.iter().filter(|event| event.event_type == STREAM_REDACTED);
    let redacted: HashMap<_, _> =
        redactions.map(|event| (event.stream_id.clone(), event.version)).collect();
    for event in events {
        if redacted.get(&event.stream_id).is_some_and(|at| event.version < *at) {
            event.payload = None;
        }
    }
}

/// What the events of a page come to, one after the other.
struct Following {
    verifier: Verifier,
    last: Mark,
    digests: Vec<Mark>,
    streams: Vec<Extended>,
    places: HashMap<StreamId, usize>,
    ids: HashSet<EventId>,
}

impl Following {
    fn after(mark: Mark) -> Self {
        Self {
            verifier: Verifier::after(mark),
            last: mark,
            digests: Vec::new(),
            streams: Vec::new(),
            places: HashMap::new(),
            ids: HashSet::new(),
        }
    }

    fn push(&mut self, event: &Event) -> Result<()> {
        let (position, first) = (event.position, event.append_first_position);
        let payload = event.payload.as_deref();
        let closed = self
            .verifier
            .push(position, first, &event.entry(), payload)
            .map_err(|violation| Error::Damaged { position, what: violation.to_string() })?;
        if let Some(mark) = closed {
            self.close(mark);
        }
        if !self.ids.insert(event.event_id) {
            return Err(taken_twice(event));
        }
        self.extend(event)
    }

    fn extend(&mut self, event: &Event) -> Result<()> {
        let place = *self.places.entry(event.stream_id.clone()).or_insert_with(|| {
            let before = StreamVersion(event.version.0.saturating_sub(1));
            self.streams.push(Extended {
                id: event.stream_id.clone(),
                kind: event.stream_type.clone(),
                version: before,
                first: Some(self.ids.len() - 1),
                state: None,
                is_redacted: false,
            });
            self.streams.len() - 1
        });
        let stream = &mut self.streams[place];
        stream.version = stream.version.next();
        stream.is_redacted |= event.event_type == STREAM_REDACTED;
        check_follows(event, stream.version, &stream.kind)
    }

    /// Notes the end of an append group.
    fn close(&mut self, mark: Mark) {
        let every = limits::DIGEST_EVERY;
        if mark.position.0 / every > self.last.position.0 / every {
            self.digests.push(mark);
        }
        self.last = mark;
    }
}

/// Whether an event is the next one of its stream.
fn check_follows(event: &Event, next: StreamVersion, kind: &str) -> Result<()> {
    let Event { position, stream_id: id, stream_type, version, .. } = event;
    let what = if *version != next {
        format!("version {next} of stream {id} should come next, found {version}")
    } else if stream_type != kind {
        format!("stream {id} is of type {kind}, not {stream_type}")
    } else {
        return Ok(());
    };
    Err(Error::Damaged { position: *position, what })
}

fn taken_twice(event: &Event) -> Error {
    let what = format!("event {} stands in the log already", event.event_id);
    Error::Damaged { position: event.position, what }
}
