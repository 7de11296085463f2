//! Rules about the shape of files: heads, lengths, names, what must not stand in them.

use super::{Breach, each_line};
use crate::tree::{File, Line};

const LINES_MAX: usize = 400;

pub fn head(files: &[File]) -> Vec<Breach> {
    let lacks = |file: &&File| file.is_rust() && !file.text.starts_with("//! ");
    files
        .iter()
        .filter(lacks)
        .map(|file| Breach { path: file.path.clone(), line: 1, what: "its first line is no `//!` sentence".into() })
        .collect()
}

pub fn length(files: &[File]) -> Vec<Breach> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            let what = format!("{lines} lines, {LINES_MAX} is the most; split it by ideas");
            found.push(Breach { path: file.path.clone(), line: 0, what });
        }
    }
    found
}

pub fn unfinished(files: &[File]) -> Vec<Breach> {
    const MUTED: [(&str, &str); 6] = [
        ("todo!(", "todo!"),
        ("unimplemented!(", "unimplemented!"),
        ("#[ignore", "an ignored test"),
        ("allow(dead_code", "dead code is muted; delete it"),
        ("allow(unused", "something unused is muted; delete it"),
        ("dbg!(", "dbg!"),
    ];
    let wrong = |file: &File| {
        // What several test binaries include is dead in those that use a part of it.
        let shared = file.path.contains("/tests/") && file.path.ends_with("/mod.rs");
        let stands = |line: &Line<'_>, mark: &str| line.code.contains(mark) && !(shared && mark == "allow(dead_code");
        each_line(file, |line| MUTED.iter().find(|(mark, _)| stands(line, mark)).map(|(_, what)| (*what).to_owned()))
    };
    files.iter().filter(|file| file.is_rust()).flat_map(wrong).collect()
}

/// Tests may sleep only inside a function whose name starts with `wait_`: the explicit wait, which loops over its condition.
pub fn sleep(files: &[File]) -> Vec<Breach> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let mut inside = "";
        for line in file.lines() {
            if let Some((_, rest)) = line.text.split_once("fn ") {
                inside = rest.split(['(', '<']).next().unwrap_or_default();
            }
            if line.test && line.code.contains("sleep(") && !inside.starts_with("wait_") {
                let what = format!("{inside} sleeps; wait for the condition in a function named wait_…");
                found.push(Breach { path: file.path.clone(), line: line.number, what });
            }
        }
    }
    found
}

pub fn names(files: &[File]) -> Vec<Breach> {
    const EMPTY: [&str; 10] = ["common", "util", "utils", "types", "models", "model", "helper", "helpers", "core", "manager"];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() || file.path.ends_with("Cargo.toml")) {
        let bad = file.path.split('/').map(|part| part.trim_end_matches(".rs")).find(|part| EMPTY.contains(part));
        if let Some(part) = bad {
            found.push(Breach { path: file.path.clone(), line: 0, what: format!("is named {part:?}; name the idea") });
        }
    }
    found
}

pub fn paths(files: &[File]) -> Vec<Breach> {
    // Written in parts, so that this file does not find itself.
    let marks = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("registry.", "npmjs"),
        concat!("files.", "pythonhosted"),
        concat!("proxy.", "golang"),
        concat!("arti", "factory"),
    ];
    let mut found = Vec::new();
    // The lock names the registry that cargo itself means; it is no address of this machine.
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        for (at, line) in file.text.lines().enumerate() {
            // Inside a relative path or a URL it is not a machine's path.
            let stands = |mark: &&&str| {
                line.match_indices(**mark)
                    .any(|(i, _)| !mark.starts_with('/') || !line[..i].ends_with(|c: char| c.is_alphanumeric() || "._-*}".contains(c)))
            };
            if let Some(mark) = marks.iter().find(stands) {
                found.push(Breach { path: file.path.clone(), line: at + 1, what: format!("names {mark}") });
            }
        }
    }
    found
}
