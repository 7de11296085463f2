//! What must be on the machine: Debian's packages, and RocketMQ's jars from Maven Central. Nothing is installed but as root on
//! Debian; elsewhere it is said what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the jars: the newest that Maven Central has whole.
const ROCKETMQ: &str = "5.5.0";
const POM: &str = include_str!("../rocketmq/pom.xml");

/// Programs, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("redis-server", "redis-server"),
    ("mariadbd", "mariadb-server-core"),
    ("mariadb-install-db", "mariadb-server-core"),
    // What makes a data directory asks it for settings.
    ("my_print_defaults", "mariadb-client-core"),
    ("java", "default-jre-headless"),
    ("mvn", "maven"),
];

/// Where the jars lie, for all sets of a root.
pub fn jars(root: &Path) -> PathBuf {
    root.join(format!("rocketmq-{ROCKETMQ}"))
}

/// Packages of Debian that are missing.
pub fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Fetches RocketMQ's jars, if they are not there.
pub fn fetch_jars(root: &Path) -> Result<(), String> {
    let (place, done) = (jars(root), jars(root).join("fetched"));
    if done.exists() {
        return Ok(());
    }
    let project = root.join("rocketmq-fetch");
    std::fs::create_dir_all(&project).map_err(|e| format!("{}: {e}", project.display()))?;
    let pom = project.join("pom.xml");
    std::fs::write(&pom, POM.replace("ROCKETMQ_VERSION", ROCKETMQ)).map_err(|e| format!("{}: {e}", pom.display()))?;
    let output = Command::new("mvn")
        .args(["-B", "-q", "package", &format!("-Djars={}", place.display())])
        .current_dir(&project)
        .output()
        .map_err(|e| format!("mvn: {e}. It fetches RocketMQ; install Maven (Debian: apt install maven)."))?;
    if !output.status.success() {
        return Err(format!("mvn: {}\n{}", output.status, String::from_utf8_lossy(&output.stdout)));
    }
    std::fs::write(&done, ROCKETMQ).map_err(|e| format!("{}: {e}", done.display()))
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's servers stand where only root looks.
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.into_iter().any(|place| place.join(program).is_file())
}
