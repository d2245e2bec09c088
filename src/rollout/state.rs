use std::collections::BTreeSet;

use super::event::{ActEnd, ActKind, Begun, Entry, Event, Judged, Part, Request, RequestKind};
use crate::verdict::Action;

/// Where a rollout stands: nothing but what its journal says. It reads no clock and no file.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub begun: Option<Begun>,
    /// Of the first entry, and of the last.
    pub since: String,
    pub last: String,
    /// The phase at hand, and what of it comes next.
    pub phase: usize,
    pub work: Work,
    /// Of the traffic that the candidate serves, as far as the commands tell.
    pub percent: u8,
    /// A command that shifts traffic was begun.
    pub shifted: bool,
    /// A command that was begun, and whose end is not written down.
    pub open_act: Option<(String, ActKind)>,
    pub open_run: Option<(String, Part)>,
    /// Rounds that the phase at hand has taken because of a hold, and that people have asked for.
    pub extensions: u32,
    pub extra: u32,
    pub asked: bool,
    pub held: Option<Hold>,
    pub rollback: Option<Decision>,
    pub ended: Option<(Ending, String)>,
    /// So many commands and runs were begun: their names count on.
    pub acts: usize,
    pub runs: usize,
    /// Requests that have been heard.
    pub heard: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    #[default]
    Approval,
    Shift,
    Soak,
    Load,
    /// Nothing is left of the phase.
    Done,
}

/// Why nothing goes on without somebody's decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    pub what: Held,
    pub reason: String,
    pub at: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A verdict that settles nothing, after all rounds that it may take.
    Verdict,
    /// A shift that failed, or of which nobody knows.
    Shift,
    Approval,
}

/// That it is rolled back, by whom and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub at: String,
    pub by: String,
    pub reason: String,
    /// The phase that the traffic was in: one that still waited had none.
    pub from: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Complete,
    RolledBack {
        end: ActEnd,
    },
    /// Somebody did what the command could not.
    RolledBackByHand,
    /// The traffic may still be where it was.
    RollbackFailed {
        end: ActEnd,
    },
    /// Nothing had been shifted yet, so there was no way back to go.
    Stopped,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Begin,
    AwaitApproval,
    Shift,
    /// Wait for the end of a command that was begun.
    FinishAct {
        act: String,
        kind: ActKind,
    },
    /// A run of which nobody knows what it came to.
    FinishRun {
        run: String,
        part: Part,
    },
    Judge {
        part: Part,
    },
    Hold,
    RollBack,
    Complete,
    End(Ending),
}

