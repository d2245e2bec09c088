use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::check::StepReader;
use super::fields::Fields;
use super::node::{Node, NodeValue};
use super::parse::required;
use super::request::{Auth, TokenRequest};
use super::sources::header_value;
use super::step::StepDefaults;
use super::template::Template;
use crate::checks::plain_text;

pub const AUTH_KEYS: [&str; 3] = ["bearer", "basic", "oauth2"];
pub const BASIC_KEYS: [&str; 2] = ["user", "password"];
pub const OAUTH2_KEYS: [&str; 6] =
    ["token_url", "client_id", "client_secret", "scope", "audience", "client_auth"];

/// The step's own, else the file's; `auth: none` is none at all.
pub fn read_auth(
    step: &StepReader<'_, '_, '_>,
    fields: &Fields<'_>,
    defaults: &StepDefaults<'_>,
) -> Option<Auth> {
    if let Some(own) = fields.get("auth") {
        return read(step, own, false);
    }
    // A header that says the same says it for good.
    defaults.auth.and_then(|node| read(step, node, true))
}

/// With `shared`, a step that comes before what it uses is captured goes without.
fn read(step: &StepReader<'_, '_, '_>, node: &Node, shared: bool) -> Option<Auth> {
    let reader = step.reader;
    if matches!(&node.value, NodeValue::Text(text) if text == "none") {
        return None;
    }
    let template = |n: &Node, what: &str| -> Option<Template> {
        let text = reader.scalar(n, what)?;
        if shared {
            step.scope.shared_template(reader, n, &text, step.phase)
        } else {
            step.template(n, &text)
        }
    };
    let fields = reader.fields(node, "`bearer`, `basic` or `oauth2`; or `none`", &AUTH_KEYS)?;
    let kind = reader.exactly_one(node, &fields, "`auth`", &AUTH_KEYS)?;
    let value = fields.get(kind)?;
    match kind {
        "bearer" => {
            let token = template(value, "a token, such as `${secret.TOKEN}`")?;
            Some(Auth::Bearer(header_value(reader, value, token)?))
        }
        "basic" => {
            let inner = reader.fields(value, "`user` and `password`", &BASIC_KEYS)?;
            let user = required(reader, &inner, "user", "a name").and_then(|n| template(n, "a name"));
            let password = required(reader, &inner, "password", "a password, such as `${secret.PASSWORD}`")
                .and_then(|n| template(n, "a password"));
            let (user, password) = (user?, password?);
            if let (Some(u), Some(p)) = (user.constant(), password.constant()) {
                // What goes over the wire is as secret as what it is made from.
                let plain = [u, p].map(|value| plain_text(&value).into_owned());
                let coded = BASE64.encode(plain.join(":"));
                step.scope.secrets.borrow_mut().push(("BASIC_AUTH".into(), coded));
            }
            Some(Auth::Basic { user, password })
        }
        _ => {
            let inner = reader.fields(value, "`token_url`, `client_id`, `client_secret`", &OAUTH2_KEYS)?;
            let need =
                |name: &str, what: &str| required(reader, &inner, name, what).and_then(|n| template(n, what));
            let url = need("token_url", "the address that gives tokens");
            let client_id = need("client_id", "the client's name");
            let client_secret =
                need("client_secret", "the client's secret, such as `${secret.CLIENT_SECRET}`");
            let mut parameters = Vec::new();
            for name in ["scope", "audience"] {
                if let Some(n) = inner.get(name) {
                    parameters.push((name, template(n, "text")?));
                }
            }
            let places = [("header", false), ("body", true)];
            let in_body =
                inner.get("client_auth").map_or(Some(false), |n| reader.word(n, "client_auth", &places))?;
            let (url, client_id, client_secret) = (url?, client_id?, client_secret?);
            let own = [("token_url", &url), ("client_id", &client_id), ("client_secret", &client_secret)];
            for (name, part) in own.into_iter().chain(parameters.iter().map(|(name, part)| (*name, part))) {
                if part.constant().is_none() {
                    let span = inner.get(name).map_or(&node.span, |n| &n.span);
                    let label = "one token serves all iterations, so this cannot change from one to the next";
                    reader.fail(span, "a token's request is fixed", label, None);
                }
            }
            let request = TokenRequest { url, client_id, client_secret, parameters, in_body };
            Some(Auth::ClientCredentials(Arc::new(request)))
        }
    }
}
