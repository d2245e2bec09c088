//! Where load may go, how much of it, and who it says it is from.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{any, get};

use crate::servers::{Service, folder, rewrite, smoke, whole};
use crate::support::{json, loadgate, results, run};

const LOAD: &str =
    "load: { warmup: 0s, stages: [ { rate: 60/s, for: 3s } ] }\nlimits: { error_rate: < 90% }\n";

#[test]
fn no_host_is_put_under_load_that_nobody_named() {
    let other = Service::start(Router::new().fallback(any(|| async { "other" })));
    let elsewhere = other.url.replace("localhost", "127.0.0.1");
    let told = elsewhere.clone();
    let service = Service::start(
        Router::new().fallback(any(move || async move { format!("{{\"next\":\"{told}/n\"}}") })),
    );
    // Known beforehand: nothing is sent.
    let known = format!(
        "feature: f\nsteps:\n  - {{ name: a, get: / }}\n  - {{ name: b, get: \"{elsewhere}/x\" }}\n{LOAD}"
    );
    let temp = folder(&known);
    for mut command in [smoke(temp.path(), &service), whole(temp.path(), &service)] {
        run(&mut command)
            .expect(2)
            .says("scenario.yaml:4:")
            .says("`b` leads to `127.0.0.1`, which is not the target")
            .says("`allow_hosts: [ 127.0.0.1 ]`");
    }
    assert!(service.log().is_empty() && other.log().is_empty() && !results(temp.path()).exists());
    rewrite(temp.path(), &format!("{known}allow_hosts: [ 127.0.0.1 ]\n"));
    run(&mut smoke(temp.path(), &service)).expect(0);
    assert_eq!(other.log(), ["GET /x"]);
    // The target's own host by another name of its port is the same host.
    rewrite(temp.path(), &known.replace("127.0.0.1", "localhost"));
    run(&mut smoke(temp.path(), &service)).expect(0);
    // No address at all, and a target that paths cannot be put behind.
    rewrite(temp.path(), "feature: f\nsteps: [ { name: a, get: \"http://localhost:1x/\" } ]\n");
    run(&mut smoke(temp.path(), &service)).expect(2).says("`a` has no address: invalid port number");
    rewrite(temp.path(), "feature: f\nsteps: [ { name: a, get: / } ]\n");
    let mut command = loadgate(temp.path());
    command.args(["smoke", "scenario.yaml", "--target", &format!("{}/base?token=hidden", service.url)]);
    let ran = run(&mut command).expect(2).says("has a query");
    assert!(!ran.err.contains("hidden"), "{}", ran.err);
    // Known only in the iteration: held back there.
    let captured = "feature: f\nsteps:\n  - { name: a, get: /, capture: { next: { jsonpath: $.next } } }\n  - { name: b, get: \"${next}\" }\n";
    rewrite(temp.path(), captured);
    run(&mut smoke(temp.path(), &service))
        .expect(1)
        .says("not sent: `127.0.0.1` is another host; list it under `allow_hosts`");
    assert_eq!(other.count("GET /n"), 0);
    rewrite(temp.path(), &format!("{captured}allow_hosts: [ 127.0.0.1 ]\n"));
    run(&mut smoke(temp.path(), &service)).expect(0);
    assert_eq!(other.count("GET /n"), 1);
}

#[test]
fn nobody_is_led_to_where_clouds_keep_credentials() {
    let to = |place: &'static str| {
        get(move || async move { (StatusCode::FOUND, [(header::LOCATION, place)]).into_response() })
    };
    let router = Router::new()
        .route("/four", to("http://169.254.169.254/latest/meta-data/"))
        .route("/number", to("http://2852039166/"))
        .route("/six", to("http://[fd00:ec2::254]/"))
        .route("/mapped", to("http://[::ffff:169.254.169.254]/"))
        .route("/name", to("http://metadata.google.internal/computeMetadata/v1/"));
    let service = Service::start(router);
    for path in ["four", "number", "six", "mapped", "name"] {
        let text = format!(
            "feature: f\nsteps:\n  - {{ name: a, get: /{path}, redirects: 3 }}\nallow_hosts: [ 169.254.169.254, metadata.google.internal ]\n"
        );
        let temp = folder(&text);
        run(&mut smoke(temp.path(), &service)).expect(1).says("where clouds keep credentials");
    }
}

