use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Demo, Ran, fixture, http, json as json_file, loadgate, run};

/// Every mistake with its place; the golden messages are under `snapshots/`.
#[test]
fn mistakes_are_named_with_place_caret_and_nearest_name_and_nothing_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(fixture("broken"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().trim_end_matches(".yaml").to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{}", names.len());
    for name in names {
        let file = fixture(&format!("broken/{name}.yaml"));
        let ran = run(loadgate(temp.path()).args(["run", &file, "--target", &url, "--out", "out"])).expect(2);
        assert_eq!(ran.out, "");
        let text = ran.err.replace(&fixture("broken/"), "").replace(&fixture("broken"), "");
        insta::assert_snapshot!(format!("broken_{name}"), text);
        assert!(!temp.path().join("out").exists(), "{name}: nothing is written");
    }
    assert!(listener.accept().is_err(), "nothing is sent");
}

fn message_of(folder: &std::path::Path, text: &str) -> String {
    std::fs::write(folder.join("case.yaml"), text).unwrap();
    std::fs::write(folder.join("rows.csv"), "id\n1\n2\n3\n").unwrap();
    run(loadgate(folder).args(["run", "case.yaml", "--target", "http://127.0.0.1:1"])).expect(2).err
}

/// Carets beside letters of several bytes once split them, and the program ended in a panic.
#[test]
fn mistakes_beside_non_ascii_text_have_a_caret_too() {
    let temp = tempfile::tempdir().unwrap();
    let step = "feature: f\nsteps:\n  - name: a\n    get: /a\n";
    for (text, says) in [
        (format!("{step}    check: [ {{ jsonpath: über.score, exists: true }} ]\n"), "not a JSONPath"),
        (format!("owner: \"x\" ü\n{step}"), "not valid YAML"),
        (format!("{step}    body: ääää ${{ö}}\n"), "unknown variable `ö`"),
        (String::new(), "expected a scenario"),
    ] {
        let message = message_of(temp.path(), &text);
        assert!(message.contains(says) && message.contains('^'), "{text}\n{message}");
    }
}

#[test]
fn one_mistake_is_told_once() {
    let temp = tempfile::tempdir().unwrap();
    let text =
        "feature: f\ndata: { rooms: { csv: no-such.csv } }\nsteps:\n  - { name: a, get: \"/${rooms.id}\" }\n";
    let message = message_of(temp.path(), text);
    assert_eq!(message.matches("error:").count(), 1, "{message}");
}

#[test]
fn a_limit_without_its_unit_is_refused_with_the_one_that_is_meant() {
    let temp = tempfile::tempdir().unwrap();
    let text = "feature: f\nsteps: [ { name: a, get: /a } ]\nload: { stages: [ { rate: 50/s, for: 9s } ] }\nlimits: { error_rate: < 0.5 }\n";
    assert!(message_of(temp.path(), text).contains("such as `< 0.5%`"));
}

#[test]
fn unique_rows_that_cannot_last_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let text = "feature: f\ndata: { rows: { csv: rows.csv, pick: unique } }\nsteps:\n  - { name: a, get: \"/${rows.id}\" }\n\
                load: { warmup: 1s, stages: [ { rate: 10/s, for: 2s } ] }\n";
    assert!(message_of(temp.path(), text).contains("3 of 50 that a run may take"));
}

#[test]
fn flags_that_make_no_sense_are_explained() {
    let temp = tempfile::tempdir().unwrap();
    let short = fixture("short");
    for (args, text) in [
        (vec!["run", &short, "--target", "http://127.0.0.1:1", "--fault", "db-spike"], "add --demo"),
        (vec!["run", &short, "--target", "http://127.0.0.1:1", "--demo"], "not both"),
        (vec!["run", &short], "give --target URL, or --demo"),
        (vec!["run", &short, "--target", "localhost:80"], "did you mean http://localhost:80?"),
        (vec!["run", &short, "--target", "http://localhost:80a"], "invalid port number"),
        (vec!["run", &short, "--demo", "--fault", "slwo:x"], "did you mean `slow`?"),
        (vec!["run", &short, "--demo", "--fault", "stale:churn"], "unknown feature `churn`"),
        (vec!["run", &short, "--demo", "--var", "apy=1"], "no scenario has such a variable"),
        (vec!["run", &short, "--demo", "--only", "nope*"], "matches no feature"),
        (vec!["run", &short, "--demo", "--repeat", "often"], "neither `auto` nor a number"),
        (vec!["run", "no-such.yaml", "--demo"], "cannot read scenario no-such.yaml"),
        (vec!["run", "--demo"], "no scenario is named"),
        (vec!["smoek"], "similar subcommand exists: 'smoke'"),
        (vec!["quick", "http://127.0.0.1:1", "--rate", "fast"], "expected arrivals for each unit of time"),
        (vec!["baseline", "show"], "no baselines in baselines/default"),
    ] {
        let ran = run(loadgate(temp.path()).args(&args)).expect(2).says(text);
        assert_eq!(ran.out, "", "{args:?}");
    }
}

