//! All tests of phase-run except the load test, in one program: they share the harness and the compiled
//! inspector.

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
mod attacks;
mod clock;
mod completion;
mod config;
mod credential;
mod decrypt;
mod documents;
mod dry_run;
mod dynamic;
mod e2ee;
mod environ;
mod examples;
mod examples_in_containers;
mod exec;
mod exec_environment;
mod faq;
mod faults;
mod fetch;
mod forwarding;
mod generate;
mod harness;
mod headers;
mod identity;
mod identity_aws;
mod identity_azure;
mod identity_faults;
mod identity_hostile;
mod identity_order;
mod identity_profile;
mod identity_refused;
mod identity_watch;
mod jobs;
mod layers;
mod logging;
mod lookup;
mod managers;
mod messages;
mod names;
mod packages;
mod path_search;
mod pid1;
mod project;
mod proxy;
mod proxy_trust;
mod references;
mod refusals;
mod retries;
mod secrecy;
mod secret_files;
mod selection;
mod session_leader;
mod signals_during_fetch;
mod sizes;
mod snapshot;
mod snapshot_file;
mod snapshot_unusable;
mod snapshot_watch;
mod snapshot_writing;
mod static_binary;
mod supervise;
mod supervised_fetch;
mod supervised_pid1;
mod supervisor;
mod support;
mod terminal;
mod timeouts;
mod tls;
mod usage;
mod values;
mod vectors;
mod watch;
mod watch_cleanup;
mod watch_leases;
mod watch_polls;
mod watch_secrecy;
mod watch_signals;
