use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::metrics::{Environment, Histogram, LookRecord, RunRecord};
use crate::store::Plausible;
use crate::units::{Metric, Rules, format_ms};
use crate::verdict::{ReferenceRun, estimates};

/// The version that this build writes; it reads every earlier one. 2 added `rules`.
pub const BASELINE_FORMAT: u32 = 2;
pub const KEPT: [Metric; 3] = [Metric::P50, Metric::P95, Metric::P99];

/// One accepted run of one feature, as it is stored. What a reviewer reads stands on top.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BaselineDocument {
    pub format: u32,
    /// A line for each endpoint.
    pub summary: Vec<String>,
    pub feature: String,
    pub env: String,
    pub recorded: String,
    pub run_id: String,
    pub instance: String,
    pub build: Option<String>,
    pub host: Environment,
    pub accepted_by: String,
    /// UTC, RFC 3339; the same for all that were accepted together.
    #[serde(default)]
    pub accepted_at: Option<String>,
    pub reason: String,
    pub loadgate_version: String,
    pub endpoints: BTreeMap<String, EndpointBaseline>,
    /// SHA-256 of everything else.
    #[serde(default)]
    pub checksum: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndpointBaseline {
    pub digest: String,
    pub requests: u64,
    pub errors: u64,
    /// ln of p50, p95, p99 in milliseconds.
    pub ln_quantiles: BTreeMap<String, f64>,
    /// Variance of each within the run.
    pub w2: BTreeMap<String, f64>,
    /// The rules that it was accepted under, for what is shown of it.
    #[serde(default)]
    pub rules: Option<Rules>,
    pub response: Histogram,
}

impl EndpointBaseline {
    #[must_use]
    pub fn as_reference(&self, document: &BaselineDocument) -> ReferenceRun {
        ReferenceRun {
            run_id: document.run_id.clone(),
            instance_id: document.instance.clone(),
            build_id: document.build.clone(),
            accepted_at: document.accepted_at.clone(),
            recorded: document.recorded.clone(),
            host: document.host.host_class(),
            requests: self.requests,
            errors: self.errors,
            w2: self.w2.iter().filter_map(|(name, w2)| Some((quantile_key(name)?, *w2))).collect(),
            response: self.response.clone(),
        }
    }
}

/// `p95` as 9500.
pub fn quantile_key(name: &str) -> Option<u16> {
    match name.parse() {
        Ok(Metric::Quantile(key)) => Some(key),
        _ => None,
    }
}

/// The documents of one look, a feature each.
#[must_use]
pub fn documents_of(
    record: &RunRecord,
    look: &LookRecord,
    accepted_by: &str,
    reason: &str,
) -> Vec<BaselineDocument> {
    let mut at = 0;
    let mut documents = Vec::new();
    for scenario in &record.scenarios {
        let mut endpoints = BTreeMap::new();
        let mut summary = Vec::new();
        for plan in &scenario.endpoints {
            let index = at;
            at += 1;
            let Some(measured) = look.endpoints.get(index).filter(|_| !plan.shown_only) else { continue };
            let kept = KEPT.into_iter().zip(estimates(look, index, &KEPT));
            let estimates: Vec<_> = kept.filter_map(|(m, found)| Some((m.to_string(), found?))).collect();
            let levels: Vec<String> =
                estimates.iter().map(|(name, e)| format!("{name} {}", format_ms(e.y.exp()))).collect();
            let (requests, errors) = (measured.requests, measured.error_count());
            summary.push(format!(
                "{}: {}, {errors} errors in {requests} requests",
                plan.endpoint,
                levels.join(", ")
            ));
            endpoints.insert(
                plan.endpoint.clone(),
                EndpointBaseline {
                    digest: plan.digest.clone(),
                    requests,
                    errors,
                    ln_quantiles: estimates.iter().map(|(name, e)| (name.clone(), e.y)).collect(),
                    w2: estimates.iter().map(|(name, e)| (name.clone(), e.w2)).collect(),
                    rules: Some(plan.rules.clone()),
                    response: measured.response.clone(),
                },
            );
        }
        if endpoints.is_empty() {
            continue;
        }
        documents.push(BaselineDocument {
            format: BASELINE_FORMAT,
            summary,
            feature: scenario.feature.clone(),
            env: record.env.clone(),
            recorded: look.started.clone(),
            run_id: record.id.clone(),
            instance: look.instance_id.clone(),
            build: look.build_id.clone(),
            host: record.environment.clone(),
            accepted_by: accepted_by.to_owned(),
            accepted_at: None,
            reason: reason.to_owned(),
            loadgate_version: record.loadgate_version.clone(),
            endpoints,
            checksum: String::new(),
        });
    }
    documents
}

impl BaselineDocument {
    /// Whether it was part of the set at a moment; one that does not say when it was accepted was so when it was recorded.
    #[must_use]
    pub fn accepted_by(&self, moment: Timestamp) -> bool {
        let accepted = self.accepted_at.as_ref().unwrap_or(&self.recorded);
        accepted.parse::<Timestamp>().map_or(true, |at| at <= moment)
    }

    /// The file's bytes, checksum included.
    ///
    /// # Errors
    /// If it cannot be put into JSON.
    pub fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        checked_bytes(path, self)
    }

    /// # Errors
    /// If the bytes are no baseline, of a later format, or changed since they were written.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let hint = "restore it from version control, or remove it to do without this run";
        from_checked_bytes(path, bytes, BASELINE_FORMAT, hint)
    }
}

/// JSON with a checksum over everything else in it.
pub fn checked_bytes(path: &Path, document: &impl Serialize) -> Result<Vec<u8>> {
    let fail = |e: serde_json::Error| Error::output(path, "write baseline", e);
    let mut own = serde_json::to_value(document).map_err(fail)?;
    own["checksum"] = Value::String(String::new());
    let sum = checksum(&own);
    // The document itself is written, not the value, whose keys are in another order than a reader wants.
    let mut text = serde_json::to_string_pretty(document).map_err(fail)?;
    let empty = "\"checksum\": \"\"";
    let at = text.rfind(empty).ok_or_else(|| Error::output(path, "write baseline", "it has no checksum"))?;
    text.replace_range(at..at + empty.len(), &format!("\"checksum\": \"{sum}\""));
    text.push('\n');
    Ok(text.into_bytes())
}

/// Reads what [`checked_bytes`] wrote, up to format `latest`.
pub fn from_checked_bytes<T: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    latest: u32,
    hint: &str,
) -> Result<T> {
    let fail = |reason: String| Error::input(path, "use baseline", reason).with_hint(hint);
    let mut value: Value = serde_json::from_slice(bytes).map_err(|e| fail(e.to_string()))?;
    let format = value["format"].as_u64().unwrap_or(0);
    if format == 0 || format > u64::from(latest) {
        return Err(fail(format!(
            "format {} is not known; this loadgate reads up to {latest}",
            value["format"]
        )));
    }
    let written = value["checksum"].as_str().unwrap_or_default().to_owned();
    value["checksum"] = Value::String(String::new());
    if checksum(&value) != written {
        return Err(fail("its checksum does not match: it was changed after it was written".into()));
    }
    serde_json::from_value(value).map(|Plausible(document)| document).map_err(|e| fail(e.to_string()))
}

/// Object keys are in sorted order in a `Value`, so the text is canonical.
fn checksum(value: &Value) -> String {
    sha256_hex(value.to_string().as_bytes())
}
