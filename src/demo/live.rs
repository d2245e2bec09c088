use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::faults::Broken;
use super::server::Demo;

const BEAT: Duration = Duration::from_millis(500);

fn update(sequence: u64) -> serde_json::Value {
    let phase = (sequence % 20) as f64 / 20.0;
    json!({"sequence": sequence, "portfolio": "p-1", "risk_score": 0.3 + 0.1 * phase, "at": jiff::Timestamp::now().to_string()})
}

/// Risk updates as server-sent events, the first at once.
pub async fn events(State(demo): State<Arc<Demo>>) -> Response {
    let silent = demo.is(Broken::Events);
    let stream = futures_util::stream::unfold(0u64, move |sequence| async move {
        if silent {
            std::future::pending::<()>().await;
        }
        if sequence > 0 {
            tokio::time::sleep(BEAT).await;
        }
        let event =
            Event::default().event("risk").id(sequence.to_string()).data(update(sequence).to_string());
        Some((Ok::<_, std::convert::Infallible>(event), sequence + 1))
    });
    demo.identify(Sse::new(stream).into_response())
}

/// Risk updates over a WebSocket; whatever text the client sends is acknowledged.
pub async fn socket(State(demo): State<Arc<Demo>>, upgrade: WebSocketUpgrade) -> Response {
    let silent = demo.is(Broken::Events);
    let response = upgrade.on_upgrade(move |mut socket| async move {
        let mut beat = tokio::time::interval(BEAT);
        let mut sequence = 0;
        loop {
            let text = tokio::select! {
                _ = beat.tick(), if !silent => {
                    sequence += 1;
                    update(sequence - 1).to_string()
                }
                received = socket.recv() => match received {
                    Some(Ok(Message::Text(text))) => json!({"ack": text.as_str()}).to_string(),
                    Some(Ok(_)) => continue,
                    _ => return,
                },
            };
            if socket.send(Message::Text(Utf8Bytes::from(text))).await.is_err() {
                return;
            }
        }
    });
    demo.identify(response)
}
