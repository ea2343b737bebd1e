//! What a loaded home is asked to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use longwire_stanza::{
    BareJid, Condition, Kind, Stanza, StanzaError, StreamCondition, StreamError,
};

use super::{Bind, Cause, Input, Job, Line, Pending, Place, Shard};
use crate::event::{Down, SessionDown, SessionUp};
use crate::handoff::Handoff;
use crate::home::Home;
use crate::ids;
use crate::nobody;
use crate::outbox;
use crate::router::JobError;
use crate::session::{Session, SessionId, SessionRef};
use crate::turn::{Path, Turn, World};

impl Shard {
    /// Handles an input; its home is in memory.
    pub(super) fn handle(&mut self, account: &BareJid, input: Input) {
        match input {
            Input::Handoff(handoff) => self.receive(account, handoff),
            Input::Bind(bind) => self.bind(account, bind),
            Input::Job(job) => self.job(account, job),
            Input::Down { session, reason } => self.down(account, session, reason),
        }
        self.touch(account);
    }

    /// A session sent a stanza.
    pub(super) fn stanza(&mut self, session: SessionId, stanza: Stanza) {
        // What is under way when a session ends goes with it.
        let Some(line) = self.lines.get(&session) else { return };
        let account = line.account.clone();
        self.turn(&account, Cause::default(), Path::Send(session), Some(stanza), |turn| {
            turn.run_send();
        });
    }

    /// A stanza came to the account.
    fn receive(&mut self, account: &BareJid, handoff: Handoff) {
        let Handoff { stanza, gate, row, .. } = handoff;
        let exists =
            self.home(account).is_some_and(|home| home.exists(self.shared.registry.marker));
        let cause = Cause { gate, row, arrived: Some(stanza.clone()), done: None };
        self.turn(account, cause, Path::Receive, Some(stanza), |turn| {
            if exists {
                turn.run_receive();
            } else {
                nobody::receive(turn);
            }
        });
    }

    /// Another part of the server wants a turn.
    fn job(&mut self, account: &BareJid, job: Job) {
        let Job { run, done, .. } = job;
        let cause = Cause { done: Some(done), ..Cause::default() };
        self.turn(account, cause, Path::Inside, None, run);
    }

    /// A client binds a resource (RFC 6120 §7).
    fn bind(&mut self, account: &BareJid, bind: Bind) {
        let Some(home) = self.home(account) else { return };
        if !home.exists(self.shared.registry.marker) {
            // Whoever asked may have gone.
            return drop(bind.reply.send(Err(Condition::NotAllowed.into())));
        }
        let taken = bind.resource.as_ref().and_then(|jid| home.session_of(jid.resource()));
        if let Some(old) = taken.map(|session| session.id()) {
            // §7.7.2.2: the old session ends; this one is bound when it has.
            if let Some(line) = self.lines.get(&old) {
                line.outbox.end(Some(StreamError::new(StreamCondition::Conflict)));
            }
            self.ready.push_front((account.clone(), Input::Bind(bind)));
            let down = Input::Down { session: old, reason: Down::Replaced };
            return self.ready.push_front((account.clone(), down));
        }
        if home.sessions.len() >= self.shared.limits.resources {
            return drop(bind.reply.send(Err(Condition::ResourceConstraint.into())));
        }
        let jid = match bind.resource {
            Some(jid) => Ok(jid),
            None => account.with_resource(&ids::fresh(&mut self.rng)),
        };
        let (Ok(jid), Some(commands)) = (jid, self.sender.upgrade()) else {
            let error = StanzaError::new(Condition::InternalServerError);
            return drop(bind.reply.send(Err(error)));
        };
        let id = SessionId(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        let (sender, outbox) = outbox::channel(&self.shared.limits);
        self.lines.insert(id, Line { account: account.clone(), outbox: sender });
        if let Some(Place::Loaded(home)) = self.homes.get_mut(account) {
            home.sessions.insert(id, Arc::new(Session::new(id, jid.clone())));
        }
        self.turn(account, Cause::default(), Path::Inside, None, |turn| {
            turn.emit(SessionUp { session: id });
        });
        // When nobody waits any more, dropping the reply ends the session.
        drop(bind.reply.send(Ok((SessionRef::new(id, jid, commands), outbox))));
    }

    /// A session has ended.
    fn down(&mut self, account: &BareJid, id: SessionId, reason: Down) {
        let left = self.lines.remove(&id).map(|line| line.outbox.unsent());
        let (unsent, gate) = left.unwrap_or_default();
        let Some(Place::Loaded(home)) = self.homes.get_mut(account) else { return };
        let Some(session) = home.sessions.remove(&id) else { return };
        let session = Arc::unwrap_or_clone(session);
        let cause = Cause { gate, ..Cause::default() };
        self.turn(account, cause, Path::Inside, None, |turn| {
            //= RFC 6120 §8.2.3: whoever asked something gets an answer
            for request in unsent.iter().filter(|stanza| is_question(stanza, account)) {
                if let Some(answer) = request.error(&Condition::ServiceUnavailable.into()) {
                    turn.route(answer);
                }
            }
            turn.emit(SessionDown { session, reason, unsent });
        });
    }

    /// Runs one turn and applies it. A panic discards it: the stanza is answered with
    /// `internal-server-error`, and the shard goes on.
    fn turn(
        &mut self,
        account: &BareJid,
        mut cause: Cause,
        path: Path,
        stanza: Option<Stanza>,
        body: impl FnOnce(&mut Turn<'_>),
    ) {
        let Some(Place::Loaded(home)) = self.homes.get(account) else { return };
        let shared = &self.shared;
        shared.counts.turns.fetch_add(1, Ordering::Relaxed);
        let world = World {
            registry: &shared.registry,
            hosts: &shared.hosts,
            started: shared.started,
            now: shared.clock.now(),
            wall: shared.clock.wall(),
        };
        let mut turn = Turn::new(world, home, &mut self.rng, path, stanza.clone());
        // Nothing of a turn is seen by anybody unless it ends: the home is only read.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            body(&mut turn);
            turn.run_events();
        }));
        let effects = if outcome.is_ok() {
            turn.finish()
        } else {
            shared.counts.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(?path, "a stage panicked; its turn is discarded");
            if let Some(done) = cause.done.take() {
                // Whoever asked may have gone.
                let _ = done.send(Err(JobError::Panicked));
            }
            let mut turn = Turn::new(world, home, &mut self.rng, path, stanza);
            turn.refuse(Condition::InternalServerError.into());
            turn.finish()
        };
        self.apply(Pending { account: account.clone(), cause, effects, handoffs: Vec::new() });
    }

    fn home(&self, account: &BareJid) -> Option<&Home> {
        match self.homes.get(account) {
            Some(Place::Loaded(home)) => Some(home),
            Some(Place::Loading { .. }) | None => None,
        }
    }
}

/// True for a request of somebody else: what the account and the server ask is a push.
fn is_question(stanza: &Stanza, account: &BareJid) -> bool {
    stanza.kind() == Kind::Iq
        && stanza.is_request()
        && stanza.from().is_some_and(|from| !from.is_domain() && *from != *account.as_str())
}
