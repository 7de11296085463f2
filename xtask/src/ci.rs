//! `cargo xtask ci`: everything that a submission must pass, on a fresh machine. One profile (release), so nothing is built twice.

use crate::machine;
use crate::steps::{Steps, cargo, run as run_command};
use crate::{cases, sim, tidy};
use std::path::Path;

/// What the page's tests drive: a browser and its driver, as Debian names them.
const BROWSER: [(&str, &str); 2] = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// A step: from the checkout's root to how it ended.
type Step = fn(&Path) -> Result<(), String>;

/// Runs every step and prints the summary. The cheap steps all run, so that one look shows all of their faults; the dear ones
/// stop at the first failure.
pub fn run(root: &Path) -> Result<(), String> {
    let mut steps = Steps::new();
    steps.step("what is installed", install);
    steps.step("format", || run_command(&mut cargo(root, &["fmt", "--all", "--check"])));
    steps.step("tidy", || tidy::run(root));

    let dear: [(&str, Step); 5] = [
        ("lints", |root| run_command(&mut cargo(root, &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
        ("build", |root| run_command(&mut cargo(root, &["build", "--release", "--workspace", "--all-targets"]))),
        ("tests", |root| run_command(&mut cargo(root, &["test", "--release", "--workspace", "--no-fail-fast"]))),
        ("planted bugs", |root| sim::planted(root, &[])),
        ("smoke", smoke),
    ];
    let mut left_out = Vec::new();
    for (name, step) in dear {
        if steps.well() {
            steps.step(name, || step(root));
        } else {
            left_out.push(name);
        }
    }
    steps.step("cases", || cases::run(root));
    steps.summary(&left_out)
}

/// Installs what is missing: the page's browser, and the servers.
fn install() -> Result<(), String> {
    let browser = BROWSER.iter().filter(|(program, _)| !machine::has(program)).map(|(_, package)| *package);
    machine::install(&browser.chain(services::install::missing()).collect::<Vec<_>>())
}

/// The real binary, as a stranger would meet it: a server of its own, a load over TCP, the audit of all laws at its end.
fn smoke(root: &Path) -> Result<(), String> {
    // Through cargo, which knows where it built.
    let run = ["run", "--release", "--quiet", "--package", "hotcake", "--"];
    run_command(cargo(root, &run).arg("--version"))?;
    let mut bench = cargo(root, &run);
    bench.args(["bench", "--purchases", "20000", "--units", "3000", "--buyers", "8000", "--cancel-percent", "5", "--pay-percent", "20"]);
    run_command(&mut bench)
}
