//! Finding where a log is damaged, while it is read once from its beginning, in constant memory.
//!
//! A store keeps a digest every few thousand positions, a [`Mark`]; the events from one mark to the next are
//! a block. The chain is recomputed on the way and compared with every mark that it passes:
//!
//! ```text
//!            K1             K2             K3             head
//!  ── block ──┼─── block ────┼─── block ────┼─── block ────┤
//! ```
//!
//! When it differs at K2, an event of the block before may be damaged, or K2 itself. The next mark tells:
//! up to there two chains go on, one from what was recomputed and one from K2. If the recomputed one meets
//! K3, the mark was damaged and every event is sound. If the one from K2 does, the events were, and nothing
//! else is. If neither does, both blocks are named. Only the last block has nobody to ask, so there the
//! events and the head's digest share the blame.
//!
//! Inside a block the digest says no more than that it differs. What can be known to the position is: a
//! payload without its hash, a position that is missing, a group that cannot be.
//!
//! A payload without its hash does not excuse a block that differs: the payload is not in the chain, its
//! stored hash is. Only if the chain meets the mark with the hashes of the payloads that are there, the stored
//! ones were changed and nothing else; otherwise the block is named too.

use std::collections::VecDeque;
use std::fmt;

use super::{Digest, Entry, Group, Mark};
use crate::ids::Position;

/// How many findings are kept; more are counted.
pub const FINDINGS_KEPT: usize = 100;

/// What is wrong with a range of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// These positions are not there.
    Missing,
    /// Events stand after the end that the head names.
    BeyondHead,
    /// The payload does not have the hash that is stored with it.
    Payload,
    /// The payload is gone, and no redaction of its stream says so.
    Unaccounted,
    /// A redaction says that the payload is gone, but it is there.
    NotErased,
    /// The row cannot be read back.
    Unreadable,
    /// The event claims to be appended together with one that it cannot belong to.
    AppendGroup,
    /// The version does not follow the one before it in its stream.
    Version,
    /// The event's stream is of another type.
    StreamType,
    /// Events that were appended together have different times.
    Time,
    /// An id, a type, a time, a version or metadata was changed somewhere here.
    Contents,
    /// Something was changed here, or the head's digest was.
    ContentsOrHead,
    /// The head's digest was changed; every event is sound.
    Head,
    /// The digest that is kept for this position was changed, or stands where none belongs; the events are
    /// sound.
    KeptDigest,
}

impl Damage {
    /// Whether events are damaged, and not only what is kept about them.
    #[must_use]
    pub fn is_of_events(self) -> bool {
        match self {
            Self::Missing
            | Self::BeyondHead
            | Self::Payload
            | Self::Unaccounted
            | Self::NotErased
            | Self::Unreadable
            | Self::AppendGroup
            | Self::Version
            | Self::StreamType
            | Self::Time
            | Self::Contents
            | Self::ContentsOrHead => true,
            Self::Head | Self::KeptDigest => false,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::BeyondHead => "beyond_head",
            Self::Payload => "payload",
            Self::Unaccounted => "unaccounted",
            Self::NotErased => "not_erased",
            Self::Unreadable => "unreadable",
            Self::AppendGroup => "append_group",
            Self::Version => "version",
            Self::StreamType => "stream_type",
            Self::Time => "time",
            Self::Contents => "contents",
            Self::ContentsOrHead => "contents_or_head",
            Self::Head => "head",
            Self::KeptDigest => "kept_digest",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::BeyondHead => "after the end that the head names",
            Self::Payload => "the payload does not have the hash stored with it",
            Self::Unaccounted => "the payload is gone, and no redaction of the stream says so",
            Self::NotErased => "the payload is there, though a redaction says that it was erased",
            Self::Unreadable => "the row cannot be read back",
            Self::AppendGroup => "names an append group that cannot be its own",
            Self::Version => "the version does not follow the one before it in the stream",
            Self::StreamType => "the stream is of another type",
            Self::Time => "appended together, but at different times",
            Self::Contents => "an id, a type, a time, a version or metadata was changed in here",
            Self::ContentsOrHead => "something was changed in here, or the head's digest was",
            Self::Head => "the head's digest was changed; the events are sound",
            Self::KeptDigest => "the digest kept here was changed; the events are sound",
        })
    }
}

/// Damage, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The first position that may be damaged.
    pub first: Position,
    /// The last one; the first again where the position is known exactly.
    pub last: Position,
    /// What is wrong.
    pub damage: Damage,
}

impl Finding {
    /// Damage of exactly this position.
    #[must_use]
    pub fn at(position: Position, damage: Damage) -> Self {
        Self { first: position, last: position, damage }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "position {}: {}", self.first, self.damage)
        } else {
            write!(f, "positions {} to {}: {}", self.first, self.last, self.damage)
        }
    }
}

