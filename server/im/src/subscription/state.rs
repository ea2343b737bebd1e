//! The subscription state machine of RFC 6121 §3 and Appendix A, as pure functions.
//!
//! Nine states, four verbs, two directions. A transition says what the next state is and what
//! happens to the stanza; whoever asks does it. The rules are written as conditions on the two
//! halves of a subscription; the tests hold the tables of the specification, cell by cell.

/// The verbs that change a subscription (RFC 6121 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Asks to see the other's presence.
    Subscribe,
    /// Grants a request.
    Subscribed,
    /// Gives up seeing the other's presence.
    Unsubscribe,
    /// Denies a request, or takes a grant back.
    Unsubscribed,
}

/// The nine states of RFC 6121 §A.1, seen from the owner of the roster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Neither sees the other.
    #[default]
    None,
    /// The owner has asked.
    NonePendingOut,
    /// The contact has asked.
    NonePendingIn,
    /// Both have asked.
    NonePendingOutIn,
    /// The owner sees the contact.
    To,
    /// The owner sees the contact, who has asked too.
    ToPendingIn,
    /// The contact sees the owner.
    From,
    /// The contact sees the owner, who has asked too.
    FromPendingOut,
    /// Each sees the other.
    Both,
}

impl State {
    /// All states, in the order of the specification's tables.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::NonePendingOut,
        Self::NonePendingIn,
        Self::NonePendingOutIn,
        Self::To,
        Self::ToPendingIn,
        Self::From,
        Self::FromPendingOut,
        Self::Both,
    ];

    /// The state made of its two halves.
    #[must_use]
    pub const fn new(outward: Half, inward: Half) -> Self {
        match (outward, inward) {
            (Half::No, Half::No) => Self::None,
            (Half::Pending, Half::No) => Self::NonePendingOut,
            (Half::No, Half::Pending) => Self::NonePendingIn,
            (Half::Pending, Half::Pending) => Self::NonePendingOutIn,
            (Half::Yes, Half::No) => Self::To,
            (Half::Yes, Half::Pending) => Self::ToPendingIn,
            (Half::No, Half::Yes) => Self::From,
            (Half::Pending, Half::Yes) => Self::FromPendingOut,
            (Half::Yes, Half::Yes) => Self::Both,
        }
    }

    /// The owner's subscription to the contact.
    #[must_use]
    pub const fn outward(self) -> Half {
        match self {
            Self::None | Self::NonePendingIn | Self::From => Half::No,
            Self::NonePendingOut | Self::NonePendingOutIn | Self::FromPendingOut => Half::Pending,
            Self::To | Self::ToPendingIn | Self::Both => Half::Yes,
        }
    }

    /// The contact's subscription to the owner.
    #[must_use]
    pub const fn inward(self) -> Half {
        match self {
            Self::None | Self::NonePendingOut | Self::To => Half::No,
            Self::NonePendingIn | Self::NonePendingOutIn | Self::ToPendingIn => Half::Pending,
            Self::From | Self::FromPendingOut | Self::Both => Half::Yes,
        }
    }
}

/// One direction of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Not subscribed.
    No,
    /// Asked for, not answered.
    Pending,
    /// Subscribed.
    Yes,
}

/// What the owner's own verb does (RFC 6121 §A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The state afterwards.
    pub next: State,
    /// Whether the stanza goes on to the contact.
    pub route: bool,
    /// Whether the contact is approved in advance afterwards (RFC 6121 §3.4).
    pub approved: bool,
}

/// What the contact's verb does (RFC 6121 §A.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The state afterwards.
    pub next: State,
    /// Whether the owner's sessions get to see the stanza.
    pub deliver: bool,
    /// What the server answers in the owner's name.
    pub reply: Option<Verb>,
}

/// Applies a verb that the owner sends to the contact.
#[must_use]
pub const fn outbound(verb: Verb, state: State, approved: bool) -> Outbound {
    let (outward, inward) = (state.outward(), state.inward());
    match verb {
        //= RFC 6121 §3.1.2
        Verb::Subscribe => {
            let outward = if matches!(outward, Half::Yes) { Half::Yes } else { Half::Pending };
            Outbound { next: State::new(outward, inward), route: true, approved }
        }
        //= RFC 6121 §3.3.2
        Verb::Unsubscribe => Outbound { next: State::new(Half::No, inward), route: true, approved },
        //= RFC 6121 §3.1.5 and, when nobody has asked yet, §3.4.2
        Verb::Subscribed => match inward {
            Half::Pending => {
                Outbound { next: State::new(outward, Half::Yes), route: true, approved }
            }
            Half::No => Outbound { next: state, route: false, approved: true },
            Half::Yes => Outbound { next: state, route: false, approved },
        },
        //= RFC 6121 §3.2.2
        Verb::Unsubscribed => {
            let route = !matches!(inward, Half::No);
            Outbound { next: State::new(outward, Half::No), route, approved: false }
        }
    }
}

