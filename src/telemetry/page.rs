//! The page that is scraped: one address, one answer, over plain HTTP/1.1.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};

/// Longer heads come from nobody who scrapes.
const MOST_HEAD: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes the address, so that a taken one is told before anything is sent.
///
/// # Errors
/// If it cannot be had.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener> {
    let fail = |e: std::io::Error| {
        Error::usage_hint(
            format!("--metrics-listen {address}: {e}"),
            "give an address of this machine that is free",
        )
    };
    let listener = std::net::TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// Serves what `text` holds until it is dropped.
pub async fn serve(listener: std::net::TcpListener, text: Arc<Mutex<String>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let text = text.clone();
            tokio::task::spawn_local(async move {
                let _ = tokio::time::timeout(PATIENCE, answer(stream, &text)).await;
            });
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn answer(mut stream: TcpStream, text: &Mutex<String>) -> std::io::Result<()> {
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MOST_HEAD {
        match stream.read(&mut chunk).await? {
            0 => return Ok(()),
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    let asked = String::from_utf8_lossy(&head);
    let path = asked.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let (status, body) = if path == "/metrics" {
        ("200 OK", text.lock().unwrap_or_else(PoisonError::into_inner).clone())
    } else {
        ("404 Not Found", "the figures are at /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