/// Findings, the first by position kept and all counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    kept: Vec<Finding>,
    total: u64,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        self.total += 1;
        let place = self.kept.partition_point(|kept| *kept <= finding);
        self.kept.insert(place, finding);
        self.kept.truncate(FINDINGS_KEPT);
    }

    /// The first ones, in order of position.
    #[must_use]
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    fn replace(&mut self, coarse: &Finding, exact: &[Finding]) {
        let before = self.kept.len();
        self.kept.retain(|kept| kept != coarse);
        self.total -= (before - self.kept.len()) as u64;
        exact.iter().for_each(|finding| self.add(*finding));
    }
}

/// Recomputes the chain, and says where the log differs from what was kept about it.
#[derive(Debug, Clone)]
pub struct Inspection {
    sound: Mark,
    /// The mark that the present block begins after.
    anchor: Position,
    /// The recomputed digest before the open group; `None` where it cannot be known until the next mark.
    chain: Option<Digest>,
    /// What `chain` would be with the hashes of the payloads that are there, once one differs from the hash
    /// stored with it.
    with_payloads: Option<Digest>,
    suspect: Option<Suspect>,
    open: Option<Open>,
    /// Where the group before the open one began.
    earlier: Position,
    expected: Position,
    marks: VecDeque<Mark>,
    findings: Findings,
}

/// A mark that the recomputed chain did not meet, and the chain that goes on from it.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    first: Position,
    mark: Mark,
    chain: Digest,
}

#[derive(Debug, Clone)]
struct Open {
    first: Position,
    group: Group,
    /// The group with the hashes of the payloads that are there, once one differs.
    with_payloads: Option<Group>,
}

impl Open {
    fn at(first: Position) -> Self {
        Self { first, group: Group::at(first), with_payloads: None }
    }

    /// Takes an event whose payload, as it is there, has this hash.
    fn push(&mut self, entry: &Entry<'_>, payload_hash: Digest) {
        if payload_hash != entry.payload_hash {
            self.with_payloads.get_or_insert_with(|| self.group.clone());
        }
        if let Some(group) = &mut self.with_payloads {
            group.push(&Entry { payload_hash, ..*entry });
        }
        self.group.push(entry);
    }
}

impl Inspection {
    /// Begins after a mark that is known to be sound, such as [`Mark::START`].
    #[must_use]
    pub fn after(sound: Mark) -> Self {
        Self {
            sound,
            anchor: sound.position,
            chain: Some(sound.digest),
            with_payloads: None,
            suspect: None,
            open: None,
            earlier: sound.position,
            expected: sound.position.next(),
            marks: VecDeque::new(),
            findings: Findings::default(),
        }
    }

    /// The position that is expected next.
    #[must_use]
    pub fn expected(&self) -> Position {
        self.expected
    }

    /// Tells of the next mark, in order of position.
    pub fn expect(&mut self, mark: Mark) {
        self.marks.push_back(mark);
    }

