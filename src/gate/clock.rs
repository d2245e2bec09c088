//! How far this machine's clock is ahead of the target's. The target is the one that all shards have in common, and its `Date`
//! header tells whole seconds: asked just before a second should end, each answer halves what is not known.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::engine::Interrupt;
use crate::metrics::ClockRecord;
use crate::transport::{Lane, Request, Transport};

const MOST_ASKED: usize = 10;
/// Shards whose windows begin so close to each other are together.
const ENOUGH_MS: f64 = 20.0;
const TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of the offset between two clocks: it lies between two bounds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Target minus own.
    low_ms: f64,
    high_ms: f64,
}

impl Bounds {
    const UNKNOWN: Self = Self { low_ms: f64::NEG_INFINITY, high_ms: f64::INFINITY };

    /// With an answer that the target dated with `second`, between two instants of the own clock. `None`: it contradicts those
    /// before, because several clocks answer or one was set.
    fn with(self, second_ms: f64, sent_ms: f64, done_ms: f64) -> Option<Self> {
        let low_ms = self.low_ms.max(second_ms - done_ms);
        let high_ms = self.high_ms.min(second_ms + 1000.0 - sent_ms);
        (low_ms < high_ms).then_some(Self { low_ms, high_ms })
    }

    fn width_ms(self) -> f64 {
        self.high_ms - self.low_ms
    }

    fn middle_ms(self) -> f64 {
        f64::midpoint(self.low_ms, self.high_ms)
    }

    /// How long to wait from `now_ms`, so that a request that takes `travel_ms` to arrive meets the end of a second of the
    /// target's if the offset is what is likeliest.
    fn wait_ms(self, now_ms: f64, travel_ms: f64) -> f64 {
        1000.0 - (now_ms + travel_ms + self.middle_ms()).rem_euclid(1000.0)
    }
}

/// Asks the target for the time until that is known well enough, at the longest until `until`. `None`: it does not tell.
pub async fn compare_clocks<T: Transport>(
    transport: &T,
    url: &str,
    until: Instant,
    mut interrupt: Interrupt,
) -> Option<ClockRecord> {
    let request = Request::new(Method::GET, url, HeaderMap::new(), None, TIMEOUT).ok()?;
    let lane = Lane::shared();
    let (mut bounds, mut travel_ms) = (Bounds::UNKNOWN, f64::INFINITY);
    for asked in 0..MOST_ASKED {
        if asked > 0 {
            let wait = Duration::from_secs_f64(bounds.wait_ms(own_ms(), travel_ms / 2.0) / 1e3);
            if Instant::now() + wait >= until {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = interrupt.wait() => break,
            }
        }
        let sent_ms = own_ms();
        let exchange = transport.exchange(&lane, &request).await.ok()?;
        let done_ms = own_ms();
        travel_ms = travel_ms.min(done_ms - sent_ms);
        let date = exchange.headers.map().get(http::header::DATE)?.to_str().ok()?;
        let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
        bounds = bounds.with(date.as_millisecond() as f64, sent_ms, done_ms)?;
        if bounds.width_ms() < ENOUGH_MS {
            break;
        }
    }
    let within_ms = bounds.width_ms() / 2.0;
    within_ms.is_finite().then(|| ClockRecord { ahead_ms: -bounds.middle_ms(), within_ms })
}

fn own_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target whose clock is so far from the own, and that takes so long each way.
    fn found(offset_ms: f64, travel_ms: f64, begin_ms: f64) -> (usize, Bounds) {
        let (mut bounds, mut now_ms) = (Bounds::UNKNOWN, begin_ms);
        for asked in 0..MOST_ASKED {
            if asked > 0 {
                now_ms += bounds.wait_ms(now_ms, travel_ms);
            }
            let second_ms = ((now_ms + travel_ms + offset_ms) / 1000.0).floor() * 1000.0;
            bounds = bounds.with(second_ms, now_ms, now_ms + 2.0 * travel_ms).expect("no contradiction");
            now_ms += 2.0 * travel_ms;
            if bounds.width_ms() < ENOUGH_MS {
                return (asked + 1, bounds);
            }
        }
        (MOST_ASKED, bounds)
    }

    #[test]
    fn a_few_answers_in_whole_seconds_tell_an_offset_to_milliseconds() {
        for offset_ms in [0.0, 0.4, -3.0, 499.0, 500.0, 999.5, -86_400_123.0, 1_234_567.8] {
            for (travel_ms, begin_ms) in [(0.05, 1.7e12), (0.3, 1.7e12 + 123.4), (4.0, 1.7e12 + 999.9)] {
                let (asked, bounds) = found(offset_ms, travel_ms, begin_ms);
                assert!(bounds.low_ms <= offset_ms && offset_ms <= bounds.high_ms, "{offset_ms}: {bounds:?}");
                assert!(asked <= 8 && bounds.width_ms() < ENOUGH_MS, "{offset_ms}: {asked} {bounds:?}");
            }
        }
    }

    #[test]
    fn two_clocks_behind_one_address_contradict_each_other() {
        let first = Bounds::UNKNOWN.with(5_000.0, 5_200.0, 5_201.0).unwrap();
        assert!(first.with(9_000.0, 5_900.0, 5_901.0).is_none());
    }
}
