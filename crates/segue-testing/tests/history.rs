//! The checker itself: a sound history passes, and each kind of wrong is named when it is doctored in.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use segue_core::digest::{Digest, Entry, Group, Mark};
use segue_core::ids::{EventId, Position, StreamId, StreamVersion};
use segue_testing::history::{
    Delivered, History, Linked, Logged, Outcome, Sent, Wrong, check_chain, check_deliveries,
};
use uuid::Uuid;

/// A tenant log as it should be, and what everybody was told about it.
#[derive(Clone)]
struct World {
    sent: Vec<Sent>,
    log: Vec<Logged>,
    streams: BTreeMap<String, Vec<Logged>>,
}

impl World {
    /// Three clients append one or two events in turn to two streams; one append is refused, one never
    /// arrived, and one arrived unanswered.
    fn sound() -> Self {
        let mut world = Self { sent: Vec::new(), log: Vec::new(), streams: BTreeMap::new() };
        let start = Instant::now();
        for nth in 0..12u64 {
            let stream = format!("stream-{}", nth % 2);
            let events: Vec<_> = (0..=nth % 2)
                .map(|i| {
                    (Uuid::from_u128(u128::from(100 + 10 * nth + i)), format!("payload {nth}.{i}"))
                })
                .collect();
            let version = world.streams.get(&stream).map_or(0, Vec::len) as u64;
            let outcome = match nth {
                5 => Outcome::Refused,
                6 | 9 => Outcome::Unknown,
                _ => Outcome::Acknowledged {
                    version: version + events.len() as u64,
                    first_position: world.log.len() as u64 + 1,
                    at: start + Duration::from_millis(10 * nth + 5),
                },
            };
            if !matches!(nth, 5 | 6) {
                for (i, (event, payload)) in (1..).zip(&events) {
                    let logged = Logged {
                        position: world.log.len() as u64 + 1,
                        stream: stream.clone(),
                        version: version + i,
                        event: *event,
                        payload: payload.clone(),
                    };
                    world.log.push(logged.clone());
                    world.streams.entry(stream.clone()).or_default().push(logged);
                }
            }
            world.sent.push(Sent {
                client: usize::try_from(nth % 3).unwrap(),
                stream,
                events,
                expected_version: (nth % 4 == 0).then_some(version),
                began: start + Duration::from_millis(10 * nth),
                outcome,
            });
        }
        world
    }

    fn check(&self) -> Vec<Wrong> {
        let mut history = History::default();
        self.sent.iter().cloned().for_each(|sent| history.push(sent));
        history.check(&self.log, &self.streams)
    }

    /// Reads the streams from the log again, after it was doctored.
    fn streams_follow(&mut self) {
        self.streams.clear();
        for logged in &self.log {
            self.streams.entry(logged.stream.clone()).or_default().push(logged.clone());
        }
    }

    /// Numbers positions and versions again, as a store would have that never held what was taken out.
    fn renumber(&mut self) {
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for (position, logged) in (1..).zip(&mut self.log) {
            let version = versions.entry(logged.stream.clone()).or_default();
            *version += 1;
            (logged.position, logged.version) = (position, *version);
        }
        self.streams_follow();
    }
}

#[test]
fn a_sound_history_is_passed() {
    assert_eq!(World::sound().check(), []);
}

#[track_caller]
fn assert_named(kind: &str, doctor: impl FnOnce(&mut World)) {
    let mut world = World::sound();
    doctor(&mut world);
    let wrong: Vec<_> = world.check().iter().map(ToString::to_string).collect();
    assert!(wrong.iter().any(|wrong| wrong.starts_with(kind)), "{kind} is not among {wrong:#?}");
}

#[test]
fn an_acknowledged_event_that_is_gone_is_named_even_where_numbers_close_over_it() {
    assert_named(
        "lost: client 1 was told that event 00000000-0000-0000-0000-00000000006f is at position 3",
        |world| {
            world.log.remove(2);
            world.renumber();
        },
    );
}

#[test]
fn a_lost_end_of_the_log_is_named() {
    assert_named("lost:", |world| {
        world.log.truncate(10);
        world.streams_follow();
    });
}

