//! The verbs beside `up`: most speak to a running server as an operator does, some read the stores themselves. They know
//! the operators' API over HTTP only.

pub mod remote;
pub mod table;
pub mod sale;
pub mod order;
pub mod token;
pub mod audit;
pub mod doctor;
pub mod migrate;
pub mod config;

use crate::cli::Cli;
use crate::config::load::{self, Flag, Loaded};
use crate::exit::Exit;
use clap::CommandFactory as _;
use std::io::Write as _;
use std::path::Path;

/// The configuration, with the data directory that a flag may name.
fn configuration(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Loaded, Exit> {
    let flag = |dir: &Path| -> Flag { ("data", "dir", toml::Value::String(dir.display().to_string()), "--data-dir") };
    load::load(file, data_dir.map(flag).into_iter().collect()).map_err(|wrong| Exit::usage(wrong.to_string()))
}

/// Writes to stdout. A reader that went away (`| head`) is no failure of ours.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
}

/// `hotcake openapi`.
pub fn openapi() -> Result<(), Exit> {
    print(crate::http::openapi::text());
    Ok(())
}

/// `hotcake completions`.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Exit> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hotcake", &mut out);
    print(&String::from_utf8_lossy(&out));
    Ok(())
}
