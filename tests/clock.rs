//! A wall clock that jumps during a start, or is wrong from the start. Waits and limits use the monotonic
//! clock; only a snapshot's age and a certificate's validity use the wall clock.

#![cfg(target_os = "linux")]

use std::thread::scope;
use std::time::{Duration, Instant, SystemTime};

use fake_phase::Responder;
use httpdate::fmt_http_date;

use crate::snapshot::{VALUE, snapshot_shop};
use crate::support::{
    Clock, DEADLINE, Output, PRINT_SECRET_AND_SERVE, Status, await_restart, require_own_build,
    spawn_watched, stop_watched,
};
use crate::watch_leases::{leased, leases};

/// The delay that a busy machine may add, far below the smallest jump.
const SLACK: Duration = Duration::from_secs(120);

const HOUR: i64 = 3600;

/// Within the validity of the fake server's certificates.
const FORTY_YEARS: i64 = 14_610 * 24 * HOUR;

const JUMPS: [i64; 4] = [-HOUR, HOUR, -FORTY_YEARS, FORTY_YEARS];

/// Returns whether the clock of phase-run can jump, and skips the current test if not.
fn can_jump() -> bool {
    require_own_build("a static program ignores LD_PRELOAD")
}

/// A refusal, with or without a `Retry-After` date two seconds after its own `Date`.
fn refusal(status: u16, asks: bool) -> Responder {
    let now = SystemTime::now();
    let refusal = Responder::status(status).times(1);
    match asks {
        false => refusal,
        true => refusal
            .header("Date", &fmt_http_date(now))
            .header("Retry-After", &fmt_http_date(now + Duration::from_secs(2))),
    }
}

/// The wait and the remaining time of the one retry that was logged, in seconds.
fn retry(output: &Output) -> (f64, f64) {
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    let numbers = output.stderr.split_once("; retrying in ");
    let numbers = numbers.and_then(|(_, rest)| {
        let (wait, rest) = rest.split_once(" s (attempt 2, ")?;
        let left = rest.strip_suffix(" s left)\n")?;
        Some((wait.parse().ok()?, left.parse().ok()?))
    });
    numbers.unwrap_or_else(|| panic!("{output}"))
}

/// The clock jumps before or during the first try, which is refused. The second try comes after the
/// requested delay, which is also logged.
fn check_retry_with_jump(jump: i64, during: bool, status: u16, asks: bool) {
    let case = format!("{jump} {during} {status} {asks}");
    let shop = snapshot_shop();
    let clock = Clock::new(&shop.sandbox);
    shop.phase.respond("", refusal(status, asks));
    if !during {
        clock.jump(jump);
    }
    let gate = shop.phase.gate("");
    let running = clock.apply_to(shop.run_with(&["--max-wait", "20"])).spawn();
    gate.wait_for_request(DEADLINE);
    clock.jump(jump);
    let start = Instant::now();
    gate.open();
    let output = running.wait().assert_status(Status::Exited(0));
    let took = start.elapsed();
    assert_eq!(output.text(), format!("{VALUE}\n"));
    let least = if asks { 2.0 } else { 0.0 };
    let (wait, left) = retry(&output);
    // The jitter is up to a second, or half of one.
    assert!((least..=least + 1.0).contains(&wait), "{case}: {output}");
    assert!((10.0..=20.0).contains(&left), "{case}: {output}");
    assert!(took.as_secs_f64() >= least, "{case}: {took:?}");
    assert!(
        took < Duration::from_secs_f64(least + 1.0) + SLACK,
        "{case}: {took:?}"
    );
    // The snapshot has the time after the jump.
    assert!(clock.was_read_since_jump(), "{case}");
    let output = shop.run_with(&["--offline"]).output();
    let used = format!("using the snapshot snapshot{}", age(-jump));
    let output = output.assert_log_lines(&[&used]).assert_ok();
    assert_eq!(output.text(), format!("{VALUE}\n"), "{case}");
}

/// The age of a snapshot in messages, if the clock is this far ahead of the one that made it.
fn age(ahead: i64) -> &'static str {
    match ahead {
        HOUR => ", made 1 h 0 min ago: ",
        FORTY_YEARS => ", made 14610 d 0 h ago: ",
        _ => ", of unknown age (its timestamp is in the future): ",
    }
}

/// A clock that jumps neither shortens nor prolongs the wait, and the logged numbers are right.
#[test]
fn clock_jump_between_tries_keeps_wait() {
    if !can_jump() {
        return;
    }
    scope(|scope| {
        for jump in JUMPS {
            for (during, status, asks) in [
                (true, 503, false),
                (true, 503, true),
                (true, 429, true),
                (false, 429, true),
            ] {
                scope.spawn(move || check_retry_with_jump(jump, during, status, asks));
            }
        }
    });
}

/// A jump, `--snapshot-max-age`, and whether a snapshot from before the jump is used.
const AGES: [(i64, &str, bool); 6] = [
    (-HOUR, "60", true),
    (-FORTY_YEARS, "60", true),
    (HOUR, "7200", true),
    (HOUR, "1800", false),
    (FORTY_YEARS, "1262390400", true),
    (FORTY_YEARS, "1262217600", false),
];

