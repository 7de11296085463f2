//! What machine this is: for figures that would mean nothing without it, and for what may be installed on it.

use crate::steps::run;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Cores, processor, memory, kernel, and the file system under `dir`.
pub fn describe(dir: &Path) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "cores": cores,
        "cpu": field_of("/proc/cpuinfo", "model name"),
        "memory": field_of("/proc/meminfo", "MemTotal"),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "file_system": said_by(Command::new("stat").args(["-f", "-c", "%T"]).arg(dir)),
        "commit": said_by(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"])),
    })
}

/// The first line that a command says, or nothing.
pub fn said_by(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned()
}

fn field_of(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    value.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// Installs packages where that is possible. What stays missing is said aloud, and under CI is a failure.
pub fn install(packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    let what = format!("missing: {0} (Debian: apt install {0})", packages.join(" "));
    if is_debian_root() {
        let apt = |args: &[&str]| run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"));
        apt(&["update", "-q"])?;
        return apt(&[&["install", "-q", "-y", "--no-install-recommends"], packages].concat());
    }
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        return Err(format!("{what}. Under CI=true a test that is skipped for it is a failure."));
    }
    println!("{what}. Tests that need it are skipped; everything embedded is tested.");
    Ok(())
}

/// Whether packages may be installed with apt: root on Debian or what derives from it.
pub fn is_debian_root() -> bool {
    Path::new("/etc/debian_version").exists() && said_by(Command::new("id").arg("-u")) == "0" && has("apt-get")
}

/// Whether a program is found in PATH.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
