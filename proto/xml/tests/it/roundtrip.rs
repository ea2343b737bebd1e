//! What is written reads back as what was meant, or was refused; never anything third.

use bytes::{Bytes, BytesMut};
use longwire_xml::{
    Context, Element, Frame, Framer, Limits, STREAM_NS, StreamHeader, Writer, XML_NS, XMLNS_NS,
    escape_attribute, escape_text, scan,
};
use proptest::prelude::*;

use crate::oracle;

/// Any text, with a preference for what needs care.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[<>&'\"\\]\r\n\t a-c]{0,12}",
        "\\PC{0,12}",
        any::<String>(),
        "[\u{FFFD}\u{FFFE}\u{FFFF}\u{EFFF}\u{0}-\u{1F}]{0,4}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z_][a-z0-9.-]{0,6}", 1 => text(), 1 => Just("xmlns".to_owned())]
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["", "jabber:client", "urn:x", XML_NS, XMLNS_NS, STREAM_NS])
            .prop_map(str::to_owned),
        1 => text(),
    ]
}

/// Text, names and namespaces that can be written as they are.
fn writable() -> impl Strategy<Value = Element> {
    element(
        prop_oneof!["[<>&'\"\\]\r\n\t a-c]{0,12}", "\\PC{0,12}"].boxed(),
        "[a-z_\u{E9}][a-z0-9.-]{0,6}".boxed(),
        prop::sample::select(vec!["", "jabber:client", "urn:x", "u<&'\"\t>", XML_NS, STREAM_NS])
            .prop_map(str::to_owned)
            .boxed(),
    )
}

fn any_element() -> impl Strategy<Value = Element> {
    element(text().boxed(), name().boxed(), namespace().boxed())
}

fn element(
    text: BoxedStrategy<String>,
    name: BoxedStrategy<String>,
    namespace: BoxedStrategy<String>,
) -> impl Strategy<Value = Element> {
    let attribute = (namespace.clone(), name.clone(), text.clone());
    let attributes = prop::collection::vec(attribute, 0..4);
    let bare = (namespace, name, attributes).prop_map(|(ns, name, attributes)| {
        let element = Element::new(&ns, &name);
        attributes
            .into_iter()
            .fold(element, |element, (ns, name, value)| element.attr_ns(&ns, &name, value))
    });
    let leaf = (bare, text.clone()).prop_map(|(element, text)| element.text(text)).boxed();
    leaf.clone().prop_recursive(4, 24, 4, move |inner| {
        let nodes = prop::collection::vec((inner, text.clone()), 0..4);
        (leaf.clone(), nodes).prop_map(|(element, nodes)| {
            nodes
                .into_iter()
                .fold(element, |element, (child, text)| element.child(child).text(text))
        })
    })
}

/// Text in every slot of an element and of a stream header.
fn everywhere(text: &str) -> Element {
    Element::new("urn:x", "a")
        .attr("plain", text)
        .attr("xml:lang", text)
        .attr_ns("urn:y", "other", text)
        .text(text)
        .child(Element::new("", "b").text(text).text("x").text(text))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn a_checked_element_reads_back_unchanged(element in prop_oneof![any_element(), writable()]) {
        let written = element.to_string();
        let read = Element::parse(&written);
        if element.check().is_ok() {
            prop_assert_eq!(read.as_ref(), Ok(&element), "{}", written);
            prop_assert_eq!(oracle::document(written.as_bytes()), Ok(element));
        } else {
            // Replaced characters and repaired names, but never a broken document.
            prop_assert!(oracle::document(written.as_bytes()).is_ok(), "{}", written);
            prop_assert!(read.is_ok(), "{:?}: {}", read, written);
        }
    }

    #[test]
    fn any_text_in_any_slot_comes_back(text in text()) {
        let element = everywhere(&text);
        let read = Element::parse(&element.to_string()).unwrap();
        if element.check().is_ok() {
            prop_assert_eq!(read, element);
        } else {
            let replaced: String = text.chars().map(|c| match c {
                '\t' | '\n' | '\r' => c,
                '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
                c => c,
            }).collect();
            prop_assert_ne!(&replaced, &text);
            prop_assert_eq!(read, everywhere(&replaced));
        }
    }

    #[test]
    fn an_element_means_the_same_inside_any_stream(element in writable()) {
        prop_assert_eq!(element.check(), Ok(()));
        for context in [
            Context::client(),
            Context::server(),
            Context::empty(),
            Context::new("urn:x", &[("a0", "urn:z"), ("s", STREAM_NS)], None),
        ] {
            let mut out = BytesMut::new();
            element.write_in(&mut out, &context);
            let scanned = scan(out.clone().freeze(), &context, &Limits::CLIENT).unwrap();
            prop_assert_eq!(scanned.element(), element.clone());
            out.clear();
            element.write(&mut out, context.default_namespace());
            let scanned = scan(out.freeze(), &context, &Limits::CLIENT).unwrap();
            prop_assert_eq!(scanned.element(), element.clone());
        }
    }

    #[test]
    fn a_written_stream_header_is_read_back(
        to in "[<>&'\"\\]\r\n\t a-c]{0,12}",
        lang in "\\PC{0,12}",
    ) {
        let mut out = BytesMut::new();
        Writer::new(&mut out)
            .declaration()
            .start("stream:stream")
            .attribute("xmlns", "jabber:client")
            .attribute("xmlns:stream", STREAM_NS)
            .attribute_opt("to", Some(&to))
            .attribute_opt("from", None)
            .attribute("xml:lang", &lang)
            .open();
        let mut framer = Framer::stream(Limits::CLIENT);
        framer.push(out.freeze());
        let Ok(Some(Frame::Header(raw))) = framer.next() else { panic!("no header") };
        let header = StreamHeader::parse(&raw, &Limits::CLIENT).unwrap();
        prop_assert_eq!((header.name(), header.namespace()), ("stream", STREAM_NS));
        prop_assert_eq!((header.attribute("to"), header.attribute("from")), (Some(&*to), None));
        prop_assert_eq!(header.lang(), Some(&*lang));
        prop_assert_eq!(header.context().default_namespace(), "jabber:client");
    }
}

