//! Formats as those who take them up see them: browsers, platforms, terminals; hostile text; runs that are large.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::routing::get;
use loadgate::error_class::ErrorClass;
use loadgate::metrics::{EndpointPlan, EndpointRecord, ErrorExample, RunRecord, SmokeRecord, TimelineBlock};
use loadgate::report::{
    Detail, ReportModel, Screen, render_annotations, render_closing, render_deployment_html,
    render_deployment_markdown, render_html, render_html_beside, render_json, render_junit, render_markdown,
    render_markdown_beside, render_side_by_side, render_terminal,
};
use loadgate::units::{Limit, Metric, RegressionRule, Tolerance};
use loadgate::verdict::{Allow, DEFAULT_IMPACT, Reference, judge};
use serde_json::{Value, json};

use crate::judging::{GOOD, Made, record, references};
use crate::reports::{RUNS, junit, markdown, report};
use crate::servers::{Service, folder, smoke};
use crate::support::{loadgate, run};

const HOSTILE: &str = "##[error]::error::x </script><script>window.pwned=1</script></svg></title><img src=x \
    onerror=window.pwned=1>\u{1b}[31m\u{9b}2J\u{202e}lla\u{200f}\u{61c}\u{2066}\u{2069}\u{2028}\u{feff} \u{0}\u{7}`|*[x](javascript:alert(1)) \
    @everyone #1 org/repo#12 GH-7 a@b.example mailto:a@b.example www.example.org http://example.org ${x} ]]>&amp;\n::error::y\n- [x] z\n---\n";

pub fn model(record: &RunRecord, references: &[Reference]) -> ReportModel {
    let verdict = judge(record, references, Allow::default()).verdict;
    ReportModel::new(record, &verdict, references, DEFAULT_IMPACT)
}

fn example(endpoint: &str, text: &str, body: &str) -> ErrorExample {
    let response = json!({ "status": 500, "size": 9, "headers": [text], "body": body });
    let evidence = json!({
        "line": 3, "column": 5, "width": 4, "source": text, "request": text, "response": response,
        "reproduce": text, "others": [text],
    });
    let whole = json!({ "endpoint": endpoint, "class": "status", "message": text, "evidence": evidence });
    serde_json::from_value(whole).unwrap()
}

/// A run, and what it is compared with, whose names, messages and bodies do their worst: it fails, one look was aborted,
/// functional steps failed, nearly failed and were skipped, there is a transient and a slow start.
fn hostile() -> (RunRecord, Vec<Reference>) {
    let (mut run, mut known) = (record(&Made { errors: 60, looks: 2, ..GOOD }), references(5));
    let long = "n".repeat(10_000);
    let names = [format!("churn/{HOSTILE}"), format!("churn/{long}")];
    for text in [&mut run.id, &mut run.target, &mut run.loadgate_version, &mut run.environment.kernel] {
        HOSTILE.clone_into(text);
    }
    (run.environment.cores, run.environment.cpu_model) = (2, HOSTILE.into());
    for text in [&mut run.label, &mut run.environment.ci_run, &mut run.environment.git_commit] {
        *text = Some(HOSTILE.into());
    }
    let scenario = &mut run.scenarios[0];
    (scenario.feature, scenario.owner, scenario.digest) =
        (HOSTILE.into(), Some(HOSTILE.into()), HOSTILE.into());
    scenario.file = format!("{HOSTILE}.yaml");
    for ((plan, reference), name) in scenario.endpoints.iter_mut().zip(&mut known).zip(&names) {
        (plan.endpoint, plan.request) = (name.clone(), format!("GET /{HOSTILE}"));
        reference.endpoint.clone_from(name);
        for (number, run) in (1..).zip(&mut reference.runs) {
            (run.run_id, run.instance_id) = (format!("{number}{HOSTILE}"), format!("{number}{HOSTILE}"));
        }
    }
    for look in &mut run.runs {
        look.instance_id = HOSTILE.into();
        look.build_id = Some(HOSTILE.into());
        look.notes = vec![HOSTILE.into()];
        look.remarks = vec![HOSTILE.into()];
        look.stages = vec![HOSTILE.into()];
        look.warmup.unsteady = Some(HOSTILE.into());
        for (endpoint, name) in look.endpoints.iter_mut().zip(&names) {
            endpoint.endpoint.clone_from(name);
        }
    }
    run.runs[1].abort = Some(
        serde_json::from_value(json!({
            "endpoint": names[0], "metric": "error_rate", "above": 0.1, "observed": 0.6, "requests": 100,
            "errors": 60, "window_ms": 10_000, "at_ms": 20_000,
        }))
        .unwrap(),
    );
    run.error_examples = vec![example(&names[0], HOSTILE, &format!("{HOSTILE}\n```\n{long}"))];
    let steps = ["failed", "near_miss", "skipped", "passed"].map(|status| {
        json!({
            "endpoint": names[0], "place": format!("{HOSTILE}:3:5"), "status": status, "elapsed_ms": 1.0,
            "message": HOSTILE, "evidence": run.error_examples[0].evidence,
        })
    });
    run.smoke = Some(serde_json::from_value::<SmokeRecord>(json!({ "steps": steps })).unwrap());
    (run, known)
}

