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
    pub rate: Rate,
    /// As written, such as `10s`.
    pub length: String,
    pub warmup: String,
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
    let _ = writeln!(
        out,
        "load:\n  warmup: {}\n  stages: [ {{ rate: {}, for: {} }} ]",
        options.warmup, options.rate, options.length
    );
    out
}

/// # Errors
/// Where the flags make no valid scenario.
pub fn quick(options: &QuickOptions) -> Result<Scenario> {
    let source = SourceText { path: PathBuf::from("(from flags)"), text: quick_yaml(options) };
    let load = LoadOptions { vars: Vec::new(), require_secrets: true, only: Vec::new() };
    parse(source, &load).map(|parsed| parsed.scenario).map_err(Error::Invalid)
}
