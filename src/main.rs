//! phase-run: puts a Phase app's secrets in a command's environment and becomes the command.
//!
//! Only `main` parses the arguments, prints the error and picks the exit status. [`run`] has the
//! sequence of a run.
#![cfg_attr(
    fuzzing,
    no_main,
    expect(dead_code, reason = "only the parsers of untrusted bytes run")
)]
#![cfg_attr(
    target_os = "macos",
    expect(dead_code, reason = "only --supervise, --watch and --file use it")
)]

mod auth;
mod cli;
mod config;
mod encoding;
mod environ;
mod error;
#[cfg(test)]
mod explore;
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

use error::Error;
use log::Logger;
use process::wait::WaitStatus;
use process::{SingleThreaded, memory_protection, panic_hook, signal, stack_limit, startup};
use run::{Context, Outcome};

/// Wipes every heap block before it is freed. `secret.rs` says why all wiping of the heap rests on it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

#[expect(clippy::expect_used, reason = "main is called once")]
fn main() -> ExitCode {
    let start = Instant::now();
    panic_hook::install(Logger::default());
    let single_threaded = SingleThreaded::claim().expect("main claims it first and once");
    let inherited = startup::read_environ_and_wipe_tokens(&single_threaded);
    // Before anything that needs a large stack, such as parsing the arguments.
    let stack_limit = stack_limit::raise_if_needed();
    let core_limit = memory_protection::enable();
    signal::remove_runtime_handlers();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let has_arguments = !arguments.is_empty();
    let (args, parse_result) = cli::parse(arguments);
    let logger = config::read_logger(&args, &inherited);
    panic_hook::install(logger);
    let context = Context {
        log: &logger,
        logger,
        start,
        core_limit: &core_limit,
    };
    let outcome = parse_result
        .and(stack_limit)
        .and_then(|()| run::run(single_threaded, &args, inherited, context));
    match outcome {
        Ok(outcome) => {
            if let Outcome::CommandEnded(WaitStatus::Killed(signal)) = outcome {
                signal::raise_default(signal);
            }
            ExitCode::from(outcome.exit_status())
        }
        Err(error) => {
            logger.log_error(&error);
            if matches!(error, Error::NoCommand { .. }) && !has_arguments {
                logger.write_help(&cli::help::summary());
            }
            ExitCode::from(error.exit_status())
        }
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run(env!("CARGO_BIN_NAME"), data));
