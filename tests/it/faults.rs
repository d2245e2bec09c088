//! Targets that misbehave in every way that a network knows, through the binary: each is told by its class and in one clear
//! sentence, with all files and every request accounted for, and none is ever a pass.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;

use crate::conformance_servers::Act::{Bite, Flood, Hold, Pause, Reset, Shut, Sip, Stream};
use crate::conformance_servers::{Act, Authority, Serve, Server, answers, ok, scripts, self_signed, send};
use crate::fault_runs::{
    ENDS_WITHIN, Fault, RATE, ensure, left_behind, meet_all, proves_it, run_within, side_by_side,
};
use crate::fault_servers::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, Mortal, NAMES_TIMEOUT, OK, PING, SETTINGS, SilentNames, frame,
    goaway, reset, settings,
};
use crate::servers::Service;
use crate::support::{json, loadgate, run};

#[test]
fn every_reset_is_an_error_of_its_class_and_never_a_pass() {
    // The client has read what came before the end; RST would throw it away.
    let cut = |text: &'static str| [send(text), Pause(30), Reset];
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello";
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n20\r\nhello";
    let second = [Act::Request, send(ok("one")), Act::Request, Reset];
    let by_peer = "onnection reset by peer";
    meet_all(&[
        // The connection may be gone before anybody has seen it open.
        Fault::script("reset on accept", [Reset], "reset", by_peer)
            .or("connect", "Broken pipe")
            .or("reset", "connection closed before"),
        Fault::script("reset in the request", [Bite(10), Reset], "reset", by_peer),
        Fault::answer("reset before the answer", [Reset], "reset", by_peer),
        Fault::answer("reset after the status line", cut("HTTP/1.1 200 OK\r\n"), "reset", by_peer),
        Fault::answer("reset in the headers", cut("HTTP/1.1 200 OK\r\ncontent-le"), "reset", by_peer),
        Fault::answer("reset in a body with a length", cut(length), "reset", by_peer),
        Fault::answer("reset in a chunk", cut(chunk), "reset", by_peer),
        Fault {
            // A POST is not sent twice, so that the second step has one try.
            asks: "post: /",
            before: "  - { name: first, get: / }\n",
            serve: scripts([second.to_vec(), vec![Act::Request, Reset]]),
            ..Fault::script("reset instead of the second answer", second.clone(), "reset", by_peer)
        }
        .only_smoke(),
        Fault::script("every second answer is a reset", second, "reset", by_peer).only_load(),
    ]);
}

