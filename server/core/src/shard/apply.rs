//! Applying a turn: the one place where anything happens.

use std::sync::atomic::Ordering;

use longwire_stanza::{
    BareJid, Condition, Kind, Stanza, StanzaError, StreamCondition, StreamError,
};
use longwire_store::{Batch, Full, Lsn};

use super::{Cause, Input, Pending, Place, Shard};
use crate::event::Down;
use crate::handoff::{self, Handoff};
use crate::home::Home;
use crate::outbox::{Class, Offer, Outbound};
use crate::route::{Destination, destination};
use crate::session::SessionId;
use crate::turn::{Delivery, Effects, Routed};

impl Shard {
    /// Writes what the turn wrote as one batch, then does the rest.
    pub(super) fn apply(&mut self, mut pending: Pending) {
        for Routed { stanza, durable } in std::mem::take(&mut pending.effects.routed) {
            if let Some(mut handoff) = self.resolve(&stanza) {
                handoff.row = durable.then(|| self.shared.next_row.fetch_add(1, Ordering::Relaxed));
                pending.handoffs.push(handoff);
            }
        }
        let batch = self.batch(&pending);
        if batch.is_empty() { self.commit(pending, None) } else { self.append(batch, pending) }
    }

    /// Tries again what the journal had no room for.
    pub(super) fn retry(&mut self) {
        if let Some((batch, pending)) = self.stalled.take() {
            self.append(batch, pending);
        }
    }

    fn append(&mut self, batch: Batch, pending: Pending) {
        match self.shared.store.append(batch) {
            Ok(lsn) => self.commit(pending, Some(lsn)),
            Err(Full { batch, refusal: longwire_store::Refusal::Busy }) => {
                self.stalled = Some((batch, pending));
            }
            // All tables were checked at the start, so the journal has ended.
            Err(Full { .. }) => self.fail(),
        }
    }

    /// Where a stanza goes; an error goes back to its sender when it cannot go anywhere.
    pub(super) fn resolve(&self, stanza: &Stanza) -> Option<Handoff> {
        let hosts = &self.shared.hosts;
        let home = |stanza: &Stanza| match destination(stanza.to()?, hosts) {
            Destination::Home(to) => {
                Some(Handoff { to, stanza: stanza.clone(), gate: Lsn::ZERO, row: None })
            }
            Destination::Server | Destination::Remote => None,
        };
        let Some(to) = stanza.to() else {
            tracing::error!("a stanza without an address was routed");
            return None;
        };
        let error = match destination(to, hosts) {
            Destination::Home(_) => return home(stanza),
            Destination::Server if stanza.kind() == Kind::Presence => return None,
            Destination::Server => Condition::ServiceUnavailable,
            // A broadcast tells nothing new to a server that is not there.
            Destination::Remote if is_broadcast(stanza) => return None,
            Destination::Remote => Condition::RemoteServerNotFound,
        };
        home(&stanza.error(&StanzaError::new(error))?)
    }

    fn batch(&self, pending: &Pending) -> Batch {
        let mut batch = Batch::new();
        let owner = pending.account.as_str();
        if pending.effects.erase {
            for table in self.shared.registry.account_tables() {
                batch.erase_owner(table, owner);
            }
        } else {
            for writes in &pending.effects.writes {
                for (key, written) in &writes.rows {
                    match written {
                        Some(written) => {
                            batch.put_raw(writes.info, owner, key, &written.bytes);
                        }
                        None => batch.delete_raw(writes.info, owner, key),
                    }
                }
            }
        }
        if let Some(row) = pending.cause.row {
            batch.delete(&handoff::TABLE, owner, &row);
        }
        for handoff in &pending.handoffs {
            if let Some(row) = &handoff.row {
                let record = Handoff::record(&handoff.stanza);
                batch.put(&handoff::TABLE, handoff.to.as_str(), row, &record);
            }
        }
        batch
    }

