use std::net::TcpListener;

use crate::support::{fixture, loadgate, run};

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
    assert!(message.contains("no-such.csv"));
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
        (vec!["run", &short, "--demo", "--fault", "slwo:x"], "did you mean `slow`?"),
        (vec!["run", &short, "--demo", "--fault", "stale:churn"], "unknown feature `churn`"),
        (vec!["run", &short, "--demo", "--var", "apy=1"], "no scenario has such a variable"),
        (vec!["run", &short, "--demo", "--only", "nope*"], "matches no feature"),
        (vec!["run", &short, "--demo", "--repeat", "often"], "neither `auto` nor a number"),
        (vec!["run", "no-such.yaml", "--demo"], "no-such.yaml"),
        (vec!["run", "--demo"], "no scenario is named"),
        (vec!["smoek"], "smoke"),
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
        .says("market-intelligence/comparables      1040  130/s  p95 < 500 ms, error_rate < 0.2%");
    let file = temp.path().join("secret.yaml");
    let text = "feature: f\nheaders: { authorization: \"Bearer ${ secret.LG_TEST_TOKEN }\" }\nsteps:\n  - { name: a, get: /a }\n";
    std::fs::write(&file, text).unwrap();
    let smoke = |command: &mut std::process::Command| {
        run(command.args(["smoke", "secret.yaml", "--target", "http://127.0.0.1:1"]))
    };
    smoke(&mut loadgate(temp.path())).expect(2).says("the environment variable LG_TEST_TOKEN is not set");
    run(loadgate(temp.path()).args(["validate", "secret.yaml"])).expect(0);
    let ran = smoke(loadgate(temp.path()).env("LG_TEST_TOKEN", "hush-hush-0815")).expect(1);
    assert!(!ran.out.contains("hush-hush") && !ran.err.contains("hush-hush"));
}
