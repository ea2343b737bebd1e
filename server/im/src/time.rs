//! Entity time: what time the server has (XEP-0202).

use longwire_core::xml::Element;
use longwire_core::{Entity, Feature, NoConfig, Registrar, Turn};
use longwire_stanza::xep::datetime::Stamp;
use longwire_stanza::xep::time::{Request, Time as Answer};
use longwire_stanza::{Payload, StanzaError, ns};
use std::sync::Arc;

/// The feature.
pub struct Time;

impl Feature for Time {
    const NAME: &'static str = "time";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.xep(202, "2.0");
        r.disco(Entity::Server, &[ns::TIME]);
        r.iq_get(Entity::Server, &self, Self::answer);
    }
}

impl Time {
    /// Whole seconds in UTC: where the server stands is nobody's business (XEP-0202 §5).
    fn answer(&self, turn: &mut Turn<'_>, _: Request) -> Result<Option<Element>, StanzaError> {
        let micros = i64::try_from(turn.wall_clock()).unwrap_or(i64::MAX);
        let utc = Stamp::from_micros(micros).whole_second();
        Ok(Some(Answer { offset: "+00:00".to_owned(), utc }.element()))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{assert_like, scene};
    use std::time::Duration;

    //= test XEP-0202 §2
    #[test]
    fn the_server_tells_its_time_in_utc() {
        let scene = scene();
        let alice = scene.session("alice@a.example/phone");
        scene.advance(Duration::from_secs(90));
        assert_like(
            &alice.ask("<iq type='get' to='a.example'><time xmlns='urn:xmpp:time'/></iq>"),
            "<iq type='result' id='*' from='a.example' to='alice@a.example/phone'>\
             <time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2026-01-01T00:01:30Z</utc>\
             </time></iq>",
        );
    }
}
