//! The cut of a stream into chunks changes neither its frames nor its error.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use longwire_xml::{Frame, Framer, Limits, StreamHeader, XmlError};

fn run(mut framer: Framer, chunks: impl Iterator<Item = Bytes>) -> (Vec<Frame>, Option<XmlError>) {
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

// The first byte chooses the kind of stream, the limit and the size of the chunks.
fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let make = if choice & 1 == 0 { Framer::stream } else { Framer::elements };
    let stanza_bytes = if choice & 2 == 0 { usize::MAX } else { 64 };
    let limits = Limits { stanza_bytes, ..Limits::CLIENT };
    let bytes = Bytes::copy_from_slice(bytes);
    let whole = run(make(limits), std::iter::once(bytes.clone()));
    let size = usize::from(choice >> 2) % 16 + 1;
    let chunks = bytes.chunks(size).map(Bytes::copy_from_slice);
    assert_eq!(run(make(limits), chunks), whole);
    if let Some(Frame::Header(header)) = whole.0.first() {
        let _ = StreamHeader::parse(header, &limits);
    }
});
