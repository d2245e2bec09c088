use std::fmt::Write as _;
use std::path::PathBuf;

use super::load::LoadOptions;
use super::model::Scenario;
use super::parse::parse;
use crate::error::{Error, Result, SourceText};
use crate::units::Rate;

/// One URL from flags.
#[derive(Clone, Debug)]
pub struct QuickOptions {
    pub url: String,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub load: QuickLoad,
    /// How many requests, instead of a length.
    pub requests: Option<u64>,
    /// As written, such as `10s`.
    pub length: Option<String>,
    pub warmup: String,
    pub timeout: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub enum QuickLoad {
    /// Open model.
    Rate(Rate),
    /// Closed model: virtual users, each with a connection of its own.
    Users(u64),
}

/// The scenario file that says the same as the flags.
#[must_use]
pub fn quick_yaml(options: &QuickOptions) -> String {
    let quoted = |text: &str| serde_json::Value::from(text.replace("${", "$${")).to_string();
    let mut out = String::from("feature: quick\nsteps:\n  - name: request\n");
    let _ = writeln!(out, "    {}: {}", options.method.to_ascii_lowercase(), quoted(&options.url));
    if !options.headers.is_empty() {
        out.push_str("    headers:\n");
        for (name, value) in &options.headers {
            let _ = writeln!(out, "      {}: {}", quoted(name), quoted(value));
        }
    }
    if let Some(body) = &options.body {
        let _ = writeln!(out, "    body: {}", quoted(body));
    }
    if let Some(timeout) = &options.timeout {
        let _ = writeln!(out, "    timeout: {timeout}");
    }
    let level = match options.load {
        QuickLoad::Rate(rate) => format!("rate: {rate}"),
        QuickLoad::Users(users) => format!("vus: {users}"),
    };
    let mut extent = Vec::new();
    extent.extend(options.length.as_ref().map(|length| format!("for: {length}")));
    extent.extend(options.requests.map(|count| format!("iterations: {count}")));
    let (warmup, extent) = (&options.warmup, extent.join(", "));
    let _ = writeln!(out, "load:\n  warmup: {warmup}\n  stages: [ {{ {level}, {extent} }} ]");
    out
}

/// # Errors
/// Where the flags make no valid scenario.
pub fn quick(options: &QuickOptions, transport: &'static str) -> Result<Scenario> {
    let source = SourceText { path: PathBuf::from("--emit-scenario"), text: quick_yaml(options) };
    let load = LoadOptions { transport, require_secrets: true, ..LoadOptions::default() };
    parse(source, &load, 1.0).map(|parsed| parsed.scenario).map_err(Error::Invalid)
}
