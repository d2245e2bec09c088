use std::io::Write as _;

use bytes::Bytes;
use serde_json::json;

use crate::conformance_servers::Act::Hold;
use crate::conformance_servers::{Act, Server, scripts, send};
use crate::servers::{folder, rewrite};
use crate::support::{json as read_json, loadgate_within, run};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn answer(headers: &str, body: &[u8]) -> Act {
    let mut all = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    send(all)
}

/// One response after the other on each connection, as many as smoke and its second try ask for.
fn always(act: &Act) -> Vec<Act> {
    (0..50).flat_map(|_| [Act::Request, act.clone()]).collect()
}

/// More of the same than anybody would want, until the client has had enough.
fn flood(head: &str, piece: &[u8], times: usize) -> Vec<Act> {
    let mut acts = vec![Act::Request, send(head.to_owned())];
    let large: Bytes = piece.iter().copied().cycle().take(1 << 20).collect();
    acts.extend((0..times).map(|_| send(large.clone())));
    acts.push(Hold);
    acts
}

#[test]
fn bad_bytes_become_one_clear_error_class_each_and_memory_stays_bounded() {
    let json = "content-type: application/json\r\n";
    let encoded = format!("{json}content-encoding: gzip\r\n");
    let cases = [
        ("invalid UTF-8", always(&answer(json, b"{\"a\": \"\xff\xfe\"}")), "check", "the body is not JSON"),
        ("text that is none", always(&answer("", b"ok \xff")), "check", "not UTF-8 text from byte 3 on"),
        ("NaN", always(&answer(json, b"{\"a\": NaN}")), "check", "the body is not JSON: expected value"),
        (
            "nested",
            always(&answer(json, &[b"[".repeat(100_000), b"]".repeat(100_000)].concat())),
            "check",
            "recursion limit exceeded",
        ),
        (
            "a gigabyte, announced",
            always(&send("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")),
            "protocol",
            "over the cap of 16 MiB",
        ),
        (
            "a gigabyte, in chunks",
            flood("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000000\r\n", b"x", 1500),
            "protocol",
            "over the cap of 16 MiB",
        ),
        (
            "a gzip bomb",
            always(&answer(&encoded, &gzip(&vec![b' '; 64 << 20]).repeat(64))),
            "protocol",
            "over the cap of 16 MiB once it is decompressed",
        ),
        ("gzip that is none", always(&answer(&encoded, b"{\"a\": 1}")), "protocol", "not valid gzip"),
        (
            "endless headers",
            flood("HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n", 4),
            "protocol",
            "too large",
        ),
        (
            "less than its length",
            vec![Act::Request, send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}")],
            "reset",
            "before",
        ),
        (
            "two lengths",
            always(&send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}")),
            "protocol",
            "content-length",
        ),
        ("no HTTP", always(&send("SSH-2.0-OpenSSH_9.2\r\n")), "protocol", "invalid HTTP version"),
    ];
    let temp = folder("");
    for (name, script, class, says) in cases {
        let check = match name {
            "text that is none" => "body: { contains: ok }",
            "nested" => "{ jsonpath: '$[0]', exists: true }",
            _ => "{ jsonpath: $.a, exists: true }",
        };
        for (transport, under_load) in [("http", false), ("wire", false), ("http", true), ("wire", true)] {
            let only = if under_load { "only: load" } else { "only: smoke" };
            let load = "load: { warmup: 0s, stages: [ { rate: 10/s, for: 1s } ] }";
            rewrite(
                temp.path(),
                &format!(
                    "feature: hostile\nsteps:\n  - {{ name: ask, get: /, timeout: 20s, {only}, check: [ {check} ] }}\n{}",
                    if under_load { load } else { "" }
                ),
            );
            let server = Server::start(&scripts([script.clone()]));
            let url = format!("http://{}", server.address);
            // Four gigabytes come out of the bomb and more than one of the flood: kept, they would end the process.
            let mut command = loadgate_within(temp.path(), 1_200_000);
            let kind = if under_load { "run" } else { "smoke" };
            let ran = run(command
                .args([kind, "scenario.yaml", "--target", &url, "--transport", transport])
                .args(["--out", "out"]));
            let label = format!("{name} by {transport}, {only}\n{}\n{}", ran.out, ran.err);
            assert_eq!(ran.code, 1, "{label}");
            let record = read_json(&temp.path().join("out/run.json"));
            let message = if under_load {
                let errors = &record["runs"][0]["endpoints"][0]["errors"];
                assert_eq!(*errors, json!({class: 10}), "{label}");
                &record["error_examples"][0]["message"]
            } else {
                let step = &record["smoke"]["steps"][0];
                assert_eq!(step["class"], class, "{label}");
                &step["message"]
            };
            assert!(message.as_str().unwrap().contains(says), "{label}");
        }
    }
}
