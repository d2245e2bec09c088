use super::iteration::{Prepared, Values, Way, describe, perform};
use super::stop::Interrupt;
use crate::error_class::ErrorClass;
use crate::metrics::{SmokeRecord, SmokeStatus, SmokeStep};
use crate::scenario::{Action, Scenario};
use crate::secrets::Secrets;
use crate::transport::{Lane, Transport};

/// One pass over every smoke step of every scenario, scenarios side by side. The first failure ends its scenario.
/// A step that may be sent twice is asked again before it fails, and is a near-miss if that helps.
pub async fn run_smoke<T: Transport>(
    transport: &T,
    target: &str,
    scenarios: &[Scenario],
    secrets: &Secrets,
    interrupt: &Interrupt,
) -> SmokeRecord {
    let passes =
        scenarios.iter().map(|scenario| pass(transport, target, scenario, secrets, interrupt.clone()));
    let steps = futures_util::future::join_all(passes).await.into_iter().flatten().collect();
    SmokeRecord { steps }
}

async fn pass<T: Transport>(
    transport: &T,
    target: &str,
    scenario: &Scenario,
    secrets: &Secrets,
    mut interrupt: Interrupt,
) -> Vec<SmokeStep> {
    let mut values = Values::new(scenario, |source| source.smoke_row(0));
    let (lane, prepared) = (Lane::shared(), Prepared::once());
    let way = Way { transport, lane: &lane, target };
    let mut steps = Vec::new();
    let mut ended = false;
    for step in scenario.steps.iter().filter(|step| step.in_smoke()) {
        let mut record = SmokeStep {
            endpoint: step.endpoint.clone(),
            place: format!("{}:{}", scenario.path.display(), step.line),
            status: SmokeStatus::Skipped,
            elapsed_ms: 0.0,
            request: None,
            message: None,
        };
        if !ended && interrupt.signal().is_none() {
            let mut tried_twice = None;
            loop {
                let result = tokio::select! {
                    result = perform(&way, step, &prepared, &mut values) => result,
                    () = interrupt.wait() => {
                        ended = true;
                        break;
                    }
                };
                record.elapsed_ms = result.done.duration_since(result.sent).as_secs_f64() * 1e3;
                match result.failure {
                    None => {
                        record.status =
                            if tried_twice.is_some() { SmokeStatus::NearMiss } else { SmokeStatus::Passed };
                        record.message = tried_twice;
                    }
                    Some(failure) => {
                        let message = match failure.class {
                            ErrorClass::Status | ErrorClass::Check => failure.message,
                            class => format!("{}: {}", class.name(), failure.message),
                        };
                        let message = secrets.scrub_brief(&message);
                        if tried_twice.is_none() && retryable(&step.action) {
                            tried_twice = Some(format!("first try: {message}"));
                            continue;
                        }
                        record.status = SmokeStatus::Failed;
                        record.request = Some(secrets.scrub_brief(&describe(target, step, &values)));
                        record.message = Some(message);
                        ended = true;
                    }
                }
                break;
            }
        }
        steps.push(record);
    }
    steps
}

/// Sending it twice does no more than sending it once.
fn retryable(action: &Action) -> bool {
    matches!(action, Action::Request(request) if request.method.is_idempotent())
}
