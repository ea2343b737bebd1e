//! What is written can be read, and reads back unchanged or was refused.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use longwire_xml::{Context, Edit, Element, Limits, scan};

// Each field may hold anything.
fuzz_target!(|fields: (String, String, String, String, String)| {
    let (ns, name, attribute, value, text) = fields;
    let element = Element::new(&ns, &name)
        .attr(&attribute, value.as_str())
        .attr_ns(&ns, &attribute, text.as_str())
        .text(text.as_str())
        .child(Element::new("", &name).attr("xml:lang", value.as_str()))
        .text(value.as_str());
    let written = element.to_string();
    let read = Element::parse(&written);
    // Large names are beyond the limits of the reader (256 octets), and that is all it may say. A
    // character that XML does not have is written as one of three octets.
    let small = [&ns, &name, &attribute].iter().all(|field| field.len() < 80);
    if element.check().is_ok() && small {
        assert_eq!(read.as_ref(), Ok(&element), "{written}");
    }
    let Ok(read) = read else {
        assert!(!small, "{written}");
        return;
    };
    let mut out = BytesMut::new();
    read.write_in(&mut out, &Context::client());
    let Ok(scanned) = scan(out.split().freeze(), &Context::client(), &Limits::SERVER) else {
        return;
    };
    assert_eq!(scanned.element(), read);
    let set = [(attribute.as_str(), Some(value.as_str())), ("from", Some(text.as_str()))];
    scanned.write_edited(&mut out, &Edit { set: &set, ..Edit::default() });
    if small {
        let rewritten = scan(out.freeze(), &Context::client(), &Limits::SERVER);
        assert!(rewritten.is_ok(), "{rewritten:?}");
    }
});
