use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Demo, fixture, http, json, loadgate, run};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// One that takes remote writes, and scrapes `target`.
    fn start(folder: &Path, target: &str, more: &[&str]) -> Self {
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs: [ {{ job_name: page, honor_labels: true, static_configs: [ {{ targets: ['{target}'] }} ] }} ]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new("prometheus")
            .current_dir(folder)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=error"])
            .args(["--web.enable-remote-write-receiver", &format!("--web.listen-address={address}")])
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .expect("ci/test installs prometheus");
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < until, "Prometheus does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(500));
        Self { child, address }
    }

    fn ask(&self, query: &str) -> Option<f64> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (_, body) = http(&self.address, "GET", &format!("/api/v1/query?query={encoded}"), "");
        let text = String::from_utf8_lossy(&body).into_owned();
        let start = text.find('{')?;
        let value: Value = serde_json::from_str(&text[start..=text.rfind('}')?]).ok()?;
        value["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SCENARIO: &str = "feature: told\nsteps: [ { name: page, get: /dashboard } ]\nload: { warmup: 1s, stages: [ { rate: 100/s, for: 8s } \
                        ] }\nlimits: { p95: < 2s, error_rate: < 50% }\n";

/// Whether two values are in one bucket, or in two neighbouring ones, that are each so much wider than the one before.
#[track_caller]
fn close(told: Option<f64>, known_ms: &Value, width: f64, what: &str) {
    let (told, known) = (told.unwrap_or_else(|| panic!("{what}: nothing")), known_ms.as_f64().unwrap() / 1e3);
    assert!((told / known).ln().abs() <= width.ln() * 1.001, "{what}: {told} against {known}");
}

/// Debian's Prometheus is written to and scrapes: counts are the record's, quantiles within a bucket.
#[test]
fn prometheus_has_the_figures_of_the_record() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, demo) = (temp.path(), Demo::start(&["--fault", "errors:risk-dashboard:5%"]));
    std::fs::write(folder.join("told.yaml"), SCENARIO).unwrap();
    let page = format!("127.0.0.1:{}", free_port());
    let prometheus = Prometheus::start(folder, &page, &["--enable-feature=native-histograms"]);
    let args =
        ["run", "told.yaml", "--target", &demo.url, "--out", "out", "--quiet", "--metrics-listen", &page];
    let write = format!("http://{}/api/v1/write", prometheus.address);
    let more = ["--remote-write", &write, "--metrics-every", "1s", "--metrics-linger", "2500ms"];
    run(loadgate(folder).args(args).args(more)).expect(0);
    let verdict = json(&folder.join("out/verdict.json"));
    let own = &verdict["endpoints"][0];
    let native = |q: f64| {
        format!(
            "histogram_quantile({q}, loadgate_response_duration_seconds{{phase=\"measured\",job=\"loadgate\"}})"
        )
    };
    // A page that is gone makes its series stale with the next scrape, and this may come between two questions.
    let classic = |q: f64, job: &str| {
        format!(
            "histogram_quantile({q}, last_over_time(loadgate_response_duration_seconds_bucket{{phase=\"measured\",job=\"{job}\"}}[1m]))"
        )
    };
    let (narrow, wide) = (2f64.powf(1.0 / 32.0), 2f64.powf(0.25));
    for (key, q) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)] {
        close(prometheus.ask(&native(q)), &own[key], narrow, &format!("native {key}"));
        close(prometheus.ask(&classic(q, "loadgate")), &own[key], wide, &format!("written {key}"));
        close(prometheus.ask(&classic(q, "page")), &own[key], wide, &format!("scraped {key}"));
    }
    for job in ["loadgate", "page"] {
        let total = |name: &str| {
            prometheus.ask(&format!("sum(last_over_time({name}{{phase=\"measured\",job=\"{job}\"}}[1m]))"))
        };
        assert_eq!(total("loadgate_requests_total"), own["requests"].as_f64(), "{job}");
        assert_eq!(total("loadgate_errors_total"), own["errors"].as_f64(), "{job}");
        assert_eq!(total("http_client_request_duration_seconds_count"), own["requests"].as_f64(), "{job}");
    }
    assert!(own["errors"].as_u64().unwrap() > 0);
    let by_type = "sum(loadgate_errors_total{phase=\"measured\",job=\"loadgate\",error_type=\"status\",feature=\"told\",step=\"page\"})";
    assert_eq!(prometheus.ask(by_type), own["errors"].as_f64());
}

