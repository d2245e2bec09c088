//! What is said of two arms without measuring a latency: what both do, who answers, commands, mistakes.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::canaries::{CHURN, PLAIN, canary, flagged, verdict};
use crate::servers::{Service, folder};
use crate::support::{loadgate, results, run};

#[test]
fn what_fails_on_both_arms_holds() {
    // A functional pass would meet the fault now and then, on one arm or the other.
    let steps = "steps:\n  - { name: well, get: /healthz, only: smoke }\n";
    let asked = "post: /api/v1/churn/score\n    only: load";
    let temp = folder(&CHURN.replace("steps:\n", steps).replace("post: /api/v1/churn/score", asked));
    let fault = "errors:churn-prediction:8%";
    let both = ["--demo", "--fault", fault, "--control-fault", fault, "--for", "12s"];
    canary(temp.path(), &both).expect(3).says("The control fails too").says("HOLD");
    assert_eq!(verdict(temp.path())["cause"], "invalid");
    // The same on the candidate alone is the release's.
    canary(temp.path(), &["--demo", "--fault", fault, "--for", "40s"]).expect(1).says("ROLL BACK");
}

/// A service behind a login, and what it says of whom.
fn guarded(instance: &'static str) -> Router {
    Router::new().fallback(get(move |headers: HeaderMap| async move {
        let known = headers.get("authorization").is_some_and(|token| token == "Bearer fresh-token");
        let status = if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        (status, [("x-instance", instance)], "ok").into_response()
    }))
}

#[test]
fn an_expired_token_on_both_arms_holds_and_does_not_roll_back() {
    let scenario = format!(
        "{}{}",
        "headers: { authorization: \"Bearer ${secret.GUARD_TOKEN}\" }\n",
        PLAIN.replace("cohort: x-cohort", "instance: x-instance")
    );
    let temp = folder(&scenario);
    let (blue, green) = (Service::start(guarded("blue")), Service::start(guarded("green")));
    let ask = |token: &str| {
        let mut command = loadgate(temp.path());
        command.args([
            "canary",
            "scenario.yaml",
            "--for",
            "12s",
            "--control",
            &blue.url,
            "--candidate",
            &green.url,
        ]);
        run(command.env("GUARD_TOKEN", token).args(["--out", "out"]))
    };
    let ran = ask("expired-token").expect(3).says("The control fails too");
    assert!(ran.out.contains("no load was sent"), "{}", ran.out);
    assert!(!format!("{}{}", ran.out, ran.err).contains("expired-token\n"), "secrets are scrubbed");
}

#[test]
fn arms_that_nothing_tells_apart_hold() {
    let temp = folder(PLAIN);
    let service = Service::start(flagged(false));
    let flags = ["--control-header", "x-flag: stable", "--candidate-header", "x-flag: other"];
    let arms = ["--control", &service.url, "--candidate", &service.url, "--for", "10s"];
    canary(temp.path(), &[&flags[..], &arms].concat()).expect(3).says("No sign of the candidate");
    // Two addresses of one instance are no two deployments.
    let temp = folder(&PLAIN.replace("cohort: x-cohort", "instance: x-cohort"));
    let other = service.url.replace("localhost", "127.0.0.1");
    let arms = ["--control", &service.url, "--candidate", &other, "--for", "10s"];
    canary(temp.path(), &arms).expect(3).says("they are no two deployments");
}

/// Between two phases of a rollout one address leads to two builds.
#[test]
fn a_run_against_a_mixture_of_builds_holds() {
    let scenario = PLAIN.replace("cohort: x-cohort", "build: x-build").replace("for: 10s", "for: 2s");
    let temp = folder(&scenario);
    let count = Arc::new(AtomicUsize::new(0));
    let mixture = Router::new().fallback(get(move || {
        let build = if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(4) { "v42" } else { "v41" };
        std::future::ready(([("x-build", build)], "ok"))
    }));
    let service = Service::start(mixture);
    let mut command = loadgate(temp.path());
    command.args(["run", "scenario.yaml", "--out", "out", "--target", &service.url]);
    run(&mut command).expect(3).says("The target is a mixture: it was answered by build `v41`, `v42`");
    assert_eq!(verdict(temp.path())["cause"], "invalid");
}

/// Processes that serve on a port that a command was given, by what they were started with.
fn running(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read_to_string(p.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(mark)).count()
}

