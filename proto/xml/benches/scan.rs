//! What it costs to accept a stanza, against the tokenizer alone on the same bytes.
//!
//! The last line gives the ratio that the design bounds: the strict scan may cost at most 2.5
//! times what quick-xml takes to tokenize and to resolve namespaces.

#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longwire_xml::{Context, Framer, Limits, scan};
use quick_xml::NsReader;
use quick_xml::events::Event;

const MESSAGE: &str = r#"<message xmlns="jabber:client" from="romeo@montague.example/orchard-9f3a" to="juliet@capulet.example" id="3f1e5d3c-7a4b-4a55-9d7e-2f60a7b0c111" type="chat"><body>Shall I compare thee to a summer's day? Thou art more lovely and more temperate</body><active xmlns="http://jabber.org/protocol/chatstates"/><origin-id xmlns="urn:xmpp:sid:0" id="3f1e5d3c-7a4b-4a55"/><request xmlns="urn:xmpp:receipts"/></message>"#;

fn tokenize(text: &str) {
    let mut reader = NsReader::from_str(text);
    loop {
        match reader.read_resolved_event() {
            Ok((_, Event::Eof)) | Err(_) => break,
            Ok(event) => drop(black_box(event)),
        }
    }
}

fn benches(c: &mut Criterion) {
    let raw = Bytes::from_static(MESSAGE.as_bytes());
    let context = Context::client();
    let mut group = c.benchmark_group("message");
    group.throughput(Throughput::Bytes(raw.len() as u64));
    group.bench_function("quick_xml_resolved", |b| b.iter(|| tokenize(black_box(MESSAGE))));
    group.bench_function("strict_scan", |b| {
        b.iter(|| scan(black_box(raw.clone()), &context, &Limits::CLIENT));
    });
    group.bench_function("framer", |b| {
        b.iter(|| {
            let mut framer = Framer::elements(Limits::CLIENT);
            framer.push(black_box(raw.clone()));
            framer.next()
        });
    });
    let scanned = scan(raw.clone(), &context, &Limits::CLIENT);
    let mut out = BytesMut::with_capacity(1024);
    group.bench_function("write_with_from", |b| {
        b.iter(|| {
            out.clear();
            if let Ok(scanned) = &scanned {
                let from = Some("romeo@montague.example/orchard-9f3a");
                scanned.write_with(&mut out, black_box(&[("from", from)]));
            }
        });
    });
    group.finish();
    ratio(&raw, &context);
}

/// Measures both in turns, so that a busy machine disturbs both alike, and compares the best.
fn ratio(raw: &Bytes, context: &Context) {
    const ROUNDS: usize = 30;
    const TIMES: u32 = 10_000;
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
    let time = |run: &dyn Fn()| {
        let start = std::time::Instant::now();
        for _ in 0..TIMES {
            run();
        }
        start.elapsed() / TIMES
    };
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let tokenizer = time(&|| tokenize(black_box(MESSAGE)));
        let strict = time(&|| drop(black_box(scan(raw.clone(), context, &Limits::CLIENT))));
        best = [best[0].min(tokenizer), best[1].min(strict)];
    }
    let ratio = best[1].as_secs_f64() / best[0].as_secs_f64();
    println!("strict scan {:?}, quick-xml resolved {:?}: {ratio:.2} times", best[1], best[0]);
    println!("target 2.50 times: {}", if ratio <= 2.5 { "kept" } else { "MISSED" });
}

criterion_group!(scan_benches, benches);
criterion_main!(scan_benches);
