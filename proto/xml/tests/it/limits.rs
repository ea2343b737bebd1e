//! Each limit accepts its value and refuses the next one: N-1 and N pass, N+1 does not.

use bytes::Bytes;
use longwire_xml::{Context, Frame, Framer, Limit, Limits, StreamHeader, XmlError, scan};

/// A document that needs exactly `n` of what one limit bounds, and the limits that allow `max`.
struct Bound {
    limit: Limit,
    document: fn(usize) -> String,
    set: fn(&mut Limits, usize),
    default: usize,
}

const BOUNDS: [Bound; 10] = [
    Bound {
        limit: Limit::StanzaBytes,
        document: |n| format!("<a>{}</a>", "x".repeat(n - "<a></a>".len())),
        set: |limits, max| limits.stanza_bytes = max,
        default: 262_144,
    },
    Bound {
        limit: Limit::Depth,
        document: |n| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n)),
        set: |limits, max| limits.depth = max,
        default: 64,
    },
    Bound {
        limit: Limit::Depth,
        document: |n| format!("{}<b/>{}", "<a>".repeat(n - 1), "</a>".repeat(n - 1)),
        set: |limits, max| limits.depth = max,
        default: 64,
    },
    Bound {
        limit: Limit::Attributes,
        document: |n| format!("<a{}/>", (0..n).map(|i| format!(" b{i}=''")).collect::<String>()),
        set: |limits, max| limits.attributes = max,
        default: 64,
    },
    Bound {
        limit: Limit::Namespaces,
        document: |n| {
            let outer: String = (0..n / 2).map(|i| format!(" xmlns:p{i}='u'")).collect();
            let inner: String = (n / 2..n).map(|i| format!(" xmlns:p{i}='u'")).collect();
            format!("<a{outer}><b xmlns:sibling='u'/><c{inner}/></a>")
        },
        set: |limits, max| limits.namespaces = max,
        default: 64,
    },
    Bound {
        limit: Limit::NameBytes,
        document: |n| format!("<{}/>", "a".repeat(n)),
        set: |limits, max| limits.name_bytes = max,
        default: 256,
    },
    Bound {
        limit: Limit::NameBytes,
        document: |n| format!("<a xml:{}='1'/>", "b".repeat(n - "xml:".len())),
        set: |limits, max| limits.name_bytes = max,
        default: 256,
    },
    Bound {
        limit: Limit::NameBytes,
        document: |n| format!("<a xmlns='{}&amp;'/>", "u".repeat(n - 1)),
        set: |limits, max| limits.name_bytes = max,
        default: 256,
    },
    Bound {
        limit: Limit::AttributeBytes,
        document: |n| format!("<a b='{}'/>", "x".repeat(n)),
        set: |limits, max| limits.attribute_bytes = max,
        default: 65_536,
    },
    Bound {
        limit: Limit::Elements,
        document: |n| format!("<a>{}</a>", "<b/>".repeat(n - 1)),
        set: |limits, max| limits.elements = max,
        default: 8_192,
    },
];

fn check(bound: &Bound, limits: &Limits, n: usize, accepted: bool) {
    let document = Bytes::from((bound.document)(n));
    let result = scan(document, &Context::client(), limits).map(|_| ());
    let expected = if accepted { Ok(()) } else { Err(XmlError::TooLarge(bound.limit)) };
    assert_eq!(result, expected, "{} with {n}", bound.limit);
}

#[test]
fn the_defaults_are_those_of_the_design() {
    for bound in &BOUNDS {
        for (n, accepted) in [(-1, true), (0, true), (1, false)] {
            check(bound, &Limits::CLIENT, bound.default.strict_add_signed(n), accepted);
        }
    }
    let bytes = [Limits::UNAUTHENTICATED, Limits::CLIENT, Limits::SERVER].map(|l| l.stanza_bytes);
    assert_eq!(bytes, [16_384, 262_144, 524_288]);
}

#[test]
fn any_other_value_is_kept_as_exactly() {
    for bound in &BOUNDS {
        for max in [10, 11, 33] {
            let mut limits = Limits::CLIENT;
            (bound.set)(&mut limits, max);
            for (n, accepted) in [(max - 1, true), (max, true), (max + 1, false)] {
                check(bound, &limits, n, accepted);
            }
        }
    }
}

#[test]
fn the_framer_refuses_the_byte_after_the_limit_and_no_other() {
    for max in [10, 16_384] {
        let limits = Limits { stanza_bytes: max, ..Limits::CLIENT };
        let element = (BOUNDS[0].document)(max);
        for n in [max - 1, max] {
            let mut framer = Framer::elements(limits);
            framer.push(Bytes::from((BOUNDS[0].document)(n)));
            assert!(matches!(framer.next(), Ok(Some(Frame::Element(_)))), "{n} of {max}");
        }
        let mut framer = Framer::elements(limits);
        framer.push(Bytes::from(format!("{}x", &element[..max - 1])));
        assert_eq!(framer.next(), Ok(None));
        framer.push(Bytes::from_static(b"x"));
        assert_eq!(framer.next(), Err(XmlError::TooLarge(Limit::StanzaBytes)));
    }
}

#[test]
fn the_framer_counts_depth_as_scan_does() {
    for bound in BOUNDS.iter().filter(|bound| bound.limit == Limit::Depth) {
        let limits = Limits { depth: 10, ..Limits::CLIENT };
        for n in [9, 10, 11] {
            let mut framer = Framer::elements(limits);
            framer.push(Bytes::from((bound.document)(n)));
            let accepted = framer.next().map(|frame| frame.is_some());
            let expected = if n <= 10 { Ok(true) } else { Err(XmlError::TooLarge(Limit::Depth)) };
            assert_eq!(accepted, expected, "{n}");
        }
    }
}

#[test]
fn the_stream_header_keeps_the_limits_too() {
    let header = |n: usize| format!("<?xml version='1.0'?><s a='{}'>", "x".repeat(n));
    let size = |n: usize| header(n).len();
    for n in [99, 100, 101] {
        let limits = Limits { stanza_bytes: size(100), ..Limits::CLIENT };
        let mut framer = Framer::stream(limits);
        framer.push(Bytes::from(header(n)));
        assert_eq!(framer.next().is_ok(), n <= 100, "{n}");
        let limits = Limits { attribute_bytes: 100, ..Limits::CLIENT };
        assert_eq!(StreamHeader::parse(&header(n).into(), &limits).is_ok(), n <= 100, "{n}");
    }
    for n in [63, 64, 65] {
        let declarations: String = (0..n).map(|i| format!(" xmlns:p{i}='u'")).collect();
        let limits = Limits { attributes: 100, ..Limits::CLIENT };
        let header = StreamHeader::parse(&format!("<s{declarations}>").into(), &limits);
        assert_eq!(header.is_ok(), n <= limits.namespaces, "{n}");
    }
    for n in [255, 256, 257] {
        let mut framer = Framer::stream(Limits::CLIENT);
        framer.push(Bytes::from(format!("<{}>", "s".repeat(n))));
        assert_eq!(framer.next().is_ok(), n <= 256, "{n}");
    }
}

#[test]
fn limits_can_be_raised_while_a_stream_runs() {
    let stanza = format!("<a>{}</a>", "x".repeat(20_000));
    let mut framer = Framer::stream(Limits::UNAUTHENTICATED);
    framer.push(Bytes::from(format!("<s>{stanza}")));
    assert!(matches!(framer.next(), Ok(Some(Frame::Header(_)))));
    framer.set_limits(Limits::CLIENT);
    assert_eq!(framer.next(), Ok(Some(Frame::Element(stanza.into()))));
}