#[test]
fn what_never_answers_ends_by_its_timeout_and_is_told_as_one() {
    let drip = |head: &'static str, rest: &'static str| {
        let slowly = rest.bytes().flat_map(|byte| [send(vec![byte]), Pause(100)]);
        [Act::Request, send(head)].into_iter().chain(slowly).chain([Hold]).collect::<Vec<_>>()
    };
    let headers = "x-one: 1\r\nx-two: 2\r\ncontent-length: 2\r\n\r\nok";
    let endless = |head: &'static str, piece: &'static str| {
        let pieces = std::iter::repeat_n([send(piece), Pause(20)], 500).flatten();
        [Act::Request, send(head)].into_iter().chain(pieces).collect::<Vec<_>>()
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n";
    meet_all(&[
        Fault::hang("accepts and never answers", [Act::Request, Hold]),
        Fault::new("never accepts", Serve::Full, "http://127.0.0.1", "timeout", "timed out").short(),
        Fault { asks: "post: /, file: large.txt", ..Fault::hang("stops reading", [Bite(10), Pause(3000)]) },
        Fault::hang("slow headers", drip("HTTP/1.1 200 OK\r\n", headers)),
        Fault::hang("slow body", drip(length, "a body that takes three seconds")),
        Fault::hang("slow chunks", drip(chunked, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")),
        Fault::hang("slow headers without end", endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n")),
        Fault::hang("slow body without end", endless("HTTP/1.0 200 OK\r\n\r\n", "more")),
        Fault::hang("interim answers without end", endless("", "HTTP/1.1 100 Continue\r\n\r\n")),
        Fault::hang(
            "a flood of interim answers",
            [Act::Request, Flood("HTTP/1.1 100 Continue\r\n\r\n".repeat(40_000).into())],
        )
        .only_smoke(),
        Fault { first: None, base: "https://127.0.0.1".into(), ..Fault::hang("no handshake", [Sip, Hold]) },
    ]);
}

#[test]
fn what_is_only_half_an_answer_is_none() {
    let heads = "HTTP/1.1 200 OK\r\n";
    let more = "x-more: and more\r\n".repeat(60_000);
    let closed = "connection closed before";
    meet_all(&[
        Fault::answer("closes its direction before it answers", [Shut, Hold], "reset", closed),
        Fault::answer("closes its direction in the headers", [send(heads), Shut, Hold], "reset", closed),
        Fault::answer("headers without end", [send(heads), send(more), Hold], "protocol", "too large"),
    ]);
}

/// A record of TLS 1.0.
fn record(kind: u8, payload: &[u8]) -> Act {
    send([&[kind, 3, 1][..], &(payload.len() as u16).to_be_bytes(), payload].concat())
}

#[test]
fn who_cannot_be_trusted_is_not_asked() {
    let authority = Authority::found();
    let roots = authority.roots();
    let trusting = |fault: Fault| fault.with(&["--cacert", &roots.display().to_string()]);
    // Version, random, no session, AES-128-CBC-SHA, no compression: what a server of 1999 says.
    let hello = [&[2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let raw =
        |name, acts: Vec<Act>, says| Fault::new(name, scripts([acts]), "https://localhost", "tls", says);
    let plain = vec![Sip, send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), Hold];
    let secure = Serve::Tls(authority.certify(&["localhost"], &[]), answers(50, "safe"));
    meet_all(&[
        trusting(Fault::tls("expired", authority.certify_expired(&["localhost"]), "certificate expired")),
        trusting(Fault::tls("another's", authority.certify(&["other.example"], &[]), "not valid for name")),
        Fault::tls("nobody's", authority.certify(&["localhost"], &[]), "UnknownIssuer"),
        Fault::tls("its own", self_signed(&["localhost"]), "UnknownIssuer"),
        raw("TLS 1.0", vec![Sip, record(22, &hello), Hold], "peer is incompatible"),
        raw("refuses the version", vec![Sip, record(21, &[2, 70]), Hold], "ProtocolVersion"),
        raw("plain HTTP on a port for TLS", plain, "does it speak plain HTTP there"),
        raw("leaves in the handshake", vec![Sip], "eof"),
        Fault::new("TLS on a plain port", secure, "http://localhost", "protocol", "HTTP"),
    ]);
}

#[test]
fn insecure_takes_whoever_answers() {
    let authority = Authority::found();
    for (name, config) in [
        ("expired", authority.certify_expired(&["localhost"])),
        ("another's", authority.certify(&["other.example"], &[])),
        ("its own", self_signed(&["localhost"])),
    ] {
        for transport in ["http", "wire"] {
            let server = Server::start(&Serve::Tls(config.clone(), answers(50, "safe")));
            let url = format!("https://localhost:{}", server.address.port());
            let temp = tempfile::tempdir().unwrap();
            let args = ["quick", &url, "-k", "--rate", "20/s", "--for", "1s", "--warmup", "0s"];
            let ran = run(loadgate(temp.path()).args(args).args(["--transport", transport, "--out", "out"]));
            let endpoint = json(&temp.path().join("out/run.json"))["runs"][0]["endpoints"][0].clone();
            assert_eq!(endpoint["requests"], 20, "{name} by {transport}: {}{}", ran.out, ran.err);
            assert_eq!(endpoint["errors"], serde_json::json!({}), "{name} by {transport}");
            // A machine that was late holds; nothing is proven.
            assert!([0, 3].contains(&ran.code), "{name} by {transport}: {}", ran.code);
        }
    }
}

#[test]
fn frames_that_break_http2_are_errors_and_never_a_pass() {
    let begin = || send(settings());
    let streams = |each: fn(u32) -> Vec<u8>| {
        let turns = (0..60).flat_map(move |n| [Stream, send(each(2 * n + 1))]);
        [begin()].into_iter().chain(turns).chain([Hold]).collect::<Vec<_>>()
    };
    let after = |acts: &[Act]| [&[begin(), Stream], acts].concat();
    let garbage = |stream: u32, payload: &[u8]| vec![send(frame(SETTINGS, 0, stream, payload)), Stream, Hold];
    let cut = |bytes: Vec<u8>, length: usize| after(&[send(bytes[..length].to_vec()), Shut, Hold]);
    let open = frame(HEADERS, END_HEADERS, 1, OK);
    let flood = |first: Vec<u8>, piece: Vec<u8>| after(&[send(first), Flood(piece.repeat(2000).into())]);
    // A literal field that is not indexed: `x: x`.
    let field = frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'x'].repeat(1000));
    let slow = |fault: Fault| fault.short().only_smoke();
    // Where a request waited for the connection, why that ended is lost ("operation was canceled").
    let broken = |name, acts: Vec<Act>, says| {
        Fault::http2(name, acts, "reset", says).or("reset", "connection closed").or("protocol", says)
    };
    let closed = "bytes remaining on stream";
    let abusive = "excessive load";
    meet_all(&[
        Fault::http2(
            "GOAWAY, stream not looked at",
            after(&[send(goaway(0, 0)), Hold]),
            "reset",
            "(GOAWAY) before it answered",
        ),
        Fault::http2("GOAWAY, calm down", after(&[send(goaway(0, 11)), Hold]), "reset", abusive),
        Fault::http2(
            "a flood of GOAWAY",
            after(&[send(goaway(1, 0).repeat(5000)), Shut, Hold]),
            "reset",
            "stream closed",
        )
        .or("reset", "not a result of an error")
        .or("reset", "connection closed"),
        Fault::http2("each stream is reset", streams(|id| reset(id, 2)), "reset", "stream error received"),
        Fault::http2("each stream is refused", streams(|id| reset(id, 7)), "reset", "refused stream"),
        Fault::http2(
            "a flood of RST_STREAM",
            streams(|id| reset(id, 8).repeat(2000)),
            "reset",
            "no longer needed",
        ),
        broken("SETTINGS of five bytes", garbage(0, &[0; 5]), "protocol error"),
        broken("SETTINGS of a stream", garbage(1, &[0; 6]), "protocol error"),
        broken("a window over 31 bits", garbage(0, &[0, 4, 255, 255, 255, 255]), "protocol error"),
        broken("HTTP/1.1", vec![Sip, send(ok("old")), Hold], "invalid size"),
        Fault::http2("closed in HEADERS", cut(open.clone(), 9), "reset", closed),
        Fault::http2(
            "closed in DATA",
            cut([&open[..], &frame(DATA, 0, 1, b"half")].concat(), 21),
            "reset",
            closed,
        ),
        Fault::http2("no frame at all", [Sip, Hold], "timeout", "timed out").short(),
        Fault::http2("no answer", after(&[Hold]), "timeout", "timed out").short(),
        slow(Fault::http2(
            "PING without end",
            flood(vec![], frame(PING, 0, 0, &[7; 8])),
            "timeout",
            "timed out",
        )),
        broken("DATA without end or bytes", flood(open, frame(DATA, 0, 1, &[])), abusive),
        broken("fields without end", flood(frame(HEADERS, 0, 1, OK), field), abusive),
    ]);
}

#[test]
fn streams_of_events_that_break_are_errors_and_never_a_pass() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let row = |name, acts: Vec<Act>, class, says| Fault {
        asks: "sse: { get: /, events: 2, within: 400ms }",
        first: None,
        ..Fault::answer(name, acts, class, says)
    };
    let first = format!("{head}data: 1\n\n");
    let more = |text: String| vec![send(text), Hold];
    meet_all(&[
        row("events, reset before the answer", vec![Reset], "reset", "onnection reset by peer"),
        row(
            "events, reset between two",
            vec![send(first.clone()), Pause(30), Reset],
            "reset",
            "reset by peer",
        ),
        row("events, over before there are enough", vec![send(first.clone())], "reset", "ended after 1"),
        row("events, none", more(head.to_owned()), "timeout", "no event within 400"),
        row("events, one and no more", more(first), "timeout", "1 of 2 events before the timeout").short(),
        row(
            "events, comments only",
            vec![send(head), Flood(": still here\n\n".into())],
            "timeout",
            "no event within",
        ),
        row(
            "events, one without end",
            vec![send(head), Flood("data: more\n".repeat(5000).into())],
            "timeout",
            "no event within",
        )
        .or("protocol", "over the cap"),
    ]);
}

#[test]
fn sockets_that_break_are_errors_and_never_a_pass() {
    let row = |name, acts: Vec<Act>, class, says| Fault {
        asks: "websocket: { url: /, expect: [ { body: { contains: hello } } ], within: 400ms }",
        first: None,
        ..Fault::script(name, acts, class, says)
    };
    let then = |frame: &[u8]| vec![Act::Upgrade, send(frame.to_vec()), Hold];
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAA\r\n\r\n";
    let huge = [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat();
    meet_all(&[
        row("socket, reset in the handshake", vec![Act::Request, Reset], "reset", "onnection reset by peer"),
        row("socket, no handshake", vec![Act::Request, Hold], "timeout", "no response in time"),
        row("socket, another's key", vec![Act::Request, send(wrong), Hold], "protocol", "Key mismatch"),
        row("socket, reset", vec![Act::Upgrade, Pause(30), Reset], "reset", "reset"),
        row("socket, closed", then(&[0x88, 2, 3, 243]), "reset", "closed"),
        row("socket, silent", vec![Act::Upgrade, Hold], "timeout", "no message in time"),
        row(
            "socket, nothing that is expected",
            then(b"\x81\x02no"),
            "timeout",
            "none of 1 messages is what is expected",
        ),
        row("socket, bits that mean nothing", then(b"\xf1\x05hello"), "protocol", "eserved"),
        row("socket, masked", then(b"\x81\x85\0\0\0\0hello"), "protocol", "masked"),
        row("socket, no text", then(b"\x81\x02\xff\xfe"), "protocol", "UTF-8"),
        row("socket, larger than any message", then(&huge), "protocol", "long"),
        row(
            "socket, pings without end",
            vec![Act::Upgrade, Flood(b"\x89\0".repeat(2000).into())],
            "timeout",
            "no message in time",
        ),
    ]);
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    let other: Arc<OnceLock<String>> = Arc::default();
    let to = |location: &'static str| {
        get(move || async move { (StatusCode::FOUND, [(header::LOCATION, location)]) })
    };
    let there = other.clone();
    let service = Service::start(
        Router::new()
            .route("/self", to("/self"))
            .route("/away", to("http://other.example/"))
            .route("/broken", to("http://[::bad/"))
            .route("/port", to("http://localhost:99999/"))
            .route("/mail", to("mailto:x@example.com"))
            .route("/ftp", to("ftp://localhost/x"))
            .route("/nowhere", get(|| async { StatusCode::FOUND }))
            .route(
                "/there",
                get(move || async move {
                    (StatusCode::FOUND, [(header::LOCATION, there.get().cloned().unwrap())])
                }),
            ),
    );
    let home = format!("{}/there", service.url);
    let back = Service::start(Router::new().route(
        "/back",
        get(move || async move { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, home)]) }),
    ));
    other.set(format!("{}/back", back.url)).expect("set once");
    let row =
        |name, asks, says| Fault { asks, ..Fault::new(name, Serve::Refuse, &service.url, "check", says) };
    meet_all(&[
        row("to itself", "get: /self, redirects: 5", "still redirected after 5"),
        row("to each other", "get: /there, redirects: 5", "still redirected after 5"),
        row("to another host", "get: /away, redirects: 5", "`other.example` is another host"),
        row("to no address", "get: /broken, redirects: 5", "is no address to go on to"),
        row("to no port", "get: /port, redirects: 5", "is no address to go on to"),
        row("to a mailbox", "get: /mail, redirects: 5", "is not an absolute http or https URL"),
        row("to nowhere", "get: /nowhere, redirects: 5", "302 without a Location"),
        row("to another protocol", "get: /ftp, redirects: 5", "is not an absolute http or https URL"),
    ]);
    // Two tries of the functional pass and each request of the load, with five redirects each, over two transports.
    assert_eq!(service.count("GET /self") as u64, 2 * 6 * (2 + RATE));
}

