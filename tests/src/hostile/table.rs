//! The hostile inputs as data: which bytes, where they may be said, which stream error answers.

use super::inputs;
use super::raw::header;

/// The ways into a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// TCP on a loopback listener that allows plain text.
    Tcp,
    /// TCP with TLS from the first byte.
    Tls,
    /// The Primary stream of a QUIC connection.
    QuicPrimary,
    /// An Ancillary stream of a QUIC connection; errors are answered on its Primary.
    QuicAncillary,
}

impl Entrance {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::QuicPrimary, Self::QuicAncillary];

    /// Those that carry stream headers and stream-level elements.
    pub const STREAMS: [Self; 3] = [Self::Tcp, Self::Tls, Self::QuicPrimary];
}

/// How far the peer is when it misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The features have come; nothing is authenticated.
    Opened,
    /// A resource is bound.
    Bound,
}

/// One input and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Hostile {
    /// What it is, as a sentence fragment; unique in its table.
    pub name: &'static str,
    /// The bytes; for tables of stanzas, what is sent after the stream is open.
    pub bytes: fn() -> Vec<u8>,
    /// The stream error conditions that are right; any one of them.
    pub expect: &'static [&'static str],
    /// At which stages it applies.
    pub stages: &'static [Stage],
    /// Through which entrances.
    pub entrances: &'static [Entrance],
    /// Where the answer is specified.
    pub rule: &'static str,
}

const BOTH: &[Stage] = &[Stage::Opened, Stage::Bound];
const BOUND: &[Stage] = &[Stage::Bound];
const OPENED: &[Stage] = &[Stage::Opened];
const RESTRICTED: &[&str] = &["restricted-xml"];
const MALFORMED: &[&str] = &["not-well-formed"];
const ENCODING: &[&str] = &["unsupported-encoding"];
const POLICY: &[&str] = &["policy-violation"];
const RULE_RESTRICTED: &str = "RFC 6120 §11.1, §4.9.3.18";
const RULE_MALFORMED: &str = "RFC 6120 §11.3, §4.9.3.13";
const RULE_ENCODING: &str = "RFC 6120 §11.6, §4.9.3.22";
const RULE_POLICY: &str = "RFC 6120 §13.12, §4.9.3.14";

/// An input for every entrance and both stages.
macro_rules! xml {
    ($name:literal, $bytes:expr, $expect:expr, $rule:expr) => {
        Hostile {
            name: $name,
            bytes: || Vec::from($bytes),
            expect: $expect,
            stages: BOTH,
            entrances: &Entrance::ALL,
            rule: $rule,
        }
    };
}

macro_rules! restricted {
    ($name:literal, $bytes:expr) => {
        xml!($name, $bytes, RESTRICTED, RULE_RESTRICTED)
    };
}

macro_rules! malformed {
    ($name:literal, $bytes:expr) => {
        xml!($name, $bytes, MALFORMED, RULE_MALFORMED)
    };
}

