#![forbid(unsafe_code)]
//! Phase's API: fetches the secrets of one environment.
//!
//! [`fetch`] authenticates, finds the app and the environment, and fetches. An app ID with the exact
//! name of an environment costs one request if the server decrypts. An app name, an abbreviated
//! environment name, or decryption by phase-run costs a request for the list of what the token can
//! read.

mod app_directory;
mod client;
mod crypto;
mod e2ee;
mod environment_index;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lease;
mod login;
pub(crate) mod reference;
mod resolver;
mod response;
mod rest;
mod rows;

use std::rc::Rc;

use crate::auth::{Auth, Credential};
use crate::config::{DecryptionMode, DynamicMode, FetchConfig, SelectionOptions, parse_uuid};
use crate::error::{Error, IgnoredProject, SetBy, Setting};
use crate::http::{HttpClient, RequestPolicy};
use crate::log::{Event, Log};
use crate::process::SingleThreaded;
use crate::secret::Secret;
use app_directory::{App, AppDirectory, Encryption, Environment};
use client::ApiClient;
use e2ee::{E2eeClient, MAX_ENCRYPTED_SECRETS};
pub(crate) use e2ee::{EncryptedSecret, EnvironmentDecryptor};
pub(crate) use lease::LeaseExpiry;
pub(crate) use resolver::{ReferenceResolver, Resolved};
pub(crate) use response::is_outage;
use response::naming_wanted;
use rest::RestOutcome;

/// The secrets of an environment, before selection.
pub(crate) struct FetchedSecrets<'a> {
    pub(crate) secrets: SecretList<'a>,
    /// The environment for messages, such as `Production of shop`.
    pub(crate) environment_label: String,
    pub(crate) target: FetchedTarget,
    /// When the first lease expires, if anything was leased.
    pub(crate) lease: Option<LeaseExpiry>,
}

/// The app and the environment of a fetch, with every name that is known of them.
pub(crate) struct FetchedTarget {
    /// The ID of the app and, if it is known, its name.
    pub(crate) app_names: Vec<String>,
    pub(crate) environment_names: Vec<String>,
}

impl FetchedTarget {
    fn new(app: &App, environment: &Environment) -> Self {
        Self {
            app_names: vec![app.id.clone(), app.name.clone()],
            environment_names: vec![environment.name.clone()],
        }
    }
}

impl FetchConfig {
    /// Returns what named the app, if its ID would save a request.
    fn app_name_set_by(&self) -> Option<SetBy> {
        let app = self.target.app.as_ref()?;
        let needs_lookup =
            parse_uuid(&app.value).is_none() && self.mode != DecryptionMode::EndToEnd;
        needs_lookup.then(|| app.set_by.clone())
    }
}

/// The secrets of an environment, from either interface.
pub(crate) enum SecretList<'a> {
    /// The server has decrypted them and resolved their references.
    Decrypted(Vec<Secret>),
    /// They are decrypted here, and then their references are resolved.
    Encrypted {
        secrets: Vec<EncryptedSecret>,
        decryptor: Rc<EnvironmentDecryptor>,
        resolver: Box<ReferenceResolver<'a>>,
    },
}

/// The part of the filter that the server applies: one folder, or else tags.
///
/// Only one of the two is sent, so that an empty response can be attributed to it.
#[derive(Default)]
struct ServerFilter<'f> {
    folder: Option<&'f str>,
    tags: &'f [String],
}

