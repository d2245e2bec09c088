//! Rollouts whose soaks and loads are measured: what passes by is told, what lasts goes back.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::rollouts::{SWITCH, command, night, plan, rollout, state, switched, until};
use crate::servers::Service;
use crate::support::{Demo, http, json};

/// Fails both tries of so many functional passes, from the third on; under load it is well.
fn stumbling(name: &'static str, passes: &'static [usize]) -> Service {
    let count = Arc::new(AtomicUsize::new(0));
    let well = move || async move { ([("x-instance", name)], "[]") };
    let health = move || {
        let asked = count.fetch_add(1, Ordering::Relaxed);
        async move {
            let status =
                if passes.contains(&asked) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            (status, [("x-instance", name)], "ok")
        }
    };
    Service::start(Router::new().route("/health", get(health)).fallback(get(well)))
}

const SOAKED: &str = "feature: shop
identity: { instance: x-instance }
steps:
  - name: health
    get: /health
    only: smoke
  - name: list
    get: /items
load: { warmup: 1s, stages: [ { rate: 40/s, for: 10s } ] }
limits: { error_rate: < 5% }
";

#[test]
fn a_single_failure_in_a_soak_is_a_near_miss_and_two_of_three_act() {
    let phases = "phases:
  - { percent: 25, shift: [./switch.sh, 25], soak: { for: 10s, rate: 40/s, smoke: 1s } }
";
    // Asked once before the load, then once a second; a failure is asked again at once. Both nights at once.
    let soak = |failing: &'static [usize]| {
        let (blue, green) = (stumbling("blue", &[]), stumbling("green", failing));
        let temp = night(SOAKED, SWITCH, &plan(&blue.url, &green.url, phases));
        let ran = rollout(temp.path(), &["run", "plan.yaml"]);
        (temp, ran)
    };
    let (once, again) = std::thread::scope(|scope| {
        let again = scope.spawn(|| soak(&[3, 4, 6, 7]));
        (soak(&[3, 4]), again.join().unwrap())
    });
    let (temp, ran) = once;
    ran.expect(0).says("COMPLETE");
    let run = state(temp.path()).join("runs/01-25pc-soak");
    let verdict = json(&run.join("verdict.json"));
    let told: Vec<&str> =
        verdict["findings"].as_array().unwrap().iter().filter_map(|f| f["reason"].as_str()).collect();
    assert!(
        told.iter().any(|reason| reason.starts_with("Near-miss: shop/health failed in 1 of")),
        "{told:?}"
    );
    let document = std::fs::read_to_string(state(temp.path()).join("deployment.md")).unwrap();
    assert!(document.contains("shop/health"), "{document}");

    let (temp, ran) = again;
    ran.expect(1).says("ROLLED BACK, from 25%");
    let run = json(&state(temp.path()).join("runs/01-25pc-soak/run.json"));
    assert!(run["runs"].as_array().unwrap().len() < 4, "the load was ended");
}

/// Blue and green are demos; at half of the traffic green gets slow.
#[test]
fn a_release_that_gets_slow_at_half_of_the_traffic_is_rolled_back_there() {
    let scenario = "feature: churn-prediction
identity: { build: x-build, instance: x-instance }
steps:
  - name: score tenant
    post: /api/v1/churn/score
    json: { tenant_id: 4711 }
load: { warmup: 1s, stages: [ { rate: 200/s, for: 10s } ] }
";
    let (blue, green) =
        (Demo::start(&["--build", "v41"]), Demo::start(&["--build", "v42", "--allow-faults"]));
    let switch = SWITCH.replace(
        "echo switching",
        "[ $1 != 50 ] || while [ ! -e slow ]; do sleep 0.05; done\necho switching",
    );
    let phases = "phases:
  - { percent: 25, shift: [./switch.sh, 25], soak: { for: 10s, rate: 50/s, smoke: 2s } }
  - { percent: 50, shift: [./switch.sh, 50], load: { for: 40s } }
  - { percent: 100, shift: [./switch.sh, 100], load: { for: 40s } }
";
    let temp = night(scenario, &switch, &plan(&blue.url, &green.url, phases));
    let folder = temp.path();
    let child =
        command(folder, &["run", "plan.yaml"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("half of the traffic is shifted", || switched(folder).len() == 2);
    let (code, _) = http(green.address(), "PUT", "/faults", "[\"slow:churn-prediction:+60%\"]");
    assert_eq!(code, 204);
    std::fs::write(folder.join("slow"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("ROLLED BACK, from 50%") && out.contains("Slower"), "{out}");
    assert_eq!(switched(folder), ["25% 0 25", "50% 25 50", "50% 50 0"]);
}
