//! The real binary: a process that is ready to serve, and that ends with the value. Knows no request and no case.

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// The binary that is tested. What the shell around the tests says about servers is not for it.
pub fn hotcake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotcake"));
    command.env_remove("HOTCAKE_URL").env_remove("HOTCAKE_KEY").stdin(Stdio::null());
    command
}

/// A running server. Dropping it kills it, by its own process id.
pub struct Process {
    pub child: Child,
    ready: Value,
}

impl Process {
    /// Starts one and waits until it is ready. `listen`: port 0 takes a free one; `set` says where, whether it is a demo,
    /// and what else.
    pub fn up(listen: &str, set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = hotcake();
        command.args(["up", "--json", "--listen", listen, "--admin-listen", "127.0.0.1:0"]);
        let mut child = set(command.stdout(Stdio::piped())).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("stdout is read");
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("the server did not become ready: {e} in {line:?}"));
        Self { child, ready }
    }

    /// A field of the ready line.
    pub fn said(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_else(|| panic!("the ready line has no {field}: {}", self.ready))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
