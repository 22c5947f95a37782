//! `--watch` with a minted token: it lies where a token lies, and the next is minted when two thirds
//! of its life are over.

use std::fs::{read, read_dir, read_link};
use std::time::{Duration, Instant};

use fake_phase::{Identities, Request, Responder};

use crate::identity::{is_mint, simple, simple_azure};
use crate::supervisor::memory;
use crate::support::proc::idle;
use crate::support::{
    CloudMachine, DEADLINE, Run, Running, WATCH, cloud_machine, has_root, holds, inspector,
    stop_watched,
};

/// Says which value it has, then serves until it has been told to stop: TERM and CONT.
const SERVER: &str = "echo \"value $KEY $AWS_ACCESS_KEY_ID\"; exec \"$0\" serve 2";

fn spawn_watched_machine(run: Run<'_>) -> Running {
    let mut running = run.args(["sh", "-c", SERVER, inspector()]).spawn();
    let line = running.line();
    assert!(line.starts_with("value value"), "{line}");
    running.ready();
    running
}

/// Nothing was said, but so many lines.
fn end_after(lines: usize, running: Running) {
    let output = stop_watched(running);
    assert_eq!(output.stderr.lines().count(), lines, "{output}");
}

/// When there are so many mints, all requests so far.
fn after_mints(machine: &CloudMachine, count: usize) -> Vec<Request> {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < DEADLINE, "fewer than {count} mints");
        let requests = machine.phase.requests();
        if requests.iter().filter(|request| is_mint(request)).count() >= count {
            return requests;
        }
        machine
            .phase
            .wait_for_requests(requests.len() + 1, DEADLINE);
    }
}

/// A token that is valid for twelve seconds is replaced after eight: not before, and early enough that no
/// poll is refused.
#[test]
fn the_next_token_is_minted_when_two_thirds_are_over() {
    for (provider, count) in [("aws", 3), ("azure", 2)] {
        let machine = cloud_machine();
        machine.identities(|identities| {
            identities.ttl(12);
        });
        let running = spawn_watched_machine(match provider {
            "aws" => simple(&machine, &WATCH),
            _ => simple_azure(&machine, &WATCH),
        });
        let requests = after_mints(&machine, count);
        let mints = requests.iter().filter(|request| is_mint(request));
        let times: Vec<_> = mints.map(|mint| mint.received).collect();
        for pair in times.windows(2) {
            let between = pair[1] - pair[0];
            assert!(between > Duration::from_millis(7900), "{between:?}");
        }
        // The polls between two mints use the token of the first.
        let mut minted = 0;
        let mut polls = [0; 3];
        for request in &requests {
            if is_mint(request) {
                minted += 1;
                continue;
            }
            polls[minted - 1] += 1;
            let bearer = fake_phase::minted_bearer(minted - 1);
            let used = format!("Bearer ServiceAccount {bearer}");
            assert_eq!(request.header("Authorization"), Some(used.as_str()));
        }
        assert!(
            polls[..count - 1].iter().all(|polls| *polls > 0),
            "{polls:?}"
        );
        end_after(0, running);
    }
}

/// A long life: however many polls, one mint.
#[test]
fn polls_share_the_token_of_the_start() {
    let machine = cloud_machine();
    let running = spawn_watched_machine(simple(&machine, &WATCH));
    let fetched = machine.phase.requests().len();
    machine.phase.wait_for_requests(fetched + 3, DEADLINE);
    assert_eq!(machine.phase.mints().len(), 1);
    end_after(0, running);
}

/// A life that no clock can hold is a long one.
#[test]
fn a_life_without_end_is_no_end_of_the_start() {
    let machine = cloud_machine();
    machine.identities(|identities| {
        identities.ttl(u64::MAX).max_ttl(u64::MAX);
    });
    let running = spawn_watched_machine(simple(&machine, &WATCH));
    let fetched = machine.phase.requests().len();
    machine.phase.wait_for_requests(fetched + 2, DEADLINE);
    assert_eq!(machine.phase.mints().len(), 1);
    end_after(0, running);
}

/// The command that a restart starts has the new value and still the cloud's variables.
#[test]
fn a_restart_has_what_the_start_had() {
    let machine = cloud_machine();
    machine.identities(|identities| {
        identities.ttl(12);
    });
    let mut running = spawn_watched_machine(simple(&machine, &WATCH));
    after_mints(&machine, 2);
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
    running.ready();
    let said = running.stderr_line();
    assert!(said.contains("the secrets have changed"), "{said}");
    end_after(1, running);
}

