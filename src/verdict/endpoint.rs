use super::model::{EndpointSummary, PhaseSummary};
use crate::metrics::{EndpointPlan, EndpointRecord};
use crate::phases::Phases;

/// All looks of an endpoint together.
pub fn endpoint_summary(looks: &[&EndpointRecord], plan: &EndpointPlan) -> EndpointSummary {
    let all = EndpointRecord::of_looks(looks);
    let (feature, step) = plan.endpoint.split_once('/').unwrap_or(("", &plan.endpoint));
    let (response, service) = (|q| all.response.quantile_ms(q), |q| all.service.quantile_ms(q));
    let phases = Phases::NAMES.into_iter().zip(all.phases.all()).filter(|(_, times)| !times.is_empty());
    EndpointSummary {
        feature: feature.to_owned(),
        step: step.to_owned(),
        requests: all.requests,
        errors: all.error_count(),
        error_rate: all.error_rate(),
        cut: all.cut,
        skipped: all.skipped,
        mean_ms: all.response.mean_ms(),
        p50_ms: response(0.5),
        p90_ms: response(0.9),
        p95_ms: response(0.95),
        p99_ms: response(0.99),
        p999_ms: response(0.999),
        max_ms: all.response.max_ms(),
        service_p50_ms: service(0.5),
        service_p95_ms: service(0.95),
        service_p99_ms: service(0.99),
        service_p999_ms: service(0.999),
        service_mean_ms: all.service.mean_ms(),
        service_max_ms: all.service.max_ms(),
        phases: phases
            .map(|(name, times)| PhaseSummary {
                phase: name.to_owned(),
                count: times.count(),
                p50_ms: times.quantile_ms(0.5),
                p95_ms: times.quantile_ms(0.95),
                p99_ms: times.quantile_ms(0.99),
            })
            .collect(),
        rate_offered: plan.rate_per_s,
        rate_achieved: all.rate_achieved,
    }
}
