use std::fmt::Write as _;

use jiff::Timestamp;

use super::inert::{inert_record, inert_verdict, line};
use crate::baseline::references_of_runs;
use crate::metrics::{EndpointPlan, EndpointRecord, LookRecord, RunRecord, SmokeStatus, SmokeStep};
use crate::units::{Metric, counted, format_ms, format_share};
use crate::verdict::{
    Acceptance, Action, Comparison, EndpointSummary, Finding, Impact, Outcome, ProbeSummary, Reference,
    ResourceImpact, RuleKind, RuleResult, Severity, Standing, Transient, Verdict, acceptance, impact,
    resource_impacts, rule_results, standing, transients,
};

/// Everything that any format shows of one run. Its text is inert already; what it says was decided elsewhere.
pub struct ReportModel {
    pub record: RunRecord,
    pub verdict: Verdict,
    /// The same with its text as it was, for other programs.
    pub raw: Raw,
    /// The runs that it was compared with; empty where they are not at hand.
    pub references: Vec<Reference>,
    pub endpoints: Vec<EndpointRow>,
    pub transients: Vec<Transient>,
    /// Before against after, all endpoints together.
    pub impact: Vec<Impact>,
    /// The same of resources, where probes have read them.
    pub resources: Vec<ResourceImpact>,
    /// Whether it is compared with runs that somebody named, which are not what the verdict compared with.
    pub before: bool,
    /// Whether it is compared with the control beside it.
    pub beside: bool,
}

/// What is told with its text as it was.
pub struct Raw {
    pub verdict: Verdict,
    pub label: Option<String>,
    pub rules: Vec<RuleResult>,
    pub transients: Vec<Transient>,
}

/// One endpoint with all that is known of it.
pub struct EndpointRow {
    pub name: String,
    /// Scenario file.
    pub file: String,
    pub plan: EndpointPlan,
    pub summary: EndpointSummary,
    pub standing: Standing,
    pub rules: Vec<RuleResult>,
    pub comparisons: Vec<Comparison>,
    /// All looks together.
    pub measured: EndpointRecord,
}

impl EndpointRow {
    /// The limit of one metric, if it has one.
    #[must_use]
    pub fn limit(&self, metric: Metric) -> Option<&RuleResult> {
        self.rules.iter().find(|rule| rule.kind == RuleKind::Limit && rule.metric == metric)
    }

    /// The comparison of one metric with the baseline.
    #[must_use]
    pub fn comparison(&self, metric: Metric) -> Option<&Comparison> {
        self.comparisons.iter().find(|c| c.metric == metric)
    }
}

impl ReportModel {
    /// `impact_allowed` is the relative change of latencies that is accepted for all endpoints together.
    #[must_use]
    pub fn new(record: &RunRecord, verdict: &Verdict, references: &[Reference], impact_allowed: f64) -> Self {
        let beside = record.of_control();
        let of_control =
            beside.as_ref().map(|control| references_of_runs(record, std::slice::from_ref(control)));
        let references = of_control.as_deref().unwrap_or(references);
        let impact = impact(record, references, impact_allowed, verdict);
        let found = transients(record);
        let raw = Raw {
            verdict: verdict.clone(),
            label: record.label.clone(),
            rules: rule_results(verdict, record),
            transients: found.clone(),
        };
        let (record, verdict) = (inert_record(record), inert_verdict(verdict));
        let references = references
            .iter()
            .map(|reference| Reference { endpoint: line(&reference.endpoint), ..reference.clone() })
            .collect();
        let rules = rule_results(&verdict, &record);
        let resources = resource_impacts(&verdict.probes, &[]);
        let plans = record.scenarios.iter().flat_map(|s| s.endpoints.iter().map(|plan| (&s.file, plan)));
        let endpoints = plans
            .zip(&verdict.endpoints)
            .enumerate()
            .map(|(index, ((file, plan), summary))| EndpointRow {
                name: plan.endpoint.clone(),
                file: file.clone(),
                plan: plan.clone(),
                summary: summary.clone(),
                standing: standing(&verdict, &record, plan, summary),
                rules: rules.iter().filter(|rule| rule.endpoint == plan.endpoint).cloned().collect(),
                comparisons: verdict
                    .comparisons
                    .iter()
                    .filter(|c| c.endpoint == plan.endpoint)
                    .cloned()
                    .collect(),
                measured: measured(&record, index),
            })
            .collect();
        let mut transients = found;
        for disturbed in transients.iter_mut().flat_map(|transient| &mut transient.endpoints) {
            disturbed.endpoint = line(&disturbed.endpoint);
        }
        Self {
            record,
            verdict,
            raw,
            references,
            endpoints,
            transients,
            impact,
            resources,
            before: false,
            beside: beside.is_some(),
        }
    }

    /// Compared with runs that somebody named.
    #[must_use]
    pub fn compared_with(self, before: &[ProbeSummary]) -> Self {
        Self { before: true, resources: resource_impacts(&self.verdict.probes, before), ..self }
    }

    /// What a comparison came to; one that is not trusted proves no latency.
    #[must_use]
    pub fn acceptance(&self, comparison: &Comparison) -> Acceptance {
        acceptance(&self.verdict, &self.record, comparison)
    }

    /// The runs that an endpoint can be compared with: those of the same request.
    #[must_use]
    pub fn reference(&self, row: &EndpointRow) -> Option<&Reference> {
        self.references.iter().find(|r| r.endpoint == row.name && r.digest == row.plan.digest)
    }