/// A receiver without native histograms gets the classic ones; one that is away, or an address that is taken, keeps no verdict back.
#[test]
fn what_cannot_be_told_is_said_and_changes_no_verdict() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, demo) = (temp.path(), Demo::start(&[]));
    std::fs::write(folder.join("told.yaml"), SCENARIO.replace("for: 8s", "for: 6s")).unwrap();
    let prometheus = Prometheus::start(folder, "127.0.0.1:9", &[]);
    let write = format!("http://{}/api/v1/write", prometheus.address);
    let args = ["run", "told.yaml", "--target", &demo.url, "--metrics-every", "1s"];
    let more = ["--out", "classic", "--remote-write", &write, "--otlp", "http://127.0.0.1:9"];
    let ran = run(loadgate(folder).args(args).args(more)).expect(0);
    ran.says("telemetry: OTLP: cannot connect");
    let own = &json(&folder.join("classic/verdict.json"))["endpoints"][0];
    let p95 = prometheus
        .ask("histogram_quantile(0.95, loadgate_response_duration_seconds_bucket{phase=\"measured\"})");
    close(p95, &own["p95_ms"], 2f64.powf(0.25), "classic p95");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let ran = run(loadgate(folder).args(args).args(["--out", "none", "--metrics-listen", &taken])).expect(2);
    ran.says("--metrics-listen").says("Address already in use");
    assert!(!folder.join("none").exists(), "and the folder is free for the next try");
    run(loadgate(folder).args(args).args(["--metrics-listen", "9464"]))
        .expect(2)
        .says("such as 127.0.0.1:9464");
    run(loadgate(folder).args(args).args(["--otlp", "collector:4318"]))
        .expect(2)
        .says("did you mean http://collector:4318?");
}

/// Decoded by OpenTelemetry's own messages.
#[test]
fn a_collector_is_told_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, demo) = (temp.path(), Demo::start(&[]));
    std::fs::write(folder.join("told.yaml"), SCENARIO.replace("for: 8s", "for: 6s")).unwrap();
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python3");
    let mut receiver = Command::new(python)
        .arg(fixture("telemetry/receive.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ci/test installs OpenTelemetry's messages");
    let mut lines = BufReader::new(receiver.stdout.take().unwrap());
    let mut port = String::new();
    lines.read_line(&mut port).unwrap();
    // An address with a path is a base, too.
    let url = format!("http://127.0.0.1:{}/otlp", port.trim());
    let args = [
        "run",
        "told.yaml",
        "--target",
        &demo.url,
        "--out",
        "out",
        "--quiet",
        "--metrics-every",
        "1s",
        "--otlp",
        &url,
    ];
    run(loadgate(folder).args(args).env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=our%20own")).expect(0);
    drop(receiver.stdin.take());
    let mut text = String::new();
    lines.read_to_string(&mut text).unwrap();
    receiver.wait().unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    let (record, verdict) = (json(&folder.join("out/run.json")), json(&folder.join("out/verdict.json")));
    let own = &verdict["endpoints"][0];
    assert_eq!(
        (&told["resource"]["service.name"], &told["resource"]["service.instance.id"]),
        (&"loadgate".into(), &record["id"])
    );
    let requests = told["requests"].as_array().unwrap();
    assert!(requests.len() >= 4, "{requests:?}");
    assert_eq!(requests[0], serde_json::json!(["/otlp/v1/metrics", "application/x-protobuf", "our own"]));
    let measured = |name: &str| {
        let points = told["metrics"][name].as_array().unwrap_or_else(|| panic!("{name}: {told}"));
        points.iter().find(|point| point["attributes"]["loadgate.phase"] == "measured").unwrap().clone()
    };
    let response = measured("loadgate.response.duration");
    assert_eq!((&response["unit"], &response["kind"]), (&"s".into(), &"exponential_histogram".into()));
    assert_eq!(response["count"], own["requests"]);
    for (key, of) in [("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms")] {
        close(response[key].as_f64(), &own[of], 2f64.powf(1.0 / 32.0), key);
    }
    let service = measured("http.client.request.duration");
    let attributes = &service["attributes"];
    assert_eq!(
        (&attributes["http.request.method"], &attributes["url.template"]),
        (&"GET".into(), &"/dashboard".into())
    );
    assert_eq!(attributes["server.address"], "127.0.0.1");
    assert_eq!(measured("loadgate.requests")["value"], own["requests"]);
}

/// What each request carried as its parent, and whether it was answered late.
type Kept = std::sync::Arc<std::sync::Mutex<Vec<(String, bool)>>>;

/// A target that keeps what it was asked with, and answers one of twenty late.
fn keeping() -> (String, Kept) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let all = kept.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = all.clone();
            std::thread::spawn(move || {
                use std::io::Write as _;
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                loop {
                    let mut parent = String::new();
                    loop {
                        let mut line = String::new();
                        if lines.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if let Some(value) = line.to_ascii_lowercase().strip_prefix("traceparent: ") {
                            value.trim().clone_into(&mut parent);
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    let slow = {
                        let mut all = all.lock().unwrap();
                        let slow = all.len() % 20 == 19;
                        all.push((parent, slow));
                        slow
                    };
                    if slow {
                        std::thread::sleep(Duration::from_millis(80));
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                }
            });
        }
    });
    (format!("http://{address}"), kept)
}

