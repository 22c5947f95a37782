//! All tests of phase-run, one program: they share the harness and the compiled reporter.

#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]
#![expect(
    clippy::indexing_slicing,
    reason = "a failed step should stop the test"
)]

mod args;
mod documents;
mod environ;
mod harness;
mod names;
mod sizes;
mod support;
mod usage;