/// What must not be in any text that a terminal, a browser or a platform takes up. Annotations are the one place where
/// commands are meant.
fn is_inert(text: &str, what: &str) {
    let hidden = ['\u{61c}', '\u{200f}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}'];
    let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || hidden.contains(c));
    assert_eq!(bad, None, "{what}");
    let own = |line: &str| {
        what == "annotations"
            && ["error file=", "error title=", "warning file=", "warning title="]
                .iter()
                .any(|start| line.strip_prefix("::").is_some_and(|rest| rest.starts_with(start)))
    };
    let command = text.lines().find(|line| {
        line.contains("##[") || (line.trim_start().starts_with("::") && !own(line.trim_start()))
    });
    assert_eq!(command, None, "{what}");
}

#[test]
fn hostile_names_and_bodies_are_inert_in_every_format() {
    let temp = tempfile::tempdir().unwrap();
    let (mut record, references) = hostile();
    let stored = temp.path().join("hostile");
    std::fs::create_dir_all(&stored).unwrap();
    std::fs::write(stored.join("run.json"), serde_json::to_string(&record).unwrap()).unwrap();
    let of = |args: &[&str]| run(loadgate(temp.path()).args(["report", "hostile"]).args(args)).expect(0).out;
    // A set of baselines is a folder, which none of that could name.
    record.env = HOSTILE.into();
    let compared = model(&record, &references);
    assert!(!compared.verdict.comparisons.is_empty() && !compared.transients.is_empty());
    let (one, two) = ([model(&record, &references)], [model(&record, &references), compared]);
    let compared = &two[1];
    let closing = render_closing(compared, "results/x", &["report.html"], Screen::FILE, true);
    let narrow = Screen { width: Some(60), ..Screen::FILE };
    let mut texts: BTreeMap<&str, String> = BTreeMap::from([
        ("table", render_terminal(compared, Screen::FILE, Detail::default())),
        ("narrow table", render_terminal(compared, narrow, Detail::default())),
        ("beside", render_side_by_side(&two, Screen::FILE)),
        ("closing", closing),
        ("annotations", render_annotations(compared, Some("/root"))),
        ("json", render_json(&one).unwrap()),
        ("junit", render_junit(&one).unwrap()),
        ("markdown", render_markdown(compared)),
        ("beside.markdown", render_markdown_beside(&two)),
        ("deployment.markdown", render_deployment_markdown(&two)),
        ("html", render_html(compared)),
        ("beside.html", render_html_beside(&two)),
        ("deployment.html", render_deployment_html(&two)),
        ("explain", run(loadgate(temp.path()).args(["compare", "hostile", "--explain"])).out),
        ("stored table", of(&[])),
        ("stored html", of(&["--format", "html"])),
    ]);
    for (format, text) in &texts {
        is_inert(text, format);
        if format.ends_with("html") {
            assert_eq!(text.matches("<script").count(), 1, "{format}: only its own script");
            assert!(!text.contains("<img") && !text.contains("javascript:alert(1)\""), "{format}");
            let file = temp.path().join(format!("{}.html", format.replace(".html", " hostile")));
            std::fs::write(file, text).unwrap();
        }
        if format.ends_with("markdown") {
            let file = temp.path().join(format);
            std::fs::write(&file, text).unwrap();
            markdown(&file);
        }
    }
    assert!(texts["markdown"].chars().count() < 60_000);
    let verdict: Value = serde_json::from_str(&texts["json"]).unwrap();
    let name = verdict["endpoints"][0]["step"].as_str().unwrap();
    assert!(name.contains('\u{1b}') && name.contains('\u{202e}'), "JSON reads back what was there");
    let table = texts.remove("table").unwrap();
    let status: Vec<&str> = table.lines().filter(|l| l.contains(" ms") && l.ends_with("FAIL")).collect();
    assert!(!status.is_empty() && status.iter().all(|line| line.chars().count() <= 100), "{status:?}");
    let annotated = &texts["annotations"];
    assert!(annotated.lines().count() >= 2 && annotated.contains("%0A"), "{annotated}");
    let file = temp.path().join("junit.xml");
    std::fs::write(&file, &texts["junit"]).unwrap();
    junit(&file);
    in_browser(
        &["html", "deployment hostile", "beside hostile"].map(|n| temp.path().join(format!("{n}.html"))),
    );
}

