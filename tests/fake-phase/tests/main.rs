//! Tests the fake server against the captures, and its faults with a minimal client.
#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]

mod client;
mod cloud;
mod faults;
mod identities;
mod program;
mod replay;
mod views;
