//! `cargo xtask VERB`: every task of the work on Hotcake, so that people, editors and CI run the same thing.
//! Parses and dispatches; knows nothing of what the verbs do.

mod bench;
mod cases;
mod ci;
mod fuzz;
mod machine;
mod services;
mod sim;
mod steps;
mod tidy;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask VERB

  ci               everything that a submission must pass: format, lints, tidy, build, tests, a smoke of the binary, cases
  tidy             the rules of the house that no compiler checks, each with its reason
  cases            the table of failure cases: what is covered by which test, what is due
  sim [--seeds N] [--from S]
                   random schedules of whole sales with faults of every part, judged by the laws, on all cores
  sim --pairs EVERY
                   a sale's life with two failures, at any two moments and in every way: one in EVERY of all such pairs
  sim --planted [NAME …]
                   looks for each planted bug in a copy of the domain, and prints which law caught it after how many seeds
  services up|down|status|wipe [NAME …] [--set SET]
  services kill9|stop|cont NAME [--set SET]
                   Redis, MariaDB and RocketMQ as private processes on ports of their own, several sets side by side
  fuzz [--seconds S] [NAME …]
                   whatever reads bytes from outside, under a fuzzer that is led by coverage, 300 s each
  bench [--long] [--rounds N] [--seconds S] [--connections N] [--out FILE]
                   Hotcake against a bare axum server under the same load, as ratios; writes bench-<date>.json
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = tree::root();
    let done = match args.first().map(String::as_str) {
        Some("ci") => ci::run(&root),
        Some("tidy") => tidy::run(&root),
        Some("cases") => cases::run(&root),
        Some("sim") => sim::run(&root, &args[1..]),
        Some("services") => services::run(&root, &args[1..]),
        Some("fuzz") => fuzz::run(&root, &args[1..]),
        Some("bench") => bench::run(&root, &args[1..]),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(format!("there is no verb {other:?}\n\n{USAGE}")),
        None => Err(format!("a verb is missing\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}
