use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::conformance_servers::Authority;
use crate::servers::{Service, endpoint, folder, load, rewrite, smoke};
use crate::support::run;

/// Events every 50 ms, and a socket that answers sums.
fn live() -> Router {
    async fn events() -> Response {
        let stream = futures_util::stream::unfold(0u32, |n| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let kind = if n.is_multiple_of(2) { "price" } else { "noise" };
            Some((
                Ok::<_, std::convert::Infallible>(
                    Event::default().event(kind).data(json!({"n": n}).to_string()),
                ),
                n + 1,
            ))
        });
        Sse::new(stream).into_response()
    }
    async fn socket(headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
        let token = headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap_or_default().to_owned());
        upgrade.on_upgrade(|mut socket| async move {
            let _ = socket.send(Message::Text(json!({"hello": token}).to_string().into())).await;
            while let Some(Ok(message)) = socket.recv().await {
                let Message::Text(text) = message else { continue };
                let sum = serde_json::from_str::<Vec<i64>>(&text).map(|all| all.iter().sum::<i64>());
                let answer =
                    sum.map_or_else(|_| json!({"error": "numbers please"}), |sum| json!({"sum": sum}));
                let _ = socket.send(Message::Ping(Bytes::from_static(b"?"))).await;
                let _ = socket.send(Message::Text(answer.to_string().into())).await;
            }
        })
    }
    Router::new()
        .route("/events", get(events))
        .route("/ws", get(socket))
        .route(
            "/silent",
            get(|| async {
                Sse::new(futures_util::stream::pending::<Result<Event, std::convert::Infallible>>())
            }),
        )
        .route("/page", get(|| async { Html("<p>no stream</p>") }))
}

const LIVE: &str = r#"
feature: live
vars: { two: 2 }
headers: { authorization: Bearer shown }
steps:
  - name: prices
    sse: { get: /events, event: price, events: 3, within: 2s, each: [ { jsonpath: $.n, type: integer } ] }
    capture: { last: { jsonpath: $.n } }
    check: [ { content_type: text/event-stream }, { jsonpath: $.n, equals: 4 } ]
  - name: sum
    websocket: { url: /ws, send: [ [1, "${two}", 3] ], expect: [ { jsonpath: $.sum, equals: 6 } ], within: 2s }
    check: [ status: 101 ]
  - name: greeting
    websocket: { url: /ws, expect: [ { jsonpath: $.hello, equals: Bearer shown } ] }
  - name: after that
    get: /page?last=${last}
load: { warmup: 1s, stages: [ { rate: 10/s, for: 3s } ] }
"#;

#[test]
fn events_and_sockets_are_waited_for_checked_and_timed() {
    let service = Service::start(live());
    let temp = folder(LIVE);
    load(temp.path(), &service).expect(0);
    assert!(service.count("GET /page?last=4") > 30);
    let p50 = |step: &str| endpoint(temp.path(), step)["p50_ms"].as_f64().unwrap();
    // The third price is the fifth event.
    assert!(p50("prices") >= 250.0 && p50("sum") < p50("prices"), "{} {}", p50("prices"), p50("sum"));
    for (from, into, says) in [
        ("/events", "/silent", "timeout: sse: no event within 2"),
        ("/events", "/page", "expected content-type text/event-stream, got text/html"),
        ("type: integer", "equals: 0", "event 2: $.n: expected 0, found 2"),
        (
            "equals: 6",
            "equals: 7",
            "none of 2 messages is what is expected; of the last, $.sum: expected 7, found 6",
        ),
        ("url: /ws, send", "url: /page, send", "status: expected 101, got 200"),
    ] {
        rewrite(temp.path(), &LIVE.replacen(from, into, 1));
        run(&mut smoke(temp.path(), &service)).expect(1).says(says);
    }
}

#[test]
fn streams_and_client_certificates_over_tls() {
    let authority = Authority::found();
    let service = Service::start_tls(live(), authority.certify_mutual(&["localhost"]));
    let temp = folder(LIVE);
    let (cert, key) = authority.client();
    let roots = authority.roots();
    let with = |own: &[&std::ffi::OsStr]| {
        rewrite(temp.path(), LIVE);
        run(smoke(temp.path(), &service).arg("--cacert").arg(&roots).args(own))
    };
    let cert_flags = ["--cert".as_ref(), cert.as_os_str(), "--key".as_ref(), key.as_os_str()];
    with(&cert_flags).expect(0);
    with(&[]).expect(1).says("FAIL  live/prices");
    with(&["--cert".as_ref(), roots.as_os_str()]).expect(2).says("use client certificate");
}
