//! A server's process: started apart from who starts it, known again by its id and its hour of birth, and never taken for
//! another one.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a process may take to be gone after a kill -9.
const GONE_TRIES: u32 = 500;
/// How long one may take to end when it is asked to: the broker drains for up to eighteen seconds.
const ENDED_TRIES: u32 = 3_000;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where a server's process is noted, and where it writes to.
#[derive(Clone, Debug)]
pub struct Process {
    note: PathBuf,
    /// What the process prints.
    pub log: PathBuf,
}

/// A process that runs: its id, and whether it stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    pub pid: i32,
    pub stopped: bool,
}

impl Process {
    /// `place` without an ending: `.pid` and `.log` are put behind it.
    pub fn new(place: PathBuf) -> Self {
        Self { note: place.with_extension("pid"), log: place.with_extension("log") }
    }

    /// Starts it in a process group of its own, so that a Ctrl-C at the desk does not reach it.
    pub fn start(&self, mut command: Command) -> Result<i32, String> {
        let shown = command.get_program().to_string_lossy().into_owned();
        let fail = |e: io::Error| format!("{shown} does not start: {e}");
        let log = File::options().create(true).append(true).open(&self.log).map_err(|e| format!("{}: {e}", self.log.display()))?;
        let errors = log.try_clone().map_err(fail)?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0).spawn().map_err(fail)?;
        let pid = child.id().cast_signed();
        let born = state_of(pid).map_or(0, |state| state.born);
        fs::write(&self.note, format!("{pid} {born}\n")).map_err(|e| format!("{}: {e}", self.note.display()))?;
        Ok(pid)
    }

    /// The process, if it runs. A note whose process is gone, or whose id is another's now, names none.
    pub fn running(&self) -> Option<Running> {
        let note = fs::read_to_string(&self.note).ok()?;
        let (pid, born) = note.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        let state = state_of(pid)?;
        // A process that has ended keeps its ports until the last of its threads is gone.
        let is_it = born.parse() == Ok(state.born) && (state.letter != 'Z' || threads_of(pid) > 1);
        is_it.then_some(Running { pid, stopped: state.letter == 'T' })
    }

    /// Asks it to end and waits until it is gone.
    pub fn end(&self) -> Result<(), String> {
        // One that stands still hears nothing.
        self.signal(Signal::CONT)?;
        self.signal(Signal::TERM)?;
        self.gone(ENDED_TRIES).or_else(|_| self.kill9())
    }

    /// kill -9, and waits until it is gone.
    pub fn kill9(&self) -> Result<(), String> {
        self.signal(Signal::KILL)?;
        self.gone(GONE_TRIES)
    }

    /// Lets it stand still, or go on, and comes back when it does: the threads of a process hear of it one after the other.
    pub fn stand_still(&self, still: bool) -> Result<(), String> {
        self.signal(if still { Signal::STOP } else { Signal::CONT })?;
        for _ in 0..GONE_TRIES {
            if self.running().is_none_or(|running| running.stopped == still) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!("{} names a process that does not heed a signal", self.note.display()))
    }

    /// Sends a signal, if it runs.
    fn signal(&self, signal: Signal) -> Result<(), String> {
        let Some(running) = self.running() else { return Ok(()) };
        let pid = Pid::from_raw(running.pid).ok_or("a process has an id above zero")?;
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(format!("process {}: {e}", running.pid)),
        }
    }

    fn gone(&self, tries: u32) -> Result<(), String> {
        for _ in 0..tries {
            if self.running().is_none() {
                return fs::remove_file(&self.note).or_else(ignore_missing).map_err(|e| format!("{}: {e}", self.note.display()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!("{} names a process that does not end", self.note.display()))
    }

    /// The end of what it printed: for an error.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

fn ignore_missing(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }
}

fn threads_of(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

struct State {
    letter: char,
    /// Clock ticks after the machine's start.
    born: u64,
}

fn state_of(pid: i32) -> Option<State> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let letter = fields.next()?.chars().next()?;
    Some(State { letter, born: fields.nth(18)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("services-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        directory.join("sleeper")
    }

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }

    #[test]
    fn a_process_is_started_stopped_continued_and_killed_and_an_old_note_names_nobody() {
        let process = Process::new(place("one"));
        assert_eq!(process.running(), None);
        let pid = process.start(sleeper()).expect("sleep is everywhere");
        assert_eq!(process.running(), Some(Running { pid, stopped: false }));
        process.stand_still(true).expect("it runs");
        assert_eq!(process.running(), Some(Running { pid, stopped: true }));
        process.stand_still(false).expect("it runs");
        assert_eq!(process.running(), Some(Running { pid, stopped: false }));
        // The same id, born at another hour, is another process.
        let note = fs::read_to_string(&process.note).expect("a note");
        fs::write(&process.note, format!("{pid} 1\n")).expect("writes");
        assert_eq!(process.running(), None);
        fs::write(&process.note, note).expect("writes");
        process.kill9().expect("it runs");
        assert_eq!(process.running(), None);
        process.kill9().expect("nobody is nobody");
        let pid = process.start(sleeper()).expect("again");
        process.stand_still(true).expect("it runs");
        process.end().expect("it ends though it stood still");
        assert!(state_of(pid).is_none_or(|state| state.letter == 'Z'));
    }
}
