use serde::Serialize;

use super::inert::json;
use super::model::ReportModel;
use crate::verdict::{Impact, ResourceImpact, RuleResult, Transient, Verdict};

/// `verdict.json` and what the other formats tell beside it; text as it was.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    label: Option<&'a str>,
    rules: &'a [RuleResult],
    transients: &'a [Transient],
    impact: &'a [Impact],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    resources: &'a [ResourceImpact],
}

/// One run as an object, several as a list.
///
/// # Errors
/// If it cannot be serialized, which would be a fault here.
pub fn render_json(models: &[ReportModel]) -> serde_json::Result<String> {
    let told: Vec<Told<'_>> = models
        .iter()
        .map(|model| Told {
            verdict: &model.raw.verdict,
            label: model.raw.label.as_deref(),
            rules: &model.raw.rules,
            transients: &model.raw.transients,
            impact: &model.impact,
            resources: &model.resources,
        })
        .collect();
    match told.as_slice() {
        [one] => json(one),
        many => json(&many),
    }
}
