use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::secrets::Safe;
use crate::scenario::{Generator, in_comment, in_quotes, in_yaml, mapping};

pub const JSON: &str = "application/json";
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A scenario in the making. Texts are templates: what is meant literally is escaped already.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub feature: String,
    /// What the paths are below of, for `--target`.
    pub target: String,
    pub vars: Vec<(String, String)>,
    pub steps: Vec<DraftStep>,
    /// What a reader has to know, a comment each.
    pub notes: Vec<String>,
    /// Files beside it.
    pub files: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
pub struct DraftStep {
    pub name: String,
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: DraftBody,
    pub checks: Vec<DraftCheck>,
    pub captures: Vec<(String, DraftCapture)>,
    pub redirects: Option<u32>,
    /// As written, such as `2s`.
    pub timeout: Option<String>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub enum DraftBody {
    #[default]
    None,
    Json(Value),
    Form(Vec<(String, String)>),
    Multipart(Vec<(String, DraftPart)>),
    Text(String),
    File(String),
}

#[derive(Clone, Debug)]
pub enum DraftPart {
    Text(String),
    /// A file beside the scenario, and its type.
    File(String, Option<String>),
}

/// Where a value stands that later steps send.
#[derive(Clone, Debug)]
pub enum DraftCapture {
    JsonPath(String),
    /// A regular expression with one group.
    Body(String),
}

#[derive(Clone, Debug)]
pub enum DraftCheck {
    Status(String),
    ContentType(String),
    SchemaFile(String),
}

/// All that became of one source.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    pub drafts: Vec<Draft>,
    /// Environment variables that the scenarios ask for.
    pub secrets: Vec<String>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// What was found to be secret: it may stand elsewhere too.
    pub safe: Option<Safe>,
}

impl Imported {
    /// Each scenario's file, without secrets.
    #[must_use]
    pub fn scenarios(&self) -> Vec<String> {
        let text = |draft: &Draft| match &self.safe {
            Some(safe) => draft.swept(safe).yaml(),
            None => draft.yaml(),
        };
        self.drafts.iter().map(text).collect()
    }

    /// Gives each scenario a name of its own, whatever its host has in common with another's, and leaves out what no scenario
    /// can send.
    pub fn finish(&mut self) {
        let mut taken = BTreeSet::new();
        for draft in &mut self.drafts {
            draft.feature = unique(&draft.feature, "-", |name| !taken.insert(name.to_owned()));
            for step in &mut draft.steps {
                step.headers = sendable(&step.name, std::mem::take(&mut step.headers), &mut self.left_out);
            }
        }
    }
}

/// Names and values that are none are left out; what is given twice is one (RFC 9110 §5.3, RFC 6265 §5.4).
fn sendable(step: &str, given: Vec<(String, String)>, left_out: &mut Vec<String>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in given {
        if http::HeaderName::try_from(&name).is_err() {
            left_out.push(format!("a header of {step}: {name:?} is no name of a header"));
        } else if http::HeaderValue::from_str(&value).is_err() {
            left_out.push(format!("a header of {step}: {name} has what no header can have"));
        } else if let Some((_, known)) = kept.iter_mut().find(|(known, _)| *known == name) {
            match name.as_str() {
                _ if *known == value => {}
                "content-type" | "authorization" => left_out.push(format!("a second {name} of {step}")),
                "cookie" => *known = format!("{known}; {value}"),
                _ => *known = format!("{known}, {value}"),
            }
        } else {
            kept.push((name, value));
        }
    }
    kept
}

