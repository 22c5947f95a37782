//! Simulates a fleet of machines in virtual time: phase-run's own retry and poll schedules against a
//! server with Phase's rate limit, and against one that is down for a while. Prints tables.
#![forbid(unsafe_code)]

mod random;
#[path = "../../../src/http/retry.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "statuses are not simulated"))]
mod retry;
#[path = "../../../src/process/linux/watch/schedule.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "leases are not simulated"))]
mod schedule;
mod server;
mod starts;
mod statistics;
mod watches;

use std::io::{self, Write};
use std::time::Duration;

use server::Server;
use starts::{Jitter, Starts};
use watches::Watches;

const FLEETS: [usize; 4] = [10, 100, 1_000, 10_000];

/// The requests a minute that an account may make: on Phase Cloud's Free and Pro plans, and on a
/// server without a limit.
const LIMITS: [Option<usize>; 3] = [Some(120), Some(240), None];

/// The default of `--max-wait`, and a value for machines that should rather wait than fail.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
const LONG_MAX_WAIT: Duration = Duration::from_secs(900);

const CLIENTS: [(&str, Jitter); 2] = [
    ("phase-run", Jitter::Full),
    ("without jitter", Jitter::None),
];

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    starts_under_limit(&mut out)?;
    starts_during_outage(&mut out)?;
    watches_after_change(&mut out)
}

fn starts_under_limit(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "All start in the same second. «up»: when 50 %, 99 % and all run, in seconds; «with \
         snapshots»: when the last one runs if those that give up have one; «later»: the most \
         requests in a second after the first two.\n"
    )?;
    writeln!(
        out,
        "| starts | a minute | --max-wait | client | requests a start | up | gave up | with snapshots | peak a second | later |"
    )?;
    writeln!(
        out,
        "| ---: | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: | ---: |"
    )?;
    for fleet in FLEETS {
        for limit in LIMITS {
            // Without a limit nobody waits, so `--max-wait` makes no difference.
            let max_waits = match limit {
                Some(_) => &[DEFAULT_MAX_WAIT, LONG_MAX_WAIT][..],
                None => &[DEFAULT_MAX_WAIT],
            };
            for max_wait in max_waits {
                for (client, jitter) in CLIENTS {
                    let server = Server::with_limit(limit);
                    let starts = Starts::simulate(fleet, jitter, *max_wait, server);
                    writeln!(
                        out,
                        "| {fleet} | {} | {} | {client} | {:.2} | {} | {} | {} | {} | {} |",
                        limit_text(limit),
                        max_wait.as_secs(),
                        starts.requests_per_start(),
                        starts.running_after(),
                        starts.gave_up(),
                        starts.running_with_snapshots(),
                        starts.peak_from(0),
                        starts.peak_from(2),
                    )?;
                }
            }
        }
    }
    Ok(())
}

fn starts_during_outage(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nPhase is down for 20 s (503, no Retry-After) while they start; --max-wait 30. «later»: \
         the most requests in a second after its return.\n"
    )?;
    writeln!(
        out,
        "| starts | client | requests a start | up | gave up | peak a second | later |"
    )?;
    writeln!(out, "| ---: | --- | ---: | --- | ---: | ---: | ---: |")?;
    let outage = Duration::from_secs(20);
    for fleet in FLEETS {
        for (client, jitter) in CLIENTS {
            let server = Server::down_until(outage);
            let starts = Starts::simulate(fleet, jitter, DEFAULT_MAX_WAIT, server);
            writeln!(
                out,
                "| {fleet} | {client} | {:.2} | {} | {} | {} | {} |",
                starts.requests_per_start(),
                starts.running_after(),
                starts.gave_up(),
                starts.peak_from(0),
                starts.peak_from(outage.as_secs()),
            )?;
        }
    }
    Ok(())
}

fn watches_after_change(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nAll run with --watch 60, and a secret changes. «refused»: rate-limited requests; «new»: \
         when 50 %, 99 %, all have been restarted, in seconds.\n"
    )?;
    writeln!(
        out,
        "| fleet | a minute | requests a minute | refused | new | peak of restarts a second |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | --- | ---: |")?;
    for fleet in FLEETS {
        for limit in LIMITS {
            let watches = Watches::simulate(fleet, limit);
            writeln!(
                out,
                "| {fleet} | {} | {:.0} | {:.0} % | {} | {} |",
                limit_text(limit),
                watches.requests_per_minute(),
                watches.rate_limited(),
                watches.restarted_after(),
                watches.peak(),
            )?;
        }
    }
    Ok(())
}

fn limit_text(limit: Option<usize>) -> String {
    limit.map_or("no limit".to_owned(), |limit| limit.to_string())
}
