//! `hotcake doctor`: settings and surroundings that would make a promise false. Looks and measures; changes nothing.

use super::remote::Remote;
use super::{configuration, print};
use crate::cli::{Doctor, Server};
use crate::exit::Exit;
use crate::keys::Running;
use crate::stores::{FREE_LEAST, free_bytes};
use serde::Serialize;
use serde_json::Value;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The day on which this was written: a machine that believes in an earlier one has lost its clock.
const SANE_SINCE_S: u64 = 1_793_000_000;
/// Syncs that are tried.
const SYNCS: u32 = 20;

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    well: bool,
    says: String,
    #[serde(skip)]
    code: u8,
}

/// Runs the verb.
pub fn run(file: Option<&Path>, arguments: &Doctor) -> Result<(), Exit> {
    let config = configuration(file, arguments.data_dir.as_deref())?.config;
    let directory = &config.data.dir;
    let mut findings = vec![clock()];
    let (finding, measured) = place(directory);
    findings.push(finding);
    if findings.iter().all(|finding| finding.well) {
        findings.push(space(&measured));
        findings.push(sync(&measured));
        if measured == *directory {
            findings.extend(files(file, &config, directory));
        } else {
            findings.push(well("files", NO_FILES));
        }
    }
    if arguments.json {
        print(&serde_json::json!({ "findings": findings, "data_dir": directory }).to_string());
    } else {
        for finding in &findings {
            print(&format!("  {} {:<10} {}", if finding.well { "✓" } else { "✗" }, finding.what, finding.says));
        }
    }
    match findings.iter().filter(|finding| !finding.well).map(|finding| finding.code).max() {
        None => Ok(()),
        Some(code) => Err(Exit { code, sentence: "something here would make a promise false; each ✗ says what to do".to_owned() }),
    }
}

fn well(what: &'static str, says: impl Into<String>) -> Finding {
    Finding { what, well: true, says: says.into(), code: 0 }
}

fn ill(what: &'static str, code: u8, says: impl Into<String>) -> Finding {
    Finding { what, well: false, says: says.into(), code }
}

fn clock() -> Finding {
    let now = adapters::embedded::clock::date().0.unsigned_abs() / 1_000;
    if now < SANE_SINCE_S {
        return ill(
            "clock",
            1,
            format!("this machine believes it is {now} seconds after 1970, before this program was written. Set its clock (NTP)."),
        );
    }
    well("clock", "sane; deadlines go by the ledger's, which never goes back")
}

/// Whether orders can lie there, and the directory whose disk is measured: this one, or the one in which the first start
/// will make it.
fn place(directory: &Path) -> (Finding, PathBuf) {
    let shown = directory.display();
    let cannot = |says: String| (ill("directory", 4, says), directory.to_owned());
    let there = match nearest(directory) {
        Ok(there) => there,
        Err(e) => return cannot(format!("{shown} cannot be looked at ({e}). Name another directory with --data-dir.")),
    };
    let at = there.display();
    if !there.is_dir() {
        return cannot(format!("{at} is not a directory. Name another with --data-dir."));
    }
    let says = match tried(&there, |_| Ok(())) {
        Err(e) => return cannot(format!("{at} cannot be written ({e}). Give it to the user that runs hotcake.")),
        Ok(()) if there == directory => format!("{shown} can be written"),
        Ok(()) => format!("{shown} is not there yet; the first `hotcake up` makes it in {at}, which can be written"),
    };
    (well("directory", says), there)
}

