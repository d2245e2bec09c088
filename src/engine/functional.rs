use std::cell::RefCell;

use super::evidence::{dialogue, evidence, shown};
use super::examine::now_unix_ms;
use super::hidden::hiding;
use super::iteration::{Prepared, Sent, StepResult, Way, perform, token_for};
use super::session::Session;
use super::stop::Interrupt;
use super::token::Tokens;
use super::values::{Captured, Values};
use crate::checks::Failure;
use crate::error_class::ErrorClass;
use crate::logging::{Level, log, tells};
use crate::metrics::{SmokeRecord, SmokeStatus, SmokeStep};
use crate::random::pick;
use crate::scenario::{Action, Part, Scenario, Step};
use crate::secrets::{Secrets, without_userinfo};
use crate::transport::{Lane, Transport};

/// What single passes need beside their scenarios.
pub struct Functional<'a, T> {
    pub transport: &'a T,
    pub target: &'a str,
    pub secrets: &'a Secrets,
    pub tokens: &'a Tokens,
    pub interrupt: Interrupt,
    /// How many passes there were before this one: each has data of its own.
    pub number: u64,
}

/// One pass over every smoke step of every scenario, scenarios side by side. The first failure ends its scenario, but for
/// `finally` and `teardown`. A step that may be sent twice is asked again before it fails, and is a near-miss if that
/// helps.
pub async fn run_smoke<T: Transport>(functional: &Functional<'_, T>, scenarios: &[Scenario]) -> SmokeRecord {
    let passes = scenarios.iter().map(|scenario| async {
        let mut pass = Pass::new(functional, scenario);
        for part in [Part::Setup, Part::Login, Part::Main, Part::Finally, Part::Teardown] {
            pass.run(part).await;
        }
        pass.steps
    });
    let steps = futures_util::future::join_all(passes).await.into_iter().flatten().collect();
    SmokeRecord { steps }
}

/// What stands around one scenario's load.
pub struct Bracket {
    /// What `setup` captured.
    pub captured: Captured,
    /// What failed, in words.
    pub failures: Vec<String>,
}

/// Runs `setup` before a load, or with its captured values `teardown` after it: the one order in which something that was
/// made is cleaned up, whatever lies between.
pub async fn run_part<T: Transport>(
    functional: &Functional<'_, T>,
    scenario: &Scenario,
    part: Part,
    captured: &Captured,
) -> Bracket {
    let mut pass = Pass::new(functional, scenario);
    pass.values.adopt(captured);
    pass.load = true;
    pass.run(part).await;
    let failed = pass.steps.iter().filter(|step| step.status == SmokeStatus::Failed);
    let failures = failed
        .map(|step| format!("{}: {}", step.endpoint, step.message.as_deref().unwrap_or("it failed")))
        .collect();
    Bracket { captured: pass.values.captured().clone(), failures }
}

struct Pass<'a, T> {
    functional: &'a Functional<'a, T>,
    scenario: &'a Scenario,
    interrupt: Interrupt,
    values: Values<'a>,
    session: Session,
    lane: Lane,
    steps: Vec<SmokeStep>,
    /// A step failed, or a signal came: only what cleans up is still done.
    ended: bool,
    /// Anything was sent, so that there may be something to clean up.
    begun: bool,
    /// For what is done before and after a load.
    load: bool,
}

impl<'a, T: Transport> Pass<'a, T> {
    fn new(functional: &'a Functional<'a, T>, scenario: &'a Scenario) -> Self {
        let number = functional.number;
        let own = u64::from_str_radix(&scenario.digest[..16], 16).unwrap_or_default();
        Self {
            functional,
            scenario,
            interrupt: functional.interrupt.clone(),
            values: Values::new(scenario, |source| source.smoke_row(number), pick(own, number), &[]),
            session: Session::default(),
            lane: Lane::shared(),
            steps: Vec::new(),
            ended: false,
            begun: false,
            load: false,
        }
    }

    async fn run(&mut self, part: Part) {
        let cleans = matches!(part, Part::Finally | Part::Teardown);
        let scenario = self.scenario;
        for (number, step) in scenario.steps.iter().enumerate().filter(|(_, step)| step.part == part) {
            if !(if self.load { step.around_load() } else { step.in_smoke() }) {
                continue;
            }
            let stopped = self.interrupt.signal().is_some() && !cleans;
            let skip = stopped || if cleans { !self.begun && !self.load } else { self.ended };
            let record = if skip { self.skipped(step, None) } else { self.step(number, step, cleans).await };
            self.ended |= record.status == SmokeStatus::Failed && !cleans;
            self.steps.push(record);
        }
    }

    fn skipped(&self, step: &Step, message: Option<&str>) -> SmokeStep {
        SmokeStep {
            endpoint: step.endpoint.clone(),
            place: format!("{}:{}", self.scenario.path.display(), step.place.line),
            status: SmokeStatus::Skipped,
            elapsed_ms: 0.0,
            request: None,
            message: message.map(str::to_owned),
            class: None,
            evidence: None,
        }
    }

