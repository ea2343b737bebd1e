//! `longwire chat` and `longwire send` as processes, through pipes.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use longwire_client::Transport;
use longwire_tests::process::{Program, Site, Talker};

const PASSWORD: &str = "a word between friends";
const USERS: [&str; 3] = ["alice", "bob", "carol"];

fn site(name: &str) -> anyhow::Result<Site> {
    let tables = "[feature.accounts]\niterations = 4096\n";
    let site = Site::configured(Program::build()?, name, tables)?;
    for user in USERS {
        site.add_account(user, PASSWORD)?;
    }
    Ok(site)
}

/// Starts `longwire chat` for a user and waits until others can reach it.
fn chat(site: &Site, user: &str, to: &str, transport: Transport) -> anyhow::Result<Talker> {
    let mut command = site.client("chat", user, PASSWORD, transport);
    let mut talker = Talker::start(command.arg(site.account(to).as_str()).arg("-v"))?;
    talker.until("* connected as")?;
    settle(site, &mut talker)?;
    Ok(talker)
}

/// Waits until the server has everything that was typed before.
fn settle(site: &Site, talker: &mut Talker) -> anyhow::Result<()> {
    talker.say(&format!("/ping {}", site.domain()))?;
    talker.until(&format!("* {} answered", site.domain())).map(drop)
}

/// Says a line on one side, waits for it on the other; the stream that it came on.
fn pass(from: &mut Talker, to: &Talker, text: &str) -> anyhow::Result<u64> {
    from.say(text)?;
    let line = to.until(&format!(": {text}"))?;
    let stream = line.split_once("(stream ").and_then(|(_, rest)| rest.split_once(')'));
    let (stream, _) = stream.with_context(|| format!("no stream in {line:?}"))?;
    Ok(stream.parse()?)
}

fn finish(talkers: &mut [Talker]) -> anyhow::Result<()> {
    for talker in talkers {
        let status = talker.finish()?;
        ensure!(status.success(), "the end of the input ends a chat well, not with {status}");
    }
    Ok(())
}

#[test]
fn conversations_over_quic_have_streams_of_their_own() -> anyhow::Result<()> {
    let site = site("chat-streams")?;
    let _server = site.serve()?;
    let mut alice = chat(&site, "alice", "bob", Transport::Quic)?;
    let mut carol = chat(&site, "carol", "bob", Transport::Quic)?;
    let mut bob = chat(&site, "bob", "alice", Transport::Quic)?;
    let of_alice = pass(&mut alice, &bob, "hello bob")?;
    let of_carol = pass(&mut carol, &bob, "hello from me as well")?;
    ensure!(of_alice != of_carol, "two conversations on stream {of_alice}");
    ensure!(of_alice != 0 && of_carol != 0, "a conversation on the Primary stream");
    for turn in 0..20 {
        let (question, answer) = (format!("question {turn} größer"), format!("answer {turn} ☂"));
        ensure!(pass(&mut alice, &bob, &question)? == of_alice, "alice's stream changed");
        ensure!(pass(&mut carol, &bob, &question)? == of_carol, "carol's stream changed");
        ensure!(pass(&mut bob, &alice, &answer)? != 0, "an answer on the Primary stream");
    }
    finish(&mut [alice, bob, carol])
}

#[test]
fn quic_and_starttls_talk_to_each_other() -> anyhow::Result<()> {
    let site = site("chat-transports")?;
    let _server = site.serve()?;
    let mut alice = chat(&site, "alice", "bob", Transport::Quic)?;
    let mut bob = chat(&site, "bob", "alice", Transport::StartTls)?;
    for turn in 0..10 {
        ensure!(pass(&mut alice, &bob, &format!("over QUIC {turn}"))? == 0, "TCP has one stream");
        pass(&mut bob, &alice, &format!("over TCP {turn}"))?;
    }
    finish(&mut [alice, bob])
}

#[test]
fn a_conversation_goes_on_after_the_server_was_away() -> anyhow::Result<()> {
    let site = site("chat-restart")?;
    let mut server = site.serve()?;
    let mut alice = chat(&site, "alice", "bob", Transport::Quic)?;
    let mut bob = chat(&site, "bob", "alice", Transport::StartTls)?;
    pass(&mut alice, &bob, "before")?;
    // In good order, and as in a crash.
    for is_kill in [false, true] {
        if is_kill {
            server.kill()?;
            // Only somebody who speaks finds out over QUIC: a dead server says nothing.
            alice.say(&format!("/ping {}", site.domain()))?;
        } else {
            server.terminate()?;
            let status = server.wait(std::time::Duration::from_secs(60))?;
            ensure!(status.success(), "{status}");
            alice.until("connecting again")?;
        }
        bob.until("connecting again")?;
        if !is_kill {
            alice.say("typed while nobody was there")?;
            alice.until("* kept until there is a connection")?;
        }
        server = site.serve()?;
        bob.until("* connected as")?;
        settle(&site, &mut bob)?;
        alice.until("* connected as")?;
        settle(&site, &mut alice)?;
        pass(&mut alice, &bob, &format!("after, killed: {is_kill}"))?;
        pass(&mut bob, &alice, &format!("and back, killed: {is_kill}"))?;
    }
    finish(&mut [alice, bob])
}

/// Runs `longwire send`; its exit status, and what it said.
fn send(command: &mut Command, to: &str) -> anyhow::Result<(Option<i32>, String)> {
    let command = command.args(["--to", to, "--body", "a few words", "--timeout", "5"]);
    let output = command.stdin(Stdio::null()).output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn send_tells_by_its_exit_status_what_became_of_the_message() -> anyhow::Result<()> {
    let site = site("send")?;
    let server = site.serve()?;
    let bob = chat(&site, "bob", "alice", Transport::Tls)?;
    let to_bob = site.account("bob");
    for transport in [Transport::Quic, Transport::Tls, Transport::StartTls, Transport::Plaintext] {
        let mut command = site.client("send", "alice", PASSWORD, transport);
        let (status, said) = send(&mut command, to_bob.as_str())?;
        ensure!(status == Some(0), "{transport:?}: {status:?}, {said}");
        bob.until(": a few words")?;
    }
    let mut command = site.client("send", "alice", PASSWORD, Transport::Quic);
    let (status, said) = send(&mut command, "nobody@localhost")?;
    ensure!(status == Some(1) && said.contains("service-unavailable"), "{status:?}, {said}");

    let mut command = site.client("send", "alice", "another word", Transport::Quic);
    let (status, said) = send(&mut command, to_bob.as_str())?;
    ensure!(status == Some(3) && said.contains("not-authorized"), "{status:?}, {said}");

    let mut command = site.client("send", "alice", PASSWORD, Transport::Quic);
    let (status, said) = send(&mut command, "not an address@")?;
    ensure!(status == Some(2), "{status:?}, {said}");

    drop(server);
    for transport in [Transport::Quic, Transport::Tls] {
        let mut command = site.client("send", "alice", PASSWORD, transport);
        let (status, said) = send(&mut command, to_bob.as_str())?;
        ensure!(status == Some(3) && said.contains("no session"), "{status:?}, {said}");
    }
    Ok(())
}