/// Fetches the secrets of the app and environment in `config`. `selection` only tells the server what
/// it may leave out: the caller still has to apply it.
///
/// Takes the [`SingleThreaded`] token because the HTTP client starts threads.
///
/// # Errors
/// Those of a request, of authentication and of decryption; `config` if no app or no environment is
/// set, `not-found` or `ambiguous` if Phase has none or several of that name.
pub(crate) fn fetch<'a>(
    _single_threaded: SingleThreaded,
    config: &'a FetchConfig,
    auth: &'a Auth<'_>,
    selection: &'a SelectionOptions,
    log: &'a dyn Log,
) -> Result<FetchedSecrets<'a>, Error> {
    let http = HttpClient::new(&config.http, log);
    if config.mode != DecryptionMode::EndToEnd
        && let Some(server) = config.host.separate_rest_server()
    {
        http.expect_server(server);
    }
    let credential = login::authenticate(&http, &config.host, auth)?;
    let client = ApiClient::new(http, &config.host, credential);
    let fetcher = Fetcher {
        config,
        server_filter: ServerFilter::new(selection),
        explains_empty: !selection.allow_empty && !config.dynamic_mode.takes_leases(),
        app_directory: AppDirectory::new(client, credential, config.mode),
        credential,
        log,
    };
    fetcher.find_and_fetch().map_err(|error| match error {
        Error::RateLimited {
            host, retry_after, ..
        } => Error::RateLimited {
            host,
            retry_after,
            app_name_set_by: config.app_name_set_by(),
        },
        error => error,
    })
}

/// The steps of one fetch, and what they share.
struct Fetcher<'a> {
    config: &'a FetchConfig,
    server_filter: ServerFilter<'a>,
    /// Whether to fetch again without the filter if nothing matches it, so that the error can list the folders
    /// and tags that exist.
    explains_empty: bool,
    app_directory: AppDirectory<'a>,
    credential: &'a Credential,
    log: &'a dyn Log,
}

/// The app and the environment to fetch, each with the setting that named it.
struct ResolvedTarget<'a> {
    app_setting: &'a Setting<String>,
    app: App,
    environment_setting: &'a Setting<String>,
    environment: Environment,
}