#[test]
fn a_name_that_does_not_exist_is_told_as_such() {
    let row =
        Fault::new("no name", Serve::Refuse, "http://does-not-exist.invalid", "connect", "lookup address");
    // Under load it would be the resolver that is tested: the name server that never answers stands for that.
    meet_all(&[
        row.only_smoke(),
        Fault::new("refused", Serve::Refuse, "http://127.0.0.1", "connect", "Connection refused"),
    ]);
}

/// A resolver waits for longer than any request may take, in a thread that nothing can stop.
#[test]
fn a_name_server_that_never_answers_holds_nothing_up() {
    let names = SilentNames::new().unwrap_or_else(|why| panic!("{why}"));
    let row =
        Fault::new("silent names", Serve::Refuse, "http://slow.example", "timeout", "timed out").short();
    for (transport, under_load) in [("http", false), ("wire", false), ("http", true), ("wire", true)] {
        let temp = tempfile::tempdir().unwrap();
        let (command, _server) = row.prepare(temp.path(), transport, under_load);
        let mut command = names.within(temp.path(), &command);
        let label = format!("{transport}, under load: {under_load}");
        let ran = run_within(&mut command, temp.path(), NAMES_TIMEOUT * 3 / 5);
        let ran = ran.unwrap_or_else(|| panic!("{label}: it waits for the resolver"));
        proves_it(&ran, &temp.path().join("out"), under_load)
            .unwrap_or_else(|e| panic!("{label}: {e}\n{}", ran.out));
    }
}

