//! The harness: a clean place to run a command line in, what came of it, and what must not.
//!
//! A test speaks the user's words: `Sandbox::run` is phase-run with these words, `Sandbox::bare` the
//! same preparation without it. Nothing here sleeps for an event; every wait has a deadline.

mod canary;
mod clock;
mod eventually;
mod fake_peers;
mod launch_modes;
mod machine;
mod output;
mod probe;
pub(crate) mod proc;
mod prompt;
mod pty;
mod python;
mod report;
mod run;
mod running;
mod sandbox;
mod shop;
mod skipped;
mod start;
mod transparent;
mod unnamed;

pub(crate) use canary::holds;
pub(crate) use clock::Clock;
pub(crate) use eventually::{DEADLINE, eventually};
pub(crate) use fake_peers::{quiet_port, read_head, stay_silent, stranger};
pub(crate) use launch_modes::{Arrived, BARRIER, WAYS, Way, arrived};
pub(crate) use machine::{Machine, machine, with};
pub(crate) use output::{Output, Status};
pub(crate) use probe::probe;
pub(crate) use prompt::{BASH, DASH, MODES, Mode, Prompt, SHELLS, ZSH, at_prompts};
pub(crate) use pty::{Log, Terminal};
pub(crate) use python::{BOTOCORE, packages};
pub(crate) use report::{Access, Descriptor, Disposition, Report};
pub(crate) use run::Run;
pub(crate) use running::Running;
pub(crate) use sandbox::{Sandbox, inherited};
pub(crate) use shop::{SHOP, Shop, shop};
pub(crate) use skipped::skipped;
pub(crate) use start::{kill, nobody_elses_user, queue};
