use std::time::Duration;

use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::reading::{Figure, Problem, refused};
use crate::remote::Remote;
use crate::units::{format_ms, percent_encoded};

/// Prometheus' own time of an instant, and what it said then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub at_s: f64,
    pub value: f64,
}

/// How one Prometheus is asked.
pub struct Prometheus<'a> {
    pub remote: &'a Remote,
    pub base: &'a str,
    pub headers: &'a [(HeaderName, String)],
    pub timeout: Duration,
    pub max_age: Duration,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

impl Prometheus<'_> {
    /// The figure now, and of how many; both are as old as the older.
    pub async fn instant(&self, query: &str, of: Option<&str>) -> Result<Figure, Problem> {
        let (value, age) = self.fresh(query).await?;
        let Some(of) = of else { return Ok(Figure { value, of: None, age }) };
        let (of, other) = self.fresh(of).await?;
        Ok(Figure { value, of: Some(of), age: age.max(other) })
    }

    /// The value now, of a sample that is not too old, and how old it is. `timestamp()` tells that of plain selectors; of other
    /// expressions it is the time of asking, and only the lookback keeps old samples out.
    async fn fresh(&self, query: &str) -> Result<(f64, Option<Duration>), Problem> {
        let point = self.at_one(query).await?;
        let sample = match self.at_one(&format!("timestamp({query})")).await {
            Ok(sample) => sample,
            // Of a scalar there is no timestamp.
            Err(problem) if problem.lasting => return Ok((point.value, None)),
            Err(problem) => return Err(problem),
        };
        let age = Duration::try_from_secs_f64(sample.at_s - sample.value).unwrap_or_default();
        if age > self.max_age {
            let (age, most) = (told(age), told(self.max_age));
            return Err(Problem::passing(format!("its newest sample is {age} old, more than {most}")));
        }
        Ok((point.value, Some(age)))
    }

    async fn at_one(&self, query: &str) -> Result<Point, Problem> {
        let path = format!("/api/v1/query?query={}&{}", percent_encoded(query), self.lookback());
        let data = self.ask(&path).await?;
        let pair = match data.result_type.as_str() {
            "scalar" => data.result,
            "vector" => single(&data.result)?["value"].clone(),
            other => return Err(Problem::lasting(format!("its query gives a {other}, not one figure"))),
        };
        let point = point(&pair).ok_or_else(unread)?;
        if point.value.is_finite() {
            Ok(point)
        } else {
            Err(Problem::passing(format!("its value is {}", point.value)))
        }
    }

    /// All of a stretch of time, both ends in seconds since 1970, each figure at the time of its sample where that is known: what
    /// was only carried forward is none.
    pub async fn range(
        &self,
        query: &str,
        from_s: f64,
        to_s: f64,
        step_s: f64,
    ) -> Result<Vec<Point>, Problem> {
        let values = self.series(query, from_s, to_s, step_s).await?;
        let samples = match self.series(&format!("timestamp({query})"), from_s, to_s, step_s).await {
            Ok(samples) => samples,
            Err(problem) if problem.lasting => Vec::new(),
            Err(problem) => return Err(problem),
        };
        let mut points: Vec<Point> = values
            .into_iter()
            .filter(|point| point.value.is_finite())
            .map(|point| {
                let own = samples.iter().find(|sample| (sample.at_s - point.at_s).abs() < step_s / 2.0);
                Point { at_s: own.map_or(point.at_s, |sample| sample.value), ..point }
            })
            .collect();
        points.retain(|point| point.at_s >= from_s - 1e-3);
        points.dedup_by(|a, b| (a.at_s - b.at_s).abs() < 1e-3);
        Ok(points)
    }

    /// Samples older than this are not carried forward.
    fn lookback(&self) -> String {
        format!("lookback_delta={}s", self.max_age.as_secs().max(1))
    }

    async fn series(&self, query: &str, from_s: f64, to_s: f64, step_s: f64) -> Result<Vec<Point>, Problem> {
        let path = format!(
            "/api/v1/query_range?query={}&start={from_s:.3}&end={to_s:.3}&step={step_s:.3}&{}",
            percent_encoded(query),
            self.lookback()
        );
        let data = self.ask(&path).await?;
        if data.result_type != "matrix" {
            return Err(Problem::lasting(format!("its query gives a {}, not one series", data.result_type)));
        }
        let one = single(&data.result)?;
        let points = one["values"].as_array().ok_or_else(unread)?;
        points.iter().map(|pair| point(pair).ok_or_else(unread)).collect()
    }

    async fn ask(&self, path: &str) -> Result<Data, Problem> {
        let url = format!("{}{path}", self.base);
        let answer = self.remote.get(&url, self.headers, self.timeout).await?;
        let parsed: Option<Envelope> = serde_json::from_slice(&answer.body).ok();
        match parsed {
            Some(Envelope { status, data: Some(data), .. }) if status == "success" => Ok(data),
            Some(Envelope { error: Some(error), .. }) if (400..500).contains(&answer.status) => {
                Err(Problem::lasting(format!("it refuses the query: {error}")))
            }
            Some(Envelope { error: Some(error), .. }) => Err(Problem::passing(format!("it says: {error}"))),
            _ => Err(refused(&answer)),
        }
    }
}

fn told(length: Duration) -> String {
    format_ms(length.as_secs_f64() * 1e3)
}

fn unread() -> Problem {
    Problem::passing("it gives no answer of Prometheus")
}

fn single(result: &Value) -> Result<&Value, Problem> {
    match result.as_array().map(Vec::as_slice) {
        Some([one]) => Ok(one),
        Some([]) => Err(Problem::passing("its query finds no series")),
        Some(several) => Err(Problem::lasting(format!(
            "its query finds {} series; one figure is needed, such as max(…) or sum(…)",
            several.len()
        ))),
        None => Err(unread()),
    }
}

/// `[1700000000.123, "0.5"]`
fn point(pair: &Value) -> Option<Point> {
    let [at, value] = pair.as_array()?.as_slice() else { return None };
    Some(Point { at_s: at.as_f64()?, value: value.as_str()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_as_prometheus_writes_them() {
        assert_eq!(point(&json!([1.5, "0.25"])), Some(Point { at_s: 1.5, value: 0.25 }));
        assert!(point(&json!([1.5, "NaN"])).unwrap().value.is_nan());
        assert_eq!(point(&json!([1.5])), None);
        assert!(single(&json!([1, 2])).unwrap_err().lasting && !single(&json!([])).unwrap_err().lasting);
    }
}
