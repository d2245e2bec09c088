//! Who is told, and that nothing that was to be told is lost.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;

use crate::canaries::verdict;
use crate::probes::free_port;
use crate::servers::{Service, folder};
use crate::support::{Demo, http, loadgate, results, run};

/// Debian's Alertmanager, without anybody to tell further.
struct Alertmanager {
    child: std::process::Child,
    address: String,
}

impl Alertmanager {
    fn start(folder: &std::path::Path) -> Self {
        std::fs::write(
            folder.join("alertmanager.yml"),
            "route: { receiver: none }\nreceivers: [ { name: none } ]\n",
        )
        .unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new("prometheus-alertmanager")
            .current_dir(folder)
            .args(["--config.file=alertmanager.yml", "--storage.path=am", "--cluster.listen-address="])
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("ci/test installs prometheus-alertmanager");
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < until, "Alertmanager did not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        Self { child, address }
    }

    fn alerts(&self) -> Value {
        serde_json::from_slice(&http(&self.address, "GET", "/api/v2/alerts", "").1).unwrap()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes what is told from the second try on; at `/refused/…` nothing, while it is so.
fn receiver(told: Arc<Mutex<Vec<(String, Value)>>>, refuses: Arc<Mutex<bool>>) -> Router {
    let tries = Arc::new(Mutex::new(0));
    Router::new().fallback(post(move |uri: axum::http::Uri, body: String| async move {
        if uri.path().starts_with("/refused") && *refuses.lock().unwrap() {
            return (StatusCode::BAD_REQUEST, format!("not here: {uri}"));
        }
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries == 1 {
            return (StatusCode::SERVICE_UNAVAILABLE, "not yet".to_owned());
        }
        told.lock().unwrap().push((uri.path().to_owned(), serde_json::from_str(&body).unwrap()));
        (StatusCode::OK, "ok".to_owned())
    }))
}

#[test]
fn the_gravest_alert_leads_and_what_was_not_taken_waits() {
    // The functional pass meets no errors; the load does, and its limit allows them: alerts change no code.
    let scenario = "feature: churn-prediction
steps:
  - { name: alive, get: /healthz, only: smoke }
  - { name: score, post: /api/v1/churn/score, json: { tenant_id: 7 }, only: load }
load: { warmup: 1s, stages: [ { rate: 40/s, for: 4s } ] }
limits: { error_rate: < 40% }
";
    let temp = folder(scenario);
    let (told, refuses) = (Arc::default(), Arc::new(Mutex::new(true)));
    let service = Service::start(receiver(Arc::clone(&told), Arc::clone(&refuses)));
    let alertmanager = Alertmanager::start(temp.path());
    let rules = format!(
        "alerts:
  - {{ name: slow, when: p50 > 1ms, for: 2s, severity: info, respond: look at it }}
  - {{ name: high error rate, when: error_rate > 5%, for: 2s, severity: page, respond: page the on-call engineer }}
  - {{ name: model errors, when: error_rate > 5%, errors: [check], for: 2s, respond: ML team investigates }}
  - {{ name: user impact, when: verdict fail, respond: consider immediate rollback }}
notify:
  - {{ webhook: \"{url}/refused/${{secret.HOOK_TOKEN}}\", on: [alert] }}
  - {{ slack: \"{url}/slack\", on: [alert, fail] }}
  - {{ alertmanager: \"http://{manager}\" }}
  - {{ webhook: \"{url}/never\", on: [fail] }}
",
        url = service.url,
        manager = alertmanager.address,
    );
    std::fs::write(temp.path().join("probes.yaml"), rules).unwrap();
    let demo = Demo::start(&["--fault", "errors:churn-prediction:20%"]);
    let with = |args: &[&str]| {
        let mut command = loadgate(temp.path());
        command.args(args).args(["--probes", "probes.yaml"]).env("HOOK_TOKEN", "hook-token-4711");
        run(&mut command)
    };
    let ran = with(&["run", "scenario.yaml", "--target", &demo.url, "--out", "out"]);
    let out = results(temp.path());
    let ran =
        ran.expect(0).says("GO. ALERT (page) high error rate: error_rate of churn-prediction/score was");
    let ran = ran
        .says("→ page the on-call engineer (and 1 more alert)")
        .says("told slack")
        .says("could not be told in 1 try");
    crate::contract::fit_their_schemas(&out);
    let found = verdict(temp.path());
    let fired: Vec<&str> =
        found["alerts"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(fired, ["high error rate", "slow"], "{found:#}");
    {
        let told = told.lock().unwrap();
        assert_eq!(told.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["/slack"]);
        let text = told[0].1["text"].as_str().unwrap();
        assert!(
            text.contains("• *page* high error rate") && text.contains("page the on-call engineer"),
            "{text}"
        );
    }
    let there = alertmanager.alerts();
    let labels: Vec<&Value> = there.as_array().unwrap().iter().map(|alert| &alert["labels"]).collect();
    assert!(
        labels.iter().any(|l| l["alertname"] == "high error rate" && l["severity"] == "page"),
        "{there:#}"
    );

    // What waits holds no secret, and neither does anything else.
    let waiting = std::fs::read_to_string(out.join("outbox.jsonl")).unwrap();
    assert_eq!(waiting.lines().count(), 1);
    assert!(waiting.contains("${secret.HOOK_TOKEN}") && waiting.contains("it answers 400"), "{waiting}");
    let secret = "hook-token-4711";
    assert!(
        !waiting.contains(secret) && !ran.out.contains(secret) && !ran.err.contains(secret),
        "{}",
        ran.err
    );
    with(&["notify", "out", "--dry-run"]).expect(0).says("would tell webhook").says("high error rate");
    with(&["notify", "out"]).expect(5).says("it waits in");
    let kept = std::fs::read_to_string(out.join("outbox.jsonl")).unwrap();
    std::fs::write(out.join("outbox.jsonl"), kept.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    with(&["notify", "out"]).expect(2).says("line 1: format 2 is of a later loadgate");
    std::fs::write(out.join("outbox.jsonl"), kept).unwrap();
    *refuses.lock().unwrap() = false;
    with(&["notify", "out"]).expect(0).says("told webhook");
    assert!(!out.join("outbox.jsonl").exists());
    with(&["notify", "out"]).expect(0).says("nothing waits");
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[1].1["outcome"], &told[1].1["alerts"][0]["severity"]),
        (&"pass".into(), &"page".into())
    );
}
