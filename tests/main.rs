//! All tests of phase-run, one program: they share the harness and the compiled reporter.

#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]
#![expect(
    clippy::indexing_slicing,
    reason = "a failed step should stop the test"
)]

mod address;
mod addresses;
mod answers;
mod args;
mod arrival;
mod bounds;
mod clock;
mod completion;
mod config;
mod credential;
mod decrypt;
mod documents;
mod dry_run;
mod dynamic;
mod e2ee;
mod elsewhere;
mod environ;
mod examples;
mod examples_in_containers;
mod exec;
mod faults;
mod fetch;
mod forwarding;
mod generate;
mod harness;
mod headers;
mod identity;
mod identity_attacked;
mod identity_aws;
mod identity_azure;
mod identity_faults;
mod identity_order;
mod identity_profile;
mod identity_refused;
mod identity_watch;
mod interrupt;
mod jobs;
mod leader;
mod load;
mod lookup;
mod managers;
mod messages;
mod names;
mod packages;
mod pid1;
mod project;
mod proxy;
mod proxy_trust;
mod questions;
mod references;
mod refusals;
mod retries;
mod sealed;
mod search;
mod secrecy;
mod selection;
mod sizes;
mod snapshot;
mod snapshot_file;
mod snapshot_unfit;
mod snapshot_watch;
mod snapshot_writing;
mod static_binary;
mod supervise;
mod supervised_fetch;
mod supervised_pid1;
mod supervisor;
mod support;
mod terminal;
mod tls;
mod transparent;
mod usage;
mod vectors;
mod voice;
mod watch;
mod watch_clearing;
mod watch_leases;
mod watch_polls;
mod watch_secrecy;
mod watch_signals;