/// Inputs that are wrong wherever a stanza may stand.
pub const XML: &[Hostile] = &[
    restricted!("a comment in a stanza", "<message><!-- no --></message>"),
    restricted!("a comment between stanzas", "<!-- no --><message/>"),
    restricted!("an empty comment in text", "<message><body>a<!---->b</body></message>"),
    restricted!("a processing instruction in a stanza", "<message><?php no ?></message>"),
    restricted!("a processing instruction between stanzas", "<?no-no x?><message/>"),
    restricted!("a document type between stanzas", "<!DOCTYPE message><message/>"),
    restricted!(
        "an internal subset that defines an entity",
        "<!DOCTYPE m [<!ENTITY a 'aaaa'>]><message><body>&a;</body></message>"
    ),
    restricted!(
        "an external entity",
        "<!DOCTYPE m [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><message><body>&x;</body></message>"
    ),
    restricted!(
        "exponential entities",
        "<!DOCTYPE m [<!ENTITY a '&b;&b;&b;&b;'><!ENTITY b '&c;&c;&c;&c;'><!ENTITY c 'x'>]>\
         <message><body>&a;</body></message>"
    ),
    restricted!(
        "a parameter entity",
        "<!DOCTYPE m [<!ENTITY % p SYSTEM 'http://127.0.0.1/p'> %p;]><message/>"
    ),
    restricted!("an entity from HTML", "<message><body>a&nbsp;b</body></message>"),
    restricted!("an entity that nobody declared", "<message><body>&lol;</body></message>"),
    restricted!("an entity in an attribute", "<message id='&lol;'/>"),
    restricted!("an entity in upper case", "<message><body>&LT;</body></message>"),
    xml!(
        "an XML declaration between stanzas",
        "<?xml version='1.0'?><message/>",
        &["restricted-xml", "not-well-formed"],
        RULE_RESTRICTED
    ),
    malformed!("a wrong end tag", "<message><body></message>"),
    malformed!("a wrong end tag with the right one behind it", "<message><body></message></body>"),
    malformed!("crossed tags", "<message><a><b></a></b></message>"),
    malformed!("an end tag in another case", "<message></Message>"),
    malformed!("an end tag with an attribute", "<message></message a='1'>"),
    malformed!("an end tag that nothing opened", "</message>"),
    malformed!("an attribute without quotes", "<message id=1/>"),
    malformed!("an attribute without a value", "<message id/>"),
    malformed!("attributes without a space between", "<message a='1'b='2'/>"),
    malformed!("the same attribute twice", "<message id='1' id='2'/>"),
    malformed!(
        "the same attribute under two prefixes",
        "<message xmlns:p='urn:x' xmlns:q='urn:x' p:a='1' q:a='2'/>"
    ),
    malformed!("the same namespace declaration twice", "<message xmlns:p='u' xmlns:p='v'/>"),
    malformed!("a less-than sign in an attribute", "<message id='a<b'/>"),
    malformed!("an ampersand alone", "<message><body>a & b</body></message>"),
    malformed!("a reference without an end", "<message><body>&amp b</body></message>"),
    malformed!("the end of a CDATA section alone", "<message><body>a ]]> b</body></message>"),
    malformed!("a reference to NUL", "<message><body>&#0;</body></message>"),
    malformed!("a reference to a control character", "<message><body>&#x1F;</body></message>"),
    malformed!("a reference to a surrogate", "<message><body>&#xD800;</body></message>"),
    malformed!("a reference to a noncharacter", "<message><body>&#xFFFE;</body></message>"),
    malformed!("a reference beyond Unicode", "<message><body>&#x110000;</body></message>"),
    malformed!("a reference that overflows", "<message><body>&#99999999999999;</body></message>"),
    malformed!("a reference without digits", "<message><body>&#;</body></message>"),
    malformed!("a reference with an upper-case X", "<message><body>&#X41;</body></message>"),
    malformed!("a NUL byte in text", b"<message><body>\0</body></message>"),
    malformed!("a NUL byte in a tag", b"<mess\0age/>"),
    malformed!("a control character in text", b"<message><body>\x01</body></message>"),
    malformed!("a control character in an attribute", b"<message id='\x08'/>"),
    malformed!("a noncharacter in text", "<message><body>\u{FFFE}</body></message>"),
    malformed!("a name that begins with a digit", "<message><1a/></message>"),
    malformed!("a name with two colons", "<message><a:b:c xmlns:a='u'/></message>"),
    malformed!("a name that begins with a colon", "<message><:a/></message>"),
    malformed!("a name that ends with a colon", "<message><a: xmlns:a='u'/></message>"),
    malformed!("a space before a name", "<message>< a/></message>"),
    malformed!("a space in an empty-element tag", "<message><a/ ></message>"),
    malformed!("a tag without a name", "<message><></></message>"),
    malformed!("a prefix that nobody bound", "<message><x:a/></message>"),
    malformed!("an attribute with a prefix that nobody bound", "<message x:a='1'/>"),
    malformed!("a prefix that went out of scope", "<message><a xmlns:x='u'/><x:b/></message>"),
    malformed!("the prefix xml bound elsewhere", "<message xmlns:xml='urn:x'/>"),
    malformed!(
        "another prefix bound to xml's namespace",
        "<message xmlns:x='http://www.w3.org/XML/1998/namespace'/>"
    ),
    malformed!("the prefix xmlns declared", "<message xmlns:xmlns='urn:x'/>"),
    malformed!("a prefix undeclared", "<message xmlns:x='u'><a xmlns:x=''/></message>"),
    xml!(
        "an overlong sequence",
        b"<message><body>\xc0\xbc</body></message>",
        ENCODING,
        RULE_ENCODING
    ),
    xml!(
        "a surrogate in UTF-8",
        b"<message><body>\xed\xa0\x80</body></message>",
        ENCODING,
        RULE_ENCODING
    ),
    xml!(
        "bytes that are never UTF-8",
        b"<message><body>\xff\xfe</body></message>",
        ENCODING,
        RULE_ENCODING
    ),
    xml!("a cut sequence", b"<message><body>\xe2\x82</body></message>", ENCODING, RULE_ENCODING),
    xml!("Latin-1 in an attribute", b"<message id='\xe9'/>", ENCODING, RULE_ENCODING),
    xml!(
        "text between stanzas",
        "hello<message/>",
        &["not-well-formed", "bad-format"],
        "RFC 6120 §11.7, §4.9.3.1"
    ),
    xml!("elements nested 65 deep", inputs::depth(65), POLICY, RULE_POLICY),
    xml!("65 attributes", inputs::attributes(65), POLICY, RULE_POLICY),
    xml!("65 namespaces in scope", inputs::namespaces(65), POLICY, RULE_POLICY),
    xml!("a name of 257 bytes", inputs::name(257), POLICY, RULE_POLICY),
    Hostile {
        stages: BOUND,
        ..xml!(
            "an attribute of 64 KiB and one",
            inputs::attribute_value(65_537),
            POLICY,
            RULE_POLICY
        )
    },
    Hostile {
        stages: BOUND,
        ..xml!("8,193 elements", inputs::children(8_193), POLICY, RULE_POLICY)
    },
    Hostile {
        stages: OPENED,
        ..xml!("16 KiB and one before login", inputs::stanza_bytes(16_385), POLICY, RULE_POLICY)
    },
    Hostile {
        stages: BOUND,
        ..xml!("256 KiB and one after login", inputs::stanza_bytes(262_145), POLICY, RULE_POLICY)
    },
];

