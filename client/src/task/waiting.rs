//! What waits for the application: events for its inbox, answers for whoever asked.

use std::collections::VecDeque;

use longwire_stanza::Stanza;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::Event;

/// Events and answers in the order in which they arrived.
///
/// Answers queue behind events, so that whoever has an answer can have all that arrived before it.
/// Nothing more is read while this is not empty, which bounds it by one chunk of each stream.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<Item>,
}

enum Item {
    Event(Event),
    Answer(Stanza, oneshot::Sender<Stanza>),
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn event(&mut self, event: Event) {
        self.queue.push_back(Item::Event(event));
    }

    pub(super) fn answer(&mut self, answer: Stanza, asker: oneshot::Sender<Stanza>) {
        self.queue.push_back(Item::Answer(answer, asker));
    }

    /// Hands over what there is room for.
    pub(super) fn deliver(&mut self, inbox: &mpsc::Sender<Event>) {
        while let Some(item) = self.queue.pop_front() {
            match item {
                // Whoever asked may have lost interest.
                Item::Answer(answer, asker) => drop(asker.send(answer)),
                Item::Event(event) => match inbox.try_send(event) {
                    Ok(()) | Err(TrySendError::Closed(_)) => {}
                    Err(TrySendError::Full(event)) => {
                        return self.queue.push_front(Item::Event(event));
                    }
                },
            }
        }
    }

    /// Hands over everything, as long as the application takes it.
    pub(super) async fn deliver_all(mut self, inbox: mpsc::Sender<Event>) {
        loop {
            self.deliver(&inbox);
            let is_over = self.queue.is_empty() || inbox.reserve().await.is_err();
            if is_over {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use longwire_link::{CloseReason, StreamId};
    use longwire_stanza::{IqType, MessageType};

    use super::*;

    fn message() -> Event {
        let stanza = Stanza::message(MessageType::Chat).build();
        Event::Stanza { stanza, stream: StreamId(0) }
    }

    #[test]
    fn an_answer_waits_for_the_events_before_it_and_not_for_those_behind() {
        let (inbox, mut events) = mpsc::channel(2);
        let (asker, mut answer) = oneshot::channel();
        let mut waiting = Waiting::default();
        for _ in 0..3 {
            waiting.event(message());
        }
        waiting.answer(Stanza::iq(IqType::Result).id("1").build(), asker);
        for _ in 0..3 {
            waiting.event(message());
        }
        waiting.deliver(&inbox);
        assert!(answer.try_recv().is_err(), "the third event is not in the inbox yet");
        events.try_recv().unwrap();
        waiting.deliver(&inbox);
        assert!(answer.try_recv().is_ok());
        assert!(!waiting.is_empty());
    }

    #[test]
    fn what_nobody_takes_is_dropped() {
        let (inbox, events) = mpsc::channel(1);
        let mut waiting = Waiting::default();
        waiting.event(message());
        waiting.event(Event::Closed(CloseReason::Closed));
        drop(events);
        waiting.deliver(&inbox);
        assert!(waiting.is_empty());
    }
}
