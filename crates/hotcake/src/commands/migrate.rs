//! `hotcake migrate`: opens the stores, which brings their tables up to date, and closes them.

use super::{configuration, print};
use crate::cli::Migrate;
use crate::exit::Exit;
use crate::stores;
use std::path::Path;

/// Runs the verb.
pub fn run(file: Option<&Path>, arguments: &Migrate) -> Result<(), Exit> {
    let config = configuration(file, arguments.data_dir.as_deref())?.config;
    let runtime = super::audit::runtime()?;
    let opened = runtime.block_on(stores::open(&config, &config.data.dir)).map_err(Exit::failed)?;
    drop(opened);
    print(&format!("The stores in {} are up to date.", config.data.dir.display()));
    Ok(())
}
