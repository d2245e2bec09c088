use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use serde_json::{Value, json};

use crate::servers::{Service, endpoint, folder, load, rewrite, smoke, whole};
use crate::support::run;

/// What each request came with, for requests that are only looked at.
fn echo() -> Router {
    async fn all(
        method: axum::http::Method,
        headers: HeaderMap,
        RawQuery(query): RawQuery,
        body: Bytes,
    ) -> Response {
        let own: HashMap<String, String> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = String::from_utf8_lossy(&body).into_owned();
        axum::Json(json!({"method": method.as_str(), "headers": own, "query": query, "body": body}))
            .into_response()
    }
    Router::new().route("/echo", any(all))
}

#[test]
fn bearer_and_basic_are_sent_and_never_shown() {
    let service = Service::start(echo());
    let temp = folder(
        r#"
feature: auth
auth: { bearer: "${secret.LG_TOKEN}" }
steps:
  - { name: bearer, get: /echo, check: [ { jsonpath: $.headers.authorization, equals: "Bearer ${secret.LG_TOKEN}" } ] }
  - name: basic
    get: /echo
    auth: { basic: { user: anna, password: "${secret.LG_PASSWORD}" } }
    check: [ { jsonpath: $.headers.authorization, equals: "Basic YW5uYTpodXNoLWh1c2gtMDgxNQ==" } ]
  - { name: none, get: /echo, auth: none, check: [ { jsonpath: $.headers.authorization, exists: false } ] }
  - { name: wrong, get: /echo, check: [ { jsonpath: $.headers.authorization, equals: x } ] }
"#,
    );
    let mut command = smoke(temp.path(), &service);
    let ran = run(command.env("LG_TOKEN", "tok-4711-abc").env("LG_PASSWORD", "hush-hush-0815")).expect(1);
    let ran =
        ran.says("ok    auth/basic").says("ok    auth/none").says("-H \"authorization: Bearer ${LG_TOKEN}\"");
    let stored = std::fs::read_to_string(temp.path().join("out/run.json")).unwrap();
    for text in [ran.out, ran.err, stored] {
        assert!(
            !text.contains("tok-4711") && !text.contains("hush-hush") && !text.contains("YW5uYTpo"),
            "{text}"
        );
    }
}

#[test]
fn an_oauth2_token_may_say_that_it_lasts_for_ever() {
    for life in [u64::MAX, i64::MAX as u64, 0] {
        let token =
            post(move || async move { axum::Json(json!({"access_token": "at-1", "expires_in": life})) });
        let service = Service::start(Router::new().route("/token", token).route(
            "/api",
            get(|headers: HeaderMap| async move {
                if headers[header::AUTHORIZATION] == "Bearer at-1" {
                    StatusCode::OK
                } else {
                    StatusCode::FORBIDDEN
                }
            }),
        ));
        let temp = folder(
            "feature: f\nauth: { oauth2: { token_url: /token, client_id: svc, client_secret: x } }\nsteps: [ { name: a, get: /api } ]\n",
        );
        run(&mut smoke(temp.path(), &service)).sound().expect(0);
    }
}

#[test]
fn oauth2_tokens_are_fetched_once_and_refreshed_and_never_shown() {
    let issued = Arc::new(AtomicU64::new(0));
    let (count, born) = (issued.clone(), Instant::now());
    let token = post(move |headers: HeaderMap, body: String| async move {
        if headers[header::AUTHORIZATION] != "Basic c3ZjOmNsaWVudC1zM2NyM3Q=" {
            return (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "invalid_client"})));
        }
        assert_eq!(body, "grant_type=client_credentials&scope=read%3Aall%20write");
        count.fetch_add(1, Ordering::SeqCst);
        let token = format!("at-{}-very-secret", born.elapsed().as_millis());
        (StatusCode::OK, axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 2})))
    });
    // A token says when it was made, and is refused two seconds later.
    let api = get(move |headers: HeaderMap| async move {
        let given = headers[header::AUTHORIZATION].to_str().unwrap_or_default().to_owned();
        let made: u128 = given.trim_start_matches("Bearer at-").split('-').next().unwrap().parse().unwrap();
        if born.elapsed().as_millis() > made + 2000 { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
    });
    let service = Service::start(Router::new().route("/token", token).route("/api", api));
    let text = r#"
feature: guarded
auth:
  oauth2: { token_url: /token, client_id: svc, client_secret: "${secret.LG_CLIENT}", scope: "read:all write" }
steps:
  - { name: call, get: /api }
  - { name: call again, get: /api }
load: { warmup: 1s, stages: [ { rate: 50/s, for: 4s } ] }
"#;
    let temp = folder(text);
    run(whole(temp.path(), &service).env("LG_CLIENT", "client-s3cr3t")).expect(0);
    // Two seconds of life, refreshed in time, over some five seconds; not one for each of 500 requests.
    let seen = issued.load(Ordering::SeqCst);
    assert!((2..=8).contains(&seen), "{seen} tokens");
    for step in ["call", "call again"] {
        assert_eq!(endpoint(temp.path(), step)["errors"], 0, "{step}");
    }
    for (from, client, says) in [
        ("{ name: call, get: /api }", "wrong-client", "answers 401: invalid_client"),
        ("{ name: call, get: /api, check: [ status: 418 ] }", "client-s3cr3t", "expected 418, got 200"),
    ] {
        rewrite(temp.path(), &text.replace("{ name: call, get: /api }", from));
        let ran = run(smoke(temp.path(), &service).env("LG_CLIENT", client)).expect(1).says(says);
        let stored = std::fs::read_to_string(temp.path().join("out/run.json")).unwrap();
        for shown in [ran.out, ran.err, stored] {
            assert!(!shown.contains("very-secret") && !shown.contains(client), "{shown}");
        }
    }
}

