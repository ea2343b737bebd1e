//! The whole check, in the order in which a mistake is cheapest to find.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub(crate) fn run() -> Result<()> {
    let mut report = Vec::new();
    step("format", &mut report, || cargo(&["fmt", "--all", "--check"]))?;
    step("tidy", &mut report, crate::tidy::run)?;
    step("citations", &mut report, crate::spec::check)?;
    step("clippy", &mut report, || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    })?;
    step("build", &mut report, || cargo(&["build", "--package", "longwire-gateway"]))?;
    step("documents", &mut report, crate::docs::check)?;
    step("tests", &mut report, || cargo(&["test", "--workspace"]))?;
    for (name, time) in report {
        println!("{name:12} {:6.1} s", time.as_secs_f64());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "tells how long the steps took")]
fn step(
    name: &'static str,
    report: &mut Vec<(&'static str, Duration)>,
    run: impl FnOnce() -> Result<()>,
) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    run().with_context(|| format!("{name} failed"))?;
    report.push((name, start.elapsed()));
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo).args(arguments).current_dir(crate::root()).status()?;
    if !status.success() {
        bail!("cargo {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
