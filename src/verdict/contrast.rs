use std::collections::{BTreeMap, BTreeSet};

use super::model::Contrast;
use super::statistics::{mean, t_quantile, t_upper_tail};
use super::stored::{Compared, Difference, Instance, Levels, Series, floor, variance};
use crate::units::Metric;

/// With fewer features the others are no yardstick.
const LEAST_FEATURES: usize = 4;
/// The others' gain that leaves the contrast out, as a p-value.
const GUARD: f64 = 0.05;

/// A contrast with its standard error and degrees of freedom.
pub struct Contrasted {
    pub contrast: Contrast,
    pub se: f64,
    pub nu: f64,
}

/// DESIGN §5, step 2: what an endpoint did beyond what all other features did in the same runs. A slower machine slows all
/// of them, so their mean takes out much of what instances differ by (a paired design over features, Kalibera & Jones
/// 2013 §7). One for each series, in order; `None` where fewer than four features ran together on both sides.
pub fn contrasts(all: &[Series], compared: &[Compared], levels: Levels) -> Vec<Option<Contrasted>> {
    let mut found: Vec<Option<Contrasted>> = all.iter().map(|_| None).collect();
    let metrics: BTreeSet<Metric> = all.iter().map(|series| series.rule.metric).collect();
    for metric in metrics {
        let own: Vec<usize> = (0..all.len()).filter(|i| all[*i].rule.metric == metric).collect();
        let Some(table) = Table::new(&own.iter().map(|i| &all[*i]).collect::<Vec<_>>()) else { continue };
        let rows: Vec<Row> = own.iter().map(|i| table.row(&all[*i])).collect();
        let variances: Vec<f64> = rows.iter().filter_map(|row| row.own.s2).collect();
        for (i, row) in own.iter().zip(&rows) {
            found[*i] = Some(judge(metric, row, &compared[*i], &variances, levels));
        }
    }
    found
}

/// An endpoint against the mean of the other features, and that mean by itself.
struct Row {
    own: Difference,
    others: Difference,
    others_w2: f64,
    w2: f64,
}

fn judge(metric: Metric, row: &Row, whole: &Compared, variances: &[f64], levels: Levels) -> Contrasted {
    let (v, nu) = variance(metric, &row.own, variances);
    let se = row.own.se(v.max(floor(row.w2)));
    let theta = row.own.theta();
    let reach = t_quantile(levels.q, nu) * se;
    // Where the others gained, standing still looks like a loss.
    let (v_others, nu_others) = variance(metric, &row.others, row.others.s2.as_slice());
    let se_others = row.others.se(v_others.max(floor(row.others_w2)));
    let gain = t_upper_tail(-row.others.theta() / se_others, nu_others);
    let others_gained = gain < GUARD;
    let least = whole.ignore_ln.max(levels.least_fail);
    let p = if others_gained || whole.theta < least || theta < least {
        1.0
    } else {
        t_upper_tail(theta / se, nu)
    };
    let contrast = Contrast {
        change: theta.exp_m1(),
        interval: [(theta - reach).exp_m1(), (theta + reach).exp_m1()],
        others: row.others.theta().exp_m1(),
        others_gained,
        p,
    };
    Contrasted { contrast, se, nu }
}

/// One metric over all features: by side, instance and endpoint.
struct Table<'a> {
    features: BTreeMap<&'a str, Vec<&'a Series>>,
    baseline: Vec<Key>,
    candidate: Vec<Key>,
}

/// An instance and the runs that measured it.
type Key = (String, Vec<String>);
/// The instances of one side.
type Side = fn(&Series) -> &[Instance];

impl<'a> Table<'a> {
    fn new(series: &[&'a Series]) -> Option<Self> {
        let mut features: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
        for one in series {
            features.entry(&one.feature).or_default().push(one);
        }
        let together = |side: Side| -> Vec<Key> {
            let first = series.first().map(|one| side(one)).unwrap_or_default();
            let in_all = |instance: &&Instance| {
                let same = |other: &Instance| other.id == instance.id && other.runs == instance.runs;
                series.iter().all(|one| side(one).iter().any(same))
            };
            first.iter().filter(in_all).map(|i| (i.id.clone(), i.runs.clone())).collect()
        };
        let baseline = together(|one| &one.baseline);
        let candidate = together(|one| &one.candidate);
        let enough = features.len() >= LEAST_FEATURES && !baseline.is_empty() && !candidate.is_empty();
        enough.then_some(Self { features, baseline, candidate })
    }

    fn row(&self, series: &Series) -> Row {
        let others = |id: &str, side: Side, value: fn(&Instance) -> f64| {
            let features = self.features.iter().filter(|(name, _)| **name != series.feature);
            let means: Vec<f64> = features
                .map(|(_, all)| mean(&all.iter().map(|one| value(find(side(one), id))).collect::<Vec<_>>()))
                .collect();
            mean(&means)
        };
        let difference = |value: &dyn Fn(&str, Side) -> f64| {
            let group = |id: &str| find(&series.baseline, id).group.as_deref();
            let baseline: Vec<_> =
                self.baseline.iter().map(|(id, _)| (group(id), value(id, |one| &one.baseline))).collect();
            let candidate: Vec<f64> =
                self.candidate.iter().map(|(id, _)| value(id, |one| &one.candidate)).collect();
            Difference::between(&baseline, &candidate)
        };
        let count = (self.features.len() - 1) as f64;
        let others_w2 = mean(
            &self
                .features
                .iter()
                .filter(|(name, _)| **name != series.feature)
                .map(|(_, all)| mean(&all.iter().map(|one| one.w2()).collect::<Vec<_>>()) / all.len() as f64)
                .collect::<Vec<_>>(),
        ) / count;
        Row {
            own: difference(&|id, side| find(side(series), id).y - others(id, side, |i| i.y)),
            others: difference(&|id, side| others(id, side, |i| i.y)),
            others_w2,
            w2: series.w2() + others_w2,
        }
    }
}

/// The instances of a table are in every series of it.
fn find<'a>(instances: &'a [Instance], id: &str) -> &'a Instance {
    instances.iter().find(|instance| instance.id == id).expect("an instance of the table is in every series")
}

