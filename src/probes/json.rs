use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::prometheus::refused;
use super::reading::{Figure, Problem};
use crate::checks::{Query, Subject};
use crate::remote::Remote;
use crate::units::format_ms;

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
        let answer = self.remote.get(self.url, self.headers, self.timeout).await.map_err(Problem::passing)?;
        if !answer.is_success() {
            return Err(refused(&answer));
        }
        let headers = HeaderMap::new();
        let subject = Subject::new(answer.status, &headers, &answer.body, 0, now_ms);
        if let Some(at) = at {
            let found = one(&subject, at)?;
            let then_ms =
                timestamp_ms(&found).ok_or_else(|| Problem::lasting(format!("{at} is no time: {found}")))?;
            let age_ms = (now_ms() - then_ms) as f64;
            if age_ms > self.max_age.as_secs_f64() * 1e3 {
                let most = format_ms(self.max_age.as_secs_f64() * 1e3);
                return Err(Problem::passing(format!(
                    "its figures are {} old, more than {most}",
                    format_ms(age_ms)
                )));
            }
        }
        let value = number(&subject, value)?;
        let of = match of {
            Some(of) => Some(number(&subject, of)?),
            None => None,
        };
        Ok(Figure { value, of })
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
    number.filter(|number| number.is_finite()).ok_or_else(|| {
        Problem::lasting(format!("{query} is no number: {}", crate::secrets::cut(&found.to_string(), 60)))
    })
}

/// RFC 3339, or seconds or milliseconds since 1970.
fn timestamp_ms(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        Value::Number(number) => {
            let number = number.as_f64()?;
            Some(if number > 1e11 { number as i64 } else { (number * 1e3) as i64 })
        }
        _ => None,
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
