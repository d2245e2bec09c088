#![no_main]
//! A stream of events, however it is cut, has the same events.

use libfuzzer_sys::fuzz_target;
use loadgate::transport::EventParser;

fuzz_target!(|data: &[u8]| {
    let Some((pieces, stream)) = data.split_at_checked(2) else { return };
    let whole = EventParser::default().feed(stream);
    let (mut parser, mut events) = (EventParser::default(), Vec::new());
    let (first, others) = (usize::from(pieces[0]), usize::from(pieces[1] % 16) + 1);
    let (head, rest) = stream.split_at(first.min(stream.len()));
    for piece in std::iter::once(head).chain(rest.chunks(others)) {
        match parser.feed(piece) {
            Ok(found) => events.extend(found),
            Err(_) => return assert!(whole.is_err()),
        }
    }
    assert_eq!(whole.expect("it was understood in pieces"), events);
});
