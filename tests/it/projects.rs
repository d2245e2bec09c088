use std::path::Path;

use serde_json::Value;

use crate::support::{Demo, Ran, json, loadgate, run};

const SCENARIO: &str = "feature: NAME\nvars: { path: /dashboard, who: nobody }\nsteps: [ { name: page, get: \"${path}\", headers: { x-who: \
                        \"${who}\" } } ]\nload: { warmup: 1s, stages: [ { rate: 50/s, for: 10s } ] }\nlimits: { p95: < 2s }\n";

/// Three services in a folder, with the environments that are given.
fn project(folder: &Path, rest: &str) {
    std::fs::create_dir_all(folder.join("scenarios")).unwrap();
    for name in ["churn", "market", "risk"] {
        std::fs::write(folder.join(format!("scenarios/{name}.yaml")), SCENARIO.replace("NAME", name))
            .unwrap();
    }
    let services = "services:\n  churn: scenarios/churn.yaml\n  market: { scenarios: [scenarios/market.yaml], rate: 60/s, vars: { \
                    who: market } }\n  risk: scenarios/risk.yaml\n";
    std::fs::write(folder.join("loadgate.yaml"), format!("{services}{rest}")).unwrap();
}

fn ran(folder: &Path, args: &[&str]) -> Ran {
    run(loadgate(folder).args(args))
}

#[test]
fn mistakes_in_a_project_are_shown_at_their_places() {
    let temp = tempfile::tempdir().unwrap();
    let table = [
        ("environments: { a: { targt: demo } }\n", "did you mean `target`?"),
        ("environments: { a: { target: \"${servic}\" } }\n", "did you mean `service`?"),
        (
            "environments: { a: { target: staging } }\n",
            "expected an address that begins with http:// or https://",
        ),
        ("profiles: { pr: { gate: strict } }\n", "gate"),
        ("profiles: { pr: { budget: 4 minutes } }\n", "4 minutes"),
        ("profiles: { pr: { repeat: often } }\n", "`auto`, or how many looks"),
        ("profiles: { pr: { allow: [no-baselin] } }\n", "did you mean `no-baseline`?"),
        ("profiles: { pr: { rate: fast } }\n", "expected a rate"),
        ("defaults: { wait: soon }\n", "soon"),
        ("extra: 1\n", "extra"),
    ];
    for (rest, expected) in table {
        project(temp.path(), rest);
        ran(temp.path(), &["validate"]).expect(2).says(expected).says("loadgate.yaml:5");
    }
    std::fs::write(temp.path().join("loadgate.yaml"), "services:\n  a: { scenarios: x.yaml, targets: { stagin: demo } }\nenvironments: { staging: { target: demo } }\n")
        .unwrap();
    ran(temp.path(), &["validate"]).expect(2).says("did you mean `staging`?").says("loadgate.yaml:2:38");
    project(
        temp.path(),
        "environments: { local: { target: demo }, far: { target: demo } }\nprofiles: { pr: {}, promote: {} }\n",
    );
    let validate = |args: &[&str]| ran(temp.path(), &[&["validate"], args].concat());
    validate(&[]).expect(2).says("several environments").says("give --env local, or --env far");
    validate(&["--env", "locl"]).expect(2).says("did you mean `local`?");
    validate(&["--env", "far", "--profile", "promot"]).expect(2).says("did you mean `promote`?");
    validate(&["--env", "far", "--service", "chrun"]).expect(2).says("did you mean `churn`?");
    validate(&["scenarios", "--service", "churn"]).expect(2).says("not both");
    let elsewhere = tempfile::tempdir().unwrap();
    ran(elsewhere.path(), &["run", "--profile", "pr"]).expect(2).says("there is no loadgate.yaml here");
    ran(elsewhere.path(), &["run"]).expect(2).says("no scenario is named");
    ran(temp.path(), &["baseline", "record", "--env", "far"]).expect(2).says("for one service at a time");
    for name in ["churn", "risk"] {
        let broken = SCENARIO.replace("NAME", name).replace("steps:", "step:");
        std::fs::write(temp.path().join(format!("scenarios/{name}.yaml")), broken).unwrap();
    }
    ran(temp.path(), &["run", "--env", "far"]).expect(2).says("churn.yaml:3:1").says("risk.yaml:3:1");
    assert!(!temp.path().join("results").exists(), "nothing was sent");
}

