//! All tests of phase-run except the load test, in one program: they share the harness and the compiled
//! inspector.

#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]
#![expect(
    clippy::indexing_slicing,
    reason = "a failed step should stop the test"
)]
#![cfg_attr(
    not(target_os = "linux"),
    expect(
        dead_code,
        unused_imports,
        reason = "only the tests that need Linux use it"
    )
)]

mod args;
mod cli_login;
mod clock;
mod completion;
mod config;
mod credential;
mod decrypt;
mod documents;
mod dry_run;
mod dynamic;
mod e2ee;
mod early_connection;
mod encoding;
mod env_block;
mod env_limits;
mod env_names;
mod error_responses;
mod examples;
mod exec;
mod exec_transparency;
#[path = "../src/explore.rs"]
mod explore;
mod faq;
mod fetch;
mod forwarding;
mod generate;
mod harness;
mod headers;
mod host;
mod identity;
mod identity_attacks;
mod identity_aws;
mod identity_azure;
mod identity_login_errors;
mod identity_network_errors;
mod identity_order;
mod identity_profile;
mod identity_watch;
mod keyring;
mod layers;
mod logging;
mod lookup;
mod malformed_responses;
mod markdown;
mod messages;
mod name_resolution;
mod other_runners_flaws;
mod path_search;
mod pid1;
mod process_managers;
mod project;
mod proxy;
mod proxy_trust;
mod reference_failures;
mod references;
mod release;
mod retries;
mod secrecy;
mod secret_files;
mod secret_values;
mod selection;
mod session_leader;
mod shell_jobs;
mod signals_during_fetch;
mod snapshot;
mod snapshot_atomicity;
mod snapshot_file_safety;
mod snapshot_model;
mod snapshot_validity;
mod snapshot_watch;
mod static_binary;
mod supervise_pid1;
mod supervise_signals_during_fetch;
mod supervise_transparency;
mod supervisor_process;
mod support;
mod terminal;
mod timeouts;
mod tls;
mod token_command;
mod unexpected_responses;
mod unresponsive_addresses;
mod usage;
mod vectors;
mod waiting_line;
mod watch;
mod watch_cleanup;
mod watch_leases;
mod watch_polls;
mod watch_races;
mod watch_secrecy;
mod watch_signals;
