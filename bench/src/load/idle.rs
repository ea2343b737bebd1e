//! Memory per idle connection, and logins per second on the way there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use longwire_client::{Client, Event};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::probe::Probe;
use super::progress::Step;
use super::sessions::{self, Access, Logins};

/// How often the server's memory is looked at until it does not change any more.
const LOOK: Duration = Duration::from_millis(250);

/// How often at most.
const LOOKS: u64 = 20;

/// Memory and logins.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    /// Connections, and the server's resident memory in bytes with them.
    pub(crate) points: Vec<(usize, Option<u64>)>,
    /// The slope of the line through the points.
    pub(crate) bytes_per_connection: Option<f64>,
    pub(crate) logins_per_second: f64,
    pub(crate) login_p50_ms: f64,
    pub(crate) login_p99_ms: f64,
    pub(crate) server_cpu_us_per_login: Option<f64>,
}

/// Measures with none, half and all of `count` sessions.
pub(crate) async fn measure(access: &Arc<Access>, count: usize, probe: Probe) -> Result<Idle> {
    // The first session brings what is made once: it does not belong to the slope.
    let (first, _) = sessions::log_in(access, 0..1, probe).await?;
    sessions::close(first).await;
    let name = access.transport.name();
    let mut points = vec![(0, settled(probe, name).await)];
    let half = count / 2;
    let (first, first_logins) = sessions::log_in(access, 0..half, probe).await?;
    let mut waiting = Waiting::new(first);
    points.push((half, settled(probe, name).await));
    let (second, second_logins) = sessions::log_in(access, half..count, probe).await?;
    waiting.add(second);
    points.push((count, settled(probe, name).await));
    waiting.end(count).await?;
    points.dedup_by_key(|(connections, _)| *connections);
    Ok(Idle {
        bytes_per_connection: slope(&points),
        ..summary(&first_logins, &second_logins, points)?
    })
}

fn summary(first: &Logins, second: &Logins, points: Vec<(usize, Option<u64>)>) -> Result<Idle> {
    let count = (first.count + second.count) as f64;
    let mut latency = first.latency.clone();
    latency.add(&second.latency)?;
    let cpu = [first, second].map(|logins| Some(logins.usage.server_cores? * logins.usage.seconds));
    let cpu: Option<f64> = cpu.into_iter().sum();
    Ok(Idle {
        points,
        bytes_per_connection: None,
        logins_per_second: count / (first.elapsed + second.elapsed).as_secs_f64(),
        login_p50_ms: latency.value_at_quantile(0.5) as f64 / 1e3,
        login_p99_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        server_cpu_us_per_login: cpu.map(|seconds| seconds * 1e6 / count),
    })
}

/// The server's memory when it has stopped changing.
async fn settled(probe: Probe, name: &str) -> Option<u64> {
    let step = Step::new(&format!("{name}: waiting for the server's memory"), LOOKS);
    let mut same = 0;
    let mut last = probe.resident()?;
    for look in 0..LOOKS {
        sleep(LOOK).await;
        let now = probe.resident()?;
        same = if now.abs_diff(last) <= last / 1000 { same + 1 } else { 0 };
        last = now;
        step.set(look, format!("{} KiB", now / 1024));
        if same >= 4 {
            break;
        }
    }
    Some(last)
}

/// The slope of the line through the points (least squares); `None` when one is not known.
fn slope(points: &[(usize, Option<u64>)]) -> Option<f64> {
    let points: Option<Vec<(f64, f64)>> =
        points.iter().map(|(x, y)| Some((*x as f64, (*y)? as f64))).collect();
    let points = points?;
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (variance > 0.0).then(|| covariance / variance)
}

/// Sessions that do nothing but take what comes.
struct Waiting {
    tasks: JoinSet<Option<Client>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Waiting {
    fn new(sessions: Vec<Client>) -> Self {
        let mut waiting =
            Self { tasks: JoinSet::new(), stop: tokio::sync::watch::Sender::new(false) };
        waiting.add(sessions);
        waiting
    }

    fn add(&mut self, sessions: Vec<Client>) {
        for mut session in sessions {
            let mut stop = self.stop.subscribe();
            self.tasks.spawn(async move {
                loop {
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return Some(session),
                        event = session.next() => {
                            if matches!(event, None | Some(Event::Closed(_))) {
                                return None;
                            }
                        }
                    }
                }
            });
        }
    }

    /// Closes the sessions. Fails when some were gone already: they were not measured then.
    async fn end(self, count: usize) -> Result<()> {
        self.stop.send_replace(true);
        let left: Vec<Client> = self.tasks.join_all().await.into_iter().flatten().collect();
        let alive = left.len();
        sessions::close(left).await;
        ensure!(alive == count, "{} of {count} idle connections were lost", count - alive);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_what_one_more_costs() {
        let line = [(0, Some(5_000)), (50, Some(10_000)), (100, Some(15_000))];
        assert_eq!(slope(&line), Some(100.0));
        let bent = [(0, Some(0)), (1, Some(30)), (2, Some(20))];
        assert_eq!(slope(&bent), Some(10.0));
    }

    #[test]
    fn without_memory_figures_there_is_no_slope() {
        assert_eq!(slope(&[(0, Some(1)), (1, None)]), None);
        assert_eq!(slope(&[(0, Some(1))]), None);
    }
}
