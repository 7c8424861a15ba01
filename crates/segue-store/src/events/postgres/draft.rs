//! Appends that were accepted one after the other, and are written by one statement.

use std::borrow::Cow;
use std::collections::HashMap;

use segue_core::ids::{StreamId, StreamVersion, TenantId};

use super::columns::Columns;
use crate::events::accept::{Accepted, Checked};
use crate::events::{Appended, Head, Result, StreamAppend};

/// The type and version of a stream that exists.
pub(super) type Present<'a> = (Cow<'a, str>, StreamVersion);

/// What is to be written after a head, as far as it has been decided.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    tenant: TenantId,
    before: Head,
    after: Head,
    accepted: Vec<Accepted<'a>>,
    streams: HashMap<&'a StreamId, Written<'a>>,
    /// The streams in the order in which they were first written.
    order: Vec<&'a StreamId>,
    /// What was taken on trust about streams: the statement must find them so.
    trusted: Vec<(&'a StreamAppend, StreamVersion)>,
}

/// A stream after the appends.
#[derive(Debug)]
struct Written<'a> {
    version: StreamVersion,
    /// The last append that said something of it.
    last: &'a StreamAppend,
    /// The last append that brought a snapshot, and the version of that.
    snapshot: Option<(&'a StreamAppend, StreamVersion)>,
}

impl<'a> Draft<'a> {
    pub(super) fn after(tenant: TenantId, head: Head) -> Self {
        Self {
            tenant,
            before: head,
            after: head,
            accepted: Vec::new(),
            streams: HashMap::new(),
            order: Vec::new(),
            trusted: Vec::new(),
        }
    }

    /// The head that it follows.
    pub(super) fn before(&self) -> Head {
        self.before
    }

    /// The head that it leads to.
    pub(super) fn head(&self) -> Head {
        self.after
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    /// Every stream that it writes, with its type and version after it.
    pub(super) fn streams(
        &self,
    ) -> impl Iterator<Item = (&'a StreamId, &'a Cow<'static, str>, StreamVersion)> {
        self.order.iter().map(|id| {
            let written = &self.streams[*id];
            (*id, &written.last.stream_type, written.version)
        })
    }

    /// A stream as the draft leaves it, if it writes it.
    pub(super) fn present(&self, stream: &StreamId) -> Option<Present<'a>> {
        let written = self.streams.get(stream)?;
        Some((Cow::Borrowed(written.last.stream_type.as_ref()), written.version))
    }

    /// Notes that a stream is taken to be where its append expects it, at this version.
    pub(super) fn trust(&mut self, stream: &'a StreamAppend, version: StreamVersion) {
        self.trusted.push((stream, version));
    }

    /// Decides an append after all others; a refused one leaves no trace. `current` has the type and
    /// version of each of its streams, in order, where it exists.
    pub(super) fn add(
        &mut self,
        checked: &'a Checked,
        current: &[Option<Present<'_>>],
    ) -> Result<Appended> {
        let accepted = checked.accept(&self.after, current)?;
        self.after = accepted.head;
        for (stream, version) in checked.append().streams.iter().zip(&accepted.appended.versions) {
            let id = &stream.stream_id;
            let written = self.streams.entry(id).or_insert_with(|| {
                self.order.push(id);
                Written { version: *version, last: stream, snapshot: None }
            });
            written.version = *version;
            written.last = stream;
            if stream.snapshot.is_some() {
                written.snapshot = Some((stream, *version));
            }
        }
        let appended = accepted.appended.clone();
        self.accepted.push(accepted);
        Ok(appended)
    }

    /// Adds all of it to what a statement writes.
    pub(super) fn put_into<'c>(&'c self, columns: &mut Columns<'c>) {
        columns.push_head(self.tenant, &self.before, &self.after);
        for accepted in &self.accepted {
            columns.push_events(self.tenant, accepted);
        }
        for id in &self.order {
            let written = &self.streams[*id];
            let state = written.snapshot.and_then(|(stream, version)| {
                let snapshot = stream.snapshot.as_ref()?;
                Some((version, &snapshot.facets, snapshot.state.as_slice()))
            });
            columns.push_stream(self.tenant, written.last, written.version, state);
        }
        for (stream, version) in &self.trusted {
            columns.push_trusted(self.tenant, stream, *version);
        }
    }
}
