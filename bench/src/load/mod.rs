//! `longwire-bench load`: a whole server under load.

mod args;
mod idle;
mod probe;
mod procfs;
mod progress;
mod report;
mod server;
mod sessions;
mod traffic;

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use longwire_client::{Client, Server, Trust};
use tokio::runtime::Builder;

pub(crate) use args::Args;
use args::{DOMAIN, PASSWORD, Plan, Running, Target, Transport};
use probe::Probe;
use procfs::Machine;
use report::{Report, Run};
use server::{Process, Site};
use sessions::Access;
use traffic::{Pace, Pair};

/// Measures, prints the tables and writes the file.
pub(crate) fn run(args: Args) -> Result<()> {
    let plan = args.plan()?;
    let machine = Machine::look();
    check_open_files(&plan)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = measure(&plan, machine) => measured,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    });
    runtime.shutdown_background();
    let report = measured?;
    print!("{}", report.text());
    if let Some(file) = &plan.json {
        let json = serde_json::to_string_pretty(&report)?;
        let unwritable = || format!("cannot write {}", file.display());
        std::fs::write(file, json + "\n").with_context(unwritable)?;
    }
    Ok(())
}

/// Every connection is an open file here, and one in the server, which inherits our limit.
fn check_open_files(plan: &Plan) -> Result<()> {
    const OTHERS: u64 = 100;
    let pairs = if plan.has_loops { plan.loops.pairs * 2 } else { 0 };
    let needed = plan.idle.max(pairs) as u64 + OTHERS;
    let Some((limit, highest)) = procfs::open_files() else { return Ok(()) };
    if needed <= limit {
        return Ok(());
    }
    let advice = if needed <= highest {
        format!("run `ulimit -n {needed}` before")
    } else {
        format!("the system allows {highest} at most (`ulimit -Hn`)")
    };
    bail!("{needed} files have to be open at once, but {limit} may be: {advice}, or measure less")
}

async fn measure(plan: &Plan, machine: Machine) -> Result<Report> {
    let (mut own, server) = match &plan.target {
        Target::Own(program) => {
            let accounts = plan.idle.max(plan.loops.pairs * 2);
            let site = Site::new(server::program(program.clone())?, accounts).await?;
            let version = site.version()?;
            (Some(Own { site, process: None }), version)
        }
        Target::Running(running) => (None, running.name()),
    };
    let mut runs = Vec::new();
    for transport in &plan.transports {
        runs.push(measure_transport(plan, *transport, own.as_mut()).await?);
    }
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        server,
        machine,
        loops: plan.has_loops.then_some(plan.loops),
        runs,
        notes: Vec::new(),
    };
    report.add_notes();
    Ok(report)
}

/// The server that we start ourselves.
struct Own {
    site: Site,
    process: Option<Process>,
}

impl Own {
    /// Starts it afresh, so that nothing of an earlier measurement is in its memory.
    fn restart(&mut self) -> Result<Probe> {
        self.process = None;
        let process = self.process.insert(self.site.serve()?);
        Ok(Probe { server: Some(process.id()) })
    }

    /// Adds what the server has to say about an error.
    fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        let Some(process) = &mut self.process else { return result };
        result.map_err(|error| match process.check() {
            Err(ended) => error.context(ended),
            Ok(()) if process.log_end().is_empty() => error,
            Ok(()) => error.context(format!("the server's log ends with:\n{}", process.log_end())),
        })
    }
}

async fn measure_transport(
    plan: &Plan,
    transport: Transport,
    mut own: Option<&mut Own>,
) -> Result<Run> {
    let access = Arc::new(access(plan, transport, own.as_deref())?);
    let mut run = Run { transport, closed: None, open: None, idle: None };
    if plan.has_loops {
        let probe = probe(plan, own.as_deref_mut())?;
        let result = measure_loops(plan, &access, probe, &mut run).await;
        explain(own.as_deref_mut(), result)?;
    }
    if plan.idle > 0 {
        let probe = probe(plan, own.as_deref_mut())?;
        let result = idle::measure(&access, plan.idle, probe).await;
        run.idle = Some(explain(own, result)?);
    }
    Ok(run)
}

fn explain<T>(own: Option<&mut Own>, result: Result<T>) -> Result<T> {
    match own {
        Some(own) => own.explain(result),
        None => result,
    }
}

/// A fresh server of our own, or the one that runs.
fn probe(plan: &Plan, own: Option<&mut Own>) -> Result<Probe> {
    match (own, &plan.target) {
        (Some(own), _) => own.restart(),
        (None, Target::Running(running)) => Ok(Probe { server: running.pid }),
        (None, Target::Own(_)) => Ok(Probe { server: None }),
    }
}

fn access(plan: &Plan, transport: Transport, own: Option<&Own>) -> Result<Access> {
    match (&plan.target, own) {
        (Target::Running(running), _) => {
            let Running { server, domain, password, ca, .. } = running.clone();
            let trust = ca.as_deref().map_or(Ok(Trust::System), sessions::trust)?;
            Ok(Access { server, domain, password, trust, transport })
        }
        (Target::Own(_), Some(own)) => Ok(Access {
            server: Server::Address(own.site.address(transport)),
            domain: DOMAIN.to_owned(),
            password: PASSWORD.to_owned(),
            trust: sessions::trust(&own.site.certificate())?,
            transport,
        }),
        (Target::Own(_), None) => bail!("there is no server to measure"),
    }
}

async fn measure_loops(
    plan: &Plan,
    access: &Arc<Access>,
    probe: Probe,
    run: &mut Run,
) -> Result<()> {
    let loops = &plan.loops;
    let name = access.transport.name();
    let (sessions, _) = sessions::log_in(access, 0..loops.pairs * 2, probe).await?;
    let pairs = pair_up(sessions);
    let what = format!("{name}: closed loop");
    let window = Pace::Window(loops.window);
    let (mut pairs, closed) = traffic::run(pairs, window, loops, probe, &what).await?;
    let rate = loops.rate.unwrap_or(closed.messages_per_second / 2.0);
    run.closed = Some(closed);
    if rate > 0.0 {
        let what = format!("{name}: open loop");
        let (same, open) = traffic::run(pairs, Pace::Rate(rate), loops, probe, &what).await?;
        pairs = same;
        run.open = Some(open);
    }
    sessions::close(pairs.into_iter().flat_map(|Pair { from, to }| [from, to])).await;
    Ok(())
}

/// Neighbours talk to each other.
fn pair_up(sessions: Vec<Client>) -> Vec<Pair> {
    let mut sessions = sessions.into_iter();
    let mut pairs = Vec::with_capacity(sessions.len() / 2);
    while let (Some(from), Some(to)) = (sessions.next(), sessions.next()) {
        pairs.push(Pair { from, to });
    }
    pairs
}
