//! What every event store promises, one property a function.
//!
//! ```ignore
//! segue_store::conformance::events::suite!(|| Fixture::of(MemoryEventStore::new()));
//! ```

pub mod appends;
pub mod finds;
pub mod heads;
pub mod histories;
pub mod imports;
pub mod reads;
pub mod redactions;
pub mod removals;

use std::any::Any;
use std::sync::Arc;

use jiff::Timestamp;
use segue_core::digest::{Mark, Verifier};
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId};
use uuid::Uuid;

use crate::events::{
    Access, Append, Appended, Event, EventStore, Expected, Head, LogRead, NewEvent, Redact, Result,
    Snapshot, StreamAppend,
};

pub use crate::event_store_suite as suite;

/// A fresh store, and whatever has to live as long.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn EventStore>,
    kept: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A store that needs nothing else.
    pub fn of(store: impl EventStore + 'static) -> Self {
        Self::keeping(store, ())
    }

    /// A store that needs `kept`, such as a folder, for as long as it lives.
    pub fn keeping(store: impl EventStore + 'static, kept: impl Any + Send + Sync) -> Self {
        Self { store: Arc::new(store), kept: Box::new(kept) }
    }

    /// Opens a tenant in it.
    pub async fn open(self) -> World {
        let world =
            World { store: self.store, tenant: tenant(1), epoch: Epoch(7), kept: self.kept };
        world.store.open_tenant(world.tenant, world.epoch).await.unwrap();
        world
    }
}

/// A store with one tenant open, and short ways to use it.
pub struct World {
    /// The store.
    pub store: Arc<dyn EventStore>,
    /// The tenant.
    pub tenant: TenantId,
    /// The epoch at which it is open.
    pub epoch: Epoch,
    #[expect(dead_code, reason = "it only has to live")]
    kept: Box<dyn Any + Send + Sync>,
}

impl World {
    /// The same store with another of its tenants.
    #[must_use]
    pub fn as_tenant(self, tenant: TenantId) -> Self {
        Self { tenant, ..self }
    }

    /// An append group of this tenant.
    pub fn group(&self, streams: Vec<StreamAppend>) -> Append {
        Append { tenant: self.tenant, epoch: self.epoch, recorded_at: at(1), streams }
    }

    /// Appends a group.
    pub async fn append(&self, streams: Vec<StreamAppend>) -> Result<Appended> {
        self.store.append(self.group(streams)).await
    }

    /// The head.
    pub async fn head(&self) -> Head {
        self.store.head(self.tenant).await.unwrap()
    }

    /// The whole log, read in pages of `limit`.
    pub async fn log(&self, limit: usize) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(Position(0), |event| event.position);
            let (tenant, epoch) = (self.tenant, self.epoch);
            let read = LogRead {
                tenant,
                access: Access::Validated(epoch),
                after,
                limit,
                max_bytes: usize::MAX,
            };
            let page = self.store.read_log(read).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
        }
    }

    /// Reads the whole log and checks that it holds together and ends in the head's digest.
    pub async fn verify(&self) -> Vec<Event> {
        let events = self.log(3).await;
        let mut verifier = Verifier::after(Mark::START);
        for event in &events {
            let first = event.append_first_position;
            let payload = event.payload.as_deref();
            verifier.push(event.position, first, &event.entry(), payload).unwrap();
        }
        assert_eq!(verifier.close(), self.head().await.mark(), "the log and its head agree");
        events
    }
}

/// A tenant.
#[must_use]
pub fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(0xA000 + n))
}

/// A time, in seconds after an arbitrary one.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A stream.
#[must_use]
pub fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

/// An event with a payload that tells it from others.
#[must_use]
pub fn event(n: u128) -> NewEvent {
    NewEvent {
        event_id: EventId(Uuid::from_u128(0xE000_0000 + n)),
        event_type: "Happened".into(),
        payload: format!("{{\"n\":{n}}}").into_bytes(),
        metadata: b"{}".to_vec(),
    }
}

/// What a group adds to one stream: these events, without a snapshot.
#[must_use]
pub fn to(
    name: &str,
    expected: Expected,
    events: impl IntoIterator<Item = NewEvent>,
) -> StreamAppend {
    StreamAppend {
        stream_id: stream(name),
        stream_type: "thing".into(),
        expected,
        events: events.into_iter().collect(),
        snapshot: None,
    }
}

/// The same with a snapshot.
#[must_use]
pub fn with_snapshot(mut append: StreamAppend, snapshot: Snapshot) -> StreamAppend {
    append.snapshot = Some(snapshot);
    append
}

/// A request to redact a stream wherever it stands, under the id of event `n`.
#[must_use]
pub fn redact(world: &World, name: &str, n: u128) -> Redact {
    Redact {
        tenant: world.tenant,
        epoch: world.epoch,
        recorded_at: at(2),
        stream_id: stream(name),
        expected: Expected::Any,
        event_id: event(n).event_id,
        redacted_by: "olga".into(),
        reason: Some("the customer asked for it".into()),
        snapshot: None,
    }
}

/// A stream that must be at version `n`.
#[must_use]
pub fn at_version(n: u64) -> Expected {
    Expected::Version(StreamVersion(n))
}

