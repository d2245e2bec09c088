use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::export::Table;
use super::faults::{Broken, Fault};
use super::live;
use super::server::Demo;

const MAINTENANCE: &str = "predictive-maintenance";
const CHURN: &str = "churn-prediction";
const MARKET: &str = "market-intelligence";
const REPORTING: &str = "ai-reporting";
const RISK: &str = "risk-dashboard";

const REPORT_TAKES: Duration = Duration::from_millis(800);
const NEVER: Duration = Duration::from_secs(86_400);

type Shared = State<Arc<Demo>>;

pub fn router(demo: Arc<Demo>) -> Router {
    Router::new()
        .route("/healthz", get(|State(demo): Shared| async move { demo.identify(Json(json!({"status": "ok"})).into_response()) }))
        .route("/metrics", get(|State(demo): Shared| async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], demo.metrics()) }))
        .route("/stats", get(|State(demo): Shared| async move { demo.identify(Json(demo.stats()).into_response()) }))
        .route("/faults", put(set_faults))
        .route("/api/v1/maintenance/alerts", get(list_alerts).post(create_alert))
        .route("/api/v1/maintenance/workflow/{alert}", get(workflow))
        .route("/api/v1/churn/score", post(score))
        .route("/api/v1/churn/tenants/{tenant}", get(tenant))
        .route("/api/v1/market/insights/{region}", get(insights))
        .route("/api/v1/market/comparables/{region}", get(comparables))
        .route("/api/v1/reports", post(submit_report))
        .route("/api/v1/reports/{report}", get(report))
        .route("/api/v1/reports/{report}/export", get(export))
        .route("/api/v1/reports/summaries/{property}", get(summary))
        .route("/dashboard", get(dashboard))
        .route("/api/v1/risk/portfolios/{portfolio}", get(portfolio))
        .route("/api/v1/risk/events", get(live::events))
        .route("/api/v1/risk/live", get(live::socket))
        .layer(axum::middleware::from_fn(cohort))
        .with_state(demo)
}

/// A flag in the request decides for which cohort of users the answer is, which the answer tells.
async fn cohort(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let flag = request.headers().get("x-flag").cloned();
    let mut response = next.run(request).await;
    if let Some(flag) = flag {
        response.headers_mut().insert("x-cohort", flag);
    }
    response
}