/// Well-formed XML that is said at the wrong time or place.
pub const PROTOCOL: &[Hostile] = &[
    Hostile {
        name: "a stanza before authentication",
        bytes: || Vec::from("<message to='a@localhost'><body>x</body></message>"),
        expect: &["not-authorized"],
        stages: OPENED,
        entrances: &Entrance::STREAMS,
        rule: "RFC 6120 §4.9.3.12",
    },
    Hostile {
        name: "an unknown element before authentication",
        bytes: || Vec::from("<hello xmlns='urn:example:x'/>"),
        expect: &["not-authorized", "unsupported-stanza-type"],
        stages: OPENED,
        entrances: &Entrance::STREAMS,
        rule: "RFC 6120 §4.9.3.12, §4.9.3.24",
    },
    Hostile {
        name: "an unknown element after binding",
        bytes: || Vec::from("<hello xmlns='urn:example:x'/>"),
        expect: &["unsupported-stanza-type"],
        stages: BOUND,
        entrances: &Entrance::ALL,
        rule: "RFC 6120 §4.9.3.24",
    },
    Hostile {
        name: "a stanza of a server",
        bytes: || Vec::from("<message xmlns='jabber:server'/>"),
        expect: &["unsupported-stanza-type", "invalid-namespace"],
        stages: BOUND,
        entrances: &Entrance::ALL,
        rule: "RFC 6120 §4.8.3, §4.9.3.24",
    },
    Hostile {
        name: "a sender that is somebody else",
        bytes: || Vec::from("<message from='mallory@localhost/x' to='a@localhost'/>"),
        expect: &["invalid-from"],
        stages: BOUND,
        entrances: &Entrance::ALL,
        rule: "RFC 6120 §8.1.2.1, §4.9.3.9",
    },
    Hostile {
        name: "a sender that is the server",
        bytes: || Vec::from("<message from='localhost' to='a@localhost'/>"),
        expect: &["invalid-from"],
        stages: BOUND,
        entrances: &Entrance::ALL,
        rule: "RFC 6120 §8.1.2.1, §4.9.3.9",
    },
    Hostile {
        name: "a second stream header",
        bytes: || Vec::from(header("localhost")),
        expect: &["bad-format", "not-well-formed", "restricted-xml", "unsupported-stanza-type"],
        stages: BOTH,
        entrances: &Entrance::STREAMS,
        rule: "RFC 6120 §4.9.3.1",
    },
    Hostile {
        name: "STARTTLS inside TLS",
        bytes: || Vec::from("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        expect: &["not-authorized", "unsupported-stanza-type", "policy-violation"],
        stages: OPENED,
        entrances: &[Entrance::Tls, Entrance::QuicPrimary],
        rule: "RFC 6120 §5.4.2.2, XEP-0467",
    },
];

/// Stream headers that are wrong; sent instead of the first one, on the entrances with headers.
pub const HEADERS: &[Hostile] = &[
    head(
        "an unknown domain",
        || replaced("to='localhost'", "to='elsewhere.example'"),
        &["host-unknown"],
    ),
    head(
        "no domain and no address",
        || replaced("to='localhost' ", ""),
        &["host-unknown", "improper-addressing"],
    ),
    head(
        "a foreign stream namespace",
        || replaced("etherx.jabber.org", "example.org"),
        &["invalid-namespace"],
    ),
    head(
        "a foreign content namespace",
        || replaced("jabber:client", "jabber:nobody"),
        &["invalid-namespace"],
    ),
    head("no version", || replaced("version='1.0' xmlns=", "xmlns="), &["unsupported-version"]),
    head(
        "version 0.9",
        || replaced("version='1.0' xmlns=", "version='0.9' xmlns="),
        &["unsupported-version"],
    ),
    head(
        "an encoding that is not UTF-8",
        || replaced("<?xml version='1.0'?>", "<?xml version='1.0' encoding='ISO-8859-1'?>"),
        ENCODING,
    ),
    head("XML 1.1", || replaced("<?xml version='1.0'?>", "<?xml version='1.1'?>"), MALFORMED),
    head("an unknown declaration", || replaced("?>", " mood='good'?>"), MALFORMED),
    head("a document type", || replaced("<stream:", "<!DOCTYPE x><stream:"), RESTRICTED),
    head("a comment", || replaced("<stream:", "<!-- x --><stream:"), RESTRICTED),
    head("a processing instruction", || replaced("<stream:", "<?x y?><stream:"), RESTRICTED),
    head("an unbound prefix", || replaced(" xmlns:stream=", " xmlns:other="), MALFORMED),
    head("an unquoted attribute", || replaced("to='localhost'", "to=localhost"), MALFORMED),
    head("an attribute twice", || replaced("to=", "to='a' to="), MALFORMED),
    head("an entity in the domain", || replaced("to='localhost'", "to='&host;'"), RESTRICTED),
    head(
        "bytes that are not UTF-8",
        || {
            let right = header("localhost");
            let (before, after) = right.split_once("localhost").unwrap_or_default();
            [before.as_bytes(), b"\xff", after.as_bytes()].concat()
        },
        ENCODING,
    ),
    head(
        "65 attributes",
        || {
            let many: String = (0..65).map(|i| format!("a{i}='1' ")).collect();
            replaced("to=", &format!("{many}to="))
        },
        POLICY,
    ),
    head("17 KiB", || replaced("to=", &format!("a='{}' to=", "x".repeat(17 * 1024))), POLICY),
    head(
        "a stanza instead of a header",
        || Vec::from("<message to='a@localhost'/>"),
        &["not-well-formed", "bad-format", "invalid-namespace", "not-authorized"],
    ),
];

const fn head(
    name: &'static str,
    bytes: fn() -> Vec<u8>,
    expect: &'static [&'static str],
) -> Hostile {
    let rule = "RFC 6120 §4.7, §4.8, §4.9.3, §11";
    Hostile { name, bytes, expect, stages: OPENED, entrances: &Entrance::STREAMS, rule }
}

