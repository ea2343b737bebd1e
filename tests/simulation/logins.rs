//! Guessing passwords gets slower and slower, and locks nobody out.

use std::{sync::Arc, time::Duration};

use longwire_client::{Client, ClientError, ConnectError, Environment, Secret, Streams};
use longwire_tests::{
    sim::{Path, run},
    world::{World, client_address},
};

/// Attempts that cost nothing but the attempt.
const FREE: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// One place from which somebody tries passwords of alice.
struct Guesser<'a> {
    world: &'a World,
    environment: Environment,
}

impl<'a> Guesser<'a> {
    fn new(world: &'a World, number: u8) -> Self {
        let endpoint = world.net.endpoint(client_address(number), None).unwrap();
        let entropy = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        Self { world, environment: Environment { entropy, endpoint: Some(endpoint) } }
    }

    /// What the server says to a password; `None` when it lets in.
    async fn attempt(&self, password: Option<&str>) -> Option<String> {
        let mut login = self.world.login("alice", Streams::Many);
        if let Some(password) = password {
            login.password = Secret::new(password);
        }
        match Client::connect(login, self.environment.clone()).await {
            Ok(client) => {
                client.close().await;
                None
            }
            Err(ConnectError::Refused(ClientError::Refused { condition, .. })) => {
                Some(condition.name().to_owned())
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn guess(&self) -> String {
        self.attempt(Some("a guess")).await.expect("the wrong password")
    }

    async fn guess_times(&self, count: u32) {
        for number in 1..=count {
            assert_eq!(self.guess().await, "not-authorized", "guess {number}");
        }
    }
}

#[test]
fn after_ten_wrong_passwords_each_attempt_waits_longer() {
    run(Duration::from_secs(3600), async {
        let world = World::new(1, Path::new(Duration::from_millis(1))).await;
        world.account("alice").await;
        let [here, elsewhere] = [Guesser::new(&world, 1), Guesser::new(&world, 2)];
        // One fewer costs nothing, and success forgives them.
        here.guess_times(FREE - 1).await;
        assert_eq!(here.attempt(None).await, None);
        here.guess_times(FREE).await;
        for wait in [1, 2, 4] {
            // The right password waits as well: nobody learns that it is right.
            let told = here.attempt(None).await;
            assert_eq!(told.as_deref(), Some("temporary-auth-failure"), "before {wait} s");
            tokio::time::sleep(SECOND * wait).await;
            assert_eq!(here.guess().await, "not-authorized", "after {wait} s");
        }
        // The owner is somewhere else, and not bothered.
        assert_eq!(elsewhere.attempt(None).await, None);
        tokio::time::sleep(SECOND * 8).await;
        assert_eq!(here.attempt(None).await, None, "the account was never locked");
    });
}
