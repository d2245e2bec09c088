use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::metrics::{Environment, Histogram, LookRecord, RunRecord};
use crate::units::{Metric, format_ms};
use crate::verdict::{ReferenceRun, estimate};

pub const BASELINE_FORMAT: u32 = 1;
const KEPT: [Metric; 3] = [Metric::P50, Metric::P95, Metric::P99];

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
    pub response: Histogram,
}

impl EndpointBaseline {
    #[must_use]
    pub fn as_reference(&self, document: &BaselineDocument) -> ReferenceRun {
        let key = |name: &String| match name.parse() {
            Ok(Metric::Quantile(key)) => Some(key),
            _ => None,
        };
        ReferenceRun {
            instance_id: document.instance.clone(),
            build_id: document.build.clone(),
            requests: self.requests,
            errors: self.errors,
            w2: self.w2.iter().filter_map(|(name, w2)| Some((key(name)?, *w2))).collect(),
            response: self.response.clone(),
        }
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
            let Some(measured) = look.endpoints.get(index) else { continue };
            let estimates: Vec<_> =
                KEPT.into_iter().filter_map(|m| Some((m.to_string(), estimate(look, index, m)?))).collect();
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
            reason: reason.to_owned(),
            loadgate_version: record.loadgate_version.clone(),
            endpoints,
            checksum: String::new(),
        });
    }
    documents
}

impl BaselineDocument {
    /// The file's bytes, checksum included.
    ///
    /// # Errors
    /// If it cannot be put into JSON.
    pub fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let fail = |e: serde_json::Error| Error::output(path, "write baseline", e);
        let mut own = self.clone();
        own.checksum = String::new();
        own.checksum = checksum(&serde_json::to_value(&own).map_err(fail)?);
        let mut text = serde_json::to_string_pretty(&own).map_err(fail)?;
        text.push('\n');
        Ok(text.into_bytes())
    }

    /// # Errors
    /// If the bytes are no baseline, of a later format, or changed since they were written.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let hint = "restore it from version control, or remove it to do without this run";
        let fail = |reason: String| Error::input(path, "use baseline", reason).with_hint(hint);
        let mut value: Value = serde_json::from_slice(bytes).map_err(|e| fail(e.to_string()))?;
        let format = value["format"].as_u64().unwrap_or(0);
        if format == 0 || format > u64::from(BASELINE_FORMAT) {
            return Err(fail(format!(
                "format {} is not known; this loadgate reads up to {BASELINE_FORMAT}",
                value["format"]
            )));
        }
        let written = value["checksum"].as_str().unwrap_or_default().to_owned();
        value["checksum"] = Value::String(String::new());
        if checksum(&value) != written {
            return Err(fail("its checksum does not match: it was changed after it was written".into()));
        }
        serde_json::from_value(value).map_err(|e| fail(e.to_string()))
    }
}

/// Object keys are in sorted order in a `Value`, so the text is canonical.
fn checksum(value: &Value) -> String {
    sha256_hex(value.to_string().as_bytes())
}
