use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::collection::{json, needed, raw_of, scalar, statuses, variables};
use super::curl::{basic, is_own_header, known_method};
use super::curl_body::{body_of, file_name};
use super::draft::{
    DraftBody, DraftCheck, DraftPart, DraftStep, Imported, draft_of, slug, step_name, variable_name,
};
use super::secrets::{Safe, plain};
use crate::credentials::is_telling;

/// Postman's own values, as loadgate makes them.
const GENERATED: [(&str, &str); 5] = [
    ("$guid", "uuid"),
    ("$randomUUID", "uuid"),
    ("$timestamp", "now(unix)"),
    ("$isoTimestamp", "now"),
    ("$randomInt", "rand_int(0, 1000)"),
];

const MOST_KNOWN: usize = 1 << 16;

struct Collection {
    /// What the collection says of its variables.
    values: BTreeMap<String, String>,
    /// Those in use; `None`: nobody says what they are.
    used: BTreeMap<String, Option<String>>,
    /// What the scenario calls each.
    names: BTreeMap<String, String>,
    safe: Safe,
    imported: Imported,
    feature: String,
    /// Requests with scripts.
    scripts: usize,
}

/// A collection of format 2.0 or 2.1, with the values of an environment if there is one.
///
/// # Errors
/// If it is none.
pub fn import_postman(
    text: &str,
    environment: Option<&str>,
    feature: Option<&str>,
) -> Result<Imported, String> {
    let root = json(text)?;
    let root = root.get("collection").unwrap_or(&root);
    let Some(items) = root["item"].as_array() else {
        return Err("it is no Postman collection of format 2: it has no `item`".into());
    };
    let name = root["info"]["name"].as_str().unwrap_or("collection");
    let mut values = variables(&root["variable"]);
    if let Some(text) = environment {
        values.extend(variables(&json(text)?["values"]));
    }
    let mut collection = Collection {
        values,
        used: BTreeMap::new(),
        names: BTreeMap::new(),
        safe: Safe::default(),
        imported: Imported::default(),
        feature: slug(feature.unwrap_or(name)),
        scripts: 0,
    };
    collection.items(items, &[], root.get("auth"));
    let Collection { used, safe, mut imported, scripts, .. } = collection;
    if scripts > 0 {
        imported.left_out.push(format!(
            "the scripts of {}: of these only status codes were read; what they set is not set",
            crate::units::counted(scripts, "request")
        ));
    }
    if imported.drafts.is_empty() {
        return Err("there is no request in it".into());
    }
    for draft in &mut imported.drafts {
        let text = format!("{:?}", draft.steps);
        let mut found = Vec::new();
        needed(&used, &text, &mut Vec::new(), &mut found);
        for (name, value) in found {
            if value.is_none() {
                draft
                    .notes
                    .push(format!("`{name}` has no value in the collection: set it with --var {name}=…"));
            }
            draft.vars.push((name, value.unwrap_or_default()));
        }
        draft.name_steps();
        draft.notes.push("From a Postman collection, by `loadgate import postman`; its scripts were read for status codes alone.".into());
    }
    imported.secrets = safe.names();
    imported.safe = Some(safe);
    imported.finish();
    Ok(imported)
}

impl Collection {
    fn items(&mut self, items: &[Value], folders: &[&str], auth: Option<&Value>) {
        for item in items {
            let auth = item.get("auth").or(auth);
            let name = item["name"].as_str().unwrap_or_default();
            if let Some(inner) = item["item"].as_array() {
                self.items(inner, &[folders, &[name]].concat(), auth);
            } else if let Some(request) = item.get("request")
                && let Err(why) = self.request(item, request, folders, auth)
            {
                self.imported.left_out.push(format!("{name}: {why}"));
            }
        }
    }

