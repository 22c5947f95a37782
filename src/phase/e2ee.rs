#![forbid(unsafe_code)]
//! End-to-end encryption: what the server cannot read is opened here.
//!
//! The account's private key is one share of the token XOR another that the server keeps wrapped;
//! it opens an environment's seed, and the seed's pair opens each field of each row.

use std::num::NonZero;
use std::thread;

use super::crypto::{Flaw, KeyPair, lower_hex, mixed_hex, open_sealed};
use super::directory::{App, Directory, Environment, Key};
use super::lease::{self, Lease};
use super::rows::{Override, Rows, StaticRow, Text};
use super::status::{self, Endpoint};
use super::{ServerFilter, place};
use crate::auth::Credential;
use crate::config::DynamicSecrets;
use crate::error::Error;
use crate::secret::{Secret, SecretBytes};

/// Rows that a thread of its own is worth: some 10 ms of work.
const ROWS_PER_THREAD: usize = 64;

/// More threads than this would wait for each other's memory.
const MAX_THREADS: usize = 8;

/// What a thread needs at most, in bytes.
const STACK: usize = 256 << 10;

/// What opens environments: what the token can read, and the keys of its account.
pub(super) struct Keyring<'a> {
    pub(super) catalogue: Directory<'a>,
    account: KeyPair,
}

/// An environment, opened.
pub(super) struct Contents {
    pub(super) rows: Vec<OpenedRow>,
    /// Whether the server was asked to leave nothing out.
    pub(super) whole: bool,
    pub(super) leased: Vec<Secret>,
    pub(super) lease: Option<Lease>,
}

/// A secret, opened.
pub(super) struct OpenedRow {
    pub(super) secret: Secret,
    /// The shared value, where the user's own one replaces it: references mean this.
    pub(super) shared: Option<SecretBytes>,
}

impl<'a> Keyring<'a> {
    /// Puts the account's private key together.
    ///
    /// # Errors
    /// `token` where the token lacks its keys, or they are not each other's; `decrypt` where the
    /// server's share does not open; those of a request.
    pub(super) fn open(catalogue: Directory<'a>, credential: &Credential) -> Result<Self, Error> {
        let from = &credential.token_source;
        let Some([public, share, unwrap]) = credential.token.keys() else {
            return Err(Error::TokenWithoutKeys { from: from.clone() });
        };
        let unopened = |why: Flaw| Error::DecryptionFailed {
            what: format!("the server's share of the key of the token from {from}"),
            why,
        };
        let wrapped = catalogue.wrapped_share()?.unwrap_or_default();
        let wrapped = base16ct::lower::decode_vec(wrapped)
            .map_err(|_| unopened("it is not hex digits in lower case"))?;
        let keys = || -> Result<_, Flaw> {
            let mut private = mixed_hex(share)?;
            let other = open_sealed(wrapped, &*mixed_hex(unwrap)?)?;
            let other = lower_hex(other.expose())?;
            for (byte, other) in private.iter_mut().zip(other.iter()) {
                *byte ^= other;
            }
            Ok((KeyPair::of(&private), mixed_hex(public)?))
        };
        let (account, public) = keys().map_err(unopened)?;
        match account.has_public(&public) {
            true => Ok(Self { catalogue, account }),
            false => Err(Error::TokenKeyMismatch { from: from.clone() }),
        }
    }

