use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;
use url::Url;

use super::draft::{Draft, DraftBody, DraftCapture, DraftPart, DraftStep, variable_name};
use super::har::text_of;
use super::har_file::{Entry, Pair};
use super::secrets::plain;

/// Shorter values would be found by accident.
const LEAST_CARRIED: usize = 6;
const MOST_VALUES: usize = 20_000;

/// Values of earlier answers that later requests send: what a browser's script carried from one to the other.
#[derive(Default)]
pub struct Carried {
    /// Value → the step that answered it, and where it stood.
    pub values: BTreeMap<String, (usize, DraftCapture)>,
    /// Those in use, with the variable that has them.
    used: std::cell::RefCell<BTreeMap<String, String>>,
    pub cookies: Vec<String>,
}

impl Carried {
    pub fn learn(&mut self, entry: &Entry, step: usize) {
        let set = |pair: &&Pair| pair.name.eq_ignore_ascii_case("set-cookie");
        for pair in entry.response.headers.iter().filter(set) {
            for line in text_of(&pair.value).lines() {
                self.cookies.extend(line.split('=').next().map(|name| name.trim().to_owned()));
            }
        }
        let content = &entry.response.content;
        let text = content.text.clone().unwrap_or_default();
        let text = match content.encoding.as_deref() {
            Some("base64") => {
                use base64::Engine as _;
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
                String::from_utf8(bytes).unwrap_or_default()
            }
            _ => text,
        };
        if content.mime_type.contains("html") {
            self.collect_fields(&text, step);
        }
        if (200..300).contains(&entry.response.status)
            && content.mime_type.contains("json")
            && let Ok(value) = serde_json::from_str::<Value>(&text)
        {
            self.collect(&value, "$", step);
        }
    }

    /// What a page's hidden fields and `meta` elements hold, such as a token against forged requests.
    fn collect_fields(&mut self, html: &str, step: usize) {
        let tags =
            Regex::new(r#"<(?:input|meta)\b[^>]*?\bname="([^"]+)"[^>]*?\b(?:value|content)="([^"]+)""#);
        let Ok(tags) = tags else { return };
        for found in tags.captures_iter(html) {
            let (Some(name), Some(value)) = (found.get(1), found.get(2)) else { continue };
            if value.as_str().len() < LEAST_CARRIED || value.as_str().contains(char::is_whitespace) {
                continue;
            }
            // From the name to the value, as it stands in the page.
            let before = format!("name=\"{}", &html[name.start()..value.start()]);
            let regex = format!("{}([^\"]+)", regex::escape(&before));
            self.values.entry(value.as_str().to_owned()).or_insert((step, DraftCapture::Body(regex)));
        }
    }

    fn collect(&mut self, value: &Value, path: &str, step: usize) {
        if self.values.len() > MOST_VALUES {
            return;
        }
        match value {
            Value::Object(fields) => {
                for (key, own) in fields {
                    let simple = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                    let below = if simple {
                        format!("{path}.{key}")
                    } else {
                        format!("{path}['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))
                    };
                    self.collect(own, &below, step);
                }
            }
            Value::Array(items) => {
                for (number, own) in items.iter().enumerate() {
                    self.collect(own, &format!("{path}[{number}]"), step);
                }
            }
            Value::String(text) if text.len() >= LEAST_CARRIED && !text.contains(char::is_whitespace) => {
                self.values.entry(text.clone()).or_insert((step, DraftCapture::JsonPath(path.to_owned())));
            }
            Value::Number(number) if number.to_string().len() >= LEAST_CARRIED => {
                self.values
                    .entry(number.to_string())
                    .or_insert((step, DraftCapture::JsonPath(path.to_owned())));
            }
            _ => {}
        }
    }

    /// The variable that has a value, if an earlier answer had it.
    fn variable(&self, value: &str) -> Option<String> {
        let (_, from) = self.values.get(value)?;
        let mut used = self.used.borrow_mut();
        if let Some(name) = used.get(value) {
            return Some(format!("${{{name}}}"));
        }
        let path = match from {
            DraftCapture::JsonPath(path) => path.clone(),
            DraftCapture::Body(regex) => regex.split('"').nth(1).unwrap_or_default().replace("\\-", "_"),
        };
        let last =
            path.rsplit(['.', '[', '\'']).find(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
        let wanted: String =
            last.unwrap_or("value").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let name = variable_name(&wanted, |name| used.values().any(|own| own == name));
        used.insert(value.to_owned(), name.clone());
        Some(format!("${{{name}}}"))
    }

    /// A header such as `Bearer …`.
    pub fn in_text(&self, value: &str) -> Option<String> {
        if let Some((scheme, token)) = value.split_once(' ') {
            return Some(format!("{} {}", plain(scheme), self.variable(token)?));
        }
        self.variable(value)
    }

    pub fn use_in(&self, url: &Url, step: &mut DraftStep) {
        let parts: Vec<String> =
            step.path.split('/').map(|part| self.variable(part).unwrap_or_else(|| part.to_owned())).collect();
        step.path = parts.join("/");
        for ((_, value), (_, own)) in url.query_pairs().zip(&mut step.query) {
            if let Some(variable) = self.variable(&value) {
                *own = variable;
            }
        }
    }

    pub fn use_in_body(&self, body: &mut DraftBody) {
        match body {
            DraftBody::Json(value) => self.use_in_json(value),
            DraftBody::Form(fields) => {
                for (_, value) in fields {
                    if let Some(variable) = self.variable(value) {
                        *value = variable;
                    }
                }
            }
            DraftBody::Multipart(parts) => {
                for (_, part) in parts {
                    if let DraftPart::Text(value) = part
                        && let Some(variable) = self.variable(value)
                    {
                        *value = variable;
                    }
                }
            }
            _ => {}
        }
    }

    fn use_in_json(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|own| self.use_in_json(own)),
            Value::Array(items) => items.iter_mut().for_each(|own| self.use_in_json(own)),
            Value::String(text) => {
                if let Some(variable) = self.variable(text) {
                    *text = variable;
                }
            }
            Value::Number(number) => {
                // A lone variable keeps its type.
                if let Some(variable) = self.variable(&number.to_string()) {
                    *value = Value::String(variable);
                }
            }
            _ => {}
        }
    }

    pub fn capture_in(&self, draft: &mut Draft) {
        for (value, name) in self.used.borrow().iter() {
            if let Some((step, path)) = self.values.get(value)
                && let Some(step) = draft.steps.get_mut(*step)
            {
                step.captures.push((name.clone(), path.clone()));
            }
        }
    }
}
