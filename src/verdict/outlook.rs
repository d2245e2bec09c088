use super::contrast;
use super::outliers;
use super::power;
use super::reference::{AnchorLevel, Reference};
use super::regression::baseline_instances;
use super::statistics::mean;
use super::stored::{self, Instance, Levels, Series};
use crate::units::{Metric, Rules};

/// What stored runs say before anything is measured: level, noise, and what one look could tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    pub endpoint: String,
    pub metric: Metric,
    pub level_ms: f64,
    /// Relative, between instances; assumed where only one is stored.
    pub noise: f64,
    pub noise_known: bool,
    pub instances: usize,
    /// As in a comparison, of a single look that is all there is.
    pub detectable: Option<f64>,
    pub passable: f64,
    /// Δ of the rule.
    pub delta: f64,
}

/// The level that a candidate would be compared with; without an instance that has the samples for it, `None`.
#[must_use]
pub fn reference_level(reference: &Reference, metric: Metric) -> Option<AnchorLevel> {
    let instances = baseline_instances(reference, metric, metric.quantile()?);
    let recorded = reference.runs.last()?.recorded.clone();
    (!instances.is_empty()).then(|| {
        let mut series = [as_series("", reference, metric, &Rules::default(), instances)];
        outliers::leave_out(&mut series);
        let difference = series[0].difference();
        AnchorLevel { ln: difference.reference, instances: difference.baseline, recorded }
    })
}

fn as_series(
    feature: &str,
    reference: &Reference,
    metric: Metric,
    rules: &Rules,
    baseline: Vec<Instance>,
) -> Series {
    let default = Rules::default_regression();
    let rule = rules.regression.iter().chain(&default).find(|r| r.metric == metric).unwrap_or(&default[0]);
    // A candidate exactly at the level adds nothing to the noise.
    let level = mean(&baseline.iter().map(|i| i.y).collect::<Vec<_>>());
    let w2 = mean(&baseline.iter().map(|i| i.w2).collect::<Vec<_>>());
    let candidate = Instance { id: "candidate".into(), group: None, runs: Vec::new(), y: level, w2 };
    Series {
        endpoint: reference.endpoint.clone(),
        feature: feature.to_owned(),
        rule: *rule,
        ignore: rules.ignore(),
        baseline,
        candidate: vec![candidate],
        left_out: Vec::new(),
    }
}

/// For each reference with the rules it is held to: all of its quantiles that have a rule and the samples.
#[must_use]
pub fn outlook(references: &[(&Reference, Rules)]) -> Vec<Outlook> {
    let mut all: Vec<Series> = Vec::new();
    let mut rates = 0;
    for (reference, rules) in references {
        let feature = reference.endpoint.split_once('/').map_or("", |(feature, _)| feature);
        rates += rules.regression.iter().filter(|rule| rule.metric == Metric::ErrorRate).count();
        for rule in &rules.regression {
            let Some(q) = rule.metric.quantile() else { continue };
            let instances = baseline_instances(reference, rule.metric, q);
            if !instances.is_empty() {
                all.push(as_series(feature, reference, rule.metric, rules, instances));
            }
        }
    }
    outliers::leave_out(&mut all);
    let fewest = all.iter().map(|series| series.baseline.len()).min().unwrap_or_default();
    let levels = Levels::at(false, 1, fewest);
    let compared = stored::compare(&all, levels);
    let contrasts = contrast::contrasts(&all, &compared, levels);
    let each = levels.each(compared.len() + contrasts.iter().flatten().count(), rates).0;
    all.iter()
        .zip(&compared)
        .zip(&contrasts)
        .map(|((series, one), contrast)| Outlook {
            endpoint: series.endpoint.clone(),
            metric: series.rule.metric,
            level_ms: one.comparison.reference,
            noise: one.comparison.noise,
            noise_known: series.difference().s2.is_some(),
            instances: one.comparison.baseline_instances,
            detectable: power::detectable(one, contrast.as_ref(), levels, each),
            passable: power::passable(one, levels, all.len()),
            delta: one.comparison.delta,
        })
        .collect()
}
