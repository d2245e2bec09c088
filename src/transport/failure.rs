use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Instant;

use super::ExchangeError;
use crate::error_class::ErrorClass;

/// Tells a failure by its causes; `outer` is what is assumed where they say nothing.
pub fn classify(error: &(dyn StdError + 'static), outer: ErrorClass) -> ExchangeError {
    let mut class = outer;
    let mut local = false;
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            // EADDRNOTAVAIL, EMFILE, ENFILE: this side ran out.
            local |= matches!(io.raw_os_error(), Some(99 | 24 | 23));
            if is_tls(io) {
                class = ErrorClass::Tls;
            } else if matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput) {
                class = ErrorClass::Protocol;
            }
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            class = ErrorClass::Tls;
            if tls.to_string().contains("CaUsedAsEndEntity") {
                let message = "the certificate is an authority's (CA:TRUE), and none of a server: make it with CA:FALSE";
                return ExchangeError { class, message: message.to_owned(), done: Instant::now(), local };
            }
            if matches!(tls, rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) {
                let message = "what comes back is no TLS: does it speak plain HTTP there?".to_owned();
                return ExchangeError { class, message, done: Instant::now(), local };
            }
        }
        if let Some(h2) = current.downcast_ref::<h2::Error>() {
            // What this side finds fault with; bytes that are no HTTP/2 at all come to a frame of a wrong size.
            let broken = [
                h2::Reason::PROTOCOL_ERROR,
                h2::Reason::FRAME_SIZE_ERROR,
                h2::Reason::COMPRESSION_ERROR,
                h2::Reason::FLOW_CONTROL_ERROR,
            ];
            if h2.is_library() && h2.reason().is_some_and(|reason| broken.contains(&reason)) {
                class = ErrorClass::Protocol;
            }
            if h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR) {
                let message = "the target ended the connection (GOAWAY) before it answered".to_owned();
                return ExchangeError { class, message, done: Instant::now(), local };
            }
        }
        if let Some(hyper) = current.downcast_ref::<hyper::Error>()
            && (hyper.is_parse() || hyper.is_parse_status() || hyper.is_parse_too_large())
        {
            class = ErrorClass::Protocol;
        }
        cause = inner(current);
    }
    ExchangeError { class, message: chain(error), done: Instant::now(), local }
}

fn is_tls(error: &std::io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>())
        // tokio-rustls has no type for a peer that leaves during the handshake.
        || (error.kind() == ErrorKind::UnexpectedEof && error.to_string().contains("tls handshake"))
}

/// What an error wraps. An `io::Error` passes over what it wraps itself, and tells only the cause of that.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
}

/// The causes from the outermost in, each said once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(current) = cause {
        let text = current.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        cause = inner(current);
    }
    parts.join(": ")
}