impl DraftBody {
    /// Files beside the scenario that it needs.
    pub fn files(&self) -> Vec<String> {
        match self {
            Self::File(name) => vec![name.clone()],
            Self::Multipart(parts) => parts
                .iter()
                .filter_map(|(_, part)| match part {
                    DraftPart::File(name, _) => Some(name.clone()),
                    DraftPart::Text(_) => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Each name once: the first counts, but no text instead of a file.
    pub fn parts(parts: Vec<(String, DraftPart)>, left_out: &mut Vec<String>) -> Self {
        let mut kept: Vec<(String, DraftPart)> = Vec::new();
        for (name, part) in parts {
            let Some((_, known)) = kept.iter_mut().find(|(known, _)| *known == name) else {
                kept.push((name, part));
                continue;
            };
            if matches!((&known, &part), (DraftPart::Text(_), DraftPart::File(..))) {
                *known = part;
            }
            left_out.push(format!("a second part `{name}`: a scenario sends one of each name"));
        }
        Self::Multipart(kept)
    }

    /// Whether a content type needs no header, as it is sent with the body anyway.
    pub fn brings(&self, kind: &str) -> bool {
        let bare = kind.split(';').next().unwrap_or_default().trim();
        match self {
            Self::Json(_) => bare.eq_ignore_ascii_case(JSON),
            Self::Form(_) => bare.eq_ignore_ascii_case(FORM),
            // Its boundary is another each time.
            Self::Multipart(_) => true,
            _ => false,
        }
    }
}

/// The one that steps on hosts go to, made where there is none yet.
pub fn draft_of<'a>(drafts: &'a mut Vec<Draft>, target: &str, feature: &str) -> &'a mut Draft {
    let at = drafts.iter().position(|draft| draft.target == target && draft.feature == feature);
    let at = at.unwrap_or_else(|| {
        drafts.push(Draft { target: target.to_owned(), feature: feature.to_owned(), ..Draft::default() });
        drafts.len() - 1
    });
    &mut drafts[at]
}

/// A name that nothing else has: `wanted`, or that with a number.
pub fn unique(wanted: &str, between: &str, mut taken: impl FnMut(&str) -> bool) -> String {
    let (mut name, mut number) = (wanted.to_owned(), 1);
    while taken(&name) {
        number += 1;
        name = format!("{wanted}{between}{number}");
    }
    name
}

/// A variable's name, which is none that a scenario makes values for itself.
pub fn variable_name(wanted: &str, mut taken: impl FnMut(&str) -> bool) -> String {
    unique(wanted, "_", |name| Generator::parse(name).is_some() || taken(name))
}

/// A feature's name, which names a file too.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    let out: String = out.trim_matches('-').chars().take(60).collect();
    if out.is_empty() { "imported".to_owned() } else { out.trim_end_matches('-').to_owned() }
}

/// The name of a step that asks for a path: words only, what looks like an id is one.
pub fn step_name(method: &str, path: &str) -> String {
    let mut words = vec![method.to_ascii_lowercase()];
    for part in path.split(['?', '#']).next().unwrap_or_default().split('/').filter(|part| !part.is_empty()) {
        if part.contains("${") || part.starts_with('{') || is_id(part) {
            if words.last().is_none_or(|last| last != "id") {
                words.push("id".to_owned());
            }
        } else {
            let word: String = part
                .chars()
                .map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { ' ' })
                .collect();
            words.extend(word.split_whitespace().map(str::to_owned));
        }
    }
    words.join(" ").chars().take(80).collect::<String>().trim_end().to_owned()
}

/// Digits, UUIDs, long hexadecimals and the like.
pub fn is_id(part: &str) -> bool {
    let digits = part.chars().filter(char::is_ascii_digit).count();
    let hex = part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (digits > 0 && digits == part.len())
        || (part.len() >= 8 && hex && digits > 0)
        || (part.len() >= 20 && digits >= 4)
}

/// As it is where YAML takes it for nothing else.
fn bare(kind: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || "/+.-".contains(c);
    if kind.starts_with(|c: char| c.is_ascii_alphabetic()) && kind.chars().all(simple) {
        kind.to_owned()
    } else {
        in_quotes(kind)
    }
}

impl Draft {
    /// Gives steps names of their own, in the form that names have.
    pub fn name_steps(&mut self) {
        let mut taken = BTreeSet::new();
        for step in &mut self.steps {
            let name: String =
                step.name.chars().map(|c| if "/@".contains(c) || c.is_control() { ' ' } else { c }).collect();
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            let name = if name.is_empty() { "request".to_owned() } else { name };
            step.name = unique(&name, " ", |name| !taken.insert(name.to_owned()));
        }
    }

