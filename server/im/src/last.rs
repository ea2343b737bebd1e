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