#[cfg(test)]
mod tests {
    use super::super::stored::{compare, tests::series};
    use super::*;

    /// Five features whose instances all share what their machine did.
    fn features(machine: &[f64], own: [f64; 5], candidate: f64) -> Vec<Series> {
        let levels = [200.0, 150.0, 120.0, 180.0, 90.0];
        (0..5)
            .map(|f| {
                let wobble = |k: usize| 1.0 + 0.002 * ((k * 3 + f * 5) % 4) as f64;
                let baseline: Vec<f64> =
                    machine.iter().enumerate().map(|(k, m)| levels[f] * m * wobble(k)).collect();
                series(
                    &format!("f{f}"),
                    &baseline,
                    &[levels[f] * own[f] * candidate, levels[f] * own[f] * 1.003],
                )
            })
            .collect()
    }

    fn judged(all: &[Series]) -> (Vec<Compared>, Vec<Option<Contrasted>>) {
        let levels = Levels::at(true, 2, 5);
        let compared = compare(all, levels);
        let contrasts = contrasts(all, &compared, levels);
        (compared, contrasts)
    }

    const MACHINE: [f64; 5] = [0.95, 1.0, 1.05, 1.02, 0.97];

    #[test]
    fn what_the_machine_did_to_all_is_taken_out() {
        let (compared, contrasts) = judged(&features(&MACHINE, [1.1, 1.0, 1.0, 1.0, 1.0], 1.0));
        let first = contrasts[0].as_ref().unwrap();
        assert!(first.contrast.p < 1e-4 && compared[0].comparison.p > 1e-3, "{:?}", first.contrast);
        assert!((first.contrast.change - 0.1).abs() < 0.01);
        assert!(contrasts[1..].iter().flatten().all(|c| c.contrast.p == 1.0));
        // All slower alike: nothing stands out.
        let (_, contrasts) = judged(&features(&MACHINE, [1.1; 5], 1.0));
        assert!(contrasts.iter().flatten().all(|c| c.contrast.p == 1.0));
    }

    /// VERDICT.md: gains everywhere else are no loss here.
    #[test]
    fn gains_of_the_others_leave_the_contrast_out() {
        let steady = [0.99, 1.0, 1.005, 1.002, 0.998];
        let (_, contrasts) = judged(&features(&steady, [1.035, 0.95, 0.95, 0.95, 0.95], 1.0));
        let first = &contrasts[0].as_ref().unwrap().contrast;
        assert!(first.others_gained && first.p == 1.0, "{first:?}");
    }

    /// Once a panic: others that repeat to the bucket have neither distance nor spread.
    #[test]
    fn others_that_repeat_exactly() {
        let all: Vec<Series> = (0..5)
            .map(|f| series(&format!("f{f}"), &[200.0; 3], &[if f == 0 { 260.0 } else { 200.0 }; 2]))
            .collect();
        let (_, contrasts) = judged(&all);
        let first = &contrasts[0].as_ref().unwrap().contrast;
        assert!(!first.others_gained && first.p < 1e-6, "{first:?}");
    }

    #[test]
    fn fewer_than_four_features_or_other_runs_have_none() {
        let all = features(&MACHINE, [1.1, 1.0, 1.0, 1.0, 1.0], 1.0);
        assert!(judged(&all[..3]).1.iter().all(Option::is_none));
        assert!(judged(&all[..4]).1.iter().all(Option::is_some));
        let mut apart = all.clone();
        for instance in &mut apart[4].baseline {
            instance.runs = vec![format!("another {}", instance.id)];
        }
        assert!(judged(&apart).1.iter().all(Option::is_none), "measured apart, so nothing is shared");
    }
}
