use http::HeaderMap;
use serde_json::Value;

use crate::checks::{Memory, Subject, plain_text};
use crate::scenario::{Capture, Chance, Context, DataSource, JsonTemplate, Place, Row, Scenario, Step};

/// What is captured before an iteration, by slot: in `setup`, and in the login of its session.
pub type Captured = Vec<Option<Value>>;

/// The values that one iteration works with.
pub struct Values<'a> {
    rows: Vec<&'a [Value]>,
    captures: Captured,
    /// How long the responses of those steps took that others are compared with.
    times: Vec<(usize, u64)>,
    chance: Chance,
}

impl<'a> Values<'a> {
    /// `pick` gives each data source's row; generated values are drawn by `seed`.
    pub fn new(
        scenario: &'a Scenario,
        pick: impl Fn(&'a DataSource) -> &'a Row,
        seed: u64,
        setup: &[Option<Value>],
    ) -> Self {
        let rows = scenario.data.iter().map(|source| pick(source).as_slice()).collect();
        let mut values =
            Self { rows, captures: vec![None; scenario.slots], times: Vec::new(), chance: Chance::new(seed) };
        values.adopt(setup);
        for (slot, template) in &scenario.drawn {
            let drawn = template.value(&values.context());
            values.captures[*slot] = Some(drawn);
        }
        values
    }

    pub fn context(&self) -> Context<'_> {
        Context { rows: &self.rows, captures: &self.captures, chance: &self.chance }
    }

    /// Takes over what was captured elsewhere.
    pub fn adopt(&mut self, captured: &[Option<Value>]) {
        for (own, other) in self.captures.iter_mut().zip(captured) {
            if other.is_some() {
                own.clone_from(other);
            }
        }
    }

    /// Takes over what is not known here yet.
    pub fn adopt_missing(&mut self, captured: &[Option<Value>]) {
        for (own, other) in self.captures.iter_mut().zip(captured) {
            if own.is_none() {
                own.clone_from(other);
            }
        }
    }

    pub fn captured(&self) -> &Captured {
        &self.captures
    }

    /// Notes how long a step's response took.
    pub fn took(&mut self, step: usize, service_ns: u64) {
        self.times.retain(|(known, _)| *known != step);
        self.times.push((step, service_ns));
    }

    /// Whether a step is to be sent: all that it needs was captured, and its conditions hold.
    pub fn apply(&self, step: &Step, now_unix_ms: fn() -> i64) -> bool {
        if step.needs.is_empty() && step.when.is_empty() {
            return true;
        }
        self.why_not(step, now_unix_ms).is_none()
    }

    /// Why a step is passed over; `None` if it is to be sent.
    pub fn why_not(&self, step: &Step, now_unix_ms: fn() -> i64) -> Option<String> {
        if step.needs.iter().any(|slot| self.captures[*slot].is_none()) {
            return Some("a value that it needs was not captured".to_owned());
        }
        let headers = HeaderMap::new();
        let nothing = Subject::new(0, &headers, &[], 0, now_unix_ms);
        let memory = self.memory(&step.operands);
        step.when.iter().find_map(|condition| {
            let missing = condition.value.slots().any(|slot| self.captures[slot].is_none());
            let found = if missing { Vec::new() } else { vec![condition.value.value(&self.context())] };
            let reason = condition.predicate.judge(&found, &nothing, &memory).err()?;
            Some(format!("its `when` does not hold: {}: {reason}", condition.value.canonical()))
        })
    }

    pub fn memory<'m>(&'m self, operands: &'m [JsonTemplate]) -> StepMemory<'m> {
        StepMemory { values: self, operands }
    }

    /// Keeps what the captures find.
    ///
    /// # Errors
    /// What the first one that finds nothing was looking for.
    pub fn capture(&mut self, captures: &[Capture], subject: &Subject<'_>) -> Result<(), (String, Place)> {
        for capture in captures {
            self.keep(capture, subject).map_err(|message| (message, capture.place))?;
        }
        Ok(())
    }

    fn keep(&mut self, capture: &Capture, subject: &Subject<'_>) -> Result<(), String> {
        let name = &capture.name;
        let query = &capture.query;
        let found = query.select(subject).map_err(|reason| format!("capture {name}: {reason}"))?;
        let Some(value) = found.into_iter().next() else {
            return Err(format!("capture {name}: {query} selects nothing"));
        };
        let value = match &capture.regex {
            None => value,
            Some(regex) => {
                let text = plain_text(&value);
                let groups = regex
                    .captures(&text)
                    .ok_or_else(|| format!("capture {name}: /{regex}/ matches nothing in {query}"))?;
                let kept = groups.get(1).or_else(|| groups.get(0)).map_or("", |found| found.as_str());
                Value::String(kept.to_owned())
            }
        };
        self.captures[capture.slot] = Some(value);
        Ok(())
    }
}

/// An iteration as the checks of one step see it.
pub struct StepMemory<'a> {
    values: &'a Values<'a>,
    operands: &'a [JsonTemplate],
}

impl Memory for StepMemory<'_> {
    fn operand(&self, index: usize) -> Value {
        self.operands[index].render(&self.values.context())
    }

    fn service_ns(&self, step: usize) -> Option<u64> {
        self.values.times.iter().find(|(known, _)| *known == step).map(|(_, ns)| *ns)
    }
}