impl<'a> Fetcher<'a> {
    /// Finds the app and the environment, and fetches the secrets.
    fn find_and_fetch(self) -> Result<FetchedSecrets<'a>, Error> {
        let (app_setting, mut app) = self.find_app()?;
        let environment_setting = self.environment_setting(&mut app)?;
        let target = ResolvedTarget {
            app_setting,
            environment_setting,
            environment: self.choose_environment(&app, environment_setting)?,
            app,
        };
        self.log_target(&target);
        self.fetch_secrets(target)
    }

    /// Finds the app. Its ID needs no request unless phase-run has to decrypt.
    fn find_app(&self) -> Result<(&'a Setting<String>, App), Error> {
        let target = &self.config.target;
        let Some(setting) = &target.app else {
            return Err(Error::NoApp {
                readable: self.app_directory.app_names().unwrap_or_default(),
                ignored_project: target.ignored_project.clone(),
                misplaced: target.misplaced,
            });
        };
        let app = match (parse_uuid(&setting.value), self.config.mode) {
            (Some(id), DecryptionMode::Auto | DecryptionMode::Rest) => {
                App::from_id(id, &setting.value)
            }
            // A token without keys could only use the REST interface, which this mode rules out.
            (_, DecryptionMode::EndToEnd) if !self.credential.token.has_keys() => {
                return Err(Error::TokenWithoutKeys {
                    from: self.credential.token_origin.clone(),
                });
            }
            _ => {
                let found = self.app_directory.find_app(setting);
                found.map_err(|error| naming_wanted(error, setting))?
            }
        };
        Ok((setting, app))
    }

    /// Returns the setting that names the environment. An environment from `.phase.json` applies only
    /// to the app whose ID is in the same file.
    fn environment_setting(&self, app: &mut App) -> Result<&'a Setting<String>, Error> {
        let target = &self.config.target;
        let other_app = target
            .environment_scope
            .as_ref()
            .filter(|(id, _)| !id.eq_ignore_ascii_case(&app.id));
        match &target.environment {
            Some(setting) if other_app.is_none() => Ok(setting),
            _ => {
                let project_of_other_app = other_app.map(|(_, path)| IgnoredProject {
                    path: path.clone(),
                    why: "is for another app",
                });
                let listed = self.app_directory.environments(app).ok();
                let names = listed
                    .into_iter()
                    .flatten()
                    .map(|listed| listed.name.clone());
                Err(Error::NoEnvironment {
                    readable: names.collect(),
                    app: app.name.clone(),
                    ignored_project: target.ignored_project.clone().or(project_of_other_app),
                })
            }
        }
    }

    /// Chooses the environment among those of the app. If they are unknown, the name is assumed to be
    /// exact and the server checks it.
    fn choose_environment(
        &self,
        app: &App,
        setting: &Setting<String>,
    ) -> Result<Environment, Error> {
        let Some(environments) = &app.environments else {
            return Ok(Environment::from_name(&setting.value));
        };
        let (environment, matched_by) =
            app_directory::match_environment(environments, setting, &app.name)?;
        if let Some(matched_by) = matched_by {
            self.log.log(Event::EnvironmentChosen {
                query: &setting.value,
                source: setting.set_by.to_string(),
                environment: &environment.name,
                matched_by,
            });
        }
        Ok(environment.clone())
    }

    /// Requests the app's environments and chooses one of them, unless they are already known.
    fn look_up_environment(&self, target: &mut ResolvedTarget<'_>) -> Result<(), Error> {
        if target.app.environments.is_none() {
            let listed = self.app_directory.environments(&mut target.app);
            listed.map_err(|error| naming_wanted(error, target.environment_setting))?;
            target.environment =
                self.choose_environment(&target.app, target.environment_setting)?;
        }
        Ok(())
    }

    fn log_target(&self, target: &ResolvedTarget<'_>) {
        self.log.log(Event::Fetching {
            app: &target.app.name,
            app_source: target.app_setting.set_by.to_string(),
            environment: &target.environment.name,
            environment_source: target.environment_setting.set_by.to_string(),
            host: self.config.host.name(),
            token_source: &self.credential.token_origin,
        });
        if let Some(proxy) = &self.config.http.proxy {
            self.log.log(Event::Proxy {
                name: &proxy.name,
                variable: proxy.variable,
            });
        }
    }

    /// Fetches from the REST interface if the server can decrypt the app's secrets, and otherwise
    /// from the end-to-end interface.
    fn fetch_secrets(self, mut target: ResolvedTarget<'_>) -> Result<FetchedSecrets<'a>, Error> {
        while !self.app_directory.decrypts_locally(&target.app) {
            let mut outcome = self.fetch_from_rest(&target, &self.server_filter)?;
            if let RestOutcome::Secrets(secrets, _) = &outcome
                && self.must_explain(secrets)
            {
                outcome = self.fetch_from_rest(&target, &ServerFilter::default())?;
            }
            match outcome {
                RestOutcome::Secrets(secrets, lease) => {
                    return Ok(FetchedSecrets {
                        secrets: SecretList::Decrypted(secrets),
                        environment_label: environment_label(&target.environment.name, &target.app),
                        target: FetchedTarget::new(&target.app, &target.environment),
                        lease,
                    });
                }
                RestOutcome::EndToEnd => {
                    self.log.log(Event::EndToEndFound);
                    target.app.encryption = Some(Encryption::EndToEnd);
                }
                // The server compares full names only; the setting may be a type or a prefix.
                RestOutcome::NoSuchEnvironment if target.app.environments.is_none() => {
                    self.look_up_environment(&mut target)?;
                }
                RestOutcome::NoSuchEnvironment => {
                    return Err(Error::EnvironmentNotFound {
                        environment: target.environment_setting.value.clone(),
                        set_by: target.environment_setting.set_by.clone(),
                        app: target.app.name,
                        readable: vec![],
                    });
                }
                RestOutcome::NoSuchApp => {
                    return Err(Error::AppNotFound {
                        app: target.app_setting.value.clone(),
                        set_by: target.app_setting.set_by.clone(),
                        readable: self.app_directory.app_names().unwrap_or_default(),
                    });
                }
            }
        }
        self.app_directory.check_can_decrypt(&target.app)?;
        self.look_up_environment(&mut target)?;
        self.fetch_encrypted(&target)
    }

    /// Returns whether everything is to be fetched because the server's filter, or one of its tags, matches
    /// nothing: the error then names the folders and tags that exist.
    fn must_explain<K, V>(&self, secrets: &[Secret<K, V>]) -> bool {
        self.explains_empty && !self.server_filter.is_matched_by(secrets)
    }

    /// Fetches from the REST interface. A refused lease costs a second request.
    fn fetch_from_rest(
        &self,
        target: &ResolvedTarget<'_>,
        filter: &ServerFilter<'_>,
    ) -> Result<RestOutcome, Error> {
        let ResolvedTarget {
            app, environment, ..
        } = target;
        let client = &self.app_directory.client;
        let fetch = |dynamic| rest::fetch(client, app, environment, filter, dynamic);
        fetch_naming_refused_leases(self.config.dynamic_mode, fetch, |outcome| match outcome {
            RestOutcome::Secrets(secrets, _) => secrets.as_slice(),
            _ => &[],
        })
    }

    /// Fetches the environment, and prepares the decryption and the resolution of its references.
    fn fetch_encrypted(self, target: &ResolvedTarget<'_>) -> Result<FetchedSecrets<'a>, Error> {
        let ResolvedTarget {
            app, environment, ..
        } = target;
        let dynamic_mode = self.config.dynamic_mode;
        let explains_empty = self.explains_empty;
        let client = E2eeClient::new(self.app_directory, self.credential)?;
        let fetch_filtered = |server_filter: &ServerFilter<'_>, dynamic| {
            let policy = RequestPolicy::DEFAULT;
            let max = MAX_ENCRYPTED_SECRETS;
            client.fetch(app, environment, server_filter, dynamic, policy, max)
        };
        let fetch = |dynamic| fetch_filtered(&self.server_filter, dynamic);
        let mut fetched =
            fetch_naming_refused_leases(dynamic_mode, fetch, |fetched| &fetched.secrets)?;
        if explains_empty && !self.server_filter.is_matched_by(&fetched.secrets) {
            fetched = fetch_filtered(&ServerFilter::default(), dynamic_mode)?;
        }
        let resolver = ReferenceResolver::new(client, app, environment, &fetched)?;
        Ok(FetchedSecrets {
            secrets: SecretList::Encrypted {
                secrets: fetched.secrets,
                decryptor: fetched.decryptor,
                resolver: Box::new(resolver),
            },
            environment_label: environment_label(&environment.name, app),
            target: FetchedTarget::new(app, environment),
            lease: fetched.lease,
        })
    }
}