#[test]
fn escaping_leaves_nothing_that_has_a_meaning() {
    let mut out = BytesMut::new();
    escape_text(&mut out, "a<b>&\"'\r\n\t\u{1}\u{FFFF}é]]>");
    assert_eq!(out, "a&lt;b&gt;&amp;\"'&#xD;\n\t\u{FFFD}\u{FFFD}é]]&gt;");
    out.clear();
    escape_attribute(&mut out, "a<b>&\"'\r\n\t\u{1}\u{FFFE}é");
    assert_eq!(out, "a&lt;b&gt;&amp;&quot;&apos;&#xD;&#xA;&#x9;\u{FFFD}\u{FFFD}é");
}

#[test]
fn names_that_are_no_names_are_repaired() {
    let element = Element::new("urn:x", "a b='1'/><evil").attr("c='d' e", "1");
    assert!(element.check().is_err());
    let read = Element::parse(&element.to_string()).unwrap();
    assert_eq!(read.child_elements().count(), 0);
    assert_eq!(read.name(), "_a_b__1____evil");
    assert_eq!(read.attributes().count(), 0);
}

#[test]
fn stream_elements_use_the_prefix_of_the_header() {
    let features = Element::new(STREAM_NS, "features").child(Element::new("urn:b", "bind"));
    let mut out = BytesMut::new();
    features.write_in(&mut out, &Context::client());
    assert_eq!(out, "<stream:features><bind xmlns=\"urn:b\"/></stream:features>");
}

#[test]
fn elements_are_equal_when_they_mean_the_same() {
    let parse = |text| Element::parse(text).unwrap();
    let a = parse("<a xmlns='u' b='1' c='2'><d/>t</a>");
    assert_eq!(a, parse("<p:a xmlns:p='u' c=\"2\" b='&#49;'><p:d></p:d><![CDATA[t]]></p:a>"));
    for other in [
        "<a xmlns='v' b='1' c='2'><d/>t</a>",
        "<a xmlns='u' b='1'><d/>t</a>",
        "<a xmlns='u' b='1' c='3'><d/>t</a>",
        "<a xmlns='u' b='1' c='2'>t<d/></a>",
        "<a xmlns='u' b='1' c='2'><d xmlns=''/>t</a>",
        "<x xmlns='u' b='1' c='2'><d/>t</x>",
    ] {
        assert_ne!(a, parse(other), "{other}");
    }
}

#[test]
fn an_element_is_built_and_taken_apart() {
    let mut element = Element::new("u", "a")
        .attr("b", "1")
        .attr("b", "2")
        .attr_opt("c", None::<&str>)
        .attr_opt("d", Some("4"))
        .text("x")
        .children([Element::new("u", "k"), Element::new("v", "k")])
        .child_opt(None)
        .text("y");
    let attributes: Vec<_> = element.attributes().collect();
    assert_eq!(attributes, [("b", "2"), ("d", "4")]);
    assert_eq!(element.text_content(), "xy");
    assert_eq!(element.find("v", "k").map(Element::ns), Some("v"));
    assert_eq!(element.remove("v", "k").len(), 1);
    assert_eq!(element.find("v", "k"), None);
    assert_eq!(element.to_string(), "<a xmlns=\"u\" b=\"2\" d=\"4\">x<k/>y</a>");
    assert_eq!(Bytes::from(element.to_string()), "<a xmlns=\"u\" b=\"2\" d=\"4\">x<k/>y</a>");
}
