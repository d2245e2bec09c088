use crate::units::Rate;

/// When the iterations of one scenario arrive, as seen by one of several workers: a pure function of the schedule.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    pub rate: Rate,
    /// Shift of the whole schedule, so that scenarios of one rate do not arrive in bursts.
    pub phase_ns: u64,
    /// This worker takes the arrivals `offset`, `offset + stride`, …
    pub stride: u64,
    pub offset: u64,
}

impl Arrivals {
    /// The `k`-th arrival of this worker: its global index and its planned instant since the schedule's start.
    #[must_use]
    pub fn nth(&self, k: u64) -> (u64, u64) {
        let index = self.offset + k * self.stride;
        (index, self.phase_ns + self.rate.offset_ns(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::parse_rate;

    proptest! {
        #[test]
        fn the_workers_strides_cover_the_schedule_once(per_minute in 1u32..100_000, workers in 1u64..9, count in 1u64..500) {
            let rate = parse_rate(&format!("{per_minute}/m")).unwrap();
            let whole = Arrivals { rate, phase_ns: 17, stride: 1, offset: 0 };
            let mut shared: Vec<_> = (0..workers)
                .flat_map(|offset| (0..count).map(move |k| Arrivals { rate, phase_ns: 17, stride: workers, offset }.nth(k)))
                .filter(|(index, _)| *index < count)
                .collect();
            shared.sort_unstable();
            prop_assert_eq!(shared, (0..count).map(|k| whole.nth(k)).collect::<Vec<_>>());
        }

        #[test]
        fn no_arrival_is_ever_further_than_a_nanosecond_from_the_even_grid(per_s in 1u32..50_000, n in 0u64..10_000_000) {
            let rate = parse_rate(&format!("{per_s}/s")).unwrap();
            let exact = n as f64 * 1e9 / f64::from(per_s);
            prop_assert!((rate.offset_ns(n) as f64 - exact).abs() <= 1.0 + exact * 1e-15);
        }
    }
}
