//! Runs named steps, prints each with its time, and a summary. Knows nothing of what a step does.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What was run, how it ended, how long it took.
pub struct Steps {
    done: Vec<(String, Result<(), String>, Duration)>,
}

/// The machine's clock; the tools measure themselves with it.
#[expect(clippy::disallowed_methods, reason = "durations of build steps and of loads; no order depends on them")]
pub fn now() -> Instant {
    Instant::now()
}

impl Steps {
    /// None yet.
    pub fn new() -> Self {
        Self { done: Vec::new() }
    }

    /// Runs one step now. Returns whether it went well.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<(), String>) -> bool {
        println!("\n── {name}");
        let start = now();
        let end = work();
        let took = start.elapsed();
        match &end {
            Ok(()) => println!("── {name}: ok, {:.1} s", took.as_secs_f64()),
            Err(what) => println!("── {name}: FAILED after {:.1} s\n{what}", took.as_secs_f64()),
        }
        let well = end.is_ok();
        self.done.push((name.to_owned(), end, took));
        well
    }

    /// Whether every step so far went well.
    pub fn well(&self) -> bool {
        self.done.iter().all(|(_, end, _)| end.is_ok())
    }

    /// Prints the table; the error names what failed.
    pub fn summary(self, left_out: &[&str]) -> Result<(), String> {
        println!("\n── summary");
        for (name, end, took) in &self.done {
            println!("{} {name:<28} {:>7.1} s", if end.is_ok() { "✓" } else { "✗" }, took.as_secs_f64());
        }
        for name in left_out {
            println!("– {name:<28} not run");
        }
        let total: Duration = self.done.iter().map(|(_, _, took)| *took).sum();
        println!("  total {:>31.1} s", total.as_secs_f64());
        let failed: Vec<&str> = self.done.iter().filter(|(_, end, _)| end.is_err()).map(|(name, _, _)| name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }
}

/// Runs a command with this process's output. The error says what was run.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = shown(command);
    println!("$ {shown}");
    let status = command.status().map_err(|e| format!("{shown}: does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
}

/// Cargo, the one that runs this, at work in a directory.
pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root);
    command
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