    /// The turn has its place in the journal: it is now true for everybody inside, and for
    /// everybody outside when the journal is durable.
    fn commit(&mut self, pending: Pending, lsn: Option<Lsn>) {
        let Pending { account, cause, effects, handoffs } = pending;
        let written = lsn.unwrap_or(Lsn::ZERO);
        let gate = written.max(cause.gate).max(effects.seen);
        self.written = self.written.max(written);
        let Effects { writes, sessions, deliveries, mut ended, erase, .. } = effects;
        if let Some(Place::Loaded(home)) = self.homes.get_mut(&account) {
            update(home, writes, erase, written);
            for (id, session) in sessions {
                if let Some(current) = home.sessions.get_mut(&id) {
                    *current = session;
                }
            }
            if erase {
                let error = StreamError::new(StreamCondition::NotAuthorized);
                ended.extend(home.sessions.keys().map(|id| (*id, error.clone())));
            }
        }
        for handoff in handoffs {
            self.forward(Handoff { gate, ..handoff });
        }
        ended.extend(self.deliver(&account, &cause, deliveries, gate));
        for (session, error) in ended {
            if let Some(line) = self.lines.get(&session) {
                line.outbox.end(Some(error));
                let down = Input::Down { session, reason: Down::Ended };
                self.ready.push_back((account.clone(), down));
            }
        }
        if let Some(done) = cause.done {
            // Whoever asked may have gone.
            let _ = done.send(Ok(gate));
        }
    }

    /// Puts what the turn delivers into the outboxes. A message or a request that reaches no
    /// session of the account, because all that it was for are full or gone, is answered. The
    /// sessions that have no room for what the account itself asks of them cannot go on, as
    /// nothing would ever tell them what they have missed; they are returned with the reason.
    fn deliver(
        &mut self,
        account: &BareJid,
        cause: &Cause,
        deliveries: Vec<Delivery>,
        gate: Lsn,
    ) -> Vec<(SessionId, StreamError)> {
        let mut overrun = Vec::new();
        let mut reached = false;
        let mut failed = None;
        for Delivery { session, stanza, class } in deliveries {
            let class = class.unwrap_or_else(|| Class::of(&stanza, account.as_str()));
            let is_push = is_push(&stanza, account);
            let arrived = cause.arrived.as_ref().filter(|arrived| arrived.from() == stanza.from());
            let offer = match self.lines.get(&session) {
                Some(line) => line.outbox.offer(Outbound { stanza, class }, gate, self.durable),
                None => Offer::Gone,
            };
            let counts = &self.shared.counts;
            match offer {
                Offer::Held { first: true } => {
                    self.gates.entry(gate).or_default().push(session);
                    reached = true;
                }
                Offer::Open | Offer::Held { first: false } | Offer::Coalesced => reached = true,
                Offer::Dropped => {
                    counts.outbox_dropped.fetch_add(1, Ordering::Relaxed);
                    reached = true;
                }
                Offer::Full | Offer::Gone => {
                    counts.outbox_refused.fetch_add(1, Ordering::Relaxed);
                    let full = Condition::ResourceConstraint;
                    let gone = Condition::ServiceUnavailable;
                    if arrived.is_some() {
                        failed = Some(if offer == Offer::Full { full } else { gone });
                    } else if is_push && offer == Offer::Full {
                        let error = StreamError::new(StreamCondition::ResourceConstraint);
                        overrun.push((session, error.with_text("too much waits for the client")));
                    }
                }
            }
        }
        let (false, Some(condition), Some(arrived)) = (reached, failed, &cause.arrived) else {
            return overrun;
        };
        if arrived.kind() == Kind::Presence {
            return overrun;
        }
        let answer = arrived.error(&condition.into());
        if let Some(back) = answer.and_then(|answer| self.resolve(&answer)) {
            self.forward(Handoff { gate, ..back });
        }
        overrun
    }
}

/// Takes the turn's writes over into the home.
fn update(home: &mut Home, writes: Vec<crate::turn::TableWrites>, erase: bool, written: Lsn) {
    home.written = home.written.max(written);
    if erase {
        for table in &mut home.tables {
            table.rows.clear();
            table.written = written;
        }
        return;
    }
    for writes in writes {
        let Some(table) = home.tables.get_mut(writes.table) else { continue };
        if writes.rows.is_empty() {
            continue;
        }
        table.written = table.written.max(written);
        for (key, written) in writes.rows {
            match written {
                Some(written) => drop(table.rows.insert(key, written.value)),
                None => drop(table.rows.remove(&key)),
            }
        }
    }
}

/// Presence that tells a contact's bare JID whether a session is there.
fn is_broadcast(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Presence
        && stanza.to().is_some_and(|to| to.is_bare())
        && !stanza.presence_type().is_subscription()
}

/// A request of the account to its own session, such as a roster push (RFC 6121 §2.1.6).
fn is_push(stanza: &Stanza, account: &BareJid) -> bool {
    stanza.is_request() && stanza.from().is_none_or(|from| from.as_str() == account.as_str())
}
