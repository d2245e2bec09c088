use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::reading::{Figure, Problem, refused};
use crate::checks::{Query, Subject};
use crate::remote::Remote;
use crate::units::format_ms;

/// Two machines' clocks may differ by so much.
const MOST_AHEAD_MS: i64 = 5_000;

/// How an endpoint that tells figures as JSON is asked.
pub struct Endpoint<'a> {
    pub remote: &'a Remote,
    pub url: &'a str,
    pub headers: &'a [(HeaderName, String)],
    pub timeout: Duration,
    pub max_age: Duration,
}

impl Endpoint<'_> {
    /// The figure at `value`, of how many, and as old as `at` says.
    pub async fn read(
        &self,
        value: &Query,
        of: Option<&Query>,
        at: Option<&Query>,
    ) -> Result<Figure, Problem> {
        let answer = self.remote.get(self.url, self.headers, self.timeout).await?;
        if !answer.is_success() {
            return Err(refused(&answer));
        }
        let headers = HeaderMap::new();
        let subject = Subject::new(answer.status, &headers, &answer.body, 0, now_ms);
        let age = match at {
            Some(at) => Some(self.age(&one(&subject, at)?, at)?),
            None => None,
        };
        let value = number(&subject, value)?;
        let of = match of {
            Some(of) => Some(number(&subject, of)?),
            None => None,
        };
        Ok(Figure { value, of, age })
    }

    fn age(&self, found: &Value, at: &Query) -> Result<Duration, Problem> {
        let then_ms =
            timestamp_ms(found).ok_or_else(|| Problem::lasting(format!("{at} is no time: {found}")))?;
        let age_ms = now_ms() - then_ms;
        if age_ms < -MOST_AHEAD_MS {
            let ahead = format_ms(-age_ms as f64);
            return Err(Problem::passing(format!("its figures are {ahead} ahead of this machine's clock")));
        }
        let age = Duration::from_millis(age_ms.max(0) as u64);
        if age > self.max_age {
            let (age, most) = (format_ms(age_ms as f64), format_ms(self.max_age.as_secs_f64() * 1e3));
            return Err(Problem::passing(format!("its figures are {age} old, more than {most}")));
        }
        Ok(age)
    }
}

fn one(subject: &Subject<'_>, query: &Query) -> Result<Value, Problem> {
    let mut found = query.select(subject).map_err(Problem::passing)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Problem::passing(format!("there is nothing at {query}"))),
        several => Err(Problem::lasting(format!("there are {several} values at {query}; one is needed"))),
    }
}

fn number(subject: &Subject<'_>, query: &Query) -> Result<f64, Problem> {
    let found = one(subject, query)?;
    let number = match &found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| Problem::lasting(format!("{query} is no number: {found}")))
}

/// RFC 3339, or the time since 1970 as a number.
fn timestamp_ms(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        Value::Number(number) => {
            let number = number.as_f64()?;
            // Seconds, milliseconds, microseconds or nanoseconds: today they are far apart.
            let scale = [1e11, 1e14, 1e17].into_iter().filter(|least| number > *least).count();
            Some((number * [1e3, 1.0, 1e-3, 1e-6][scale]) as i64)
        }
        _ => None,
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