impl State {
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let mut state = Self::default();
        for entry in entries {
            state.take(entry);
        }
        state
    }

    /// What stands in the phase at hand.
    fn has(&self, work: Work) -> bool {
        let shape = self.begun.as_ref().and_then(|begun| begun.phases.get(self.phase));
        shape.is_some_and(|shape| match work {
            Work::Approval => shape.approve,
            Work::Shift => shape.shift,
            Work::Soak => shape.soak,
            Work::Load => shape.load,
            Work::Done => true,
        })
    }

    fn phases(&self) -> usize {
        self.begun.as_ref().map_or(0, |begun| begun.phases.len())
    }

    /// The name of the phase at hand.
    #[must_use]
    pub fn phase_name(&self) -> &str {
        let shapes = self.begun.as_ref().map_or(&[][..], |begun| &begun.phases);
        shapes.get(self.phase.min(shapes.len().saturating_sub(1))).map_or("", |shape| &shape.name)
    }

    /// To the next thing that stands in this phase, or in the next.
    fn advance(&mut self) {
        loop {
            self.work = match self.work {
                Work::Approval => Work::Shift,
                Work::Shift => Work::Soak,
                Work::Soak => Work::Load,
                Work::Load => Work::Done,
                Work::Done => Work::Approval,
            };
            if self.work == Work::Done {
                self.phase += 1;
                (self.work, self.extensions, self.extra, self.asked) = (Work::Approval, 0, 0, false);
                if self.phase >= self.phases() {
                    self.work = Work::Done;
                    return;
                }
            }
            if self.has(self.work) {
                return;
            }
        }
    }

    pub fn take(&mut self, entry: &Entry) {
        let at = entry.at.as_str();
        at.clone_into(&mut self.last);
        match &entry.event {
            Event::Begun(begun) => {
                self.begun = Some(begun.clone());
                at.clone_into(&mut self.since);
                if !self.has(Work::Approval) {
                    self.advance();
                }
            }
            Event::Controller { .. } | Event::Stopped { .. } => {}
            Event::Asked { .. } => self.asked = true,
            Event::Acting { act, kind, .. } => {
                self.open_act = Some((act.clone(), *kind));
                self.shifted |= *kind == ActKind::Shift;
                self.acts += 1;
            }
            Event::Acted { end, .. } => {
                if let Some((_, kind)) = self.open_act.take() {
                    self.acted(kind, end, at);
                }
            }
            Event::Judging { part, run, .. } => {
                self.open_run = Some((run.clone(), *part));
                self.runs += 1;
            }
            Event::CutOff { .. } => self.open_run = None,
            Event::Judged { outcome, .. } => {
                self.open_run = None;
                self.judged(outcome, at);
            }
            Event::Requested(request) => {
                if self.refuses_request(request).is_none() && self.heard.insert(request.id.clone()) {
                    self.requested(request, at);
                }
            }
            Event::Unanswered { .. } => {
                let reason = format!("Nobody said that {} may begin.", self.phase_name());
                self.held = Some(Hold { what: Held::Approval, reason, at: at.to_owned() });
            }
            Event::Completed => self.ended = Some((Ending::Complete, at.to_owned())),
        }
    }

    fn acted(&mut self, kind: ActKind, end: &ActEnd, at: &str) {
        match kind {
            ActKind::Shift if end.is_good() => {
                let shape = self.begun.as_ref().and_then(|begun| begun.phases.get(self.phase));
                self.percent = shape.map_or(self.percent, |shape| shape.percent);
                self.advance();
            }
            ActKind::Shift => {
                let name = self.phase_name();
                let reason = if end.unknown {
                    format!("Nobody knows whether the shift to {name} took place.")
                } else {
                    format!("The shift to {name} failed: {}.", end.told())
                };
                self.held = Some(Hold { what: Held::Shift, reason, at: at.to_owned() });
            }
            ActKind::Rollback => {
                let ending = if end.is_good() {
                    self.percent = 0;
                    Ending::RolledBack { end: end.clone() }
                } else {
                    Ending::RollbackFailed { end: end.clone() }
                };
                self.ended = Some((ending, at.to_owned()));
            }
        }
    }

    fn judged(&mut self, outcome: &Judged, at: &str) {
        match outcome.action {
            // What was proven before it was broken off is proven.
            Action::RollBack => self.decide(at, "loadgate", &outcome.summary),
            _ if outcome.interrupted => {}
            Action::Go if self.extra > 0 => self.extra -= 1,
            Action::Go => self.advance(),
            Action::Hold => {
                let extend = self.begun.as_ref().map_or(0, |begun| begun.extend);
                if self.extra > 0 {
                    self.extra -= 1;
                } else if self.extensions < extend {
                    self.extensions += 1;
                } else {
                    let (what, reason) = (Held::Verdict, outcome.summary.clone());
                    self.held = Some(Hold { what, reason, at: at.to_owned() });
                }
            }
        }
    }

    fn decide(&mut self, at: &str, by: &str, reason: &str) {
        if self.rollback.is_some() {
            return;
        }
        let before = self.begun.as_ref().and_then(|begun| begun.phases.get(self.phase.checked_sub(1)?));
        let from = match before {
            Some(before) if self.work == Work::Approval => before.name.clone(),
            _ => self.phase_name().to_owned(),
        };
        self.rollback =
            Some(Decision { at: at.to_owned(), by: by.to_owned(), reason: reason.to_owned(), from });
        self.held = None;
        // A shift that is still going on may yet move something.
        self.ended = (!self.shifted).then(|| (Ending::Stopped, at.to_owned()));
    }

    /// Why this cannot be asked for as things stand.
    #[must_use]
    pub fn refuses(&self, kind: RequestKind) -> Option<String> {
        let ended = self.ended.as_ref().map(|(ending, _)| ending);
        match (kind, ended) {
            _ if self.begun.is_none() => Some("it has not begun".into()),
            (RequestKind::Approve, Some(Ending::RollbackFailed { .. })) => None,
            (RequestKind::Rollback, Some(Ending::Complete)) if self.shifted => None,
            (RequestKind::Rollback, Some(Ending::Complete)) => Some("nothing was shifted".into()),
            (_, Some(Ending::Complete)) => Some("it is complete".into()),
            (RequestKind::Rollback, Some(Ending::RollbackFailed { .. })) => Some(
                "its rollback ran once and failed; it is not run again: do by hand what is left, then `approve` says that it is done"
                    .into(),
            ),
            (_, Some(Ending::RollbackFailed { .. })) => Some("its rollback failed".into()),
            (_, Some(Ending::RolledBack { .. } | Ending::RolledBackByHand)) => Some("it is rolled back".into()),
            (_, Some(Ending::Stopped)) => Some("it was stopped before anything was shifted".into()),
            (_, None) if self.rollback.is_some() => Some("it is being rolled back".into()),
            (RequestKind::Approve, None) if self.held.is_none() && !self.awaits_approval() => {
                Some(format!("nothing waits for it: {} goes on", self.phase_name()))
            }
            (_, None) => None,
        }
    }

    /// What a request would be about now: it must still be so when it is heard.
    #[must_use]
    pub fn about(&self) -> String {
        let held = self.held.as_ref().map_or("", |hold| match hold.what {
            Held::Verdict => ", held by its verdict",
            Held::Shift => ", held by its shift",
            Held::Approval => ", held for approval",
        });
        format!("{}, {:?}{held}", self.phase_name(), self.work)
    }

    /// Whether what is asked for has to be explained.
    #[must_use]
    pub fn wants_reason(&self, kind: RequestKind) -> bool {
        let held = self.held.as_ref().map(|hold| hold.what);
        match kind {
            RequestKind::Approve => self.ended.is_some() || matches!(held, Some(Held::Verdict | Held::Shift)),
            RequestKind::Extend => held == Some(Held::Shift),
            RequestKind::Rollback => false,
        }
    }

    /// Why this very request cannot be granted.
    #[must_use]
    pub fn refuses_request(&self, request: &Request) -> Option<String> {
        if let Some(why) = self.refuses(request.kind) {
            return Some(why);
        }
        let (asked, now) = (&request.about, self.about());
        if request.kind != RequestKind::Rollback && *asked != now {
            return Some(format!("it was asked for when it stood at {asked}, and now it is {now}"));
        }
        let silent = self.wants_reason(request.kind) && request.reason.is_none();
        silent.then(|| "it needs a reason".to_owned())
    }

    /// Somebody has been asked whether the phase may begin.
    #[must_use]
    pub fn awaits_approval(&self) -> bool {
        self.work == Work::Approval && self.asked && self.ended.is_none() && self.rollback.is_none()
    }

    fn requested(&mut self, request: &Request, at: &str) {
        let held = self.held.take().map(|hold| hold.what);
        match (request.kind, held) {
            (RequestKind::Approve, _) if self.ended.is_some() => {
                self.percent = 0;
                self.ended = Some((Ending::RolledBackByHand, at.to_owned()));
            }
            (RequestKind::Approve, Some(Held::Shift)) => {
                let shape = self.begun.as_ref().and_then(|begun| begun.phases.get(self.phase));
                self.percent = shape.map_or(self.percent, |shape| shape.percent);
                self.advance();
            }
            // What was held, or waited, is let through.
            (RequestKind::Approve, _) => self.advance(),
            // What is at hand is done once more; while it goes on, after it.
            (RequestKind::Extend, None) => self.extra += 1,
            (RequestKind::Extend, Some(Held::Approval)) => self.asked = false,
            (RequestKind::Extend, Some(_)) => {}
            (RequestKind::Rollback, _) => {
                self.ended = None;
                let reason = request.reason.clone().unwrap_or_else(|| "asked for".to_owned());
                self.decide(at, &request.by, &reason);
            }
        }
    }

    /// What is to be done next.
    #[must_use]
    pub fn next(&self) -> Step {
        if self.begun.is_none() {
            return Step::Begin;
        }
        if let Some((act, kind)) = &self.open_act {
            return Step::FinishAct { act: act.clone(), kind: *kind };
        }
        if let Some((ending, _)) = &self.ended {
            return Step::End(ending.clone());
        }
        if let Some((run, part)) = &self.open_run {
            return Step::FinishRun { run: run.clone(), part: *part };
        }
        if self.rollback.is_some() {
            return Step::RollBack;
        }
        if self.held.is_some() {
            return Step::Hold;
        }
        match self.work {
            Work::Approval => Step::AwaitApproval,
            Work::Shift => Step::Shift,
            Work::Soak => Step::Judge { part: Part::Soak },
            Work::Load => Step::Judge { part: Part::Load },
            Work::Done => Step::Complete,
        }
    }
}
