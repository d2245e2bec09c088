use std::collections::BTreeMap;

use serde_json::Value;

use super::curl::{basic, is_own_header};
use super::document::{Document, MOST_HOPS};
use super::draft::{
    DraftBody, DraftCheck, DraftPart, DraftStep, Imported, draft_of, slug, step_name, unique,
};
use super::sample::sample;
use super::schema_bundle::bundled;
use super::secrets::{Safe, plain};
use crate::checks::ResponseSchema;
use crate::scenario::matches;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
struct Importer<'a> {
    document: Document,
    safe: Safe,
    imported: Imported,
    only: &'a [String],
    feature: Option<&'a str>,
    title: String,
    /// Variables of each draft, by feature.
    vars: BTreeMap<String, Vec<(String, String)>>,
    external: usize,
}

/// A smoke scenario for each tag of a service's description: example values, bodies and the schemas of responses as checks.
///
/// # Errors
/// If it is none, or has nothing that `only` asks for.
pub fn import_openapi(root: Value, only: &[String], feature: Option<&str>) -> Result<Imported, String> {
    let document = Document::new(root)?;
    let title = document.root["info"]["title"].as_str().unwrap_or("service").to_owned();
    let mut importer = Importer {
        document,
        safe: Safe::default(),
        imported: Imported::default(),
        only,
        feature,
        title,
        vars: BTreeMap::new(),
        external: 0,
    };
    importer.paths();
    let Importer { safe, mut imported, mut vars, external, .. } = importer;
    if imported.drafts.is_empty() {
        return Err(if only.is_empty() {
            "it has no operations under `paths`".into()
        } else {
            format!("no operation is like {}: they are `get /path`, `*` stands for any text", only.join(", "))
        });
    }
    if external > 0 {
        imported
            .left_out
            .push(format!("{external} references to other documents: bundle them into one first"));
    }
    for draft in &mut imported.drafts {
        draft.vars = vars.remove(&draft.feature).unwrap_or_default();
        draft.name_steps();
        let changing =
            draft.steps.iter().filter(|step| step.method != "GET" && step.method != "HEAD").count();
        draft.notes.push("From an OpenAPI document, by `loadgate import openapi`. The values are its examples, or made up: look at `vars` first.".into());
        if changing > 0 {
            draft.notes.push(format!("{changing} of {} steps change data.", draft.steps.len()));
        }
    }
    imported.secrets = safe.names();
    imported.finish();
    Ok(imported)
}