    fn request(
        &mut self,
        item: &Value,
        request: &Value,
        folders: &[&str],
        auth: Option<&Value>,
    ) -> Result<(), String> {
        let mut step = DraftStep {
            method: request["method"].as_str().unwrap_or("GET").to_ascii_uppercase(),
            ..DraftStep::default()
        };
        known_method(&step.method)?;
        let of_url = if request.is_string() { request } else { &request["url"] };
        let raw = of_url.as_str().or(of_url["raw"].as_str()).map_or_else(|| raw_of(of_url), str::to_owned);
        let raw = raw.trim();
        if raw.is_empty() {
            return Err("it has no address".into());
        }
        let target = self.locate(raw, of_url, &mut step)?;
        for header in request["header"].as_array().into_iter().flatten().filter(|own| own["disabled"] != true)
        {
            let (name, value) = (scalar(&header["key"]), scalar(&header["value"]));
            if !name.is_empty() && !is_own_header(&name) {
                let value = self.field(&name, &value, true);
                step.headers.push((name.to_ascii_lowercase(), value));
            }
        }
        self.authorize(request.get("auth").or(auth), &mut step);
        step.body = self.body(&request["body"], &step.headers);
        step.headers.retain(|(name, value)| name != "content-type" || !step.body.brings(value));
        let names = folders.iter().copied().chain(item["name"].as_str()).filter(|name| !name.is_empty());
        step.name = names.collect::<Vec<_>>().join(" ");
        if step.name.is_empty() {
            step.name = step_name(&step.method, &step.path);
        }
        step.name = step.name.chars().take(80).collect();
        step.checks.extend(statuses(item).map(DraftCheck::Status));
        self.scripts += usize::from(item["event"].as_array().is_some_and(|all| !all.is_empty()));
        let feature = self.feature.clone();
        let others = self.imported.drafts.iter().filter(|draft| draft.target != target).count();
        let known =
            self.imported.drafts.iter().find(|draft| draft.target == target).map(|own| own.feature.clone());
        // The first host is the collection's own; others are told by their name.
        let name = known.unwrap_or_else(|| {
            if others == 0 {
                feature
            } else {
                slug(&format!("{feature} {}", target.split("://").last().unwrap_or_default()))
            }
        });
        let draft = draft_of(&mut self.imported.drafts, &target, &name);
        for file in step.body.files() {
            if !draft.files.iter().any(|(known, _)| *known == file) {
                self.imported.left_out.push(format!(
                    "{file}: put the file that is sent beside the scenario, where an empty one stands"
                ));
                draft.files.push((file, Vec::new()));
            }
        }
        draft.steps.push(step);
        Ok(())
    }

