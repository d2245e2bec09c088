use std::fmt::Write as _;
use std::path::PathBuf;

use url::Url;

use super::load::LoadOptions;
use super::model::Scenario;
use super::parse::parse;
use super::written::{
    basic_auth, headers_without, in_quotes, literal, literal_without, mapping, without_credentials,
};
use crate::credentials::{Expected, in_body, in_query};
use crate::error::{Error, Result, SourceText};
use crate::secrets::without_userinfo;
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
    let body = options.body.as_ref().map(|body| literal(body));
    yaml(options, &literal(&options.url), &[], &headers, body.as_deref())
}

/// Shorter credentials may be words of an address.
const LEAST_SEARCHED: usize = 8;
const LEAST_IN_BODY: usize = 4;

/// The same to be kept: credentials come from the environment.
#[must_use]
pub fn kept_yaml(options: &QuickOptions) -> String {
    let (mut expected, mut own) = (Expected::default(), Vec::new());
    let mut address = options.url.clone();
    if let Ok(mut url) = Url::parse(&address) {
        // A header that is given counts before what the address has.
        let told = options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        own.extend(if told { None } else { basic_auth(&url, &mut expected) });
        let telling = in_query(&address);
        if !telling.is_empty() {
            // All of one name stand in one place, in their order.
            let (apart, others): (Vec<_>, Vec<_>) = url
                .query_pairs()
                .into_owned()
                .partition(|(name, _)| telling.iter().any(|(own, _)| own == name));
            url.set_query(None);
            if !others.is_empty() {
                url.query_pairs_mut().extend_pairs(others);
            }
            url.as_str().clone_into(&mut address);
            own.push(format!("query: {}", mapping(&without_credentials(&apart, &mut expected), in_quotes)));
        }
        address = without_userinfo(&address);
    }
    let mut headers = headers_without(&options.headers, &mut expected);
    // Nor is one written where it stands once more.
    for ((_, kept), (_, given)) in headers.iter_mut().zip(&options.headers) {
        if *kept == literal(given) {
            *kept = literal_without(given, &expected, LEAST_SEARCHED);
        }
    }
    let host = address.find("://").map_or(0, |at| at + 3);
    let path = address[host..].find('/').map_or(address.len(), |at| host + at);
    let address = literal(&address[..path]) + &literal_without(&address[path..], &expected, LEAST_SEARCHED);
    let body = options.body.as_ref().map(|body| {
        for (name, value) in in_body(body.as_bytes()).iter().filter(|(_, value)| value.len() >= LEAST_IN_BODY)
        {
            expected.name(name, value);
        }
        literal_without(body, &expected, LEAST_IN_BODY)
    });
    let names: Vec<&str> = expected.all().iter().map(|(name, _)| name.as_str()).collect();
    let mut asked = String::new();
    if let Ok(url) = Url::parse(&options.url) {
        let _ = writeln!(asked, "# with --target {}", url.origin().ascii_serialization());
    }
    if !names.is_empty() {
        let _ = writeln!(asked, "# from the environment: {}", names.join(", "));
    }
    asked + &yaml(options, &address, &own, &headers, body.as_deref())
}

/// `own` are lines that the step has beside; address, headers' values and body are templates.
fn yaml(
    options: &QuickOptions,
    address: &str,
    own: &[String],
    headers: &[(String, String)],
    body: Option<&str>,
) -> String {
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
    if let Some(body) = body {
        let _ = writeln!(out, "    body: {}", in_quotes(body));
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
