//! An environment that the kernel would refuse is an error with a hint, before the exec.

#![cfg(target_os = "linux")]

use std::panic::catch_unwind;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::support::{Shop, Status, inspector, shop};

/// A string has at most 32 pages with its NUL byte (execve(2)).
#[test]
fn oversized_value_is_error_with_size() {
    let shop = shop([("SMALL", "s".to_owned()), ("BIG", "b".repeat(200_000))]);
    let output = shop.assert_environment_error(&[]);
    assert!(
        output
            .stderr
            .contains("too large for a variable: BIG (2000"),
        "{output}"
    );
    assert!(
        output
            .stderr
            .contains("\nhint: pass it as a file with --file BIG\n"),
        "{output}"
    );
    assert!(output.stderr.len() < 1000 && !output.stderr.contains("SMALL"));
    let _ = shop
        .run_with(&["--file", "BIG"])
        .arg("true")
        .output()
        .assert_ok();
    let _ = shop
        .run_with(&["--except", "BIG"])
        .arg("true")
        .output()
        .assert_ok();
}

#[test]
fn largest_string_for_kernel_is_injected() {
    let value = "v".repeat((128 << 10) - "BIG=".len() - 1);
    let fits = shop([("BIG", &value)]);
    let report = fits.run_inspector(&[]).report();
    assert_eq!(report.variable("BIG").unwrap(), value.as_bytes());
    let _ = fits.assert_environment_error(&["--prefix", "X"]);
    let _ = shop([("BIG", value + "v")]).assert_environment_error(&[]);
}

/// The error lists the largest keys with their sizes and points to `--file`.
#[test]
fn oversized_environment_lists_largest_secrets() {
    let secrets = (0..40).map(|n| (format!("KEY_{n:02}"), "v".repeat(78_000 + 100 * n)));
    let shop = shop(secrets);
    let output = shop.assert_environment_error(&[]);
    let largest = ["KEY_39 (819", "KEY_38 (818", "KEY_37 (817"];
    let places = largest.map(|text| output.stderr.find(text));
    assert!(
        places.is_sorted() && places.iter().all(Option::is_some),
        "{output}"
    );
    assert!(
        output
            .stderr
            .contains("\nhint: pass it as a file with --file KEY_39\n"),
        "{output}"
    );
    assert!(!output.stderr.contains("KEY_00"), "{output}");
    let _ = shop
        .run_with(&["--file", "KEY_*"])
        .arg("true")
        .output()
        .assert_ok();
}

/// Variables with this many bytes of values in total, none of which is too large by itself.
fn pieces(total: usize) -> Vec<(String, String)> {
    const PIECE: usize = 100_000;
    let piece = |n: usize| {
        let length = PIECE.min(total - n * PIECE);
        (format!("V{n:05}"), "v".repeat(length))
    };
    (0..total.div_ceil(PIECE)).map(piece).collect()
}

/// Whether the kernel starts the inspector with such an environment.
fn kernel_accepts(shop: &Shop, stack: u64, total: usize) -> bool {
    let run = shop.bare([inspector(), "exit", "0"]);
    let run = run
        .unset("PHASE_SERVICE_TOKEN")
        .limit(Resource::RLIMIT_STACK, stack);
    let run = pieces(total).into_iter().fold(run, |run, (name, value)| {
        run.env_bytes(format!("{name}={value}"))
    });
    // The harness panics if the start fails.
    match catch_unwind(|| run.spawn().wait().status) {
        Ok(_) => true,
        Err(why) => {
            let why = why.downcast_ref::<String>().unwrap();
            assert!(why.starts_with("Argument list too long"), "{why:.200}");
            false
        }
    }
}

/// Whether phase-run accepts such an environment. If not, it must find that out itself, without E2BIG.
fn phase_run_accepts(shop: &Shop, stack: u64, total: usize) -> bool {
    shop.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.clear();
        for (name, value) in pieces(total) {
            production.secret("/", &name, &value);
        }
    });
    let run = shop.run_with(&[]).args([inspector(), "exit", "0"]);
    let output = run.limit(Resource::RLIMIT_STACK, stack).output();
    if output.status == Status::Exited(0) {
        return true;
    }
    let _ = output.assert_error(125, "environment");
    false
}

/// The limit is a quarter of the soft limit on the stack, at least 128 KiB and at most 6 MiB
/// (execve(2)). phase-run leaves 4 KiB free for the paths of the program and of a script's interpreter.
#[test]
fn limit_follows_stack_rlimit() {
    let shop = shop([("", ""); 0]);
    let (_, hard) = getrlimit(Resource::RLIMIT_STACK).unwrap();
    for stack in [256 << 10, 8 << 20, RLIM_INFINITY] {
        let stack = stack.min(hard);
        let (mut fits, mut too_much) = (0, 8 << 20);
        while too_much - fits > 1 {
            let middle = (fits + too_much) / 2;
            match kernel_accepts(&shop, stack, middle) {
                true => fits = middle,
                false => too_much = middle,
            }
        }
        assert!(
            !phase_run_accepts(&shop, stack, too_much),
            "stack {stack}: {too_much}"
        );
        assert!(
            !phase_run_accepts(&shop, stack, fits + 4096),
            "stack {stack}: {fits}"
        );
        let _ = phase_run_accepts(&shop, stack, fits - 2048);
        assert!(
            phase_run_accepts(&shop, stack, fits - 4200),
            "stack {stack}: {fits}"
        );
    }
}

/// Arguments count as well.
#[test]
fn arguments_count_towards_limit() {
    let shop = shop([("A_KEY", "v".repeat(60_000))]);
    let run = |words: usize| {
        let run = shop.run_with(&[]).args([inspector(), "exit", "0"]);
        let run = run.args(vec!["w".repeat(50_000); words]);
        run.limit(Resource::RLIMIT_STACK, 512 << 10).output()
    };
    let _ = run(1).assert_ok();
    let output = run(2).assert_error(125, "environment");
    assert!(output.stderr.contains("A_KEY (60007 bytes)"), "{output}");
}