/// A mint that is refused is a poll that failed: said once, the command goes on; once it is trusted
/// again that is said, too.
#[test]
fn a_mint_that_is_refused_is_a_failed_poll() {
    let machine = cloud_machine();
    machine.identities(|identities| {
        identities.ttl(6);
    });
    let mut running = spawn_watched_machine(simple(&machine, &WATCH));
    machine.identities(|identities| {
        let _: &mut Identities = identities.distrust();
    });
    let said = running.stderr_line();
    // The old token is good for a while yet, and is not used.
    let requests = machine.phase.requests();
    let mut later = requests
        .iter()
        .skip(1)
        .skip_while(|request| !is_mint(request));
    assert!(later.all(is_mint), "{requests:?}");
    let failed = "phase-run: warning: a poll failed, and the command goes on as it is: ";
    assert!(said.starts_with(failed), "{said}");
    assert!(said.contains("Untrusted principal"), "{said}");
    assert!(running.signals().is_empty());
    machine.identities(|identities| {
        identities.trust();
    });
    let said = running.stderr_line();
    assert_eq!(said, "phase-run: the secrets can be read again");
    end_after(2, running);
}

/// A Phase that mints nothing just now, or cannot be reached: the token is good for a third of its life
/// yet, so nothing failed. When that is over, something did.
#[test]
fn a_mint_that_may_pass_is_not_missed_while_the_token_is_good() {
    for responder in [Responder::status(503), Responder::close()] {
        let machine = cloud_machine();
        machine.identities(|identities| {
            identities.ttl(12);
        });
        let run = simple(&machine, &WATCH).env("PHASE_MAX_WAIT", "0");
        let mut running = spawn_watched_machine(run);
        machine.phase.respond("/identities/", responder);
        let requests = after_mints(&machine, 2);
        let mint = requests.iter().skip(1).position(is_mint).unwrap() + 1;
        machine.phase.wait_for_requests(mint + 2, DEADLINE);
        let poll = machine.phase.requests().swap_remove(mint + 1);
        let used = format!("Bearer ServiceAccount {}", fake_phase::minted_bearer(0));
        assert_eq!(poll.header("Authorization"), Some(used.as_str()));
        let said = running.stderr_line();
        assert!(said.contains("a poll failed"), "{said}");
        end_after(1, running);
    }
}

/// A token that was ended early, by hand: the poll that meets this fails, a later one mints anew.
#[test]
fn a_token_that_is_gone_early_is_replaced() {
    let machine = cloud_machine();
    let mut running = spawn_watched_machine(simple(&machine, &WATCH));
    machine.identities(|identities| {
        identities.expire();
    });
    let said = running.stderr_line();
    assert!(said.contains("refused the token"), "{said}");
    after_mints(&machine, 2);
    let said = running.stderr_line();
    assert_eq!(said, "phase-run: the secrets can be read again");
    end_after(2, running);
}

/// As with any token: the watcher's memory and environment hold none, also after the second mint, and
/// its one sealed file is all there is. The cloud's credentials in its environment are the command's.
#[test]
fn a_watcher_holds_no_minted_token() {
    if !has_root("only root may look into a process that is not dumpable") {
        return;
    }
    let mut machine = cloud_machine();
    machine.canary("a value that nobody else has");
    machine.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.secret("/", "OTHER", "a value that nobody else has");
    });
    machine.identities(|identities| {
        identities.ttl(12);
    });
    let run = simple_azure(&machine, &WATCH);
    let running = spawn_watched_machine(run.env("MARKER", "a marker to be found"));
    after_mints(&machine, 2);
    let pid = running.pid();
    idle(pid);
    let environ = read(format!("/proc/{pid}/environ")).unwrap();
    let memory = memory(pid);
    assert!(
        holds(&memory, b"a marker to be found"),
        "the search finds nothing"
    );
    let minted = machine.phase.mints().len();
    for bearer in (0..minted).map(fake_phase::minted_bearer) {
        for (what, bytes) in [("memory", &memory), ("environment", &environ)] {
            assert!(!holds(bytes, bearer.as_bytes()), "the watcher's {what}");
        }
    }
    assert!(!holds(&memory, b"a value that nobody else has"));
    for token in fake_phase::azure::TOKENS {
        assert!(!holds(&memory, token.as_bytes()), "{token}");
    }
    let open = read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = open.filter_map(|entry| read_link(entry.path()).ok());
    let vaults = links.filter(|link| link.to_string_lossy().contains("memfd:phase-run"));
    assert_eq!(vaults.count(), 1);
    end_after(0, running);
}
