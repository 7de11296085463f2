//! `cargo xtask cases`: the table of failure cases, checked against the tests that stand in the tree.

use crate::tree::{self, File};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    given: String,
    expected: String,
    layers: Vec<String>,
    /// What the due layers wait for; empty when none is due.
    waits: String,
    /// The window is another flow's too, which does not exist yet: its tests are of the flow `queued`.
    #[serde(default)]
    flow: Option<String>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    layer: String,
    name: String,
    /// The change of the code that makes this test fail; without it the test covers nothing yet.
    #[serde(rename = "break")]
    planted: Option<String>,
}

impl Case {
    /// The layers that no test with a named break covers.
    fn due(&self) -> Vec<&str> {
        let covered = |layer: &&String| self.tests.iter().any(|test| test.layer == **layer && test.planted.is_some());
        self.layers.iter().filter(|layer| !covered(layer)).map(String::as_str).collect()
    }
}

/// Prints the table and fails on whatever is not true in it.
pub fn run(root: &Path) -> Result<(), String> {
    let table = read(root)?;
    let found = tests_of(&tree::files(root)?);
    print(&table);
    let faults = faults(&table, &found);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn read(root: &Path) -> Result<Table, String> {
    let path = root.join("xtask/cases.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("xtask/cases.toml: {e}"))
}

fn print(table: &Table) {
    let mut whole = 0;
    let mut partly = 0;
    let mut layers: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for case in &table.case {
        let due = case.due();
        let state = if due.is_empty() {
            whole += 1;
            "covered".to_owned()
        } else if due.len() < case.layers.len() {
            partly += 1;
            format!("covered but for {}", due.join(" "))
        } else {
            "due".to_owned()
        };
        for layer in &case.layers {
            let count = layers.entry(layer).or_default();
            count.1 += 1;
            count.0 += usize::from(!due.contains(&layer.as_str()));
        }
        println!("{:<4} {:<6} {state:<20} {}", case.id, case.layers.join(" "), shortened(&case.given, 80));
        if case.tests.is_empty() {
            continue;
        }
        println!("            expected: {}", case.expected);
        for test in &case.tests {
            println!("            {} {}: fails when {}", test.layer, test.name, test.planted.as_deref().unwrap_or("(no break named yet)"));
        }
        if !due.is_empty() {
            println!("            waits for {}", case.waits);
        }
        if let Some(flow) = &case.flow {
            println!("            due again when there is the flow {flow}");
        }
    }
    let all = table.case.len();
    let by_layer: Vec<String> = layers.iter().map(|(layer, (covered, all))| format!("{layer} {covered}/{all}")).collect();
    let again = table.case.iter().filter(|case| case.flow.is_some()).count();
    println!(
        "\ncases: {whole} covered in every layer, {partly} in some, {} due, of {all} ({}); {again} are due again in a flow that does not exist yet",
        all - whole - partly,
        by_layer.join(", ")
    );
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn faults(table: &Table, found: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for case in &table.case {
        let id = case.id.as_str();
        if !seen.insert(id) {
            faults.push(format!("{id} stands twice in cases.toml"));
        }
        for layer in &case.layers {
            if !["U", "S", "H", "C", "F"].contains(&layer.as_str()) {
                faults.push(format!("{id}: there is no layer {layer:?}"));
            }
        }
        if case.due().is_empty() != case.waits.is_empty() {
            faults.push(format!("{id}: `waits` says what the due layers wait for, so it is empty exactly when none is due"));
        }
        for test in &case.tests {
            named.entry(&test.name).or_default().insert(id);
            match found.get(&test.name) {
                None => faults.push(format!("{id}: there is no test function {}; was it renamed?", test.name)),
                Some(path) if !layers_of(path).contains(&test.layer.as_str()) => {
                    faults.push(format!("{id}: {} stands in {path}, so it is not of layer {:?}", test.name, test.layer));
                }
                Some(_) => {}
            }
        }
    }
    for id in expected_ids() {
        if !seen.contains(id.as_str()) {
            faults.push(format!("{id} is missing from cases.toml; no case is ever dropped"));
        }
    }
    for (name, path) in found {
        for id in ids_in(name) {
            if !named.get(name.as_str()).is_some_and(|ids| ids.contains(id.as_str())) {
                faults.push(format!("{path}: the test {name} bears the number {id}, but cases.toml does not name it there"));
            }
        }
    }
    faults
}

/// The layers that the tests of a file may show. A test may stand in a case that asks for other layers too; it shows more
/// of the case then, and covers none of those.
fn layers_of(path: &str) -> &'static [&'static str] {
    match path {
        _ if path.starts_with("crates/hotcake/tests/http/") => &["H"],
        _ if path.starts_with("crates/hotcake/tests/kill") => &["C"],
        _ if path.starts_with("crates/hotcake/tests/page") => &["H", "C"],
        _ if path.starts_with("crates/adapters/") => &["U", "C", "F"],
        _ if path.starts_with("crates/sale/") => &["U", "S", "F"],
        _ if path.starts_with("crates/sim/") => &["S"],
        _ => &["U", "F"],
    }
}

fn expected_ids() -> Vec<String> {
    let plain = |letter: char, last: u32| (1..=last).map(move |n| format!("{letter}{n}"));
    (1..=56).map(|n| format!("C{n:02}")).chain(plain('A', 44)).chain(plain('B', 29)).chain(plain('L', 11)).collect()
}

/// The cases whose number stands in a test's name, between underscores: `c02_c11_kill_nine` has two.
fn ids_in(name: &str) -> Vec<String> {
    let known = expected_ids();
    let as_id = |word: &str| {
        let letter = word.chars().next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase();
        let number: u32 = word.get(1..).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let id = if letter == 'C' { format!("C{number:02}") } else { format!("{letter}{number}") };
        known.contains(&id).then_some(id)
    };
    name.split('_').filter(|word| !word.is_empty()).filter_map(as_id).collect()
}

/// Test functions by name, with their file. A contract suite's functions are tests too: each backend runs them by name.
fn tests_of(files: &[File]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let suite = file.path.contains("/contract");
        let mut marked = false;
        for line in file.lines() {
            let code = line.code.trim();
            if code.starts_with("#[") {
                marked |= code.contains("test]") || code.contains("::test(") || code.starts_with("#[test");
                continue;
            }
            if let Some(name) = function_name(code)
                && (marked || suite)
            {
                found.insert(name.to_owned(), file.path.clone());
            }
            if !code.is_empty() {
                marked = false;
            }
        }
    }
    found
}

fn function_name(code: &str) -> Option<&str> {
    let rest = ["pub(super) ", "pub(crate) ", "pub "].iter().find_map(|scope| code.strip_prefix(scope)).unwrap_or(code);
    let rest = rest.strip_prefix("async ").unwrap_or(rest);
    let rest = rest.strip_prefix("fn ")?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_out_of_names() {
        for (name, ids) in [
            ("c02_c11_kill_nine", vec!["C02", "C11"]),
            ("c2_no_zero", vec!["C02"]),
            ("a7_retry", vec!["A7"]),
            ("l1_breach", vec!["L1"]),
            ("c99_no_such_case", vec![]),
            ("counts_2_units_of_b", vec![]),
        ] {
            assert_eq!(ids_in(name), ids, "{name}");
        }
    }

    #[test]
    fn a_promise_of_a_contract_is_a_test_and_a_layer_fits_its_file() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let found = tests_of(&[
            file("crates/sale/src/contract/gate/holds.rs", "pub(super) async fn c23_minus_one(rig: &dyn GateRig) {}\n"),
            file("crates/hotcake/tests/http/orders.rs", "#[test]\nfn c24_last_unit() {}\n"),
        ]);
        let table = |layer: &str, name: &str| {
            let test = Test { layer: layer.into(), name: name.into(), planted: None };
            let (given, expected) = (String::new(), String::new());
            Table {
                case: vec![Case {
                    id: "C24".into(),
                    given,
                    expected,
                    layers: vec!["H".into()],
                    waits: "a test".into(),
                    flow: None,
                    tests: vec![test],
                }],
            }
        };
        assert!(faults(&table("H", "c24_last_unit"), &found).join("\n").contains("c23_minus_one bears the number C23"));
        assert!(!faults(&table("H", "c24_last_unit"), &found).join("\n").contains("not of layer"));
        assert!(faults(&table("C", "c24_last_unit"), &found).join("\n").contains("not of layer"));
    }

    #[test]
    fn a_test_that_stands_nowhere_in_the_table_is_a_fault() {
        let file =
            File { path: "crates/a/tests/b.rs".into(), text: "#[tokio::test]\nasync fn c01_reply_lost() {}\nfn c02_no_test() {}\n".into() };
        let found = tests_of(&[file]);
        let table = Table { case: vec![] };
        let said = faults(&table, &found).join("\n");
        assert!(said.contains("c01_reply_lost bears the number C01"), "{said}");
        assert!(!said.contains("c02_no_test"), "{said}");
    }
}
