use crate::support::{Demo, http, loadgate, run};

#[test]
fn quick_measures_one_url_and_counts_what_the_server_counts() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let url = format!("{}/dashboard", demo.url);
    let ran =
        run(loadgate(temp.path()).args(["quick", &url, "--rate", "100/s", "--for", "3s", "--json", "-q"]))
            .expect(0);
    let verdict: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let endpoint = &verdict["endpoints"][0];
    assert_eq!(endpoint["requests"], 300);
    assert_eq!(
        served(&demo),
        1 + 100 + 300,
        "one smoke request, a second of warm-up, three seconds measured"
    );

    let out = std::fs::read_dir(temp.path().join("results")).unwrap().next().unwrap().unwrap().path();
    let record = crate::support::json(&out.join("run.json"));
    let blocks = record["runs"][0]["blocks"].as_array().unwrap();
    let planned: u64 = blocks.iter().map(|b| b["planned"].as_u64().unwrap()).sum();
    assert_eq!((blocks.len(), planned), (6, 300), "half a second holds fifty requests");
}

#[test]
fn the_emitted_scenario_is_the_same_run() {
    let temp = tempfile::tempdir().unwrap();
    let flags = ["-H", "x-odd: a \"q\" ${v}", "-d", "{\"a\": 1}", "--rate", "90/m", "--for", "2s"];
    let ran = run(loadgate(temp.path())
        .args(["quick", "http://127.0.0.1:1/x?q=1"])
        .args(flags)
        .arg("--emit-scenario"));
    insta::assert_snapshot!("emitted_scenario", ran.expect(0).out);
    let ran =
        run(loadgate(temp.path()).args(["quick", "http://127.0.0.1:1/x"]).args(flags).arg("--emit-scenario"));
    std::fs::write(temp.path().join("body.json"), "{\"from\": \"a file\"}").unwrap();
    let users =
        ["-c", "20", "-n", "5000", "-D", "body.json", "-X", "put", "--timeout", "2s", "--warmup", "0s"];
    let other =
        run(loadgate(temp.path()).args(["quick", "http://127.0.0.1:1/x"]).args(users).arg("--emit-scenario"));
    insta::assert_snapshot!("emitted_scenario_of_users", other.expect(0).out);
    std::fs::write(temp.path().join("quick.yaml"), ran.out).unwrap();
    run(loadgate(temp.path()).args(["validate", "quick.yaml"])).expect(0).says("quick/request");
}

fn served(demo: &Demo) -> u64 {
    let metrics = String::from_utf8(http(demo.address(), "GET", "/metrics", "").1).unwrap();
    metrics.lines().find_map(|l| l.strip_prefix("demo_requests_total ")).unwrap().parse().unwrap()
}

/// A number of requests instead of a length, by users and by rate.
#[test]
fn so_many_requests_and_not_one_more() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let url = format!("{}/dashboard", demo.url);
    // One user is fewer than there are workers; once the others' part of the requests was never sent.
    let cases = [(["-c", "7"], 500, 0), (["--rate", "100/s"], 200, 501), (["-c", "1"], 25, 702)];
    for (load, count, before) in cases {
        let args = ["quick", &url, "-n", &count.to_string(), "--warmup", "0s", "--quiet"];
        let ran = run(loadgate(temp.path()).args(args).args(load)).expect(0);
        let first = ran.out.lines().next().unwrap_or_default().to_owned();
        assert!(["GO. ", "HOLD. "].iter().any(|action| first.starts_with(action)), "{first}");
        ran.says(&format!("{count} requests")).says("latency  response").says("first byte");
        assert_eq!(served(&demo) - before, 1 + count, "one smoke request and {count}");
    }
    run(loadgate(temp.path()).args(["quick", &url, "-c", "5", "--rate", "5/s"])).expect(2);
}