#[test]
fn a_plan_is_printed_and_a_secret_that_is_missing_is_named() {
    let temp = tempfile::tempdir().unwrap();
    run(loadgate(temp.path()).args(["validate", &fixture("short")]))
        .expect(0)
        .says("market-intelligence/comparables      1040  130/s  p95 < 500 ms, error_rate < 0.2%")
        .says("no baseline yet")
        .says("up to 5 looks");
    let file = temp.path().join("secret.yaml");
    let text = "feature: f\nheaders: { authorization: \"Bearer ${ secret.LG_TEST_TOKEN }\" }\nsteps:\n  - { name: a, get: /a }\n";
    std::fs::write(&file, text).unwrap();
    let smoke = |command: &mut std::process::Command| {
        run(command.args(["smoke", "secret.yaml", "--target", "http://127.0.0.1:1"]))
    };
    smoke(&mut loadgate(temp.path())).expect(2).says("the environment variable LG_TEST_TOKEN is not set");
    smoke(loadgate(temp.path()).env("LG_TEST_TOKEN", "")).expect(2).says("LG_TEST_TOKEN is empty");
    run(loadgate(temp.path()).args(["validate", "secret.yaml"])).expect(0);
    // As a file that is mounted whole gives it.
    let broken = smoke(loadgate(temp.path()).env("LG_TEST_TOKEN", "hush-hush\n-0815")).expect(2);
    let broken = broken.says("secret.yaml:2:").says("variable LG_TEST_TOKEN holds a line break");
    assert!(!broken.out.contains("hush-hush") && !broken.err.contains("hush-hush"));
    let by_auth = text.replace("headers: { authorization: \"Bearer ${", "auth: { bearer: \"${");
    let steps =
        by_auth + "  - { name: b, get: /b }\n  - { name: c, get: /c, headers: { x-city: \"a\\nb\" } }\n";
    std::fs::write(&file, steps).unwrap();
    let broken = smoke(loadgate(temp.path()).env("LG_TEST_TOKEN", "hush\r\nhush")).expect(2);
    let broken = broken.says("another control character stands in it");
    assert_eq!(
        broken.err.matches("LG_TEST_TOKEN holds").count(),
        1,
        "told once, not with each step: {}",
        broken.err
    );
    std::fs::write(&file, text).unwrap();
    let ran = smoke(loadgate(temp.path()).env("LG_TEST_TOKEN", "hush-hush-0815")).expect(1);
    assert!(!ran.out.contains("hush-hush") && !ran.err.contains("hush-hush"));
}