impl Importer<'_> {
    fn paths(&mut self) {
        let paths = self.document.root["paths"].clone();
        for (path, item) in paths.as_object().into_iter().flatten() {
            let item = self.document.resolved(item);
            for method in METHODS {
                let Some(operation) = item.get(method).filter(|own| own.is_object()) else { continue };
                let name = format!("{method} {path}");
                if !self.only.is_empty() && !self.only.iter().any(|pattern| matches(pattern, &name)) {
                    continue;
                }
                if operation["deprecated"] == true && self.only.is_empty() {
                    self.imported.left_out.push(format!("{name}: it is deprecated"));
                    continue;
                }
                self.operation(method, path, &item, operation);
            }
        }
    }

    /// The address below which an operation is, and the path that it adds.
    fn server(&self, item: &Value, operation: &Value) -> (String, String) {
        let of = |own: &Value| own["servers"].as_array().and_then(|all| all.first()).cloned();
        let server = of(operation).or_else(|| of(item)).or_else(|| of(&self.document.root));
        let Some(server) = server else { return (String::new(), String::new()) };
        let mut address = server["url"].as_str().unwrap_or_default().to_owned();
        for (name, own) in server["variables"].as_object().into_iter().flatten() {
            let value = own["default"].as_str().unwrap_or_default();
            address = address.replace(&format!("{{{name}}}"), value);
        }
        match url::Url::parse(&address) {
            Ok(url) if url.has_host() => {
                (url.origin().ascii_serialization(), url.path().trim_end_matches('/').to_owned())
            }
            _ => (String::new(), format!("/{}", address.trim_matches(['/', '.']))).clone(),
        }
    }

    fn operation(&mut self, method: &str, path: &str, item: &Value, operation: &Value) {
        let (target, base) = self.server(item, operation);
        let base = if base == "/" { String::new() } else { base };
        let tag = operation["tags"][0].as_str().map(str::to_owned);
        let mut feature = slug(&match (self.feature, &tag) {
            (Some(name), Some(tag)) => format!("{name} {tag}"),
            (Some(name), None) => name.to_owned(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => self.title.clone(),
        });
        // One tag on two servers is two files.
        let elsewhere = |draft: &&super::draft::Draft| draft.feature == feature && draft.target != target;
        if self.imported.drafts.iter().any(|draft| elsewhere(&draft)) {
            feature = slug(&format!("{feature} {}", target.split("://").last().unwrap_or_default()));
        }
        let mut step = DraftStep {
            method: method.to_ascii_uppercase(),
            name: operation["operationId"].as_str().map_or_else(|| step_name(method, path), str::to_owned),
            ..DraftStep::default()
        };
        step.name = step.name.chars().take(80).collect();
        let mut parameters: BTreeMap<(String, String), Value> = BTreeMap::new();
        for own in [item, operation] {
            for parameter in own["parameters"].as_array().into_iter().flatten() {
                let parameter = self.document.resolved(parameter);
                let key = |name: &str| parameter[name].as_str().unwrap_or_default().to_owned();
                parameters.insert((key("in"), key("name")), parameter.clone());
            }
        }
        // A query may stand in the path itself.
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        step.query =
            url::form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (plain(&k), plain(&v))).collect();
        let mut text = plain(&format!("{base}{bare}"));
        for ((place, name), parameter) in &parameters {
            let value = self.value_of(parameter);
            let needed = parameter["required"] == true;
            match place.as_str() {
                "path" => {
                    let variable = self.variable(&feature, name, &value);
                    text = text.replace(&format!("{{{name}}}"), &variable);
                }
                "query" if needed => {
                    let value = self.safe.field(name, &value);
                    step.query.push((plain(name), value));
                }
                "header" if needed && !is_own_header(name) && !is_settled(name) => {
                    let value = self.safe.header(name, &value);
                    step.headers.push((name.to_ascii_lowercase(), value));
                }
                _ => {}
            }
        }
        // What nobody describes.
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            step.path.push_str(before);
            if before.ends_with('$') {
                step.path.push_str(&rest[before.len()..rest.len() - behind.len()]);
            } else {
                step.path.push_str(&self.variable(&feature, name, "example"));
            }
            rest = behind;
        }
        step.path.push_str(rest);
        self.authorize(operation, &mut step);
        if let Some(body) = operation.get("requestBody") {
            let body = self.document.resolved(body);
            self.body(&body, &mut step);
        }
        let schema = self.responses(operation, &mut step);
        let draft = draft_of(&mut self.imported.drafts, &target, &feature);
        for name in step.body.files() {
            beside(&mut draft.files, name, Vec::new());
        }
        if let Some(bytes) = schema {
            let wanted = format!("{feature}.schemas/{}", slug(&step.name));
            let other =
                |own: &(String, Vec<u8>), name: &str| own.0 == format!("{name}.json") && own.1 != bytes;
            let name = unique(&wanted, "-", |name| draft.files.iter().any(|own| other(own, name)));
            let name = format!("{name}.json");
            step.checks.push(DraftCheck::SchemaFile(name.clone()));
            beside(&mut draft.files, name, bytes);
        }
        draft.steps.push(step);
    }

    /// A parameter as text.
    fn value_of(&self, parameter: &Value) -> String {
        let value = self.example_of(parameter).unwrap_or_else(|| {
            let schema = match parameter.get("schema") {
                Some(schema) => schema.clone(),
                None => {
                    let media = parameter["content"].as_object().and_then(|all| all.values().next()).cloned();
                    media.map(|own| own["schema"].clone()).unwrap_or_default()
                }
            };
            sample(&self.document, &schema)
        });
        match value {
            Value::String(text) => text,
            Value::Array(items) => {
                let texts =
                    items.iter().map(|own| own.as_str().map_or_else(|| own.to_string(), str::to_owned));
                texts.collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        }
    }

    /// `example`, or the first of `examples`.
    fn example_of(&self, own: &Value) -> Option<Value> {
        own.get("example").cloned().or_else(|| {
            let first = own["examples"].as_object()?.values().next()?;
            self.document.resolved(first).get("value").cloned()
        })
    }

    /// `${name}`, with the value in the draft's `vars`.
    fn variable(&mut self, feature: &str, name: &str, value: &str) -> String {
        let safe: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let safe =
            if safe.starts_with(|c: char| c.is_ascii_alphabetic()) { safe } else { format!("v_{safe}") };
        let vars = self.vars.entry(feature.to_owned()).or_default();
        if !vars.iter().any(|(known, _)| *known == safe) {
            vars.push((safe.clone(), plain(value)));
        }
        format!("${{{safe}}}")
    }

    /// By the first way that the operation accepts.
    fn authorize(&mut self, operation: &Value, step: &mut DraftStep) {
        let security = operation.get("security").unwrap_or(&self.document.root["security"]);
        let Some(first) = security.as_array().and_then(|all| all.first()).and_then(Value::as_object) else {
            return;
        };
        let schemes = self.document.root["components"]["securitySchemes"].clone();
        for name in first.keys() {
            let scheme = self.document.resolved(&schemes[name]);
            let secret = slug(name).replace('-', "_");
            match scheme["type"].as_str() {
                Some("apiKey") => {
                    let key = scheme["name"].as_str().unwrap_or("x-api-key");
                    let value = self.safe.secret(&secret, name);
                    match scheme["in"].as_str() {
                        Some("query") => step.query.push((plain(key), value)),
                        Some("cookie") => step.headers.push(("cookie".into(), format!("{key}={value}"))),
                        _ => step.headers.push((key.to_ascii_lowercase(), value)),
                    }
                }
                Some("http")
                    if scheme["scheme"].as_str().is_some_and(|own| own.eq_ignore_ascii_case("basic")) =>
                {
                    let value = basic(name, &mut self.safe);
                    authorization(step, value);
                }
                Some("http" | "oauth2" | "openIdConnect") => {
                    let value = self.safe.secret(&secret, name);
                    authorization(step, format!("Bearer {value}"));
                }
                _ => {}
            }
        }
    }

    fn body(&mut self, body: &Value, step: &mut DraftStep) {
        let Some(content) = body["content"].as_object() else { return };
        let of =
            |wanted: fn(&str) -> bool| content.iter().find(|(kind, _)| wanted(&kind.to_ascii_lowercase()));
        let media = of(|kind| kind.contains("json"))
            .or_else(|| of(|kind| kind.contains("urlencoded")))
            .or_else(|| of(|kind| kind.contains("multipart")))
            .or_else(|| content.iter().next());
        let Some((kind, media)) = media else { return };
        let kind = kind.split(';').next().unwrap_or(kind).trim().to_ascii_lowercase();
        let mut value = self.example_of(media).unwrap_or_else(|| sample(&self.document, &media["schema"]));
        if kind.contains("json") {
            self.safe.json("", &mut value);
            step.body = DraftBody::Json(value);
            if kind != "application/json" {
                step.headers.push(("content-type".into(), plain(&kind)));
            }
            return;
        }
        let fields = |safe: &mut Safe, value: &Value| -> Vec<(String, String)> {
            let all = value.as_object().into_iter().flatten();
            all.flat_map(|(name, own)| flat(name, own))
                .map(|(name, own)| (plain(&name), safe.field(&name, &own)))
                .collect()
        };
        if kind.contains("urlencoded") {
            step.body = DraftBody::Form(fields(&mut self.safe, &value));
        } else if kind.contains("multipart") {
            let schema = self.document.resolved(&media["schema"]);
            let binary = |name: &str| {
                let own = self.document.resolved(&schema["properties"][name]);
                own["format"] == "binary"
                    || own.get("contentMediaType").is_some()
                    || own["items"]["format"] == "binary"
            };
            let names: Vec<String> = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
            let mut parts: Vec<(String, DraftPart)> = names
                .iter()
                .filter(|name| binary(name))
                .map(|name| (plain(name), DraftPart::File("upload.bin".into(), None)))
                .collect();
            let texts = fields(&mut self.safe, &value).into_iter().filter(|(name, _)| !binary(name));
            parts.extend(texts.map(|(name, own)| (name, DraftPart::Text(own))));
            step.body = DraftBody::parts(parts, &mut self.imported.left_out);
        } else if kind.starts_with("text/") || kind.contains("xml") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            step.body = DraftBody::Text(plain(&text));
            step.headers.push(("content-type".into(), plain(&kind)));
        } else {
            step.body = DraftBody::File("upload.bin".into());
            step.headers.push(("content-type".into(), plain(&kind)));
        }
    }

    /// Checks of what comes back if all is well; returns the schema that it has to be of.
    fn responses(&mut self, operation: &Value, step: &mut DraftStep) -> Option<Vec<u8>> {
        let responses = operation["responses"].as_object()?;
        let well = |code: &&String| code.len() == 3 && code.starts_with('2');
        let known = |code: &&String| {
            let rest = &code[1..];
            rest.eq_ignore_ascii_case("xx") || rest.bytes().all(|digit| digit.is_ascii_digit())
        };
        let good: Vec<&String> = responses.keys().filter(well).filter(known).collect();
        let told: Vec<String> = good.iter().map(|code| code.to_ascii_lowercase()).collect();
        match told.as_slice() {
            [] => {}
            [one] => step.checks.push(DraftCheck::Status(one.clone())),
            many => step.checks.push(DraftCheck::Status(format!("[{}]", many.join(", ")))),
        }
        let [only] = good.as_slice() else { return None };
        let response = self.document.resolved(&responses[only.as_str()]);
        let content = response["content"].as_object()?;
        let json = content.iter().find(|(kind, _)| kind.to_ascii_lowercase().contains("json"));
        let (kind, media) = json.or_else(|| content.iter().next().filter(|_| content.len() == 1))?;
        if content.len() > 1 {
            step.headers.push(("accept".into(), plain(kind)));
        }
        let bare = kind.split(';').next().unwrap_or(kind).trim().to_ascii_lowercase();
        if bare.contains('*') || step.method == "HEAD" {
            return None;
        }
        step.checks.push(DraftCheck::ContentType(bare.clone()));
        if let Some(schema) = media.get("schema").filter(|_| bare.contains("json")) {
            if refers_elsewhere(schema, 0) {
                self.external += 1;
                return None;
            }
            let schema = bundled(&self.document, schema);
            let trivial = schema.as_object().is_none_or(|own| own.keys().all(|key| key == "$schema"));
            match ResponseSchema::compile(&schema) {
                Ok(_) if !trivial => {
                    let mut bytes = serde_json::to_vec_pretty(&schema).unwrap_or_default();
                    bytes.push(b'\n');
                    return Some(bytes);
                }
                Ok(_) => {}
                Err(reason) => {
                    self.imported.left_out.push(format!("the schema of {}'s response: {reason}", step.name));
                }
            }
        }
        None
    }
}