/// Makes a test of each property, each with a fresh store from `$fixture`, a function without arguments
/// that gives a [`Fixture`].
#[macro_export]
macro_rules! event_store_suite {
    ($fixture:expr) => {
        $crate::event_store_suite! { @properties $fixture;
            appends::positions_and_versions_are_gapless
            appends::a_group_over_several_streams_is_atomic
            appends::a_conflict_names_the_current_version_and_changes_nothing
            appends::no_stream_and_version_zero_mean_the_same
            appends::any_version_always_appends
            appends::the_same_event_ids_again_answer_with_the_first_result
            appends::a_repeat_is_answered_after_the_stream_has_moved_on
            appends::an_event_id_with_other_content_is_refused
            appends::a_group_of_known_and_new_events_is_refused
            appends::a_part_of_a_known_group_is_refused
            appends::an_event_id_of_another_tenant_is_free
            appends::bytes_and_microseconds_are_kept
            appends::a_stream_keeps_its_type
            appends::limits_are_refused_with_their_numbers
            appends::a_type_with_a_control_character_is_refused
            appends::a_version_beyond_every_number_is_a_conflict
            appends::the_longest_names_and_oldest_times_are_kept
            appends::a_group_that_contradicts_itself_is_refused
            appends::the_largest_group_is_accepted
            appends::an_append_whose_caller_went_away_is_finished_by_a_repeat
            appends::concurrent_appenders_leave_no_gap
            appends::concurrent_conflicts_let_exactly_one_win
            heads::an_append_never_creates_a_head
            heads::opening_again_at_the_same_epoch_changes_nothing
            heads::opening_at_another_epoch_is_refused
            heads::a_write_at_another_epoch_is_fenced
            heads::each_mode_admits_what_it_should
            heads::a_fence_among_writers_answers_with_the_end_of_the_log
            heads::the_first_append_opens_a_prepared_head
            heads::a_swap_needs_what_it_expects
            heads::a_swap_can_be_repeated
            heads::a_validated_read_may_be_ahead_of_the_head
            heads::an_epoch_never_goes_back
            heads::a_fenced_repeat_is_fenced_too
            heads::the_digest_is_that_of_the_log
            heads::the_digest_does_not_depend_on_the_store
            heads::a_digest_is_kept_every_few_thousand_positions
            reads::a_stream_is_read_forwards_and_backwards
            reads::a_stream_that_does_not_exist_is_an_empty_page
            reads::the_log_is_read_in_pages_of_any_size
            reads::a_page_of_the_log_is_bounded_in_bytes
            reads::loading_gives_version_and_snapshot_together
            reads::a_snapshot_stays_until_a_newer_one
            reads::many_streams_load_in_the_order_asked
            reads::streams_are_tallied_against_their_events
            reads::an_event_is_found_by_its_id
            reads::an_append_is_seen_by_every_read_that_follows
            reads::reading_beyond_every_number_finds_the_end
            reads::another_tenants_streams_are_invisible
            redactions::a_redaction_takes_the_payloads_and_leaves_the_chain
            redactions::a_redaction_takes_the_snapshot_and_what_it_is_found_by
            redactions::a_redaction_may_leave_a_state_without_what_was_erased
            redactions::a_repeated_redaction_answers_with_the_first_result
            redactions::an_id_that_is_taken_redacts_nothing
            redactions::a_redacted_stream_goes_on
            redactions::an_append_is_recognised_after_its_payload_is_gone
            redactions::a_redaction_needs_its_stream_version_epoch_and_mode
            redactions::a_redaction_has_limits
            redactions::nobody_appends_a_redaction_by_hand
            redactions::erased_events_are_read_and_paged_like_any
            redactions::other_streams_and_tenants_keep_what_they_say
            redactions::a_redaction_races_appends_and_leaves_nothing_before_it
            imports::a_copy_answers_as_its_source_does
            imports::a_copy_keeps_the_digests_of_its_source
            imports::an_import_can_be_repeated
            imports::a_copy_is_begun_once_and_claimed_by_later_terms
            imports::an_import_needs_the_head_that_it_continues
            imports::damaged_events_are_refused_by_position
            imports::events_that_contradict_what_is_stored_are_refused
            imports::erased_events_are_copied_as_they_are
            imports::a_redaction_that_is_copied_erases_what_came_before
            imports::a_page_of_any_size_is_taken_whole_or_not_at_all
            imports::an_import_has_limits
            imports::the_last_page_prepares_the_copy
            imports::a_whole_copy_is_prepared_without_events
            imports::states_may_follow_their_events
            removals::a_copy_is_rewound_to_a_digest_and_copied_again
            removals::a_rewind_needs_its_term_its_digest_and_a_copy
            removals::a_tenant_that_left_says_where_it_went
            removals::a_moved_log_is_claimed_for_the_way_back
            removals::a_prepared_copy_is_revoked_only_when_its_epoch_is_past
            removals::a_purge_leaves_a_tombstone_and_nothing_else
            removals::a_purge_of_nothing_leaves_a_tombstone_too
            removals::an_owners_log_is_not_purged
            removals::an_incarnation_is_answered_the_same_each_time
            finds::a_list_is_newest_first_and_pages_without_gaps
            finds::a_list_is_counted_as_far_as_it_is_asked
            finds::a_list_of_thousands_pages_without_gaps
            finds::each_filter_narrows_as_it_says
            finds::filters_combine_by_any_and_none
            finds::a_list_shows_only_streams_with_snapshots_of_the_type
            finds::a_cursor_survives_being_written_down
            finds::a_cursor_that_was_made_up_does_no_harm
            finds::counts_are_grouped_as_fine_as_asked
            finds::counts_follow_the_snapshots
            finds::counts_split_by_checkpoints_passed
            histories::a_random_history_gives_the_same_answers_as_memory
        }
    };
    (@properties $fixture:expr; $($module:ident::$property:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let fixture = ($fixture)();
                $crate::conformance::events::$module::$property(fixture.open().await).await;
            }
        )*
    };
}
