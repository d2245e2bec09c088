use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::args::{CeilingArgs, OutputArgs, TransportArgs};
use crate::error::{Error, Result};

#[derive(ClapArgs, Debug)]
pub struct QuickArgs {
    /// Absolute URL
    pub url: String,
    /// Open model: arrivals for each unit of time, whatever the answers do [default: 10/s]
    #[arg(long, conflicts_with = "vus")]
    pub rate: Option<String>,
    /// Closed model: virtual users, each on a connection of its own, as fast as the answers come
    #[arg(long, short = 'c', visible_alias = "connections", value_name = "N")]
    pub vus: Option<u64>,
    /// Length of the measurement [default: 10s]
    #[arg(long = "for", short = 'z', visible_alias = "duration", value_name = "DURATION")]
    pub length: Option<String>,
    /// How many requests, instead of a length
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "length")]
    pub requests: Option<u64>,
    /// Length of the warm-up, which is left out
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub warmup: String,
    /// How long a response may take [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Header, `Name: value`
    #[arg(short = 'H', long = "header")]
    pub headers: Vec<String>,
    /// Method [default: GET, with --body POST]
    #[arg(short = 'X', long)]
    pub method: Option<String>,
    /// Request body
    #[arg(short = 'd', long, conflicts_with = "body_file")]
    pub body: Option<String>,
    /// Request body from a file of text
    #[arg(short = 'D', long, value_name = "FILE")]
    pub body_file: Option<PathBuf>,
    /// Print verdict.json instead of the table
    #[arg(long)]
    pub json: bool,
    /// Print the scenario file that says the same, and send nothing
    #[arg(long)]
    pub emit_scenario: bool,
    #[command(flatten)]
    pub ceiling: CeilingArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Not read by clap, which shows what it does not understand, and that may be a credential.
pub fn header(text: &str) -> Result<(String, String)> {
    let hint = "expected -H 'Name: value'";
    let parts = text.split_once(':').ok_or_else(|| Error::usage_hint("a header without a colon", hint));
    parts.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
}