#[test]
fn a_target_that_dies_midway_fails_and_no_request_is_lost() {
    for transport in ["http", "wire"] {
        let temp = tempfile::tempdir().unwrap();
        let target = Mortal::start(1);
        let scenario = "feature: fault\nsteps:\n  - { name: one, get: / }\n  - { name: two, get: / }\n  - { name: three, get: / }\n";
        std::fs::write(temp.path().join("scenario.yaml"), scenario).unwrap();
        let url = format!("http://{}", target.address);
        let args = ["--transport", transport, "--out", "smoke"];
        let ran = run(loadgate(temp.path()).args(["smoke", "scenario.yaml", "--target", &url]).args(args));
        proves_it(&ran, &temp.path().join("smoke"), false).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
        let steps = json(&temp.path().join("smoke/run.json"))["smoke"]["steps"].clone();
        let told = [0, 1, 2].map(|n: usize| steps[n]["status"].clone());
        assert_eq!(told, ["passed", "failed", "skipped"], "{steps}");
        // The second try is refused, unless it goes out on another kept connection that is as dead.
        assert!(steps[1]["class"] == "connect" || steps[1]["class"] == "reset", "{steps}");

        for (load, all) in [(["--rate", "40/s"], Some(60)), (["-c", "4"], None)] {
            let target = Mortal::start(31);
            let out = format!("out{}", load[0]);
            let args = ["--for", "1500ms", "--warmup", "0s", "--transport", transport, "--out", &out];
            let url = format!("http://{}", target.address);
            let ran = run(loadgate(temp.path()).args(["quick", &url]).args(args).args(load));
            let out: PathBuf = temp.path().join(out);
            proves_it(&ran, &out, true).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
            let endpoint = json(&out.join("run.json"))["runs"][0]["endpoints"][0].clone();
            let errors = &endpoint["errors"];
            let count = |class: &str| errors[class].as_u64().unwrap_or_default();
            let (requests, failed) =
                (endpoint["requests"].as_u64().unwrap(), count("connect") + count("reset"));
            assert!(all.is_none_or(|all| all == requests), "{requests} requests");
            // An answer that was on its way may have gone with the connection.
            let answered = requests - failed;
            assert!((1..=30).contains(&answered), "{answered} of {requests} answered, {errors}");
            assert!(count("connect") > 0 && target.asked() >= 32, "{errors}, {} asked", target.asked());
        }
    }
}

