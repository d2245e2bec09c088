use serde_json::{Value, json};

use super::model::ReportModel;
use crate::metrics::{Histogram, SmokeStatus};

/// What GitLab's merge-request widget for load performance reads: the summary of a k6 run, of all endpoints together. Times
/// are response times from the planned instant, whatever the widget calls them.
///
/// # Errors
/// If it cannot be serialized, which would be a fault here.
pub fn render_load_performance(model: &ReportModel) -> serde_json::Result<String> {
    let (mut all, mut requests, mut errors, mut rate) = (Histogram::default(), 0u64, 0u64, 0.0);
    for look in &model.record.runs {
        for (endpoint, row) in look.endpoints.iter().zip(&model.endpoints) {
            if !row.plan.shown_only {
                all.merge(&endpoint.response);
                requests += endpoint.requests;
                errors += endpoint.error_count();
                rate += endpoint.rate_achieved / model.record.runs.len().max(1) as f64;
            }
        }
    }
    let ms = |q: f64| all.quantile_ms(q);
    let times = json!({
        "min": ms(0.0), "avg": all.mean_ms(), "med": ms(0.5), "max": all.max_ms(), "p(90)": ms(0.9), "p(95)": ms(0.95), "p(99)": ms(0.99),
    });
    let steps = model.smoke_steps();
    let failed = steps.iter().filter(|step| step.status == SmokeStatus::Failed).count() as u64 + errors;
    let passed = steps
        .iter()
        .filter(|step| matches!(step.status, SmokeStatus::Passed | SmokeStatus::NearMiss))
        .count() as u64
        + (requests - errors.min(requests));
    let share = |part: u64, of: u64| if of == 0 { Value::Null } else { json!(part as f64 / of as f64) };
    super::inert::json(&json!({
        "metrics": {
            "checks": { "passes": passed, "fails": failed, "value": share(passed, passed + failed) },
            "http_req_waiting": times.clone(),
            "http_req_duration": times,
            "http_reqs": { "count": requests, "rate": rate },
            "http_req_failed": { "passes": errors, "fails": requests - errors.min(requests), "value": share(errors, requests) },
        },
    }))
}
