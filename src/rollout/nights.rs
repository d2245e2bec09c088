//! What comes next, night by night.

use super::event::{ActEnd, ActKind, Begun, Entry, Event, Judged, Part, Request, RequestKind, Shape};
use super::state::{Ending, State, Step};
use crate::verdict::Action;

fn shape(name: &str, percent: u8, (approve, shift, soak, load): (bool, bool, bool, bool)) -> Shape {
    Shape { name: name.into(), percent, approve, shift, soak, load }
}

/// A rollout as it goes, one entry after the other.
struct Night(State, u32);

impl Night {
    fn begun() -> Self {
        let begun = Begun {
            format: 1,
            loadgate_version: "0".into(),
            rollout: "night".into(),
            release: "v2".into(),
            file: String::new(),
            plan: String::new(),
            phases: vec![
                shape("before", 0, (false, false, false, true)),
                shape("25%", 25, (false, true, true, true)),
                shape("100%", 100, (true, true, false, true)),
            ],
            extend: 1,
            time_scale: 1.0,
            within_ms: None,
            real_users: false,
        };
        Self(State::default(), 0).take(Event::Begun(begun))
    }

    fn take(mut self, event: Event) -> Self {
        self.1 += 1;
        let at = format!("2026-11-26T02:{:02}:00Z", self.1);
        self.0.take(&Entry { at, event });
        self
    }

    /// Does what comes next, which must be a part that is judged.
    fn judged(self, action: Action) -> Self {
        let Step::Judge { part } = self.0.next() else { panic!("{:?}", self.0.next()) };
        let (phase, run) = (self.0.phase, self.1.to_string());
        let outcome = Judged { action, exit_code: 0, summary: "as seen".into(), interrupted: false };
        let night = self.take(Event::Judging { phase, part, run: run.clone() });
        assert_eq!(night.0.next(), Step::FinishRun { run: run.clone(), part });
        night.take(Event::Judged { phase, part, run, outcome })
    }

    fn acted(self, kind: ActKind, code: i32) -> Self {
        let (phase, act) = (self.0.phase, self.1.to_string());
        let night = self.take(Event::Acting { act: act.clone(), kind, phase, command: String::new() });
        assert_eq!(night.0.next(), Step::FinishAct { act: act.clone(), kind });
        let end = ActEnd { code: Some(code), problem: None, took_ms: 1, unknown: false, said: Vec::new() };
        night.take(Event::Acted { act, end })
    }

    fn asked(self, kind: RequestKind) -> Self {
        let (id, about) = (self.1.to_string(), self.0.about());
        let reason = Some("seen".to_owned());
        self.take(Event::Requested(Request { id, kind, by: "anna".into(), about, reason }))
    }

    #[track_caller]
    fn next(self, step: &Step) -> Self {
        assert_eq!(self.0.next(), *step);
        self
    }
}

const LOAD: Step = Step::Judge { part: Part::Load };
const SOAK: Step = Step::Judge { part: Part::Soak };

#[test]
fn phases_go_in_order() {
    let night = Night::begun().next(&LOAD).judged(Action::Go).next(&Step::Shift);
    let night = night.acted(ActKind::Shift, 0).next(&SOAK).judged(Action::Go).next(&LOAD).judged(Action::Go);
    assert_eq!(night.0.percent, 25);
    let night = night.next(&Step::AwaitApproval);
    let early = Night(night.0.clone(), night.1).asked(RequestKind::Rollback);
    assert_eq!(early.0.rollback.unwrap().from, "25%", "what waits has no traffic yet");
    assert!(night.0.refuses(RequestKind::Approve).is_some(), "nobody has been asked");
    let night = night.take(Event::Asked { phase: 2 }).asked(RequestKind::Approve).next(&Step::Shift);
    let night = night.acted(ActKind::Shift, 0).judged(Action::Go).next(&Step::Complete);
    let night = night.take(Event::Completed).next(&Step::End(Ending::Complete));
    // The way back is open afterwards.
    let night = night.asked(RequestKind::Rollback).next(&Step::RollBack).acted(ActKind::Rollback, 0);
    assert!(matches!(night.0.next(), Step::End(Ending::RolledBack { .. })));
    assert!(night.0.refuses(RequestKind::Rollback).is_some(), "once");
}

#[test]
fn a_hold_takes_its_rounds_and_then_waits() {
    let night = Night::begun().judged(Action::Hold).next(&LOAD).judged(Action::Hold).next(&Step::Hold);
    let extended = night.asked(RequestKind::Extend).next(&LOAD).judged(Action::Hold).next(&Step::Hold);
    let approved = extended.asked(RequestKind::Approve).next(&Step::Shift);
    // Rounds are of a phase, and those that people ask for come after a go too.
    let next = approved.acted(ActKind::Shift, 0).judged(Action::Hold).next(&SOAK);
    let next = next.asked(RequestKind::Extend).judged(Action::Go).next(&SOAK).judged(Action::Go).next(&LOAD);
    next.judged(Action::Hold).next(&Step::Hold);
}

