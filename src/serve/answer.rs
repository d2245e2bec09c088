use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::ask::{FlaggerPayload, checked_key};
use super::gates::{Gates, Standing, State};
use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::units::parse_duration_ns;
use crate::verdict::Action;

const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const GLANCE: Duration = Duration::from_millis(200);
const MOST_BODY: usize = 64 << 10;
const REPORTS: [&str; 3] = ["report.html", "summary.md", "report.md"];

/// What is served, and to whom.
pub struct Serving {
    pub gates: Arc<Gates>,
    /// Questions must bring it; `None`: whoever reaches the address may ask.
    pub token: Option<String>,
}

type Own = Shared<Arc<Serving>>;
type Values = Query<BTreeMap<String, String>>;

/// A refusal in words.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Usage { .. } => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

fn bad(why: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, why)
}

/// How a standing is told.
#[derive(Clone, Copy)]
enum Told {
    /// 200 once it is done, whatever it came to.
    Standing,
    /// 200 only where this is what it came to.
    If(Action),
}

/// Takes the address.
///
/// # Errors
/// If it cannot be had.
pub async fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address).await.map_err(|e| {
        Error::usage_hint(format!("--listen {address}: {e}"), "give an address of this machine that is free")
    })
}

/// Answers until it is dropped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: tokio::net::TcpListener, serving: Arc<Serving>) -> Result<()> {
    axum::serve(listener, router(serving)).await.map_err(|e| Error::harness(format!("cannot serve: {e}")))
}

fn router(serving: Arc<Serving>) -> Router {
    let go = Told::If(Action::Go);
    let back = Told::If(Action::RollBack);
    Router::new()
        .route("/gates", get(all))
        .route(
            "/gate/{key}",
            get(|own: Own, key: Path<String>, values: Values| look(own, key, values, Told::Standing))
                .post(|own: Own, key: Path<String>, values: Values| begin(own, key, values, Told::Standing)),
        )
        .route(
            "/gate/{key}/go",
            get(move |own: Own, key: Path<String>, values: Values| look(own, key, values, go))
                .post(move |own: Own, key: Path<String>, values: Values| begin(own, key, values, go)),
        )
        .route(
            "/gate/{key}/roll-back",
            get(move |own: Own, key: Path<String>, values: Values| look(own, key, values, back))
                .post(move |own: Own, key: Path<String>, values: Values| look(own, key, values, back)),
        )
        .route("/gate/{key}/again", post(again))
        .route("/gate/{key}/report", get(report))
        .route("/flagger/go", post(flagger_go))
        .route("/flagger/roll-back", post(flagger_roll_back))
        .layer(from_fn_with_state(serving.clone(), guard))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async {
            Refused(
                StatusCode::NOT_FOUND,
                "expected /gate/KEY, /gate/KEY/go, /gate/KEY/roll-back, /gate/KEY/again, /gate/KEY/report, /gates, \
                 /flagger/go, /flagger/roll-back or /healthz"
                    .into(),
            )
        })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(serving)
}

/// Flagger's webhooks have no headers of their own: their token is among the metadata. A browser brings it as a password.
async fn guard(own: Own, headers: HeaderMap, request: Request, next: Next) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(token);
    if request.uri().path().starts_with("/flagger/") || is_allowed(&own, given.as_deref()) {
        return next.run(request).await;
    }
    let why = "expected the token of LOADGATE_SERVE_TOKEN as `Authorization: Bearer …`, or as a password";
    let how = [(header::WWW_AUTHENTICATE, "Basic realm=\"loadgate\"")];
    (how, Refused(StatusCode::UNAUTHORIZED, why.into())).into_response()
}