#[test]
fn redirects_are_followed_where_that_is_said() {
    let home = Arc::new(OnceLock::<String>::new());
    let at_home = home.clone();
    let back = get(move || async move {
        (StatusCode::FOUND, [(header::LOCATION, format!("{}/echo", at_home.get().unwrap()))])
    });
    let other = Service::start(echo().route("/back", back));
    let away = other.url.replace("localhost", "127.0.0.1");
    let to = move |path: &str| -> (StatusCode, [(header::HeaderName, String); 1]) {
        let (status, place) = match path {
            "moved" => (StatusCode::MOVED_PERMANENTLY, "echo?at=1".to_owned()),
            "seen" => (StatusCode::SEE_OTHER, "/echo".to_owned()),
            "kept" => (StatusCode::TEMPORARY_REDIRECT, "/echo".to_owned()),
            "away" => (StatusCode::FOUND, format!("{away}/echo")),
            "round-trip" => (StatusCode::FOUND, format!("{away}/back")),
            _ => (StatusCode::FOUND, "/go/round".to_owned()),
        };
        (status, [(header::LOCATION, place)])
    };
    let router = echo()
        .route("/go/{where}", any(move |UrlPath(path): UrlPath<String>| async move { to(&path) }))
        .route(
            "/go/echo",
            any(|RawQuery(query): RawQuery| async move { axum::Json(json!({"query": query})) }),
        );
    let service = Service::start(router);
    home.set(service.url.clone()).unwrap();
    let temp = folder(
        r#"
feature: redirects
steps:
  - { name: an answer, get: /go/moved, check: [ { status: 301 }, { header: location, equals: echo?at=1 } ] }
  - { name: relative, get: /go/moved, redirects: 1, check: [ { jsonpath: $.query, equals: at=1 } ] }
  - { name: post becomes get, post: /go/seen, json: { a: 1 }, redirects: 2, check: [ { jsonpath: $.method, equals: GET }, { jsonpath: $.body, equals: "" } ] }
  - { name: post stays, post: /go/kept, json: { a: 1 }, redirects: 2, check: [ { jsonpath: $.method, equals: POST }, { jsonpath: $.body, equals: '{"a":1}' } ] }
  - { name: elsewhere, post: /go/away, redirects: 1, headers: { authorization: Bearer abcdef }, check: [ { jsonpath: $.headers.authorization, exists: false } ] }
  - { name: by another host and back, get: /go/round-trip, redirects: 2, check: [ status: 200 ] }
allow_hosts: [ 127.0.0.1 ]
"#,
    );
    run(&mut smoke(temp.path(), &service)).expect(0);
    let text = std::fs::read_to_string(temp.path().join("scenario.yaml")).unwrap();
    for (from, into, says) in [
        ("allow_hosts: [ 127.0.0.1 ]\n", "", "`127.0.0.1` is another host; list it under `allow_hosts`"),
        ("/go/kept", "/go/round", "still redirected after 2"),
    ] {
        rewrite(temp.path(), &text.replace(from, into));
        run(&mut smoke(temp.path(), &service)).expect(1).says(says);
    }
}

