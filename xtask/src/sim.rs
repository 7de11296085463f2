//! `cargo xtask sim`: the simulator; with `--planted` it looks for each bug of `crates/sim/planted.toml` in a copy of the
//! domain that has them all, one at a time. The code itself has no switches.

use crate::steps::{cargo, run as run_command};
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A bug that only this law sees: with the law turned off it must pass unseen.
const ONE_EYED: (&str, &str) = ("price from the client", "L4");
/// Seeds within which a planted bug must be caught, unless it says otherwise.
const SEEDS: u64 = 5_000;
/// The variable that says which bug is on, in the copy only.
const SWITCH: &str = "HOTCAKE_PLANTED";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planted {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    name: String,
    what: String,
    /// Why no law needs what this bug leaves out.
    survives: Option<String>,
    edit: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// In the domain's `src`.
    file: String,
    from: String,
    to: String,
}

/// Random schedules, or the planted bugs.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    match args.split_first() {
        Some((first, names)) if first == "--planted" => planted(root, names),
        _ if args.iter().any(|arg| arg == "--planted") => {
            Err("--planted stands first and is followed by names of bugs only: it has seeds of its own".to_owned())
        }
        _ => run_command(cargo(root, &["run", "--release", "--quiet", "--package", "sim", "--"]).args(args)),
    }
}

