//! Last activity: how long an account has been away, and the server up (XEP-0012).

use crate::limits::STATUS_BYTES;
use crate::presence::{self, WentAway};
use crate::roster;
use longwire_core::event::SessionDown;
use longwire_core::store::record::{Reader, put_opt_str, put_u64};
use longwire_core::store::{Record, RecordError, Table};
use longwire_core::xml::Element;
use longwire_core::{Entity, Feature, Flow, NoConfig, Registrar, Turn};
use longwire_stanza::xep::last::{Last as Answer, Request};
use longwire_stanza::{Condition, IqType, Jid, Kind, Payload, StanzaError, ns};
use std::sync::Arc;

/// When and with which words an account went.
const GONE: Table<(), Gone> = Table::account("im_gone", 1);

/// The feature.
pub struct Last;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Gone {
    /// Microseconds of the wall clock.
    at: u64,
    status: Option<String>,
}

impl Record for Gone {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.at);
        put_opt_str(out, self.status.as_deref());
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let gone = Self { at: reader.u64()?, status: reader.opt_str()?.map(str::to_owned) };
        reader.finish()?;
        Ok(gone)
    }
}

impl Feature for Last {
    const NAME: &'static str = "last";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.xep(12, "2.0");
        r.table(&GONE);
        r.disco(Entity::Account, &[ns::LAST]);
        r.disco(Entity::Server, &[ns::LAST]);
        r.iq_get_public(Entity::Account, &self, Self::account);
        r.iq_get(Entity::Server, &self, Self::uptime);
        r.screen_receive(&self, Self::screen);
        r.on(&self, Self::went_away);
        r.on(&self, Self::session_down);
    }
}

impl Last {
    //= XEP-0012 §3
    fn account(&self, turn: &mut Turn<'_>, _: Request) -> Result<Option<Element>, StanzaError> {
        if !may_know(turn) {
            return Err(Condition::Forbidden.into());
        }
        let (seconds, status) = match turn.get(&GONE, &()) {
            _ if !presence::available(turn).is_empty() => (0, None),
            None => return Err(Condition::ItemNotFound.into()),
            Some(gone) => {
                (turn.wall_clock().saturating_sub(gone.at) / 1_000_000, gone.status.clone())
            }
        };
        Ok(Some(Answer { seconds, status }.element()))
    }

    //= XEP-0012 §5
    fn uptime(&self, turn: &mut Turn<'_>, _: Request) -> Result<Option<Element>, StanzaError> {
        let seconds = turn.uptime().as_secs();
        Ok(Some(Answer { seconds, status: None }.element()))
    }

    //= XEP-0012 §4: a session answers for itself, but not to everybody
    fn screen(&self, turn: &mut Turn<'_>) -> Flow {
        let stanza = turn.stanza();
        let is_question = stanza.kind() == Kind::Iq
            && stanza.iq_type() == IqType::Get
            && stanza.to().is_some_and(|to| !to.is_bare())
            && stanza.child(Request::NS, Request::NAME).is_some();
        if !is_question || may_know(turn) {
            return Flow::Continue;
        }
        turn.refuse(Condition::Forbidden.into());
        Flow::Stop
    }

    fn went_away(&self, turn: &mut Turn<'_>, away: &WentAway) {
        if presence::available(turn).is_empty() {
            let mut status = away.status.clone();
            if let Some(status) = &mut status {
                status.truncate(status.floor_char_boundary(STATUS_BYTES));
            }
            let at = turn.wall_clock();
            turn.put(&GONE, &(), Gone { at, status });
        }
    }

    /// An account that said goodbye and stayed connected for a while has gone now.
    fn session_down(&self, turn: &mut Turn<'_>, down: &SessionDown) {
        if turn.sessions().is_empty() && !down.session.is_available() {
            let status = turn.get(&GONE, &()).and_then(|gone| gone.status.clone());
            let at = turn.wall_clock();
            turn.put(&GONE, &(), Gone { at, status });
        }
    }
}

