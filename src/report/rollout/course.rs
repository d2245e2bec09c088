use super::RolloutView;
use super::words::{clock, rollout_line, rollout_summary};
use crate::report::document::{Block, Cell, Table, Tone};
use crate::report::terminal::Screen;
use crate::rollout::{Ending, Event};

/// A rollout's part of the document that people sign: where it ended, and all that happened.
pub struct Course {
    pub headline: String,
    pub tone: Tone,
    pub blocks: Vec<Block>,
}

/// What is told is what the terminal was told, without its clock.
#[must_use]
pub fn course(view: &RolloutView<'_>) -> Course {
    let tone = match &view.state.ended {
        Some((Ending::Complete, _)) => Tone::Good,
        Some(_) => Tone::Bad,
        None if view.state.rollback.is_some() => Tone::Bad,
        None => Tone::Caution,
    };
    let mut state = crate::rollout::State::default();
    let mut rows = Vec::new();
    for entry in view.entries {
        state.take(entry);
        let told = match &entry.event {
            Event::Completed => Some("complete".to_owned()),
            event => rollout_line(&state, event, view.plan, Screen::FILE)
                .map(|text| text.split_once("  ").map_or(text.clone(), |(_, rest)| rest.to_owned())),
        };
        let Some(told) = told else { continue };
        let tone = match &entry.event {
            Event::Acted { end, .. } if !end.is_good() => Tone::Bad,
            Event::Acting { kind: crate::rollout::ActKind::Rollback, .. } => Tone::Bad,
            Event::Requested(_) | Event::CutOff { .. } | Event::Stopped { .. } => Tone::Caution,
            _ => Tone::Plain,
        };
        rows.push(vec![Cell::from(clock(&entry.at).to_owned()), Cell::toned(told, tone)]);
    }
    let mut blocks = vec![Block::Heading("Course of the rollout".into())];
    if let Some(begun) = &view.state.begun {
        if begun.time_scale != 1.0 {
            let text = format!("Soaks took {} of the plan's time.", begun.time_scale);
            blocks.push(Block::Text(text));
        }
        if !begun.real_users {
            blocks.push(Block::Text(
                "Synthetic traffic only: no probe compared what real users of both arms saw.".into(),
            ));
        }
    }
    blocks.push(Block::Table(Table { header: vec!["UTC", "what"], rows, numbers: 0..0 }));
    Course { headline: rollout_summary(view.state, view.entries), tone, blocks }
}
