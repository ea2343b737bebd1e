//! Every hostile input of the table through every entrance of the longwire binary.

use anyhow::{bail, ensure};
use longwire_tests::hostile::Target;
use longwire_tests::hostile::table::{ACCEPTED, Entrance, HEADERS, Hostile, PROTOCOL, Stage, XML};
use longwire_tests::process::in_real_time;

async fn check(
    target: &Target,
    row: &Hostile,
    entrance: Entrance,
    stage: Option<Stage>,
) -> anyhow::Result<()> {
    let mut door = target.enter(entrance, stage).await?;
    // The server may close before it has taken everything: what it says decides.
    let _ = door.input.send((row.bytes)()).await;
    let output = door.output();
    let condition = output.stream_error().await?;
    ensure!(
        row.expect.contains(&condition.as_str()),
        "{condition} instead of {:?} ({})",
        row.expect,
        row.rule
    );
    let rest = output.until_closed().await?;
    ensure!(rest.contains("</stream:stream>"), "the stream is closed, not {rest:?}");
    Ok(())
}

/// Runs a table and reports all rows that fail, not only the first.
async fn check_table(target: &Target, table: &[Hostile], header: bool) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    let mut run = 0;
    for row in table {
        for &entrance in row.entrances {
            for &stage in row.stages {
                // Nothing is read from an Ancillary before its session is bound.
                if entrance == Entrance::QuicAncillary && stage == Stage::Opened {
                    continue;
                }
                run += 1;
                let stage = (!header).then_some(stage);
                if let Err(error) = check(target, row, entrance, stage).await {
                    let text: String = format!("{error:#}").chars().take(300).collect();
                    failures.push(format!("{entrance:?} {stage:?}: {}: {text}", row.name));
                }
            }
        }
    }
    println!("{run} inputs, {} failures", failures.len());
    if !failures.is_empty() {
        bail!("{}\n{}", failures.join("\n"), target.server.log_end());
    }
    Ok(())
}

#[test]
fn bad_xml_meets_its_stream_error_through_every_entrance() -> anyhow::Result<()> {
    let target = Target::start("hostile-xml", "")?;
    in_real_time(check_table(&target, XML, false))
}

#[test]
fn good_xml_at_the_wrong_time_meets_its_stream_error() -> anyhow::Result<()> {
    let target = Target::start("hostile-protocol", "")?;
    in_real_time(check_table(&target, PROTOCOL, false))
}

#[test]
fn wrong_stream_headers_meet_their_stream_error() -> anyhow::Result<()> {
    let target = Target::start("hostile-headers", "")?;
    in_real_time(check_table(&target, HEADERS, true))
}

#[test]
fn unusual_but_good_xml_is_answered() -> anyhow::Result<()> {
    let target = Target::start("hostile-control", "")?;
    in_real_time(async {
        for (name, bytes) in ACCEPTED {
            for entrance in Entrance::ALL {
                let mut door = target.enter(entrance, Some(Stage::Bound)).await?;
                door.input.send(bytes).await?;
                if let Err(error) = door.output().until("control").await {
                    bail!("{entrance:?}: {name}: {error}");
                }
            }
        }
        Ok(())
    })
}