/// The message about that snapshot.
fn snapshot_message(jump: i64, max_age: &str, used: bool, reason: &str) -> String {
    let said = age(jump);
    match used {
        true => format!("using the snapshot snapshot{said}"),
        false => {
            let made = said.trim_start_matches(", ").trim_end_matches(": ");
            format!("{reason}it was {made}, and --snapshot-max-age is {max_age} s")
        }
    }
}

/// Phase is silent and the clock jumps during the first try. The outage lasts as long as `--timeout` and
/// `--max-wait` allow, and the snapshot's age is measured by the clock after the jump.
fn check_outage_with_jump(jump: i64, max_age: &str, used: bool) {
    let shop = snapshot_shop()
        .with_snapshot()
        .responding(Responder::stall());
    let clock = Clock::new(&shop.sandbox);
    let mut options = vec!["--timeout", "1", "--max-wait", "4"];
    options.extend(["--snapshot-max-age", max_age]);
    let before = shop.phase.requests().len();
    let start = Instant::now();
    let running = clock.apply_to(shop.run_with(&options)).spawn();
    let _ = shop.phase.wait_for_requests(before + 1, DEADLINE);
    clock.jump(jump);
    let output = running.wait();
    let took = start.elapsed();
    // No try begins in the last half second.
    let bounds = Duration::from_millis(3500)..Duration::from_secs(4) + SLACK;
    assert!(bounds.contains(&took), "{took:?}\n{output}");
    assert!(clock.was_read_since_jump(), "{output}");
    let said = snapshot_message(
        jump,
        max_age,
        used,
        "warning: cannot use the snapshot snapshot instead: ",
    );
    let lines: Vec<&str> = output.stderr.lines().collect();
    let after = lines.iter().position(|line| !line.contains("retrying in "));
    let (retries, rest) = lines.split_at(after.unwrap());
    assert!((1..=4).contains(&retries.len()), "{output}");
    assert!(rest[0].contains(&said), "{said}\n{output}");
    let value = format!("{VALUE}\n");
    match used {
        true => {
            assert_eq!((rest.len(), output.text()), (1, &*value));
            let _ = output.assert_status(Status::Exited(0));
        }
        false => {
            assert!(rest[1].contains("error[unreachable]"), "{output}");
            assert!(output.stdout.is_empty());
            let _ = output.assert_status(Status::Exited(125));
        }
    }
}

#[test]
fn clock_jump_in_outage_keeps_time_limits() {
    if !can_jump() {
        return;
    }
    scope(|scope| {
        for (jump, max_age, used) in AGES {
            scope.spawn(move || check_outage_with_jump(jump, max_age, used));
        }
    });
}

/// The same with a clock that is wrong from the start.
#[test]
fn snapshot_age_uses_the_wall_clock() {
    if !can_jump() {
        return;
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // The time of a machine without a clock battery before it is set.
    let unset = 100 - now.cast_signed();
    let shop = snapshot_shop().with_snapshot();
    let clock = Clock::new(&shop.sandbox);
    for (jump, max_age, used) in AGES.into_iter().chain([(unset, "1", true)]) {
        clock.jump(jump);
        let run = shop.run_with(&["--offline", "--snapshot-max-age", max_age]);
        let output = clock.apply_to(run).output();
        let said = snapshot_message(jump, max_age, used, "cannot use the snapshot snapshot: ");
        match used {
            true => {
                let output = output.assert_log_lines(&[&said]).assert_ok();
                assert_eq!(output.text(), format!("{VALUE}\n"));
            }
            false => {
                let output = output.assert_error(125, "snapshot");
                assert!(output.stderr.contains(&said), "{said}\n{output}");
            }
        }
    }
    // No certificate is valid then, and that is not an outage.
    let _ = clock
        .apply_to(shop.run_with(&[]))
        .output()
        .assert_error(125, "tls");
    shop.assert_readable();
}

/// Clock jumps do not change when a lease is renewed.
#[test]
fn lease_renewal_ignores_the_wall_clock() {
    if !can_jump() {
        return;
    }
    let (phase, sandbox, words) = leased("rest", 6, "600");
    let clock = Clock::new(&sandbox);
    let start = Instant::now();
    let mut running = spawn_watched(clock.apply_to(sandbox.run(&words)), PRINT_SECRET_AND_SERVE);
    for (count, jump) in [(1, FORTY_YEARS), (2, -FORTY_YEARS)] {
        clock.jump(jump);
        await_restart(&mut running, "one");
        let took = start.elapsed();
        // A lease lasts six seconds and is renewed after two thirds.
        let least = Duration::from_secs(4 * count);
        assert!((least..least + SLACK).contains(&took), "{took:?}");
        assert!(clock.was_read_since_jump());
        let said = running.stderr_line();
        assert!(said.contains("two thirds of a lease have passed"), "{said}");
    }
    assert_eq!(leases(&phase), [true; 3]);
    let _ = stop_watched(running);
}
