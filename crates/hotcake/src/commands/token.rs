//! `hotcake token`: a buyer's JWT, made with the configured key, else with the demo's.

use super::{configuration, print};
use crate::cli::Token;
use crate::exit::Exit;
use crate::http::auth;
use crate::keys::DevelopmentKeys;
use sale::words::BuyerId;
use std::path::Path;

/// Prints the token.
pub fn run(file: Option<&Path>, arguments: &Token) -> Result<(), Exit> {
    let buyer: BuyerId = arguments.buyer.parse().map_err(|invalid| Exit::usage(format!("--buyer: {invalid}")))?;
    let mut config = configuration(file, arguments.data_dir.as_deref())?.config;
    if config.auth.buyer_secret.is_empty() {
        let keys = DevelopmentKeys::read(&config.data.dir).map_err(Exit::failed)?;
        let Some(keys) = keys else {
            return Err(Exit::usage(format!(
                "there is no key to sign with: auth.buyer_secret is not set, and {} holds no demo keys. Set it, or start a demo with `hotcake up --demo`.",
                config.data.dir.display()
            )));
        };
        keys.fill(&mut config.auth);
    }
    let token = auth::sign(&config.auth, &buyer, arguments.valid_for);
    if arguments.json {
        print(&serde_json::json!({ "buyer": buyer.as_str(), "token": token, "valid_for_s": arguments.valid_for }).to_string());
    } else {
        print(&token);
    }
    Ok(())
}
