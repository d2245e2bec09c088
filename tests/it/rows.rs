use loadgate::demo::Broken;

use crate::support::{json, loadgate, run};

/// Every functional row of the mission: the fault that breaks it, and the check that must be the first to find it.
const ROWS: [(&str, &str, &str); 29] = [
    ("no-alerts", "predictive-maintenance/list alerts", "jsonpath: \"$.alerts[*]\", count: { min: 1 }"),
    (
        "wrong-score:predictive-maintenance",
        "predictive-maintenance/list alerts",
        "confidence\", between: [0, 1]",
    ),
    ("lost-alerts", "predictive-maintenance/workflow received it", "status: 200"),
    ("wrong-score:churn-prediction", "churn-prediction/score tenant", "$.risk_score, between: [0, 1]"),
    ("flaky-score", "churn-prediction/same tenant, same score", "$.risk_score, equals: \"${score}\""),
    ("no-explanations", "churn-prediction/score tenant", "$.explanations[*].factor\", count: { min: 1 }"),
    (
        "leak-personal-data:churn-prediction",
        "churn-prediction/score tenant",
        "no_personal_data: [email, phone, ssn, iban, card]",
    ),
    ("stale:market-intelligence", "market-intelligence/insights", "$.as_of, newer_than: 120s"),
    ("no-cache", "market-intelligence/second request from cache", "header: x-cache, equals: HIT"),
    ("brittle", "market-intelligence/degrades gracefully", "status: 200"),
    // The feed itself is down: still 200 and marked, which is graceful, but not fresh.
    ("feed-down", "market-intelligence/insights", "$.as_of, newer_than: 120s"),
    ("stuck-reports", "ai-reporting/report done", "$.status, equals: done"),
    ("empty-summary", "ai-reporting/report done", "$.summary, matches"),
    ("wrong-score:ai-reporting", "ai-reporting/report done", "$.quality, between: [0, 1]"),
    ("corrupt-exports", "ai-reporting/export pdf", "magic: pdf"),
    ("wrong-score:risk-dashboard", "risk-dashboard/portfolio", "$.risk_score, between: [0, 1]"),
    ("wrong-sum", "risk-dashboard/portfolio", "sum: { jsonpath: $.total_exposure }"),
    ("blank-page", "risk-dashboard/page", "body: { contains: \"<h1>Portfolio risk</h1>\" }"),
    ("errors:risk-dashboard:100%", "risk-dashboard/page", "status: 200"),
    ("silent-events", "risk-dashboard/updates by events", "updates by events"),
    ("wrong-score:market-intelligence", "market-intelligence/insights", "$.confidence, between: [0, 1]"),
    ("stale:churn-prediction", "churn-prediction/score tenant", "$.generated_at, newer_than: 60s"),
    ("stale:risk-dashboard", "risk-dashboard/portfolio", "$.generated_at, newer_than: 60s"),
    ("stale:ai-reporting", "ai-reporting/latest summary", "$.generated_at, newer_than: 60s"),
    ("leak-personal-data:ai-reporting", "ai-reporting/report done", "no_personal_data"),
    ("leak-personal-data:market-intelligence", "market-intelligence/insights", "no_personal_data"),
    ("leak-personal-data:predictive-maintenance", "predictive-maintenance/list alerts", "no_personal_data"),
    ("leak-personal-data:risk-dashboard", "risk-dashboard/portfolio", "no_personal_data"),
    ("stale:predictive-maintenance", "predictive-maintenance/list alerts", "$.generated_at, newer_than: 60s"),
];

/// What the demo lets out where it is told to leak.
const LEAKED: [&str; 4] = ["jane.doe", "555 0132", "536-90-4399", "AT61 1904"];

#[test]
fn every_functional_row_of_the_mission_has_a_fault_that_its_check_is_the_first_to_find() {
    for (word, _) in Broken::WORDS {
        assert!(ROWS.iter().any(|(fault, ..)| *fault == word), "{word} is in no row");
    }
    let scenarios = format!("{}/scenarios/epic21", env!("CARGO_MANIFEST_DIR"));
    let check = |(fault, endpoint, line): &(&str, &str, &str)| {
        let temp = tempfile::tempdir().unwrap();
        let feature = endpoint.split('/').next().unwrap();
        let args = ["smoke", &scenarios, "--demo", "--only", feature, "--fault", fault, "--out", "out"];
        let ran = run(loadgate(temp.path()).args(args)).expect(1);
        let record = json(&temp.path().join("out/run.json"));
        let steps = record["smoke"]["steps"].as_array().unwrap();
        let failed: Vec<_> = steps.iter().filter(|step| step["status"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{fault}: {}", ran.err);
        assert_eq!(failed[0]["endpoint"], *endpoint, "{fault}: {}", ran.err);
        let evidence = &failed[0]["evidence"];
        let marked = evidence["source"].as_str().unwrap();
        assert!(marked.contains(line), "{fault}: `{line}` is not the check at fault: {marked}\n{}", ran.err);
        assert!(ran.err.contains("^^^"), "{fault}: {}", ran.err);
        if *fault == "silent-events" {
            assert!(ran.err.contains("sse: no event within"), "{}", ran.err);
        }
        for (text, leaked) in [&ran.err, &record.to_string()].iter().flat_map(|t| LEAKED.map(|l| (*t, l))) {
            assert!(!text.contains(leaked), "{fault}: a leak is spread: {text}");
        }
    };
    // They wait for the demo more than they compute.
    std::thread::scope(|scope| {
        for rows in ROWS.chunks(6) {
            scope.spawn(move || rows.iter().for_each(check));
        }
    });
}

/// By the other way too, and each export by itself.
#[test]
fn the_rows_behind_a_failed_step_are_checked_as_well() {
    let scenario = |name: &str| {
        let path = format!("{}/scenarios/epic21/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    for (name, fault, drop, says) in [
        ("ai-reporting", "corrupt-exports", "export pdf", "magic: expected the bytes of a csv file"),
        (
            "ai-reporting",
            "corrupt-exports",
            "export pdf|export csv",
            "magic: expected the bytes of a xlsx file",
        ),
        (
            "risk-dashboard",
            "silent-events",
            "updates by events",
            "updates by websocket failed its functional check. timeout: websocket: none of 1 messages",
        ),
    ] {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("data")).unwrap();
        for file in ["properties.csv", "portfolios.csv"] {
            let from = format!("{}/scenarios/epic21/data/{file}", env!("CARGO_MANIFEST_DIR"));
            std::fs::copy(from, temp.path().join("data").join(file)).unwrap();
        }
        // Without the step that fails first, by giving it to the load alone.
        let mut text = scenario(name);
        for step in drop.split('|') {
            let at = text.find(&format!("- name: {step}\n")).unwrap();
            let only = at + text[at..].find("only: smoke").unwrap();
            assert!(!text[at + 1..only].contains("- name:"), "{step} has no `only` of its own");
            text.replace_range(only..only + "only: smoke".len(), "only: load ");
        }
        std::fs::write(temp.path().join("case.yaml"), text).unwrap();
        let pass = |out: &str, own: &[&str]| {
            run(loadgate(temp.path()).args(["smoke", "case.yaml", "--demo", "--out", out]).args(own))
        };
        pass("calm", &[]).expect(0);
        pass("broken", &["--fault", fault]).expect(1).says(says);
    }
}