/// Each request of the load has a trace of its own, and the slowest are listed with theirs.
#[test]
fn a_slow_request_can_be_found_by_its_trace() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    std::fs::write(folder.join("told.yaml"), SCENARIO.replace("for: 8s", "for: 6s")).unwrap();
    let (url, kept) = keeping();
    let args = ["run", "told.yaml", "--target", &url, "--quiet", "--out"];
    run(loadgate(folder).args(args).args(["out", "--traceparent"])).expect(0);
    let all = kept.lock().unwrap().clone();
    let traced: Vec<&(String, bool)> = all.iter().filter(|(parent, _)| !parent.is_empty()).collect();
    assert!(traced.len() >= 700 && all.len() - traced.len() <= 2, "the functional pass alone has none");
    let ids: std::collections::BTreeSet<&str> = traced.iter().map(|(parent, _)| &parent[3..35]).collect();
    assert_eq!(ids.len(), traced.len(), "each has one of its own");
    let form = |parent: &str| {
        let parts: Vec<&str> = parent.split('-').collect();
        let hex = |part: &str, len: usize| part.len() == len && part.chars().all(|c| c.is_ascii_hexdigit());
        parts.len() == 4 && parts[0] == "00" && hex(parts[1], 32) && hex(parts[2], 16) && parts[3] == "01"
    };
    assert!(traced.iter().all(|(parent, _)| form(parent)), "{:?}", traced[0]);
    let record = json(&folder.join("out/run.json"));
    let slowest = record["runs"][0]["endpoints"][0]["slowest"].as_array().unwrap();
    assert_eq!(slowest.len(), 10);
    for one in slowest {
        let id = one["trace_id"].as_str().unwrap();
        let (_, slow) = traced.iter().find(|(parent, _)| &parent[3..35] == id).expect("it was sent");
        assert!(*slow && one["response_ms"].as_f64().unwrap() >= 80.0, "{one}");
    }
    for file in ["report.md", "report.html"] {
        let text = std::fs::read_to_string(folder.join("out").join(file)).unwrap().replace("<wbr>", "");
        assert!(
            text.contains("The slowest requests") && text.contains(slowest[0]["trace_id"].as_str().unwrap()),
            "{file}"
        );
    }
    run(loadgate(folder).args(args).arg("plain")).expect(0);
    assert!(
        kept.lock().unwrap()[all.len()..].iter().all(|(parent, _)| parent.is_empty()),
        "only where it is asked for"
    );
}
