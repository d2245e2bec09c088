use std::fmt::Write as _;
use std::path::Path;

use super::RolloutView;
use super::status::{headline, remedies, table};
use super::words::told_length;
use crate::report::inert::line;
use crate::report::terminal::Screen;
use crate::rollout::{Against, ArmPlan, Ending, Phase, Plan};
use crate::secrets::without_userinfo;
use crate::units::counted;

/// What stands last when a controller ends: where the rollout is, what is to be done. `undone`: the traffic was to be taken back,
/// and loadgate itself failed before.
#[must_use]
pub fn render_rollout_ending(view: &RolloutView<'_>, undone: bool, screen: Screen) -> String {
    let mut out = String::new();
    let failed = matches!(view.state.ended, Some((Ending::RollbackFailed { .. }, _)));
    if failed || undone {
        let bar = "█".repeat(screen.width.unwrap_or(80).min(100));
        let _ = writeln!(out, "\n{}\n", screen.paint.bad(&bar));
        let word = if undone { "    ROLLBACK DECIDED AND NOT DONE" } else { "    ROLLBACK FAILED" };
        let _ = writeln!(out, "{}\n", screen.paint.bad(word));
        let _ = writeln!(out, "{}\n", headline(view, screen));
        if let Some((Ending::RollbackFailed { end }, _)) = &view.state.ended {
            for said in &end.said {
                let _ = writeln!(out, "    | {}", line(said));
            }
        }
        let _ = writeln!(out, "\n{}", screen.paint.bad(&bar));
    } else {
        let _ = writeln!(out, "\n{}", headline(view, screen));
    }
    let _ = writeln!(out, "\n{}\n", table(view, screen));
    if view.plan.as_os_str().is_empty() {
        return out;
    }
    for (command, what) in remedies(view) {
        let until =
            if matches!(view.state.ended, Some((Ending::Complete, _))) { ", for 24 h from now" } else { "" };
        let _ = writeln!(out, "  loadgate rollout {command:<34} {what}{until}");
    }
    out
}

/// What would be done, in order.
#[must_use]
pub fn render_rollout_plan(
    plan: &Plan,
    folder: &Path,
    time_scale: f64,
    told: &[String],
    screen: Screen,
) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} in {}, kept in {}",
        plan.name,
        counted(plan.phases.len(), "phase"),
        folder.display()
    );
    let _ = writeln!(
        out,
        "control {}, candidate {}",
        address_of(plan, &plan.control),
        address_of(plan, &plan.candidate)
    );
    for (number, phase) in plan.phases.iter().enumerate() {
        let from = plan.percent_before(number);
        let _ = writeln!(out, "\n{}", line(&phase.name));
        for text in steps(phase, from, time_scale) {
            let _ = writeln!(out, "  {}", screen.wrapped(&line(&text), 2, 4));
        }
    }
    let measured: std::time::Duration = plan.phases.iter().map(|phase| least(phase, time_scale)).sum();
    let _ = writeln!(
        out,
        "\nTakes {} at least; warm-ups and functional passes come on top.",
        told_length(measured)
    );
    let hold = match plan.on_hold.extend {
        0 => "holds at once".to_owned(),
        n => format!("takes up to {} in each phase, then holds", counted(n as usize, "further round")),
    };
    let _ = writeln!(
        out,
        "What settles nothing {hold} (exit code 3); somebody then says approve, extend or rollback."
    );
    if let Some(rollback) = &plan.rollback {
        let _ = writeln!(
            out,
            "What is proven worse rolls back by `{}`, within {} (exit code 1; where that fails, 6).",
            line(&rollback.command.told),
            told_length(rollback.within)
        );
    }
    if plan.watching.probes.iter().all(|probe| probe.plan.compare.is_none()) {
        let _ = writeln!(out, "Synthetic traffic only: no probe compares real users of both arms.");
    }
    for warning in told {
        let _ = writeln!(out, "{}", screen.paint.caution(&format!("warning: {}", line(warning))));
    }
    out
}

/// What of a phase is measured in any case: a load may be settled by its first quarter.
fn least(phase: &Phase, time_scale: f64) -> std::time::Duration {
    let soak = phase.soak.map_or(std::time::Duration::ZERO, |soak| soak.length.mul_f64(time_scale));
    let load = phase.load.and_then(|load| load.length).unwrap_or_default();
    soak + load / 4
}

fn address_of(plan: &Plan, arm: &ArmPlan) -> String {
    let address = arm.target.address_or("(started by loadgate)");
    line(&plan.secrets.scrub(&without_userinfo(address)))
}

fn steps(phase: &Phase, from: u8, time_scale: f64) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(within) = phase.approve {
        all.push(format!("waits until somebody says `approve`, at most {}", told_length(within)));
    }
    if let Some(shift) = &phase.shift {
        let timeout = told_length(shift.timeout);
        all.push(format!("shifts {from}% → {}% by `{}` (at most {timeout})", phase.percent, shift.told));
    }
    if let Some(soak) = &phase.soak {
        let length = told_length(soak.length.mul_f64(time_scale));
        let every = told_length(soak.smoke.mul_f64(time_scale));
        all.push(format!("soaks for {length} at {}, both arms; a functional pass every {every}", soak.rate));
    }
    if let Some(load) = &phase.load {
        let length = load.length.map_or_else(|| "its usual length".to_owned(), told_length);
        let rate = load.rate.map_or_else(|| "the scenarios' own rates".to_owned(), |rate| rate.to_string());
        let against = match load.against {
            Against::Control => "beside the control",
            Against::Baselines => "alone, by its limits and stored runs",
        };
        all.push(format!("load of {length} at {rate}, {against}"));
    }
    all
}
