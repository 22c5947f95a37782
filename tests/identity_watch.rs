//! `--watch` with `--identity`: the minted token is cached, and renewed after two thirds of its lifetime.

#![cfg(target_os = "linux")]

use std::fs::{read, read_dir, read_link};
use std::time::{Duration, Instant};

use fake_phase::{Identities, Request, Responder};

use crate::identity::{aws_run, azure_run, is_login};
use crate::support::proc::{memory, wait_until_idle};
use crate::support::{
    CloudMachine, DEADLINE, Run, Running, WATCH, cloud_machine, contains, inspector, require_root,
    stop_watched,
};

/// Prints its value, then serves until it has received SIGTERM and SIGCONT.
const SERVER: &str = "echo \"value $KEY $AWS_ACCESS_KEY_ID\"; exec \"$0\" serve 2";

fn spawn_watched_machine(run: Run<'_>) -> Running {
    let mut running = run.args(["sh", "-c", SERVER, inspector()]).spawn();
    let line = running.line();
    assert!(line.starts_with("value value"), "{line}");
    running.wait_until_ready();
    running
}

/// Ends the run and checks how many lines standard error has.
fn end_after(lines: usize, running: Running) {
    let output = stop_watched(running);
    assert_eq!(output.stderr.lines().count(), lines, "{output}");
}

/// Waits for this many logins and returns all requests so far.
fn await_logins(machine: &CloudMachine, count: usize) -> Vec<Request> {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < DEADLINE, "fewer than {count} mints");
        let requests = machine.phase.requests();
        if requests.iter().filter(|request| is_login(request)).count() >= count {
            return requests;
        }
        machine
            .phase
            .wait_for_requests(requests.len() + 1, DEADLINE);
    }
}

/// A token that lives for twelve seconds is renewed by the first poll after eight: not earlier, and before
/// it expires.
#[test]
fn token_is_renewed_after_two_thirds() {
    for (provider, count) in [("aws", 3), ("azure", 2)] {
        let machine = cloud_machine();
        machine.edit_identities(|identities| {
            identities.ttl(12);
        });
        let running = spawn_watched_machine(match provider {
            "aws" => aws_run(&machine, &WATCH),
            _ => azure_run(&machine, &WATCH),
        });
        let requests = await_logins(&machine, count);
        let mints = requests.iter().filter(|request| is_login(request));
        let times: Vec<_> = mints.map(|mint| mint.received).collect();
        for pair in times.windows(2) {
            let between = pair[1] - pair[0];
            assert!(between > Duration::from_millis(7900), "{between:?}");
        }
        // The polls between two logins use the token of the first one.
        let mut minted = 0;
        let mut polls = [0; 3];
        for request in &requests {
            if is_login(request) {
                minted += 1;
                continue;
            }
            polls[minted - 1] += 1;
            let bearer = fake_phase::minted_bearer(minted - 1);
            let used = format!("Bearer ServiceAccount {bearer}");
            assert_eq!(request.header("Authorization"), Some(used.as_str()));
            // Between reading the token and sending the request, a slow machine may take two seconds.
            let age = request.received - times[minted - 1];
            assert!(age < Duration::from_secs(10), "not renewed: {age:?}");
        }
        assert!(
            polls[..count - 1].iter().all(|polls| *polls > 0),
            "{polls:?}"
        );
        end_after(0, running);
    }
}

/// While the token is fresh, no poll mints another one.
#[test]
fn polls_share_the_minted_token() {
    let machine = cloud_machine();
    let running = spawn_watched_machine(aws_run(&machine, &WATCH));
    let fetched = machine.phase.requests().len();
    machine.phase.wait_for_requests(fetched + 3, DEADLINE);
    assert_eq!(machine.phase.mints().len(), 1);
    end_after(0, running);
}

