use std::ops::RangeInclusive;

use http::Method;

use super::auth::read_auth;
use super::check::StepReader;
use super::fields::Fields;
use super::model::{Action, Message};
use super::node::{Node, NodeValue};
use super::parse::required;
use super::request::{BodyTemplate, PartContent, PartTemplate, RequestTemplate};
use super::step::{StepDefaults, headers};
use super::template::Template;

pub const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
pub const POLL_KEYS: [&str; 10] =
    ["get", "post", "put", "patch", "delete", "head", "every", "within", "until", "fail_if"];
pub const SSE_KEYS: [&str; 6] = ["get", "post", "within", "events", "event", "each"];
pub const WEBSOCKET_KEYS: [&str; 4] = ["url", "send", "expect", "within"];
pub const BODIES: [&str; 5] = ["json", "form", "multipart", "body", "file"];
pub const PART_KEYS: [&str; 3] = ["file", "type", "name"];
const DEFAULT_WITHIN_NS: u64 = 5_000_000_000;
const EVENTS: RangeInclusive<u64> = 1..=100_000;
const UNSENT: &str = "this file cannot be sent";
/// A file that is sent is held in memory once.
const MOST_FILE_BYTES: u64 = 64 << 20;

impl StepReader<'_, '_, '_> {
    pub fn action(
        &mut self,
        node: &Node,
        fields: &Fields<'_>,
        defaults: &StepDefaults<'_>,
    ) -> Option<Action> {
        let reader = self.reader;
        let kinds = ["poll", "sse", "websocket"];
        let Some((key, inner)) = kinds.iter().find_map(|kind| fields.entry(kind)) else {
            return self.request(node, fields, fields, defaults).map(Action::Request);
        };
        let mut others = METHODS.iter().chain(&kinds).filter(|name| **name != key.name);
        if let Some((other, _)) = others.find_map(|name| fields.entry(name)) {
            let help = match key.name.as_str() {
                "websocket" => "a WebSocket's address is its `url`".to_owned(),
                name => format!("the request stands inside `{name}`"),
            };
            let message = format!("a step is `{}` or `{}`, not both", other.name, key.name);
            reader.fail(&other.span, message, "the second one", Some(help));
            return None;
        }
        match key.name.as_str() {
            "poll" => self.poll(inner, fields, defaults),
            "sse" => self.events(inner, fields, defaults),
            _ => self.socket(inner, fields, defaults),
        }
    }

    fn poll(&mut self, node: &Node, fields: &Fields<'_>, defaults: &StepDefaults<'_>) -> Option<Action> {
        let reader = self.reader;
        let inner = reader.fields(node, "`get`, `every`, `within`, `until`", &POLL_KEYS)?;
        let request = self.request(node, &inner, fields, defaults);
        let every = inner.get("every");
        let every_ns = every.map_or(Some(500_000_000), |n| reader.duration(n, "a duration such as 500ms"));
        let within_ns = required(reader, &inner, "within", "a duration such as 30s")
            .and_then(|n| reader.duration(n, "a duration"));
        let until = required(reader, &inner, "until", "a list of checks").map(|n| self.checks(n));
        let fail_if = inner.get("fail_if").map(|n| self.checks(n)).unwrap_or_default();
        let (request, every_ns, within_ns, until) = (request?, every_ns?.max(1_000_000), within_ns?, until?);
        if every_ns >= within_ns {
            let span = every.map_or(&node.span, |n| &n.span);
            reader.fail(span, "this polls only once", "`every` is not shorter than `within`", None);
        }
        Some(Action::Poll { request, every_ns, within_ns, until, fail_if })
    }

    fn events(&mut self, node: &Node, fields: &Fields<'_>, defaults: &StepDefaults<'_>) -> Option<Action> {
        let reader = self.reader;
        let inner = reader.fields(node, "`get`, `within`, `events`, `event`, `each`", &SSE_KEYS)?;
        let request = self.request(node, &inner, fields, defaults);
        let within_ns = inner
            .get("within")
            .map_or(Some(DEFAULT_WITHIN_NS), |n| reader.duration(n, "a duration such as 2s"));
        let count =
            inner.get("events").map_or(Some(1), |n| reader.whole_in(n, "a number of events", &EVENTS));
        let event = match inner.get("event") {
            None => None,
            Some(n) => Some(reader.text(n, "the type of an event")?.to_owned()),
        };
        let each = inner.get("each").map(|n| self.checks(n)).unwrap_or_default();
        Some(Action::Events { request: request?, within_ns: within_ns?, count: count?, event, each })
    }

    fn socket(&mut self, node: &Node, fields: &Fields<'_>, defaults: &StepDefaults<'_>) -> Option<Action> {
        let reader = self.reader;
        let inner = reader.fields(node, "`url`, `send`, `expect`, `within`", &WEBSOCKET_KEYS)?;
        if let Some((key, _)) = BODIES.iter().chain(&["redirects"]).find_map(|name| fields.entry(name)) {
            let label = "what is sent stands under `send`";
            reader.fail(&key.span, format!("a WebSocket takes no `{}`", key.name), label, None);
        }
        let url = required(reader, &inner, "url", "a path, or an address of ws or wss")
            .and_then(|n| self.scalar_template(n, "a URL or a path"));
        let messages = inner.get("send").map(Node::items).unwrap_or_default();
        let send = messages.iter().map(|item| self.message(item)).collect::<Option<_>>()?;
        let within_ns = inner
            .get("within")
            .map_or(Some(DEFAULT_WITHIN_NS), |n| reader.duration(n, "a duration such as 2s"));
        let expect = inner.get("expect").map(|n| self.checks(n)).unwrap_or_default();
        let request = RequestTemplate {
            method: Method::GET,
            url: url?,
            query: self.pairs(fields.get("query")),
            headers: self.all_headers(fields, defaults),
            auth: read_auth(self, fields, defaults),
            body: None,
        };
        Some(Action::Socket { request, send, within_ns: within_ns?, expect })
    }

    fn message(&self, node: &Node) -> Option<Message> {
        Some(match &node.value {
            NodeValue::Map(_) | NodeValue::List(_) => Message::Json(self.json(node)?),
            _ => Message::Text(self.scalar_template(node, "a message: text, or a mapping for JSON")?),
        })
    }

    /// `verbs` holds the method and the URL, `fields` the rest.
    fn request(
        &mut self,
        node: &Node,
        verbs: &Fields<'_>,
        fields: &Fields<'_>,
        defaults: &StepDefaults<'_>,
    ) -> Option<RequestTemplate> {
        let reader = self.reader;
        let found: Vec<&str> = METHODS.into_iter().filter(|m| verbs.get(m).is_some()).collect();
        if found.is_empty() && verbs.mistyped {
            return None;
        }
        let [verb] = found.as_slice() else {
            let label = if found.is_empty() {
                "none here".into()
            } else {
                format!("here are {}", found.join(" and "))
            };
            let start = node.span.start;
            let second = found.get(1).and_then(|name| verbs.entry(name)).map(|(key, _)| key.span.clone());
            let message = format!("expected exactly one of {}, poll, sse or websocket", METHODS.join(", "));
            reader.fail(&second.unwrap_or(start..start + 1), message, label, None);
            return None;
        };
        let url = self.scalar_template(verbs.get(verb)?, "a URL or a path");
        let headers = self.all_headers(fields, defaults);
        let auth = read_auth(self, fields, defaults);
        let query = self.pairs(fields.get("query"));
        let body = self.body(fields);
        let method = Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).ok()?;
        Some(RequestTemplate { method, url: url?, query, headers, auth, body })
    }

    /// The file's, and over them the step's own.
    fn all_headers(
        &self,
        fields: &Fields<'_>,
        defaults: &StepDefaults<'_>,
    ) -> Vec<(http::HeaderName, Template)> {
        let mut all =
            defaults.headers.map_or_else(Vec::new, |n| headers(self.reader, n, self.scope, self.phase, true));
        let own = fields.get("headers").map(|n| headers(self.reader, n, self.scope, self.phase, false));
        for (name, value) in own.unwrap_or_default() {
            all.retain(|(n, _)| *n != name);
            all.push((name, value));
        }
        all
    }

    /// Names and values; a list gives the name several times.
    pub fn pairs(&self, node: Option<&Node>) -> Vec<(String, Template)> {
        let mut pairs = Vec::new();
        let entries = node.and_then(|n| self.reader.map(n, "names and values")).unwrap_or_default();
        for (key, value) in entries {
            for item in value.items() {
                pairs.extend(
                    self.scalar_template(item, "text, a number or a flag").map(|t| (key.name.clone(), t)),
                );
            }
        }
        pairs
    }

    /// `None` also where there is a mistake, which is noted.
    fn body(&self, fields: &Fields<'_>) -> Option<BodyTemplate> {
        let given: Vec<&str> = BODIES.into_iter().filter(|name| fields.get(name).is_some()).collect();
        let [kind] = given.as_slice() else {
            if let [_, second, ..] = given.as_slice() {
                let span = &fields.entry(second)?.0.span;
                let message = format!("a step has one of {}", BODIES.join(", "));
                self.reader.fail(span, message, "the second one", None);
            }
            return None;
        };
        let node = fields.get(kind)?;
        Some(match *kind {
            "json" => BodyTemplate::Json(self.json(node)?),
            "body" => BodyTemplate::Text(self.scalar_template(node, "text")?),
            "form" => BodyTemplate::Form(self.pairs(Some(node))),
            "file" => {
                let name = self.reader.text(node, "the name of a file")?.to_owned();
                BodyTemplate::File {
                    bytes: self.read_file(node, &name, UNSENT)?.into(),
                    media_type: media_type(&name),
                    name,
                }
            }
            _ => BodyTemplate::Multipart(self.parts(node)?),
        })
    }

    fn parts(&self, node: &Node) -> Option<Vec<PartTemplate>> {
        let reader = self.reader;
        let mut parts = Vec::new();
        for (key, value) in reader.map(node, "names and values, or `{ file: report.pdf }`")? {
            let content = if let NodeValue::Map(_) = &value.value {
                let fields = reader.fields(value, "`file`, and maybe `type` and `name`", &PART_KEYS)?;
                let at = required(reader, &fields, "file", "the name of a file")?;
                let path = reader.text(at, "the name of a file")?;
                let given = |name| fields.get(name).map(|n| reader.text(n, "text"));
                let own_name = || path.rsplit('/').next().unwrap_or(path);
                PartContent::File {
                    bytes: self.read_file(at, path, UNSENT)?.into(),
                    file_name: given("name").unwrap_or_else(|| Some(own_name()))?.to_owned(),
                    media_type: given("type").unwrap_or_else(|| Some(media_type(path)))?.to_owned(),
                }
            } else {
                PartContent::Text(self.scalar_template(value, "text, a number, a flag or `{ file: … }`")?)
            };
            parts.push(PartTemplate { name: key.name.clone(), content });
        }
        Some(parts)
    }

    /// The bytes of a file that the scenario names; `message` is for one that cannot be had.
    pub fn read_file(&self, node: &Node, name: &str, message: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(name);
        let read = std::fs::metadata(&path)
            .and_then(|about| {
                if about.len() > MOST_FILE_BYTES {
                    return Err(std::io::Error::other(format!(
                        "it is larger than {} MiB",
                        MOST_FILE_BYTES >> 20
                    )));
                }
                std::fs::read(&path)
            })
            .map_err(|e| format!("cannot read {}: {e}", path.display()));
        self.reader.take(node, message, read)
    }
}

/// By the name's ending.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "json" => "application/json",
        "csv" => "text/csv",
        "txt" => "text/plain",
        "html" => "text/html",
        "xml" => "application/xml",
        "yaml" | "yml" => "application/yaml",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}
