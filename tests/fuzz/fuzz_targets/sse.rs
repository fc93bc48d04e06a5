//! Streams of server-sent events from servers that nobody vouches for: however a stream is cut into pieces, its events are the
//! same, and none is larger than allowed.
//!
//! The first byte is the length of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolmesh_data_plane::execute::upstream::sse::{Event, Parser, TooLarge};

/// Bytes of one event.
const MOST: usize = 512;

fn read(stream: &[u8], pieces: usize) -> (Vec<Event>, Result<(), TooLarge>, Option<String>) {
    let (mut parser, mut events) = (Parser::new(MOST), Vec::new());
    let result = stream.chunks(pieces).try_for_each(|piece| parser.feed(piece, &mut events));
    (events, result, parser.last_id().map(str::to_owned))
}

fuzz_target!(|data: &[u8]| {
    let Some((pieces, stream)) = data.split_first() else { return };
    let whole = read(stream, stream.len().max(1));
    assert_eq!(read(stream, usize::from(*pieces).max(1)), whole);
    // A byte that is no text becomes a sign of three bytes.
    assert!(whole.0.iter().all(|event| event.kind.len().max(event.data.len()) <= 4 * MOST));
});
