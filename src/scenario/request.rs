use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Method};

use super::template::{JsonTemplate, Template};

#[derive(Clone, Debug)]
pub struct RequestTemplate {
    pub method: Method,
    /// Absolute, or a path below the target.
    pub url: Template,
    /// Appended to the URL, encoded.
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(HeaderName, Template)>,
    pub auth: Option<Auth>,
    pub body: Option<BodyTemplate>,
}

#[derive(Clone, Debug)]
pub enum Auth {
    Bearer(Template),
    Basic {
        user: Template,
        password: Template,
    },
    /// OAuth 2.0, RFC 6749 §4.4: one token for all who ask with the same.
    ClientCredentials(Arc<TokenRequest>),
}

#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Absolute, or a path below the target.
    pub url: Template,
    pub client_id: Template,
    pub client_secret: Template,
    /// `scope`, `audience` and the like.
    pub parameters: Vec<(&'static str, Template)>,
    /// Whether id and secret stand in the body instead of a header.
    pub in_body: bool,
}

impl TokenRequest {
    /// Equal for those who get the same token.
    #[must_use]
    pub fn key(&self) -> String {
        let parameters = self.parameters.iter().map(|(name, value)| format!("{name}={}", value.canonical()));
        let all = [&self.url, &self.client_id, &self.client_secret].map(Template::canonical);
        all.into_iter().chain(parameters).collect::<Vec<_>>().join("\n")
    }
}

impl RequestTemplate {
    /// Whether every iteration sends the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        let fixed = |(_, value): &(String, Template)| value.constant().is_some();
        self.url.constant().is_some()
            && self.query.iter().all(fixed)
            && self.headers.iter().all(|(_, value)| value.constant().is_some())
            && match &self.auth {
                None => true,
                Some(Auth::Bearer(token)) => token.constant().is_some(),
                Some(Auth::Basic { user, password }) => {
                    user.constant().is_some() && password.constant().is_some()
                }
                Some(Auth::ClientCredentials(_)) => false,
            }
            && self.body.as_ref().is_none_or(|body| match body {
                BodyTemplate::Json(json) => json.constant().is_some(),
                BodyTemplate::Text(text) => text.constant().is_some(),
                BodyTemplate::Form(fields) => fields.iter().all(fixed),
                BodyTemplate::File { .. } => true,
                BodyTemplate::Multipart(_) => false,
            })
    }

    /// The slots of captured values that it uses.
    #[must_use]
    pub fn slots(&self) -> Vec<usize> {
        let mut templates: Vec<&Template> = vec![&self.url];
        templates.extend(self.query.iter().map(|(_, value)| value));
        templates.extend(self.headers.iter().map(|(_, value)| value));
        match &self.auth {
            Some(Auth::Bearer(token)) => templates.push(token),
            Some(Auth::Basic { user, password }) => templates.extend([user, password]),
            Some(Auth::ClientCredentials(_)) | None => {}
        }
        let mut slots = Vec::new();
        match &self.body {
            Some(BodyTemplate::Json(json)) => slots = json.slots(),
            Some(BodyTemplate::Text(text)) => templates.push(text),
            Some(BodyTemplate::Form(fields)) => templates.extend(fields.iter().map(|(_, value)| value)),
            Some(BodyTemplate::Multipart(parts)) => {
                templates.extend(parts.iter().filter_map(|part| match &part.content {
                    PartContent::Text(text) => Some(text),
                    PartContent::File { .. } => None,
                }));
            }
            Some(BodyTemplate::File { .. }) | None => {}
        }
        slots.extend(templates.into_iter().flat_map(Template::slots));
        slots
    }
}

#[derive(Clone, Debug)]
pub enum BodyTemplate {
    Json(JsonTemplate),
    Text(Template),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Template)>),
    /// `multipart/form-data`.
    Multipart(Vec<PartTemplate>),
    /// As it is.
    File {
        bytes: Bytes,
        media_type: &'static str,
        /// As the scenario names it.
        name: String,
    },
}

#[derive(Clone, Debug)]
pub struct PartTemplate {
    pub name: String,
    pub content: PartContent,
}

#[derive(Clone, Debug)]
pub enum PartContent {
    Text(Template),
    File { bytes: Bytes, file_name: String, media_type: String },
}