#[test]
fn an_event_that_is_there_twice_is_named() {
    assert_named("doubled:", |world| {
        world.log.push(world.log[3].clone());
        world.renumber();
    });
}

#[test]
fn events_that_changed_places_are_named() {
    assert_named("reordered:", |world| {
        // Both clients were told so, so nothing but the order of time speaks against it.
        let (first, last) = (world.sent[0].outcome, world.sent[2].outcome);
        let position = |outcome| match outcome {
            Outcome::Acknowledged { first_position, .. } => first_position,
            Outcome::Refused | Outcome::Unknown => unreachable!(),
        };
        let (a, b) = (position(first), position(last));
        for (sent, other) in [(0, b), (2, a)] {
            if let Outcome::Acknowledged { first_position, .. } = &mut world.sent[sent].outcome {
                *first_position = other;
            }
        }
    });
    assert_named("elsewhere:", |world| {
        world.log.swap(4, 7);
        world.renumber();
    });
}

#[test]
fn an_acknowledged_position_with_another_event_is_named() {
    assert_named("replaced:", |world| {
        world.log[4].event = Uuid::from_u128(7);
        world.streams_follow();
    });
}

#[test]
fn an_event_that_nobody_sent_is_named() {
    assert_named("invented:", |world| {
        let mut more = world.log[0].clone();
        more.event = Uuid::from_u128(7);
        world.log.push(more);
        world.renumber();
    });
}

#[test]
fn an_event_with_another_payload_or_stream_is_named() {
    assert_named("altered:", |world| {
        world.log[1].payload.push('!');
        world.streams_follow();
    });
    assert_named("altered:", |world| {
        world.log[1].stream = "stream-0".to_owned();
        world.renumber();
    });
}

#[test]
fn a_gap_in_positions_is_named() {
    assert_named("positions: 6 should come next, found 7", |world| {
        world.log.iter_mut().skip(5).for_each(|logged| logged.position += 1);
        world.streams_follow();
    });
}

#[test]
fn a_log_that_does_not_begin_at_one_is_named() {
    assert_named("positions: 1 should come next, found 2", |world| {
        world.log.remove(0);
        world.streams_follow();
    });
}

#[test]
fn a_gap_in_versions_is_named() {
    assert_named("versions: stream-0", |world| {
        let last = world.log.iter_mut().rev().find(|logged| logged.stream == "stream-0").unwrap();
        last.version += 1;
        world.streams_follow();
    });
}

#[test]
fn a_version_other_than_the_acknowledged_one_is_named() {
    assert_named("another version:", |world| {
        if let Outcome::Acknowledged { version, .. } = &mut world.sent[3].outcome {
            *version += 1;
        }
    });
}

#[test]
fn an_append_at_a_version_that_it_did_not_ask_for_is_named() {
    assert_named("expectation:", |world| {
        *world.sent[4].expected_version.as_mut().unwrap() -= 1;
    });
}

#[test]
fn a_refused_append_that_is_there_is_named() {
    assert_named("resurrected:", |world| world.sent[3].outcome = Outcome::Refused);
}

#[test]
fn a_half_of_an_unanswered_append_is_named() {
    assert_named("torn:", |world| {
        let second = world.sent[9].events[1].0;
        world.log.retain(|logged| logged.event != second);
        world.renumber();
    });
}

#[test]
fn a_stream_that_says_something_else_than_the_log_is_named() {
    assert_named("stream and log: stream-1 differs from the log from version 2 on", |world| {
        world.streams.get_mut("stream-1").unwrap().remove(1);
    });
    assert_named("stream and log: stream-0", |world| {
        world.streams.get_mut("stream-0").unwrap().pop();
    });
}

/// Events as the digest sees them: three groups of one, two and one event.
struct Chain {
    streams: Vec<StreamId>,
    firsts: Vec<u64>,
    payloads: Vec<Vec<u8>>,
    hashes: Vec<Digest>,
}

impl Chain {
    fn sound() -> Self {
        let payloads: Vec<Vec<u8>> = (0..4).map(|i| vec![i; 5]).collect();
        let hashes = payloads.iter().map(|payload| Digest::of_payload(payload)).collect();
        Self { streams: vec!["s".parse().unwrap(); 4], firsts: vec![1, 2, 2, 4], payloads, hashes }
    }