#[test]
fn commands_are_started_afresh_and_end_with_loadgate_even_if_it_is_killed() {
    let temp = folder(CHURN);
    let mark = format!("marked-{}", std::process::id());
    let serve = |fault: &str| {
        format!("{} demo --port {{port}} --build {mark} {fault}", env!("CARGO_BIN_EXE_loadgate"))
    };
    let (blue, green) = (serve(""), serve("--fault slow:churn-prediction:+60%"));
    let arms = ["--control-cmd", &blue, "--candidate-cmd", &green, "--ready", "/healthz"];
    canary(temp.path(), &[&arms[..], &["--for", "10s"]].concat()).expect(1).says("Slower");
    let deadline = Instant::now() + Duration::from_secs(20);
    while running(&mark) > 0 {
        assert!(Instant::now() < deadline, "commands outlive the run");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(
        std::fs::read_to_string(results(temp.path()).join("control.log")).unwrap().contains("listens on")
    );

    std::fs::remove_dir_all(results(temp.path())).unwrap();
    let mut child = loadgate(temp.path())
        .args(["canary", "scenario.yaml", "--out", "out", "--quiet"])
        .args(arms)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = results(temp.path()).join("journal");
    let deadline = Instant::now() + Duration::from_secs(60);
    let blocks = || {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"block\"") && line.contains("\"warmup\":false")).count()
    };
    while blocks() < 8 {
        assert!(Instant::now() < deadline, "no blocks in the journal");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while running(&mark) > 0 {
        assert!(Instant::now() < deadline, "commands outlive a killed loadgate");
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = run(loadgate(temp.path()).args(["report", "out", "--format", "json"])).expect(0);
    assert!(told.out.contains("Cut off"), "{}", told.out);
}

#[test]
fn a_command_that_does_not_come_up_holds_with_its_words() {
    let temp = folder(CHURN);
    let serve = format!("{} demo --port {{port}}", env!("CARGO_BIN_EXE_loadgate"));
    let broken = "echo 'no such table: tenants' >&2; exit 3 # {port}";
    canary(temp.path(), &["--control-cmd", &serve, "--candidate-cmd", broken])
        .expect(3)
        .says("no such table: tenants")
        .says("exit status: 3");
    canary(temp.path(), &["--control-cmd", broken, "--candidate-cmd", &serve])
        .expect(3)
        .says("Of the control")
        .says("no such table: tenants");
}

#[test]
fn what_cannot_be_a_canary_is_said_before_anything_is_sent() {
    let temp = folder(CHURN);
    let url = "http://127.0.0.1:9";
    for (args, says) in [
        (vec![], "there is no control"),
        (vec!["--control", url], "there is no candidate"),
        (vec!["--control", url, "--candidate", url], "nothing that is sent differs"),
        (vec!["--control", url, "--candidate", "127.0.0.1:9"], "did you mean http://127.0.0.1:9?"),
        (vec!["--demo", "--for", "5s"], "too short"),
        (vec!["--demo", "--control", url], "not both"),
        (vec!["--control", url, "--candidate-cmd", "./serve"], "does not say where it serves"),
        (
            vec!["--control", url, "--candidate", "http://127.0.0.1:10", "--fault", "db-spike"],
            "for the demo alone",
        ),
        (
            vec!["--control", url, "--candidate", "http://127.0.0.1:10", "--ready", "/up"],
            "for arms that loadgate starts",
        ),
        (vec!["--demo", "--fault", "slow:churn:+10%"], "churn-prediction"),
        (vec!["--demo", "--candidate-var", "nosuch=1"], "no scenario has such a variable"),
    ] {
        canary(temp.path(), &args).expect(2).says(says);
        assert!(!results(temp.path()).exists(), "{args:?}");
    }
    let users = CHURN.replace("{ rate: 200/s, for: 10s }", "{ vus: 2, iterations: 10 }");
    crate::servers::rewrite(temp.path(), &users);
    canary(temp.path(), &["--demo"]).expect(2).says("iterations");
}

/// A mistyped address was a proven failure of the release.
#[test]
fn a_candidate_that_nobody_answers_for_holds() {
    let temp = folder(PLAIN);
    let service = Service::start(flagged(true));
    let arms = ["--control", &service.url, "--candidate", "http://127.0.0.1:9", "--for", "10s"];
    canary(temp.path(), &arms).expect(3).says("The candidate, http://127.0.0.1:9, never became ready");
}
