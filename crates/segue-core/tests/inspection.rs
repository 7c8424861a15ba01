//! A log with damage put in by chance: what is found, and that nothing sound is blamed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use jiff::Timestamp;
use proptest::prelude::*;
use segue_core::digest::inspection::{Damage, Inspection};
use segue_core::digest::{Digest, Entry, Group, Mark};
use segue_core::ids::{EventId, Position, StreamId, StreamVersion};
use uuid::Uuid;

/// A mark is kept after each so many positions.
const EVERY: u64 = 16;

#[derive(Debug, Clone)]
struct Event {
    position: Position,
    first: Position,
    id: EventId,
    stream: StreamId,
    payload: Option<Vec<u8>>,
    hash: Digest,
    kind: String,
}

#[derive(Debug, Clone)]
struct Log {
    events: Vec<Event>,
    marks: Vec<Mark>,
    head: Mark,
}

/// A log of groups of these sizes.
fn log(groups: &[u64]) -> Log {
    let mut log = Log { events: Vec::new(), marks: Vec::new(), head: Mark::START };
    for size in groups {
        let first = log.head.position.next();
        let mut group = Group::at(first);
        for n in 0..*size {
            let position = Position(first.0 + n);
            let payload = position.0.to_be_bytes().to_vec();
            let event = Event {
                position,
                first,
                id: EventId(Uuid::from_u128(position.0.into())),
                stream: StreamId::new("a").unwrap(),
                hash: Digest::of_payload(&payload),
                payload: (!position.0.is_multiple_of(7)).then_some(payload),
                kind: "Happened".to_owned(),
            };
            group.push(&event.entry());
            log.events.push(event);
        }
        let position = group.last();
        let before = log.head.position.0;
        log.head = Mark { position, digest: group.close(log.head.digest) };
        if position.0 / EVERY > before / EVERY {
            log.marks.push(log.head);
        }
    }
    log
}

impl Event {
    fn entry(&self) -> Entry<'_> {
        Entry {
            event_id: self.id,
            stream_id: &self.stream,
            stream_type: "thing",
            version: StreamVersion(self.position.0),
            event_type: &self.kind,
            payload_hash: self.hash,
            metadata: b"{}",
            recorded_at: Timestamp::UNIX_EPOCH,
        }
    }
}

impl Log {
    fn inspect(&self) -> Inspection {
        self.inspect_after(Mark::START)
    }

    fn inspect_after(&self, start: Mark) -> Inspection {
        let mut inspection = Inspection::after(start);
        for mark in self.marks.iter().filter(|mark| mark.position > start.position) {
            inspection.expect(*mark);
        }
        for event in self.events.iter().filter(|event| event.position > start.position) {
            let payload = event.payload.as_deref();
            inspection.push(event.position, event.first, &event.entry(), payload);
        }
        inspection.finish(self.head);
        inspection
    }

    /// The positions from the mark before a position to the one at or after it.
    fn block_of(&self, position: u64) -> (u64, u64) {
        let mut ends = self.marks.iter().map(|mark| mark.position.0).chain([self.head.position.0]);
        let end = ends.clone().find(|end| *end >= position).unwrap();
        let start = ends.by_ref().take_while(|end| *end < position).last().unwrap_or(0);
        (start + 1, end)
    }
}

