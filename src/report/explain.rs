use std::fmt::Write as _;

use crate::metrics::{Repeat, RunRecord};
use crate::units::{Metric, change_of, counted, format_ms, visible_change};
use crate::verdict::{Comparison, Finding, FindingKind, Settled, Verdict, doubt};

/// For each finding and each comparison: what was compared, the interval, the noise, why it is or is not a regression,
/// and what would settle it. Plain words first.
#[must_use]
pub fn render_explanation(verdict: &Verdict, record: &RunRecord) -> String {
    let mut out = String::from("HOW IT WAS JUDGED\n\n");
    let _ = writeln!(out, "{}\n", levels(verdict, record));
    let compared = |f: &&Finding| verdict.comparisons.iter().any(|c| is_of(f, c));
    for finding in verdict.findings.iter().filter(|f| !compared(f)) {
        let _ = writeln!(out, "{}", finding.reason);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(out, "  What would settle it: {remedy}.");
        }
        out.push('\n');
    }
    let mut comparisons: Vec<&Comparison> = verdict.comparisons.iter().collect();
    comparisons.sort_by_key(|c| match c.settled {
        Settled::Worse => 0,
        Settled::Open => 1,
        Settled::Within => 2,
    });
    for comparison in comparisons {
        explain(&mut out, comparison, verdict, record.control.is_some());
    }
    out
}

fn levels(verdict: &Verdict, record: &RunRecord) -> String {
    let Some(first) = verdict.comparisons.first() else {
        return "Nothing was compared with a baseline; limits and checks alone were judged.".to_owned();
    };
    let looks = counted(verdict.looks, "look");
    let plan = match record.plan.repeat {
        _ if record.control.is_some() => {
            format!("{} side by side with the control", counted(verdict.looks, "segment"))
        }
        Repeat::Auto if record.plan.restarts => {
            format!("Look {} of at most 5, each on a restarted instance", verdict.looks)
        }
        _ => format!("One decision over {looks}"),
    };
    format!(
        "{plan}: a change is called a regression only where chance would do so in {} of same-build verdicts, over all \
         comparisons together (Simes; confirmed one by one: Holm). It passes where every upper bound ({}) lies below what \
         is allowed. Gate: {}.",
        percent(first.alpha),
        percent(f64::midpoint(1.0, first.level)),
        verdict.gate
    )
}

/// Whether a finding is the one of this comparison.
fn is_of(finding: &Finding, c: &Comparison) -> bool {
    matches!(finding.kind, FindingKind::Regression | FindingKind::Errors)
        && finding.endpoint.as_deref() == Some(c.endpoint.as_str())
        && finding.metric == Some(c.metric)
}

/// Why nothing is proven here whatever was seen.
fn barred(c: &Comparison, verdict: &Verdict) -> Option<&'static str> {
    if c.metric == Metric::ErrorRate {
        None
    } else if doubt(verdict, &c.endpoint).is_some() {
        Some("the measurement cannot be trusted, so no latency is proven by it")
    } else if c.detectable.is_none() {
        Some("with one or two baseline instances the first look proves no latency")
    } else {
        None
    }
}

fn explain(out: &mut String, c: &Comparison, verdict: &Verdict, beside: bool) {
    let rate = c.metric == Metric::ErrorRate;
    let level = |value: f64| if rate { percent(value) } else { format_ms(value) };
    let change = |value: f64| change_of(c.metric, value);
    let size = |value: f64| change(value).trim_start_matches('+').to_owned();
    let finding = verdict.findings.iter().find(|f| is_of(f, c));
    let words = match c.settled {
        Settled::Within => "no worse than allowed",
        Settled::Worse if finding.is_some_and(|f| !f.confirmed) => "worse, as one of a set",
        Settled::Worse => "worse: a regression",
        Settled::Open => "not shown safe, not shown bad",
    };
    let _ = writeln!(out, "{} {}: {words}", c.endpoint, c.metric);
    let of = c.reference_of.as_ref().map_or(String::new(), |group| format!(" of {group}"));
    let _ = writeln!(
        out,
        "  Compared:  {} ({}) with {} ({}{of}): {}",
        level(c.observed),
        counted(c.candidate_instances, "instance"),
        level(c.reference),
        counted(c.baseline_instances, "instance"),
        change(c.change),
    );
    let _ = writeln!(
        out,
        "  Interval:  {} to {} ({}); allowed {}, not worth naming below {}",
        change(c.interval[0]),
        change(c.interval[1]),
        percent(c.level),
        change(c.delta),
        size(c.ignore),
    );
    if !rate {
        let what = if beside { "standard error of the change:" } else { "instances of one build differ by" };
        let _ = writeln!(out, "  Noise:     {what} ±{:.1}%", c.noise * 100.0);
    }
    if !c.left_out.is_empty() {
        let _ = writeln!(out, "  Left out:  {} (unlike all other instances)", c.left_out.join(", "));
    }
    if let Some(contrast) = &c.contrast {
        let note = if contrast.others_gained { "; not used, since they gained so clearly" } else { "" };
        let _ = writeln!(
            out,
            "  Others:    the other features changed by {}; beyond them {} [{}, {}]{note}",
            change(contrast.others),
            change(contrast.change),
            change(contrast.interval[0]),
            change(contrast.interval[1]),
        );
    }
    let _ = writeln!(
        out,
        "  Why:       {}",
        match barred(c, verdict).filter(|_| c.settled == Settled::Open) {
            Some(reason) => reason.to_owned(),
            None => why(c, &change, &size, beside),
        }
    );
    if let (Settled::Open, Some(remedy)) = (c.settled, finding.and_then(|f| f.remedy.as_ref())) {
        let _ = writeln!(out, "  To settle: {remedy}");
    }
    if let Some(least) = c.detectable {
        let passable = c.passable.map_or(String::new(), |p| {
            format!("; a same-build run passes 19 times in 20 where {} is allowed", size(p))
        });
        let least = if rate { change(least) } else { visible_change(least, 1) };
        let _ = writeln!(out, "  Power:     {least} would be proven 19 times in 20{passable}");
    }
    out.push('\n');
}

fn why(c: &Comparison, change: &dyn Fn(f64) -> String, size: &dyn Fn(f64) -> String, beside: bool) -> String {
    let contrast = c.contrast.as_ref().map_or(1.0, |contrast| contrast.p);
    let (p, by) = if contrast < c.p {
        (contrast, "the comparison with the other features")
    } else {
        (c.p, if beside { "the comparison with the control" } else { "the comparison with the past" })
    };
    match c.settled {
        Settled::Within => format!("even the upper end, {}, is below what is allowed", change(c.interval[1])),
        Settled::Worse => {
            format!("by {by}, a same-build run would look like this with a chance of {}", chance(p))
        }
        Settled::Open if c.change < c.ignore => format!(
            "{} is not worth naming, but the upper end, {}, is not below what is allowed",
            change(c.change),
            change(c.interval[1])
        ),
        Settled::Open if p >= 1.0 => {
            format!(
                "the upper end, {}, is not below what is allowed; this look proves nothing so small",
                change(c.interval[1])
            )
        }
        Settled::Open => format!(
            "beyond {}, but by {by} a same-build run would look like this with a chance of {}: too likely among so many comparisons",
            size(c.ignore),
            chance(p)
        ),
    }
}

fn chance(p: f64) -> String {
    if p < 1e-6 { "less than 1 in 1,000,000".to_owned() } else { format!("1 in {:.0}", 1.0 / p) }
}

/// A share with the digits that count.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0}%") } else { format!("{}%", (percent * 1e3).round() / 1e3) }
}
