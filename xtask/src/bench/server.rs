//! Servers under test, as child processes that end with their value, and the generator that loads them.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server.
pub struct Server {
    child: Child,
    ready: Value,
    data_dir: Option<PathBuf>,
}

impl Server {
    /// The yardstick.
    pub fn bare(root: &Path) -> Result<Self, String> {
        Self::start(Command::new(root.join("target/release/examples/bare")), None)
    }

    /// Hotcake, embedded, on a directory.
    pub fn hotcake(root: &Path, data_dir: &Path) -> Result<Self, String> {
        let mut command = Command::new(root.join("target/release/hotcake"));
        command.args(["up", "--demo", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        command.current_dir(data_dir).env("HOTCAKE_LOG__FILTER", "warn");
        Self::start(command, Some(data_dir.to_owned()))
    }

    fn start(mut command: Command, data_dir: Option<PathBuf>) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| format!("{name}: {e}"))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line);
        let mut server = Self { child, ready: Value::Null, data_dir };
        read.map_err(|e| format!("{name}: {e}"))?;
        server.ready = serde_json::from_str(&line).map_err(|e| format!("{name} did not become ready: {e} in {line:?}"))?;
        Ok(server)
    }

    /// Runs the generator against this server and reads what it measured. A breach of a law is an error.
    pub fn load(&self, root: &Path, args: &[String]) -> Result<Value, String> {
        let mut generator = Command::new(root.join("target/release/hotcake"));
        generator.args(["bench", "--json", "--url", self.said("url")]).args(args);
        match &self.data_dir {
            None => generator.arg("--bare"),
            Some(dir) => {
                generator.env("HOTCAKE_KEY", self.said("operator_key"));
                generator.args(["--admin-url", self.said("admin_url"), "--data-dir"]).arg(dir)
            }
        };
        let output = generator.stdin(Stdio::null()).output().map_err(|e| format!("the generator does not start: {e}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let measured: Value =
            serde_json::from_slice(&output.stdout).map_err(|e| format!("the generator printed no JSON ({e}): {errors}"))?;
        if output.status.success() { Ok(measured) } else { Err(format!("the load ended with {}: {measured}\n{errors}", output.status)) }
    }

    /// Kilobytes of memory that the process holds now.
    pub fn rss_kb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0.0)
    }

    /// One of its metrics, without labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let address = self.said("admin_url").trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Processor seconds of all its threads so far.
    pub fn cpu_s(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let stat = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
        };
        tasks.map(|tasks| tasks.flatten().map(stat).sum()).unwrap_or(0.0)
    }

    fn said(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already. Killed, not stopped: a start after it is a start after a crash.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