/// An address of this machine whose name does not say so. It answers for as long as the test goes on.
fn another_machine(status: &'static str) -> String {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    format!("http://0.0.0.0:{port}/")
}

#[test]
fn a_high_rate_at_another_machine_must_be_meant() {
    let target = another_machine("404 Not Found");
    let temp = tempfile::tempdir().unwrap();
    let quick = |rate: &str, target: &str, more: &[&str]| {
        let mut command = loadgate(temp.path());
        command.args(["quick", target, "--rate", rate, "--for", "1s", "--out", "out"]).args(more);
        run(&mut command)
    };
    quick("12000/s", &target, &[]).expect(2).says("the load rises to 12000/s").says("--max-rate 12000/s");
    quick("720001/m", &target, &["--max-rate", "12000/s"]).expect(2).says("the load rises to 12001/s");
    quick("1/s", &target, &["--max-rate", "0.5/s"]).expect(2).says("above the --max-rate of 0.5/s");
    assert!(!temp.path().join("out").exists(), "nothing was begun");
    // Meant: it is asked, and its answer fails the functional pass.
    quick("12000/s", &target, &["--max-rate", "12000/s"]).expect(1).says("got 404");
    // What counts are requests, not iterations.
    let thrice = "feature: c\nsteps: [ { name: s, get: / }, { repeat: { times: 2, steps: [ { name: t, get: / } ] } } ]\nload: { warmup: 0s, stages: [ { rate: 4000/s, for: 1s } ] }\n";
    std::fs::write(temp.path().join("c.yaml"), thrice).unwrap();
    let mut command = loadgate(temp.path());
    run(command.args(["run", "c.yaml", "--target", &target, "--out", "three"]))
        .expect(2)
        .says("the load rises to 12000/s requests");
    // Every try of a poll is one.
    let often = "feature: o\nsteps: [ { name: s, poll: { get: /, every: 10ms, within: 1m, until: [ status: 200 ] } } ]\nload: { warmup: 0s, stages: [ { rate: 60/s, for: 2s } ] }\n";
    std::fs::write(temp.path().join("o.yaml"), often).unwrap();
    let mut command = loadgate(temp.path());
    run(command.args(["run", "o.yaml", "--target", &target, "--out", "often"]))
        .expect(2)
        .says("the load rises to 12000/s requests");
    // What it leaves is for virtual users.
    let users =
        "feature: u\nsteps: [ { name: s, get: / } ]\nload: { warmup: 0s, stages: [ { vus: 2, for: 1s } ] }\n";
    std::fs::write(temp.path().join("u.yaml"), users).unwrap();
    let mut command = loadgate(temp.path());
    command.args(["run", "c.yaml", "u.yaml", "--target", &target, "--out", "users", "--max-rate", "12000/s"]);
    run(&mut command).expect(2).says("leaves next to nothing of 12000/s to virtual users");
    // All files together count, each at its highest.
    for (name, stages) in
        [("a", "{ rate: 6000/s, for: 1s }"), ("b", "{ rate: 10/s, for: 1s }, { ramp: 4001/s, for: 1s }")]
    {
        let text = format!(
            "feature: {name}\nsteps: [ {{ name: s, get: / }} ]\nload: {{ warmup: 0s, stages: [ {stages} ] }}\n"
        );
        std::fs::write(temp.path().join(format!("{name}.yaml")), text).unwrap();
    }
    let mut command = loadgate(temp.path());
    run(command.args(["run", "a.yaml", "b.yaml", "--target", &target, "--out", "two"]))
        .expect(2)
        .says("the load rises to 10001/s");
}

