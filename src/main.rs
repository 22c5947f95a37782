//! phase-run: puts a Phase app's secrets in a command's environment and becomes the command.
//!
//! The whole way of the data is in [`run`] and [`fetch_and_exec`]: args → decisions → secrets → selection →
//! environment → exec. Each step takes the previous one's output; nothing points back. Only this file prints
//! errors and picks the exit status.
#![cfg_attr(
    fuzzing,
    no_main,
    expect(dead_code, reason = "only what reads bytes from elsewhere is run")
)]

mod auth;
mod cli;
mod config;
mod environ;
mod error;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod http;
mod json;
mod log;
mod phase;
#[expect(
    unsafe_code,
    reason = "signals, descriptors by number and the initial environment"
)]
mod process;
mod run;
mod secret;
mod selection;
mod snapshot;

use std::process::ExitCode;
use std::time::Instant;

use error::ExitStatus;
use process::core_dumps;
use process::wait::WaitStatus;
use process::{SingleThreaded, signal, startup};
use run::{Context, Outcome};

/// Wipes every block that is freed: what TLS, HTTP and JSON leave behind goes with it.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let start = Instant::now();
    let Some(single_threaded) = SingleThreaded::claim() else {
        return ExitCode::from(ExitStatus::NothingRun.code());
    };
    let inherited = startup::read_environ_and_wipe_tokens(&single_threaded);
    let core_limit = core_dumps::disable();
    signal::remove_runtime_handlers();
    signal::install_pid1_handlers();
    let (args, read) = cli::parse(std::env::args_os().skip(1).collect());
    let logger = config::logger(&args, &inherited);
    let mut context = Context {
        core_limit,
        logger,
        start,
    };
    let outcome = read.and_then(|()| run::run(single_threaded, &args, inherited, &mut context));
    match outcome {
        Ok(outcome) => {
            if let Outcome::CommandEnded(WaitStatus::Killed(by)) = outcome {
                signal::raise_default(by);
            }
            ExitCode::from(outcome.code())
        }
        Err(error) => {
            logger.fail(&error);
            ExitCode::from(error.exit_status().code())
        }
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run(env!("CARGO_BIN_NAME"), data));