/// Whether whoever asks may see the account's presence.
fn may_know(turn: &Turn<'_>) -> bool {
    let from = turn.stanza().from().map(Jid::bare);
    turn.is_owner()
        || from.is_some_and(|from| roster::entry(turn, &from).is_some_and(|item| item.inward))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_error, befriend, online, scene};
    use longwire_core::testkit::Device;
    use std::time::Duration;

    fn ask(device: &Device, to: &str) -> Element {
        device.ask(&format!("<iq type='get' to='{to}'><query xmlns='jabber:iq:last'/></iq>"))
    }

    /// Seconds, and what the account said when it went.
    fn told(answer: &Element) -> (u64, String) {
        let query = answer.find(ns::LAST, "query").unwrap_or_else(|| panic!("came: {answer}"));
        let seconds = query.attribute("seconds").unwrap_or_default().parse();
        (seconds.unwrap(), query.text_content().into_owned())
    }

    //= test XEP-0012 §3
    #[test]
    fn a_contact_learns_how_long_somebody_has_been_away_even_after_a_crash() {
        let mut scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        let bob = online(&scene, "bob@b.example/desk");
        befriend(&alice, &bob);
        assert_eq!(told(&ask(&bob, "alice@a.example")), (0, String::new()));
        alice.send("<presence type='unavailable'><status>Heading home</status></presence>");
        scene.advance(Duration::from_secs(60));
        alice.close();
        scene.advance(Duration::from_secs(903));
        assert_eq!(told(&ask(&bob, "alice@a.example")), (903, "Heading home".to_owned()));
        scene.crash();
        let bob = online(&scene, "bob@b.example/desk");
        let (seconds, status) = told(&ask(&bob, "alice@a.example"));
        assert!((903..905).contains(&seconds), "{seconds}");
        assert_eq!(status, "Heading home");
    }

    #[test]
    fn a_session_that_broke_has_said_nothing() {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        let bob = online(&scene, "bob@b.example/desk");
        befriend(&alice, &bob);
        alice.send("<presence type='unavailable'><status>old</status></presence>");
        alice.send("<presence/>");
        alice.lose();
        scene.advance(Duration::from_secs(7));
        assert_eq!(told(&ask(&bob, "alice@a.example")), (7, String::new()));
    }

    #[test]
    fn nobody_has_gone_while_another_session_is_there() {
        let scene = scene();
        let phone = online(&scene, "alice@a.example/phone");
        let laptop = online(&scene, "alice@a.example/laptop");
        phone.close();
        scene.advance(Duration::from_secs(7));
        assert_eq!(told(&ask(&laptop, "alice@a.example")).0, 0);
        let is_written = scene.in_home("alice@a.example", |turn| turn.get(&GONE, &()).is_some());
        assert!(!is_written, "a row that nobody needs");
    }

    //= test XEP-0012 §3
    #[test]
    fn strangers_learn_nothing_of_accounts_and_sessions() {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        let mallory = online(&scene, "mallory@b.example/x");
        assert_error(&ask(&mallory, "alice@a.example"), "forbidden", "auth");
        assert_error(&ask(&mallory, "alice@a.example/phone"), "forbidden", "auth");
        alice.expect_nothing();
    }

    //= test XEP-0012 §4
    #[test]
    fn a_session_answers_contacts_itself() {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        let bob = online(&scene, "bob@b.example/desk");
        befriend(&alice, &bob);
        bob.send(
            "<iq type='get' id='l' to='alice@a.example/phone'><query xmlns='jabber:iq:last'/></iq>",
        );
        alice.expect(
            "<iq type='get' id='l' from='bob@b.example/desk' to='alice@a.example/phone'>\
             <query xmlns='jabber:iq:last'/></iq>",
        );
        bob.expect_nothing();
    }

    #[test]
    fn an_account_that_never_came_has_no_last_activity() {
        let scene = scene();
        let silent = scene.session("alice@a.example/phone");
        assert_error(&ask(&silent, "alice@a.example"), "item-not-found", "cancel");
    }

    //= test XEP-0012 §5
    #[test]
    fn the_server_tells_how_long_it_has_been_up() {
        let scene = scene();
        let alice = scene.session("alice@a.example/phone");
        scene.advance(Duration::from_secs(100));
        let (seconds, _) = told(&ask(&alice, "a.example"));
        assert!((100..102).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_status_is_kept_up_to_its_limit() {
        for (bytes, kept) in [
            (STATUS_BYTES - 1, STATUS_BYTES - 1),
            (STATUS_BYTES, STATUS_BYTES),
            (STATUS_BYTES + 1, STATUS_BYTES),
        ] {
            let scene = scene();
            let alice = online(&scene, "alice@a.example/phone");
            let status = "x".repeat(bytes);
            alice.send(&format!(
                "<presence type='unavailable'><status>{status}</status></presence>"
            ));
            assert_eq!(told(&ask(&alice, "alice@a.example")).1.len(), kept);
        }
    }
}