fn token(header: &str) -> Option<String> {
    if let Some(token) = header.strip_prefix("Bearer ") {
        return Some(token.to_owned());
    }
    let pair = BASE64_STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    String::from_utf8(pair).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

/// Compared by digests, which tell nothing by how long they take.
fn is_allowed(own: &Serving, given: Option<&str>) -> bool {
    own.token.as_ref().is_none_or(|token| {
        given.is_some_and(|given| sha256_hex(given.as_bytes()) == sha256_hex(token.as_bytes()))
    })
}

/// `wait` is how long an answer may be kept back for the end; the others are the command's.
fn wait(values: &mut BTreeMap<String, String>) -> std::result::Result<Duration, Refused> {
    let Some(text) = values.remove("wait") else { return Ok(Duration::ZERO) };
    let wait = parse_duration_ns(&text).map_err(|why| bad(format!("wait: {why}")))?;
    let wait = Duration::from_nanos(wait);
    if wait > LONGEST_WAIT {
        return Err(bad("wait: at most 1h".into()));
    }
    Ok(wait)
}

/// Where there is no command to have values: a mistyped name must not be passed over.
fn nothing_else(values: &BTreeMap<String, String>) -> std::result::Result<(), Refused> {
    values.keys().next().map_or(Ok(()), |name| {
        Err(bad(format!(
            "`{name}`: only POST /gate/KEY and /gate/KEY/go, which begin a gate, have values for its command"
        )))
    })
}

async fn begin(
    Shared(own): Own,
    Path(key): Path<String>,
    Query(mut values): Values,
    told: Told,
) -> std::result::Result<Response, Refused> {
    let wait = wait(&mut values)?;
    checked_key(&key).map_err(bad)?;
    let known = if values.is_empty() { own.gates.asked(&key)? } else { None };
    let known = known.filter(|ask| own.gates.template().fits(ask));
    let ask = match known {
        // What was said once need not be said again.
        Some(ask) => ask,
        None => own.gates.template().ask(&key, values).map_err(bad)?,
    };
    own.gates.ask(&ask)?;
    Ok(answer(&settled(&own.gates, &key, wait).await?, told))
}

async fn look(
    Shared(own): Own,
    Path(key): Path<String>,
    Query(mut values): Values,
    told: Told,
) -> std::result::Result<Response, Refused> {
    let wait = wait(&mut values)?;
    nothing_else(&values)?;
    checked_key(&key).map_err(bad)?;
    let standing = settled(&own.gates, &key, wait).await?;
    if standing.state == State::Unknown {
        return Err(Refused(
            StatusCode::NOT_FOUND,
            format!("nobody has asked for {key}: POST /gate/{key} begins it"),
        ));
    }
    Ok(answer(&standing, told))
}

async fn again(
    Shared(own): Own,
    Path(key): Path<String>,
    Query(mut values): Values,
) -> std::result::Result<Response, Refused> {
    let wait = wait(&mut values)?;
    nothing_else(&values)?;
    checked_key(&key).map_err(bad)?;
    own.gates.again(&key)?;
    Ok(answer(&settled(&own.gates, &key, wait).await?, Told::Standing))
}

async fn all(Shared(own): Own) -> std::result::Result<Response, Refused> {
    let standings: Result<Vec<Standing>> = own.gates.keys()?.iter().map(|key| own.gates.look(key)).collect();
    Ok(Json(json!({ "gates": standings? })).into_response())
}

/// Where it stands once it is done or interrupted, or `wait` is over.
async fn settled(gates: &Gates, key: &str, wait: Duration) -> Result<Standing> {
    let until = Instant::now() + wait;
    loop {
        let standing = gates.look(key)?;
        let open = matches!(standing.state, State::Queued | State::Running);
        let left = until.saturating_duration_since(Instant::now());
        if !open || left.is_zero() {
            return Ok(standing);
        }
        tokio::time::sleep(GLANCE.min(left)).await;
    }
}

/// What is not decided is no success, nor is what was decided otherwise: whoever reads only the status does nothing wrong.
fn status(standing: &Standing, told: Told) -> StatusCode {
    match (standing.state, told) {
        (State::Done, Told::Standing) => StatusCode::OK,
        (State::Done, Told::If(action)) if standing.action == Some(action) => StatusCode::OK,
        (State::Done, Told::If(_)) => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn later(status: StatusCode) -> Option<[(HeaderName, &'static str); 1]> {
    (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(header::RETRY_AFTER, "5")])
}

fn answer(standing: &Standing, told: Told) -> Response {
    let status = status(standing, told);
    match later(status) {
        Some(headers) => (status, headers, Json(standing)).into_response(),
        None => (status, Json(standing)).into_response(),
    }
}

/// One line: Flagger puts it into its events.
fn line(standing: &Standing, told: Told) -> Response {
    let status = status(standing, told);
    let text = format!("loadgate, {}: {}\n", standing.key, standing.summary);
    match later(status) {
        Some(headers) => (status, headers, text).into_response(),
        None => (status, text).into_response(),
    }
}

fn payload(own: &Serving, body: &Bytes) -> std::result::Result<FlaggerPayload, Refused> {
    let payload: FlaggerPayload = serde_json::from_slice(body)
        .map_err(|e| bad(format!("expected what Flagger sends, with name, namespace and checksum: {e}")))?;
    if !is_allowed(own, payload.metadata().get("token").map(String::as_str)) {
        return Err(Refused(
            StatusCode::UNAUTHORIZED,
            "expected the token of LOADGATE_SERVE_TOKEN as `token` in the webhook's metadata".into(),
        ));
    }
    Ok(payload)
}

async fn flagger_go(
    Shared(own): Own,
    Query(mut values): Values,
    body: Bytes,
) -> std::result::Result<Response, Refused> {
    let wait = wait(&mut values)?;
    nothing_else(&values)?;
    let payload = payload(&own, &body)?;
    let template = own.gates.template();
    let ask = template.ask(&payload.key(), payload.values(template)).map_err(bad)?;
    own.gates.ask(&ask)?;
    Ok(line(&settled(&own.gates, &ask.key, wait).await?, Told::If(Action::Go)))
}

/// Never begins a gate: Flagger asks this also before there is a candidate.
async fn flagger_roll_back(
    Shared(own): Own,
    Query(values): Values,
    body: Bytes,
) -> std::result::Result<Response, Refused> {
    nothing_else(&values)?;
    let key = payload(&own, &body)?.key();
    checked_key(&key).map_err(bad)?;
    Ok(line(&own.gates.look(&key)?, Told::If(Action::RollBack)))
}

async fn report(Shared(own): Own, Path(key): Path<String>) -> std::result::Result<Response, Refused> {
    checked_key(&key).map_err(bad)?;
    let standing = own.gates.look(&key)?;
    // Where there is none, what was said instead tells why.
    let log = Some(own.gates.log(&standing)).filter(|_| standing.attempt > 0).filter(|path| path.exists());
    let Some(path) = standing.results.as_deref().and_then(written).or(log) else {
        return Err(Refused(StatusCode::NOT_FOUND, format!("{key} has no report: {}", standing.summary)));
    };
    let text = std::fs::read_to_string(&path).map_err(|e| Error::input(&path, "read", e))?;
    Ok(if path.extension().is_some_and(|e| e == "html") {
        Html(text).into_response()
    } else {
        text.into_response()
    })
}

fn written(results: &FilePath) -> Option<PathBuf> {
    REPORTS.iter().map(|name| results.join(name)).find(|path| path.exists())
}
