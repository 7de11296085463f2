//! `hotcake config …`: the configuration file written, checked, shown.

use super::{configuration, print};
use crate::cli::ConfigVerb;
use crate::config::DEFAULT_TEXT;
use crate::config::load::{Loaded, shown};
use crate::exit::Exit;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// Runs the verb.
pub fn run(file: Option<&Path>, verb: ConfigVerb) -> Result<(), Exit> {
    match verb {
        ConfigVerb::Init { file } => init(&file),
        ConfigVerb::Check => {
            let loaded = configuration(file, None)?;
            print(&format!(
                "The configuration is right. Whatever a crash leaves behind is repaired within {} s.",
                loaded.config.repair_ms().div_ceil(1_000)
            ));
            Ok(())
        }
        ConfigVerb::Show { origin, json } => show(&configuration(file, None)?, origin, json),
    }
}

fn init(file: &Path) -> Result<(), Exit> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    let written = made.and_then(|mut made| made.write_all(DEFAULT_TEXT.as_bytes()));
    written.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Exit::failed(format!("{} is there already and was left as it is. Name another file.", file.display())),
        _ => Exit::failed(format!("{} cannot be written: {e}", file.display())),
    })?;
    print(&format!("{} says every key, with its default.", file.display()));
    Ok(())
}

fn show(loaded: &Loaded, origin: bool, json: bool) -> Result<(), Exit> {
    let rows = shown(&loaded.config);
    if json {
        let object = |(key, value): &(String, String)| {
            (key.clone(), serde_json::json!({ "value": value, "origin": loaded.origin(key).to_string() }))
        };
        print(&serde_json::Value::Object(rows.iter().map(object).collect()).to_string());
        return Ok(());
    }
    let width = rows.iter().map(|(key, value)| key.len() + value.chars().count()).max().unwrap_or(0);
    for (key, value) in &rows {
        let gap = " ".repeat(width - key.len() - value.chars().count());
        let from = if origin { format!("{gap}  # {}", loaded.origin(key)) } else { String::new() };
        print(&format!("{key} = {value}{from}"));
    }
    Ok(())
}