    /// The scenario file.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        for note in &self.notes {
            let _ = writeln!(out, "# {}", in_comment(note));
        }
        if !self.target.is_empty() {
            let _ = writeln!(out, "# --target {}", in_comment(&self.target));
        }
        let _ = writeln!(out, "feature: {}", in_quotes(&self.feature));
        if !self.vars.is_empty() {
            out.push_str("vars:\n");
            for (name, value) in &self.vars {
                let _ = writeln!(out, "  {}: {}", in_quotes(name), in_quotes(value));
            }
        }
        out.push_str("steps:\n");
        for step in &self.steps {
            step.write(&mut out);
        }
        out.push_str(
            "# For load, with a rate and limits of its own (`loadgate validate` says what can be judged with them):\n\
             # load: { stages: [ { rate: 10/s, for: 30s } ] }\n\
             # limits: { p95: < 500ms, error_rate: < 1% }\n",
        );
        out
    }
}

impl DraftStep {
    fn write(&self, out: &mut String) {
        if let Some(note) = &self.note {
            let _ = writeln!(out, "  # {}", in_comment(note));
        }
        let _ = writeln!(out, "  - name: {}", in_quotes(&self.name));
        let _ = writeln!(out, "    {}: {}", self.method.to_ascii_lowercase(), in_quotes(&self.path));
        if !self.query.is_empty() {
            let _ = writeln!(out, "    query: {}", mapping(&self.query, in_quotes));
        }
        if !self.headers.is_empty() {
            let _ = writeln!(out, "    headers: {}", mapping(&self.headers, in_quotes));
        }
        match &self.body {
            DraftBody::None => {}
            DraftBody::Json(value) => {
                let _ = writeln!(out, "    json: {}", in_yaml(value));
            }
            DraftBody::Form(fields) => {
                let _ = writeln!(out, "    form: {}", mapping(fields, in_quotes));
            }
            DraftBody::Text(text) => {
                let _ = writeln!(out, "    body: {}", in_quotes(text));
            }
            DraftBody::File(name) => {
                let _ = writeln!(out, "    file: {}", in_quotes(name));
            }
            DraftBody::Multipart(parts) => {
                let part = |(name, part): &(String, DraftPart)| match part {
                    DraftPart::Text(text) => format!("{}: {}", in_quotes(name), in_quotes(text)),
                    DraftPart::File(file, None) => {
                        format!("{}: {{ file: {} }}", in_quotes(name), in_quotes(file))
                    }
                    DraftPart::File(file, Some(kind)) => {
                        format!(
                            "{}: {{ file: {}, type: {} }}",
                            in_quotes(name),
                            in_quotes(file),
                            in_quotes(kind)
                        )
                    }
                };
                let _ = writeln!(
                    out,
                    "    multipart: {{ {} }}",
                    parts.iter().map(part).collect::<Vec<_>>().join(", ")
                );
            }
        }
        if let Some(redirects) = self.redirects {
            let _ = writeln!(out, "    redirects: {redirects}");
        }
        if let Some(timeout) = &self.timeout {
            let _ = writeln!(out, "    timeout: {timeout}");
        }
        if !self.captures.is_empty() {
            let one = |(name, from): &(String, DraftCapture)| match from {
                DraftCapture::JsonPath(path) => format!("{name}: {{ jsonpath: {} }}", in_quotes(path)),
                DraftCapture::Body(regex) => format!("{name}: {{ body: {} }}", in_quotes(regex)),
            };
            let _ = writeln!(
                out,
                "    capture: {{ {} }}",
                self.captures.iter().map(one).collect::<Vec<_>>().join(", ")
            );
        }
        if !self.checks.is_empty() {
            out.push_str("    check:\n");
            for check in &self.checks {
                let _ = match check {
                    DraftCheck::Status(status) => writeln!(out, "      - status: {status}"),
                    DraftCheck::ContentType(kind) => writeln!(out, "      - content_type: {}", bare(kind)),
                    DraftCheck::SchemaFile(file) => writeln!(out, "      - json_schema: {}", in_quotes(file)),
                };
            }
        }
    }
}