/// Nothing is proven of a target that was given time and never was there: that holds.
#[test]
fn a_target_that_does_not_get_ready_holds() {
    let row = |name, acts: &[Act]| Fault { first: None, ..Fault::answer(name, acts, "", "") };
    let expired = Authority::found().certify_expired(&["localhost"]);
    let faults = [
        row("resets", &[Reset]),
        row("never answers", &[Hold]),
        row("has errors", &[send("HTTP/1.1 503 Not Yet\r\ncontent-length: 0\r\n\r\n")]),
        Fault::tls("expired", expired, ""),
        Fault::new("never accepts", Serve::Full, "http://127.0.0.1", "", ""),
        Fault::new("no name", Serve::Refuse, "http://does-not-exist.invalid", "", ""),
    ];
    let jobs = faults.iter().flat_map(|fault| [(fault, "http", false), (fault, "wire", true)]);
    side_by_side(&jobs.collect::<Vec<_>>(), |(fault, transport, under_load)| {
        let temp = tempfile::tempdir().expect("a folder");
        let (mut command, _server) = fault.prepare(temp.path(), transport, *under_load);
        let ran = run_within(command.args(["--wait", "1s"]), temp.path(), ENDS_WITHIN);
        let ran = ran.ok_or_else(|| format!("{} by {transport}: it does not end", fault.name))?;
        let label = |e: String| format!("{} by {transport}: {e}\n{}\n{}", fault.name, ran.out, ran.err);
        ensure(ran.code == 3, || format!("exit code {}", ran.code)).map_err(label)?;
        let says = "The target never became ready: after 1 s, ";
        let first = ran.out.lines().next().unwrap_or_default();
        ensure(first.starts_with("HOLD. ") && first.contains(says), || format!("not `{says}`"))
            .map_err(label)?;
        left_behind(&temp.path().join("out"), false).map_err(label)?;
        let verdict = json(&temp.path().join("out/verdict.json"));
        ensure(verdict["action"] == "hold" && verdict["exit_code"] == 3, || verdict.to_string())
            .map_err(label)?;
        let record = json(&temp.path().join("out/run.json"));
        ensure(record["runs"] == serde_json::json!([]), || "it was measured".to_owned()).map_err(label)
    });
}