#[test]
fn a_plan_tells_what_a_look_would_prove_and_editors_get_it_as_json() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let validate = |args: &[&str]| {
        run(loadgate(root).args(["validate", "scenarios/epic21", "--env", "demo"]).args(args))
    };
    let ran = validate(&[]).expect(0);
    let line = ran.out.lines().find(|line| line.contains("churn-prediction/score tenant")).unwrap();
    assert!(line.contains("p50 +") && line.contains("p95 +"), "{line}");
    let plan: Value = serde_json::from_str(&validate(&["--format", "json"]).expect(0).out).unwrap();
    assert_eq!((&plan["valid"], plan["endpoints"].as_array().unwrap().len()), (&json!(true), 10));
    let detectable = plan["endpoints"][0]["detectable"]["p95"].as_f64().unwrap();
    assert!((0.01..1.0).contains(&detectable), "{detectable}");

    let temp = tempfile::tempdir().unwrap();
    let text = "feature: f\nvars: { unused: 1, api: /v1 }\ndata: { rows: { csv: rows.csv } }\nsteps:\n  - name: a\n    gett: ${api}\n\
                \x20   check: [ { jsonpath: $.x, between: [2, 1] } ]\n";
    std::fs::write(temp.path().join("case.yaml"), text).unwrap();
    std::fs::write(temp.path().join("rows.csv"), "id\n1\n").unwrap();
    let json_of = |code| {
        let ran = run(loadgate(temp.path()).args(["validate", "case.yaml", "--format", "json"])).expect(code);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let found = json_of(2);
    let places: Vec<(u64, u64)> = found["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["line"].as_u64().unwrap(), d["column"].as_u64().unwrap()))
        .collect();
    assert_eq!((&found["valid"], places), (&json!(false), vec![(6, 5), (7, 40)]));
    assert_eq!(found["diagnostics"][0]["help"], "did you mean `get`?");
    let ran = run(loadgate(temp.path()).args(["validate", "absent.yaml", "--format", "json"])).expect(2);
    let absent: Value = serde_json::from_str(&ran.out).unwrap();
    let message = absent["diagnostics"][0]["message"].as_str().unwrap();
    assert!(absent["valid"] == json!(false) && message.contains("absent.yaml"), "{absent}");
    // What is used nowhere is a warning: told, and no reason to refuse.
    std::fs::write(temp.path().join("case.yaml"), text.replace("gett", "get").replace("[2, 1]", "[1, 2]"))
        .unwrap();
    let found = json_of(0);
    let warned: Vec<&str> =
        found["diagnostics"].as_array().unwrap().iter().map(|d| d["message"].as_str().unwrap()).collect();
    assert_eq!(warned, ["variable `unused` is not used", "data source `rows` is not used"]);
    assert_eq!(found["diagnostics"][0]["severity"], "warning");
}

/// By a validator that nobody here wrote: every shipped scenario conforms, and many of the broken ones do not (the others
/// are wrong in what no schema can say, such as a step that uses what is captured later).
#[test]
fn the_schema_holds_for_every_scenario_that_is_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let printed = run(loadgate(root).args(["schema", "scenario"])).expect(0).out;
    assert_eq!(printed, std::fs::read_to_string(root.join("schema/scenario.json")).unwrap());
    let by = |schema: &str, patterns: &[&str]| -> Value {
        let mut python = Command::new(root.join("target/venv/bin/python3"));
        let ran = run(python
            .arg(fixture("schema/validate.py"))
            .arg(root.join("schema").join(schema))
            .args(patterns));
        serde_json::from_str(&ran.expect(0).out).unwrap()
    };
    let check = |patterns: &[&str]| by("scenario.json", patterns);
    let plans = by("plan.json", &[&format!("{}/scenarios/*/rollout.yaml", root.display())]);
    assert!(
        plans.as_object().is_some_and(|all| all.len() == 1 && all.values().all(Value::is_null)),
        "{plans}"
    );
    let printed = run(loadgate(root).args(["schema", "plan"])).expect(0).out;
    assert_eq!(printed, std::fs::read_to_string(root.join("schema/plan.json")).unwrap());
    let projects = by("project.json", &[&format!("{}/scenarios/*/loadgate.yaml", root.display())]);
    assert!(
        projects.as_object().is_some_and(|all| all.len() == 1 && all.values().all(Value::is_null)),
        "{projects}"
    );
    let printed = run(loadgate(root).args(["schema", "project"])).expect(0).out;
    assert_eq!(printed, std::fs::read_to_string(root.join("schema/project.json")).unwrap());
    let tests = format!("{}/tests/fixtures", root.display());
    let shipped = check(&[
        &format!("{}/scenarios/*/*.yaml", root.display()),
        &format!("{tests}/short/*.yaml"),
        &format!("{tests}/load/*.yaml"),
        &format!("{tests}/nginx/*.yaml"),
        &format!("{tests}/*.yaml"),
    ]);
    let mut shipped = shipped.as_object().unwrap().clone();
    shipped.retain(|path, _| !path.ends_with("rollout.yaml") && !path.ends_with("loadgate.yaml"));
    assert!(shipped.len() >= 12, "{shipped:?}");
    assert!(shipped.values().all(Value::is_null), "{shipped:?}");
    let broken = check(&[&format!("{tests}/broken/*.yaml")]);
    let refused = broken.as_object().unwrap().values().filter(|message| !message.is_null()).count();
    assert!(refused >= 25, "an editor marks only {refused}: {broken}");
}