fn beside(files: &mut Vec<(String, Vec<u8>)>, name: String, bytes: Vec<u8>) {
    if !files.iter().any(|(known, _)| *known == name) {
        files.push((name, bytes));
    }
}

/// Two ways at once have one header: the first.
fn authorization(step: &mut DraftStep, value: String) {
    if !step.headers.iter().any(|(name, _)| name == "authorization") {
        step.headers.push(("authorization".into(), value));
    }
}

/// Headers that come with a body, or with who asks.
fn is_settled(name: &str) -> bool {
    ["accept", "content-type", "authorization"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// A form's fields: `a[b]=…` for what is nested.
fn flat(name: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, own)| flat(&format!("{name}[{key}]"), own)).collect()
        }
        Value::Array(items) => items.iter().flat_map(|own| flat(&format!("{name}[]"), own)).collect(),
        Value::String(text) => vec![(name.to_owned(), text.clone())],
        Value::Null => Vec::new(),
        other => vec![(name.to_owned(), other.to_string())],
    }
}

/// Whether something below refers to another document.
fn refers_elsewhere(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            own.is_some_and(|reference| !reference.starts_with('#'))
                || (depth < MOST_HOPS && fields.values().any(|inner| refers_elsewhere(inner, depth + 1)))
        }
        Value::Array(items) => items.iter().any(|inner| refers_elsewhere(inner, depth + 1)),
        _ => false,
    }
}
