//! Where stanzas go.

use super::*;

#[test]
fn a_message_reaches_the_addressed_session_with_its_bytes_untouched() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    let [desk, tablet] = scene.sessions("bob@b.example", ["desk", "tablet"]);
    desk.expect("<message type='headline'><came xmlns='urn:test'/></message>");
    alice.send(
        "<message to='bob@b.example/desk' id='m1' xml:lang='de'><body>a &amp; b</body>\
         <x:y xmlns:x='urn:unknown' x:z='1'><x:w/></x:y></message>",
    );
    let came = desk.receive().expect("the message").to_xml();
    assert!(came.contains("<body>a &amp; b</body>"), "{came}");
    assert!(came.contains("<x:y xmlns:x='urn:unknown' x:z='1'><x:w/></x:y>"), "{came}");
    assert!(came.contains("alice@a.example/phone"), "{came}");
    tablet.expect_nothing();
    alice.expect_nothing();
}

#[test]
fn a_message_without_a_resource_reaches_all_sessions() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    let [desk, tablet] = scene.sessions("bob@a.example", ["desk", "tablet"]);
    desk.receive_all();
    say(&alice, "bob@a.example", "hi");
    let message = "<message type='chat' from='alice@a.example/phone' to='bob@a.example'>\
                   <body>hi</body></message>";
    desk.expect(message);
    tablet.expect(message);
}

#[test]
fn order_holds_between_two_accounts_on_different_shards() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    // Different shards for at least one of them, whatever the hash says.
    let others: Vec<Device> =
        (0..4).map(|n| scene.session(&format!("user{n}@b.example/x"))).collect();
    for n in 0..50 {
        let word = if n % 3 == 0 { "keep" } else { "go" };
        for other in &others {
            let xml =
                format!("<message to='{}'><body>{word} {n}</body></message>", other.jid().as_str());
            alice.try_send(&xml).unwrap();
        }
    }
    scene.settle();
    for other in &others {
        let numbers: Vec<u32> = heard_now(other)
            .iter()
            .map(|body| body.split_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn nobody_learns_whether_an_account_exists() {
    let scene = scene();
    scene.account("bob@a.example");
    let alice = scene.session("alice@a.example/phone");
    for to in ["bob@a.example", "nobody@a.example"] {
        alice.send(&format!("<iq type='get' id='1' to='{to}'><x xmlns='urn:unknown'/></iq>"));
        alice.expect(&unavailable("alice@a.example/phone", to, "1"));
        //= test XEP-0030 §8
        for node in ["", "node='x'"] {
            let items = format!("<query xmlns='http://jabber.org/protocol/disco#items' {node}/>");
            alice.send(&format!("<iq type='get' id='3' to='{to}'>{items}</iq>"));
            alice.expect(&format!(
                "<iq type='result' id='3' from='{to}' to='alice@a.example/phone'>\
                 <query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
            ));
        }
    }
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    alice.send(&format!("<iq type='get' id='4' to='nobody@a.example/x'>{items}</iq>"));
    alice.expect(&unavailable("alice@a.example/phone", "nobody@a.example/x", "4"));
    alice.send("<message to='nobody@a.example' id='2'><body>?</body></message>");
    alice.expect(
        "<message type='error' id='2' to='alice@a.example/phone' from='nobody@a.example'>\
         <body>?</body><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         </error></message>",
    );
    for kind in ["", "type='unavailable'", "type='subscribe'", "type='unsubscribed'"] {
        alice.send(&format!("<presence to='nobody@a.example' {kind}/>"));
    }
    alice.send("<message type='error' to='nobody@a.example'/>");
    alice.expect_nothing();
}

//= test RFC 6121 §4.3.2
#[test]
fn whoever_looks_for_a_deleted_account_loses_the_subscription() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    alice.send("<presence type='probe' to='gone@b.example/x'/>");
    alice.expect("<presence type='unsubscribed' from='gone@b.example' to='alice@a.example'/>");
}

#[test]
fn another_server_is_not_found_yet() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    say(&alice, "eve@elsewhere.example", "hi");
    alice.expect(
        "<message type='error' to='alice@a.example/phone' from='eve@elsewhere.example'>\
         <body>hi</body><error type='cancel'>\
         <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    alice.send("<presence to='room@elsewhere.example/nick' id='1'/>");
    alice.expect(
        "<presence type='error' id='1' to='alice@a.example/phone' \
         from='room@elsewhere.example/nick'><error type='cancel'>\
         <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    alice.send("<presence to='eve@elsewhere.example'/>");
    alice.expect_nothing();
}

#[test]
fn a_message_to_the_server_itself_is_answered() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    say(&alice, "a.example", "hello?");
    alice.expect(
        "<message type='error' to='alice@a.example/phone' from='a.example'>\
         <body>hello?</body><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    alice.send("<presence to='a.example'/>");
    alice.expect_nothing();
}

#[test]
fn a_screening_stage_stops_the_stanza_with_or_without_an_answer() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@a.example/x")];
    alice.send("<message to='bob@a.example' id='1'><refuse xmlns='urn:test'/></message>");
    alice.expect(
        "<message type='error' id='1' from='bob@a.example' to='alice@a.example/x'>\
         <refuse xmlns='urn:test'/><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         </error></message>",
    );
    alice.send("<message to='bob@a.example' id='2'><swallow xmlns='urn:test'/></message>");
    alice.expect_nothing();
    bob.expect_nothing();
}

#[test]
fn a_stage_that_panics_leaves_no_trace_and_the_server_goes_on() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@a.example/x")];
    alice.send(
        "<message to='bob@a.example' id='1'><body>keep</body><boom xmlns='urn:test'/></message>",
    );
    let error = "<message type='error' id='*' from='bob@a.example' to='alice@a.example/x'>\
                 <error type='cancel'>\
                 <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 </error></message>";
    alice.expect(error);
    bob.expect_nothing();
    let kept = scene.in_home("alice@a.example", |turn| turn.rows(&SENT).len());
    assert_eq!(kept, 0);
    // In the recipient's home as well.
    alice.send(
        "<message to='bob@a.example' id='2'><body>file</body><late-boom xmlns='urn:test'/>\
         </message>",
    );
    alice.expect(error);
    bob.expect_nothing();
    assert_eq!(scene.in_home("bob@a.example", |turn| turn.rows(&FILED).len()), 0);
    assert_eq!(scene.router().counters().panics, 2);
    say(&alice, "bob@a.example", "still there");
    assert_eq!(heard_now(&bob), ["still there"]);
}
