use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::servers::{Service, endpoint, folder, load, rewrite, smoke, whole};
use crate::support::{json as read_json, loadgate, run};

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split("; ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// Sessions before and after the login, and CSRF tokens that hold once.
#[derive(Default)]
struct Portal {
    tokens: Mutex<HashMap<String, String>>,
    sessions: Mutex<HashSet<String>>,
    next: AtomicU64,
}

impl Portal {
    fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.next.fetch_add(1, Ordering::SeqCst))
    }
}

fn portal() -> Router {
    async fn form(State(portal): State<Arc<Portal>>) -> Response {
        let (visitor, token) = (portal.fresh("visit-"), portal.fresh("csrf-"));
        portal.tokens.lock().unwrap().insert(visitor.clone(), token.clone());
        let page =
            format!("<form><input type=\"hidden\" name=\"csrf\" value=\"{token}\"><input name=user></form>");
        ([(header::SET_COOKIE, format!("visitor={visitor}; Path=/; HttpOnly"))], Html(page)).into_response()
    }
    async fn login(State(portal): State<Arc<Portal>>, headers: HeaderMap, body: String) -> Response {
        let visitor = cookie(&headers, "visitor").unwrap_or_default();
        assert_eq!(headers["x-visitor"], *visitor);
        let expected = portal.tokens.lock().unwrap().remove(&visitor);
        let wanted = expected.map(|token| format!("csrf={token}&user=anna%20b&password=p%26ss-word"));
        if headers[header::CONTENT_TYPE] != "application/x-www-form-urlencoded"
            || wanted.as_ref() != Some(&body)
        {
            return StatusCode::FORBIDDEN.into_response();
        }
        let session = portal.fresh("s");
        portal.sessions.lock().unwrap().insert(session.clone());
        let cookies = [
            (header::SET_COOKIE, format!("session={session}; Path=/; HttpOnly")),
            (header::SET_COOKIE, "visitor=; Path=/; Max-Age=0".to_owned()),
            (header::SET_COOKIE, "elsewhere=1; Path=/admin".to_owned()),
        ];
        (AppendHeaders(cookies), Redirect::to("/home")).into_response()
    }
    async fn home(State(portal): State<Arc<Portal>>, headers: HeaderMap) -> Response {
        let known = cookie(&headers, "session").is_some_and(|s| portal.sessions.lock().unwrap().contains(&s));
        if !known || cookie(&headers, "visitor").is_some() || cookie(&headers, "elsewhere").is_some() {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        Html("<h1>Welcome, Anna</h1>").into_response()
    }
    Router::new().route("/login", get(form).post(login)).route("/home", get(home)).with_state(Arc::default())
}

const PORTAL: &str = r#"
feature: portal
session: SESSION
login:
  - name: form
    get: /login
    capture: { csrf: { body: 'name="csrf" value="([^"]+)"' }, visitor: { cookie: visitor } }
    check: [ { cookie: visitor, matches: "^visit-\\d+$" } ]
  - name: log in
    post: /login
    headers: { x-visitor: "${visitor}" }
    form: { csrf: "${csrf}", user: anna b, password: "${secret.PORTAL_PASSWORD}" }
    redirects: 1
    check:
      - status: 200
      - { body: { contains: "Welcome, Anna" } }
steps:
  - name: home
    get: /home
    check: [ { body: { matches: "<h1>Welcome, \\w+</h1>" } } ]
load: { warmup: 1s, stages: [ STAGE ] }
"#;

#[test]
fn a_login_with_csrf_token_and_cookies() {
    let cores = std::thread::available_parallelism().unwrap().get();
    for (session, stage, logins) in [
        // Each iteration by itself: 1 of smoke, some of the warm-up, 60 measured.
        ("iteration", "{ rate: 20/s, for: 3s }", 61..200),
        // Each of three users once, and smoke.
        ("user", "{ vus: 3, for: 3s }", 4..5),
        // In the open model as many as were ever under way at once.
        ("user", "{ rate: 20/s, for: 3s }", 2..40),
        // Each worker once, and smoke.
        ("shared", "{ rate: 20/s, for: 3s }", 2..cores + 2),
    ] {
        let service = Service::start(portal());
        let temp = folder(&PORTAL.replace("SESSION", session).replace("STAGE", stage));
        let ran = run(whole(temp.path(), &service).env("PORTAL_PASSWORD", "p&ss-word")).expect(0);
        let seen = service.count("POST /login");
        assert!(logins.contains(&seen), "{session} {stage}: {seen} logins\n{}", ran.out);
        let verdict = read_json(&temp.path().join("out/verdict.json"));
        let names: Vec<&str> =
            verdict["endpoints"].as_array().unwrap().iter().map(|e| e["step"].as_str().unwrap()).collect();
        let all = ["form", "log in", "home"];
        assert_eq!(names, if session == "iteration" { &all[..] } else { &all[2..] }, "{session}");
    }
}

/// Sessions that end before the load does are not asked for what they no longer have, again and again.
#[test]
fn a_session_that_the_target_forgot_is_logged_in_again() {
    let logins = Arc::new(AtomicU64::new(0));
    let count = logins.clone();
    let login = post(move || async move {
        axum::Json(json!({"token": format!("t-{}", count.fetch_add(1, Ordering::SeqCst))}))
    });
    let uses = Arc::new(Mutex::new(HashMap::<String, u64>::new()));
    let api = get(move |headers: HeaderMap| async move {
        let token = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
        let mut uses = uses.lock().unwrap();
        let used = uses.entry(token).or_default();
        *used += 1;
        // Each is good for twenty requests.
        if *used <= 20 { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    });
    let service = Service::start(Router::new().route("/login", login).route("/api", api));
    let temp = folder(
        "feature: short-lived\nsession: user\nauth: { bearer: \"${token}\" }\n\
         login:\n  - { name: log in, post: /login, capture: { token: { jsonpath: $.token } } }\n\
         steps:\n  - { name: call, get: /api }\nload: { warmup: 1s, stages: [ { rate: 50/s, for: 3s } ] }\n\
         limits: { error_rate: < 15% }\n",
    );
    load(temp.path(), &service).expect(0);
    let (calls, logins) = (service.count("GET /api") as u64, logins.load(Ordering::SeqCst));
    assert!(logins >= calls / 25 && logins <= calls / 15 + 4, "{logins} logins for {calls} calls");
}

#[test]
fn a_login_that_fails_says_so_and_ends_its_scenario() {
    let service = Service::start(portal());
    let temp = folder(&PORTAL.replace("SESSION", "user").replace("STAGE", "{ vus: 1, for: 1s }"));
    let ran = run(smoke(temp.path(), &service).env("PORTAL_PASSWORD", "wrong-one")).expect(1);
    let ran = ran.says("FAIL  portal/log in").says("expected 200, got 403").says("skip  portal/home");
    // The command has the secret as a variable, and the cookie too, wherever its value was put.
    let stored = std::fs::read_to_string(temp.path().join("out/run.json")).unwrap();
    for text in [ran.out + &ran.err, stored.replace("\\\"", "\"")] {
        for part in [
            "--data-raw \"csrf=${csrf}&",
            "password=${PORTAL_PASSWORD}\"",
            "\"x-visitor: ${COOKIE_visitor}\"",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("wrong-one") && !text.contains("visit-"), "{text}");
    }
}

/// An upload is checked, then worked on for a while.
fn uploads() -> Router {
    async fn upload(
        State(ready): State<Arc<Mutex<HashMap<u64, Instant>>>>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let boundary =
            headers[header::CONTENT_TYPE].to_str().unwrap().split("boundary=").nth(1).unwrap().to_owned();
        let text = String::from_utf8_lossy(&body);
        let whole = text.contains("name=\"title\"\r\n\r\nLease 7 €\r\n")
            && text.contains("name=\"doc\"; filename=\"lease.pdf\"\r\ncontent-type: application/pdf\r\n\r\n%PDF-1.4\n\u{fffd}")
            && text.ends_with(&format!("--{boundary}--\r\n"));
        if !whole {
            return (StatusCode::UNPROCESSABLE_ENTITY, text.into_owned()).into_response();
        }
        let mut ready = ready.lock().unwrap();
        let id = ready.len() as u64;
        ready.insert(id, Instant::now() + Duration::from_millis(300));
        let place = [(header::LOCATION, format!("/jobs/{id}"))];
        (StatusCode::ACCEPTED, place, axum::Json(json!({"id": id}))).into_response()
    }
    async fn job(
        State(ready): State<Arc<Mutex<HashMap<u64, Instant>>>>,
        UrlPath(id): UrlPath<u64>,
    ) -> Response {
        match ready.lock().unwrap().get(&id) {
            None => StatusCode::NOT_FOUND.into_response(),
            Some(at) if Instant::now() < *at => axum::Json(json!({"state": "running"})).into_response(),
            Some(_) => axum::Json(json!({"state": "done", "pages": 3})).into_response(),
        }
    }
    Router::new().route("/uploads", post(upload)).route("/jobs/{id}", get(job)).with_state(Arc::default())
}

#[test]
fn an_upload_then_polling_until_done() {
    let service = Service::start(uploads());
    let temp = folder(
        r#"
feature: uploads
vars: { title: Lease 7 € }
steps:
  - name: upload
    post: /uploads
    multipart: { title: "${title}", doc: { file: lease.pdf } }
    capture: { job: { header: location, regex: '/jobs/(\d+)$' } }
    check: [ status: 202 ]
  - name: worked on
    poll:
      get: /jobs/${job}
      every: 100ms
      within: 5s
      until: [ { jsonpath: $.state, equals: done } ]
      fail_if: [ { jsonpath: $.state, equals: failed } ]
    check: [ { jsonpath: $.pages, equals: 3 } ]
load: { warmup: 1s, stages: [ { rate: 100/s, for: 6s } ] }
limits: { error_rate: < 5%, worked on: { p50: < 3s } }
"#,
    );
    std::fs::write(temp.path().join("lease.pdf"), b"%PDF-1.4\n\xff\xfe\x00").unwrap();
    // How many attempts there will be nobody can plan: that once ended `validate` in a panic.
    run(loadgate(temp.path()).args(["validate", "scenario.yaml"]))
        .expect(0)
        .says("uploads/worked on@attempts");
    load(temp.path(), &service).expect(0).says("uploads/worked on@attempts");
    let record = read_json(&temp.path().join("out/run.json"));
    let endpoints = record["runs"][0]["endpoints"].as_array().unwrap();
    let of = |name: &str| endpoints.iter().find(|e| e["endpoint"] == name).unwrap();
    let (whole, single) = (of("uploads/worked on"), of("uploads/worked on@attempts"));
    assert_eq!(whole["requests"], 600);
    // A job takes 300 ms and is asked for every 100.
    let attempts = single["requests"].as_u64().unwrap();
    assert!((1800..=3000).contains(&attempts), "{attempts}");
    let p50 = |step: &str| endpoint(temp.path(), step)["p50_ms"].as_f64().unwrap();
    assert!(p50("worked on") >= 300.0 && p50("worked on@attempts") < p50("worked on"), "two series");
}

/// Full-text, faceted and autocomplete queries, told apart by their parameters.
fn search() -> Router {
    async fn find(RawQuery(raw): RawQuery, Query(query): Query<Vec<(String, String)>>) -> Response {
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        let Some(text) = value("q") else { return StatusCode::BAD_REQUEST.into_response() };
        let tags = query.iter().filter(|(key, _)| key == "tag").count();
        let wait = if tags > 0 { 20 } else { 2 };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        axum::Json(json!({"q": text, "tags": tags, "raw": raw, "hits": [{"id": 1, "score": 0.9}]}))
            .into_response()
    }
    Router::new().route("/search", get(find)).route("/suggest", get(find))
}

#[test]
fn a_search_api_with_a_weighted_mix_and_a_limit_for_each_kind() {
    let service = Service::start(search());
    let temp = folder(
        r#"
feature: search
data: { words: { json: words.json, pick: sequential } }
steps:
  - one_of:
      - weight: 5
        steps:
          - name: full text
            get: /search
            query: { q: "${words.text}", page: 2 }
            check: [ { jsonpath: $.q, equals: "${words.text}" }, { jsonpath: "$.hits[*].score", between: [0, 1] } ]
      - weight: 3
        steps:
          - { name: facets, get: /search?sort=new, query: { q: "${words.text}", tag: [a b, c&d] }, check: [ { jsonpath: $.tags, equals: 2 } ] }
      - weight: 2
        steps: [ { name: suggest, get: /suggest, query: { q: "${words.text}" }, check: [ { header: content-type, contains: json } ] } ]
load: { warmup: 1s, stages: [ { rate: 500/s, for: 6s } ] }
limits:
  p95: < 400ms
  facets: { p95: < 450ms }
  suggest: { p50: < 300ms }
"#,
    );
    let words = json!([{"text": "two rooms"}, {"text": "50% & more?"}, {"text": "größe=7"}]);
    std::fs::write(temp.path().join("words.json"), words.to_string()).unwrap();
    load(temp.path(), &service).expect(0);
    let requests =
        ["full text", "facets", "suggest"].map(|s| endpoint(temp.path(), s)["requests"].as_u64().unwrap());
    assert_eq!(requests.iter().sum::<u64>(), 3000);
    for (seen, share) in requests.iter().zip([0.5, 0.3, 0.2]) {
        assert!((*seen as f64 / 3000.0 - share).abs() < 0.06, "{requests:?}");
    }
    assert!(
        service
            .log()
            .iter()
            .any(|line| line == "GET /search?sort=new&q=gr%C3%B6%C3%9Fe%3D7&tag=a%20b&tag=c%26d")
    );
    // Each kind is held to a limit of its own.
    let tight = std::fs::read_to_string(temp.path().join("scenario.yaml")).unwrap().replace("450ms", "4ms");
    rewrite(temp.path(), &tight);
    load(temp.path(), &service).expect(1).says("search/facets p95");
}