/// Where nobody gave one, this machine may be loaded with whatever is asked for.
#[test]
fn a_ceiling_that_is_given_holds_for_this_machine_too() {
    let service = Service::start(Router::new().fallback(any(|| async { "well" })));
    let temp = tempfile::tempdir().unwrap();
    let quick = |args: &[&str]| {
        run(loadgate(temp.path()).args(["quick", &service.url, "--warmup", "0s", "--out", "out"]).args(args))
    };
    quick(&["--rate", "50/s", "--for", "1s", "--max-rate", "20/s"])
        .expect(2)
        .says("the load rises to 50/s requests, above the --max-rate of 20/s");
    quick(&["--vus", "2", "-n", "12", "--max-rate", "20/s"]);
    let look = json(&temp.path().join("out/run.json"))["runs"][0].clone();
    assert!(look["notes"].to_string().contains("no more than 20 requests a second"), "{look}");
}

/// Credentials are for the host that they were given for, under whatever name they are sent.
#[test]
fn a_redirect_takes_no_credentials_to_another_origin() {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let kept = seen.clone();
    let other = Service::start(Router::new().fallback(any(move |request: Request| async move {
        kept.lock().unwrap().push(request.headers().clone());
        "well"
    })));
    let place = format!("{}/taken", other.url);
    let (found, again) = (place.clone(), place);
    let router = Router::new().route(
        "/again",
        any(move || async move { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, again)]) }),
    );
    let service = Service::start(
        router.fallback(any(move || async move { (StatusCode::FOUND, [(header::LOCATION, found)]) })),
    );
    let temp = folder(
        "feature: f\nauth: { bearer: open-sesame }\nsteps:\n  - { name: a, get: /, redirects: 1, headers: { x-api-key: k, cookie: c=1, x-plain: p, x-partner: \"of ${secret.PARTNER}\", x-copy: hush-4711 } }\n",
    );
    run(smoke(temp.path(), &service).env("PARTNER", "hush-4711")).expect(0);
    {
        let seen = seen.lock().unwrap();
        let names: Vec<&str> = seen[0].keys().map(header::HeaderName::as_str).collect();
        assert!(names.contains(&"x-plain") && names.contains(&"loadgate-run"), "{names:?}");
        for name in ["authorization", "x-api-key", "cookie", "x-partner", "x-copy"] {
            assert!(!names.contains(&name), "{names:?}");
        }
    }
    // A body that is sent once more is a step's business.
    let secret = "\"${secret.PARTNER}\"";
    for body in ["json: { a: [ SECRET ] }", "form: { a: SECRET }", "body: SECRET", "multipart: { a: SECRET }"]
    {
        for (what, code) in [(secret, 1), ("plain", 0)] {
            let body = body.replace("SECRET", what);
            rewrite(
                temp.path(),
                &format!("feature: f\nsteps: [ {{ name: a, post: /again, redirects: 1, {body} }} ]\n"),
            );
            let ran = run(smoke(temp.path(), &service).env("PARTNER", "hush-4711")).expect(code);
            assert_eq!(
                ran.out.contains("is another origin, and the body holds a secret"),
                code == 1,
                "{}",
                ran.out
            );
        }
    }
    assert_eq!(seen.lock().unwrap().len(), 1 + 4);
}

#[test]
fn hosts_may_be_ipv6_addresses() {
    let to = "http://[fd00::1]:1/x";
    let service = Service::start(
        Router::new().fallback(any(move || async move { (StatusCode::FOUND, [(header::LOCATION, to)]) })),
    );
    let step = "feature: f\nsteps:\n  - { name: a, get: /, redirects: 1, timeout: 500ms }\n";
    let temp = folder(step);
    run(&mut smoke(temp.path(), &service)).expect(1).says("`fd00::1` is another host");
    for host in ["\"fd00::1\"", "\"[fd00::1]\"", "\"FD00:0::1\""] {
        rewrite(temp.path(), &format!("{step}allow_hosts: [ {host} ]\n"));
        let ran = run(&mut smoke(temp.path(), &service)).expect(1);
        // Nobody is there, which is another matter.
        assert!(!ran.out.contains("is another host"), "{host}: {}", ran.out);
    }
}