    /// Path and query; returns the host, as far as the collection says what it is.
    fn locate(&mut self, raw: &str, of_url: &Value, step: &mut DraftStep) -> Result<String, String> {
        let (raw, _) = raw.split_once('#').unwrap_or((raw, ""));
        let (address, query) = raw.split_once('?').unwrap_or((raw, ""));
        // A variable that stands for the host is told by what it is.
        let mut address = address.to_owned();
        if let Some((name, rest)) = address.strip_prefix("{{").and_then(|rest| rest.split_once("}}")) {
            address = match self.values.get(name) {
                Some(value) if !value.is_empty() => format!("{}{rest}", value.trim_end_matches('/')),
                _ => rest.to_owned(),
            };
        }
        let (target, path) = match address.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = self.known(host);
                let named = if host.contains("{{") { String::new() } else { format!("{scheme}://{host}") };
                (named, format!("/{path}"))
            }
            None if address.starts_with('/') || address.is_empty() => {
                (String::new(), format!("/{}", address.trim_start_matches('/')))
            }
            None => {
                let (host, path) = address.split_once('/').unwrap_or((&address, ""));
                (format!("http://{}", self.known(host)), format!("/{path}"))
            }
        };
        if !target.is_empty() && Url::parse(&target).is_err() {
            return Err(format!("`{raw}` is no address"));
        }
        let own: BTreeMap<String, String> = variables(&of_url["variable"]);
        let parts: Vec<String> = path
            .split('/')
            .map(|part| match part.strip_prefix(':') {
                Some(name) if !name.is_empty() => {
                    let value = own.get(name).cloned().unwrap_or_default();
                    if value.is_empty() { self.variable(name) } else { self.field(name, &value, false) }
                }
                _ => self.template(part),
            })
            .collect();
        step.path = parts.join("/");
        let listed = of_url["query"].as_array().map(|list| {
            let enabled = list.iter().filter(|own| own["disabled"] != true);
            enabled.map(|own| (scalar(&own["key"]), scalar(&own["value"]))).collect::<Vec<_>>()
        });
        let query = listed.unwrap_or_else(|| {
            let pairs = query.split('&').filter(|pair| !pair.is_empty());
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect()
        });
        for (name, value) in query.into_iter().filter(|(name, _)| !name.is_empty()) {
            let value = self.field(&name, &value, false);
            step.query.push((self.template(&name), value));
        }
        Ok(target)
    }

    /// With the values that the collection knows.
    fn known(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            let own = format!("{{{{{name}}}}}");
            // Variables that are made of others, several times over, have no end.
            if text.matches(&own).count().saturating_mul(value.len()) < MOST_KNOWN {
                text = text.replace(&own, value);
            }
        }
        text
    }

    /// `{{x}}` as `${x}`.
    fn template(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, behind)) = after.split_once("}}") else { break };
            out.push_str(&plain(before));
            out.push_str(&self.variable(name.trim()));
            rest = behind;
        }
        out + &plain(rest)
    }

    fn variable(&mut self, name: &str) -> String {
        if let Some((_, own)) = GENERATED.iter().find(|(known, _)| *known == name) {
            return format!("${{{own}}}");
        }
        let safe: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let safe =
            if safe.starts_with(|c: char| c.is_ascii_alphabetic()) { safe } else { format!("v_{safe}") };
        let value = self.values.get(name).cloned();
        if is_telling(name) {
            return self
                .safe
                .secret(name, &value.filter(|own| !own.is_empty()).unwrap_or_else(|| format!("\0{name}")));
        }
        if let Some(known) = self.names.get(name) {
            return format!("${{{known}}}");
        }
        let safe = variable_name(&safe, |own| self.names.values().any(|known| known == own));
        // Known before its value is read, which may name it again.
        self.names.insert(name.to_owned(), safe.clone());
        // One that is made of others is written with them.
        let value =
            value.map(|value| if value.contains("{{") { self.template(&value) } else { plain(&value) });
        self.used.insert(safe.clone(), value);
        format!("${{{safe}}}")
    }

    fn field(&mut self, name: &str, value: &str, header: bool) -> String {
        if value.contains("{{") {
            return self.template(value);
        }
        if header { self.safe.header(name, value) } else { self.safe.field(name, value) }
    }

    /// Secrets of a body whose templates are made already.
    fn secrets_in(&mut self, name: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(key, own)| self.secrets_in(key, own)),
            Value::Array(items) => items.iter_mut().for_each(|own| self.secrets_in(name, own)),
            Value::String(text) if text.contains("${") => {}
            other => self.safe.json(name, other),
        }
    }

    fn authorize(&mut self, auth: Option<&Value>, step: &mut DraftStep) {
        let Some(auth) = auth.filter(|auth| !auth.is_null()) else { return };
        let kind = auth["type"].as_str().unwrap_or_default();
        // A list of pairs in 2.1, an object in 2.0.
        let of = |key: &str| match &auth[kind] {
            Value::Array(list) => list.iter().find(|own| own["key"] == key).map(|own| scalar(&own["value"])),
            Value::Object(own) => own.get(key).map(scalar),
            _ => None,
        };
        if step.headers.iter().any(|(name, _)| name == "authorization") {
            return;
        }
        match kind {
            "bearer" | "oauth2" => {
                let token = of("token").or_else(|| of("accessToken")).unwrap_or_default();
                let token = if token.contains("{{") {
                    self.template(&token)
                } else {
                    self.safe.secret("api_token", &token)
                };
                step.headers.push(("authorization".into(), format!("Bearer {token}")));
            }
            "basic" => {
                let (user, password) =
                    (of("username").unwrap_or_default(), of("password").unwrap_or_default());
                let value =
                    basic(&format!("{}:{}", self.known(&user), self.known(&password)), &mut self.safe);
                step.headers.push(("authorization".into(), value));
            }
            "apikey" => {
                let (name, value) = (of("key").unwrap_or_default(), of("value").unwrap_or_default());
                let value = if value.contains("{{") {
                    self.template(&value)
                } else {
                    self.safe.secret(&name, &value)
                };
                let name = if name.contains("{{") { "x-api-key".to_owned() } else { name };
                match of("in").as_deref() {
                    Some("query") => step.query.push((plain(&name), value)),
                    _ => step.headers.push((name.to_ascii_lowercase(), value)),
                }
            }
            "noauth" | "" => {}
            other => step.note = Some(format!("Postman's `{other}` authorization is not known here")),
        }
    }

    fn body(&mut self, body: &Value, headers: &[(String, String)]) -> DraftBody {
        let rows = |list: &Value| -> Vec<Value> {
            list.as_array().into_iter().flatten().filter(|own| own["disabled"] != true).cloned().collect()
        };
        let empty = |key: &str| body["mode"] == key && rows(&body[key]).is_empty();
        if empty("urlencoded") || empty("formdata") {
            return DraftBody::None;
        }
        match body["mode"].as_str().filter(|_| body["disabled"] != true) {
            Some("raw") => {
                let text = scalar(&body["raw"]);
                let kind =
                    headers.iter().find(|(name, _)| name == "content-type").map(|(_, own)| own.as_str());
                let json = body["options"]["raw"]["language"] == "json"
                    || kind.is_none_or(|own| own.contains("json"));
                let template = self.template(&text);
                // With variables in it, it may be JSON only once these are text.
                if json && let Ok(mut value) = serde_json::from_str::<Value>(&template) {
                    self.secrets_in("", &mut value);
                    return DraftBody::Json(value);
                }
                if text.contains("{{") {
                    return if template.is_empty() {
                        DraftBody::None
                    } else {
                        DraftBody::Text(self.safe.text(&template))
                    };
                }
                body_of(&text, json, false, &mut self.safe)
            }
            Some("urlencoded") => DraftBody::Form(
                rows(&body["urlencoded"])
                    .iter()
                    .map(|own| {
                        let (name, value) = (scalar(&own["key"]), scalar(&own["value"]));
                        let value = self.field(&name, &value, false);
                        (self.template(&name), value)
                    })
                    .collect(),
            ),
            Some("formdata") => {
                let parts = rows(&body["formdata"])
                    .iter()
                    .map(|own| {
                        let name = scalar(&own["key"]);
                        let part = if own["type"] == "file" {
                            let source = own["src"].as_str().or(own["src"][0].as_str()).unwrap_or("file.bin");
                            DraftPart::File(file_name(source), own["contentType"].as_str().map(str::to_owned))
                        } else {
                            let value = scalar(&own["value"]);
                            DraftPart::Text(self.field(&name, &value, false))
                        };
                        (self.template(&name), part)
                    })
                    .collect();
                DraftBody::parts(parts, &mut self.imported.left_out)
            }
            Some("file") => match body["file"]["src"].as_str() {
                Some(source) => DraftBody::File(file_name(source)),
                None => DraftBody::None,
            },
            Some("graphql") => {
                let query = self.template(&scalar(&body["graphql"]["query"]));
                let given = self.template(&scalar(&body["graphql"]["variables"]));
                let mut variables = serde_json::from_str(&given).unwrap_or(Value::Null);
                if variables.is_null() && !["", "null"].contains(&given.trim()) {
                    self.imported.left_out.push("variables of GraphQL that are no JSON as they stand".into());
                }
                self.secrets_in("", &mut variables);
                DraftBody::Json(serde_json::json!({ "query": query, "variables": variables }))
            }
            _ => DraftBody::None,
        }
    }
}
