use crate::metrics::SmokeStatus;
use crate::report::document::Block;
use crate::report::model::ReportModel;
use crate::units::counted;
use crate::verdict::{Action, FindingKind, ProbeStanding, RuleKind, RuleResult, RuleStatus};

/// What was done, and what was not: a tick is that it was done, and that it went well where that can be said.
pub fn checklist(models: &[ReportModel], measured: Option<&ReportModel>) -> Vec<Block> {
    let check = |done: bool, text: String| Block::Check { done, text };
    let steps = || models.iter().flat_map(ReportModel::smoke_steps);
    let count = |status| steps().filter(|step| step.status == status).count();
    let (all, failed, skipped) = (steps().count(), count(SmokeStatus::Failed), count(SmokeStatus::Skipped));
    let passes = models.iter().filter(|model| !model.smoke_steps().is_empty()).count();
    let requests: u64 = models.iter().map(|model| model.totals().0).sum();
    let rules = || measured.iter().flat_map(|m| &m.endpoints).flat_map(|row| &row.rules);
    let of = |kind: RuleKind| {
        let judged = |rule: &&RuleResult| match rule.status {
            RuleStatus::Held | RuleStatus::Broken => true,
            RuleStatus::Tolerated | RuleStatus::Undecided => {
                rule.observed.is_some() && !measured.is_some_and(|model| too_few(model, rule))
            }
            RuleStatus::NotJudged => false,
        };
        let all = || rules().filter(|rule| rule.kind == kind);
        (all().filter(judged).count(), all().count())
    };
    let (limits, all_limits) = of(RuleKind::Limit);
    let (compared, all_compared) = of(RuleKind::Regression);
    // What an earlier phase showed is not shown of a last one that broke before its load.
    let settled = models.last().is_some_and(|last| last.totals().0 > 0 || last.verdict.action == Action::Go);
    let phase = measured.filter(|_| models.len() > 1).map_or(String::new(), |m| format!(" ({})", m.title()));
    let loaded = || models.iter().filter(|model| !model.record.runs.is_empty());
    let healthy = loaded().all(|model| model.kept_up() == Some(true));
    let steady = loaded().all(|m| m.record.runs.iter().all(|look| look.warmup.settled()));
    let any = loaded().next().is_some();
    vec![
        check(
            all > skipped && failed == 0,
            format!(
                "functional checks: {} of {} passed, in {}",
                all - failed - skipped,
                counted(all, "step"),
                counted(passes, "phase")
            ),
        ),
        check(requests > 0, format!("load: {}", counted(requests as usize, "measured request"))),
        check(
            settled && all_limits > 0 && limits == all_limits,
            format!("limits judged: {limits} of {all_limits}{phase}"),
        ),
        check(
            settled && all_compared > 0 && compared == all_compared,
            format!("compared with what ran before: {compared} of {}{phase}", counted(all_compared, "rule")),
        ),
        check(any && healthy, "the load generator kept up".into()),
        check(any && steady, "the service reached a steady state".into()),
        probed(models),
    ]
}

fn probed(models: &[ReportModel]) -> Block {
    let own = || models.iter().flat_map(|model| &model.verdict.probes).filter(|one| one.limit.is_some());
    let read = own().filter(|one| one.standing != ProbeStanding::NotKnown).count();
    let text = match own().count() {
        0 => "resources of the service probed (no probe was part of these runs)".to_owned(),
        all => format!("resources of the service probed: {read} of {} read", counted(all, "probe")),
    };
    Block::Check { done: read > 0 && read == own().count(), text }
}

/// Whether a limit had too few requests to be held against: a finding that observed nothing says so.
fn too_few(model: &ReportModel, rule: &RuleResult) -> bool {
    model.verdict.findings.iter().any(|f| {
        f.kind == FindingKind::Limit
            && rule.kind == RuleKind::Limit
            && f.endpoint.as_ref() == Some(&rule.endpoint)
            && f.metric == Some(rule.metric)
            && f.observed.is_none()
    })
}
