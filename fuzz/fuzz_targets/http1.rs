#![no_main]
//! A response over HTTP/1.1, however it is cut, is the same.

use http::Method;
use libfuzzer_sys::fuzz_target;
use loadgate::transport::{Decoder, Wants};

/// How much of it was the response's, whether the connection stays, and the response; `None`: there was none.
type Read = Option<(usize, bool, u16, String, Vec<u8>)>;

fn read(stream: &[u8], method: &Method, wants: Wants, first: usize, others: usize) -> Read {
    let (mut decoder, mut used) = (Decoder::new(method, wants), 0);
    let (head, rest) = stream.split_at(first.min(stream.len()));
    for piece in std::iter::once(head).chain(rest.chunks(others)) {
        let taken = decoder.feed(piece).ok()?;
        assert!(taken <= piece.len());
        assert!(taken == piece.len() || decoder.is_done(), "bytes are left, and it is not done");
        used += taken;
        if decoder.is_done() {
            break;
        }
    }
    let keeps_alive = decoder.keeps_alive();
    // In pieces what is wrong may be seen only at the end of its line: then it is no response either.
    decoder.end().ok()?;
    let (status, headers, body) = decoder.finish();
    let told = format!("{:?} {} {}", headers.map(), headers.sets_cookies(), headers.encodes());
    Some((used, keeps_alive, status, told, body.to_vec()))
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, stream)) = data.split_at_checked(3) else { return };
    let method = if mode[0] & 1 == 1 { Method::HEAD } else { Method::GET };
    let wants = Wants { headers: mode[0] & 2 == 0, body: mode[0] & 4 == 0 };
    let whole = read(stream, &method, wants, stream.len(), 1);
    let pieces = read(stream, &method, wants, usize::from(mode[1]), usize::from(mode[2] % 32) + 1);
    assert_eq!(whole, pieces);
});
