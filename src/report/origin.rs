//! Where a run came from, and what it could have told.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::model::{ReportModel, moment};
use crate::metrics::{LookRecord, Repeat, SEGMENTS};
use crate::units::{Metric, counted, format_ms, visible_change};
use crate::verdict::{Comparison, MOST_LOOKS};

/// The cohorts that answered, where responses tell them.
fn answered(runs: &[LookRecord]) -> Option<String> {
    let all = runs.iter().filter_map(|look| look.answered_by.as_ref()).flat_map(|own| &own.cohorts);
    let names: BTreeSet<&str> = all.map(String::as_str).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

impl ReportModel {
    /// Where everything came from, by name.
    #[must_use]
    pub fn provenance(&self) -> Vec<(&'static str, String)> {
        let (record, verdict) = (&self.record, &self.verdict);
        let mut rows = vec![("run", record.id.clone())];
        rows.extend(record.service.iter().map(|service| ("service", service.clone())));
        rows.extend(record.label.iter().map(|label| ("label", label.clone())));
        rows.push(("started", moment(&record.started)));
        match &record.control {
            None => rows.push(("target", record.target.clone())),
            Some(control) => {
                rows.push(("candidate", record.target.clone()));
                rows.push(("control", control.target.clone()));
            }
        }
        rows.push(("environment", record.env.clone()));
        if let Some(merged) = &record.merged {
            let all = merged.shards.iter();
            let one =
                all.map(|part| format!("{} ({})", merged.name(part.index), part.environment.host_class()));
            rows.push(("shards", one.collect::<Vec<_>>().join(", ")));
        }
        let mut builds: Vec<&String> = record.runs.iter().filter_map(|look| look.build_id.as_ref()).collect();
        builds.dedup();
        if !builds.is_empty() {
            rows.push(("build", builds.into_iter().cloned().collect::<Vec<_>>().join(", ")));
        }
        if let Some(control) = &record.control {
            let mut builds: Vec<&str> =
                control.runs.iter().filter_map(|look| look.build_id.as_deref()).collect();
            builds.dedup();
            if !builds.is_empty() {
                rows.push(("control's build", builds.join(", ")));
            }
        }
        if let Some(control) = &record.control {
            rows.extend(answered(&record.runs).map(|names| ("candidate answered as", names)));
            rows.extend(answered(&control.runs).map(|names| ("control answered as", names)));
        }
        if let Some(plan) = &record.plan.side_by_side {
            let known = match plan.calibrated_pairs {
                0 => "assumed".to_owned(),
                pairs => format!("calibrated with {}", counted(pairs, "pair")),
            };
            rows.push((
                "arms",
                format!(
                    "{}; instances differ by {:.2}%, {known}",
                    plan.pairing.name(),
                    plan.sigma_dep * 100.0
                ),
            ));
        }
        rows.extend(record.environment.git_commit.iter().map(|commit| ("git commit", commit.clone())));
        rows.extend(record.environment.ci_run.iter().map(|run| ("CI run", run.clone())));
        for scenario in &record.scenarios {
            let digest: String = scenario.digest.chars().take(12).collect();
            let owner = scenario.owner.as_ref().map(|o| format!(", owner {o}")).unwrap_or_default();
            rows.push(("scenario", format!("{} ({digest}{owner})", scenario.file)));
        }
        if let Some(look) = record.runs.last() {
            rows.push(("load", look.stages.join("; ")));
            let warm = &look.warmup;
            rows.push((
                "warm-up",
                match warm.length_ms {
                    0 => "none".to_owned(),
                    ms => format!(
                        "{}, {}, left out",
                        format_ms(ms as f64),
                        counted(warm.requests as usize, "request")
                    ),
                },
            ));
        }
        if let Some(c) = verdict.comparisons.first().filter(|_| !self.beside) {
            let of = c.reference_of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default();
            rows.push((self.reference_word(), format!("{}{of}", counted(c.baseline_instances, "instance"))));
        }
        let host = &record.environment;
        if host.cores > 0 {
            rows.push(("load generator", format!("{}, {}", host.host_class(), host.kernel)));
        }
        if let Some(lag) = verdict.generator.send_lag_p99_us {
            rows.push(("sent late", format!("at most {} (p99)", format_ms(lag / 1e3))));
        }
        rows.push(("loadgate", format!("{}, gate {}", record.loadgate_version, verdict.gate)));
        rows
    }

    /// What this verdict could have proven, by its least sharp comparison of each metric; and, where nothing is
    /// restarted, which Δ one look could have passed.
    #[must_use]
    pub fn power(&self) -> Option<String> {
        let (verdict, record) = (&self.verdict, &self.record);
        let worst = |metric: Metric, of: fn(&Comparison) -> Option<f64>| {
            let values = verdict.comparisons.iter().filter(|c| c.metric == metric);
            values.filter_map(|c| Some((of(c)?, &c.endpoint))).max_by(|a, b| a.0.total_cmp(&b.0))
        };
        let told: Vec<String> = [Metric::P50, Metric::P95, Metric::P99, Metric::ErrorRate]
            .into_iter()
            .filter_map(|metric| {
                let (least, endpoint) = worst(metric, |c| c.detectable)?;
                let least = match metric {
                    Metric::ErrorRate => format!("+{:.2} points", least * 100.0),
                    Metric::Quantile(_) => visible_change(least, 1),
                };
                Some(format!("{metric} {least} ({endpoint})"))
            })
            .collect();
        if told.is_empty() {
            return None;
        }
        let mut text = format!(
            "smallest change that is proven 19 times in 20, at the noisiest endpoint: {}",
            told.join(", ")
        );
        let further = match &record.control {
            Some(_) => record.runs.len() < SEGMENTS,
            None => record.plan.restarts && record.runs.len() < MOST_LOOKS,
        };
        if further && record.plan.repeat == Repeat::Auto {
            text.push_str(" · further looks, which are taken only where they are needed, prove smaller ones");
        }
        if let Some((least, _)) =
            worst(Metric::P95, |c| c.passable).filter(|_| !record.plan.restarts && !self.beside)
        {
            let _ = write!(
                text,
                " · without a restart between looks, a same-build run passes p95 only where Δ ≥ {:.0}%",
                least * 100.0
            );
        }
        Some(text)
    }
}