#[test]
fn what_fails_goes_back_where_there_is_a_way() {
    Night::begun().judged(Action::RollBack).next(&Step::End(Ending::Stopped));
    let shifted = || Night::begun().judged(Action::Go).acted(ActKind::Shift, 0);
    let back = shifted().judged(Action::RollBack).next(&Step::RollBack);
    let failed = back.acted(ActKind::Rollback, 7);
    assert!(matches!(failed.0.next(), Step::End(Ending::RollbackFailed { .. })));
    assert!(failed.0.refuses(RequestKind::Rollback).is_some(), "it is not run again");
    failed.asked(RequestKind::Approve).next(&Step::End(Ending::RolledBackByHand));
    // A shift that failed may have moved something: nothing goes on, and the way back is open.
    let jammed = Night::begun().judged(Action::Go).acted(ActKind::Shift, 1).next(&Step::Hold);
    jammed.asked(RequestKind::Rollback).next(&Step::RollBack);
    let again = Night::begun().judged(Action::Go).acted(ActKind::Shift, 1).asked(RequestKind::Extend);
    again.next(&Step::Shift).acted(ActKind::Shift, 0).next(&SOAK);
}

#[test]
fn a_request_during_a_shift_waits_for_its_end() {
    let night = Night::begun().judged(Action::Go);
    let kind = ActKind::Shift;
    let night = night.take(Event::Acting { act: "a".into(), kind, phase: 1, command: String::new() });
    let night = night.asked(RequestKind::Rollback).next(&Step::FinishAct { act: "a".into(), kind });
    let end = ActEnd { code: None, problem: None, took_ms: 0, unknown: true, said: Vec::new() };
    night.take(Event::Acted { act: "a".into(), end }).next(&Step::RollBack);
}

/// What was heard is not heard again, however often it is written down.
#[test]
fn a_request_counts_once() {
    let held = Night::begun().judged(Action::Hold).judged(Action::Hold);
    let about = held.0.about();
    let (id, kind, by) = ("one".to_owned(), RequestKind::Extend, "anna".to_owned());
    let request = Request { id, kind, by, about, reason: None };
    let again = held.take(Event::Requested(request.clone())).take(Event::Requested(request));
    assert_eq!(again.0.extra, 0);
    again.judged(Action::Hold).next(&Step::Hold);
}

/// An answer to one question is none to another.
#[test]
fn a_request_is_about_what_its_author_saw() {
    let waiting = Night::begun().judged(Action::Go);
    let request = |night: &Night, kind, reason: Option<&str>| Request {
        id: "late".into(),
        kind,
        by: "anna".into(),
        about: night.0.about(),
        reason: reason.map(str::to_owned),
    };
    let extend = request(&waiting, RequestKind::Extend, None);
    let jammed = waiting.acted(ActKind::Shift, 1);
    assert!(jammed.0.refuses_request(&extend).is_some_and(|why| why.contains("it was asked for when")));
    // Nobody shifts again, or takes a shift for done, without saying why.
    let again = request(&jammed, RequestKind::Extend, None);
    assert!(jammed.0.refuses_request(&again).is_some_and(|why| why.contains("reason")));
    let told = request(&jammed, RequestKind::Extend, Some("the token was renewed"));
    assert_eq!(jammed.0.refuses_request(&told), None);
    // Whoever wants to go back is never told that things have changed.
    let back = Request { about: "something else".into(), ..request(&jammed, RequestKind::Rollback, None) };
    assert_eq!(jammed.0.refuses_request(&back), None);
}

/// What is still being cleaned up when the traffic is back changes nothing.
#[test]
fn a_run_that_ends_after_the_rollback_is_only_noted() {
    let night = Night::begun().judged(Action::Go).acted(ActKind::Shift, 0);
    let (phase, part, run) = (night.0.phase, Part::Soak, "soak".to_owned());
    let night = night.take(Event::Judging { phase, part, run: run.clone() }).asked(RequestKind::Rollback);
    let night = night.acted(ActKind::Rollback, 0);
    let outcome =
        Judged { action: Action::RollBack, exit_code: 1, summary: String::new(), interrupted: true };
    let night = night.take(Event::Judged { phase, part, run, outcome });
    assert!(matches!(night.0.next(), Step::End(Ending::RolledBack { .. })));
}
