use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::arrival::Slice;
use super::local::{Iteration, Local, PanicWatch};
use super::worker::UNDECIDED;
use crate::scenario::{LoadPlan, Stage};
use crate::transport::{Lane, Transport};

/// Starts the virtual users of all scenarios that have some.
pub fn start_users<T: Transport + 'static>(local: &Rc<Local<T>>, slice: Slice) {
    for (scenario, plan) in local.shared.scenarios.iter().enumerate() {
        let Some(load) = plan.load.as_ref().filter(|load| !load.is_open()) else { continue };
        for user in (Users { plan: load }).of(slice) {
            local.users.set(local.users.get() + 1);
            tokio::task::spawn_local(live(local.clone(), scenario, user));
        }
    }
}

/// One virtual user: iteration after iteration on connections of its own, while the stages want it.
async fn live<T: Transport>(local: Rc<Local<T>>, scenario: usize, user: u32) {
    let _watch = PanicWatch(local.clone());
    let (lane, session) = (Lane::own(), Rc::default());
    while let Some(iteration) = next_iteration(&local, scenario, user).await {
        local.iterate(&lane, iteration, Some(&session)).await;
        // An iteration that had nothing to wait for must not keep the core to itself.
        tokio::task::consume_budget().await;
    }
    local.users.set(local.users.get() - 1);
    if local.users.get() == 0 {
        local.users_ended.1.set(local.elapsed_ns());
        local.users_ended.0.notify_one();
    }
}

/// Waits until the user is wanted. `None`: never again.
async fn next_iteration<T: Transport>(local: &Local<T>, scenario: usize, user: u32) -> Option<Iteration> {
    let users = Users { plan: local.shared.scenarios[scenario].load.as_ref()? };
    let mut turn_ns = None;
    while !local.stopping.get() {
        let (now_ns, window_ns) = (local.elapsed_ns(), local.window_ns());
        let warmup = now_ns < window_ns;
        let next = if warmup {
            // Who is not wanted in the warm-up looks again when the window may have been announced.
            let idle_until = if window_ns == UNDECIDED { now_ns + ASK_AGAIN_NS } else { window_ns };
            (users.next_in_warmup(user, now_ns).unwrap_or(idle_until).min(idle_until.max(now_ns)), 0)
        } else {
            let (at_ns, stage) = users.next_in_window(user, now_ns - window_ns)?;
            (at_ns + window_ns, stage)
        };
        if next.0 > now_ns {
            tokio::time::sleep(Duration::from_nanos(next.0 - now_ns)).await;
            continue;
        }
        if warmup && users.next_in_warmup(user, now_ns) != Some(now_ns) {
            continue;
        }
        if !warmup && local.left[scenario].get() == Some(0) {
            return None;
        }
        let own_turn_ns = *turn_ns.get_or_insert_with(|| {
            let requests = || local.shared.scenarios[scenario].requests_an_iteration();
            let own_turn_ns = local.ceiling.turn_ns(now_ns, requests);
            local.report.borrow_mut().held_back += u64::from(!warmup && own_turn_ns > now_ns);
            own_turn_ns
        });
        if own_turn_ns > now_ns {
            tokio::time::sleep(Duration::from_nanos((own_turn_ns - now_ns).min(ASK_AGAIN_NS))).await;
            continue;
        }
        let index = if warmup {
            // Rows for the warm-up come from the far end of the count, so that its length changes nothing measured.
            u64::MAX - now_ns
        } else {
            if let Some(left) = local.left[scenario].get() {
                local.left[scenario].set(Some(left.checked_sub(1)?));
            }
            let next = local.next_index[scenario].get();
            local.next_index[scenario].set(Slice { index: next.index + next.count, ..next });
            next.index
        };
        return Some(Iteration { scenario, stage: next.1, index, planned_ns: now_ns, warmup });
    }
    None
}

/// What virtual users may send together, however fast the target answers.
pub struct Ceiling {
    gap_ns: Option<u64>,
    next_ns: Cell<u64>,
}

impl Ceiling {
    /// For one of so many `parts` that share what may be sent.
    pub fn new(most_per_s: Option<f64>, parts: u64) -> Self {
        let gap_ns = most_per_s.map(|most| (1e9 * parts as f64 / most).round() as u64);
        Self { gap_ns, next_ns: Cell::new(0) }
    }

    /// Reserves the instant at which the next iteration may begin, which sends so many. Who comes late may catch up for a tenth of a second.
    fn turn_ns(&self, now_ns: u64, requests: impl Fn() -> f64) -> u64 {
        let Some(gap_ns) = self.gap_ns else { return now_ns };
        let turn_ns = self.next_ns.get().max(now_ns.saturating_sub(CATCH_UP_NS));
        self.next_ns.set(turn_ns + (gap_ns as f64 * requests()) as u64);
        turn_ns
    }
}