/// The correct header with its first occurrence of `what` replaced.
fn replaced(what: &str, with: &str) -> Vec<u8> {
    header("localhost").replacen(what, with, 1).into_bytes()
}

/// What looks odd and must pass: a control group, so that a server that refuses everything fails.
///
/// Each is a stanza for a bound session that must be answered with an IQ of the id `control`.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("single quotes", "<iq type='get' id='control'><ping xmlns='urn:xmpp:ping'/></iq>"),
    ("double quotes", r#"<iq type="get" id="control"><ping xmlns="urn:xmpp:ping"/></iq>"#),
    (
        "character references",
        "<iq type='get' id='cont&#x72;&#111;l'><ping xmlns='urn:xmpp:ping'/></iq>",
    ),
    (
        "the five entities and a CDATA section",
        "<iq type='get' id='control'><ping xmlns='urn:xmpp:ping'>&lt;&gt;&amp;&quot;&apos;\
         <![CDATA[<&]]></ping></iq>",
    ),
    (
        "a prefix for the default namespace",
        "<c:iq xmlns:c='jabber:client' type='get' id='control'><ping xmlns='urn:xmpp:ping'/></c:iq>",
    ),
    (
        "line breaks inside tags",
        "<iq\n type='get'\r\n id='control'\t><ping xmlns='urn:xmpp:ping'\n/></iq\n>",
    ),
    (
        "white space around a stanza",
        " \n\t <iq type='get' id='control'><ping xmlns='urn:xmpp:ping'/></iq> \n",
    ),
    (
        "names outside ASCII",
        "<iq type='get' id='control'><ping xmlns='urn:xmpp:ping' größe='1'/></iq>",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_row_can_be_run() {
        for table in [XML, PROTOCOL, HEADERS] {
            let names: BTreeSet<&str> = table.iter().map(|row| row.name).collect();
            assert_eq!(names.len(), table.len());
            for row in table {
                assert!(!row.expect.is_empty() && !row.stages.is_empty(), "{}", row.name);
                assert!(!row.entrances.is_empty() && !row.rule.is_empty(), "{}", row.name);
            }
        }
    }

    #[test]
    fn every_wrong_header_differs_from_the_right_one() {
        let right = header("localhost").into_bytes();
        for row in HEADERS {
            assert_ne!((row.bytes)(), right, "{}", row.name);
        }
    }

    #[test]
    fn the_header_with_wrong_bytes_has_exactly_one() {
        let row = HEADERS.iter().find(|row| row.name == "bytes that are not UTF-8").unwrap();
        let bytes = (row.bytes)();
        assert_eq!(bytes.iter().filter(|byte| **byte == 0xff).count(), 1);
        assert!(bytes.windows(5).any(|window| window == b"to='\xff"));
    }
}