/// Applies a verb that arrives from the contact.
#[must_use]
pub const fn inbound(verb: Verb, state: State, approved: bool) -> Inbound {
    let (outward, inward) = (state.outward(), state.inward());
    match verb {
        //= RFC 6121 §3.1.3 and §3.4.2
        Verb::Subscribe => match inward {
            Half::Yes => Inbound { next: state, deliver: false, reply: Some(Verb::Subscribed) },
            _ if approved => Inbound {
                next: State::new(outward, Half::Yes),
                deliver: false,
                reply: Some(Verb::Subscribed),
            },
            Half::Pending => Inbound { next: state, deliver: false, reply: None },
            Half::No => {
                Inbound { next: State::new(outward, Half::Pending), deliver: true, reply: None }
            }
        },
        //= RFC 6121 §3.1.6
        Verb::Subscribed => match outward {
            Half::Pending => {
                Inbound { next: State::new(Half::Yes, inward), deliver: true, reply: None }
            }
            Half::No | Half::Yes => Inbound { next: state, deliver: false, reply: None },
        },
        //= RFC 6121 §3.3.3
        Verb::Unsubscribe => {
            let deliver = !matches!(inward, Half::No);
            Inbound { next: State::new(outward, Half::No), deliver, reply: None }
        }
        //= RFC 6121 §3.2.3
        Verb::Unsubscribed => {
            let deliver = !matches!(outward, Half::No);
            Inbound { next: State::new(Half::No, inward), deliver, reply: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State::{
        Both, From, FromPendingOut, None as Nothing, NonePendingIn, NonePendingOut,
        NonePendingOutIn, To, ToPendingIn,
    };
    use super::*;

    /// One row of a table: the state before, whether the stanza passes, the state after.
    type Row = (State, bool, State);

    //= test RFC 6121 §A.2.1
    const OUT_SUBSCRIBE: [Row; 9] = [
        (Nothing, true, NonePendingOut),
        (NonePendingOut, true, NonePendingOut),
        (NonePendingIn, true, NonePendingOutIn),
        (NonePendingOutIn, true, NonePendingOutIn),
        (To, true, To),
        (ToPendingIn, true, ToPendingIn),
        (From, true, FromPendingOut),
        (FromPendingOut, true, FromPendingOut),
        (Both, true, Both),
    ];

    //= test RFC 6121 §A.2.2
    const OUT_UNSUBSCRIBE: [Row; 9] = [
        (Nothing, true, Nothing),
        (NonePendingOut, true, Nothing),
        (NonePendingIn, true, NonePendingIn),
        (NonePendingOutIn, true, NonePendingIn),
        (To, true, Nothing),
        (ToPendingIn, true, NonePendingIn),
        (From, true, From),
        (FromPendingOut, true, From),
        (Both, true, From),
    ];

    //= test RFC 6121 §A.2.3
    const OUT_SUBSCRIBED: [Row; 9] = [
        (Nothing, false, Nothing),
        (NonePendingOut, false, NonePendingOut),
        (NonePendingIn, true, From),
        (NonePendingOutIn, true, FromPendingOut),
        (To, false, To),
        (ToPendingIn, true, Both),
        (From, false, From),
        (FromPendingOut, false, FromPendingOut),
        (Both, false, Both),
    ];

    //= test RFC 6121 §A.2.4
    const OUT_UNSUBSCRIBED: [Row; 9] = [
        (Nothing, false, Nothing),
        (NonePendingOut, false, NonePendingOut),
        (NonePendingIn, true, Nothing),
        (NonePendingOutIn, true, NonePendingOut),
        (To, false, To),
        (ToPendingIn, true, To),
        (From, true, Nothing),
        (FromPendingOut, true, NonePendingOut),
        (Both, true, To),
    ];

    //= test RFC 6121 §A.3.1
    const IN_SUBSCRIBE: [Row; 9] = [
        (Nothing, true, NonePendingIn),
        (NonePendingOut, true, NonePendingOutIn),
        (NonePendingIn, false, NonePendingIn),
        (NonePendingOutIn, false, NonePendingOutIn),
        (To, true, ToPendingIn),
        (ToPendingIn, false, ToPendingIn),
        (From, false, From),
        (FromPendingOut, false, FromPendingOut),
        (Both, false, Both),
    ];

    //= test RFC 6121 §A.3.2
    const IN_UNSUBSCRIBE: [Row; 9] = [
        (Nothing, false, Nothing),
        (NonePendingOut, false, NonePendingOut),
        (NonePendingIn, true, Nothing),
        (NonePendingOutIn, true, NonePendingOut),
        (To, false, To),
        (ToPendingIn, true, To),
        (From, true, Nothing),
        (FromPendingOut, true, NonePendingOut),
        (Both, true, To),
    ];

    //= test RFC 6121 §A.3.3
    const IN_SUBSCRIBED: [Row; 9] = [
        (Nothing, false, Nothing),
        (NonePendingOut, true, To),
        (NonePendingIn, false, NonePendingIn),
        (NonePendingOutIn, true, ToPendingIn),
        (To, false, To),
        (ToPendingIn, false, ToPendingIn),
        (From, false, From),
        (FromPendingOut, true, Both),
        (Both, false, Both),
    ];

    //= test RFC 6121 §A.3.4
    const IN_UNSUBSCRIBED: [Row; 9] = [
        (Nothing, false, Nothing),
        (NonePendingOut, true, Nothing),
        (NonePendingIn, false, NonePendingIn),
        (NonePendingOutIn, true, NonePendingIn),
        (To, true, Nothing),
        (ToPendingIn, true, NonePendingIn),
        (From, false, From),
        (FromPendingOut, true, From),
        (Both, true, From),
    ];

    fn check_outbound(verb: Verb, table: [Row; 9]) {
        for (state, row) in State::ALL.into_iter().zip(table) {
            let done = outbound(verb, state, false);
            assert_eq!((state, done.route, done.next), row, "outbound {verb:?}");
        }
    }

    fn check_inbound(verb: Verb, table: [Row; 9]) {
        for (state, row) in State::ALL.into_iter().zip(table) {
            let done = inbound(verb, state, false);
            assert_eq!((state, done.deliver, done.next), row, "inbound {verb:?}");
        }
    }

    #[test]
    fn every_outbound_cell_is_as_specified() {
        check_outbound(Verb::Subscribe, OUT_SUBSCRIBE);
        check_outbound(Verb::Unsubscribe, OUT_UNSUBSCRIBE);
        check_outbound(Verb::Subscribed, OUT_SUBSCRIBED);
        check_outbound(Verb::Unsubscribed, OUT_UNSUBSCRIBED);
    }

    #[test]
    fn every_inbound_cell_is_as_specified() {
        check_inbound(Verb::Subscribe, IN_SUBSCRIBE);
        check_inbound(Verb::Unsubscribe, IN_UNSUBSCRIBE);
        check_inbound(Verb::Subscribed, IN_SUBSCRIBED);
        check_inbound(Verb::Unsubscribed, IN_UNSUBSCRIBED);
    }

    //= test RFC 6121 §3.1.3
    #[test]
    fn the_server_answers_only_requests_that_are_already_granted() {
        for verb in [Verb::Subscribe, Verb::Subscribed, Verb::Unsubscribe, Verb::Unsubscribed] {
            for state in State::ALL {
                let granted = verb == Verb::Subscribe && state.inward() == Half::Yes;
                let reply = granted.then_some(Verb::Subscribed);
                assert_eq!(inbound(verb, state, false).reply, reply, "{verb:?} in {state:?}");
            }
        }
    }

    //= test RFC 6121 §3.4.2
    #[test]
    fn a_pre_approved_request_is_granted_without_asking() {
        for state in State::ALL {
            let done = inbound(Verb::Subscribe, state, true);
            assert_eq!(done.next, State::new(state.outward(), Half::Yes), "{state:?}");
            assert_eq!((done.deliver, done.reply), (false, Some(Verb::Subscribed)), "{state:?}");
        }
    }

    //= test RFC 6121 §3.4.2
    #[test]
    fn granting_nobody_approves_in_advance_and_denying_takes_it_back() {
        for state in State::ALL {
            let granted = outbound(Verb::Subscribed, state, false);
            assert_eq!(granted.approved, state.inward() == Half::No, "{state:?}");
            assert!(!outbound(Verb::Unsubscribed, state, true).approved, "{state:?}");
            assert!(outbound(Verb::Subscribe, state, true).approved, "{state:?}");
            assert!(outbound(Verb::Unsubscribe, state, true).approved, "{state:?}");
        }
    }

    /// A handoff may arrive twice after a crash: the second arrival must change nothing.
    #[test]
    fn the_second_arrival_of_a_verb_changes_nothing() {
        for verb in [Verb::Subscribe, Verb::Subscribed, Verb::Unsubscribe, Verb::Unsubscribed] {
            for state in State::ALL {
                let once = inbound(verb, state, false);
                let twice = inbound(verb, once.next, false);
                assert_eq!(twice.next, once.next, "{verb:?} in {state:?}");
                assert!(!twice.deliver, "{verb:?} in {state:?}");
            }
        }
    }

    #[test]
    fn a_state_is_its_two_halves() {
        for state in State::ALL {
            assert_eq!(State::new(state.outward(), state.inward()), state);
        }
    }
}