/// Three services, one of them down: each is measured, one code, one summary, the worst first.
#[test]
fn many_services_are_one_command_and_one_verdict() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, demo) = (temp.path(), Demo::start(&[]));
    let rest = format!(
        "environments:\n  local: {{ target: {url}, wait: 2s, vars: {{ who: all, unknown: 1 }} }}\n  broken: {{ target: {url} }}\nprofiles:\n  pr: {{ budget: 30s }}\n  hasty: {{ budget: 5s }}\n",
        url = demo.url
    );
    project(folder, &rest);
    let all = ran(
        folder,
        &[
            "run",
            "--env",
            "local",
            "--profile",
            "pr",
            "--quiet",
            "--out",
            "all",
            "--service",
            "churn",
            "--service",
            "m*",
        ],
    );
    let all = all.expect(0);
    assert!(all.out.trim_start().starts_with("GO. All 2 verdicts pass."), "{}", all.out);
    let record = json(&folder.join("all/market/run.json"));
    assert_eq!((&record["service"], &record["env"]), (&Value::from("market"), &Value::from("local")));
    assert_eq!(record["scenarios"][0]["endpoints"][0]["rate_per_s"], 60.0);
    for file in ["combined.json", "summary.md", "junit.xml", "churn/report.html"] {
        assert!(folder.join("all").join(file).exists(), "{file}");
    }
    ran(folder, &["run", "--env", "local", "--out", "all", "--service", "*"])
        .expect(2)
        .says("already holds a run");
    // A load that cannot end in time is refused before anything is sent.
    ran(folder, &["run", "--env", "local", "--profile", "hasty", "--service", "churn"])
        .expect(2)
        .says("the load takes 11.0 s at least, the budget is 5.00 s");
    // Flags count before the project, and what it knows as its own is no scenario's variable.
    let down = [
        "smoke",
        "--env",
        "local",
        "--target",
        "http://127.0.0.1:9",
        "--service",
        "risk",
        "--out",
        "down",
        "--quiet",
        "--wait",
        "1s",
    ];
    ran(folder, &down).expect(3);
    assert_eq!(json(&folder.join("down/run.json"))["service"], "risk");
    let wrong = folder.join("scenarios/risk.yaml");
    std::fs::write(
        &wrong,
        SCENARIO.replace("NAME", "risk").replace("name: page,", "name: page, check: [ { status: 404 } ],"),
    )
    .unwrap();
    let smoke = ran(folder, &["smoke", "--env", "local", "--quiet", "--out", "smoke"]).expect(1);
    assert!(
        smoke
            .out
            .trim_start()
            .starts_with("ROLL BACK. 1 proven bad: risk. 2 of 3 pass.\n\nrisk: ROLL BACK. Broken: risk/page"),
        "{}",
        smoke.out
    );
    std::fs::write(&wrong, "feature: risk\nsteps: [ { nam: page } ]\n").unwrap();
    ran(folder, &["smoke", "--env", "local", "--out", "none"]).expect(2).says("did you mean `name`?");
    assert!(!folder.join("none").exists(), "all files are read before anything is sent");

    // The same of results that jobs of their own left.
    let combine = |args: &[&str]| ran(folder, &[&["combine"], args].concat());
    combine(&["all"]).expect(0).says("GO. All 2 verdicts pass.");
    combine(&["smoke", "--expect", "churn,market"])
        .expect(1)
        .says("ROLL BACK. 1 proven bad: risk. 2 of 3 pass.");
    combine(&["all", "down"])
        .expect(3)
        .says("HOLD. 1 held: risk. 2 of 3 pass.")
        .says("risk: HOLD. The measurement cannot be trusted.");
    combine(&["all", "--expect", "project"])
        .expect(3)
        .says("HOLD. 1 without a verdict: risk. 2 of 3 pass.")
        .says("it was not measured");
    combine(&["all", "smoke"]).expect(2).says("is of `churn` too: which of them counts?");
    combine(&["scenarios"]).expect(2).says("there is no run in it");
    let told: Value =
        serde_json::from_str(&combine(&["all", "down", "--format", "json"]).expect(3).out).unwrap();
    let first = &told["verdicts"][0];
    assert_eq!(
        (&first["name"], &first["action"], &told["exit_code"]),
        (&"risk".into(), &"hold".into(), &3.into())
    );
    let markdown = combine(&["all", "down", "--format", "markdown", "-o", "summary.md"]).expect(3);
    assert!(markdown.out.is_empty());
    let text = std::fs::read_to_string(folder.join("summary.md")).unwrap();
    assert!(text.contains("HOLD. 1 held: risk.") && text.contains("| churn |"), "{text}");
    combine(&["all", "--format", "junit"]).expect(0).says("<testsuites");
    combine(&["all", "--expect", "project", "--format", "junit"])
        .expect(3)
        .says("<testsuite name=\"risk: run\" tests=\"1\" failures=\"0\" errors=\"1\"")
        .says("message=\"There is no run of it");
    let odd = folder.join("odd\u{1}");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("run.json"), "{").unwrap();
    let junit =
        combine(&["all", "odd\u{1}", "--format", "junit"]).expect(3).says("<testsuite name=\"odd␁: run\"");
    assert!(!junit.out.contains('\u{1}'), "{}", junit.out);
    // A run that was killed is no pass.
    std::fs::create_dir(folder.join("killed")).unwrap();
    let started = json(&folder.join("all/churn/run.json"));
    let mut begun = started.clone();
    (begun["runs"], begun["service"]) = (Value::Array(Vec::new()), "gone".into());
    std::fs::write(folder.join("killed/journal"), format!("{}\n", serde_json::json!({ "started": begun })))
        .unwrap();
    combine(&["all", "killed"]).expect(5).says("HOLD. 1 cut off: gone. 2 of 3 pass.");
}

