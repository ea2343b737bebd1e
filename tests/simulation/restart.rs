//! Who talks to a server that has crashed learns of it from the next one.

use std::time::Duration;

use longwire_client::{CloseReason, Event, Streams};
use longwire_tests::{
    sim::{Path, run},
    world::{World, chat},
};

const ONE_WAY: Duration = Duration::from_millis(150);

//= test RFC 9000 §10.3
#[test]
fn a_client_learns_within_a_round_trip_that_the_server_was_restarted() {
    run(Duration::from_secs(3600), async {
        let world = World::new(1, Path::new(ONE_WAY)).await;
        world.account("alice").await;
        let mut client = world.connect(1, world.login("alice", Streams::Many)).await.unwrap();
        // Long enough for everything of the old server to be over, and short of the idle time.
        let world = world.crash(Duration::from_secs(60)).await;
        let sent = world.net.now();
        client.send(chat("bob", "is anybody there?")).await.unwrap();
        let event = client.next().await;
        assert!(matches!(event, Some(Event::Closed(CloseReason::Lost))), "{event:?}");
        let took = world.net.now() - sent;
        assert!(took <= ONE_WAY * 2 + Duration::from_millis(5), "{took:?}");
    });
}