const CATCH_UP_NS: u64 = 100_000_000;

/// How long a user that is not wanted yet waits before it looks again.
const ASK_AGAIN_NS: u64 = 250_000_000;

/// When the virtual users of one scenario are active: a pure function of the stages.
#[derive(Clone, Copy)]
pub struct Users<'a> {
    pub plan: &'a LoadPlan,
}

impl Users<'_> {
    /// How many there are at most, warm-up included.
    #[must_use]
    pub fn most(self) -> u32 {
        let stages = self.plan.lead.iter().chain(&self.plan.stages);
        stages.map(|stage| stage.level.users().0.max(stage.level.users().1)).max().unwrap_or(0)
    }

    /// Those of a slice.
    pub fn of(self, slice: Slice) -> impl Iterator<Item = u32> {
        slice.of(u64::from(self.most())).map(|user| user as u32)
    }

    /// From `now_ns` on since the warm-up began, when `user` next is active in it; `None` if not before its end.
    #[must_use]
    pub fn next_in_warmup(self, user: u32, now_ns: u64) -> Option<u64> {
        if let Some((at_ns, _)) = next_active(&self.plan.lead, user, now_ns) {
            return Some(at_ns);
        }
        (user < self.plan.stages[0].level.users().0).then(|| now_ns.max(self.plan.lead_ns()))
    }

    /// From `now_ns` on since the window began, when `user` next is active, and in which stage.
    #[must_use]
    pub fn next_in_window(self, user: u32, now_ns: u64) -> Option<(u64, usize)> {
        next_active(&self.plan.stages, user, now_ns)
    }
}

/// User u is active while the level lies above u.
fn next_active(stages: &[Stage], user: u32, now_ns: u64) -> Option<(u64, usize)> {
    let mut start_ns = 0;
    for (i, stage) in stages.iter().enumerate() {
        let end_ns = start_ns + stage.length_ns;
        let (from, to) = stage.level.users();
        let (from, to, own) = (f64::from(from), f64::from(to), f64::from(user));
        let from_ns = now_ns.max(start_ns);
        if from_ns < end_ns {
            let length = stage.length_ns as f64;
            let level_at = |ns: u64| from + (to - from) * (ns - start_ns) as f64 / length;
            if level_at(from_ns) > own {
                return Some((from_ns, i));
            }
            if to > own {
                let crossing_ns = start_ns + ((own - from) / (to - from) * length).max(0.0) as u64 + 1;
                if crossing_ns < end_ns {
                    return Some((crossing_ns.max(from_ns), i));
                }
            }
        }
        start_ns = end_ns;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Level, Process, Warmup};

    const S: u64 = 1_000_000_000;

    fn stage(level: Level, seconds: u64) -> Stage {
        Stage { level, length_ns: seconds * S, iterations: None }
    }

    #[test]
    fn users_come_and_go_with_the_level() {
        let plan = LoadPlan {
            warmup: Warmup::Fixed { ns: 0 },
            lead: vec![stage(Level::UsersRamp { from: 0, to: 10 }, 10)],
            stages: vec![
                stage(Level::Users(10), 5),
                stage(Level::UsersRamp { from: 10, to: 0 }, 10),
                stage(Level::Users(4), 5),
            ],
            process: Process::Constant,
        };
        let users = Users { plan: &plan };
        assert_eq!(users.most(), 10);
        assert_eq!(users.of(Slice { index: 1, count: 3 }).collect::<Vec<_>>(), [1, 4, 7]);
        // User 0 comes at once, user 5 when the level passes 5, and both stay to the end of the warm-up.
        assert_eq!(users.next_in_warmup(0, 0), Some(1));
        assert_eq!(users.next_in_warmup(5, 0), Some(5 * S + 1));
        assert_eq!(users.next_in_warmup(5, 12 * S), Some(12 * S));
        assert_eq!(users.next_in_window(7, 3 * S), Some((3 * S, 0)));
        // On the way down user 7 goes when the level passes 7, user 3 comes back with the last stage.
        assert_eq!(users.next_in_window(7, 7 * S), Some((7 * S, 1)));
        assert_eq!(users.next_in_window(7, 8 * S), None);
        assert_eq!(users.next_in_window(3, 13 * S), Some((15 * S, 2)));
        assert_eq!(users.next_in_window(3, 20 * S), None);
    }
}
