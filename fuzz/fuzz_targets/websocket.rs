#![no_main]
//! What a target sends after the handshake of a WebSocket, in pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use loadgate::transport::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives its bytes in pieces, and takes everything.
struct Target {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncRead for Target {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = (self.at + self.piece.min(into.remaining())).min(self.bytes.len());
        into.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Target {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn messages(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let target = Target { bytes: bytes.to_vec(), at: 0, piece };
    let all = async {
        let (mut socket, mut found) = (Socket::over(target).await, Vec::new());
        let _ = socket.send("hello".into()).await;
        let whole = loop {
            match socket.next().await {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => break true,
                Err(error) => {
                    assert!(!error.message.is_empty());
                    break false;
                }
            }
        };
        socket.close().await;
        (found, whole)
    };
    all.now_or_never().expect("a stream that never waits makes nobody wait")
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, bytes)) = data.split_first() else { return };
    assert_eq!(messages(bytes, usize::from(*piece) + 1), messages(bytes, usize::MAX >> 1));
});
