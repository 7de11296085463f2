//! Secrets that the process makes itself, and the notes that `up` leaves in the data directory so that the other verbs
//! find the server and its demo keys. Knows files; knows no request.

use crate::config::{Auth, Operator, Scope};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const SERVER: &str = "server.json";
const DEVELOPMENT_KEYS: &str = "development-keys.json";
const TICKET_SECRET: &str = "ticket-secret";

/// Random bytes in hex.
pub fn random_hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A random number.
pub fn random_u64() -> u64 {
    getrandom::u64().expect("the system has randomness")
}

/// Keys that a demo makes for itself. They are worth nothing outside of it: it listens on loopback only.
#[derive(Serialize, Deserialize, Clone)]
pub struct DevelopmentKeys {
    /// Signs buyers' tokens.
    pub buyer_secret: String,
    /// The operator's API key, with every scope.
    pub operator_key: String,
    /// Signs the payment gateway's webhooks.
    pub webhook_secret: String,
}

/// The name of the demo's operator in the books.
pub const DEMO_OPERATOR: &str = "demo-operator";

impl DevelopmentKeys {
    /// The keys of this data directory, made when there are none.
    pub fn of(directory: &Path) -> Result<Self, String> {
        if let Some(keys) = Self::read(directory)? {
            return Ok(keys);
        }
        let mut webhook = [0; 32];
        getrandom::fill(&mut webhook).expect("the system has randomness");
        let keys = Self {
            buyer_secret: random_hex::<32>(),
            operator_key: format!("hk_demo_{}", random_hex::<20>()),
            webhook_secret: format!("whsec_{}", STANDARD.encode(webhook)),
        };
        write(&directory.join(DEVELOPMENT_KEYS), &serde_json::to_vec_pretty(&keys).expect("three strings become JSON"))?;
        Ok(keys)
    }

    /// The keys of this data directory, if a demo was there.
    pub fn read(directory: &Path) -> Result<Option<Self>, String> {
        read(&directory.join(DEVELOPMENT_KEYS))
    }

    /// Puts them where the configuration has none of its own.
    pub fn fill(&self, auth: &mut Auth) {
        if auth.buyer_secret.is_empty() {
            auth.buyer_secret.clone_from(&self.buyer_secret);
        }
        if auth.webhook_secret.is_empty() {
            auth.webhook_secret.clone_from(&self.webhook_secret);
        }
        auth.operators.push(Operator {
            name: DEMO_OPERATOR.to_owned(),
            key_sha256: crate::http::auth::digest_hex(&self.operator_key),
            scopes: vec![Scope::Read, Scope::Operate, Scope::Stock],
        });
    }
}

/// The keys that tickets are signed with: the configured ones, else one that is made once and kept.
pub fn ticket_keys(auth: &Auth, directory: &Path) -> Result<Vec<(u8, Vec<u8>)>, String> {
    let first = if auth.ticket_secret.is_empty() {
        let path = directory.join(TICKET_SECRET);
        match std::fs::read_to_string(&path) {
            Ok(text) if text.len() >= 32 => text,
            Ok(_) => {
                return Err(format!(
                    "{} is too short for a secret. Remove it; tickets of the last minute are then unknown.",
                    path.display()
                ));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let made = random_hex::<32>();
                write(&path, made.as_bytes())?;
                made
            }
            Err(e) => return Err(format!("{} cannot be read: {e}. Mend its rights.", path.display())),
        }
    } else {
        auth.ticket_secret.clone()
    };
    let mut keys = vec![(auth.ticket_number, first.into_bytes())];
    if !auth.ticket_secret_old.is_empty() {
        keys.push((auth.ticket_number_old, auth.ticket_secret_old.clone().into_bytes()));
    }
    Ok(keys)
}

/// Where a running server is found.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Running {
    /// The buyers' address.
    pub url: String,
    /// The operators' address.
    pub admin_url: String,
    /// The process.
    pub pid: u32,
}

impl Running {
    /// Leaves the note.
    pub fn write(&self, directory: &Path) -> Result<(), String> {
        write(&directory.join(SERVER), &serde_json::to_vec_pretty(self).expect("strings become JSON"))
    }

    /// The note, if a server left one. It may be gone by now.
    pub fn read(directory: &Path) -> Result<Option<Self>, String> {
        read(&directory.join(SERVER))
    }

    /// Takes the note away.
    pub fn remove(directory: &Path) {
        // It is a hint: whoever follows a stale one is told that nobody answers.
        let _ = std::fs::remove_file(directory.join(SERVER));
    }
}

/// Writes a file of ours as a whole, readable by its owner only.
fn write(path: &PathBuf, bytes: &[u8]) -> Result<(), String> {
    let wrong = |e: std::io::Error| format!("{} cannot be written: {e}. Free some space or mend the directory's rights.", path.display());
    let made = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)?;
    std::fs::rename(&made, path).map_err(wrong)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match std::fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| format!("{} is not what `up` writes ({e}). Remove it.", path.display()))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{} cannot be read: {e}", path.display())),
    }
}
