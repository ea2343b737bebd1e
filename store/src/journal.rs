//! The journal: one ordered sequence of batches with a durable watermark.
//!
//! [`Journal`] is the queue between those who append and the one writer of a back end. It gives
//! out sequence numbers, keeps the bounds and forms the groups. It does not know what a disk is.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use tokio::sync::{Notify, watch};

use crate::batch::Batch;
use crate::error::{Failure, Full, Refusal};
use crate::limits::JournalLimits;

/// A log sequence number: the place of a batch in the journal.
///
/// Numbers rise by one per batch and go on rising when the store is opened again. A number that
/// was given out but not covered by the watermark before a crash may be given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(u64);

impl Lsn {
    /// Before the first batch.
    pub const ZERO: Self = Self(0);

    /// The number as a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The place with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The newest batch that is durable, and with it every earlier one.
pub type Watermark = watch::Receiver<Lsn>;

/// Batches that are committed together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) batches: Vec<Batch>,
    /// The number of the last batch.
    pub(crate) last: Lsn,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Commit(Group),
    /// Look whether another process has written, and report under this number.
    Probe(u64),
    Idle,
    Done,
}

/// How a writer that has nothing to do is woken.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A thread that parks; it puts itself here first.
    Thread(OnceLock<Thread>),
    /// A task.
    Task(Notify),
}

/// The queue in front of a writer.
#[derive(Debug)]
pub(crate) struct Journal {
    /// A lock and not a channel: a number and a place in the queue must be given in one step, the
    /// bound counts bytes too, and the caller cannot wait. It is held for a few moves only.
    queue: Mutex<Queue>,
    limits: JournalLimits,
    space: Notify,
    pub(crate) wake: Wake,
    failure: watch::Sender<Option<Failure>>,
    disk_full: watch::Sender<bool>,
    probed: watch::Sender<Probed>,
}

/// The answer to a probe: which one, and how many changes from outside were seen up to now.
#[derive(Debug, Clone, Copy, Default)]
struct Probed {
    probe: u64,
    changes: u64,
}

#[derive(Debug)]
struct Queue {
    batches: VecDeque<Batch>,
    bytes: usize,
    assigned: Lsn,
    probe: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Takes nothing more; what waits is still written.
    Closing,
    Stopped,
}

impl Journal {
    pub(crate) fn new(limits: JournalLimits, start: Lsn, wake: Wake) -> Arc<Self> {
        let queue = Queue {
            batches: VecDeque::new(),
            bytes: 0,
            assigned: start,
            probe: 0,
            state: State::Open,
        };
        Arc::new(Self {
            queue: Mutex::new(queue),
            limits,
            space: Notify::new(),
            wake,
            failure: watch::Sender::new(None),
            disk_full: watch::Sender::new(false),
            probed: watch::Sender::new(Probed::default()),
        })
    }

    /// Takes a batch and gives it its number, or gives it back.
    // The large error is the point: the batch goes back to its owner without a copy.
    #[allow(clippy::result_large_err)]
    pub(crate) fn append(&self, batch: Batch) -> Result<Lsn, Full> {
        let mut queue = self.queue();
        if queue.state != State::Open {
            return Err(Full { batch, refusal: Refusal::Stopped });
        }
        if !self.has_space(&queue) {
            return Err(Full { batch, refusal: Refusal::Busy });
        }
        queue.assigned = queue.assigned.next();
        queue.bytes += batch.size();
        queue.batches.push_back(batch);
        let lsn = queue.assigned;
        drop(queue);
        self.wake();
        Ok(lsn)
    }

    /// The number of the newest batch, durable or not.
    pub(crate) fn assigned(&self) -> Lsn {
        self.queue().assigned
    }

    /// Waits until a batch would be taken, or none will be ever again.
    pub(crate) async fn capacity(&self) {
        loop {
            // Created before the look at the queue, so that no wake-up is missed between.
            let freed = self.space.notified();
            {
                let queue = self.queue();
                if queue.state != State::Open || self.has_space(&queue) {
                    return;
                }
            }
            freed.await;
        }
    }

    /// What the writer should do now; never waits.
    pub(crate) fn poll(&self) -> Work {
        let mut queue = self.queue();
        if queue.state == State::Stopped {
            return Work::Done;
        }
        if queue.probe > self.probed.borrow().probe {
            return Work::Probe(queue.probe);
        }
        if queue.batches.is_empty() {
            return if queue.state == State::Closing { Work::Done } else { Work::Idle };
        }
        let group = self.take_group(&mut queue);
        drop(queue);
        self.space.notify_waiters();
        Work::Commit(group)
    }

    fn take_group(&self, queue: &mut Queue) -> Group {
        let mut bytes = 0;
        let mut count = 0;
        for batch in queue.batches.iter().take(self.limits.group_batches.max(1)) {
            if count > 0 && bytes >= self.limits.group_bytes {
                break;
            }
            bytes += batch.size();
            count += 1;
        }
        let batches: Vec<_> = queue.batches.drain(..count).collect();
        queue.bytes -= bytes;
        Group { batches, last: Lsn(queue.assigned.0 - queue.batches.len() as u64) }
    }

