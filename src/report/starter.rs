use std::fmt::Write as _;

use http::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::credentials::Expected;
use crate::scenario::{basic_auth, bearer_auth, in_quotes, literal, mapping, without_credentials};

/// A service as its first answer shows it.
pub struct Met {
    pub feature: String,
    /// Scheme, host and port.
    pub target: String,
    pub path: String,
    /// Templates: credentials come from the environment.
    query: Vec<(String, String)>,
    auth: Option<String>,
    expected: Expected,
    pub status: u16,
    media_type: Option<String>,
    identity: Vec<(&'static str, String)>,
    json: Option<Value>,
}

const MOST_CHECKS: usize = 6;

impl Met {
    #[must_use]
    pub fn new(url: &Url, feature: Option<&str>, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let path = url.path();
        let mut words =
            path.split('/').filter(|part| part.chars().any(char::is_alphabetic) && part.len() > 2);
        let host = url.domain().and_then(|name| name.split('.').next()).unwrap_or("service");
        let own = words.next_back().unwrap_or(host);
        let name = feature.unwrap_or(own).to_lowercase();
        let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let value = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let first =
            |names: &[&str]| names.iter().find(|name| headers.contains_key(**name)).map(|n| (*n).to_owned());
        let identity = [
            ("build", first(&["x-build", "x-build-id", "x-version", "x-app-version", "x-revision"])),
            (
                "instance",
                first(&[
                    "x-instance",
                    "x-instance-id",
                    "x-served-by",
                    "x-pod",
                    "x-hostname",
                    "x-backend-server",
                ]),
            ),
        ];
        let mut expected = Expected::default();
        let auth = basic_auth(url, &mut expected);
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        let query = without_credentials(&query, &mut expected);
        let unknown = auth.is_none() && matches!(status, 401 | 403);
        let auth = auth.or_else(|| unknown.then(|| bearer_auth(&mut expected)));
        Self {
            feature: name.trim_matches('-').to_owned(),
            target: url.origin().ascii_serialization(),
            path: path.to_owned(),
            query,
            auth,
            expected,
            status,
            media_type: value("content-type")
                .map(|v| v.split(';').next().unwrap_or_default().trim().to_owned())
                .filter(|v| !v.is_empty()),
            identity: identity.into_iter().filter_map(|(key, name)| Some((key, name?))).collect(),
            json: serde_json::from_slice(body).ok(),
        }
    }
}

impl Met {
    /// Environment variables that stand where the address has credentials.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.expected.all().iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A template as YAML: bare where that can be nothing but text.
fn quoted(text: &str) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_. -".contains(c))
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if bare { text.to_owned() } else { in_quotes(text) }
}

/// A commented scenario whose checks hold for the answer.
#[must_use]
pub fn starter_scenario(met: &Met) -> String {
    let mut out = String::from("# yaml-language-server: $schema=schema.json\n");
    let _ = writeln!(
        out,
        "# What {} must do, and how fast. `loadgate validate` says what a run would send.",
        met.feature
    );
    let _ = writeln!(out, "feature: {}", quoted(&met.feature));
    if met.identity.is_empty() {
        out.push_str("# Response headers that tell builds and instances apart make comparisons sharper:\n# identity: { build: x-build, instance: x-instance }\n");
    } else {
        let pairs: Vec<String> = met.identity.iter().map(|(key, name)| format!("{key}: {name}")).collect();
        let _ = writeln!(out, "identity: {{ {} }}", pairs.join(", "));
    }
    if let Some(auth) = &met.auth {
        if matches!(met.status, 401 | 403) {
            out.push_str("# It answered that it wants to know who asks.\n");
        }
        let _ = writeln!(out, "# From the environment, never shown in any output:\n{auth}");
    } else {
        out.push_str("# auth: { bearer: \"${secret.API_TOKEN}\" }   # from the environment, never shown in any output\n");
    }
    out.push_str("# data: { rows: { csv: rows.csv, pick: random } }   # with a header row; used as ${rows.column}\nsteps:\n");
    let _ = writeln!(out, "  - name: {}", quoted(&literal(&step_name(&met.path))));
    let _ = writeln!(out, "    get: {}", quoted(&literal(&met.path)));
    if !met.query.is_empty() {
        let _ = writeln!(out, "    query: {}", mapping(&met.query, quoted));
    }
    out.push_str("    timeout: 5s\n    # capture: { id: { jsonpath: $.id } }             # for later steps, as ${id}\n    check:\n");
    let _ =
        writeln!(out, "      - status: {}", if matches!(met.status, 401 | 403) { 200 } else { met.status });
    if let Some(media) = met.media_type.as_ref().filter(|_| met.status < 300) {
        let _ = writeln!(out, "      - content_type: {media}");
    }
    if met.status < 300 {
        for check in met.json.iter().flat_map(json_checks) {
            let _ = writeln!(out, "      - {check}");
        }
    }
    let _ = write!(
        out,
        "      # - no_personal_data                             # e-mail, phone, SSN, IBAN, card\n\
         load:\n\
         \x20 warmup: auto                                       # until p50 is steady; never judged\n\
         \x20 stages: [ {{ rate: 20/s, for: 30s }} ]               # open model: arrivals a second, whatever the answers do\n\
         limits: {{ p95: < 500ms, error_rate: < 1% }}           # yours to decide\n\
         # Compare with baselines once there are some (`loadgate baseline record`); a p95 needs 1,000 requests a run:\n\
         # regression: {{ p50: 10% and 2ms, p95: 10% and 5ms, error_rate: 0.5pp }}\n"
    );
    out
}

fn step_name(path: &str) -> String {
    let words: Vec<&str> = path.split(['/', '-', '_']).filter(|part| !part.is_empty()).collect();
    if words.is_empty() { "front page".to_owned() } else { words[words.len().saturating_sub(2)..].join(" ") }
}

/// What is as good as always true of answers of this form.
fn json_checks(body: &Value) -> Vec<String> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let path = |key: &str| {
        let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { format!("$.{key}") } else { format!("$[{}]", Value::from(key)) }
    };
    match body {
        Value::Array(items) if !items.is_empty() => {
            vec![
                format!("{{ jsonpath: \"$[*]\", count: {{ min: 1 }} }}"),
                format!("{{ jsonpath: \"$[0]\", type: {} }}", kind(&items[0])),
            ]
        }
        Value::Object(entries) => entries
            .iter()
            .filter(|(_, value)| !value.is_null())
            .take(MOST_CHECKS)
            .map(|(key, value)| {
                let at = path(key);
                let at = if at.contains('[') { in_quotes(&at) } else { at };
                match value {
                    Value::String(word) if matches!(key.as_str(), "status" | "state") => {
                        format!("{{ jsonpath: {at}, equals: {} }}", quoted(&literal(word)))
                    }
                    Value::Bool(flag) if matches!(key.as_str(), "ok" | "success") => {
                        format!("{{ jsonpath: {at}, equals: {flag} }}")
                    }
                    Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => {
                        format!("{{ jsonpath: {at}, type: date }}              # or newer_than: 60s")
                    }
                    _ => format!("{{ jsonpath: {at}, type: {} }}", kind(value)),
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A job for GitHub Actions that gates a promotion.
#[must_use]
pub fn starter_job(met: &Met) -> String {
    let mut asked = met.asked();
    if asked.is_empty() {
        asked.push("API_TOKEN".to_owned());
    }
    let asked: Vec<String> =
        asked.iter().map(|name| format!("          {name}: ${{{{ secrets.{name} }}}}\n")).collect();
    format!(
        "# Decides whether the deployed service may be promoted: smoke pass, load, verdict by exit code.\n\
         name: loadgate\n\
         on:\n\
         \x20 workflow_dispatch:\n\
         \x20   inputs:\n\
         \x20     target: {{ description: Base URL of the deployed service, required: true, default: {} }}\n\
         jobs:\n\
         \x20 gate:\n\
         \x20   runs-on: ubuntu-latest\n\
         \x20   steps:\n\
         \x20     - uses: actions/checkout@v4\n\
         \x20     # loadgate is one binary: have it on the runner's PATH, from your own artifacts or an image with it.\n\
         \x20     - run: loadgate validate loadgate/*.yaml\n\
         \x20     - run: loadgate run loadgate/*.yaml --target \"$TARGET\" --wait 60s --out results\n\
         \x20       env:\n\
         \x20         TARGET: ${{{{ inputs.target }}}}\n\
         {}\
         \x20     - uses: actions/upload-artifact@v4\n\
         \x20       if: always()\n\
         \x20       with: {{ name: loadgate-results, path: results }}\n\
         # Exit codes: 0 go, 1 proven failure, 2 invalid scenario, 3 hold, 4 no baseline, 5 loadgate itself.\n",
        quoted(&met.target),
        asked.concat()
    )
}
