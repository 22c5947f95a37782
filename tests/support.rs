//! The test harness. It starts a real server that speaks Phase's API, runs command lines in a clean
//! sandbox, and returns their output.
//!
//! ```text
//! let shop = shop([("KEY", "value")]);                  // a server whose app has this secret
//! let run = shop.run_with(&["--only", "KEY"]);              // phase-run --app shop … --only KEY --
//! let output = run.args(["printenv", "KEY"]).allow_secrets_on_stdout().output(); // waits for its end
//! assert_eq!(output.assert_ok().text(), "value\n");            // exit status 0, nothing on stderr
//! assert_eq!(shop.phase.requests().len(), 2);           // the requests to the server
//! ```
//!
//! [`Sandbox::run`] starts phase-run with any arguments and [`Sandbox::bare`] any other program; [`Run`]
//! sets variables, descriptors, signals and limits. [`Run::output`] waits for the end,
//! [`Run::spawn`] and [`Run::on_terminal`] give a process to talk to. To see how a command was
//! started, run [`inspector`] and read its [`Report`]. Every output is searched for the secrets that
//! [`Sandbox::canary`] names. Tests wait for events and never sleep; the only time limit is [`DEADLINE`].
//! A test that needs root, a program or a package asks `requirements` for it first.

mod canary;
mod clock;
mod cloud_machine;
mod comparison;
mod fake_peers;
mod inspector;
mod launch_modes;
mod name_server;
mod output;
pub(crate) mod proc;
mod requirements;
mod run;
mod running;
mod sandbox;
mod shell_prompt;
mod shop;
mod spawn;
mod terminal;
mod watch;

pub(crate) use canary::contains;
pub(crate) use clock::Clock;
pub(crate) use cloud_machine::{CloudMachine, cloud_machine, with_env};
pub(crate) use fake_peers::{
    connecting_proxy, fake_server, read_request_head, refusing_proxy, stay_silent,
    unresponsive_port, unused_port,
};
pub(crate) use inspector::{Access, Descriptor, Disposition, Report, inspector};
pub(crate) use launch_modes::{
    BARE_AND_SUPERVISED, BARRIER, LAUNCH_MODES, LaunchMode, ReceivedSignal, signals_before_barrier,
};
pub(crate) use name_server::NameServer;
pub(crate) use output::{Output, Status};
pub(crate) use proc::{DEADLINE, eventually};
pub(crate) use requirements::{
    BOTOCORE, pypi_packages, require_debug_build, require_linux, require_own_build,
    require_programs, require_root, skip, static_binary,
};
pub(crate) use run::Run;
pub(crate) use running::Running;
pub(crate) use sandbox::{Sandbox, inherited, set_mode};
pub(crate) use shell_prompt::{
    BASH, DASH, ShellPrompt, ZSH, in_every_shell_and_mode, installed_shells,
};
pub(crate) use shop::{
    SHOP, Shop, assert_refused_before_connecting, set_secret_value, shop, shop_id, shop_with_key,
    shop_world,
};
#[cfg(target_os = "linux")]
pub(crate) use spawn::queue;
pub(crate) use spawn::{fill_pipe, kill, unused_uid};
pub(crate) use terminal::{InspectorLog, Terminal};
pub(crate) use watch::{
    PRINT_SECRET_AND_SERVE, WATCH, await_restart, spawn_watched, stop_watched,
    wait_for_more_requests, watched_shop,
};