/// Looks for every bug, or for those whose names contain a word of `only`.
pub fn planted(root: &Path, only: &[String]) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let list: Planted = toml::from_str(&read(&root.join("crates/sim/planted.toml"))?).map_err(|e| format!("planted.toml: {e}"))?;
    for word in only {
        if !list.bug.iter().any(|bug| bug.name.contains(word)) {
            return Err(format!("there is no planted bug with {word:?} in its name"));
        }
    }
    let copy = root.join("target/planted");
    plant(root, &copy, &list.bug)?;
    run_command(
        cargo(&copy, &["build", "--release", "--quiet", "--package", "sim", "--bin", "sim"]).env("CARGO_TARGET_DIR", copy.join("target")),
    )?;
    let simulator = copy.join("target/release/sim");

    let mut wrong = Vec::new();
    if only.is_empty() {
        if !look(&simulator, 0, SEEDS, None)?.is_empty() {
            wrong.push("a bug is caught with none planted".to_owned());
        }
        let (name, law) = ONE_EYED;
        let number = list.bug.iter().position(|bug| bug.name == name).ok_or_else(|| format!("there is no planted bug {name:?}"))? + 1;
        if !look(&simulator, number, SEEDS, Some(law))?.is_empty() {
            wrong.push(format!("{name:?} is caught although {law} is not looked at"));
        }
        // What a person reads of a failure: what it needs, and what happened to the purchases concerned.
        let told = simulate(&simulator, number, &["--seeds", "20"])?;
        for part in ["  it needs ", "(buyer-", " ms  node "] {
            if !told.contains(part) {
                wrong.push(format!("the story of {name:?} has no {part:?} in it:\n{told}"));
            }
        }
    }
    println!("{:<42} {:<10} {:>6}", "planted bug", "caught by", "seeds");
    for (at, bug) in list.bug.iter().enumerate().filter(|(_, bug)| only.is_empty() || only.iter().any(|word| bug.name.contains(word))) {
        let said = look(&simulator, at + 1, SEEDS, None)?;
        let caught = said.strip_prefix("caught after ").and_then(|rest| {
            let (seeds, rest) = rest.split_once(" schedules by seed ")?;
            let (_, rest) = rest.split_once(": ")?;
            Some((seeds.to_owned(), rest.split(':').next().unwrap_or_default().to_owned()))
        });
        match (caught, &bug.survives) {
            (Some((after, laws)), None) => println!("{:<42} {laws:<10} {after:>6}  {}", bug.name, bug.what),
            (None, Some(why)) => println!("{:<42} {:<10} {SEEDS:>6}  {}: {why}", bug.name, "–", bug.what),
            (Some((after, laws)), Some(_)) => {
                println!("{:<42} {laws:<10} {after:>6}  {} (said to survive)", bug.name, bug.what);
                wrong.push(format!("{:?} is said to survive and is caught", bug.name));
            }
            (None, None) => {
                println!("{:<42} {:<10} {SEEDS:>6}  {} SURVIVES", bug.name, "–", bug.what);
                wrong.push(format!("{:?} survives: a law is missing, or nobody needs what it leaves out", bug.name));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Where the simulator finds one bug: empty when it does not.
fn look(simulator: &Path, number: usize, seeds: u64, blind: Option<&str>) -> Result<String, String> {
    let seeds = seeds.to_string();
    let mut args = vec!["--seeds", &seeds, "--until-caught"];
    args.extend(blind.iter().flat_map(|law| ["--blind", law]));
    simulate(simulator, number, &args)
}

/// What the simulator prints when it fails with one bug; empty when it does not.
fn simulate(simulator: &Path, number: usize, args: &[&str]) -> Result<String, String> {
    let output =
        Command::new(simulator).args(args).env(SWITCH, number.to_string()).output().map_err(|e| format!("{}: {e}", simulator.display()))?;
    match output.status.code() {
        Some(0) => Ok(String::new()),
        Some(1) => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => Err(format!("the simulator ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// Makes the copy: the domain with all bugs, each behind its number, and the simulator as it is.
fn plant(root: &Path, copy: &Path, bugs: &[Bug]) -> Result<(), String> {
    let fail = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    let crates = copy.join("crates");
    if crates.exists() {
        fs::remove_dir_all(&crates).map_err(fail(&crates))?;
    }
    for name in ["sale", "sim"] {
        copy_tree(&root.join("crates").join(name), &crates.join(name))?;
    }
    for name in ["Cargo.lock", "rust-toolchain.toml"] {
        fs::copy(root.join(name), copy.join(name)).map_err(fail(&root.join(name)))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).map_err(fail(&root.join("Cargo.toml")))?;
    let two = |line: &str| match line.split(" = ").next() {
        Some("members") => "members = [\"crates/sale\", \"crates/sim\"]".to_owned(),
        Some("default-members") => String::new(),
        _ => line.to_owned(),
    };
    let manifest = manifest.lines().map(two).collect::<Vec<_>>().join("\n");
    fs::write(copy.join("Cargo.toml"), manifest).map_err(fail(copy))?;

    let source = crates.join("sale/src");
    for (at, bug) in bugs.iter().enumerate() {
        for edit in &bug.edit {
            let path = source.join(&edit.file);
            let text = fs::read_to_string(&path).map_err(fail(&path))?;
            let changed = replaced(&text, edit, at + 1).map_err(|why| format!("planted bug {:?}: {}: {why}", bug.name, edit.file))?;
            fs::write(&path, changed).map_err(fail(&path))?;
        }
    }
    let path = source.join("lib.rs");
    let lib = fs::read_to_string(&path).map_err(fail(&path))?;
    let switch = format!(
        "\n/// Which planted bug is on.\npub mod planted {{\n    static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();\n    \
         /// Whether it is this one.\n    pub fn is(bug: u32) -> bool {{\n        \
         *ON.get_or_init(|| std::env::var(\"{SWITCH}\").ok().and_then(|text| text.parse().ok()).unwrap_or(0)) == bug\n    }}\n}}\n"
    );
    fs::write(&path, lib + &switch).map_err(fail(&path))
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", from.display());
    fs::create_dir_all(to).map_err(fail)?;
    for entry in fs::read_dir(from).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let there = to.join(entry.file_name());
        if entry.file_type().map_err(fail)?.is_dir() {
            copy_tree(&entry.path(), &there)?;
        } else {
            fs::copy(entry.path(), there).map_err(fail)?;
        }
    }
    Ok(())
}

/// The text with the edit, which must find its place once. Bugs are planted in turn: one that changes a place after another
/// looks for what that one left.
fn replaced(text: &str, edit: &Edit, number: usize) -> Result<String, String> {
    match text.matches(&edit.from).count() {
        1 => Ok(text.replacen(&edit.from, &edit.to.replace("PLANTED", &format!("crate::planted::is({number})")), 1)),
        0 => Err(format!("nothing to change, {:?} is not there (any more, or another bug changed it before)", edit.from)),
        times => Err(format!("{:?} is there {times} times", edit.from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_must_find_its_place_once() {
        let edit = Edit { file: "a.rs".into(), from: "x == y".into(), to: "(PLANTED || x == y)".into() };
        assert_eq!(replaced("if x == y {", &edit, 7).as_deref(), Ok("if (crate::planted::is(7) || x == y) {"));
        assert!(replaced("if x != y {", &edit, 7).is_err_and(|why| why.contains("is not there")));
        assert!(replaced("x == y; x == y", &edit, 7).is_err_and(|why| why.contains("2 times")));
    }
}
