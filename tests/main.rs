//! All tests of phase-run, one program: they share the harness and the compiled reporter.

#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]
#![expect(
    clippy::indexing_slicing,
    reason = "a failed step should stop the test"
)]

mod answers;
mod args;
mod arrival;
mod bounds;
mod credential;
mod documents;
mod dry_run;
mod environ;
mod fetch;
mod harness;
mod interrupt;
mod lookup;
mod messages;
mod names;
mod refusals;
mod secrecy;
mod selection;
mod sizes;
mod support;
mod tls;
mod usage;