/// A lifetime that no clock can represent counts as a long one.
#[test]
fn endless_token_lifetime_is_accepted() {
    let machine = cloud_machine();
    machine.edit_identities(|identities| {
        identities.ttl(u64::MAX).max_ttl(u64::MAX);
    });
    let running = spawn_watched_machine(aws_run(&machine, &WATCH));
    let fetched = machine.phase.requests().len();
    machine.phase.wait_for_requests(fetched + 2, DEADLINE);
    assert_eq!(machine.phase.mints().len(), 1);
    end_after(0, running);
}

/// A restarted command has the new value and still the cloud's variables.
#[test]
fn restarted_command_keeps_cloud_variables() {
    let machine = cloud_machine();
    machine.edit_identities(|identities| {
        identities.ttl(12);
    });
    let mut running = spawn_watched_machine(aws_run(&machine, &WATCH));
    await_logins(&machine, 2);
    machine.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.find("/", "KEY").unwrap().value("another");
    });
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    let line = running.line();
    assert_eq!(
        line,
        format!("value another {}", fake_phase::aws::SESSION.id)
    );
    running.wait_until_ready();
    let said = running.stderr_line();
    assert!(said.contains("the secrets have changed"), "{said}");
    end_after(1, running);
}

/// A refused login is reported once as a failed poll, and the command keeps running. The recovery
/// is reported too.
#[test]
fn refused_login_is_a_failed_poll() {
    let machine = cloud_machine();
    machine.edit_identities(|identities| {
        identities.ttl(6);
    });
    let mut running = spawn_watched_machine(aws_run(&machine, &WATCH));
    machine.edit_identities(|identities| {
        let _: &mut Identities = identities.distrust();
    });
    let said = running.stderr_line();
    // The old token is still valid and is not used.
    let requests = machine.phase.requests();
    let mut later = requests
        .iter()
        .skip(1)
        .skip_while(|request| !is_login(request));
    assert!(later.all(is_login), "{requests:?}");
    let failed = "phase-run: warning: a poll failed, and the command keeps running: ";
    assert!(said.starts_with(failed), "{said}");
    assert!(said.contains("Untrusted principal"), "{said}");
    assert!(running.signals().is_empty());
    machine.edit_identities(|identities| {
        identities.trust();
    });
    let said = running.stderr_line();
    assert_eq!(said, "phase-run: polling works again");
    end_after(2, running);
}

/// While the previous token is valid, a transient failure of the login is not reported. After it
/// has expired, it is.
#[test]
fn transient_login_failure_keeps_valid_token() {
    for responder in [Responder::status(503), Responder::close()] {
        let machine = cloud_machine();
        machine.edit_identities(|identities| {
            identities.ttl(12);
        });
        let run = aws_run(&machine, &WATCH).env("PHASE_MAX_WAIT", "0");
        let mut running = spawn_watched_machine(run);
        machine.phase.respond("/identities/", responder);
        let requests = await_logins(&machine, 2);
        let mint = requests.iter().skip(1).position(is_login).unwrap() + 1;
        machine.phase.wait_for_requests(mint + 2, DEADLINE);
        let poll = machine.phase.requests().swap_remove(mint + 1);
        let used = format!("Bearer ServiceAccount {}", fake_phase::minted_bearer(0));
        assert_eq!(poll.header("Authorization"), Some(used.as_str()));
        let said = running.stderr_line();
        assert!(said.contains("a poll failed"), "{said}");
        end_after(1, running);
    }
}

/// The same goes for an outage of the cloud: after the renewal was due, polls use the previous token.
#[test]
fn cloud_outage_keeps_valid_token() {
    for responder in [Responder::status(503), Responder::close()] {
        let machine = cloud_machine();
        machine.edit_identities(|identities| {
            identities.ttl(24);
        });
        let run = azure_run(&machine, &WATCH).env("PHASE_MAX_WAIT", "0");
        let running = spawn_watched_machine(run);
        machine.cloud.respond("/", responder);
        let last = loop {
            let count = machine.phase.requests().len();
            let requests = machine.phase.wait_for_requests(count + 1, DEADLINE);
            let mint = requests.iter().find(|request| is_login(request)).unwrap();
            let last = requests.last().unwrap();
            if last.received - mint.received > Duration::from_secs(16) {
                break last.clone();
            }
        };
        let used = format!("Bearer ServiceAccount {}", fake_phase::minted_bearer(0));
        assert_eq!(last.header("Authorization"), Some(used.as_str()));
        end_after(0, running);
    }
}