/// The path, or the nearest above it that exists.
fn nearest(path: &Path) -> std::io::Result<PathBuf> {
    for there in path.ancestors() {
        // What is above a relative name is where we are.
        let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
        match std::fs::metadata(there) {
            Ok(_) => return Ok(there.to_owned()),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// Makes a file, does something with it, takes it away.
fn tried<T>(directory: &Path, work: impl FnOnce(&mut std::fs::File) -> std::io::Result<T>) -> std::io::Result<T> {
    let path = directory.join(format!("doctor-{}", crate::keys::random_hex::<4>()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let done = work(&mut file);
    std::fs::remove_file(&path)?;
    done
}

fn space(directory: &Path) -> Finding {
    match free_bytes(directory) {
        Err(e) => ill("space", 1, format!("free space cannot be read: {e}")),
        Ok(free) => {
            let says = format!("{} MiB free", free >> 20);
            if free < FREE_LEAST {
                ill("space", 1, format!("{says}: a full disk stops every sale. Free {} MiB or more.", FREE_LEAST >> 20))
            } else {
                well("space", says)
            }
        }
    }
}

fn sync(directory: &Path) -> Finding {
    let synced = tried(directory, |file| {
        for _ in 0..SYNCS {
            file.write_all(&[0; 4_096])?;
            file.sync_data()?;
        }
        Ok(())
    });
    let kind = rustix::fs::statfs(directory).map(|found| found.f_type);
    // tmpfs and ramfs sync into memory: every acknowledged order would be gone with the machine's power.
    const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
    match (synced, kind) {
        (Err(e), _) => ill("sync", 1, format!("writing through to the disk fails ({e}). Use another disk for data.dir.")),
        (Ok(()), Ok(kind)) if IN_MEMORY.contains(&kind) => {
            ill("sync", 1, "the directory lies in memory (tmpfs): orders would not survive a loss of power. Put data.dir on a disk.")
        }
        (Ok(()), _) => well("sync", "writes reach the disk when asked to"),
    }
}

const NO_FILES: &str = "none yet; the first `hotcake up` makes them";

/// The lock, then the files themselves: opening the ledger checks every row.
fn files(file: Option<&Path>, config: &crate::config::Config, directory: &Path) -> Vec<Finding> {
    let running = Running::read(directory).ok().flatten();
    let opened = match crate::stores::lock(directory) {
        Ok(opened) => opened,
        Err(e) => {
            let Some(running) = running else { return vec![ill("lock", 1, e)] };
            let says = format!("held by the server at {} (process {}): it checked its files when it started", running.url, running.pid);
            return vec![well("lock", says), told_sales(file, directory)];
        }
    };
    let mut findings = vec![well("lock", "free")];
    if !opened.settled() {
        findings.push(well("files", NO_FILES));
        return findings;
    }
    drop(opened);
    match super::audit::runtime().map(|runtime| runtime.block_on(checked(config, directory))) {
        Ok(Ok(found)) => findings.extend(found),
        Ok(Err(what)) => findings.push(ill("files", 1, what)),
        Err(exit) => findings.push(ill("files", 1, exit.sentence)),
    }
    findings
}

async fn checked(config: &crate::config::Config, directory: &Path) -> Result<[Finding; 2], String> {
    let opened = crate::stores::open(config, directory).await?;
    let ledger = &opened.stores.ledger;
    let now = ledger.now().await.map_err(|fault| fault.what)?;
    let ahead_s = (now.0 - adapters::embedded::clock::date().0) / 1_000;
    if ahead_s > 60 {
        return Err(format!(
            "the ledger's clock is {ahead_s} s ahead of this machine's: it was written under a later date. Deadlines wait until the machine has caught up; set its clock (NTP)."
        ));
    }
    let seq = ledger.seq().await.map_err(|fault| fault.what)?;
    let sales = ledger.sales().await.map_err(|fault| fault.what)?;
    let stopped: Vec<_> = sales.into_iter().filter_map(|sale| Some((sale.terms.id.to_string(), sale.stopped?))).collect();
    Ok([well("files", format!("whole: {seq} changes in the ledger, and the queue agrees")), stops(&stopped)])
}

/// The sales as the server that runs here tells them, if it lets us ask.
fn told_sales(file: Option<&Path>, directory: &Path) -> Finding {
    let server = Server { url: None, key: None, data_dir: Some(directory.to_owned()), json: true };
    match Remote::find(file, &server).and_then(|remote| remote.get("/v1/admin/sales")) {
        Ok(answer) => {
            let text = |sale: &Value, name: &str| sale[name].as_str().map(str::to_owned);
            let sales = answer["items"].as_array().into_iter().flatten();
            stops(&sales.filter_map(|sale| Some((text(sale, "id")?, text(sale, "stopped")?))).collect::<Vec<_>>())
        }
        Err(exit) => well("sales", format!("not looked at: {} Then `hotcake sale list` names those that are stopped.", exit.sentence)),
    }
}

/// Sales in which a law was found broken sell nothing until somebody has looked.
fn stops(stopped: &[(String, String)]) -> Finding {
    if stopped.is_empty() {
        return well("sales", "none is stopped");
    }
    let each: Vec<_> = stopped.iter().map(|(sale, why)| format!("{sale} is stopped ({why})")).collect();
    let first = &stopped[0].0;
    let next = format!("`hotcake audit` says what is wrong; when it was looked at, `hotcake sale open {first}` sells again.");
    ill("sales", 3, format!("{}. {next}", each.join("; ")))
}