/// However fast the answers come: without it these users would send thousands.
#[test]
fn virtual_users_are_held_back_at_the_ceiling() {
    let target = another_machine("200 OK");
    let temp = tempfile::tempdir().unwrap();
    for (limit, most) in [(["--for", "2s"], 2 * 20 + 4), (["--requests", "30"], 30)] {
        let mut command = loadgate(temp.path());
        command.args([
            "quick",
            &target,
            "--vus",
            "4",
            "--max-rate",
            "20/s",
            "--warmup",
            "0s",
            "--out",
            "out",
        ]);
        let ran = run(command.args(limit));
        let look = json(&temp.path().join("out/run.json"))["runs"][0].clone();
        let requests = look["endpoints"][0]["requests"].as_u64().unwrap();
        assert!((1..=most).contains(&requests), "{requests}: {}{}", ran.out, ran.err);
        assert!(
            look["notes"].to_string().contains("so as to send no more than 20 requests a second"),
            "{look}"
        );
        std::fs::remove_dir_all(temp.path().join("out")).unwrap();
    }
}

#[test]
fn every_request_says_which_run_it_is_of() {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let kept = seen.clone();
    let router = Router::new().fallback(any(move |request: Request| async move {
        kept.lock().unwrap().push(request.headers().clone());
        "well"
    }));
    let service = Service::start(router);
    let text = format!(
        "feature: f\nsteps:\n  - {{ name: a, get: / }}\n  - {{ name: own, get: /own, headers: {{ loadgate-run: mine }} }}\n{LOAD}"
    );
    let temp = folder(&text);
    // How late this machine is says nothing here.
    let ran = run(&mut whole(temp.path(), &service));
    assert!(matches!(ran.code, 0 | 3), "{}", ran.out);
    let id = json(&results(temp.path()).join("run.json"))["id"].as_str().unwrap().to_owned();
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 100);
    let (mut own, mut others) = (0, 0);
    for headers in seen.iter() {
        match headers["loadgate-run"].to_str().unwrap() {
            "mine" => own += 1,
            run => {
                assert_eq!(run, id);
                others += 1;
            }
        }
        assert_eq!(headers[header::USER_AGENT], concat!("loadgate/", env!("CARGO_PKG_VERSION")));
    }
    assert!(own > 50 && others > 50, "{own} and {others}");
}

/// Streams and HTTP/2 write their headers by themselves.
#[test]
fn every_protocol_says_which_run_it_is_of() {
    let seen: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
    let kept = seen.clone();
    let note = from_fn(move |request: Request, next: Next| {
        let place = format!("{:?} {}", request.version(), request.uri().path());
        kept.lock().unwrap().push((place, request.headers().clone()));
        next.run(request)
    });
    let hello = |mut socket: WebSocket| async move {
        let _ = socket.send(Message::text("hello")).await;
        while socket.recv().await.is_some_and(|got| got.is_ok()) {}
    };
    let router = Router::new()
        .route("/events", get(|| async { ([(header::CONTENT_TYPE, "text/event-stream")], "data: 1\n\n") }))
        .route("/socket", any(move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(hello) }))
        .fallback(any(|| async { "well" }))
        .layer(note);
    let service = Service::start(router);
    let temp = folder(
        "feature: f\nsteps:\n  - { name: e, sse: { get: /events } }\n  - { name: w, websocket: { url: /socket, expect: [ { body: { contains: hello } } ] } }\n",
    );
    run(&mut smoke(temp.path(), &service)).expect(0);
    for transport in ["http", "wire"] {
        rewrite(temp.path(), "feature: f\nsteps: [ { name: a, get: /two } ]\n");
        run(smoke(temp.path(), &service).args(["--http2", "--transport", transport])).expect(0);
    }
    let seen = seen.lock().unwrap();
    let mut places: Vec<&str> = seen.iter().map(|(place, _)| place.as_str()).collect();
    places.dedup();
    assert_eq!(places, ["HTTP/1.1 /events", "HTTP/1.1 /socket", "HTTP/2.0 /two"]);
    for (place, headers) in seen.iter() {
        assert!(headers.contains_key("loadgate-run"), "{place}");
        assert_eq!(headers[header::USER_AGENT], concat!("loadgate/", env!("CARGO_PKG_VERSION")), "{place}");
    }
}

