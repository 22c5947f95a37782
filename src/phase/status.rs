#![forbid(unsafe_code)]
//! What the server's refusals mean, by what was asked.

use super::response::Answer;
use crate::error::Error;

/// What was asked for; the same status means different things.
#[derive(Clone, Copy)]
pub(super) enum Endpoint<'a> {
    /// What the token can read.
    Token,
    Apps,
    Environments,
    Secrets {
        /// `Production of shop`.
        place: &'a str,
        /// Dynamic secrets were to be leased with it.
        leased: bool,
    },
}

/// The error that an answer other than 200 stands for.
pub(super) fn error_for_status(answer: &Answer, asked: Endpoint<'_>) -> Error {
    let said = answer.server_error();
    let text = said
        .clone()
        .unwrap_or_else(|| "a page that is not Phase's".to_owned());
    let server = match &said {
        Some(said) => format!("{said} ({})", answer.status),
        None => format!("status {} with {text}", answer.status),
    };
    let host = answer.host.clone();
    match (answer.status, asked) {
        (401 | 403, _) if said.is_none() => Error::UnexpectedResponse {
            host,
            why: server,
            hint: Some("look for a gateway or a firewall on the way: Phase itself answers in JSON"),
        },
        (401, Endpoint::Secrets { place, .. })
            if text.contains("cannot access") || text.starts_with("Environment not found") =>
        {
            Error::AccessDenied {
                scope: place.to_owned(),
                message: server,
            }
        }
        (401, _) | (403, Endpoint::Token) => Error::TokenRejected {
            host,
            from: answer.token_source.clone(),
            message: server,
        },
        (403, Endpoint::Apps) => Error::ListingDenied {
            what: "apps",
            alternative: "--app with the app's id",
            message: server,
        },
        (403, Endpoint::Environments) => Error::ListingDenied {
            what: "environments",
            alternative: "--env with the environment's whole name",
            message: server,
        },
        (403, Endpoint::Secrets { place, .. }) => Error::AccessDenied {
            scope: place.to_owned(),
            message: server,
        },
        (
            400,
            Endpoint::Secrets {
                place,
                leased: true,
            },
        ) => Error::LeaseFailed {
            names: vec![],
            scope: place.to_owned(),
            message: server,
        },
        (429, _) => Error::RateLimited {
            host,
            retry_after: answer.retry_after.clone(),
        },
        (400 | 408 | 500..=599, _) => Error::ServerFailed {
            host,
            status: answer.status,
            message: text,
        },
        // Following it could take the token to a stranger.
        (300..=399, _) if answer.location.is_some() => Error::UnexpectedResponse {
            host,
            why: format!(
                "it redirects to {} (status {})",
                answer.location.as_deref().unwrap_or_default(),
                answer.status
            ),
            hint: Some("pass the address that Phase answers at itself with --host"),
        },
        _ => Error::UnexpectedResponse {
            host,
            why: server,
            hint: Some("check --host: it is where Phase's console is, without /service"),
        },
    }
}
