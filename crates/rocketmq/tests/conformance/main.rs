//! What the real broker does with what this client asks of it, by name. All tests share one broker, each with topics of its own;
//! most of their time they wait for it, so they run side by side.

#![allow(missing_docs)]

#[path = "../lab/mod.rs"]
mod lab;
mod messages;
mod transactions;

use lab::{Lab, SOON};
use libtest_mimic::{Arguments, Trial};
use services::Set;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use tokio::time::timeout;

macro_rules! trials {
    ($lab:expr; $($module:ident::$name:ident)*) => { vec![$({
        let lab = $lab.clone();
        Trial::test(stringify!($name), move || run(&lab, |lab| Box::pin($module::$name(lab))))
    }),*] };
}

type Test = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn run(lab: &OnceLock<Arc<Lab>>, test: impl FnOnce(Arc<Lab>) -> Test) -> Result<(), libtest_mimic::Failed> {
    let lab = lab.get().ok_or("the broker is started before the tests")?.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { timeout(3 * SOON, test(lab)).await }).map_err(|_| "it hangs".into())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(16));
    if !arguments.list && !lab::can_run() {
        return ExitCode::SUCCESS;
    }
    let lab = Arc::new(OnceLock::new());
    // Who only lists them needs none.
    if !arguments.list {
        let tuned = |set: Set| set.with_broker_setting("enablePropertyFilter", true).with_broker_setting("enableMixedMessageType", true);
        lab.get_or_init(|| Arc::new(Lab::start_with("conformance", tuned)));
    }
    let trials = trials![lab;
        transactions::what_is_committed_is_delivered_once_and_what_is_rolled_back_never_and_neither_is_asked_about
        transactions::a_silent_half_message_becomes_what_the_checker_says
        transactions::unknown_is_asked_again_until_somebody_knows
        transactions::a_checker_that_panics_is_asked_again
        transactions::checkers_that_never_end_are_cut_off_and_asked_again
        transactions::a_shutdown_waits_for_a_checker_and_its_answer
        transactions::with_a_recovery_time_a_late_commit_changes_nothing_and_the_check_delivers
        transactions::without_a_recovery_time_a_late_commit_delivers
        transactions::a_sibling_is_asked_when_the_producer_is_gone
        transactions::wrong_topics_and_bodies_are_told_with_what_to_do
        transactions::a_client_that_says_goodbye_is_gone_at_once
        messages::messages_come_whole_with_tag_keys_properties_and_four_mebibytes
        messages::filters_by_tag_and_by_property
        messages::what_is_not_acknowledged_comes_again_and_goes_to_the_dead_letters
        messages::a_replaced_handle_acknowledges_nothing
        messages::dead_letters_by_hand
        messages::acknowledging_many_is_told_one_by_one
        messages::delays_are_kept_and_recalled
        messages::too_long_a_delay_is_refused
        messages::an_order_is_kept_and_a_refused_message_holds_up_its_group
        messages::invisible_times_and_polls_are_checked
        messages::what_was_shut_down_sends_nothing
        messages::offsets_and_lag_are_counted
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(lab);
    conclusion.exit_code()
}