/// What was made, and whether it is gone.
fn shelf() -> Router {
    type Shelf = Arc<Mutex<HashMap<u64, Value>>>;
    async fn make(State(shelf): State<Shelf>, body: axum::Json<Value>) -> Response {
        let mut shelf = shelf.lock().unwrap();
        let id = shelf.len() as u64 + 1;
        shelf.insert(id, body.0.clone());
        (StatusCode::CREATED, axum::Json(json!({"id": id, "own": body.0}))).into_response()
    }
    async fn look(State(shelf): State<Shelf>, UrlPath(id): UrlPath<u64>) -> Response {
        match shelf.lock().unwrap().get(&id) {
            Some(own) => {
                axum::Json(json!({"id": id, "state": if id % 2 == 1 { "open" } else { "shut" }, "own": own}))
                    .into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
    async fn remove(State(shelf): State<Shelf>, UrlPath(id): UrlPath<u64>) -> StatusCode {
        let found = shelf.lock().unwrap().insert(id, json!("gone"));
        if found.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
    }
    Router::new()
        .route("/things", post(make))
        .route("/things/{id}", get(look))
        .route("/things/{id}", delete(remove))
        .with_state(Shelf::default())
}

const SHELF: &str = r#"
feature: shelf
vars: { tag: "${uuid}" }
setup:
  - { name: make, post: /things, json: { tag: "${tag}", n: "${rand_int(1, 6)}", word: "${pick(red, green)}", at: "${now}" }, capture: { id: { jsonpath: $.id }, made: { jsonpath: $.own.tag } }, check: [ { jsonpath: $.own.n, between: [1, 6] }, { jsonpath: $.own.word, matches: "^(red|green)$" }, { jsonpath: $.own.at, newer_than: 60s }, { jsonpath: $.own.tag, type: uuid }, { jsonpath: $.own.tag, equals: "${tag}" } ] }
steps:
  - name: look
    get: /things/${id}
    capture: { state: { jsonpath: $.state } }
    check: [ { jsonpath: $.own.tag, equals: "${made}" }, { jsonpath: $.state, not: { equals: lost } } ]
  - { name: only if open, get: "/things/${id}?open", when: { value: "${state}", equals: open } }
  - { name: only if shut, get: "/things/${id}?shut", when: [ { value: "${state}", equals: shut }, { value: "${id}", exists: true } ] }
  - repeat: { times: 3, steps: [ { name: thrice, get: "/things/${id}?again" } ] }
finally:
  - { name: at the end, get: "/things/${id}?end" }
teardown:
  - { name: remove, delete: "/things/${id}", check: [ status: 204 ] }
load: { warmup: 1s, stages: [ { rate: 20/s, for: 3s } ] }
"#;

#[test]
fn setup_teardown_finally_when_repeat_and_generated_values() {
    let service = Service::start(shelf());
    let temp = folder(SHELF);
    // The first thing is open, the second (under load) shut: what is never sent is told, and no reason to hold.
    let ran = load(temp.path(), &service)
        .expect(0)
        .says("ok    shelf/only if open")
        .says("skip  shelf/only if shut")
        .says("not sent: its `when` does not hold: ${state}: expected \"shut\", found \"open\"")
        .says("WARN  shelf/only if open was never sent: its `when` never held.")
        .says("PASS: 4 endpoints within limits");
    let row = ran.out.lines().find(|line| line.starts_with("shelf/only if open ")).unwrap();
    assert!(row.ends_with("not sent"), "{row}");
    let log = service.log();
    // Once around the smoke pass and once around the load, with a thing of its own each.
    assert_eq!(service.count("POST /things"), 2);
    assert_eq!((service.count("DELETE /things/1"), service.count("DELETE /things/2")), (1, 1));
    assert_eq!(log.last().unwrap(), "DELETE /things/2");
    let (looks, thrice) = (service.count("GET /things/2"), service.count("GET /things/2?again"));
    assert_eq!((thrice, service.count("GET /things/2?end")), (3 * looks, looks));
    assert_eq!((service.count("GET /things/2?open"), service.count("GET /things/2?shut")), (0, looks));

    // A step that fails ends its iteration, but neither `finally` nor `teardown`.
    let service = Service::start(shelf());
    rewrite(temp.path(), &SHELF.replace("not: { equals: lost }", "equals: lost"));
    let ran = run(&mut smoke(temp.path(), &service)).expect(1);
    ran.says("FAIL  shelf/look")
        .says("skip  shelf/thrice")
        .says("ok    shelf/at the end")
        .says("ok    shelf/remove");
    assert_eq!(service.log().last().unwrap(), "DELETE /things/1");

    // One that is made once may not be made again: setup passes for the smoke pass and fails before the load.
    let made = Arc::new(AtomicU64::new(0));
    let once = post(move || async move {
        let first = made.fetch_add(1, Ordering::SeqCst) == 0;
        if first { (StatusCode::CREATED, "{}") } else { (StatusCode::CONFLICT, "{}") }
    });
    let service = Service::start(Router::new().route("/once", once).route("/", get(|| async { "ok" })));
    let other = folder(
        "feature: once\nsetup:\n  - { name: make, post: /once, check: [ status: 201 ] }\nsteps:\n  - { name: look, get: / }\n\
         teardown:\n  - { name: after, get: / }\nload: { warmup: 1s, stages: [ { rate: 5/s, for: 1s } ] }\n",
    );
    load(other.path(), &service)
        .expect(3)
        .says("the setup before the load failed. once/make: status: expected 201, got 409");
    assert_eq!(service.count("GET /"), 3, "one look and two times of cleaning up: {:?}", service.log());

    // A setup that fails sends nothing more.
    let service = Service::start(shelf());
    rewrite(temp.path(), &SHELF.replace("post: /things", "post: /nothing"));
    run(&mut smoke(temp.path(), &service)).expect(1).says("FAIL  shelf/make").says("skip  shelf/look");
    assert_eq!(service.log(), ["POST /nothing"]);
}

#[test]
fn bodies_files_schemas_and_rows_that_cannot_last() {
    let service = Service::start(echo());
    let temp = folder(
        r#"
feature: bodies
data: { people: { json: people.json, pick: unique } }
steps:
  - { name: form, post: /echo, form: { name: "${people.name}", tag: [a, b] }, check: [ { jsonpath: $.body, equals: "name=Ann%20%26%20Co&tag=a&tag=b" } ] }
  - { name: file, put: /echo, file: rows.csv, check: [ { jsonpath: "$.headers['content-type']", equals: text/csv }, { jsonpath: $.body, equals: "a,b\n1,2\n" } ] }
  - { name: nested, post: /echo, json: { who: { name: "${people.name}", age: "${people.age}" } }, check: [ { jsonpath: $.body, equals: '{"who":{"age":41,"name":"Ann & Co"}}' } ] }
  - name: schema
    get: /echo
    check:
      - { json_schema: answer.json }
      - { json_schema: { type: object, required: [ method, headers ], properties: { method: { enum: [ GET ] } } } }
      - { body: { not: { contains: password } } }
"#,
    );
    std::fs::write(
        temp.path().join("people.json"),
        r#"[{"name": "Bob", "age": 7}, {"name": "Ann & Co", "age": 41}]"#,
    )
    .unwrap();
    std::fs::write(temp.path().join("rows.csv"), "a,b\n1,2\n").unwrap();
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "required": ["query"], "properties": {"headers": {"type": "object", "additionalProperties": {"type": "string"}}}});
    std::fs::write(temp.path().join("answer.json"), schema.to_string()).unwrap();
    run(&mut smoke(temp.path(), &service)).expect(0);
    let text = std::fs::read_to_string(temp.path().join("scenario.yaml")).unwrap();
    rewrite(temp.path(), &format!("{text}load: {{ warmup: 1s, stages: [ {{ rate: 1/s, for: 1s }} ] }}\n"));
    run(&mut smoke(temp.path(), &service)).expect(2).says("the `unique` rows of `people` cannot last: 2 of");
    rewrite(temp.path(), &text.replace("enum: [ GET ]", "enum: [ PUT ]"));
    run(&mut smoke(temp.path(), &service)).expect(1).says("json_schema: /method: \"GET\" is not one of");
}

#[test]
fn personal_data_fails_a_run_however_rare_it_is() {
    let served = Arc::new(AtomicU64::new(0));
    let count = served.clone();
    let api = get(move || async move {
        // One response in 100, which every budget of errors would cover.
        let leaks = count.fetch_add(1, Ordering::SeqCst) % 100 == 50;
        axum::Json(if leaks {
            json!({"contact": "jane.doe@example.com"})
        } else {
            json!({"contact": "tenant 7"})
        })
    });
    let service = Service::start(Router::new().route("/tenant", api));
    let temp = folder(
        "feature: tenants\nsteps:\n  - { name: tenant, get: /tenant, check: [ no_personal_data ] }\n\
         load: { warmup: 1s, stages: [ { rate: 100/s, for: 3s } ] }\nlimits: { error_rate: < 20% }\n",
    );
    let ran =
        load(temp.path(), &service).expect(1).says("Leak: tenants/tenant had personal data in a response");
    let stored = ["out/run.json", "out/verdict.json"];
    let stored = stored.map(|file| std::fs::read_to_string(temp.path().join(file)).unwrap());
    for text in [ran.out, ran.err].into_iter().chain(stored) {
        assert!(!text.contains("jane"), "what leaks is not spread: {text}");
    }
}

#[test]
fn dear_checks_are_made_on_a_sample_that_is_stated() {
    let service = Service::start(echo());
    let text = "feature: sampled\nsteps:\n  - { name: a, get: /echo, check: [ { jsonpath: $.method, equals: SAMPLE } ] }\n\
                load: { warmup: 1s, stages: [ { rate: 200/s, for: 3s } ] }\ncheck_sample: 10%\nlimits: { error_rate: < 50% }\n";
    let temp = folder(&text.replace("SAMPLE", "GET"));
    let ran =
        load(temp.path(), &service).expect(0).says("Sampled: checks of the body of sampled/a were made on ");
    let made: f64 =
        ran.out.split("were made on ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((30.0..100.0).contains(&made), "{made} of 600");
    // Of what is not looked at nothing is counted as an error; what is looked at is.
    rewrite(temp.path(), &text.replace("SAMPLE", "PUT").replace("{ name: a", "{ name: a, only: load"));
    load(temp.path(), &service).expect(0);
    let errors = endpoint(temp.path(), "a")["error_rate"].as_f64().unwrap();
    assert!((0.04..0.2).contains(&errors), "{errors}");
}

/// What may be sent twice is asked again: a near-miss if that helps. What may not be fails at once.
#[test]
fn a_second_try_tells_a_hiccup_from_a_fault() {
    let asked: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let router = Router::new().route(
        "/{what}",
        any(move |UrlPath(what): UrlPath<String>| async move {
            let mut asked = asked.lock().unwrap();
            let times = asked.entry(what.clone()).or_default();
            *times += 1;
            let first = *times == 1;
            match what.as_str() {
                "hiccup" | "posted" if first => (StatusCode::SERVICE_UNAVAILABLE, "later"),
                "flicker" if first => (StatusCode::OK, "wrong"),
                "wrong" => (StatusCode::OK, "wrong"),
                _ => (StatusCode::OK, "right"),
            }
        }),
    );
    let service = Service::start(router);
    let check = "check: [ { body: { equals: right } } ]";
    let temp = folder(&format!(
        "feature: tries\nsteps:\n  - {{ name: hiccup, get: /hiccup, {check} }}\n  - {{ name: flicker, get: /flicker, {check} }}\n\
         \x20 - {{ name: wrong, put: /wrong, {check} }}\nfinally:\n  - {{ name: posted, post: /posted, {check} }}\n"
    ));
    let ran = run(&mut smoke(temp.path(), &service)).expect(1);
    let ran = ran
        .says("near  tries/hiccup")
        .says("near  tries/flicker")
        .says("FAIL  tries/wrong")
        .says("FAIL  tries/posted");
    assert!(ran.err.contains("first try: status: expected 2xx or 3xx, got 503"), "{}", ran.err);
    for (request, times) in [("GET /hiccup", 2), ("GET /flicker", 2), ("PUT /wrong", 2), ("POST /posted", 1)]
    {
        assert_eq!(service.count(request), times, "{request}");
    }
}

/// What fails under load is shown as in a smoke pass: the check, the request, the response, a command.
#[test]
fn an_error_under_load_shows_its_check_its_request_and_its_response() {
    let api = get(|RawQuery(query): RawQuery| async move {
        let wrong = query.is_some_and(|query| query.contains("odd"));
        axum::Json(json!({"state": if wrong { "lost" } else { "found" }, "count": if wrong { 0 } else { 3 }}))
    });
    let service = Service::start(Router::new().route("/find", api));
    let temp = folder(
        "feature: search\ndata: { words: { csv: words.csv, pick: sequential } }\nsteps:\n  - name: find\n    get: /find\n\
         \x20   query: { q: \"${words.q}\" }\n    check:\n      - { jsonpath: $.state, equals: found }\n\
         \x20     - { jsonpath: $.count, between: [1, 9] }\nload: { warmup: 1s, stages: [ { rate: 40/s, for: 2s } ] }\n",
    );
    std::fs::write(temp.path().join("words.csv"), "q\nodd one\nplain\n").unwrap();
    let ran = load(temp.path(), &service).expect(1);
    let command = format!("curl -sS -i '{}/find?q=odd%20one'", service.url);
    ran.says("one of the errors of search/find (check)")
        .says("scenario.yaml:8:11")
        .says("$.state: expected \"found\", found \"lost\"")
        .says("also line 9: $.count: expected a number between 1 and 9, found 0")
        .says("\"state\": \"lost\"")
        .says(&command);
}
