//! A server of the load's own: a child process in a directory that removes itself, over TCP like any other server.

use serde::Deserialize;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The line that `up --json` prints when it is ready.
#[derive(Deserialize)]
pub struct Ready {
    /// The buyers' API.
    pub url: String,
    /// The operators' API.
    pub admin_url: String,
    /// In demo mode, an operator's key.
    pub operator_key: Option<String>,
}

/// A running child. Dropping it kills it, by its own process id.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub ready: Ready,
}

impl Server {
    /// Starts this same program as a demo server in `dir` and waits until it is ready.
    pub fn start(dir: &Path) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program's own path is not known: {e}"))?;
        let mut child = Command::new(program)
            .args(["up", "--demo", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            // A configuration file of the caller's is meant for the caller's server.
            .current_dir(dir)
            .env("HOTCAKE_LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("the server does not start: {e}"))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line);
        // It may have failed; then what it said on stderr is above, and there is nothing to kill.
        let ready = read.map_err(|e| e.to_string()).and_then(|_| serde_json::from_str(&line).map_err(|e| format!("{e} in {line:?}")));
        match ready {
            Ok(ready) => Ok(Self { child, ready }),
            Err(what) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("the server did not become ready: {what}"))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
