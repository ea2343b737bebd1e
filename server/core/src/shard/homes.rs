//! Homes in memory: reading them from the store, and letting the oldest unused ones go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use longwire_stanza::{BareJid, Condition};
use longwire_store::{Row, StoreError};
use tokio::task::{Id, JoinError};

use super::{Input, Place, Shard};
use crate::home::Home;
use crate::router::JobError;

/// A home that was read.
pub(crate) struct Load {
    account: BareJid,
    rows: Result<Vec<Row>, StoreError>,
}

impl Shard {
    /// Handles an input in its home, or keeps it while the home is being read.
    pub(super) fn input(&mut self, account: &BareJid, input: Input) {
        match self.homes.get_mut(account) {
            Some(Place::Loaded(home)) => {
                // An account that did not exist may have been created by another process.
                let again = matches!(&input, Input::Bind(bind) if !bind.looked)
                    && home.sessions.is_empty()
                    && home.written <= self.durable
                    && !home.exists(self.shared.registry.marker);
                if again && home.idle.is_some() {
                    self.drop_home(account);
                    return self.load(account, input);
                }
                self.handle(account, input);
            }
            Some(Place::Loading { waiting, durable }) => {
                let limits = &self.shared.limits;
                let is_durable = matches!(&input, Input::Handoff(it) if it.row.is_some());
                let fits = if is_durable {
                    *durable < limits.waiting_durable
                } else {
                    waiting.len() - *durable < limits.waiting
                };
                if !fits {
                    return self.turn_away(input, Condition::ResourceConstraint);
                }
                *durable += usize::from(is_durable);
                waiting.push_back(input);
            }
            None => self.load(account, input),
        }
    }

    /// Starts to read a home for its first input.
    fn load(&mut self, account: &BareJid, mut input: Input) {
        if let Input::Bind(bind) = &mut input {
            bind.looked = true;
        }
        if self.load_ids.len() + self.load_queue.len() >= self.shared.limits.loading {
            return self.turn_away(input, Condition::ResourceConstraint);
        }
        let durable = usize::from(matches!(&input, Input::Handoff(it) if it.row.is_some()));
        let place = Place::Loading { waiting: VecDeque::from([input]), durable };
        self.homes.insert(account.clone(), place);
        self.load_queue.push_back(account.clone());
        self.start_loads();
    }

    fn start_loads(&mut self) {
        while self.load_ids.len() < self.shared.limits.loads {
            let Some(account) = self.load_queue.pop_front() else { return };
            let (shared, owner) = (Arc::clone(&self.shared), account.clone());
            let task = self.loads.spawn(async move {
                let rows = shared.store.load_owner(&shared.tables, owner.as_str()).await;
                Load { account: owner, rows }
            });
            self.load_ids.insert(task.id(), account);
            let at_once = self.load_ids.len() as u64;
            self.shared.counts.loads_at_once.fetch_max(at_once, Ordering::Relaxed);
        }
    }

    /// A home was read: what waited for it is next.
    pub(super) fn loaded(&mut self, load: Result<(Id, Load), JoinError>) {
        let id = match &load {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(account) = self.load_ids.remove(&id) else { return };
        let home = match load {
            Ok((_, Load { account, rows: Ok(rows) })) => {
                Home::load(account, &self.shared.registry.tables, rows)
                    .map_err(|(table, error)| format!("table {table}: {error}"))
            }
            Ok((_, Load { rows: Err(error), .. })) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.start_loads();
        let Some(Place::Loading { waiting, .. }) = self.homes.remove(&account) else { return };
        match home {
            Ok(home) => {
                self.shared.counts.loads.fetch_add(1, Ordering::Relaxed);
                self.homes.insert(account.clone(), Place::Loaded(Box::new(home)));
                // They came before anything for this home that is in the queue.
                for input in waiting.into_iter().rev() {
                    self.ready.push_front((account.clone(), input));
                }
                self.touch(&account);
            }
            Err(error) => {
                tracing::error!(%error, "a home could not be read");
                for input in waiting {
                    self.turn_away(input, Condition::InternalServerError);
                }
            }
        }
    }

    /// Refuses an input whose home is not there.
    fn turn_away(&mut self, input: Input, condition: Condition) {
        match input {
            Input::Handoff(handoff) if handoff.row.is_some() => {
                // Its row stays: it arrives after the next start.
                self.shared.counts.postponed.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a durable handoff was postponed to the next start");
            }
            Input::Handoff(handoff) => {
                let answer = handoff.stanza.error(&condition.into());
                let back = answer.and_then(|answer| self.resolve(&answer));
                if let Some(back) = back {
                    self.forward(back);
                }
            }
            // Whoever asked may have gone.
            Input::Bind(bind) => drop(bind.reply.send(Err(condition.into()))),
            Input::Job(job) => drop(job.done.send(Err(JobError::Unavailable))),
            Input::Down { .. } => {}
        }
    }

    /// Notes that a home was used; lets the least recently used ones without sessions go.
    pub(super) fn touch(&mut self, account: &BareJid) {
        let Some(Place::Loaded(home)) = self.homes.get_mut(account) else { return };
        if let Some(place) = home.idle.take() {
            self.idle.remove(&place);
        }
        if home.sessions.is_empty() {
            home.idle = Some(self.idle_next);
            self.idle.insert(self.idle_next, account.clone());
            self.idle_next += 1;
        }
        while self.idle.len() > self.shared.limits.homes_idle {
            let Some((_, oldest)) = self.idle.first_key_value() else { return };
            let oldest = oldest.clone();
            if !self.is_durable(&oldest) {
                // The store would not know its latest writes yet; they are soon there.
                return;
            }
            self.drop_home(&oldest);
        }
    }

    /// Forgets the homes without sessions, as the store was changed by somebody else. The others
    /// are returned.
    pub(super) fn forget(&mut self) -> Vec<BareJid> {
        let idle: Vec<BareJid> = self.idle.values().cloned().collect();
        for account in idle {
            if self.is_durable(&account) {
                self.drop_home(&account);
            }
        }
        let busy = |place: &Place| matches!(place, Place::Loaded(home) if home.idle.is_none());
        let kept = self.homes.iter().filter(|(_, place)| busy(place));
        kept.map(|(account, _)| account.clone()).collect()
    }

    fn is_durable(&self, account: &BareJid) -> bool {
        match self.homes.get(account) {
            Some(Place::Loaded(home)) => home.written <= self.durable,
            Some(Place::Loading { .. }) | None => false,
        }
    }

    fn drop_home(&mut self, account: &BareJid) {
        if let Some(Place::Loaded(home)) = self.homes.remove(account)
            && let Some(place) = home.idle
        {
            self.idle.remove(&place);
        }
    }
}
