//! What every adapter decides in the same way: whether an append is accepted, and where its events go.
//!
//! An adapter holds the tenant's head, looks up the event ids and the streams, and asks here; what it
//! gets back it writes in the same transaction.

use std::borrow::Cow;

use jiff::Timestamp;
use segue_core::digest::{Digest, Entry, Group, Mark};
use segue_core::ids::{Position, StreamVersion};

use super::append::{Append, Appended, NewEvent, StreamAppend};
use super::error::{Error, Result};
use super::event::Event;
use super::head::{Head, Mode};
use super::limits;

/// An append that is within all limits, with its times cut to the microsecond and its payloads hashed.
/// Made by the caller's task, so that the one writer of a store hashes as little as possible.
#[derive(Debug)]
pub(crate) struct Checked {
    append: Append,
    payload_hashes: Vec<Digest>,
}

impl Checked {
    pub(crate) fn new(append: Append) -> Result<Self> {
        append.check()?;
        Ok(Self::unlimited(append))
    }

    /// The same for an append that we made ourselves, whose parts are within their limits.
    pub(super) fn unlimited(mut append: Append) -> Self {
        append.recorded_at = to_microsecond(append.recorded_at);
        for stream in &mut append.streams {
            if let Some(snapshot) = &mut stream.snapshot {
                let started_at = &mut snapshot.facets.started_at;
                *started_at = started_at.map(to_microsecond);
            }
        }
        let payload_hashes =
            append.events().map(|event| Digest::of_payload(&event.payload)).collect();
        Self { append, payload_hashes }
    }

    pub(crate) fn append(&self) -> &Append {
        &self.append
    }

    /// The first answer, if this very group stands in the log already. `found` has the stored event for
    /// each event id, in order; `beyond` is the group of the event that follows the last of them.
    pub(crate) fn repeats(
        &self,
        found: &[Option<Event>],
        beyond: impl FnOnce(Position) -> Result<Option<Position>>,
    ) -> Result<Option<Appended>> {
        let Some(known) = found.iter().flatten().next() else { return Ok(None) };
        let first = known.append_first_position;
        let mut position = first;
        for (((stream, event), hash), found) in self.events().zip(&self.payload_hashes).zip(found) {
            let same = found.as_ref().is_some_and(|stored| {
                stored.position == position
                    && stored.append_first_position == first
                    && stored.stream_id == stream.stream_id
                    && stored.stream_type == stream.stream_type
                    && stored.event_type == event.event_type
                    && stored.payload_hash == *hash
                    && stored.metadata == event.metadata
            });
            if !same {
                // The id to name is one that is taken, not one that is merely missing beside it.
                let event_id = found.as_ref().map_or(known.event_id, |_| event.event_id);
                return Err(Error::DuplicateEvent { event_id });
            }
            position = position.next();
        }
        if beyond(position)? == Some(first) {
            return Err(Error::DuplicateEvent { event_id: known.event_id });
        }
        let mut last_versions = found.iter().flatten();
        let versions = self.append.streams.iter().filter_map(|stream| {
            last_versions.nth(stream.events.len() - 1).map(|event| event.version)
        });
        let versions = versions.collect();
        let last_position = Position(position.0 - 1);
        Ok(Some(self.answer(first, last_position, versions, true)))
    }

    /// Gives the events their places after `head`, or says which stream is not where it must be.
    /// `streams` has the type and version of each stream, in order, where it exists.
    pub(crate) fn accept(
        &self,
        head: &Head,
        streams: &[Option<(Cow<'_, str>, StreamVersion)>],
    ) -> Result<Accepted<'_>> {
        head.admits_write(self.append.epoch)?;
        let first = head.position.next();
        let mut group = Group::at(first);
        let mut placed = Vec::with_capacity(self.payload_hashes.len());
        let mut versions = Vec::with_capacity(streams.len());
        let mut hashes = self.payload_hashes.iter();
        for (stream, current) in self.append.streams.iter().zip(streams) {
            let mut version = stream.check_current(current.as_ref())?;
            for (event, hash) in stream.events.iter().zip(&mut hashes) {
                version = version.next();
                group.push(&self.entry(stream, event, version, *hash));
                let position = group.last();
                placed.push(Placed { position, version, stream, event, payload_hash: *hash });
            }
            versions.push(version);
        }
        let last = group.last();
        let head =
            Head { position: last, digest: group.close(head.digest), mode: Mode::Open, ..*head };
        let every = limits::DIGEST_EVERY;
        let keeps_digest = last.0 / every > (first.0 - 1) / every;
        Ok(Accepted {
            head,
            recorded_at: self.append.recorded_at,
            first,
            keep: keeps_digest.then(|| head.mark()),
            appended: self.answer(first, last, versions, false),
            placed,
        })
    }

    fn events(&self) -> impl Iterator<Item = (&StreamAppend, &NewEvent)> {
        let streams = self.append.streams.iter();
        streams.flat_map(|stream| stream.events.iter().map(move |event| (stream, event)))
    }

    fn entry<'a>(
        &self,
        stream: &'a StreamAppend,
        event: &'a NewEvent,
        version: StreamVersion,
        payload_hash: Digest,
    ) -> Entry<'a> {
        Entry {
            event_id: event.event_id,
            stream_id: &stream.stream_id,
            stream_type: &stream.stream_type,
            version,
            event_type: &event.event_type,
            payload_hash,
            metadata: &event.metadata,
            recorded_at: self.append.recorded_at,
        }
    }

    fn answer(
        &self,
        first_position: Position,
        last_position: Position,
        versions: Vec<StreamVersion>,
        duplicate: bool,
    ) -> Appended {
        let event_ids = self.append.events().map(|event| event.event_id).collect();
        Appended { first_position, last_position, versions, event_ids, duplicate }
    }
}

impl StreamAppend {
    /// The version after which its events go.
    fn check_current(
        &self,
        current: Option<&(Cow<'_, str>, StreamVersion)>,
    ) -> Result<StreamVersion> {
        let version = current.map_or(StreamVersion(0), |(_, version)| *version);
        if !self.expected.admits(version) {
            let (stream, expected) = (self.stream_id.clone(), self.expected);
            return Err(Error::Conflict { stream, expected, current: version });
        }
        match current {
            Some((kind, _)) if *kind != self.stream_type => Err(Error::Invalid(format!(
                "stream {} is of type {kind}, not {}",
                self.stream_id, self.stream_type
            ))),
            Some(_) | None => Ok(version),
        }
    }
}

/// An accepted append, ready to be written.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    /// The head after it.
    pub(crate) head: Head,
    /// The time of all its events.
    pub(crate) recorded_at: Timestamp,
    /// The position of its first event.
    pub(crate) first: Position,
    /// The digest to keep, if one is due.
    pub(crate) keep: Option<Mark>,
    /// Its events.
    pub(crate) placed: Vec<Placed<'a>>,
    /// The answer to the caller.
    pub(crate) appended: Appended,
}

/// An event and its place.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) position: Position,
    pub(crate) version: StreamVersion,
    pub(crate) stream: &'a StreamAppend,
    pub(crate) event: &'a NewEvent,
    pub(crate) payload_hash: Digest,
}

fn to_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).expect("it came from a timestamp")
}