#[test]
fn a_service_met_for_the_first_time_gets_a_scenario_that_holds() {
    let demo = Demo::start(&[]);
    let temp = tempfile::tempdir().unwrap();
    let url = format!("{}/api/v1/maintenance/alerts?property=prop%2D0001", demo.url);
    let init = |url: &str| run(loadgate(temp.path()).args(["init", url]));
    init(&url)
        .expect(0)
        .says("wrote loadgate/alerts.yaml")
        .says("loadgate smoke loadgate/alerts.yaml --target http://");
    let text = std::fs::read_to_string(temp.path().join("loadgate/alerts.yaml")).unwrap();
    for part in [
        "# yaml-language-server: $schema=schema.json",
        "identity: { build: x-build, instance: x-instance }",
        "query: { property: prop-0001 }",
        "jsonpath: $.alerts, type: array",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(temp.path().join(".github/workflows/loadgate.yml").exists());
    run(loadgate(temp.path()).args(["validate", "loadgate/alerts.yaml"])).expect(0);
    run(loadgate(temp.path()).args(["smoke", "loadgate/alerts.yaml", "--target", &demo.url, "--out", "out"]))
        .expect(0);
    // Nothing that is there is touched; a second feature joins the first.
    std::fs::write(temp.path().join("loadgate/alerts.yaml"), "mine").unwrap();
    init(&url).expect(2).says("loadgate/alerts.yaml is already there");
    assert_eq!(std::fs::read_to_string(temp.path().join("loadgate/alerts.yaml")).unwrap(), "mine");
    init(&format!("{}/dashboard", demo.url)).expect(0).says("wrote loadgate/dashboard.yaml");
    init("http://127.0.0.1:1/").expect(2).says("does not answer");
    init("localhost:80").expect(2).says("did you mean http://localhost:80?");
}

#[test]
fn a_watched_soak_shows_changes_only_and_fails_what_lasts() {
    let demo = Demo::start(&["--allow-faults"]);
    let temp = tempfile::tempdir().unwrap();
    let text = "feature: risk-dashboard\nsteps:\n  - { name: page, get: /dashboard, check: [ status: 200 ] }\n  - { name: health, get: /healthz }\n";
    std::fs::write(temp.path().join("case.yaml"), text).unwrap();
    let watch = |length: &str, out: &str| {
        let args = [
            "smoke",
            "case.yaml",
            "--target",
            &demo.url,
            "--watch",
            length,
            "--every",
            "250ms",
            "--out",
            out,
        ];
        loadgate(temp.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let faults = |list: &str| assert_eq!(http(demo.address(), "PUT", "/faults", list).0, 204);
    let ended = |child: Child| {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    };
    let calm = ended(watch("2s", "calm")).expect(0).says("2 of 2 steps passed whenever they were sent");
    assert_eq!(
        calm.err.matches("risk-dashboard/page").count(),
        1,
        "what does not change is shown once\n{}",
        calm.err
    );

    let mut child = watch("5s", "outage");
    // Whatever the machine does, the fault begins after the first pass was shown.
    let mut shown = BufReader::new(child.stderr.take().unwrap());
    let mut early = String::new();
    while !early.contains("ok    risk-dashboard/health") {
        assert_ne!(shown.read_line(&mut early).unwrap(), 0, "{early}");
    }
    faults("[\"errors:risk-dashboard:100%\"]");
    std::thread::sleep(Duration::from_millis(1500));
    faults("[]");
    let mut ran = ended(child);
    shown.read_to_string(&mut early).unwrap();
    ran.err = early;
    let ran = ran.expect(1).says("passes: status: expected 200, got 500").says("recovered");
    assert_eq!(ran.err.matches("FAIL  risk-dashboard/page").count(), 1, "{}", ran.err);
    assert!(
        ran.err.contains("ok    risk-dashboard/page")
            && ran.err.contains("1 of 2 steps passed whenever they were sent"),
        "{}",
        ran.err
    );
    let record = json_file(&temp.path().join("outage/run.json"));
    assert_eq!(record["smoke"]["steps"][0]["status"], "failed");
}
