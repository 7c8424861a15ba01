//! What every control plane promises, one property a function.
//!
//! A property takes a [`Database`] and works in tenants and stores of its own, so that many may run at
//! once on one database. [`suite!`] makes a named test of each.
//!
//! ```ignore
//! segue_store::conformance::control::suite!(MyDatabase::new());
//! ```

pub mod audit;
pub mod changes;
pub mod deployments;
pub mod fields;
pub mod forecasts;
pub mod keys;
pub mod migrations;
pub mod plans;
pub mod races;
pub mod routing;
pub mod scenarios;
pub mod subscriptions;
pub mod world;

use std::sync::Arc;

use async_trait::async_trait;

use crate::control::ControlPlane;

pub use crate::control_plane_suite as suite;
pub use world::World;

/// A database that properties are tried on.
#[async_trait]
pub trait Database: Send + Sync {
    /// Opens the control plane as one more process would, or as the same one after a restart.
    async fn open(&self) -> Arc<dyn ControlPlane>;
}

/// Makes a test of every property of the control plane, named like it. Takes an expression that makes a
/// [`Database`]; it is evaluated for each test.
#[macro_export]
macro_rules! control_plane_suite {
    ($database:expr) => {
        $crate::control_plane_suite! { @tests $database;
            scenarios: a_registered_scenario_reads_back_as_it_was_written,
            scenarios: a_scenario_id_is_registered_once_even_in_a_race,
            scenarios: scenarios_page_newest_first_and_stay_stable_while_new_ones_come,
            scenarios: versions_page_highest_first,
            scenarios: a_version_past_its_retention_is_deleted_and_its_number_never_given_out_again,
            scenarios: versions_that_are_current_needed_young_or_in_an_open_plan_stay,
            scenarios: a_cleanup_decided_on_an_old_generation_changes_nothing,
            plans: a_plan_reads_back_with_its_documents,
            plans: a_second_open_plan_for_the_same_versions_is_refused_until_the_first_is_closed,
            plans: of_racing_plans_for_the_same_versions_one_is_kept,
            plans: a_plan_registers_its_version_without_making_it_current,
            plans: a_plan_that_brings_another_document_for_a_version_is_refused_whole,
            plans: a_plan_of_something_missing_is_refused,
            plans: a_change_on_a_stale_revision_is_refused_with_what_is,
            plans: of_racing_changes_one_wins,
            plans: an_update_neither_deploys_nor_reopens,
            plans: plans_list_newest_first_by_scenario_and_status,
            deployments: a_deploy_changes_all_that_it_must_together,
            deployments: a_deploy_supersedes_the_plans_before_it,
            deployments: a_deploy_that_forgets_an_older_open_plan_changes_nothing,
            deployments: a_deploy_that_contradicts_itself_changes_nothing,
            deployments: a_repeated_deploy_finds_the_plan_deployed,
            deployments: of_racing_deploys_one_wins,
            deployments: counts_are_filled_in_after_the_deploy,
            deployments: a_withdrawal_restores_the_version_before,
            deployments: a_withdrawal_under_a_later_plan_leaves_that_one_current,
            deployments: picking_up_sessions_left_behind_leaves_the_highest_version_current,
            deployments: only_a_deployed_plan_is_withdrawn,
            deployments: a_cleanup_keeps_open_plans_and_the_records_of_the_deployed,
            deployments: whatever_a_turn_must_know_changes_the_generation,
            fields: a_definition_reads_back_and_is_replaced_by_the_next,
            fields: the_generation_changes_with_each_new_definition_only,
            forecasts: a_forecast_is_told_of_page_by_page_and_read_by_everybody,
            forecasts: one_forecast_of_a_plan_runs_at_a_time,
            forecasts: of_racing_forecasts_one_begins,
            forecasts: a_forecast_whose_process_is_not_heard_of_is_replaced,
            forecasts: a_new_forecast_leaves_nothing_of_the_one_before,
            forecasts: a_forecast_that_is_over_takes_nothing_more,
            forecasts: a_forecast_is_of_one_tenants_plan,
            forecasts: forecasts_go_with_their_plans,
            routing: a_new_tenant_is_placed_once_at_epoch_one,
            routing: tenants_list_by_store_in_pages,
            routing: a_pause_is_decided_once_per_term,
            routing: of_racing_decisions_about_writes_one_wins,
            routing: what_a_turn_asks_first_is_empty_for_strangers,
            routing: what_one_process_decides_the_others_next_turn_finds,
            subscriptions: a_subscription_begins_where_it_was_told_and_stays_when_put_again,
            subscriptions: of_racing_puts_one_creates,
            subscriptions: an_acknowledgement_goes_forwards_only,
            subscriptions: racing_acknowledgements_leave_the_highest,
            subscriptions: a_reset_goes_back_and_leaves_a_line,
            subscriptions: a_deleted_subscription_is_gone_and_its_name_is_free,
            subscriptions: subscriptions_list_by_the_bytes_of_their_names,
            subscriptions: a_tenant_has_so_many_subscriptions_and_no_more,
            migrations: a_move_is_decided_step_by_step,
            migrations: a_move_is_decided_on_the_present_term_only,
            migrations: a_decision_that_does_not_fit_changes_nothing,
            migrations: a_tenant_has_one_active_migration,
            migrations: a_cutover_is_given_up_and_a_move_rolled_back,
            migrations: a_copy_is_given_up_where_only_its_purge_is_left,
            migrations: a_commit_takes_subscriptions_along,
            migrations: a_reverse_is_a_new_migration,
            migrations: notes_are_kept_beside_decisions,
            migrations: a_beat_is_taken_from_the_coordinator_only,
            migrations: migrations_list_newest_first,
            migrations: failures_of_processes_add_up,
            migrations: an_incarnation_is_compared_and_set,
            migrations: tenants_that_were_decided_on_are_found_by_store,
            keys: a_key_reads_back_by_its_id_and_its_prefix_and_never_shows_its_verifier,
            keys: a_prefix_is_given_out_once,
            keys: a_rotated_key_goes_on_until_its_end_and_never_longer_than_it_would_have,
            keys: a_revoked_key_takes_its_console_sessions_along,
            keys: keys_list_newest_first_in_pages,
            keys: the_last_use_only_goes_forwards,
            keys: a_console_session_is_found_by_its_hash_until_it_is_closed,
            keys: sessions_that_have_expired_or_are_too_many_are_removed,
            keys: what_happens_to_keys_is_in_the_audit_of_the_platform,
            changes: a_decision_is_heard_of_by_every_process,
            races: a_decision_whose_caller_went_away_is_whole_or_not_made,
            races: racing_decisions_leave_what_some_order_of_them_would,
            audit: every_decision_leaves_its_line_with_who_and_when,
            audit: a_refused_decision_leaves_no_line,
            audit: the_audit_filters_and_pages,
            audit: another_tenants_things_are_not_found,
            audit: what_was_answered_is_there_after_a_restart,
        }
    };
    (@tests $database:expr; $($noun:ident: $property:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $property() {
            $crate::conformance::control::$noun::$property(&$database).await;
        }
    )+};
}
