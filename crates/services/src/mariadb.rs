//! MariaDB, durable: every commit is synced. A user and a database named `hotcake`, password `hotcake`; nobody else but the
//! system's own.

use crate::ready::{says, wait_until};
use crate::set::Set;
use std::process::Command;

const INIT: &str = "\
create database if not exists hotcake character set utf8mb4 collate utf8mb4_bin;
create user if not exists 'hotcake'@'127.0.0.1' identified by 'hotcake';
grant all on `hotcake%`.* to 'hotcake'@'127.0.0.1';
";

pub fn start(set: &Set) -> Result<(), String> {
    let process = set.process("mariadb");
    let directory = set.place("mariadb")?;
    let data = directory.join("data");
    if !data.join("mysql").is_dir() {
        let mut made = Command::new("mariadb-install-db");
        made.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &format!("--user={}", user())]);
        let output = made.arg(format!("--datadir={}", data.display())).output().map_err(|e| format!("mariadb-install-db: {e}"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(format!("mariadb-install-db: {}\n{}", output.status, String::from_utf8_lossy(&said)));
        }
    }
    let init = directory.join("init.sql");
    std::fs::write(&init, INIT).map_err(|e| format!("{}: {e}", init.display()))?;
    let mut command = Command::new("mariadbd");
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--socket=mariadb.sock", "--pid-file=mariadb.pid", "--skip-name-resolve"]);
    command.args(["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=256M", "--max-connections=500"]);
    command.args(["--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin", &format!("--user={}", user())]);
    command.arg(format!("--port={}", set.ports.mariadb)).arg(format!("--datadir={}", data.display()));
    command.arg(format!("--init-file={}", init.display()));
    process.start(command)?;
    // It greets first, with the protocol's version, and only when it has read its init file.
    wait_until("mariadb", &process, || says(set.ports.mariadb, b"").get(4) == Some(&10))
}

/// The one who runs this. MariaDB refuses to run as root unless it is told to.
fn user() -> String {
    let output = Command::new("id").arg("-un").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