/// While a run goes on, and where it is not even begun.
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
    for (text, code) in [
        (
            "feature: \"f\\e[31m\"\nsteps: [ { name: \"a\\e[2J\", get: / } ]\nload: { stages: [ { rate: 5/s, for: 3s } ] }\n",
            0,
        ),
        ("feature: f\nsteps: [ { nome\u{202e}: a, get: / } ]\n", 2),
        ("feature: f\n# ::error::x\nsteps:\n- { name: a,\n::error::x: / }\n", 2),
    ] {
        std::fs::write(temp.path().join("scenario.yaml"), text).unwrap();
        let ran = run(loadgate(temp.path()).args(["validate", "scenario.yaml"])).expect(code);
        is_inert(&ran.out, "standard output");
        is_inert(&ran.err, "standard error");
    }
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
        let endpoint = format!("feature/{}, number {number}", "a step with a name ".repeat(5).trim_end());
        let mut rules = plan.rules.clone();
        rules.limits.extend([Metric::P50, Metric::P99].map(|metric| Limit { metric, below: 400.0 }));
        rules.regression.push(RegressionRule {
            metric: Metric::P99,
            delta: Tolerance { share: 0.1, floor_ms: 5.0 },
            explicit: true,
        });
        run.scenarios[0].endpoints.push(EndpointPlan {
            endpoint: endpoint.clone(),
            planned: 60_000,
            rules,
            ..plan.clone()
        });
        let text = format!("expected status 200, got 500 from the step with number {number}");
        run.error_examples.push(example(&endpoint, &text, &"body of 18 bytes. ".repeat(100)));
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

/// 50 endpoints for ten minutes, with all that a scenario can ask for: the page stays under a megabyte, the comment has
/// every endpoint and says where it all comes from, and the document can still be signed.
#[test]
fn a_large_run_is_a_small_page() {
    let (record, references) = large();
    let models = [model(&record, &references)];
    let page = render_html(&models[0]);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 50 * 4 + 3);
    let comment = render_markdown(&models[0]);
    assert!(comment.chars().count() < 60_000, "{}", comment.chars().count());
    let table = comment.split("| endpoint | status |").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(table.lines().count() - 2, 50, "a row for each endpoint");
    let folds: Vec<&str> = comment.split("<details>").skip(1).collect();
    assert!(folds.len() >= 4 && folds.iter().all(|fold| fold.lines().count() > 8), "no fold is empty");
    assert!(folds.last().unwrap().contains("| loadgate |") && comment.contains("report.html"));
    let signed = render_deployment_markdown(&models);
    assert!(
        signed.contains("## Checklist") && signed.contains("Product owner: approved or rejected, name, date"),
        "{}",
        signed.len()
    );
    assert!(
        signed.matches(": incident. ").count() == 20
            && signed.contains(" more incidents in the report of this run")
    );
    let temp = tempfile::tempdir().unwrap();
    for (name, text) in [("comment.md", comment), ("signed.md", signed)] {
        std::fs::write(temp.path().join(name), text).unwrap();
        markdown(&temp.path().join(name));
    }
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
    // Looks of which one was aborted, stages, a transient.
    let (mut made, known) = (record(&Made { errors: 60, looks: 3, ..GOOD }), references(5));
    made.runs[2].abort = Some(
        serde_json::from_value(json!({
            "endpoint": "f/a", "metric": "p95", "above": 400.0, "observed": 500.0, "requests": 100,
            "errors": 0, "window_ms": 10_000, "at_ms": 20_000,
        }))
        .unwrap(),
    );
    for look in &mut made.runs {
        look.blocks.retain(|block| block.endpoint == 0 || block.start_ms >= 20_000);
    }
    made.scenarios[0].endpoints[1].endpoint = "f/b@stage2".into();
    let looks = render_html(&model(&made, &known));
    for mark in [
        "class=\"abort\"",
        ">aborted<",
        "class=\"stage\"",
        "class=\"transient\"",
        ">transient<",
        "data-looks=",
    ] {
        assert!(looks.contains(mark), "{mark}");
    }
    files.push(temp.path().join("looks.html"));
    std::fs::write(files.last().unwrap(), looks).unwrap();
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
