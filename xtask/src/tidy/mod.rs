//! `cargo xtask tidy`: the rules of the house that no compiler checks. Each is a function from the files to its breaches, and
//! each breach is printed with the rule's reason.

mod imports;
mod manifests;
mod shape;

use crate::tree::{self, File};
use std::path::Path;

/// Where a rule is broken.
struct Breach {
    path: String,
    /// Counts from 1; 0 when the whole file is meant.
    line: usize,
    what: String,
}

struct Rule {
    name: &'static str,
    reason: &'static str,
    check: fn(&[File]) -> Vec<Breach>,
}

const RULES: &[Rule] = &[
    Rule { name: "head", reason: "the first line of each file says what it knows, so that nobody opens the wrong one", check: shape::head },
    Rule { name: "length", reason: "a file is one idea, read in one sitting", check: shape::length },
    Rule { name: "unfinished", reason: "what is not built is an open issue, not a muted line", check: shape::unfinished },
    Rule {
        name: "sleep",
        reason: "a test waits for its condition, with a limit; a sleep is slow on a fast machine and flaky on a slow one",
        check: shape::sleep,
    },
    Rule { name: "names", reason: "a file named after nothing collects everything", check: shape::names },
    Rule { name: "paths", reason: "the project must build on any machine and from any registry", check: shape::paths },
    Rule {
        name: "imports",
        reason: "imports run one way, hotcake → adapters → sale ← sim, so that the domain can be driven from one seed",
        check: imports::one_way,
    },
    Rule {
        name: "domain",
        reason: "the domain reads no clock, opens no socket, spawns nothing: the simulator must own all of it",
        check: imports::domain,
    },
    Rule {
        name: "order",
        reason: "a hash table's order is drawn anew in each process: what the domain does must follow from the seed",
        check: imports::order,
    },
    Rule {
        name: "spawn",
        reason: "every task has a name, a stop signal and a join, and so one file that starts it",
        check: imports::spawn,
    },
    Rule {
        name: "dependencies",
        reason: "each dependency is somebody else's code in the path of a purchase: its line says why it is there",
        check: manifests::reasons,
    },
];

/// Checks every rule; the error counts the breaches.
pub fn run(root: &Path) -> Result<(), String> {
    let files = tree::files(root)?;
    let mut count = 0;
    for rule in RULES {
        let breaches = (rule.check)(&files);
        if breaches.is_empty() {
            continue;
        }
        println!("✗ {}: {}", rule.name, rule.reason);
        for Breach { path, line, what } in &breaches {
            if *line == 0 { println!("    {path}: {what}") } else { println!("    {path}:{line}: {what}") }
        }
        count += breaches.len();
    }
    if count == 0 {
        println!("tidy: {} rules hold in {} files", RULES.len(), files.len());
        return Ok(());
    }
    Err(format!("tidy: {count} breaches of the house's rules"))
}

/// A breach at each line that `wrong` finds fault with.
fn each_line(file: &File, wrong: impl Fn(&tree::Line<'_>) -> Option<String>) -> Vec<Breach> {
    let breach = |line: &tree::Line<'_>| wrong(line).map(|what| Breach { path: file.path.clone(), line: line.number, what });
    file.lines().iter().filter_map(breach).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule must be seen to fail once: one file that breaks it, and how often it does.
    #[test]
    fn each_rule_finds_its_breach() {
        let long = format!("//! Long.\n{}", "fn a() {}\n".repeat(401));
        for (rule, path, text, times) in [
            ("head", "crates/sale/src/a.rs", "use b;\n", 1),
            ("head", "crates/sale/src/a.rs", "//! Says it.\n", 0),
            ("length", "crates/sale/src/a.rs", long.as_str(), 1),
            ("unfinished", "crates/sale/src/a.rs", "//! A.\n#[ignore]\nfn b() { todo!() }\n#[allow(dead_code)]\n", 3),
            ("unfinished", "crates/sale/src/a.rs", "//! A todo!() in words.\n", 0),
            ("sleep", "crates/hotcake/tests/a.rs", "//! A.\nfn b() { std::thread::sleep(c); }\n", 1),
            ("sleep", "crates/hotcake/tests/a.rs", "//! A.\nfn wait_until() {\n    std::thread::sleep(c);\n}\n", 0),
            ("names", "crates/sale/src/utils.rs", "//! A.\n", 1),
            ("names", "crates/sale/src/core/mod.rs", "//! A.\n", 1),
            ("paths", "README.md", concat!("see /ho", "me/somebody/hotcake\n"), 1),
            ("imports", "crates/sale/src/a.rs", "//! A.\nuse adapters::b;\n", 1),
            ("imports", "crates/adapters/src/a.rs", "//! A.\nuse hotcake::b;\nuse sale::c;\n", 1),
            ("imports", "crates/sim/src/a.rs", "//! A.\nuse adapters::b;\nuse sale::c;\n", 1),
            ("imports", "crates/sale/src/a.rs", "//! A.\nuse sim::b;\n", 1),
            ("imports", "crates/sale/tests/a.rs", "//! A.\nuse sim::b;\n", 0),
            ("imports", "crates/hotcake/src/a.rs", "//! A.\nuse sim::b;\nuse sale::c;\n", 1),
            ("domain", "crates/sale/src/a.rs", "//! A.\nuse std::time::Instant;\nfn b() { std::fs::read(c); }\n", 2),
            ("domain", "crates/sale/src/a.rs", "//! A.\nuse std::{fmt, net};\n", 1),
            ("domain", "crates/sale/tests/a.rs", "//! A.\nuse std::time::Instant;\n", 0),
            ("order", "crates/sale/src/a.rs", "//! A.\nuse std::collections::{BTreeMap, HashSet};\nuse hashbrown::HashTable;\n", 2),
            ("order", "crates/sale/src/purchase/watch.rs", "//! A.\nuse std::collections::HashMap;\n", 0),
            ("order", "crates/sale/tests/a.rs", "//! A.\nuse std::collections::HashMap;\n", 0),
            ("spawn", "crates/hotcake/src/http/a.rs", "//! A.\nfn b() { tokio::spawn(c); std::thread::spawn(d); }\n", 1),
            ("dependencies", "crates/sale/Cargo.toml", "[dependencies]\na = \"1\"\nc.workspace = true\n# why\nb = \"1\"\n", 1),
        ] {
            let file = File { path: path.to_owned(), text: text.to_owned() };
            let rule = RULES.iter().find(|known| known.name == rule).expect("the rule is named as in the table");
            let found: Vec<String> = (rule.check)(&[file]).into_iter().map(|breach| breach.what).collect();
            assert_eq!(found.len(), times, "{}: {path}: {found:?}", rule.name);
        }
    }
}
