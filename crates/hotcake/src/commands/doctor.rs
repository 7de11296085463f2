//! `hotcake doctor`: settings and surroundings that would make a promise false. Looks and measures; changes nothing.

use super::{configuration, print};
use crate::cli::Doctor;
use crate::exit::Exit;
use crate::keys::Running;
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;

/// Below this many free bytes nothing should be sold.
const FREE_LEAST: u64 = 256 << 20;
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
    findings.extend(place(directory));
    if findings.iter().all(|finding| finding.well) {
        findings.push(space(directory));
        findings.push(sync(directory));
        findings.extend(files(&config, directory));
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

/// Exists, a directory, writable.
fn place(directory: &Path) -> Vec<Finding> {
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Err(e) => {
            return vec![ill(
                "directory",
                4,
                format!("{shown} cannot be looked at ({e}). `hotcake up` makes it; --data-dir names another."),
            )];
        }
        Ok(found) if !found.is_dir() => {
            return vec![ill("directory", 4, format!("{shown} is not a directory. Name another with --data-dir."))];
        }
        Ok(_) => {}
    }
    match tried(directory, |_| Ok(())) {
        Ok(()) => vec![well("directory", format!("{shown} can be written"))],
        Err(e) => vec![ill("directory", 4, format!("{shown} cannot be written ({e}). Give it to the user that runs hotcake."))],
    }
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
    match rustix::fs::statvfs(directory) {
        Err(e) => ill("space", 1, format!("free space cannot be read: {e}")),
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
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

/// The lock, then the files themselves: opening the ledger checks every row.
fn files(config: &crate::config::Config, directory: &Path) -> Vec<Finding> {
    let running = Running::read(directory).ok().flatten();
    let opened = match crate::stores::lock(directory) {
        Ok(opened) => opened,
        Err(e) => {
            return vec![match running {
                Some(running) => well(
                    "lock",
                    format!("held by the server at {} (process {}): it checked its files when it started", running.url, running.pid),
                ),
                None => ill("lock", 1, e),
            }];
        }
    };
    let mut findings = vec![well("lock", "free")];
    if !opened.settled() {
        findings.push(well("files", "none yet; the first `hotcake up` makes them"));
        return findings;
    }
    drop(opened);
    findings.push(match super::audit::runtime().map(|runtime| runtime.block_on(checked(config, directory))) {
        Ok(Ok(says)) => well("files", says),
        Ok(Err(what)) => ill("files", 1, what),
        Err(exit) => ill("files", 1, exit.sentence),
    });
    findings
}

async fn checked(config: &crate::config::Config, directory: &Path) -> Result<String, String> {
    let opened = crate::stores::open(config, directory).await?;
    let now = opened.stores.ledger.now().await.map_err(|fault| fault.what)?;
    let ahead_s = (now.0 - adapters::embedded::clock::date().0) / 1_000;
    if ahead_s > 60 {
        return Err(format!(
            "the ledger's clock is {ahead_s} s ahead of this machine's: it was written under a later date. Deadlines wait until the machine has caught up; set its clock (NTP)."
        ));
    }
    let seq = opened.stores.ledger.seq().await.map_err(|fault| fault.what)?;
    Ok(format!("whole: {seq} changes in the ledger, and the queue agrees"))
}