    /// How far the log is proven, from where the inspection began; it ends before the first damage.
    #[must_use]
    pub fn sound(&self) -> Mark {
        self.sound
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Says exactly what is wrong in a range of which only the digest was known to differ.
    pub fn explain(&mut self, coarse: &Finding, exact: &[Finding]) {
        self.findings.replace(coarse, exact);
    }

    /// Adds what was found by other means.
    pub fn find(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    /// Takes the event at `position`, appended together with `first`; `payload` is `None` where it was
    /// erased. Positions come in ascending order.
    pub fn push(
        &mut self,
        position: Position,
        first: Position,
        entry: &Entry<'_>,
        payload: Option<&[u8]>,
    ) {
        if position > self.expected {
            self.missing(Position(position.0 - 1));
        }
        self.expected = position.next();
        let payload_hash = payload.map_or(entry.payload_hash, Digest::of_payload);
        if payload_hash != entry.payload_hash {
            self.findings.add(Finding::at(position, Damage::Payload));
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.first == first) {
            open.push(entry, payload_hash);
            return;
        }
        self.close(Position(position.0 - 1));
        if first == position {
            let mut open = Open::at(first);
            open.push(entry, payload_hash);
            self.open = Some(open);
        } else if self.chain.is_some() {
            // It may be this event that lies, or those before it that it belongs to.
            let is_plausible = (self.earlier..position).contains(&first);
            let first = if is_plausible { first } else { position };
            self.findings.add(Finding { first, last: position, damage: Damage::AppendGroup });
            self.lose();
        }
    }

    /// Passes over an event that cannot be read.
    pub fn skip(&mut self, position: Position) {
        self.findings.add(Finding::at(position, Damage::Unreadable));
        self.lose();
        self.expected = position.next();
    }

    /// Ends where the head says that the log ends.
    pub fn finish(&mut self, head: Mark) {
        if self.expected <= head.position {
            self.missing(head.position);
        }
        self.close(Position(self.expected.0 - 1));
        let Some(chain) = self.chain else { return };
        let suspect = self.suspect.take();
        let (first, last) = (self.anchor.next(), head.position);
        match suspect {
            _ if chain == head.digest => {
                suspect.iter().for_each(|suspect| self.blame_mark(suspect.mark.position));
                self.prove(head);
            }
            Some(suspect) if suspect.chain == head.digest => self.blame_block(&suspect),
            // The hashes stored with some payloads were changed, which are named already.
            _ if self.with_payloads == Some(head.digest) => {
                suspect.iter().for_each(|suspect| self.blame_mark(suspect.mark.position));
            }
            Some(suspect) => {
                self.blame_block(&suspect);
                if first > last {
                    self.findings.add(Finding::at(last, Damage::Head));
                } else {
                    self.findings.add(Finding { first, last, damage: Damage::ContentsOrHead });
                }
            }
            // The last mark is the end of the log, and the chain has met it.
            None if self.anchor >= head.position => {
                self.findings.add(Finding::at(head.position, Damage::Head));
            }
            None => self.findings.add(Finding { first, last, damage: Damage::ContentsOrHead }),
        }
    }

    fn missing(&mut self, last: Position) {
        let first = self.expected;
        self.findings.add(Finding { first, last, damage: Damage::Missing });
        self.lose();
        self.expected = last.next();
        // Nothing can be compared at a mark that has no event.
        while self.marks.front().is_some_and(|mark| mark.position <= last) {
            self.pass_unproven();
        }
    }

    /// The chain is lost until the next mark.
    fn lose(&mut self) {
        if let Some(suspect) = self.suspect.take() {
            self.blame_block(&suspect);
        }
        self.open = None;
        self.chain = None;
        self.with_payloads = None;
    }

    /// Takes up the chain at the next mark without having reached it.
    fn pass_unproven(&mut self) {
        if let Some(mark) = self.marks.pop_front() {
            self.anchor = mark.position;
            self.chain = (mark.position.next() == self.expected).then_some(mark.digest);
        }
    }

    /// Ends the open group, whose last event stands at `end`, and compares where a mark is kept.
    fn close(&mut self, end: Position) {
        if let Some(open) = self.open.take() {
            self.earlier = open.first;
            if let Some(suspect) = &mut self.suspect {
                suspect.chain = open.group.clone().close(suspect.chain);
            }
            if let Some(chain) = self.with_payloads.or(self.chain)
                && (self.with_payloads.is_some() || open.with_payloads.is_some())
            {
                let group = open.with_payloads.unwrap_or_else(|| open.group.clone());
                self.with_payloads = Some(group.close(chain));
            }
            self.chain = self.chain.map(|chain| open.group.close(chain));
        }
        while let Some(mark) = self.marks.front().copied().filter(|mark| mark.position <= end) {
            if self.chain.is_none() {
                self.pass_unproven_at(mark, end);
            } else if mark.position < end {
                // No group ends here.
                self.marks.pop_front();
                self.blame_mark(mark.position);
            } else {
                self.marks.pop_front();
                self.compare(mark);
            }
        }
    }

    fn pass_unproven_at(&mut self, mark: Mark, end: Position) {
        self.marks.pop_front();
        self.anchor = mark.position;
        self.chain = (mark.position == end).then_some(mark.digest);
    }

    fn compare(&mut self, mark: Mark) {
        let Some(chain) = self.chain else { return };
        let with_payloads = self.with_payloads.take();
        match self.suspect.take() {
            None if chain == mark.digest => self.prove(mark),
            Some(suspect) if chain == mark.digest => {
                self.blame_mark(suspect.mark.position);
                self.prove(mark);
            }
            // The hashes stored with some payloads were changed, which are named already.
            suspect if with_payloads == Some(mark.digest) => {
                suspect.iter().for_each(|suspect| self.blame_mark(suspect.mark.position));
                self.chain = Some(mark.digest);
            }
            None => {
                let first = self.anchor.next();
                self.suspect = Some(Suspect { first, mark, chain: mark.digest });
            }
            Some(suspect) => {
                self.blame_block(&suspect);
                self.chain = Some(suspect.chain);
                if suspect.chain != mark.digest {
                    let first = suspect.mark.position.next();
                    self.suspect = Some(Suspect { first, mark, chain: mark.digest });
                }
            }
        }
        self.anchor = mark.position;
    }

    fn prove(&mut self, mark: Mark) {
        let is_damaged = |finding: &Finding| finding.damage.is_of_events();
        if !self.findings.kept.iter().any(is_damaged) {
            self.sound = mark;
        }
        self.anchor = mark.position;
    }

    fn blame_mark(&mut self, position: Position) {
        self.findings.add(Finding::at(position, Damage::KeptDigest));
    }

    fn blame_block(&mut self, suspect: &Suspect) {
        let (first, last) = (suspect.first, suspect.mark.position);
        self.findings.add(Finding { first, last, damage: Damage::Contents });
    }
}
