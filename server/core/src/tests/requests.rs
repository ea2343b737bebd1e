//! IQs and service discovery.

use super::*;

#[test]
fn an_account_answers_its_own_sessions() {
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    alice.send("<iq type='set' id='1'><note xmlns='urn:test:note'>milk</note></iq>");
    alice.expect("<iq type='result' id='1' to='alice@a.example/x'/>");
    alice.send("<iq type='get' id='2' to='alice@a.example'><note xmlns='urn:test:note'/></iq>");
    alice.expect(
        "<iq type='result' id='2' from='alice@a.example' to='alice@a.example/x'>\
         <note xmlns='urn:test:note'>milk</note></iq>",
    );
}

#[test]
fn the_handler_of_the_payload_decides_for_the_payload_only() {
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    let ask = |xml: &str| {
        let answer = alice.ask(xml);
        let error = answer.find(ns::CLIENT, "error")?.child_elements().next()?.name().to_owned();
        Some(error)
    };
    let bad = "<iq type='set'><note xmlns='urn:test:note'>bad</note></iq>";
    assert_eq!(ask(bad).as_deref(), Some("bad-request"));
    let other_name = "<iq type='get'><other xmlns='urn:test:note'/></iq>";
    assert_eq!(ask(other_name).as_deref(), Some("service-unavailable"));
    let other_namespace = "<iq type='get'><note xmlns='urn:test:other'/></iq>";
    assert_eq!(ask(other_namespace).as_deref(), Some("service-unavailable"));
    let set_to_server = "<iq type='set' to='a.example'><note xmlns='urn:test:note'/></iq>";
    assert_eq!(ask(set_to_server).as_deref(), Some("service-unavailable"));
}

#[test]
fn the_server_answers_in_the_turn_of_the_sender() {
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    for host in ["a.example", "b.example"] {
        alice
            .send(&format!("<iq type='get' id='1' to='{host}'><note xmlns='urn:test:note'/></iq>"));
        alice.expect(&format!(
            "<iq type='result' id='1' from='{host}' to='alice@a.example/x'>\
             <note xmlns='urn:test:note'>alice@a.example</note></iq>"
        ));
    }
}

#[test]
fn a_stranger_gets_what_is_public_and_nothing_else() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/x")];
    alice.ask("<iq type='set'><note xmlns='urn:test:note'>milk</note></iq>");
    bob.send("<iq type='get' id='1' to='alice@a.example'><note xmlns='urn:test:note'/></iq>");
    bob.expect(
        "<iq type='result' id='1' from='alice@a.example' to='bob@b.example/x'>\
         <note xmlns='urn:test:note'>milk</note></iq>",
    );
    bob.send(
        "<iq type='set' id='2' to='alice@a.example'><note xmlns='urn:test:note'>!</note></iq>",
    );
    bob.expect(&unavailable("bob@b.example/x", "alice@a.example", "2"));
    let note = scene.in_home("alice@a.example", |turn| turn.get(&NOTE, &()));
    assert_eq!(note.as_deref().map(String::as_str), Some("milk"));
    alice.expect_nothing();
}

#[test]
fn sessions_ask_one_another() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.send("<iq type='get' id='1' to='bob@b.example/y'><q xmlns='urn:any'/></iq>");
    bob.expect(
        "<iq type='get' id='1' from='alice@a.example/x' to='bob@b.example/y'>\
         <q xmlns='urn:any'/></iq>",
    );
    bob.send("<iq type='result' id='1' to='alice@a.example/x'/>");
    alice.expect("<iq type='result' id='1' from='bob@b.example/y' to='alice@a.example/x'/>");
    alice.send("<iq type='get' id='2' to='bob@b.example/nowhere'><q xmlns='urn:any'/></iq>");
    alice.expect(&unavailable("alice@a.example/x", "bob@b.example/nowhere", "2"));
    alice.send("<iq type='get' id='3' to='alice@a.example/x'><q xmlns='urn:any'/></iq>");
    alice.expect(
        "<iq type='get' id='3' from='alice@a.example/x' to='alice@a.example/x'>\
         <q xmlns='urn:any'/></iq>",
    );
}

#[test]
fn answers_are_never_answered() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    let note = "<note xmlns='urn:test:note'/>";
    for to in ["", "to='a.example'", "to='alice@a.example'", "to='bob@b.example'"] {
        alice.send(&format!("<iq type='result' id='1' {to}>{note}</iq>"));
        alice.send(&format!("<iq type='result' id='1' {to}/>"));
        alice.send(&format!("<iq type='error' id='1' {to}/>"));
    }
    alice.send("<iq type='result' id='1' to='bob@b.example/nowhere'/>");
    alice.send("<iq type='result' id='1' to='nobody@b.example/x'/>");
    alice.expect_nothing();
    bob.expect_nothing();
}

#[test]
fn the_server_describes_itself() {
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    let info = "http://jabber.org/protocol/disco#info";
    let answer = alice.ask(&format!("<iq type='get' to='a.example'><query xmlns='{info}'/></iq>"));
    let query = answer.find(info, "query").expect("a description");
    let features: Vec<&str> = query
        .child_elements()
        .filter(|child| child.name() == "feature")
        .filter_map(|child| child.attribute("var"))
        .collect();
    assert_eq!(features, scene.router().registry().disco(Entity::Server));
    assert!(features.contains(&info));
    let identity = query.find(info, "identity").expect("an identity");
    assert_eq!(identity.attribute("category"), Some("server"));
    assert_eq!(identity.attribute("type"), Some("im"));
    // The capabilities in the stream features name a node that describes the same.
    let caps = scene.router().registry().stream_features().pop().expect("capabilities");
    assert_eq!(caps.ns(), ns::CAPS);
    let node = format!("{}#{}", caps.attribute("node").unwrap(), caps.attribute("ver").unwrap());
    let same = alice
        .ask(&format!("<iq type='get' to='a.example'><query xmlns='{info}' node='{node}'/></iq>"));
    let same = same.find(info, "query").expect("a description");
    assert_eq!(same.attribute("node"), Some(node.as_str()));
    assert_eq!(same.child_elements().count(), query.child_elements().count());
    let other =
        alice.ask(&format!("<iq type='get' to='a.example'><query xmlns='{info}' node='x'/></iq>"));
    let error = other.find(ns::CLIENT, "error").expect("an error");
    assert!(error.find(ns::STANZAS, "item-not-found").is_some());
    let items = alice.ask(
        "<iq type='get' to='a.example'>\
         <query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    );
    assert_eq!(items.attribute("type"), Some("result"));
}

#[test]
fn an_account_describes_itself_to_its_owner_and_to_subscribers() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    let info = |device: &Device| {
        device.ask(
            "<iq type='get' to='alice@a.example'>\
             <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        )
    };
    let own = info(&alice);
    assert_eq!(own.attribute("type"), Some("result"));
    let query = own.find(ns::DISCO_INFO, "query").expect("a description");
    let vars: Vec<_> = query.child_elements().filter_map(|it| it.attribute("var")).collect();
    assert!(vars.contains(&Note::NS), "{vars:?}");
    let refused = info(&bob);
    assert!(
        refused
            .find(ns::CLIENT, "error")
            .unwrap()
            .find(ns::STANZAS, "service-unavailable")
            .is_some()
    );
    bob.send("<presence type='subscribe' to='alice@a.example'/>");
    assert_eq!(info(&bob).attribute("type"), Some("result"));
}
