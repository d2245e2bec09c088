use http::header::{COOKIE, LOCATION};
use http::{HeaderName, Method};

use super::hosts::{host_of, is_metadata, permitted};
use super::iteration::{Way, note};
use crate::credentials::is_telling;
use crate::error_class::ErrorClass;
use crate::scenario::Step;
use crate::secrets;
use crate::transport::{Exchange, ExchangeError, Request, Transport};

/// Follows redirects, to the target's own host and those that are allowed, as RFC 9110 §15.4 and browsers do: 303, and 301 and 302 after a POST, turn into GET.
pub async fn follow<T: Transport>(
    way: &Way<'_, T>,
    step: &Step,
    mut request: Request,
    mut exchange: Exchange,
) -> Result<Exchange, ExchangeError> {
    let refuse = |message: String| ExchangeError::new(ErrorClass::Check, message);
    for hop in 0.. {
        if !matches!(exchange.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(exchange);
        }
        let Some(location) = exchange.headers.map().get(LOCATION) else {
            return Err(refuse(format!("redirects: {} without a Location to go on to", exchange.status)));
        };
        if hop == step.redirects {
            return Err(refuse(format!(
                "redirects: still redirected after {hop}, which is as many as are allowed"
            )));
        }
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        let from =
            url::Url::parse(&request.uri.to_string()).map_err(|e| refuse(format!("redirects: {e}")))?;
        let to = from
            .join(&location)
            .map_err(|e| refuse(format!("redirects: `{location}` is no address to go on to: {e}")))?;
        if !matches!(to.scheme(), "http" | "https") {
            return Err(refuse(format!("redirects: `{location}` is not an absolute http or https URL")));
        }
        let new = host_of(to.as_str());
        let same_origin = from.origin() == to.origin();
        let known = from.host_str() == to.host_str() || permitted(way.scenario, way.target, new);
        if is_metadata(new) && from.host_str() != to.host_str() {
            return Err(refuse(format!(
                "redirects: `{new}` is where clouds keep credentials; nobody is led there"
            )));
        }
        if !known {
            return Err(refuse(format!(
                "redirects: `{new}` is another host; list it under `allow_hosts` to go there"
            )));
        }
        let mut headers = request.headers.clone();
        headers.remove(COOKIE);
        if from.scheme() == "https" && to.scheme() == "http" {
            return Err(refuse(format!(
                "redirects: from https to http, to `{new}`; what is sent there can be read"
            )));
        }
        if !same_origin {
            // What is meant for one host is not told to another.
            let told = headers.iter().filter(|(name, value)| {
                value.is_sensitive() || is_telling(name.as_str()) || holds_a_secret(value.as_bytes())
            });
            let told: Vec<HeaderName> = told.map(|(name, _)| name.clone()).collect();
            for name in told {
                headers.remove(name);
            }
        }
        let turns_into_get = match exchange.status {
            303 => request.method != Method::HEAD,
            301 | 302 => request.method == Method::POST,
            _ => false,
        };
        let (mut method, mut body) = (request.method.clone(), request.body.clone());
        if turns_into_get {
            (method, body) = (Method::GET, None);
            for name in [http::header::CONTENT_TYPE, http::header::CONTENT_LENGTH] {
                headers.remove(name);
            }
        }
        if !same_origin && body.as_ref().is_some_and(|body| holds_a_secret(body)) {
            return Err(refuse(format!(
                "redirects: `{new}` is another origin, and the body holds a secret; send it there by a step of its own"
            )));
        }
        way.session.add_to(to.as_str(), &mut headers);
        let wants = request.wants;
        request = Request::new(method, to.as_str(), headers, body, request.timeout).map_err(refuse)?;
        request.wants = wants;
        note(way, &request);
        exchange = way.transport.exchange(way.lane, &request).await?;
        way.session.store(&request.uri, &exchange.headers);
    }
    Ok(exchange)
}

/// Wherever it comes from: a scenario, its variables, an arm.
fn holds_a_secret(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    secrets::known().scrub(&text) != text
}