    /// Fetches and opens an environment.
    ///
    /// # Errors
    /// `decrypt` with the name of what does not open; those of a request, of a server that refuses,
    /// and of a lease.
    pub(super) fn fetch(
        &self,
        app: &App,
        environment: &Environment,
        narrowed: &ServerFilter<'_>,
        dynamic: DynamicSecrets,
    ) -> Result<Contents, Error> {
        let place = place(&environment.name, app);
        let unkeyed = || Error::DecryptionFailed {
            what: place.clone(),
            why: "the server gives no key for it",
        };
        let key = environment.key.as_ref().ok_or_else(unkeyed)?;
        let pair = self.pair(key, &place)?;
        let client = &self.catalogue.client;
        let ttl = dynamic.ttl().map(|seconds| seconds.to_string());
        let mut headers = vec![("environment", key.environment.as_str())];
        headers.extend(dynamic.request_fields(ttl.as_deref()));
        // Headers carry letters of ASCII alone; the rest is left out here, by the selection.
        let plain = |text: &str| {
            let shown = |c: char| c.is_ascii_graphic() || c == ' ';
            text.chars().all(shown) && text.trim() == text
        };
        let folder = narrowed.folder.filter(|folder| plain(folder));
        headers.extend(folder.map(|folder| ("path", folder)));
        let tags = narrowed.tags.as_deref().filter(|tags| plain(tags));
        headers.extend(tags.map(|tags| ("tags", tags)));
        let answer = client.get(&client.host().secrets_url(), &[], &headers)?;
        if answer.status != 200 {
            let asked = Endpoint::Secrets {
                place: &place,
                leased: dynamic.leases(),
            };
            return Err(status::error_for_status(&answer, asked));
        }
        let rows: Rows<'_, StaticRow<'_, Text<'_>>, Text<'_>> =
            answer.json("a list of encrypted secrets")?;
        let open = |Text(field): Text<'_>, name: &str| {
            let what = || format!("the lease of {name} in {place}");
            pair.open(&field)
                .map_err(|why| Error::DecryptionFailed { what: what(), why })
        };
        let (leased, lease) = lease::secrets(rows.dynamic, dynamic, &place, open)?;
        let rows = open_all(&rows.secrets, &pair, &place)?;
        Ok(Contents {
            rows,
            whole: folder.is_none() && tags.is_none(),
            leased,
            lease,
        })
    }

    /// The pair of an environment's seed.
    fn pair(&self, key: &Key, place: &str) -> Result<KeyPair, Error> {
        let unopened = |why: Flaw| Error::DecryptionFailed {
            what: format!("the seed of {place}"),
            why,
        };
        let seed = self.account.open(&key.wrapped_seed).map_err(unopened)?;
        let pair = KeyPair::of_seed(&lower_hex(seed.expose()).map_err(unopened)?);
        let public = lower_hex(key.identity_key.as_bytes()).map_err(unopened)?;
        match pair.has_public(&public) {
            true => Ok(pair),
            false => Err(unopened("it is not that of the environment's public key")),
        }
    }
}

/// Opens the rows in their order, on as many cores as there are.
pub(super) fn open_all(
    rows: &[StaticRow<'_, Text<'_>>],
    pair: &KeyPair,
    place: &str,
) -> Result<Vec<OpenedRow>, Error> {
    let open_some = |rows: &[StaticRow<'_, Text<'_>>]| -> Result<Vec<OpenedRow>, Error> {
        rows.iter().map(|row| open(row, pair, place)).collect()
    };
    let worth = (rows.len() / ROWS_PER_THREAD).min(MAX_THREADS);
    let cores = match worth {
        0 | 1 => 1,
        worth => thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(worth),
    };
    if cores == 1 {
        return open_some(rows);
    }
    let mut shares = rows.chunks(rows.len().div_ceil(cores));
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let started: Vec<_> = shares
            .map(|share| {
                let thread = thread::Builder::new().stack_size(STACK);
                (share, thread.spawn_scoped(scope, || open_some(share)))
            })
            .collect();
        let mut opened = open_some(own)?;
        for (share, thread) in started {
            let more = match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // Where no more threads may be, this one does it all.
                Err(_) => open_some(share),
            };
            opened.extend(more?);
        }
        Ok(opened)
    })
}

fn open(row: &StaticRow<'_, Text<'_>>, pair: &KeyPair, place: &str) -> Result<OpenedRow, Error> {
    let unopened = |what: String, why: Flaw| Error::DecryptionFailed {
        what: format!("{what} in {place}"),
        why,
    };
    let key = pair
        .open(&row.key)
        .and_then(|key| match str::from_utf8(key.expose()) {
            Ok(key) => Ok(key.to_owned()),
            Err(_) => Err("it is not UTF-8"),
        })
        .map_err(|why| unopened(format!("the key of the secret {}", row.id), why))?;
    let value = |Text(field): &Text<'_>| {
        pair.open(field)
            .map_err(|why| unopened(format!("the value of {key}"), why))
    };
    let shared = value(&row.value)?;
    let (value, shared) = match &row.personal {
        Some(Override {
            value: own,
            is_active: true,
        }) => (value(own)?, Some(shared)),
        _ => (shared, None),
    };
    Ok(OpenedRow {
        secret: Secret {
            key,
            value,
            folder: row.folder.clone(),
            tags: row.tags.clone(),
            kind: row.kind.clone(),
            dynamic: None,
        },
        shared,
    })
}