/// Any other failure of the login is reported at once, although the previous token is valid.
#[test]
fn unexpected_login_response_is_a_failed_poll() {
    for (is_of_cloud, responder, why) in [
        (false, Responder::html_login(), "error[protocol]: "),
        (false, Responder::status(400), "error[identity]: "),
        (true, Responder::html_login(), "error[identity]: "),
        (true, Responder::status(403), "error[identity]: "),
    ] {
        let machine = cloud_machine();
        machine.edit_identities(|identities| {
            identities.ttl(6);
        });
        let mut running = spawn_watched_machine(azure_run(&machine, &WATCH));
        match is_of_cloud {
            true => machine.cloud.respond("/", responder),
            false => machine.phase.respond("/identities/", responder),
        }
        let said = running.stderr_line();
        assert!(said.contains("a poll failed"), "{said}");
        assert!(said.contains(why), "{said}");
        // The previous token has not been used after the failed login.
        let requests = machine.phase.requests();
        let mut later = requests
            .iter()
            .skip(1)
            .skip_while(|request| !is_login(request));
        assert!(later.all(is_login), "{requests:?}");
        end_after(1, running);
    }
}

/// The poll whose token was revoked fails, and a later one mints a new token.
#[test]
fn revoked_token_is_replaced() {
    let machine = cloud_machine();
    let mut running = spawn_watched_machine(aws_run(&machine, &WATCH));
    machine.edit_identities(|identities| {
        identities.expire();
    });
    let said = running.stderr_line();
    assert!(said.contains("rejected the token"), "{said}");
    await_logins(&machine, 2);
    let said = running.stderr_line();
    assert_eq!(said, "phase-run: polling works again");
    end_after(2, running);
}

/// The watcher's memory and environment hold no token, even after the second login, and it has one
/// memfd. The cloud's variables in its environment are the command's.
#[test]
fn watcher_holds_no_minted_token() {
    if !require_root("only root may look into a process that is not dumpable") {
        return;
    }
    let mut machine = cloud_machine();
    machine.canary("a value that nobody else has");
    machine.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.secret("/", "OTHER", "a value that nobody else has");
    });
    machine.edit_identities(|identities| {
        identities.ttl(12);
    });
    let run = azure_run(&machine, &WATCH);
    let running = spawn_watched_machine(run.env("MARKER", "a marker to be found"));
    await_logins(&machine, 2);
    let pid = running.pid();
    wait_until_idle(pid);
    let environ = read(format!("/proc/{pid}/environ")).unwrap();
    let memory = memory(pid);
    assert!(
        contains(&memory, b"a marker to be found"),
        "the search finds nothing"
    );
    let minted = machine.phase.mints().len();
    for bearer in (0..minted).map(fake_phase::minted_bearer) {
        for (what, bytes) in [("memory", &memory), ("environment", &environ)] {
            assert!(!contains(bytes, bearer.as_bytes()), "the watcher's {what}");
        }
    }
    assert!(!contains(&memory, b"a value that nobody else has"));
    for token in fake_phase::azure::TOKENS {
        assert!(!contains(&memory, token.as_bytes()), "{token}");
    }
    let open = read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = open.filter_map(|entry| read_link(entry.path()).ok());
    let vaults = links.filter(|link| link.to_string_lossy().contains("memfd:phase-run"));
    assert_eq!(vaults.count(), 1);
    end_after(0, running);
}
