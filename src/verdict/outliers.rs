use super::statistics::{mean, median, squared_deviations};
use super::stored::{Series, floor};

/// With fewer instances nothing says which one is odd.
const LEAST_INSTANCES: usize = 4;
/// Standard deviations from the others' mean.
const FAR: f64 = 5.0;

/// DESIGN §5, step 6: takes a baseline instance out of a series where it is unlike all others, the farthest first. What
/// instances differ by is known from the others alone, shrunk as in the comparison, so that no outlier hides itself.
pub fn leave_out(all: &mut [Series]) {
    let variances: Vec<_> = all.iter().map(|s| (s.rule.metric, robust_variance(s))).collect();
    for series in all {
        let same = variances.iter().filter(|(metric, _)| *metric == series.rule.metric);
        let mut common: Vec<f64> = same.filter_map(|(_, v)| *v).collect();
        let common = median(&mut common);
        while let Some(at) = farthest(series, common) {
            let out = series.baseline.remove(at);
            series.left_out.push(out.id);
        }
    }
}

/// The spread of a series without its oddest instance.
fn robust_variance(series: &Series) -> Option<f64> {
    let ys: Vec<f64> = series.baseline.iter().map(|i| i.y).collect();
    (ys.len() >= LEAST_INSTANCES)
        .then(|| (0..ys.len()).map(|at| spread_without(&ys, at)).fold(f64::INFINITY, f64::min))
}

fn spread_without(ys: &[f64], at: usize) -> f64 {
    squared_deviations(&without(ys, at)) / (ys.len() - 2) as f64
}

fn without(ys: &[f64], at: usize) -> Vec<f64> {
    ys.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, y)| *y).collect()
}

fn farthest(series: &Series, common: f64) -> Option<usize> {
    let builds = series.baseline.iter().map(|i| &i.group).collect::<std::collections::BTreeSet<_>>().len();
    // Another build may well be at another level; that is for the comparison to see.
    if series.baseline.len() < LEAST_INSTANCES || builds > 1 {
        return None;
    }
    let ys: Vec<f64> = series.baseline.iter().map(|i| i.y).collect();
    let least = floor(series.w2());
    let distance = |at: usize| {
        let others = without(&ys, at);
        let v = f64::midpoint(spread_without(&ys, at), common).max(least);
        (ys[at] - mean(&others)).abs() / (v * (1.0 + 1.0 / others.len() as f64)).sqrt()
    };
    let (at, far) = (0..ys.len()).map(|at| (at, distance(at))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (far > FAR).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::super::stored::tests::series;
    use super::*;

    #[test]
    fn one_instance_unlike_all_others_is_left_out() {
        let odd = series("a", &[200.0, 201.0, 199.0, 200.0, 260.0], &[200.0]);
        let even = series("b", &[200.0, 203.0, 198.0, 201.0, 206.0], &[200.0]);
        let few = series("c", &[200.0, 201.0, 260.0], &[200.0]);
        let mut all = [odd, even, few];
        leave_out(&mut all);
        assert_eq!(all[0].left_out, ["i4"]);
        assert_eq!(all[0].baseline.len(), 4);
        assert!(all[1].left_out.is_empty() && all[2].left_out.is_empty());
    }
}
