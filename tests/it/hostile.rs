use std::io::Write as _;

use bytes::Bytes;
use serde_json::json;

use crate::conformance_servers::Act::Hold;
use crate::conformance_servers::{Act, Server, scripts, send};
use crate::servers::folder;
use crate::support::{json as read_json, run};

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
            "",
        ),
        (
            "two lengths",
            always(&send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}")),
            "protocol",
            "",
        ),
        ("no HTTP", always(&send("SSH-2.0-OpenSSH_9.2\r\n")), "protocol", ""),
    ];
    let (temp, _) = folder(
        "feature: hostile\nsteps:\n  - name: ask\n    get: /\n    timeout: 20s\n    check: [ CHECK ]\n\
         load: { warmup: 0s, stages: [ { rate: 10/s, for: 1s } ] }\n",
    );
    let text = std::fs::read_to_string(temp.path().join("scenario.yaml")).unwrap();
    for (name, script, class, says) in cases {
        let check = if name == "text that is none" {
            "body: { contains: ok }"
        } else {
            "{ jsonpath: $.a, exists: true }"
        };
        let own = if name == "nested" { "{ jsonpath: '$[0]', exists: true }" } else { check };
        // By both transports, in a smoke pass and under load.
        for transport in ["http", "wire"] {
            for only in if transport == "wire" { &["", ", only: load"][..] } else { &[""] } {
                let scenario = text.replace("CHECK", own).replace(
                    "name: ask",
                    &format!("name: ask{}", if only.is_empty() { "" } else { "\n    only: load" }),
                );
                std::fs::write(temp.path().join("scenario.yaml"), scenario).unwrap();
                let _ = std::fs::remove_dir_all(temp.path().join("out"));
                let server = Server::start(&scripts([script.clone()]));
                let url = format!("http://{}", server.address);
                let mut command = std::process::Command::new("sh");
                // Four gigabytes come out of the bomb and more than one of the flood: kept, they would end the process.
                let limited = "ulimit -v 1200000; exec \"$0\" \"$@\"";
                command.current_dir(temp.path()).env("NO_COLOR", "1").args(["-c", limited]);
                command.arg(env!("CARGO_BIN_EXE_loadgate"));
                let ran = run(command.args([
                    "run",
                    "scenario.yaml",
                    "--target",
                    &url,
                    "--transport",
                    transport,
                    "--out",
                    "out",
                ]));
                let label = format!("{name} by {transport}{only}\n{}\n{}", ran.out, ran.err);
                assert_eq!(ran.code, 1, "{label}");
                let record = read_json(&temp.path().join("out/run.json"));
                if only.is_empty() {
                    let message = record["smoke"]["steps"][0]["message"].as_str().unwrap();
                    assert!(message.contains(says), "{label}");
                    assert!(class == "check" || message.starts_with(class), "{label}");
                } else {
                    let errors = &record["runs"][0]["endpoints"][0]["errors"];
                    assert_eq!(*errors, json!({class: 10}), "{label}");
                    let example = record["error_examples"][0]["message"].as_str().unwrap();
                    assert!(example.contains(says), "{label}");
                }
            }
        }
    }
}
