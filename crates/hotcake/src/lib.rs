//! The server and its tools. The binary calls [`main`] and nothing else; a library it is only so that the fuzz targets
//! reach what reads bytes from outside. The modules in reading order:

mod cli;
mod exit;
mod config;
mod keys;
mod logline;
mod stores;
mod tasks;
mod serve;
mod http;
mod page;
mod up;
mod commands;
mod bench;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

use clap::Parser as _;
use cli::{Cli, OrderVerb, SaleVerb, Verb};
use exit::Exit;
use std::process::ExitCode;

/// Parses the command line, dispatches, and says how it ended.
pub fn main() -> ExitCode {
    let Cli { config, verb } = Cli::parse();
    match dispatch(config.as_deref(), verb) {
        Ok(code) => code,
        Err(exit) => exit.report(),
    }
}

fn dispatch(config: Option<&std::path::Path>, verb: Verb) -> Result<ExitCode, Exit> {
    let done = match verb {
        Verb::Up(arguments) => up::run(config, arguments),
        Verb::Sale(SaleVerb::Create(arguments)) => commands::sale::create(config, *arguments),
        Verb::Sale(SaleVerb::List(server)) => commands::sale::list(config, &server),
        Verb::Sale(SaleVerb::Show(on)) => commands::sale::show(config, &on),
        Verb::Sale(SaleVerb::Open(on)) => commands::sale::operate(config, &on, "open"),
        Verb::Sale(SaleVerb::Pause(on)) => commands::sale::operate(config, &on, "pause"),
        Verb::Sale(SaleVerb::Close(on)) => commands::sale::operate(config, &on, "close"),
        Verb::Sale(SaleVerb::Archive(on)) => commands::sale::operate(config, &on, "archive"),
        Verb::Sale(SaleVerb::Restock(moving)) => commands::sale::movement(config, moving, "restock"),
        Verb::Sale(SaleVerb::Withdraw(moving)) => commands::sale::movement(config, moving, "withdraw"),
        Verb::Rebuild(on) => commands::sale::operate(config, &on, "rebuild"),
        Verb::Reconcile(on) => commands::sale::reconcile(config, &on),
        Verb::Order(OrderVerb::Show(on)) => commands::order::show(config, &on),
        Verb::Order(OrderVerb::List { sale, limit, cursor, server }) => {
            commands::order::list(config, &sale, limit, cursor.as_deref(), &server)
        }
        Verb::Order(OrderVerb::Refund(on)) => commands::order::refund(config, &on),
        Verb::Order(OrderVerb::Refunded { on, payment }) => commands::order::refunded(config, &on, &payment),
        Verb::Token(arguments) => commands::token::run(config, &arguments),
        Verb::Bench(arguments) => return Ok(bench::run(*arguments)),
        Verb::Audit(arguments) => commands::audit::run(config, arguments),
        Verb::Doctor(arguments) => commands::doctor::run(config, &arguments),
        Verb::Migrate(arguments) => commands::migrate::run(config, &arguments),
        Verb::Config(verb) => commands::config::run(config, verb),
        Verb::Openapi => commands::openapi(),
        Verb::Completions { shell } => commands::completions(shell),
    };
    done.map(|()| ExitCode::SUCCESS)
}
