//! A fleet that starts at once, in virtual time: phase-run's own policy of retries and polls against
//! Phase's budget of requests, and against a server that is away.
#![forbid(unsafe_code)]

mod chance;
#[path = "../../../src/http/retry.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "statuses play no part here"))]
mod retry;
#[path = "../../../src/process/watch/schedule.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "leases play no part here"))]
mod schedule;
mod server;
mod starts;
mod watches;

use std::io::{self, Write};
use std::time::Duration;

use server::Server;
use starts::{Client, Starts};
use watches::Watches;

const FLEETS: [usize; 4] = [10, 100, 1_000, 10_000];

/// Requests a minute for an account: Phase Cloud's Free and Pro, and a server without a limit.
const BUDGETS: [Option<usize>; 3] = [Some(120), Some(240), None];

/// `--max-wait`: what it is by default, and for who would rather wait than end.
const WAITS: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(900)];

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let clients = [
        ("phase-run", Client::Jittered),
        ("without jitter", Client::Regular),
    ];

    writeln!(
        out,
        "All start in the same second. «up»: when 50 %, 99 % and all run, in seconds; «with snapshots»: when the last one runs if who gives up has one; «later»: the most requests in a second after the first two.\n"
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
        // Without a limit nobody waits.
        let waits = |budget: Option<usize>| {
            WAITS
                .map(|wait| (budget, wait))
                .into_iter()
                .take(if budget.is_some() { 2 } else { 1 })
        };
        for (budget, max_wait) in BUDGETS.into_iter().flat_map(waits) {
            for (name, client) in clients {
                let server = Server::limited(budget);
                let starts = Starts::run(fleet, client, max_wait, server);
                writeln!(
                    out,
                    "| {fleet} | {} | {} | {name} | {:.2} | {} | {} | {} | {} | {} |",
                    said(budget),
                    max_wait.as_secs(),
                    starts.requests_a_start(),
                    starts.up(),
                    starts.gave_up,
                    starts.all_with_snapshots(),
                    starts.peak_from(0),
                    starts.peak_from(2),
                )?;
            }
        }
    }

    writeln!(
        out,
        "\nPhase is away for 20 s (503, no Retry-After) while they start; --max-wait 30. «later»: the most requests in a second after its return.\n"
    )?;
    writeln!(
        out,
        "| starts | client | requests a start | up | gave up | peak a second | later |"
    )?;
    writeln!(out, "| ---: | --- | ---: | --- | ---: | ---: | ---: |")?;
    let away = Duration::from_secs(20);
    for fleet in FLEETS {
        for (name, client) in clients {
            let starts = Starts::run(fleet, client, WAITS[0], Server::away(away));
            writeln!(
                out,
                "| {fleet} | {name} | {:.2} | {} | {} | {} | {} |",
                starts.requests_a_start(),
                starts.up(),
                starts.gave_up,
                starts.peak_from(0),
                starts.peak_from(away.as_secs()),
            )?;
        }
    }

    writeln!(
        out,
        "\nAll run with --watch 60, and a secret changes. «new»: when 50 %, 99 %, all have been restarted, in seconds.\n"
    )?;
    writeln!(
        out,
        "| fleet | a minute | requests a minute | refused | new | peak of restarts a second |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | --- | ---: |")?;
    for fleet in FLEETS {
        for budget in BUDGETS {
            let watches = Watches::run(fleet, budget);
            writeln!(
                out,
                "| {fleet} | {} | {:.0} | {:.0} % | {} | {} |",
                said(budget),
                watches.requests_a_minute(),
                watches.refused(),
                watches.restarted(),
                watches.peak(),
            )?;
        }
    }
    Ok(())
}

fn said(budget: Option<usize>) -> String {
    budget.map_or("no limit".to_owned(), |budget| budget.to_string())
}

/// When 50 %, 99 % and all of so many were there, in seconds: `0.1 / 0.2 / never`.
fn reached(times: &[Duration], of: usize) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |share: usize| {
        let count = (of * share).div_ceil(100).max(1);
        let time = times.get(count - 1);
        time.map_or("never".to_owned(), |time| {
            format!("{:.1}", time.as_secs_f64())
        })
    };
    [at(50), at(99), at(100)].join(" / ")
}

/// The most in one second of the clock.
fn peak(times: &[Duration]) -> usize {
    let mut seconds = std::collections::BTreeMap::new();
    for time in times {
        *seconds.entry(time.as_secs()).or_insert(0) += 1;
    }
    seconds.into_values().max().unwrap_or(0)
}
