//! Rules about what may call what: the direction of imports, what the domain must not touch, who may start a task.

use super::{Breach, each_line};
use crate::tree::File;

pub fn one_way(files: &[File]) -> Vec<Breach> {
    // (the crate's files, the crates that they must not know)
    const FORBIDDEN: [(&str, &[&str]); 8] = [
        ("crates/sale/", &["adapters", "hotcake", "rocketmq", "xtask"]),
        // Its tests run in the simulator's world.
        ("crates/sale/src/", &["sim"]),
        ("crates/sim/", &["adapters", "hotcake", "rocketmq", "xtask"]),
        ("crates/adapters/", &["sim", "hotcake", "xtask"]),
        ("crates/hotcake/", &["sim", "xtask"]),
        ("crates/rocketmq/", &["sale", "sim", "adapters", "hotcake", "xtask"]),
        ("crates/services/", &["sale", "sim", "adapters", "hotcake", "xtask"]),
        ("xtask/", &["sale", "adapters", "hotcake", "rocketmq"]),
    ];
    let mut found = Vec::new();
    for (place, crates) in FORBIDDEN {
        for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with(place)) {
            found.extend(each_line(file, |line| {
                let bad = crates.iter().find(|name| names_crate(&line.code, name))?;
                Some(format!("knows {bad}, which stands above it"))
            }));
        }
    }
    found
}

/// Whether a line of code has a path that starts at this crate.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let starts = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    code.match_indices(&path).any(|(at, _)| starts(at))
        || code.trim() == format!("use {name};")
        || code.contains(&format!("extern crate {name}"))
}

pub fn domain(files: &[File]) -> Vec<Breach> {
    const FORBIDDEN: [&str; 17] = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "std::io::",
        "time::Instant",
        "time::SystemTime",
        "Instant::now",
        "SystemTime::now",
        "tokio::net",
        "tokio::fs",
        "tokio::spawn",
        "tokio::task",
        "tokio::time",
        "tokio::runtime",
        "rand::",
    ];
    let inside = |file: &&File| file.is_rust() && file.path.starts_with("crates/sale/src/");
    let wrong = |file: &File| {
        each_line(file, |line| {
            if line.test {
                return None;
            }
            let code = expanded(&line.code);
            FORBIDDEN.iter().find(|path| code.iter().any(|one| one.contains(*path))).map(|path| format!("touches {path}"))
        })
    };
    files.iter().filter(inside).flat_map(wrong).collect()
}

pub fn order(files: &[File]) -> Vec<Breach> {
    // Files whose tables are only looked up, each with what is looked up. Clippy's `iter_over_hash_type` watches their loops.
    const LOOKED_UP: [(&str, &str); 8] = [
        ("purchase/intake.rs", "an ask's place in its batch"),
        ("purchase/record.rs", "a batch's failures"),
        ("purchase/watch.rs", "an order's waiters"),
        ("purchase/buy.rs", "buyers of a batch"),
        ("books/mod.rs", "laws that are broken"),
        ("books/check.rs", "orders by digest"),
        ("memory/gate.rs", "a batch's decision"),
        ("memory/holds.rs", "holds, in a table whose hasher has no seed"),
    ];
    const TABLES: [&str; 3] = ["HashMap", "HashSet", "HashTable"];
    let inside = |file: &&File| {
        file.is_rust() && file.path.strip_prefix("crates/sale/src/").is_some_and(|path| !LOOKED_UP.iter().any(|(known, _)| *known == path))
    };
    let wrong = |file: &File| {
        each_line(file, |line| {
            let table = TABLES.iter().find(|table| !line.test && line.code.contains(*table))?;
            Some(format!("has a {table}: use a BTree, or say in tidy/imports.rs what is only looked up there"))
        })
    };
    files.iter().filter(inside).flat_map(wrong).collect()
}

/// `use std::{fmt, net};` as `std::fmt` and `std::net`; any other line as it is.
fn expanded(code: &str) -> Vec<String> {
    let mut out = vec![code.to_owned()];
    let Some((before, rest)) = code.split_once("::{") else { return out };
    let Some(root) = before.trim().strip_prefix("use ") else { return out };
    let inner = rest.split('}').next().unwrap_or_default();
    out.extend(inner.split(',').map(|word| format!("{root}::{}::", word.trim())));
    out
}

pub fn spawn(files: &[File]) -> Vec<Breach> {
    // The one file for tasks, and the files of those threads that are no tasks.
    const ALLOWED: [(&str, &str); 5] = [
        ("crates/hotcake/src/tasks.rs", "every task of the server"),
        ("crates/rocketmq/src/tasks.rs", "tasks that a permit counts; the others stand in a client's JoinSet"),
        ("crates/hotcake/src/bench/", "the load generator's watch over its child"),
        ("crates/adapters/src/embedded/", "the one writer thread of an embedded file"),
        ("crates/adapters/src/sqlite/", "the one writer thread of an embedded file"),
    ];
    const MARKS: [&str; 6] = ["tokio::spawn(", "task::spawn(", "spawn_local(", "thread::spawn(", "thread::Builder", "spawn_blocking("];
    let outside = |file: &&File| {
        file.is_rust()
            && file.path.starts_with("crates/")
            && !file.path.contains("/examples/")
            && !file.path.contains("/benches/")
            && !ALLOWED.iter().any(|(place, _)| file.path.starts_with(place))
    };
    let wrong = |file: &File| {
        each_line(file, |line| {
            let bad = MARKS.iter().find(|mark| !line.test && line.code.contains(*mark))?;
            Some(format!("{bad}…) outside tasks.rs and the writer threads"))
        })
    };
    files.iter().filter(outside).flat_map(wrong).collect()
}