    /// What it is compared with.
    #[must_use]
    pub fn reference_word(&self) -> &'static str {
        match (self.before, self.beside) {
            (true, _) => "runs before",
            (_, true) => "control",
            _ => "baseline",
        }
    }

    /// `5 runs of the baseline`
    #[must_use]
    pub fn reference_runs(&self, count: usize) -> String {
        let of = match (self.before, self.beside) {
            (true, _) => "before",
            (_, true) => "of the control",
            _ => "of the baseline",
        };
        format!("{} {of}", counted(count, "run"))
    }

    /// Whether the load generator kept up in all looks; `None` where that is not known of one.
    #[must_use]
    pub fn kept_up(&self) -> Option<bool> {
        let known = |look: &LookRecord| look.generator.send_lag_p99_us.is_some();
        let looks = &self.record.runs;
        let healthy = self.verdict.generator.healthy;
        (!healthy || (!looks.is_empty() && looks.iter().all(known))).then_some(healthy)
    }

    /// `GO`, `HOLD` or `ROLL BACK`.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self.verdict.action {
            Action::Go => "GO",
            Action::Hold if self.verdict.outcome == Outcome::Partial => "PARTIAL",
            Action::Hold => "HOLD",
            Action::RollBack => "ROLL BACK",
        }
    }

    /// What the verdict rests on, in one line.
    #[must_use]
    pub fn evidence(&self) -> String {
        let mut parts = Vec::new();
        if self.record.smoke.is_some() {
            parts.push(passed_of(self.smoke_steps()));
        }
        if self.record.runs.is_empty() {
            parts.push("no load was sent".to_owned());
        }
        if let Some(look) = self.record.runs.last() {
            let (requests, errors) = self.totals();
            let share = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
            parts.push(format!(
                "{} to {}, {} ({})",
                counted(requests as usize, "request"),
                counted(self.endpoints.len(), "endpoint"),
                counted(errors as usize, "error"),
                format_share(share)
            ));
            let looks = counted(self.verdict.looks, if self.beside { "segment" } else { "look" });
            let all_ms: u64 = self.record.runs.iter().map(|own| own.window_ms).sum();
            let alike = self.record.runs.iter().all(|own| own.window_ms == look.window_ms);
            parts.push(if alike {
                format!("{looks} of {}", format_ms(look.window_ms as f64))
            } else {
                format!("{looks}, {} in all", format_ms(all_ms as f64))
            });
            if self.record.runs.iter().any(|own| own.early_stop.is_some()) {
                parts.push("stopped early".to_owned());
            }
            parts.push(match self.verdict.comparisons.first() {
                _ if self.beside => "beside the control".to_owned(),
                Some(c) if self.before => {
                    format!("against {} before", counted(c.baseline_instances, "instance"))
                }
                Some(c) => format!("against {}", counted(c.baseline_instances, "baseline instance")),
                None => "compared with no baseline".to_owned(),
            });
        }
        parts.push(format!("gate {}", self.verdict.gate));
        parts.join(" · ")
    }

    /// Requests and errors of all endpoints.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.endpoints
            .iter()
            .fold((0, 0), |(requests, errors), e| (requests + e.summary.requests, errors + e.summary.errors))
    }

    /// The label, else the run's name.
    #[must_use]
    pub fn title(&self) -> &str {
        self.record.label.as_deref().unwrap_or(&self.record.id)
    }

    /// The findings that a reader must know, the gravest first.
    #[must_use]
    pub fn important(&self) -> Vec<&Finding> {
        self.verdict.findings.iter().filter(|f| f.severity != Severity::Info).collect()
    }

    /// The word for people. What was allowed to pass does not hold.
    #[must_use]
    pub fn word(&self, finding: &Finding) -> &'static str {
        match finding.severity {
            Severity::Fail => "FAIL",
            Severity::Hold if self.verdict.outcome == Outcome::Pass => "ALLOWED",
            Severity::Hold => "HOLD",
            Severity::Warn => "WARN",
            Severity::Info => "INFO",
        }
    }

    #[must_use]
    pub fn smoke_steps(&self) -> &[SmokeStep] {
        self.record.smoke.as_ref().map_or(&[], |smoke| &smoke.steps)
    }
}

/// `7 of 8 functional steps passed, 1 failed`
#[must_use]
pub fn passed_of(steps: &[SmokeStep]) -> String {
    let of = |status| steps.iter().filter(|step| step.status == status).count();
    let near = of(SmokeStatus::NearMiss);
    let passed = of(SmokeStatus::Passed) + near;
    let mut text = format!("{passed} of {} passed", counted(steps.len(), "functional step"));
    for (count, word) in
        [(near, "near-miss"), (of(SmokeStatus::Failed), "failed"), (of(SmokeStatus::Skipped), "skipped")]
    {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    text
}

/// One endpoint over all looks.
fn measured(record: &RunRecord, index: usize) -> EndpointRecord {
    let looks: Vec<_> = record.runs.iter().filter_map(|look| look.endpoints.get(index)).collect();
    EndpointRecord::of_looks(&looks)
}

/// A UTC timestamp for people; what is none stays as it is.
#[must_use]
pub fn moment(text: &str) -> String {
    text.parse::<Timestamp>()
        .map_or_else(|_| text.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// So many milliseconds after a UTC timestamp: `13:46:02`.
#[must_use]
pub fn clock_after(text: &str, ms: u64) -> Option<String> {
    let at = text.parse::<Timestamp>().ok()?;
    let later = at.checked_add(jiff::SignedDuration::from_millis(ms as i64)).ok()?;
    Some(later.strftime("%H:%M:%S").to_string())
}