    fn events(&self) -> Vec<Linked<'_>> {
        (0..4)
            .map(|i| Linked {
                position: Position(i as u64 + 1),
                first: Position(self.firsts[i]),
                entry: Entry {
                    event_id: EventId(Uuid::from_u128(i as u128)),
                    stream_id: &self.streams[i],
                    stream_type: "test",
                    version: StreamVersion(i as u64 + 1),
                    event_type: "Tested",
                    payload_hash: self.hashes[i],
                    metadata: b"",
                    recorded_at: Timestamp::UNIX_EPOCH,
                },
                payload: Some(&self.payloads[i]),
            })
            .collect()
    }

    fn marks(&self) -> Vec<Mark> {
        let mut digest = Digest::EMPTY;
        let events = self.events();
        let groups = events.chunk_by(|a, b| a.first == b.first).map(|events| {
            let mut group = Group::at(events[0].first);
            events.iter().for_each(|event| group.push(&event.entry));
            let position = group.last();
            digest = group.close(digest);
            Mark { position, digest }
        });
        groups.collect()
    }
}

#[test]
fn a_sound_chain_is_passed_and_a_damaged_one_is_named() {
    let sound = Chain::sound();
    let marks = sound.marks();
    let head = marks[2];
    assert_eq!(check_chain(sound.events(), &marks, head), []);

    let named = |chain: &Chain, kept: &[Mark], head: Mark| {
        let wrong = check_chain(chain.events(), kept, head);
        wrong.first().map(ToString::to_string).unwrap_or_default()
    };
    let mut damaged = Chain::sound();
    damaged.payloads[1][0] = 9;
    assert!(named(&damaged, &marks, head).starts_with("chain: the payload at position 2"));

    let mut forged = Chain::sound();
    forged.payloads[1][0] = 9;
    forged.hashes[1] = Digest::of_payload(&forged.payloads[1]);
    assert!(named(&forged, &marks, head).starts_with("digest: up to position 3"));
    assert!(named(&forged, &[], head).starts_with("digest: up to position 4"));

    let mut regrouped = Chain::sound();
    regrouped.firsts[2] = 3;
    assert!(named(&regrouped, &marks, head).starts_with("digest:"));

    let longer = Mark { position: Position(5), ..head };
    assert!(named(&sound, &marks, longer).starts_with("head: the log ends at position 4"));
}

#[test]
fn a_subscriber_that_saw_all_of_it_at_least_once_is_passed() {
    let log = World::sound().log;
    let events = |from: usize, to: usize| {
        log[from..to].iter().map(|logged| (logged.position, logged.event)).collect()
    };
    // Killed after five, of which it had dealt with three; then killed before anything came.
    let connections = [
        Delivered { after: 0, events: events(0, 5) },
        Delivered { after: 3, events: Vec::new() },
        Delivered { after: 3, events: events(3, log.len()) },
    ];
    assert_eq!(check_deliveries(&connections, &log), []);

    let named = |doctor: &dyn Fn(&mut [Delivered])| {
        let mut connections = connections.clone();
        doctor(&mut connections);
        check_deliveries(&connections, &log).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let skipped = named(&|connections| connections[2].events.retain(|event| event.0 != 5));
    assert!(
        skipped[0].contains("after resuming 2 times position 5 was due, 6 came"),
        "{skipped:?}"
    );
    let swapped = named(&|connections| connections[0].events.swap(1, 2));
    assert!(swapped[0].contains("position 2 was due, 3 came"), "{swapped:?}");
    let doubled = named(&|connections| {
        let first = connections[0].events[0];
        connections[0].events.insert(1, first);
    });
    assert!(doubled[0].contains("position 2 was due, 1 came"), "{doubled:?}");
    let late = named(&|connections| {
        connections[2].after = 6;
        connections[2].events.drain(..3);
    });
    assert!(late[0].contains("position 6 was due, 7 came"), "{late:?}");
    let other = named(&|connections| connections[0].events[0].1 = Uuid::from_u128(7));
    assert!(other[0].contains("position 1 was delivered as event"), "{other:?}");
    let short = named(&|connections| connections[2].events.truncate(4));
    assert!(short[0].starts_with("delivery: the reader has seen"), "{short:?}");
}
