//! The command line: every verb, flag and default. Knows no store and does nothing; `main` dispatches what it parsed.

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Hotcake, a flash-sale order engine: it sells N units to a stampede of buyers, never one too many, never one lost.
#[derive(Parser, Debug)]
#[command(
    name = "hotcake",
    version,
    max_term_width = 120,
    after_help = "Exit codes: 0 well, 1 failed, 2 usage, 3 breach of a law, 4 unreachable."
)]
pub struct Cli {
    /// Configuration file; without it ./hotcake.toml, if there is one
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run the server
    Up(Up),
    /// Make, list and run sales
    #[command(subcommand)]
    Sale(SaleVerb),
    /// Look at orders, refund them
    #[command(subcommand)]
    Order(OrderVerb),
    /// Print a buyer's token, made with the configured (or demo) key
    Token(Token),
    /// Put a server under load and audit it afterwards
    Bench(Box<crate::bench::BenchArgs>),
    /// Check every law, of a running server or of the stores themselves
    Audit(Audit),
    /// One pass of the reconciler over a sale, holds of every age
    Reconcile(OnSale),
    /// Rebuild a sale's gate from the ledger
    Rebuild(OnSale),
    /// Look for settings and surroundings that would make a promise false
    Doctor(Doctor),
    /// Bring the stores' tables up to date
    Migrate(Migrate),
    /// Write, check or show the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print the API's description (OpenAPI 3.1)
    Openapi,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The server's flags. A flag wins over the environment, and that over the file.
#[derive(Args, Debug)]
pub struct Up {
    /// Make development keys and two sales, one open and one that opens in thirty seconds; loopback only
    #[arg(long)]
    pub demo: bool,
    /// Where the embedded stores live [data.dir]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the buyers' API; port 0 takes any free one [http.listen]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of the operators' API [http.admin_listen]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Print one JSON line on stdout when ready
    #[arg(long)]
    pub json: bool,
}

/// How a verb finds the server that it talks to.
///
/// The flags; else HOTCAKE_URL and HOTCAKE_KEY; else the notes that `up` left in the data directory (--data-dir or the
/// configuration's data.dir): server.json names the address, and in demo mode development-keys.json holds the key.
#[derive(Args, Debug, Clone, Default)]
pub struct Server {
    /// The operators' address, http://127.0.0.1:8081 for example [env: HOTCAKE_URL; else DATA_DIR/server.json]
    #[arg(long, visible_alias = "admin-url", value_name = "ADMIN_URL")]
    pub url: Option<String>,
    /// An operator's API key [env: HOTCAKE_KEY; else the demo key in DATA_DIR]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Where the embedded stores live [data.dir]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A verb on one sale.
#[derive(Args, Debug)]
pub struct OnSale {
    /// The sale's id
    pub sale: String,
    /// The server.
    #[command(flatten)]
    pub server: Server,
}

/// Verbs on sales.
#[derive(Subcommand, Debug)]
pub enum SaleVerb {
    /// Make a sale, as a draft
    Create(Box<SaleCreate>),
    /// All sales
    List(Server),
    /// One sale
    Show(OnSale),
    /// Start selling (between opens_at and closes_at)
    Open(OnSale),
    /// Stop selling for now
    Pause(OnSale),
    /// Stop selling for good
    Close(OnSale),
    /// Take an ended sale, whose orders are all final, out of the gate
    Archive(OnSale),
    /// Add units
    Restock(Moving),
    /// Take units out
    Withdraw(Moving),
}

/// A new sale.
#[derive(Args, Debug)]
pub struct SaleCreate {
    /// Its id: 1 to 20 of a-z, 0-9 and -
    #[arg(long)]
    pub id: String,
    /// Units to sell
    #[arg(long)]
    pub units: i64,
    /// Price of one unit, in minor units (fen, cents)
    #[arg(long)]
    pub price: i64,
    /// ISO 4217
    #[arg(long, default_value = "CNY")]
    pub currency: String,
    /// Shown to buyers; the id without it
    #[arg(long)]
    pub title: Option<String>,
    /// What is sold; the id without it
    #[arg(long)]
    pub sku: Option<String>,
    /// A label that several sales may share
    #[arg(long, default_value = "")]
    pub campaign: String,
    /// The message's tag
    #[arg(long, default_value = "goods")]
    pub goods_type: String,
    /// Units kept out of the gate
    #[arg(long, default_value_t = 0)]
    pub holdback: i64,
    /// Units that one buyer may have
    #[arg(long, default_value_t = 1)]
    pub limit: u32,
    /// Most units in one purchase; the limit without it
    #[arg(long)]
    pub quantity_max: Option<u32>,
    /// RFC 3339; now without it
    #[arg(long, value_name = "TIME")]
    pub opens_at: Option<String>,
    /// RFC 3339; a day after the opening without it
    #[arg(long, value_name = "TIME")]
    pub closes_at: Option<String>,
    /// Seconds to pay in
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    pub pay_within: u32,
    /// Open it at once
    #[arg(long)]
    pub open: bool,
    /// The server.
    #[command(flatten)]
    pub server: Server,
}

/// A movement of stock.
#[derive(Args, Debug)]
pub struct Moving {
    /// The sale's id
    pub sale: String,
    /// How many
    pub units: i64,
    /// Why; it stands in the books
    #[arg(long)]
    pub reason: String,
    /// Names the movement: the same key is done once. A new one is made and printed without it
    #[arg(long = "movement", value_name = "KEY")]
    pub movement: Option<String>,
    /// The server.
    #[command(flatten)]
    pub server: Server,
}

/// Verbs on orders.
#[derive(Subcommand, Debug)]
pub enum OrderVerb {
    /// An order and its timeline: held, recorded, paid … with times and sources
    Show(OnOrder),
    /// A sale's orders, newest first
    List {
        /// The sale's id
        #[arg(long)]
        sale: String,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Go on where an earlier list ended
        #[arg(long)]
        cursor: Option<String>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Give the money of a paid order back, and its units to the sale
    Refund(OnOrder),
    /// Note that the payment gateway has given a payment back that was refund_due
    Refunded {
        /// The order and the server.
        #[command(flatten)]
        on: OnOrder,
        /// The payment gateway's name for the payment; `order show` lists them
        #[arg(long, value_name = "ID")]
        payment: String,
    },
}

/// A verb on one order.
#[derive(Args, Debug)]
pub struct OnOrder {
    /// The order's id
    pub order: String,
    /// The server.
    #[command(flatten)]
    pub server: Server,
}

/// A buyer's token.
#[derive(Args, Debug)]
pub struct Token {
    /// Who buys
    #[arg(long, value_name = "ID")]
    pub buyer: String,
    /// How long it is valid
    #[arg(long, default_value_t = 86_400, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub valid_for: u64,
    /// Where the demo keys live [data.dir]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The audit: asks a running server, or reads the stores itself when none runs on the data directory.
#[derive(Args, Debug)]
pub struct Audit {
    /// What every buyer was told, one JSON object a line, as `bench --told` writes it
    #[arg(long, value_name = "FILE")]
    pub told: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub server: Server,
}

/// The doctor.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Where the embedded stores live [data.dir]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The migration.
#[derive(Args, Debug)]
pub struct Migrate {
    /// Where the embedded stores live [data.dir]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Verbs on the configuration.
#[derive(Subcommand, Debug)]
pub enum ConfigVerb {
    /// Write the default configuration, every key explained, to ./hotcake.toml
    Init {
        /// Where to
        #[arg(default_value = "hotcake.toml")]
        file: PathBuf,
    },
    /// Read the configuration and say what is wrong with it
    Check,
    /// Print the configuration that is in force; secrets are masked
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
