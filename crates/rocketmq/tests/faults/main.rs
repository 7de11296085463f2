//! What this client makes of servers that die, stand still, forget, and of wires that are cut. Each test has servers of its own.

#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test runs clients beside itself, by the machine's clock")]

#[path = "../lab/mod.rs"]
mod lab;
mod load;
mod oracle;
mod processes;
mod servers;
mod strangers;
mod tap;
mod wires;

use lab::{Lab, SOON};
use libtest_mimic::{Arguments, Failed, Trial};
use services::{Service, Set};
use std::process::ExitCode;
use tokio::time::timeout;

/// What a child of this program is to do: see `processes::child`.
const CHILD: &str = "ROCKETMQ_TEST_CHILD";

macro_rules! trials {
    ($($module:ident::$name:ident)*) => { vec![$(Trial::test(stringify!($name), || run($module::$name()))),*] };
}

fn run(test: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async { timeout(6 * SOON, test).await }).map_err(|_| "it hangs".into())
}

fn main() -> ExitCode {
    if let Ok(job) = std::env::var(CHILD) {
        run(processes::child(job)).expect("a child's job");
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(3));
    if !arguments.list && !lab::can_run() {
        return ExitCode::SUCCESS;
    }
    let trials = trials![
        servers::a_broker_killed_under_load_loses_nothing
        servers::after_a_restart_the_broker_is_answered_at_once
        servers::two_brokers_behind_two_proxies_survive_the_death_of_any_one
        servers::a_name_server_killed_is_not_missed_until_it_is_back
        servers::a_broker_that_stands_still_for_thirty_seconds_loses_nothing
        processes::a_process_killed_leaves_its_half_messages_to_another
        wires::a_wire_that_is_cut_slow_and_swallows_answers_loses_nothing
        wires::an_answer_that_is_swallowed_is_unknown_and_the_broker_asks
        wires::an_ordered_receive_whose_answer_is_lost_is_answered_again
        processes::an_idle_client_rests_and_one_without_a_broker_does_not_spin
        servers::a_proxy_that_forgot_a_half_message_says_so_and_the_check_delivers
        servers::a_half_message_that_nobody_answers_for_is_given_up_by_the_broker
        strangers::a_client_without_a_broker_or_with_the_wrong_key_is_told_why
        strangers::tls_and_signed_requests_work_and_plaintext_is_told_apart
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn lab_of(name: &str) -> Lab {
    lab_with(name, |set| set)
}

fn lab_with(name: &str, tuned: impl FnOnce(Set) -> Set) -> Lab {
    tokio::task::block_in_place(|| Lab::start_with(name, tuned))
}

/// What happens to a server while others go on.
impl Lab {
    /// kill -9, and up again.
    pub async fn restart(&self, service: Service) {
        self.kill9(service).await;
        self.up(service).await;
    }

    pub async fn kill9(&self, service: Service) {
        let set = self.set.clone();
        tokio::task::spawn_blocking(move || set.kill9(service)).await.expect("no panic").expect("it is gone");
    }

    pub async fn up(&self, service: Service) {
        let set = self.set.clone();
        tokio::task::spawn_blocking(move || set.up(service)).await.expect("no panic").expect("it starts");
    }
}
