use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::combined::CombinedRow;
use super::inert::{inert, line};
use super::model::ReportModel;
use super::words::{status, told, told_impact};
use crate::metrics::{SmokeStatus, SmokeStep};
use crate::verdict::{
    Finding, Outcome, ProbeStanding, ProbeSummary, RuleKind, RuleResult, RuleStatus, Severity, interruption,
};

/// What a test case came to.
enum Ended {
    Passed,
    /// Proven.
    Failed {
        message: String,
        detail: String,
    },
    /// Could not be told.
    Errored {
        message: String,
        detail: String,
    },
    Skipped(String),
}

struct Case {
    class: String,
    name: String,
    seconds: Option<f64>,
    ended: Ended,
}

struct Suite {
    name: String,
    cases: Vec<Case>,
    seconds: f64,
    started: String,
    properties: Vec<(&'static str, String)>,
}

/// `JUnit` XML as Jenkins reads it: a suite for the functional pass, one for each feature with a case for each endpoint and
/// rule, and one for what concerns the whole run. A `<failure>` is proven, an `<error>` could not be told.
///
/// # Errors
/// If the text cannot be written to memory, which would be a fault here.
pub fn render_junit(models: &[ReportModel]) -> std::io::Result<String> {
    written(&suites_of(models))
}

/// Beside `models`, the rows without a verdict: whoever counts cases alone must not miss them.
///
/// # Errors
/// As [`render_junit`].
pub fn render_combined_junit(rows: &[CombinedRow], models: &[ReportModel]) -> std::io::Result<String> {
    let mut suites = suites_of(models);
    for row in rows {
        let Err(reason) = &row.verdict else { continue };
        let (message, detail) = (inert(reason).into_owned(), inert(&row.folder).into_owned());
        let ended = Ended::Errored { message, detail };
        let case = Case { class: "run".to_owned(), name: "has a verdict".to_owned(), seconds: None, ended };
        let (name, cases) = (format!("{}: run", line(&row.name)), vec![case]);
        suites.push(Suite { name, cases, seconds: 0.0, started: String::new(), properties: Vec::new() });
    }
    written(&suites)
}

fn suites_of(models: &[ReportModel]) -> Vec<Suite> {
    models
        .iter()
        .flat_map(|model| {
            let of = if models.len() > 1 { format!("{}: ", model.title()) } else { String::new() };
            suites(model).into_iter().map(move |suite| Suite { name: format!("{of}{}", suite.name), ..suite })
        })
        .collect()
}

fn written(suites: &[Suite]) -> std::io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut root = BytesStart::new("testsuites");
    root.push_attribute(("name", "loadgate"));
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    counts(&mut root, all(), false);
    writer.write_event(Event::Start(root))?;
    for suite in suites {
        write_suite(&mut writer, suite)?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuites")))?;
    let mut text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    text.push('\n');
    Ok(text)
}

fn suites(model: &ReportModel) -> Vec<Suite> {
    let suite = |name: &str, cases: Vec<Case>, seconds: f64| Suite {
        name: name.to_owned(),
        cases,
        seconds,
        started: model.record.started.chars().take(19).collect(),
        properties: [("verdict", model.verdict.summary.clone()), ("evidence", model.evidence())]
            .into_iter()
            .chain(model.provenance())
            .chain(warnings(model).map(|finding| ("warning", finding.reason.clone())))
            .chain(model.impact.iter().map(|one| ("impact", told_impact(one))))
            .collect(),
    };
    let mut all = vec![suite("run", run_cases(model), 0.0)];
    let steps = model.smoke_steps();
    if !steps.is_empty() {
        let seconds = steps.iter().map(|step| step.elapsed_ms).sum::<f64>() / 1e3;
        all.push(suite("smoke", steps.iter().map(smoke_case).collect(), seconds));
    }
    let probes: Vec<Case> = model.verdict.probes.iter().filter_map(probe_case).collect();
    if !probes.is_empty() {
        all.push(suite("probes", probes, 0.0));
    }
    let seconds: f64 = model.record.runs.iter().map(|look| look.window_ms as f64 / 1e3).sum();
    for scenario in &model.record.scenarios {
        let of = |name: &str| scenario.endpoints.iter().any(|plan| plan.endpoint == name);
        let rules = model.endpoints.iter().flat_map(|row| &row.rules).filter(|rule| of(&rule.endpoint));
        let cases: Vec<Case> = rules.map(rule_case).collect();
        if !cases.is_empty() {
            all.push(suite(&scenario.feature, cases, seconds));
        }
    }
    all
}

fn warnings(model: &ReportModel) -> impl Iterator<Item = &Finding> {
    model.verdict.findings.iter().filter(|finding| finding.severity == Severity::Warn)
}

/// A probe that held; what did not is told among the findings.
fn probe_case(one: &ProbeSummary) -> Option<Case> {
    let ended = match one.standing {
        ProbeStanding::Held | ProbeStanding::NearMiss => Ended::Passed,
        ProbeStanding::Shown if one.arm == "control" => return None,
        ProbeStanding::Shown => Ended::Skipped("it has no limit".to_owned()),
        ProbeStanding::Broken | ProbeStanding::NotKnown | ProbeStanding::Open => return None,
    };
    let (class, name) = ("probes".to_owned(), one.name.clone());
    Some(Case { class, name, seconds: None, ended })
}

/// The verdict itself, and every finding that no other case tells.
fn run_cases(model: &ReportModel) -> Vec<Case> {
    let case =
        |name: &str, ended| Case { class: "run".to_owned(), name: name.to_owned(), seconds: None, ended };
    let told_elsewhere = |finding: &Finding| {
        let by_rule = model.endpoints.iter().flat_map(|row| &row.rules).any(|rule| {
            matches!(rule.status, RuleStatus::Broken | RuleStatus::Undecided | RuleStatus::Tolerated)
                && rule.reason.as_ref() == Some(&finding.reason)
        });
        let by_step = model.smoke_steps().iter().any(|step| {
            step.status == SmokeStatus::Failed
                && finding.endpoint.as_ref() == Some(&step.endpoint)
                && finding.reason.contains(&step.place)
        });
        by_rule || by_step
    };
    let mut cases: Vec<Case> = model
        .verdict
        .findings
        .iter()
        .filter(|finding| matches!(finding.severity, Severity::Fail | Severity::Hold))
        .filter(|finding| !told_elsewhere(finding))
        .map(|finding| {
            let (message, detail) = (finding.reason.clone(), finding.remedy.clone().unwrap_or_default());
            let name = finding.endpoint.as_deref().or(finding.probe.as_deref()).unwrap_or("the run");
            let ended = match finding.severity {
                Severity::Fail => Ended::Failed { message, detail },
                _ if model.verdict.outcome == Outcome::Pass => Ended::Skipped(format!("allowed: {message}")),
                _ => Ended::Errored { message, detail },
            };
            case(name, ended)
        })
        .collect();
    if let Some(signal) = &model.record.interrupted {
        let (message, detail) = (model.verdict.summary.clone(), interruption(signal));
        cases.insert(0, case("was not interrupted", Ended::Errored { message, detail }));
    }
    if cases.is_empty() {
        let ended = match model.verdict.outcome {
            Outcome::Partial => Ended::Skipped(model.verdict.summary.clone()),
            _ if model.record.runs.is_empty() => Ended::Skipped("no load was sent".to_owned()),
            _ => Ended::Passed,
        };
        cases.push(case("can be trusted", ended));
    }
    cases
}

fn smoke_case(step: &SmokeStep) -> Case {
    let message = step.message.clone().unwrap_or_default();
    let ended = match step.status {
        SmokeStatus::Passed | SmokeStatus::NearMiss => Ended::Passed,
        SmokeStatus::Skipped if message.is_empty() => {
            Ended::Skipped("an earlier step of its scenario failed".to_owned())
        }
        SmokeStatus::Skipped => Ended::Skipped(message),
        SmokeStatus::Failed => {
            let evidence = step.evidence.as_ref();
            let lines = evidence.map(|e| {
                let response = e.response.as_ref();
                let status = response.map(|r| format!("{}, {} bytes\n{}", r.status, r.size, r.body));
                let again = e.reproduce.as_ref().map(|command| format!("see it again: {command}"));
                let parts = [Some(e.source.trim().to_owned()), e.request.clone(), status, again];
                parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
            });
            let detail = format!("{}\n{}", step.place, lines.unwrap_or_default());
            Ended::Failed { message, detail }
        }
    };
    let class = step.endpoint.split_once('/').map_or("smoke", |(feature, _)| feature);
    Case { class: class.to_owned(), name: step.endpoint.clone(), seconds: Some(step.elapsed_ms / 1e3), ended }
}

fn rule_case(rule: &RuleResult) -> Case {
    let told = told(rule);
    let reason = rule.reason.clone().unwrap_or_else(|| format!("observed {}", told.observed));
    let detail = || {
        let remedy = rule.remedy.as_ref().map(|r| format!("\nwhat would help: {r}")).unwrap_or_default();
        format!("{}: observed {}{remedy}", told.rule, told.observed)
    };
    let ended = match rule.status {
        RuleStatus::Held => Ended::Passed,
        RuleStatus::Broken => Ended::Failed { message: reason, detail: detail() },
        RuleStatus::Undecided => Ended::Errored { message: reason, detail: detail() },
        RuleStatus::Tolerated | RuleStatus::NotJudged => {
            Ended::Skipped(format!("{}: {reason}", status(rule.status)))
        }
    };
    let name = match rule.kind {
        RuleKind::Limit => format!("limit {}", told.rule),
        RuleKind::Regression => format!("regression {}", told.rule),
    };
    Case { class: rule.endpoint.clone(), name, seconds: None, ended }
}

fn counts<'a>(tag: &mut BytesStart<'_>, cases: impl Iterator<Item = &'a Case>, with_skipped: bool) {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        tests += 1;
        match case.ended {
            Ended::Passed => {}
            Ended::Failed { .. } => failures += 1,
            Ended::Errored { .. } => errors += 1,
            Ended::Skipped(_) => skipped += 1,
        }
    }
    for (name, count) in [("tests", tests), ("failures", failures), ("errors", errors)] {
        tag.push_attribute((name, count.to_string().as_str()));
    }
    // The schema knows it of a suite only.
    if with_skipped {
        tag.push_attribute(("skipped", skipped.to_string().as_str()));
    }
}