async fn set_faults(State(demo): Shared, body: String) -> Response {
    if !demo.allow_faults {
        return problem(
            StatusCode::FORBIDDEN,
            "start the demo with --allow-faults to change faults at run time",
        );
    }
    let parsed = serde_json::from_str::<Vec<String>>(&body)
        .map_err(|e| format!("expected a JSON array of fault texts: {e}"))
        .and_then(|specs| specs.iter().map(|spec| spec.parse()).collect::<Result<Vec<Fault>, _>>());
    match parsed {
        Ok(faults) => {
            demo.set_faults(faults);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(message) => problem(StatusCode::BAD_REQUEST, &message),
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}

/// A figure in [0, 1) that is the same for the same key, on every instance.
fn stable(key: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % 10_000) as f64 / 10_000.0
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Demo {
    fn score(&self, feature: &'static str, score: f64) -> f64 {
        rounded(if self.has(&Fault::WrongScore { feature }) { 1.2 + score } else { score })
    }

    fn timestamp(&self, feature: &'static str) -> String {
        let age =
            if self.has(&Fault::Stale { feature }) { Duration::from_secs(48 * 3600) } else { Duration::ZERO };
        (jiff::Timestamp::now() - age).to_string()
    }

    fn json(&self, feature: &'static str, mut body: Value) -> Response {
        if self.has(&Fault::LeakPersonalData { feature })
            && let Some(object) = body.as_object_mut()
        {
            let contact = json!({"email": "jane.doe@example.com", "phone": "+1 415 555 0132", "ssn": "536-90-4399", "iban": "AT61 1904 3002 3457 3201"});
            object.insert("contact".into(), contact);
        }
        Json(body).into_response()
    }
}

async fn list_alerts(State(demo): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    let property = query.get("property").cloned().unwrap_or_default();
    demo.answer(MAINTENANCE, 110.0, || {
        let count = if demo.is(Broken::Alerts) { 0 } else { 3 };
        let alerts: Vec<Value> = (0..count)
            .map(|i| {
                let confidence = demo.score(MAINTENANCE, stable((&property, i)));
                json!({"id": format!("{property}-{i}"), "asset": format!("hvac-{i}"), "confidence": confidence})
            })
            .collect();
        demo.json(MAINTENANCE, json!({"property": property, "alerts": alerts, "generated_at": demo.timestamp(MAINTENANCE)}))
    })
    .await
}

async fn create_alert(State(demo): Shared, Json(body): Json<Value>) -> Response {
    demo.answer(MAINTENANCE, 130.0, || {
        let id = demo.fresh_id("alert");
        demo.alerts.lock().expect("no panics under this lock").insert(id.clone(), ());
        let confidence = demo.score(MAINTENANCE, stable(body.to_string()));
        let status = if demo.is(Broken::Alerts) { "suppressed" } else { "open" };
        let alert = json!({"id": id, "confidence": confidence, "status": status, "created_at": demo.timestamp(MAINTENANCE)});
        (StatusCode::CREATED, demo.json(MAINTENANCE, alert)).into_response()
    })
    .await
}

async fn workflow(State(demo): Shared, Path(alert): Path<String>) -> Response {
    demo.answer(MAINTENANCE, 90.0, || {
        if demo.alerts.lock().expect("no panics under this lock").get(&alert).is_none()
            || demo.is(Broken::Workflow)
        {
            return problem(StatusCode::NOT_FOUND, "no such alert");
        }
        demo.json(
            MAINTENANCE,
            json!({"alert_id": alert, "status": "received", "work_order": format!("wo-{alert}")}),
        )
    })
    .await
}

async fn score(State(demo): Shared, Json(body): Json<Value>) -> Response {
    demo.answer(CHURN, 150.0, || {
        let tenant = body["tenant_id"].to_string();
        let explanations = if demo.is(Broken::Explanations) {
            json!([])
        } else {
            json!([
                {"factor": "late payments", "weight": rounded(stable((&tenant, 1)))},
                {"factor": "lease end", "weight": rounded(stable((&tenant, 2)))},
            ])
        };
        let score = if demo.is(Broken::Consistency) { rounded(demo.chance()) } else { stable(&tenant) };
        demo.json(
            CHURN,
            json!({
                "tenant_id": body["tenant_id"],
                "risk_score": demo.score(CHURN, score),
                "explanations": explanations,
                "model": "churn-7",
                "generated_at": demo.timestamp(CHURN),
            }),
        )
    })
    .await
}

async fn tenant(State(demo): Shared, Path(tenant): Path<String>) -> Response {
    demo.answer(CHURN, 120.0, || {
        let trend: Vec<f64> = (0..4).map(|i| demo.score(CHURN, stable((&tenant, "trend", i)))).collect();
        demo.json(CHURN, json!({"tenant_id": tenant, "trend": trend, "generated_at": demo.timestamp(CHURN)}))
    })
    .await
}

async fn insights(State(demo): Shared, Path(region): Path<String>, headers: HeaderMap) -> Response {
    let fresh = demo.warm_regions.lock().expect("no panics under this lock").insert(region.clone());
    let cold = fresh || demo.is(Broken::Cache);
    // What a test environment allows: to see this service without its feed, and nobody else.
    let simulated = headers.get("x-simulate").is_some_and(|value| value == "feed-down");
    demo.answer(MARKET, if cold { 320.0 } else { 160.0 }, || {
        let feed_down = simulated || demo.has(&Fault::FeedDown);
        if feed_down && demo.is(Broken::Degradation) {
            return problem(StatusCode::BAD_GATEWAY, "market feed unreachable");
        }
        let as_of = if feed_down {
            (jiff::Timestamp::now() - Duration::from_secs(3600)).to_string()
        } else {
            demo.timestamp(MARKET)
        };
        let body = json!({
            "region": region,
            "as_of": as_of,
            "stale": feed_down,
            "rent_index": rounded(90.0 + 20.0 * demo.score(MARKET, stable(&region))),
            "confidence": demo.score(MARKET, stable((&region, "confidence"))),
        });
        ([("x-cache", if cold { "MISS" } else { "HIT" })], demo.json(MARKET, body)).into_response()
    })
    .await
}

async fn comparables(State(demo): Shared, Path(region): Path<String>) -> Response {
    demo.answer(MARKET, 190.0, || {
        let comparables: Vec<Value> = (0..5)
            .map(|i| json!({"id": format!("{region}-{i}"), "rent": rounded(1000.0 + 1500.0 * stable((&region, i)))}))
            .collect();
        demo.json(MARKET, json!({"region": region, "comparables": comparables, "as_of": demo.timestamp(MARKET)}))
    })
    .await
}

async fn submit_report(State(demo): Shared, Json(_): Json<Value>) -> Response {
    demo.answer(REPORTING, 200.0, || {
        let id = demo.fresh_id("report");
        demo.reports
            .lock()
            .expect("no panics under this lock")
            .insert(id.clone(), Instant::now() + if demo.is(Broken::Reports) { NEVER } else { REPORT_TAKES });
        let location = format!("/api/v1/reports/{id}");
        (
            StatusCode::ACCEPTED,
            [(header::LOCATION, location)],
            demo.json(REPORTING, json!({"id": id, "status": "queued"})),
        )
            .into_response()
    })
    .await
}

fn report_table(demo: &Demo, report: &str) -> Table {
    let figure = |name: &str, scale: f64| (name.to_owned(), rounded(scale * stable((report, name))));
    let rows = vec![figure("occupancy", 1.0), figure("net income", 1e6), figure("maintenance cost", 1e5)];
    Table { title: format!("Property report {report} ({})", demo.build), rows }
}

async fn report(State(demo): Shared, Path(report): Path<String>) -> Response {
    demo.answer(REPORTING, 80.0, || {
        let Some(ready_at) = demo.reports.lock().expect("no panics under this lock").get(&report) else {
            return problem(StatusCode::NOT_FOUND, "no such report");
        };
        if Instant::now() < ready_at {
            return demo.json(REPORTING, json!({"id": report, "status": "running"}));
        }
        let table = report_table(&demo, &report);
        let summary = if demo.is(Broken::Summary) {
            String::new()
        } else {
            format!("{}: occupancy {}, net income {}.", table.title, table.rows[0].1, table.rows[1].1)
        };
        let quality = demo.score(REPORTING, stable((&report, "quality")));
        demo.json(
            REPORTING,
            json!({"id": report, "status": "done", "summary": summary, "quality": quality, "generated_at": demo.timestamp(REPORTING)}),
        )
    })
    .await
}

async fn export(
    State(demo): Shared,
    Path(report): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let format = query.get("format").cloned().unwrap_or_default();
    demo.answer(REPORTING, 220.0, || {
        let table = report_table(&demo, &report);
        let (media, bytes) = match format.as_str() {
            "pdf" => ("application/pdf", table.pdf()),
            "csv" => ("text/csv; charset=utf-8", table.csv()),
            "xlsx" => ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", table.xlsx()),
            _ => return problem(StatusCode::BAD_REQUEST, "format must be pdf, csv or xlsx"),
        };
        let page = "<html><body><h1>Export failed</h1>".repeat(40);
        let bytes = if demo.is(Broken::Exports) { page.into_bytes() } else { bytes };
        ([(header::CONTENT_TYPE, media)], bytes).into_response()
    })
    .await
}

async fn summary(State(demo): Shared, Path(property): Path<String>) -> Response {
    demo.answer(REPORTING, 240.0, || {
        let quality = demo.score(REPORTING, stable((&property, "quality")));
        let text = format!("Property {property} performed in line with its plan this month.");
        demo.json(
            REPORTING,
            json!({"property": property, "summary": text, "quality": quality, "generated_at": demo.timestamp(REPORTING)}),
        )
    })
    .await
}

async fn dashboard(State(demo): Shared) -> Response {
    demo.answer(RISK, 100.0, || {
        if demo.is(Broken::Page) {
            return Html("<!doctype html><html lang=\"en\"><title>Risk dashboard</title><div id=\"root\"></div></html>").into_response();
        }
        Html(
            "<!doctype html><html lang=\"en\"><title>Risk dashboard</title><h1>Portfolio risk</h1>\
             <p id=\"score\">…</p><script>new EventSource('/api/v1/risk/events').addEventListener('risk', \
             e => document.getElementById('score').textContent = JSON.parse(e.data).risk_score)</script></html>",
        )
        .into_response()
    })
    .await
}

async fn portfolio(State(demo): Shared, Path(portfolio): Path<String>) -> Response {
    demo.answer(RISK, 140.0, || {
        let parts: Vec<(&str, i64)> = ["market", "credit", "maintenance"]
            .map(|name| (name, (1e6 * stable((&portfolio, name))) as i64))
            .to_vec();
        let total: i64 = parts.iter().map(|(_, value)| value).sum::<i64>() + i64::from(demo.is(Broken::Sums));
        let components: Vec<Value> =
            parts.iter().map(|(name, value)| json!({"name": name, "exposure": value})).collect();
        demo.json(
            RISK,
            json!({
                "portfolio": portfolio,
                "risk_score": demo.score(RISK, stable(&portfolio)),
                "components": components,
                "total_exposure": total,
                "generated_at": demo.timestamp(RISK),
            }),
        )
    })
    .await
}