/// Arms by commands, one after the other service; their profile says for how long.
#[test]
fn canaries_of_a_project_take_its_arms() {
    let temp = tempfile::tempdir().unwrap();
    let arm = |fault: &str| {
        format!("{{ command: \"{} demo --port {{port}}{fault}\" }}", env!("CARGO_BIN_EXE_loadgate"))
    };
    let rest = format!(
        "environments:\n  ci: {{ control: {}, candidate: {} }}\nprofiles: {{ canary: {{ for: 10s, rate: 20/s, allow: unresolved }} }}\n",
        arm(""),
        arm(" --fault errors:risk-dashboard:100%")
    );
    project(temp.path(), &rest);
    let args = ["canary", "--profile", "canary", "--service", "churn", "--quiet", "--out", "out"];
    ran(temp.path(), &args).expect(1).says("ROLL BACK.");
    let record = json(&temp.path().join("out/run.json"));
    assert_eq!((&record["service"], &record["env"]), (&"churn".into(), &"ci".into()));
    ran(temp.path(), &["run", "--service", "churn"]).expect(2).says("there is no target");
}

/// What an earlier invocation left must not be taken for what this one measured.
#[test]
fn results_of_before_are_no_verdict_of_now() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, demo) = (temp.path(), Demo::start(&[]));
    project(folder, &format!("environments: {{ one: {{ target: {} }} }}\n", demo.url));
    let smoke = ["smoke", "--quiet", "--out", "out"];
    ran(folder, &smoke).expect(0);
    std::fs::remove_file(folder.join("out/combined.json")).unwrap();
    ran(folder, &smoke).expect(2).says("out/churn already holds a run");
    std::fs::remove_file(folder.join("out/churn/run.json")).unwrap();
    std::fs::write(folder.join("out/churn/journal"), "").unwrap();
    ran(folder, &smoke).expect(2).says("out/churn already holds a run");
    ran(folder, &["smoke", "--quiet", "--service", "churn", "--out", "out/churn"])
        .expect(2)
        .says("a run that was cut off");
    // The budget of all of them is known before anything is sent, and `validate` knows it too.
    project(
        folder,
        &format!(
            "environments: {{ one: {{ target: {} }} }}\nprofiles: {{ pr: {{ budget: 5s }} }}\n",
            demo.url
        ),
    );
    for command in [
        &["run", "--profile", "pr", "--out", "late"][..],
        &["validate", "--profile", "pr", "--service", "risk"],
    ] {
        ran(folder, command).expect(2).says("the budget is 5.00 s");
    }
    assert!(!folder.join("late").exists());
}

