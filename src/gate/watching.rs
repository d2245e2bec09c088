use std::time::{Duration, Instant};

use super::arm::Arm;
use super::journal::Entry;
use super::pipeline::Run;
use super::request::GateEvent;
use super::target::Target;
use crate::engine::Interrupt;
use crate::error::Result;
use crate::metrics::{ProbePlan, Reading};
use crate::probes::{Asked, Prober, Taken, Whose, examine};
use crate::remote::Remote;
use crate::scenario::Probe;
use crate::secrets::Secrets;

/// What is read beside one look.
pub struct Watched {
    prober: Prober,
    /// When the measured window began, once that is known.
    began: Option<Instant>,
    /// What came before that.
    early: Vec<Taken>,
}

/// Which probes each arm has, by the plan that all have in common; a figure that both arms share is asked for once.
fn asked(arms: &[Arm], targets: &[Target]) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    for (arm, target) in arms.iter().zip(targets) {
        for (probe, own) in arm.probes.iter().enumerate() {
            let call = own.call(&target.url, arm.is_control);
            // The candidate's comes after the control's.
            let shared = all.iter().position(|a| a.whose.probe == probe && a.call.key() == call.key());
            if let Some(shared) = shared {
                all[shared].whose.of_control = false;
            } else {
                all.push(Asked { whose: Whose { probe, of_control: arm.is_control }, call });
            }
        }
    }
    all
}

/// As the record has them.
pub fn probe_plans(arms: &[Arm], secrets: &Secrets) -> Vec<ProbePlan> {
    let Some(candidate) = arms.last() else { return Vec::new() };
    let key = |probe: &Probe, of_control: bool| {
        let arm = arms.iter().find(|arm| arm.is_control == of_control);
        probe.call(arm.map_or("", |arm| arm.spec.address_or(arm.name())), of_control).key()
    };
    let of_arm = |number: usize, probe: &Probe| {
        let control = arms.iter().find(|arm| arm.is_control).and_then(|arm| arm.probes.get(number));
        control.is_none_or(|control| key(control, true) != key(probe, false))
    };
    candidate
        .probes
        .iter()
        .enumerate()
        .map(|(number, probe)| ProbePlan {
            of_arm: of_arm(number, probe),
            // A variable of a project file may have been made of a secret.
            asks: secrets.scrub(&probe.plan.asks),
            ..probe.plan.clone()
        })
        .collect()
}

impl Run {
    /// What this process reads: of several shards the first reads for all.
    fn asked(&self, targets: &[Target]) -> Vec<Asked> {
        let other = self.request.shard.is_some_and(|shard| shard.index > 0);
        if other { Vec::new() } else { asked(&self.arms, targets) }
    }

    /// Whether all probes can be read at all; where one never can, nothing is sent, and it is noted why.
    pub async fn examine_probes(
        &mut self,
        targets: &[Target],
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<bool> {
        let asked = self.asked(targets);
        if asked.is_empty() {
            return Ok(true);
        }
        let remote = Remote::new(&self.request.transport)?;
        let mut interrupt = self.interrupt.clone();
        let found = tokio::select! {
            found = examine(&remote, &asked) => found,
            () = interrupt.wait() => return Ok(false),
        };
        let tell = |whose: &Whose, reason: &str| {
            let plan = &self.arms[0].probes[whose.probe].plan;
            self.request.secrets.scrub_brief(&format!("`{}` ({}): {reason}", plan.name, plan.place))
        };
        for (whose, problem) in found.iter().filter(|(_, problem)| !problem.lasting) {
            observe(GateEvent::ProbeDoubt(&format!("{}; it is asked again", tell(whose, &problem.reason))));
        }
        let lasting = found.iter().filter(|(_, problem)| problem.lasting);
        let told: Vec<String> = lasting.map(|(whose, problem)| tell(whose, &problem.reason)).collect();
        if told.is_empty() {
            return Ok(true);
        }
        self.journal.append(vec![Entry::ProbeFailed(told.join("; "))])?;
        Ok(false)
    }

    /// Begins to read beside a load.
    pub fn watch_probes(&self, targets: &[Target]) -> Result<Option<Watched>> {
        let asked = self.asked(targets);
        if asked.is_empty() {
            return Ok(None);
        }
        let prober = Prober::start(Remote::new(&self.request.transport)?, asked)?;
        Ok(Some(Watched { prober, began: None, early: Vec::new() }))
    }
}

impl Watched {
    /// What came meanwhile, once it is known where the window begins.
    pub fn progress(&mut self, elapsed_ms: u64, window_ms: Option<(u64, u64)>) -> Vec<Taken> {
        let mut taken = self.prober.drain();
        let Some((from_ms, _)) = window_ms else {
            self.early.append(&mut taken);
            return Vec::new();
        };
        if self.began.is_none() {
            let now = Instant::now();
            let ahead = Duration::from_millis(from_ms.saturating_sub(elapsed_ms));
            let since = Duration::from_millis(elapsed_ms.saturating_sub(from_ms));
            self.began = Some((now + ahead).checked_sub(since).unwrap_or(now));
        }
        self.early.drain(..).chain(taken).collect()
    }

    /// The rest; what is asked of a whole window is only where that came to its end.
    pub async fn finish(
        self,
        window_ms: u64,
        whole: bool,
        mut interrupt: Interrupt,
    ) -> (Vec<Taken>, Option<Instant>) {
        let window = self.began.filter(|_| whole).map(|from| (from, from + Duration::from_millis(window_ms)));
        let mut all = self.early;
        all.extend(self.prober.finish(window, interrupt.wait()).await);
        (all, self.began)
    }

    /// Whether something is asked of the window as a whole.
    pub fn awaits(&self) -> bool {
        self.prober.asks_whole()
    }

    pub fn began(&self) -> Option<Instant> {
        self.began
    }
}

/// For the journal, the control's apart.
pub fn entries(taken: Vec<Taken>, began: Option<Instant>, scrub: &dyn Fn(&str) -> String) -> Vec<Entry> {
    let Some(began) = began else { return Vec::new() };
    let reading = |one: Taken| {
        let at_ms = match one.at.checked_duration_since(began) {
            Some(since) => since.as_millis() as i64,
            None => -(began.duration_since(one.at).as_millis() as i64),
        };
        let mut reading = Reading { probe: one.whose.probe, at_ms, ..Reading::default() };
        match one.figure {
            Ok(figure) => {
                (reading.value, reading.of) = (Some(figure.value), figure.of);
                reading.age_ms = figure.age.map(|age| age.as_millis() as u64);
            }
            Err(problem) => reading.problem = Some(scrub(&problem.reason)),
        }
        let entry = Entry::Reading(reading);
        if one.whose.of_control { Entry::OfControl(Box::new(entry)) } else { entry }
    };
    taken.into_iter().map(reading).collect()
}