    /// Takes nothing more, but lets what waits be written.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        if queue.state == State::Open {
            queue.state = State::Closing;
        }
        drop(queue);
        self.space.notify_waiters();
        self.wake();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.queue().state == State::Open
    }

    /// Ends the journal: what waits is dropped and nothing is taken again.
    pub(crate) fn stop(&self, failure: Option<Failure>) {
        let mut queue = self.queue();
        queue.state = State::Stopped;
        queue.batches = VecDeque::new();
        queue.bytes = 0;
        drop(queue);
        if failure.is_some() {
            self.failure.send_replace(failure);
        }
        // A probe in flight is let go, with whatever was known.
        self.probed.send_modify(|probed| probed.probe = u64::MAX);
        self.space.notify_waiters();
    }

    pub(crate) fn failure(&self) -> watch::Receiver<Option<Failure>> {
        self.failure.subscribe()
    }

    pub(crate) fn disk_full(&self) -> watch::Receiver<bool> {
        self.disk_full.subscribe()
    }

    /// Notes whether the disk is full; tells those who watch only when it changed.
    pub(crate) fn set_disk_full(&self, full: bool) {
        self.disk_full.send_if_modified(|known| std::mem::replace(known, full) != full);
    }

    pub(crate) const fn space_retry(&self) -> std::time::Duration {
        self.limits.space_retry
    }

    /// Has the writer look for changes from outside, and returns how many it has seen so far.
    pub(crate) async fn probe(&self) -> u64 {
        let mut answers = self.probed.subscribe();
        let probe = {
            let mut queue = self.queue();
            queue.probe += 1;
            queue.probe
        };
        self.wake();
        let answer = answers.wait_for(|answer| answer.probe >= probe).await;
        // The sender lives in `self`, so the channel cannot be closed here.
        answer.map(|answer| answer.changes).unwrap_or_default()
    }

    pub(crate) fn answer_probe(&self, probe: u64, changed: bool) {
        self.probed.send_modify(|probed| {
            probed.probe = probe;
            probed.changes += u64::from(changed);
        });
    }

    fn has_space(&self, queue: &Queue) -> bool {
        queue.batches.len() < self.limits.queue_batches && queue.bytes < self.limits.queue_bytes
    }

    fn wake(&self) {
        match &self.wake {
            Wake::Thread(thread) => {
                if let Some(thread) = thread.get() {
                    thread.unpark();
                }
            }
            Wake::Task(notify) => notify.notify_one(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every critical section leaves the queue whole, so a panic elsewhere does not matter.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    const NOTES: Table<u64, String> = Table::global("notes", 1);

    fn journal(limits: JournalLimits) -> Arc<Journal> {
        Journal::new(limits, Lsn::ZERO, Wake::Task(Notify::new()))
    }

    fn batch(bytes: usize) -> Batch {
        let mut batch = Batch::new();
        let empty = {
            let mut batch = Batch::new();
            batch.put_raw(NOTES.info(), "", &[], &[]);
            batch.size()
        };
        batch.put_raw(NOTES.info(), "", &[], &vec![0; bytes - empty]);
        batch
    }

    fn group(journal: &Journal) -> (usize, Lsn) {
        match journal.poll() {
            Work::Commit(group) => (group.batches.len(), group.last),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_queue_takes_n_batches_and_gives_back_the_next() {
        for limit in 1..4 {
            let journal = journal(JournalLimits { queue_batches: limit, ..Default::default() });
            for number in 1..=limit as u64 {
                assert_eq!(journal.append(batch(200)).unwrap(), Lsn(number));
            }
            let full = journal.append(batch(201)).unwrap_err();
            assert_eq!((full.refusal, full.batch.size()), (Refusal::Busy, 201));
            assert_eq!(journal.assigned(), Lsn(limit as u64));
            assert_eq!(group(&journal), (limit, Lsn(limit as u64)));
            assert_eq!(journal.append(batch(200)).unwrap(), Lsn(limit as u64 + 1));
        }
    }

    #[test]
    fn the_queue_is_full_when_n_bytes_wait() {
        for (first, taken) in [(299, true), (300, false), (301, false)] {
            let journal = journal(JournalLimits { queue_bytes: 300, ..Default::default() });
            journal.append(batch(first)).unwrap();
            assert_eq!(journal.append(batch(200)).is_ok(), taken, "{first}");
            group(&journal);
            assert!(journal.append(batch(300)).is_ok(), "what the writer has taken is free again");
        }
    }

    #[test]
    fn a_group_takes_n_batches_and_leaves_the_next() {
        for (waiting, taken) in [(2, 2), (3, 3), (4, 3)] {
            let journal = journal(JournalLimits { group_batches: 3, ..Default::default() });
            for _ in 0..waiting {
                journal.append(batch(200)).unwrap();
            }
            assert_eq!(group(&journal), (taken, Lsn(taken as u64)), "{waiting}");
        }
    }

    #[test]
    fn a_group_is_complete_when_it_has_n_bytes() {
        for (second, taken) in [(199, 3), (200, 2), (201, 2)] {
            let journal = journal(JournalLimits { group_bytes: 400, ..Default::default() });
            for size in [200, second, 200] {
                journal.append(batch(size)).unwrap();
            }
            assert_eq!(group(&journal), (taken, Lsn(taken as u64)), "{second}");
        }
    }

    #[test]
    fn a_closing_journal_hands_out_what_waits_and_takes_nothing() {
        let journal = journal(JournalLimits::default());
        journal.append(batch(200)).unwrap();
        journal.close();
        assert_eq!(journal.append(batch(200)).unwrap_err().refusal, Refusal::Stopped);
        assert_eq!(group(&journal), (1, Lsn(1)));
        assert!(matches!(journal.poll(), Work::Done));
    }

    #[tokio::test]
    async fn whoever_waits_for_capacity_is_woken_by_a_group_or_by_the_end() {
        let journal = journal(JournalLimits { queue_batches: 1, ..Default::default() });
        journal.append(batch(200)).unwrap();
        let (waited, ()) = tokio::join!(journal.capacity(), async {
            group(&journal);
        });
        assert_eq!(waited, ());
        journal.append(batch(200)).unwrap();
        tokio::join!(journal.capacity(), async { journal.stop(None) });
        assert!(!journal.is_open());
    }
}
