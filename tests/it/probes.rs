//! Figures that others measure, read beside the load: a real Prometheus, JSON, commands; what is missing or late holds.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path as Route;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};

use crate::canaries::{PLAIN, canary, verdict};
use crate::servers::{Service, folder};
use crate::support::{Demo, Ran, http, loadgate, results, run};

const SCORE: &str = "feature: churn-prediction
steps:
  - name: score
    post: /api/v1/churn/score
    json: { tenant_id: 7 }
load: { warmup: 1s, stages: [ { rate: 20/s, for: 8s } ] }
limits: { error_rate: < 40% }
";

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Debian's Prometheus, scraping a demo once a second.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    fn scraping(folder: &Path, target: &str) -> Self {
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs: [ {{ job_name: demo, static_configs: [ {{ targets: ['{target}'] }} ] }} ]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let url = format!("http://127.0.0.1:{}", free_port());
        let child = Command::new("prometheus")
            .current_dir(folder)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=error"])
            .arg(format!("--web.listen-address={}", url.trim_start_matches("http://")))
            .stderr(Stdio::null())
            .spawn()
            .expect("ci/test installs prometheus");
        let own = Self { child, url };
        let until = Instant::now() + Duration::from_secs(30);
        while !own.has("demo_db_connections") {
            assert!(Instant::now() < until, "Prometheus scraped nothing");
            std::thread::sleep(Duration::from_millis(200));
        }
        own
    }

    fn has(&self, series: &str) -> bool {
        let address = self.url.trim_start_matches("http://");
        if std::net::TcpStream::connect(address).is_err() {
            return false;
        }
        let (_, body) = http(address, "GET", &format!("/api/v1/query?query={series}"), "");
        String::from_utf8_lossy(&body).contains("\"value\"")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PROBES: &str = "vars: { prom: '' }
probes:
  cpu: { prometheus: \"${prom}\", query: demo_cpu_ratio, every: 1s, max_age: 4s, limit: < 70%, for: 3s }
  connections: { prometheus: \"${prom}\", query: demo_db_connections, every: 1s, limit: < 100, for: 5s }
  all connections: { prometheus: \"${prom}\", query_range: demo_db_connections, every: 1s, late: 6s, max_age: 4s, limit: < 100, for: 5s }
  figures: { json: \"${target}/stats\", jsonpath: $.db.connections, at: $.at, max_age: 4s, every: 1s, limit: < 100, for: 5s }
  load: { command: [cat, /proc/loadavg], every: 1s }
";

fn probed(folder: &Path, target: &str, args: &[&str]) -> Command {
    let mut command = loadgate(folder);
    command
        .args(["run", "scenario.yaml", "--probes", "probes.yaml", "--out", "out", "--target", target])
        .args(args);
    command
}

fn standing<'a>(verdict: &'a Value, name: &str) -> &'a str {
    let all = verdict["probes"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap()["standing"].as_str().unwrap()
}

/// A spike that recovers is told and rolls nothing back; a Prometheus that is stopped midway holds, however well all else is.
#[test]
fn a_transient_is_told_and_a_prometheus_that_is_stopped_midway_holds() {
    let temp = folder(SCORE);
    std::fs::write(temp.path().join("probes.yaml"), PROBES).unwrap();
    let demo = Demo::start(&["--allow-faults"]);
    let mut prometheus = Prometheus::scraping(temp.path(), demo.address());
    http(demo.address(), "PUT", "/faults", "[\"db-spike:after=4s,for=2500ms\"]");
    let var = format!("prom={}", prometheus.url);
    run(&mut probed(temp.path(), &demo.url, &["--var", &var]))
        .expect(0)
        .says("Near-miss: figures was")
        .says("and recovered");
    let found = verdict(temp.path());
    for (name, expected) in [
        ("cpu", "held"),
        ("connections", "near_miss"),
        ("all connections", "near_miss"),
        ("figures", "near_miss"),
        ("load", "shown"),
    ] {
        assert_eq!(standing(&found, name), expected, "{name}: {found:#}");
    }
    let junit = std::fs::read_to_string(results(temp.path()).join("junit.xml")).unwrap();
    assert!(junit.contains("name=\"cpu\""), "{junit}");
    crate::contract::fit_their_schemas(&results(temp.path()));

    std::fs::remove_dir_all(results(temp.path())).unwrap();
    let running = probed(temp.path(), &demo.url, &["--var", &var])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(5500));
    prometheus.child.kill().unwrap();
    let output = running.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    Ran { code: output.status.code().unwrap(), out, err: String::new() }
        .expect(3)
        .says("HOLD. Not known: cpu is missing from")
        .says("cannot connect");
    let found = verdict(temp.path());
    assert_eq!(
        ["cpu", "connections", "all connections", "figures"].map(|name| standing(&found, name)),
        ["not_known", "not_known", "not_known", "held"]
    );
    // A connection is an incident of its own of each probe; that a stored run is judged again tells the same.
    run(loadgate(temp.path()).args(["compare", "out", "--allow", "unresolved"]))
        .expect(3)
        .says("Not known: cpu");
}

/// What is late is not known; what can never be read is told before anything is sent, without its credentials.
#[test]
fn late_figures_hold_and_refused_credentials_are_told_before_the_load() {
    let temp = folder(&SCORE.replace("for: 8s", "for: 4s"));
    let figures = "probes: { figures: { json: \"${target}/stats\", jsonpath: $.cpu, at: $.at, max_age: 10s, every: 1s, limit: < 70% } }\n";
    std::fs::write(temp.path().join("probes.yaml"), figures).unwrap();
    let demo = Demo::start(&["--fault", "late-telemetry:5m"]);
    run(&mut probed(temp.path(), &demo.url, &[]))
        .expect(3)
        .says("Not known: figures could not be read at all")
        .says("old, more than 10.0 s");
    std::fs::remove_dir_all(results(temp.path())).unwrap();

    let guarded = Service::start(Router::new().fallback(get(|headers: HeaderMap| async move {
        let token = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
        (StatusCode::UNAUTHORIZED, format!("no such token: {token:?}"))
    })));
    let secret = "headers: { authorization: \"Bearer ${secret.PROM_TOKEN}\" }, limit: < 70%";
    let probes = format!("probes: {{ cpu: {{ prometheus: \"{}\", query: cpu, {secret} }} }}\n", guarded.url);
    std::fs::write(temp.path().join("probes.yaml"), probes).unwrap();
    let ran = run(probed(temp.path(), &demo.url, &[]).env("PROM_TOKEN", "expired-prom-token"))
        .expect(3)
        .says("Nothing was measured, since a probe cannot be read")
        .says("its credentials are refused");
    assert!(!ran.out.contains("1 look"), "no load was sent");
    for file in std::fs::read_dir(results(temp.path())).unwrap().flatten() {
        let text = String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned();
        assert!(!text.contains("expired-prom-token"), "{}", file.path().display());
    }
}

/// Counters of two cohorts of real users; on the worse one a request of twenty fails.
fn cohorts(worse: &'static str) -> Router {
    let start = Instant::now();
    let stats = move |Route(arm): Route<String>| async move {
        let requests = start.elapsed().as_millis() as f64;
        let errors = if arm == worse { requests * 0.05 } else { 0.0 };
        axum::Json(json!({ "errors": errors.floor(), "requests": requests.floor() }))
    };
    let page = |headers: HeaderMap| async move {
        let cohort = headers.get("x-flag").map_or("", |v| v.to_str().unwrap()).to_owned();
        ([("x-cohort", cohort)], "ok").into_response()
    };
    Router::new().route("/users/{arm}", get(stats)).fallback(get(page))
}

/// No request of loadgate's own fails: only the users of one arm meet errors.
#[test]
fn real_users_of_both_arms_are_compared() {
    let probes = "probes:
  checkout:
    json: ${target}/users/${arm}
    jsonpath: $.errors
    of: $.requests
    compare: error_rate
    arms: { control: stable, candidate: beta }
    every: 1s
";
    let temp = folder(PLAIN);
    std::fs::write(temp.path().join("probes.yaml"), probes).unwrap();
    let flags = ["--control-header", "x-flag: stable", "--candidate-header", "x-flag: beta"];
    let ask = |worse: &'static str| {
        let service = Service::start(cohorts(worse));
        let arms = [
            "--control",
            &service.url,
            "--candidate",
            &service.url,
            "--for",
            "12s",
            "--probes",
            "probes.yaml",
        ];
        canary(temp.path(), &[&flags[..], &arms].concat())
    };
    ask("beta").expect(1).says("Real users are worse off");
    let found = ask("stable");
    assert_eq!(found.code & 1, found.code & 3, "the control's users alone roll nothing back: {}", found.out);
    let all = verdict(temp.path());
    let users =
        all["comparisons"].as_array().unwrap().iter().find(|c| c["endpoint"] == "real users/checkout");
    assert_eq!(users.unwrap()["settled"], "within", "{all:#}");
    // Both arms asked for the same figure: there would be nothing to compare.
    std::fs::write(temp.path().join("probes.yaml"), probes.replace("${arm}", "stable")).unwrap();
    ask("beta").expect(2).says("asks the same of both arms");
}

#[test]
fn mistakes_in_probes_are_named_with_their_place() {
    let temp = folder(SCORE);
    for (probe, expected) in [
        ("{ prometheus: \"http://p\", qeury: cpu }", "did you mean `query`?"),
        ("{ prometheus: \"http://p\" }", "exactly one of query, query_range"),
        ("{ json: \"http://p\", jsonpath: $.cpu, limit: 70% }", "expected a sign and a number"),
        ("{ json: \"http://p\", jsonpath: cpu }", "a JSONPath begins with `$`"),
        ("{ json: \"http://p\", jsonpath: $.a, compare: error_rate }", "a rate alone does not say"),
        ("{ command: [cpu], for: 10s }", "`for` belongs to `limit`"),
        ("{ command: [cpu], every: 100ms }", "a probe asks once a second at most"),
        ("{ command: [cpu, \"${secret.NOT_SET_HERE}\"] }", "NOT_SET_HERE is not set"),
        ("{ command: [cpu, \"${uuid}\"] }", "changes from one iteration to the next"),
        ("{ json: \"${targett}/a\", jsonpath: $.a }", "unknown variable `targett`"),
    ] {
        std::fs::write(temp.path().join("probes.yaml"), format!("probes:\n  cpu: {probe}\n")).unwrap();
        let ran = run(&mut probed(temp.path(), "http://127.0.0.1:9", &[])).expect(2).says(expected);
        assert!(ran.err.contains("probes.yaml:2:"), "{}", ran.err);
    }
    for (alert, expected) in [
        ("{ when: error_rate > 5%, respond: x, severity: pager }", "did you mean `page`?"),
        ("{ when: error_rate > 5% }", "`respond` is missing"),
        ("{ when: cpuu > 5, respond: x }", "unknown metric or probe `cpuu`"),
        ("{ when: p95 < 5ms, respond: x }", "expected `>`"),
        ("{ when: verdict fail, for: 5s, respond: x }", "a verdict has no window"),
        ("{ when: error_rate > 5%, errors: [chek], respond: x }", "did you mean `check`?"),
    ] {
        std::fs::write(temp.path().join("probes.yaml"), format!("alerts:\n  - {alert}\n")).unwrap();
        run(&mut probed(temp.path(), "http://127.0.0.1:9", &[])).expect(2).says(expected);
    }
    std::fs::write(temp.path().join("probes.yaml"), "notify:\n  - { slack: hooks.example }\n").unwrap();
    run(&mut probed(temp.path(), "http://127.0.0.1:9", &[])).expect(2).says("begins with http://");
    assert!(!results(temp.path()).exists());
}
