//! The data directory: one process at a time, and a note of what must be in it.
//!
//! Knows the names of the files; knows nothing of what is in the databases.

use super::OpenError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const LAYOUT: &str = "layout";
const LEDGER: &str = "ledger.db";
const QUEUE: &str = "queue.db";
/// The layout that this version writes and reads.
const VERSION: u32 = 1;

/// A data directory that this process holds alone, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    settled: bool,
    /// The kernel lets go of the lock when the file is closed.
    _lock: File,
}

impl Directory {
    /// Locks the directory, making it (mode 0700) if it is missing, and looks whether what was there is still there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_patiently(path, || false)
    }

    /// The same, but while another process has the lock it is tried again as often as `go_on` says: an audit without a
    /// server, or a server that is just ending, lets go of it in a moment. `go_on` is what waits.
    pub fn open_patiently(path: &Path, go_on: impl FnMut() -> bool) -> Result<Self, OpenError> {
        make(path)?;
        let lock = lock(path, go_on)?;
        let settled = read_layout(path)?;
        let directory = Self { path: path.to_owned(), settled, _lock: lock };
        if settled {
            directory.expect_database(&directory.ledger_path())?;
            directory.expect_database(&directory.queue_path())?;
        }
        Ok(directory)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the ledger lies.
    pub fn ledger_path(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    /// Where the queue lies.
    pub fn queue_path(&self) -> PathBuf {
        self.path.join(QUEUE)
    }

    /// Whether both databases were here before. If so, neither may be made anew.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Notes durably that both databases exist from now on. Call when both were opened and before anything is sold:
    /// from then on a missing or empty one is refused instead of made anew.
    pub fn settle(&mut self) -> Result<(), OpenError> {
        if self.settled {
            return Ok(());
        }
        let layout = self.path.join(LAYOUT);
        let text = format!("hotcake data directory, layout {VERSION}\n{LEDGER}\n{QUEUE}\n");
        super::file::replace(&layout, text.as_bytes()).map_err(|e| {
            OpenError::new(format!(
                "cannot write {}: {e}. Free some space or mend the directory's rights, then start again.",
                layout.display()
            ))
        })?;
        self.settled = true;
        Ok(())
    }

    fn expect_database(&self, file: &Path) -> Result<(), OpenError> {
        let what = match std::fs::metadata(file) {
            Ok(found) if found.is_file() && found.len() > 0 => return Ok(()),
            Ok(found) if found.is_file() => "is empty, though there was a database in it".to_owned(),
            Ok(_) => "is not a file, though there was a database in it".to_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => "is missing, though there was a database in it".to_owned(),
            Err(e) => format!("cannot be read: {e}"),
        };
        let (file, directory) = (file.display(), self.path.display());
        Err(OpenError::new(format!(
            "{file} {what}. Restore the whole of {directory} from one backup, or name another data directory to start anew."
        )))
    }
}

fn make(path: &Path) -> Result<(), OpenError> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(OpenError::new(format!("{shown} is not a directory. Name a directory for the data, or move that file away."))),
        Err(e) if e.kind() == ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| OpenError::new(format!("cannot make the data directory {shown}: {e}. Make it yourself, or name another one."))),
        Err(e) => {
            Err(OpenError::new(format!("cannot look at the data directory {shown}: {e}. Name a directory that this user may write.")))
        }
    }
}

/// Takes the lock and writes this process's id into it, for the eyes of whoever finds it taken.
fn lock(directory: &Path, mut go_on: impl FnMut() -> bool) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let failed = |e: std::io::Error| {
        let (directory, path) = (directory.display(), path.display());
        OpenError::new(format!(
            "cannot write {path}: {e}. The data directory {directory} must be writable by this user; mend its rights or name another one."
        ))
    };
    // Not truncated on opening: until the lock is ours, what stands there is somebody else's.
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if go_on() => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory, &mut file)),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// The refusal, with the process that has the directory now.
fn in_use(directory: &Path, lock: &mut File) -> OpenError {
    let mut text = String::new();
    let holder = match lock.read_to_string(&mut text).map(|_| text.trim().parse::<u32>()) {
        Ok(Ok(pid)) => format!("process {pid}"),
        Ok(Err(_)) | Err(_) => "another process".to_owned(),
    };
    let directory = directory.display();
    OpenError::new(format!(
        "the data directory {directory} is in use by {holder}. Stop that process first, or name another data directory."
    ))
}

/// Whether the directory was settled before.
fn read_layout(directory: &Path) -> Result<bool, OpenError> {
    let path = directory.join(LAYOUT);
    let shown = path.display();
    let text = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(OpenError::new(format!("cannot read {shown}: {e}. Mend the file's rights, then start again."))),
    };
    let version = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.lines().next()?.strip_prefix("hotcake data directory, layout "))
        .and_then(|number| number.parse::<u32>().ok());
    match version {
        Some(VERSION) => Ok(true),
        Some(later) if later > VERSION => Err(OpenError::new(format!(
            "{shown} says layout {later}; this version of hotcake reads layout {VERSION}. Start the version that wrote the directory, or a later one."
        ))),
        _ => Err(OpenError::new(format!(
            "{shown} does not say which layout the directory has. Restore the whole of {} from one backup, or name another data directory.",
            directory.display()
        ))),
    }
}
