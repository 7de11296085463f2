//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, led by coverage, each for so long. Stable Rust has what that needs:
//! the compiler's coverage pass, without a sanitizer. Knows how they are built and run, nothing of what they read.

use crate::steps::{cargo, run as run_command};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The compiler's own names for what libFuzzer is led by, as cargo-fuzz passes them.
const COVERAGE: [&str; 6] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Most bytes of an input: what is longer says nothing new, and slows the fuzzer down.
const INPUT_MAX: u32 = 4096;

/// Builds once and runs the targets that are named, or all, one after the other.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let (mut seconds, mut names) = (300, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().ok_or("--seconds needs a value")?;
                seconds = value.parse::<u64>().map_err(|_| format!("--seconds is a number, not {value:?}"))?;
            }
            flag if flag.starts_with('-') => return Err(format!("there is no flag {flag}")),
            name => names.push(name.to_owned()),
        }
    }
    let seeds = root.join("fuzz/seeds");
    let mut known: Vec<String> = fs::read_dir(&seeds)
        .map_err(|e| format!("{}: {e}", seeds.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    known.sort();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no fuzz target {name:?}; there are {}", known.join(", ")));
    }
    let names = if names.is_empty() { known } else { names };

    let place = root.join("target/fuzz");
    let host = host()?;
    // For the target only: what runs in the compiler has no fuzzer to talk to.
    run_command(
        cargo(&root.join("fuzz"), &["build", "--release", "--target", &host])
            .env("CARGO_TARGET_DIR", place.join("target"))
            .env("RUSTFLAGS", COVERAGE.join(" ")),
    )?;
    let fuzzer = place.join("target").join(&host).join("release/fuzz");
    for name in names {
        // What the fuzzer finds goes into the first directory; the seeds stay as they are.
        let corpus = place.join("corpus").join(&name);
        fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
        println!("\n── {name}");
        run_command(
            Command::new(&fuzzer)
                .env("HOTCAKE_FUZZ", &name)
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-max_len={INPUT_MAX}"))
                .arg(format!("-artifact_prefix={}/", place.display()))
                .args(["-timeout=10", "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=1"])
                .arg(&corpus)
                .arg(seeds.join(&name)),
        )?;
    }
    Ok(())
}

/// The machine's own target, as the compiler names it.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.ok_or_else(|| format!("rustc -vV names no host: {text}"))
}
