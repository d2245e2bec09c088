use std::fmt::Write as _;
use std::path::PathBuf;

use url::Url;

use super::load::LoadOptions;
use super::model::Scenario;
use super::parse::parse;
use super::written::{basic_auth, in_quotes, literal, mapping, without_credentials};
use crate::credentials::{Expected, in_query};
use crate::error::{Error, Result, SourceText};
use crate::secrets::{Secrets, without_userinfo};
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
fn quick_yaml(options: &QuickOptions) -> String {
    let own = |(name, value): &(String, String)| (name.clone(), literal(value));
    let headers: Vec<_> = options.headers.iter().map(own).collect();
    yaml(options, &literal(&options.url), &[], &headers)
}

/// The same to be kept: credentials come from the environment.
#[must_use]
pub fn kept_yaml(options: &QuickOptions) -> String {
    let (mut expected, mut own, mut address) = (Expected::default(), Vec::new(), literal(&options.url));
    if let Ok(mut url) = Url::parse(&options.url) {
        if let Some(auth) = basic_auth(&url, &mut expected) {
            own.push(auth);
            address = literal(&without_userinfo(&options.url));
        }
        let telling = in_query(&options.url);
        if !telling.is_empty() {
            let others: Vec<_> =
                url.query_pairs().into_owned().filter(|pair| !telling.contains(pair)).collect();
            url.set_query(None);
            if !others.is_empty() {
                url.query_pairs_mut().extend_pairs(others);
            }
            address = literal(&without_userinfo(url.as_str()));
            own.push(format!("query: {}", mapping(&without_credentials(&telling, &mut expected), in_quotes)));
        }
    }
    let headers = without_credentials(&options.headers, &mut expected);
    // Nor is it written where it stands once more, such as in the body.
    Secrets::new(expected.all().to_vec())
        .replace(&yaml(options, &address, &own, &headers), |name| format!("${{secret.{name}}}"))
}

/// `own` are lines that the step has beside; `address` and the headers' values are templates.
fn yaml(options: &QuickOptions, address: &str, own: &[String], headers: &[(String, String)]) -> String {
    let mut out = String::from("feature: quick\nsteps:\n  - name: request\n");
    for line in own {
        let _ = writeln!(out, "    {line}");
    }
    let _ = writeln!(out, "    {}: {}", options.method.to_ascii_lowercase(), in_quotes(address));
    if !headers.is_empty() {
        out.push_str("    headers:\n");
        for (name, value) in headers {
            let _ = writeln!(out, "      {}: {}", in_quotes(name), in_quotes(value));
        }
    }
    if let Some(body) = &options.body {
        let _ = writeln!(out, "    body: {}", in_quotes(&literal(body)));
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
