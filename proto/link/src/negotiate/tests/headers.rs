//! Stream headers, good and bad.

use super::raw::{Raw, auth, last};
use super::*;

fn header_fault(header: &str) -> String {
    let mut raw = Raw::new(server_config(), quic());
    let said = raw.header(header);
    assert!(said[0].starts_with("<stream:stream "), "the error needs a stream: {said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(raw.send("<presence/>"), [""; 0], "a failed stream is silent");
    last(&said).to_owned()
}

fn stream(attributes: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         {attributes}>"
    )
}

#[test]
fn headers_with_faults_get_their_stream_error() {
    let fault = |attributes: &str| header_fault(&stream(attributes));
    assert_eq!(fault("to='c.example' version='1.0'"), "[fail host-unknown]");
    assert_eq!(fault("to='alice@a.example' version='1.0'"), "[fail host-unknown]");
    assert_eq!(fault("to='' version='1.0'"), "[fail host-unknown]");
    assert_eq!(fault("version='1.0'"), "[fail host-unknown]");
    assert_eq!(fault("to='a.example'"), "[fail unsupported-version]");
    for version in ["0.9", "", "1", "x.y", "-1.0", "1.", ".0", "+1.0"] {
        let attributes = format!("to='a.example' version='{version}'");
        assert_eq!(fault(&attributes), "[fail unsupported-version]", "{version}");
    }
    let from = |from: &str| fault(&format!("to='a.example' version='1.0' from='{from}'"));
    assert_eq!(from("alice@b.example"), "[fail invalid-from]");
    assert_eq!(from("@"), "[fail invalid-from]");
}

#[test]
fn headers_with_wrong_namespaces_get_their_stream_error() {
    let rest = "to='a.example' version='1.0'";
    let streams = "http://etherx.jabber.org/streams";
    let header = |start: &str| header_fault(&format!("<{start} {rest}>"));
    assert_eq!(
        header("stream:stream xmlns='jabber:client' xmlns:stream='urn:x'"),
        "[fail invalid-namespace]"
    );
    assert_eq!(
        header(&format!("stream:stream xmlns='jabber:server' xmlns:stream='{streams}'")),
        "[fail invalid-namespace]"
    );
    assert_eq!(
        header(&format!("stream:flow xmlns='jabber:client' xmlns:stream='{streams}'")),
        "[fail invalid-namespace]"
    );
    assert_eq!(
        header(&format!("s:stream xmlns='jabber:client' xmlns:s='{streams}'")),
        "[fail bad-namespace-prefix]"
    );
}

#[test]
fn the_second_host_and_other_spellings_of_a_host_are_served() {
    for (to, from) in [("b.example", "b.example"), ("A.Example", "a.example")] {
        let mut raw = Raw::new(server_config(), quic());
        let said = raw.open(&format!("to='{to}' version='1.0'"));
        assert!(said[0].contains(&format!("from=\"{from}\"")), "{said:?}");
        assert!(said[1].starts_with("<stream:features>"), "{said:?}");
    }
}

#[test]
fn stream_ids_are_never_the_same() {
    let mut raw = Raw::opened();
    let again = raw.open("to='a.example' version='1.0'");
    assert_eq!(last(&again), "[fail bad-format]", "a second header without a restart");
    let id = |raw: &mut Raw| {
        let said = raw.open("to='a.example' version='1.0'");
        let (_, rest) = said[0].split_once("id=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let mut raw = Raw::new(server_config(), quic());
    let first = id(&mut raw);
    assert_eq!(first.len(), 24);
    raw.send(&auth("PLAIN", "\0alice\0pencil"));
    raw.reply(Reply::Verified(true));
    assert_ne!(first, id(&mut raw));
}

#[test]
fn after_a_restart_the_header_must_stay_with_the_account() {
    let restart = |attributes: &str| {
        let mut raw = Raw::opened();
        raw.send(&auth("PLAIN", "\0alice\0pencil"));
        raw.reply(Reply::Verified(true));
        last(&raw.open(attributes)).to_owned()
    };
    assert_eq!(restart("to='b.example' version='1.0'"), "[fail host-unknown]");
    let bob = "to='a.example' version='1.0' from='bob@a.example'";
    assert_eq!(restart(bob), "[fail invalid-from]");
    let alice = "to='a.example' version='1.0' from='alice@a.example'";
    assert!(restart(alice).starts_with("<stream:features>"));
}
