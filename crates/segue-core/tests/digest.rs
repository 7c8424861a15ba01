//! The digest: its vectors, and what the verifier finds.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use segue_core::digest::{Digest, Entry, Group, Mark, Verifier, Violation};
use segue_core::ids::{EventId, Position, StreamId, StreamVersion};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

fn entry(stream: &StreamId, n: u64) -> Entry<'_> {
    Entry {
        event_id: EventId(Uuid::from_u128(u128::from(n))),
        stream_id: stream,
        stream_type: "session",
        version: StreamVersion(n),
        event_type: "TurnTaken",
        payload_hash: Digest::of_payload(b"{}"),
        metadata: b"m",
        recorded_at: Timestamp::from_microsecond(1_800_000_000_000_001).unwrap(),
    }
}

fn stream() -> StreamId {
    StreamId::new("session-1").unwrap()
}

/// The groups 1, 2..=3 and 4, as `(position, first position of its group)`.
const LOG: [(u64, u64); 4] = [(1, 1), (2, 2), (3, 2), (4, 4)];

fn digests() -> Vec<Mark> {
    let stream = stream();
    let mut marks = Vec::new();
    let mut digest = Digest::EMPTY;
    for group in [1..=1, 2..=3, 4..=4] {
        let mut next = Group::at(Position(*group.start()));
        group.clone().for_each(|n| next.push(&entry(&stream, n)));
        digest = next.close(digest);
        marks.push(Mark { position: Position(*group.end()), digest });
    }
    marks
}

#[test]
fn the_chain_is_as_documented() {
    let mut event = Vec::new();
    event.extend(Uuid::from_u128(1).as_bytes());
    event.extend(b"\0\0\0\x09session-1\0\0\0\x07session\0\0\0\0\0\0\0\x01\0\0\0\x09TurnTaken");
    event.extend(Sha256::digest(b"{}"));
    event.extend(b"\0\0\0\x01m");
    event.extend(1_800_000_000_000_001_i64.to_be_bytes());
    let mut chain = vec![0; 32];
    chain.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    chain.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    chain.extend(Sha256::digest(&event));
    let expected = Digest(Sha256::digest(&chain).into());
    assert_eq!(digests()[0].digest, expected);
}

#[test]
fn the_vectors_stay_what_they_are() {
    let digests: Vec<_> = digests().iter().map(|mark| mark.digest.to_string()).collect();
    assert_eq!(
        digests,
        [
            "36e09cc90eabc2594d2c17b6aad00c86aa88ed10f4481e9cf615fa23d95971cd",
            "bf3992aa85272c610d14ebf8ae75ba7c6858ce29a44883f432a97633fee2eddf",
            "2ab7068617e97765826bcb71d548433cce1f3450c26d5478797a448dfc4267a6"
        ]
    );
}

#[test]
fn a_digest_is_written_and_read_as_hex() {
    let digest = Digest::of_payload(b"");
    assert_eq!(
        digest.to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(digest.to_string().parse(), Ok(digest));
    assert!("e3b0".parse::<Digest>().is_err());
    assert!("é".repeat(32).parse::<Digest>().is_err());
}

#[test]
fn the_verifier_tells_the_digest_at_the_end_of_each_group() {
    let stream = stream();
    let mut verifier = Verifier::after(Mark::START);
    let mut marks = Vec::new();
    for (n, first) in LOG {
        let entry = entry(&stream, n);
        marks.extend(verifier.push(Position(n), Position(first), &entry, Some(b"{}")).unwrap());
    }
    marks.push(verifier.close());
    assert_eq!(marks, digests());
}

#[test]
fn verifying_can_begin_at_any_mark_and_without_erased_payloads() {
    let stream = stream();
    let marks = digests();
    let mut verifier = Verifier::after(marks[0]);
    for (n, first) in &LOG[1..] {
        verifier.push(Position(*n), Position(*first), &entry(&stream, *n), None).unwrap();
    }
    assert_eq!(verifier.close(), marks[2]);
}

#[test]
fn the_verifier_names_what_does_not_hold_together() {
    let stream = stream();
    let begin = || Verifier::after(digests()[0]);
    let push = |n, first, payload: &[u8]| {
        begin().push(Position(n), Position(first), &entry(&stream, n), Some(payload)).unwrap_err()
    };
    let (expected, found) = (Position(2), Position(3));
    assert_eq!(push(3, 3, b"{}"), Violation::Gap { expected, found });
    assert_eq!(push(1, 1, b"{}"), Violation::Gap { expected, found: Position(1) });
    let (position, first) = (Position(2), Position(1));
    assert_eq!(push(2, 1, b"{}"), Violation::Group { position, first });
    assert_eq!(push(2, 2, b"{ }"), Violation::Payload { position });
}

#[test]
fn every_field_of_an_event_changes_the_digest() {
    let (stream, other) = (stream(), StreamId::new("session-2").unwrap());
    let one = entry(&stream, 1);
    let later = Timestamp::from_microsecond(1_800_000_000_000_002).unwrap();
    let digest = |entry: &Entry<'_>, first| {
        let mut group = Group::at(Position(first));
        group.push(entry);
        group.close(Digest::EMPTY)
    };
    let mut digests = vec![
        digest(&one, 1),
        digest(&one, 2),
        digest(&Entry { event_id: EventId(Uuid::from_u128(2)), ..one }, 1),
        digest(&Entry { stream_id: &other, ..one }, 1),
        digest(&Entry { stream_type: "profile", ..one }, 1),
        digest(&Entry { version: StreamVersion(2), ..one }, 1),
        digest(&Entry { event_type: "Started", ..one }, 1),
        digest(&Entry { payload_hash: Digest::EMPTY, ..one }, 1),
        digest(&Entry { metadata: b"", ..one }, 1),
        digest(&Entry { recorded_at: later, ..one }, 1),
    ];
    let all = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), all);
}