fn write_suite(writer: &mut Writer<Vec<u8>>, suite: &Suite) -> std::io::Result<()> {
    let mut tag = BytesStart::new("testsuite");
    tag.push_attribute(("name", suite.name.as_str()));
    counts(&mut tag, suite.cases.iter(), true);
    tag.push_attribute(("time", format!("{:.3}", suite.seconds).as_str()));
    if !suite.started.is_empty() {
        tag.push_attribute(("timestamp", suite.started.as_str()));
    }
    writer.write_event(Event::Start(tag))?;
    writer.write_event(Event::Start(BytesStart::new("properties")))?;
    for (name, value) in &suite.properties {
        let mut property = BytesStart::new("property");
        property.push_attribute(("name", *name));
        property.push_attribute(("value", value.as_str()));
        writer.write_event(Event::Empty(property))?;
    }
    writer.write_event(Event::End(BytesEnd::new("properties")))?;
    for case in &suite.cases {
        write_case(writer, case)?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuite")))
}

fn write_case(writer: &mut Writer<Vec<u8>>, case: &Case) -> std::io::Result<()> {
    let mut tag = BytesStart::new("testcase");
    tag.push_attribute(("name", case.name.as_str()));
    tag.push_attribute(("classname", case.class.as_str()));
    if let Some(seconds) = case.seconds {
        tag.push_attribute(("time", format!("{seconds:.3}").as_str()));
    }
    let (name, kind, message, text) = match &case.ended {
        Ended::Passed => return writer.write_event(Event::Empty(tag)),
        Ended::Failed { message, detail } => ("failure", "proven", message.as_str(), detail),
        Ended::Errored { message, detail } => ("error", "could not tell", message.as_str(), detail),
        Ended::Skipped(why) => ("skipped", "", "", why),
    };
    writer.write_event(Event::Start(tag))?;
    let mut inner = BytesStart::new(name);
    if name != "skipped" {
        inner.push_attribute(("type", kind));
        inner.push_attribute(("message", message));
    }
    writer.write_event(Event::Start(inner))?;
    writer.write_event(Event::Text(BytesText::new(text)))?;
    writer.write_event(Event::End(BytesEnd::new(name)))?;
    writer.write_event(Event::End(BytesEnd::new("testcase")))
}
