//! What other judges would have said of the same runs.

use loadgate::metrics::{Histogram, LookRecord, TimelineBlock};

const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
const P95: f64 = 0.95;

fn last(baseline: &[&LookRecord]) -> Vec<f64> {
    levels(baseline[baseline.len() - 1], P95)
}

fn levels(look: &LookRecord, q: f64) -> Vec<f64> {
    look.endpoints.iter().map(|e| e.response.quantile_ms(q).expect("samples")).collect()
}

/// Some p95 is 10% over that of the last run.
pub fn over_the_last(baseline: &[&LookRecord], candidate: &LookRecord) -> bool {
    levels(candidate, P95).iter().zip(last(baseline)).any(|(now, before)| *now > 1.1 * before)
}

/// Some p95 is 10% over the mean of the stored runs.
pub fn over_the_mean(baseline: &[&LookRecord], candidate: &LookRecord) -> bool {
    let all: Vec<Vec<f64>> = baseline.iter().map(|look| levels(look, P95)).collect();
    levels(candidate, P95).iter().enumerate().any(|(i, now)| {
        let mean = all.iter().map(|levels| levels[i]).sum::<f64>() / all.len() as f64;
        *now > 1.1 * mean
    })
}

/// Limits on the candidate alone.
pub fn beyond_static(candidate: &LookRecord) -> bool {
    levels(candidate, P95).iter().any(|ms| *ms >= 500.0)
        || candidate.endpoints.iter().any(|e| e.error_count() as f64 >= 0.01 * e.requests as f64)
}

/// Some error count is twice that of the last run.
pub fn errors_doubled(baseline: &[&LookRecord], candidate: &LookRecord) -> bool {
    let before = &baseline[baseline.len() - 1].endpoints;
    candidate
        .endpoints
        .iter()
        .zip(before)
        .any(|(now, before)| now.error_count() > 0 && now.error_count() >= 2 * before.error_count())
}

/// Mann & Whitney 1947 on all requests against those of the last run, one-sided at 1% over all endpoints (Bonferroni).
pub fn mann_whitney(baseline: &[&LookRecord], candidate: &LookRecord) -> bool {
    let before = &baseline[baseline.len() - 1].endpoints;
    // The upper 1%/5 and 1%/1 points of the normal distribution.
    let critical = if before.len() > 1 { 2.878 } else { 2.326 };
    candidate
        .endpoints
        .iter()
        .zip(before)
        .any(|(now, before)| z_score(&now.response, &before.response) > critical)
}

/// Standardised U of `a` being larger, with the correction for ties.
fn z_score(own: &Histogram, other: &Histogram) -> f64 {
    let mut counts: std::collections::BTreeMap<usize, (f64, f64)> = std::collections::BTreeMap::new();
    own.each_bucket(|bucket, count| counts.entry(bucket).or_default().0 += count as f64);
    other.each_bucket(|bucket, count| counts.entry(bucket).or_default().1 += count as f64);
    let (n, m) = (own.count() as f64, other.count() as f64);
    let (mut below, mut u, mut ties) = (0.0, 0.0, 0.0);
    for (own, other) in counts.values() {
        u += own * (below + other / 2.0);
        below += other;
        let tied = own + other;
        ties += tied * tied * tied - tied;
    }
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    (u - n * m / 2.0) / variance.sqrt()
}

/// Kayenta's judge on points of two seconds against the last run: a metric is High where the lower end of the 98% interval
/// of the Hodges–Lehmann shift exceeds a quarter of that shift; the canary fails below a score of 75, or (strictly) where
/// any metric is High.
pub fn kayenta(baseline: &[&LookRecord], candidate: &LookRecord) -> (bool, bool) {
    let before = baseline[baseline.len() - 1];
    let (mut metrics, mut high) = (0, 0);
    for endpoint in 0..candidate.endpoints.len() {
        let (now, before) = (points(candidate, endpoint), points(before, endpoint));
        for (now, before) in now.iter().zip(&before) {
            metrics += 1;
            high += usize::from(is_high(now, before));
        }
    }
    (100 * (metrics - high) < 75 * metrics, high > 0)
}

/// p50, p95, p99 and error rate of each two seconds.
fn points(look: &LookRecord, endpoint: usize) -> [Vec<f64>; 4] {
    let blocks: Vec<&TimelineBlock> = look.blocks.iter().filter(|b| b.endpoint == endpoint).collect();
    let mut found = [const { Vec::new() }; 4];
    for group in blocks.chunks(8) {
        let mut sum = Histogram::default();
        for block in group {
            sum.merge(&block.histogram);
        }
        for (values, q) in found.iter_mut().zip(QUANTILES) {
            values.push(sum.quantile_ms(q).expect("samples"));
        }
        let (errors, planned) = group.iter().fold((0, 0), |(e, n), b| (e + b.errors, n + b.planned));
        found[3].push(errors as f64 / planned as f64);
    }
    found
}

fn is_high(now: &[f64], before: &[f64]) -> bool {
    let mut shifts: Vec<f64> = now.iter().flat_map(|x| before.iter().map(move |y| x - y)).collect();
    shifts.sort_by(f64::total_cmp);
    let (n, m) = (now.len() as f64, before.len() as f64);
    let reach = n * m / 2.0 - 2.326 * (n * m * (n + m + 1.0) / 12.0).sqrt();
    let lower = shifts[reach.max(0.0).round() as usize];
    let middle = shifts[shifts.len() / 2];
    lower > 0.25 * middle.abs() && lower > 0.0
}