/// What could not be written may be what matters, whatever the verdict beside it says; and a secret stays one in a variable.
#[test]
fn one_service_that_could_not_be_written_down_holds_all() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    project(folder, "environments: { local: { target: demo, vars: { who: \"${secret.LG_WHO}\" } } }\n");
    std::fs::create_dir_all(folder.join("out/churn/report.html")).unwrap();
    let watch = "feature: risk\nvars: { who: nobody }\nsteps: [ { name: page, get: /dashboard } ]\nprobes:\n  p: { json: \"http://127.0.0.1:1/${who}\", jsonpath: $.n, limit: < 5 }\nload: { warmup: 0s, stages: [ { rate: 20/s, for: 1s } ] }\n";
    std::fs::write(folder.join("scenarios/risk.yaml"), watch).unwrap();
    let smoke = ["smoke", "--env", "local", "--out", "out", "--service", "churn", "--service", "market"];
    run(loadgate(folder).args(smoke).env("LG_WHO", "some-body-else"))
        .expect(3)
        .says("error: churn: cannot write out/churn/report.html")
        .says("HOLD. 1 without a verdict: churn. 1 of 2 pass.");
    let risk = ["run", "--env", "local", "--out", "risk", "--service", "risk", "--service", "churn"];
    let said = run(loadgate(folder).args(risk).env("LG_WHO", "some-body-else"));
    let text = ["combined.json", "risk/run.json", "risk/verdict.json"].map(|name| {
        std::fs::read_to_string(folder.join("risk").join(name))
            .unwrap_or_else(|e| panic!("{name}: {e}: {}", said.err))
    });
    assert!(text[1].contains("$LG_WHO"), "{text:?}");
    assert!(
        !format!("{}{}{text:?}", said.out, said.err).contains("some-body-else"),
        "{}{}",
        said.out,
        said.err
    );
    // However deep they are, no run is passed over.
    let smoke = ["smoke", "--env", "local", "--out", "deep/a/b", "--service", "market", "--service", "churn"];
    run(loadgate(folder).args(smoke).env("LG_WHO", "some-body-else")).expect(0);
    std::fs::rename(folder.join("risk/risk"), folder.join("deep/risk")).unwrap();
    ran(folder, &["combine", "deep"]).expect(3).says("2 of 3 pass.");
}

#[test]
fn a_run_that_sent_nothing_to_judge_is_no_pass() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let text = "feature: f\ndata: { t: { csv: t.csv, pick: random } }\nsteps: [ { name: page, get: /dashboard, when: { value: \"${t.state}\", equals: open } } ]\nload: { warmup: 0s, stages: [ { rate: 50/s, for: 1s } ] }\nlimits: { error_rate: < 1% }\n";
    std::fs::write(temp.path().join("f.yaml"), text).unwrap();
    std::fs::write(temp.path().join("t.csv"), "state\nclosed\n").unwrap();
    for kind in ["smoke", "run"] {
        ran(temp.path(), &[kind, "f.yaml", "--target", &demo.url, "--out", kind])
            .expect(3)
            .says("HOLD. ")
            .says("Nothing was");
    }
    std::fs::write(temp.path().join("t.csv"), "state\nopen\n").unwrap();
    ran(temp.path(), &["run", "f.yaml", "--target", &demo.url, "--out", "open"]).says("1 endpoint");
}
