//! The fake server as a program, for demonstrations and benchmarks. It prints how to reach it as
//! `NAME=value` lines, then `ready`, and serves until its standard input ends. [`control`] performs the
//! commands that it reads from there.
#![forbid(unsafe_code)]

mod control;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use control::{Control, write_private};
use fake_phase::{Account, Certificate, Options, Phase, World, aws};

const USAGE: &str = "usage: fake-phase [--port N] [--plain] \
    [--certificate good|phase-cloud|unknown-ca|other-name|expired] [--ca-out FILE] [--token-out FILE] [--secrets N] \
    [--ip ADDRESS] [--cloud]";

#[derive(Default)]
struct Arguments {
    options: Options,
    ca_out: Option<PathBuf>,
    token_out: Option<PathBuf>,
    secrets: Option<usize>,
    /// Whether to be a cloud instead of Phase.
    cloud: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the exit status still reports the failure.
            let _ = writeln!(io::stderr(), "fake-phase: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = parse_arguments(std::env::args().skip(1))?;
    let mut world = match arguments.cloud {
        true => World::cloud(),
        false => World::captured(),
    };
    if let Some(count) = arguments.secrets {
        let production = world.app("shop").environment("Production", "prod").clear();
        for number in 1..=count {
            let value = format!("value {number} of a secret of usual length, 0123456789abcdef");
            production.secret("/", &format!("KEY_{number:05}"), &value);
        }
    }
    let phase = Phase::with(world, arguments.options);
    let mut ca_file = phase.ca_file().to_path_buf();
    if let Some(path) = arguments.ca_out {
        fs::copy(&ca_file, &path)?;
        ca_file = path;
    }
    if let Some(path) = &arguments.token_out {
        write_private(path, fake_phase::service_token())?;
    }

    let mut out = io::stdout().lock();
    writeln!(out, "PHASE_HOST={}", phase.host())?;
    writeln!(out, "PHASE_CA_FILE={}", ca_file.display())?;
    writeln!(out, "PHASE_SERVICE_TOKEN={}", fake_phase::service_token())?;
    writeln!(out, "APP=shop")?;
    writeln!(out, "APP_ID={}", fake_phase::app_id("shop"))?;
    writeln!(out, "E2EE_APP_ID={}", fake_phase::app_id("shop-e2ee"))?;
    let service_account = fake_phase::service_account_id();
    writeln!(out, "PHASE_SERVICE_ACCOUNT_ID={service_account}")?;
    if arguments.cloud {
        let authorization = aws::CONTAINER_AUTHORIZATION;
        writeln!(out, "AWS_CONTAINER_AUTHORIZATION_TOKEN={authorization}")?;
    }
    writeln!(out, "ready")?;
    out.flush()?;
    let mut control = Control {
        phase,
        token_file: arguments.token_out,
        current: Account::ServiceAccount,
    };
    for line in io::stdin().lock().lines() {
        match control.perform(&line?) {
            Ok(answer) => writeln!(out, "{answer}\n.")?,
            Err(why) => writeln!(out, "{why}\n!")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn parse_arguments(mut args: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments::default();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| format!("{arg} needs a value; {USAGE}"))
        };
        match arg.as_str() {
            "--plain" => arguments.options.tls = false,
            "--cloud" => arguments.cloud = true,
            "--ip" => arguments.options.ip = value()?.parse()?,
            "--port" => arguments.options.port = value()?.parse()?,
            "--secrets" => arguments.secrets = Some(value()?.parse()?),
            "--ca-out" => arguments.ca_out = Some(value()?.into()),
            "--token-out" => arguments.token_out = Some(value()?.into()),
            "--certificate" => {
                arguments.options.certificate = match value()?.as_str() {
                    "good" => Certificate::Good,
                    "phase-cloud" => Certificate::PhaseCloud,
                    "unknown-ca" => Certificate::UnknownCa,
                    "other-name" => Certificate::OtherName,
                    "expired" => Certificate::Expired,
                    other => return Err(format!("no certificate {other}; {USAGE}").into()),
                };
            }
            other => return Err(format!("unknown option {other}; {USAGE}").into()),
        }
    }
    Ok(arguments)
}