    async fn step(&mut self, number: usize, step: &Step, cleans: bool) -> SmokeStep {
        if let Some(reason) = self.values.why_not(step, now_unix_ms) {
            let secrets =
                hiding(self.scenario, &self.values, &self.session, None, None, self.functional.secrets);
            let reason = shown(step, &reason, &secrets);
            return self.skipped(step, Some(&format!("not sent: {reason}")));
        }
        self.begun = true;
        let mut record = self.skipped(step, None);
        let mut first = None;
        loop {
            let trace = RefCell::new(None);
            let Some(result) = self.send(number, step, cleans, &trace).await else { return record };
            record.elapsed_ms = result.done.duration_since(result.sent).as_secs_f64() * 1e3;
            self.tell(step, &result, trace.borrow().as_ref(), record.elapsed_ms);
            let Some(failure) = &result.failure else {
                record.status = if first.is_some() { SmokeStatus::NearMiss } else { SmokeStatus::Passed };
                record.message = first;
                return record;
            };
            let message = match failure.class {
                ErrorClass::Status | ErrorClass::Check | ErrorClass::PersonalData => failure.message.clone(),
                class => format!("{}: {}", class.name(), failure.message),
            };
            let sent = trace.borrow();
            let (sent, exchange) = (sent.as_ref(), result.exchange.as_ref());
            let secrets = self.functional.secrets;
            let secrets = &hiding(self.scenario, &self.values, &self.session, sent, exchange, secrets);
            let message = shown(step, &message, secrets);
            // Personal data that got out once got out.
            if first.is_none() && retryable(&step.action) && failure.class != ErrorClass::PersonalData {
                first = Some(format!("first try: {message}"));
                continue;
            }
            let evidence = evidence(self.scenario, step, &result, sent, &self.values, secrets);
            record.status = SmokeStatus::Failed;
            record.place = format!("{}:{}:{}", self.scenario.path.display(), evidence.line, evidence.column);
            record.request.clone_from(&evidence.request);
            record.message = Some(message);
            record.class = Some(failure.class);
            record.evidence = Some(Box::new(evidence));
            return record;
        }
    }

    /// For `--log`.
    fn tell(&self, step: &Step, result: &StepResult, sent: Option<&Sent>, elapsed_ms: f64) {
        if !tells(Level::Debug) {
            return;
        }
        let exchange = result.exchange.as_ref();
        let secrets = self.functional.secrets;
        let secrets = &hiding(self.scenario, &self.values, &self.session, sent, exchange, secrets);
        log(Level::Debug, "step", || {
            let request = sent.map_or("nothing".to_owned(), |s| {
                format!("{} {}", s.method, without_userinfo(&s.uri.to_string()))
            });
            let came =
                exchange.map_or(String::new(), |e| format!(" -> {}, {} bytes", e.status, e.body.len()));
            let failed = result.failure.as_ref().map_or(String::new(), |own| {
                format!("; {}: {}", own.class.name(), shown(step, &own.message, secrets))
            });
            secrets.scrub(&format!("{}: {request}{came} in {elapsed_ms:.1} ms{failed}", step.endpoint))
        });
        log(Level::Trace, "step", || dialogue(step, sent, exchange, &self.values, secrets));
    }

    /// `None`: a signal came first.
    async fn send(
        &mut self,
        number: usize,
        step: &Step,
        cleans: bool,
        trace: &RefCell<Option<Sent>>,
    ) -> Option<StepResult> {
        let Functional { transport, target, tokens, .. } = *self.functional;
        let way = Way {
            transport,
            lane: &self.lane,
            target,
            scenario: self.scenario,
            session: &self.session,
            tokens,
            sampler: None,
            traced: false,
            trace: Some(trace),
        };
        let prepared = Prepared::once(self.scenario, step);
        let values = &mut self.values;
        let work = async {
            match token_for(&way, step).await {
                Ok(token) => perform(&way, (number, step), &prepared, values, token).await,
                Err(failure) => StepResult::failed(failure),
            }
        };
        if cleans {
            return Some(work.await);
        }
        tokio::select! {
            result = work => Some(result),
            () = self.interrupt.wait() => {
                self.ended = true;
                None
            }
        }
    }
}

/// Logs a session in, unless somebody has. Not counted as load.
///
/// # Errors
/// What failed.
pub async fn log_in<T: Transport>(way: &Way<'_, T>, values: &mut Values<'_>) -> Result<(), Failure> {
    let mut done = way.session.login.lock().await;
    if !*done {
        let scenario = way.scenario;
        for (number, step) in scenario.steps.iter().enumerate().filter(|(_, step)| step.part == Part::Login) {
            if !step.around_load() || !values.apply(step, now_unix_ms) {
                continue;
            }
            let prepared = Prepared::once(scenario, step);
            let token = token_for(way, step).await?;
            let result = perform(way, (number, step), &prepared, values, token).await;
            if let Some(failure) = result.failure {
                let message = format!("login, {}: {}", step.name, failure.message);
                return Err(Failure { class: failure.class, message });
            }
        }
        way.session.captured.borrow_mut().clone_from(values.captured());
        *done = true;
    }
    values.adopt_missing(&way.session.captured.borrow());
    Ok(())
}

/// Sending it twice does no more than sending it once.
fn retryable(action: &Action) -> bool {
    match action {
        Action::Request(request) | Action::Events { request, .. } => request.method.is_idempotent(),
        Action::Socket { send, .. } => send.is_empty(),
        Action::Poll { .. } => false,
    }
}