fn groups() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(1_u64..6, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_sound_log_is_proven_from_any_mark(groups in groups(), from in any::<proptest::sample::Index>()) {
        let log = log(&groups);
        let whole = log.inspect();
        prop_assert_eq!(whole.findings().total(), 0);
        prop_assert_eq!(whole.sound(), log.head);
        let starts: Vec<_> = [Mark::START].into_iter().chain(log.marks.clone()).collect();
        let rest = log.inspect_after(*from.get(&starts));
        prop_assert_eq!((rest.findings().total(), rest.sound()), (0, log.head));
    }

    #[test]
    fn changed_bytes_are_named_by_their_position(groups in groups(), at in any::<proptest::sample::Index>()) {
        let mut log = log(&groups);
        let hurt = at.index(log.events.len());
        log.events[hurt].payload = Some(b"other".to_vec());
        let inspection = log.inspect();
        let found = inspection.findings().kept();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!((found[0].first, found[0].last), (Position(hurt as u64 + 1), Position(hurt as u64 + 1)));
        prop_assert_eq!(found[0].damage, Damage::Payload);
        prop_assert!(inspection.sound().position.0 <= hurt as u64);
    }

    #[test]
    fn a_missing_event_is_named_by_its_position(groups in groups(), at in any::<proptest::sample::Index>()) {
        let mut log = log(&groups);
        let hurt = log.events.remove(at.index(log.events.len())).position;
        let inspection = log.inspect();
        let found = inspection.findings().kept();
        prop_assert_eq!((found[0].first, found[0].last, found[0].damage), (hurt, hurt, Damage::Missing));
        prop_assert_eq!(found.len(), 1, "and nothing else: {:?}", found);
    }

    #[test]
    fn a_changed_type_is_named_by_its_block_and_the_rest_is_not(
        groups in groups(), at in any::<proptest::sample::Index>(),
    ) {
        let mut log = log(&groups);
        let hurt = at.index(log.events.len());
        log.events[hurt].kind = "Other".to_owned();
        let inspection = log.inspect();
        let found = inspection.findings().kept();
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        let (first, last) = log.block_of(hurt as u64 + 1);
        prop_assert_eq!((found[0].first.0, found[0].last.0), (first, last));
        prop_assert!(matches!(found[0].damage, Damage::Contents | Damage::ContentsOrHead));
        prop_assert_eq!(inspection.sound().position.0, first - 1);
    }

    #[test]
    fn a_changed_payload_does_not_hide_a_changed_type_beside_it(
        groups in groups(), at in any::<proptest::sample::Index>(), also in any::<proptest::sample::Index>(),
    ) {
        let mut log = log(&groups);
        let (typed, bytes) = (at.index(log.events.len()), also.index(log.events.len()));
        log.events[typed].kind = "Other".to_owned();
        log.events[bytes].payload = Some(b"other".to_vec());
        let inspection = log.inspect();
        let mut expected = vec![log.block_of(typed as u64 + 1), (bytes as u64 + 1, bytes as u64 + 1)];
        expected.sort_unstable();
        let found = inspection.findings().kept();
        let found: Vec<_> = found.iter().map(|found| (found.first.0, found.last.0)).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert!(inspection.sound().position.0 < expected[0].0);
    }

    #[test]
    fn a_changed_hash_is_named_by_its_position(groups in groups(), at in any::<proptest::sample::Index>()) {
        let mut log = log(&groups);
        let hurt = at.index(log.events.len());
        prop_assume!(log.events[hurt].payload.is_some());
        log.events[hurt].hash = Digest([7; 32]);
        let inspection = log.inspect();
        let found = inspection.findings().kept();
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        let hurt = Position(hurt as u64 + 1);
        prop_assert_eq!((found[0].first, found[0].last, found[0].damage), (hurt, hurt, Damage::Payload));
        prop_assert!(inspection.sound().position < hurt);
    }

    #[test]
    fn a_changed_mark_is_told_from_changed_events(groups in groups(), at in any::<proptest::sample::Index>()) {
        let mut log = log(&groups);
        prop_assume!(!log.marks.is_empty());
        let hurt = at.index(log.marks.len());
        log.marks[hurt].digest = Digest([7; 32]);
        let position = log.marks[hurt].position;
        let inspection = log.inspect();
        let found = inspection.findings().kept();
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        prop_assert_eq!((found[0].first, found[0].damage), (position, Damage::KeptDigest));
        prop_assert_eq!(inspection.sound(), log.head, "every event is proven");
    }

    #[test]
    fn two_changed_blocks_are_both_named(
        groups in proptest::collection::vec(1_u64..6, 30..60),
        at in any::<proptest::sample::Index>(), also in any::<proptest::sample::Index>(),
    ) {
        let mut log = log(&groups);
        let hurt = [at.index(log.events.len()), also.index(log.events.len())];
        for hurt in hurt {
            log.events[hurt].kind = "Other".to_owned();
        }
        let mut blocks: Vec<_> = hurt.iter().map(|hurt| log.block_of(*hurt as u64 + 1)).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let inspection = log.inspect();
        let found: Vec<_> =
            inspection.findings().kept().iter().map(|found| (found.first.0, found.last.0)).collect();
        prop_assert_eq!(found, blocks);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_passed_over(groups in groups(), at in any::<proptest::sample::Index>()) {
        let log = log(&groups);
        let hurt = at.index(log.events.len());
        let mut inspection = Inspection::after(Mark::START);
        log.marks.iter().for_each(|mark| inspection.expect(*mark));
        for (n, event) in log.events.iter().enumerate() {
            if n == hurt {
                inspection.skip(event.position);
            } else {
                let payload = event.payload.as_deref();
                inspection.push(event.position, event.first, &event.entry(), payload);
            }
        }
        inspection.finish(log.head);
        let found = inspection.findings().kept();
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        prop_assert_eq!((found[0].first.0, found[0].damage), (hurt as u64 + 1, Damage::Unreadable));
    }
}

#[test]
fn a_changed_head_shares_the_blame_with_the_last_block_alone() {
    let mut log = log(&[3; 20]);
    log.head.digest = Digest([7; 32]);
    let inspection = log.inspect();
    let found = inspection.findings().kept();
    let last_mark = log.marks.last().unwrap().position;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].first, found[0].damage), (last_mark.next(), Damage::ContentsOrHead));
    assert_eq!(inspection.sound().position, last_mark);
}

#[test]
fn a_head_that_differs_from_the_mark_in_its_place_is_to_blame_itself() {
    let mut log = log(&[EVERY]);
    assert_eq!(log.marks[0], log.head);
    log.head.digest = Digest([7; 32]);
    let found = log.inspect().findings().kept()[0];
    assert_eq!((found.first, found.damage), (Position(EVERY), Damage::Head));
}

#[test]
fn an_empty_log_is_sound() {
    let inspection = log(&[]).inspect();
    assert_eq!((inspection.findings().total(), inspection.sound()), (0, Mark::START));
}
