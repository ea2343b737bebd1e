//! A forwarded element means the same in the stream it is written into.

use bytes::{Bytes, BytesMut};
use longwire_xml::{Context, Edit, Element, Limits, Scanned, scan};
use proptest::prelude::*;
use proptest::sample::select;

use crate::corpus::accepted;

fn read(text: &str, context: &Context) -> Scanned {
    scan(Bytes::copy_from_slice(text.as_bytes()), context, &Limits::CLIENT).unwrap()
}

fn written(scanned: &Scanned, edit: &Edit<'_>) -> String {
    let mut out = BytesMut::new();
    scanned.write_edited(&mut out, edit);
    String::from_utf8(out.to_vec()).unwrap()
}

/// A stream that binds more than others do.
fn rich() -> Context {
    Context::new("jabber:client", &[("p", "urn:p"), ("q", "urn:q&<>'")], Some("de"))
}

#[test]
fn inherited_prefixes_are_declared_where_they_are_needed() {
    let scanned = read("<message p:a='1'><q:b><p:c/></q:b></message>", &rich());
    let out = written(&scanned, &Edit::default());
    assert_eq!(
        out,
        "<message p:a=\"1\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q&amp;&lt;&gt;&apos;\">\
         <q:b><p:c/></q:b></message>"
    );
    assert_eq!(read(&out, &Context::client()).element(), scanned.element());
    // Declared inside, it is not inherited.
    let own = read("<message><p:b xmlns:p='urn:other'/></message>", &rich());
    assert_eq!(written(&own, &Edit::default()), "<message><p:b xmlns:p='urn:other'/></message>");
}

#[test]
fn attributes_are_set_and_removed() {
    let scanned = read("<a to='x' id = \"1\" xml:lang='en'  b='say \"y\"'/>", &Context::client());
    let set = [("to", Some("<n>")), ("id", None), ("new", Some("1")), ("none", None)];
    let edit = Edit { set: &set, ..Edit::default() };
    assert_eq!(
        written(&scanned, &edit),
        "<a xml:lang=\"en\" b='say \"y\"' to=\"&lt;n&gt;\" new=\"1\"/>"
    );
}

#[test]
fn attributes_are_never_written_twice_nor_as_something_else() {
    let scanned = read("<a xmlns='u' xmlns:p='v' p:b='1' b='2'/>", &Context::client());
    let set = [
        ("b", Some("3")),
        ("xmlns", Some("evil")),
        ("xmlns:p", None),
        ("x='1' y", Some("4")),
        ("p:b", Some("5")),
        ("b", Some("6")),
        ("xml:lang", Some("de")),
    ];
    let out = written(&scanned, &Edit { set: &set, ..Edit::default() });
    assert_eq!(out, "<a xmlns=\"u\" xmlns:p=\"v\" p:b=\"1\" b=\"6\" xml:lang=\"de\"/>");
}

#[test]
fn children_are_left_out_and_added() {
    let scanned = read("<m>1<a/>2<b xmlns='u'>x</b>3<a>4</a></m>", &Context::client());
    let extra = [Element::new("jabber:client", "c"), Element::new("v", "d").text("5")];
    let keep = |child: &longwire_xml::Child<'_>| child.name() != "a";
    let edit = Edit { keep: Some(&keep), append: &extra, ..Edit::default() };
    assert_eq!(written(&scanned, &edit), "<m>12<b xmlns='u'>x</b>3<c/><d xmlns=\"v\">5</d></m>");
    let empty = read("<p:m xmlns:p='u' xmlns='w'/>", &Context::client());
    let edit = Edit { append: &extra, ..Edit::default() };
    let out = written(&empty, &edit);
    let children: Vec<_> =
        read(&out, &Context::client()).element().child_elements().cloned().collect();
    assert_eq!(children, extra);
}

#[test]
fn a_stanza_takes_the_content_namespace_of_its_stream() {
    let edit = Edit { default_namespace: Some("jabber:client"), ..Edit::default() };
    for text in [
        "<message><body>x</body></message>",
        "<message xmlns='jabber:server'><body>x</body></message>",
    ] {
        let scanned = read(text, &Context::server());
        let out = written(&scanned, &edit);
        assert_eq!(out, "<message><body>x</body></message>");
    }
    // What is no stanza keeps its namespace.
    for text in ["<p:a xmlns:p='u'><b/></p:a>", "<a xmlns='u'><b/></a>", "<a xmlns=''><b/></a>"] {
        let scanned = read(text, &Context::server());
        let out = written(&scanned, &edit);
        assert_eq!(read(&out, &Context::client()).element(), scanned.element(), "{out}");
    }
    // A stream without a default namespace.
    let scanned = read("<a><b/></a>", &Context::empty());
    let out = written(&scanned, &edit);
    assert_eq!(read(&out, &Context::client()).element(), scanned.element(), "{out}");
}

fn contexts() -> Vec<Context> {
    vec![
        Context::client(),
        rich(),
        Context::empty(),
        Context::new("urn:other", &[("stream", "http://etherx.jabber.org/streams")], None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn meaning_survives_every_move(
        bytes in select(accepted().into_iter().map(|c| c.bytes).filter(|b| b.len() < 500).collect::<Vec<_>>()),
        from in select(contexts()),
        to in select(contexts()),
        value in any::<String>(),
        name in prop_oneof![Just("set".to_owned()), any::<String>(), "xmlns(:p)?|a:b|[a-z]:c"],
    ) {
        let Ok(scanned) = scan(bytes.into(), &from, &Limits::CLIENT) else { return Ok(()) };
        let set = [("set", Some("old")), (name.as_str(), None), ("set", Some(value.as_str())),
            (name.as_str(), Some(value.as_str()))];
        let edit = Edit {
            set: &set,
            default_namespace: Some(to.default_namespace()),
            ..Edit::default()
        };
        let out = written(&scanned, &edit);
        // The target knows none of the source's prefixes.
        let target = Context::new(to.default_namespace(), &[], None);
        let moved = scan(out.clone().into(), &target, &Limits::CLIENT);
        let moved = match moved {
            Ok(moved) => moved.element(),
            Err(error) => panic!("{error}: {out}"),
        };
        let mut expected = scanned.element().attr("set", moved.attribute("set").unwrap());
        if name != "set" && let Some(value) = moved.attribute(&name) {
            expected = expected.attr(&name, value);
        }
        prop_assert_eq!(moved, expected, "{}", out);
    }
}
