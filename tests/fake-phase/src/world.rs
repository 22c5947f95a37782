//! The data of the fake server: apps, their environments and who may read them. Tests build a world,
//! or change the captured one while the server runs.

use crate::captures;
use crate::cloud::Cloud;
use crate::environment::Environment;
use crate::identifiers::uuid;
use crate::identities::Identities;

/// The time at which everything was created.
pub(crate) const CREATED_AT: &str = "2026-11-24T14:00:00.000000Z";

/// The two accounts, each with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// `pss_service:v2`, authorization type `ServiceAccount`.
    ServiceAccount,
    /// `pss_user:v1`, authorization type `User`.
    User,
}

/// The data that the server responds from.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) apps: Vec<App>,
    /// Whether accounts may list apps and environments.
    pub(crate) allows_listing: bool,
    /// Whether accounts may read secrets.
    pub(crate) allows_reading: bool,
    pub(crate) revoked: Vec<Account>,
    /// Whether the service account's bearer is also that of a legacy service token.
    pub(crate) accepts_legacy_token: bool,
    pub(crate) wrapped_key_share: Option<String>,
    pub(crate) lease_failure: Option<String>,
    pub(crate) identities: Identities,
    pub(crate) cloud: Option<Cloud>,
}

/// An app, with server-side encryption by default.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) e2e: bool,
    pub(crate) created: String,
    pub(crate) updated: String,
    pub(crate) environments: Vec<Environment>,
    pub(crate) hidden_from: Vec<Account>,
}

impl World {
    /// The world in which the captures were made.
    pub fn captured() -> World {
        captures::world()
    }

    /// A world without apps, in which the captured tokens are valid.
    pub fn empty() -> World {
        World {
            apps: Vec::new(),
            allows_listing: true,
            allows_reading: true,
            revoked: Vec::new(),
            accepts_legacy_token: false,
            wrapped_key_share: None,
            lease_failure: None,
            identities: Identities::default(),
            cloud: None,
        }
    }

    /// A cloud instead of Phase: the metadata services of AWS and Azure, the credential endpoints of
    /// containers, STS and Entra, all on one port.
    pub fn cloud() -> World {
        World {
            cloud: Some(Cloud),
            ..World::empty()
        }
    }

    /// Returns the cloud identities of the service account.
    pub fn identities(&mut self) -> &mut Identities {
        &mut self.identities
    }

    /// Returns the first app of this name, and creates it if there is none.
    pub fn app(&mut self, name: &str) -> &mut App {
        let index = match self.apps.iter().position(|app| app.name == name) {
            Some(index) => index,
            None => self.push(name),
        };
        self.apps.get_mut(index).unwrap()
    }

    /// Creates an app, even if there is one of this name.
    pub fn add_app(&mut self, name: &str) -> &mut App {
        let index = self.push(name);
        self.apps.get_mut(index).unwrap()
    }

    /// Forbids listing: `v1/apps/` and `v1/environments/` return 403.
    pub fn forbid_listing(&mut self) -> &mut World {
        self.allows_listing = false;
        self
    }

    /// Forbids reading secrets: both endpoints for secrets return 403.
    pub fn forbid_reading(&mut self) -> &mut World {
        self.allows_reading = false;
        self
    }

    /// Deletes the account's token: the REST API returns 401, the token endpoint 403.
    pub fn revoke(&mut self, account: Account) -> &mut World {
        self.revoked.push(account);
        self
    }

    /// Accepts the account's token again.
    pub fn accept(&mut self, account: Account) -> &mut World {
        self.revoked.retain(|revoked| *revoked != account);
        self
    }

    /// Returns one line for each app, with the environments that the account can read.
    pub fn list(&self, account: Account) -> Vec<String> {
        let line = |app: &App| {
            let environments = app.environments.iter();
            let environments = environments.filter(|one| one.readable_by(account));
            let names: Vec<&str> = environments
                .map(|environment| environment.name.as_str())
                .collect();
            format!("{}: {}", app.name, names.join(", "))
        };
        self.apps.iter().map(line).collect()
    }

    /// Accepts the service account's token also as `pss_service:v1`, the legacy service token.
    pub fn accept_legacy_token(&mut self) -> &mut World {
        self.accepts_legacy_token = true;
        self
    }

    /// Replaces the account's wrapped key share in the response of the token endpoint.
    pub fn corrupt_key_share(&mut self, wrapped: &str) -> &mut World {
        self.wrapped_key_share = Some(wrapped.to_owned());
        self
    }

    /// Makes every lease fail with 400 and this message.
    pub fn fail_leases(&mut self, message: &str) -> &mut World {
        self.lease_failure = Some(message.to_owned());
        self
    }

    fn push(&mut self, name: &str) -> usize {
        let index = self.apps.len();
        self.apps.push(App {
            id: uuid(&["app", name, &index.to_string()]),
            name: name.to_owned(),
            e2e: false,
            created: CREATED_AT.to_owned(),
            updated: CREATED_AT.to_owned(),
            environments: Vec::new(),
            hidden_from: Vec::new(),
        });
        index
    }
}

impl App {
    /// Returns its UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Replaces its ID. Two apps may have the same one, which Phase itself never sends.
    pub fn set_id(&mut self, id: &str) -> &mut App {
        self.id = id.to_owned();
        self
    }

    /// Makes it end-to-end encrypted: `v1/secrets/` then returns an error.
    pub fn e2e(&mut self) -> &mut App {
        self.e2e = true;
        self
    }

    /// Removes all accounts from its members.
    pub fn hidden(&mut self) -> &mut App {
        self.hidden_from = vec![Account::ServiceAccount, Account::User];
        self
    }

    /// Returns the environment of this name, and creates it if there is none. `env_type` is `dev`,
    /// `staging`, `prod` or `custom`; it is ignored for an existing environment.
    pub fn environment(&mut self, name: &str, env_type: &str) -> &mut Environment {
        let index = match self.environments.iter().position(|env| env.name == name) {
            Some(index) => index,
            None => {
                let index = self.environments.len();
                self.environments
                    .push(Environment::new(&self.id, name, env_type, index));
                index
            }
        };
        self.environments.get_mut(index).unwrap()
    }

    pub(crate) fn visible_to(&self, account: Account) -> bool {
        !self.hidden_from.contains(&account)
    }
}