/// Runs `fetch`. If the server refuses to lease dynamic secrets, lists them in a second request,
/// because the refusal does not name them.
fn fetch_naming_refused_leases<T, K, V>(
    dynamic_mode: DynamicMode,
    fetch: impl Fn(DynamicMode) -> Result<T, Error>,
    secrets_in: impl Fn(&T) -> &[Secret<K, V>],
) -> Result<T, Error> {
    let mut result = fetch(dynamic_mode);
    if let Err(Error::LeaseFailed { names, .. }) = &mut result
        && names.is_empty()
        && let Ok(listed) = fetch(DynamicMode::List)
    {
        let secrets = secrets_in(&listed).iter();
        names.extend(secrets.filter_map(|secret| secret.dynamic_secret_name.clone()));
        names.sort();
        names.dedup();
    }
    result
}

/// Returns what messages call an environment, such as `Production of shop`.
fn environment_label(environment: &str, app: &App) -> String {
    format!("{environment} of {}", app.name)
}

impl<'f> ServerFilter<'f> {
    fn new(selection: &'f SelectionOptions) -> Self {
        match selection.folders.as_slice() {
            [] => Self {
                folder: None,
                tags: &selection.tags,
            },
            [folder] => Self {
                folder: folder.single_folder(),
                tags: &[],
            },
            _ => Self::default(),
        }
    }

    /// Returns the tags, separated by commas.
    fn tag_list(&self) -> Option<String> {
        (!self.tags.is_empty()).then(|| self.tags.join(","))
    }

    /// Returns whether the folder and each tag has one of these secrets.
    fn is_matched_by<K, V>(&self, secrets: &[Secret<K, V>]) -> bool {
        let has_tag = |tag| secrets.iter().any(|secret| secret.tags.contains(tag));
        (self.folder.is_none() || !secrets.is_empty()) && self.tags.iter().all(has_tag)
    }
}