#[test]
fn whoever_verifies_nothing_is_told_so_aloud() {
    let service = Service::start(Router::new().fallback(any(|| async { "well" })));
    let temp = folder("feature: f\nsteps: [ { name: a, get: / } ]\n");
    run(smoke(temp.path(), &service).args(["--insecure", "--quiet"])).expect(0).says("WARNING: --insecure");
    let verdict = json(&results(temp.path()).join("verdict.json"));
    assert!(
        verdict["findings"][0]["reason"].as_str().unwrap().contains("No certificate was verified"),
        "{verdict}"
    );
    for name in ["report.md", "report.html", "junit.xml"] {
        let report = std::fs::read_to_string(results(temp.path()).join(name)).unwrap();
        assert!(report.contains("No certificate was verified"), "{name}");
    }
}

/// Each byte of a record, changed: it is refused, or nothing else is read from it.
#[test]
fn a_record_that_was_changed_anywhere_is_refused_or_the_same() {
    let service = Service::start(Router::new().fallback(any(|| async { "well" })));
    let temp = folder("feature: f\nsteps: [ { name: a, get: / } ]\n");
    run(&mut smoke(temp.path(), &service)).expect(0);
    let path = results(temp.path()).join("run.json");
    let whole = std::fs::read(&path).unwrap();
    let read = || loadgate::gate::read_record(&path).map(|record| serde_json::to_vec(&record).unwrap());
    let before = read().unwrap();
    let mut refused = 0;
    for at in 0..whole.len() {
        for with in [whole[at] ^ 1, whole[at] ^ 0x20, b'0'] {
            let mut bytes = whole.clone();
            bytes[at] = with;
            std::fs::write(&path, &bytes).unwrap();
            match read() {
                Ok(same) => assert!(same == before, "byte {at} as {with}: another record is read"),
                Err(_) => refused += 1,
            }
        }
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(read().is_err(), "the first {at} bytes alone are read");
    }
    assert!(refused > 2 * whole.len(), "{refused} of {}", whole.len());
    let changed = String::from_utf8(whole).unwrap().replace("\"env\":\"default\"", "\"env\":\"defaulT\"");
    std::fs::write(&path, changed).unwrap();
    let mut command = loadgate(temp.path());
    run(command.args(["report", "out"]))
        .expect(2)
        .says("its checksum does not fit")
        .says("take `sha256` out of it");
}

/// A verdict that was edited is nobody's.
#[test]
fn a_verdict_that_was_changed_is_refused_and_who_verified_nothing_is_told_of_many() {
    let service = Service::start(Router::new().fallback(any(|| async { "well" })));
    let temp = folder("feature: f\nsteps: [ { name: a, get: / } ]\n");
    run(&mut smoke(temp.path(), &service)).expect(0);
    for (name, args) in [("good", &[][..]), ("blind", &["--insecure"][..])] {
        let mut command = loadgate(temp.path());
        command.args(["smoke", "scenario.yaml", "--target", &service.url, "--out", name, "--label", name]);
        run(command.args(args)).expect(0);
    }
    let combine = |runs: &[&str]| run(loadgate(temp.path()).arg("combine").args(runs));
    combine(&["good", "blind"]).expect(0).says("1 verified no certificate (--insecure): blind.");
    let path = temp.path().join("good/verdict.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("\"exit_code\": 0", "\"exit_code\": 1")).unwrap();
    // Nobody's verdict holds, and takes away no proof of another.
    combine(&["good"]).expect(3).says("1 without a verdict: good").says("its checksum does not fit");
    let broken = Service::start(Router::new().fallback(any(|| async { StatusCode::BAD_GATEWAY })));
    let mut command = loadgate(temp.path());
    command.args(["smoke", "scenario.yaml", "--target", &broken.url, "--out", "bad"]);
    run(&mut command).expect(1);
    combine(&["good", "bad"]).expect(1).says("1 proven bad: bad").says("1 without a verdict: good");
    run(loadgate(temp.path()).args(["report", "good"])).expect(2).says("its checksum does not fit");
}
