//! The rule about manifests: every dependency says why it is there.

use super::Breach;
use crate::tree::File;

/// Most dependencies that share one reason.
const SHARED_MAX: usize = 3;

/// A dependency's line stands under a comment, alone or with a few of one purpose. A dependency that the workspace table
/// names has its reason there.
pub fn reasons(files: &[File]) -> Vec<Breach> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let mut inside = false;
        let mut covered = 0;
        for (at, line) in file.text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                inside = line.trim_end_matches(']').ends_with("dependencies");
                covered = 0;
                continue;
            }
            if !inside || line.is_empty() {
                covered = 0;
                continue;
            }
            if line.starts_with('#') {
                covered = SHARED_MAX;
                continue;
            }
            let Some((name, rest)) = line.split_once('=') else { continue };
            let named_elsewhere = name.trim().ends_with(".workspace") || rest.contains("workspace = true") || rest.contains("path = ");
            if named_elsewhere {
                continue;
            }
            if covered == 0 {
                found.push(Breach { path: file.path.clone(), line: at + 1, what: format!("{} has no reason above it", name.trim()) });
            }
            covered = covered.saturating_sub(1);
        }
    }
    found
}
