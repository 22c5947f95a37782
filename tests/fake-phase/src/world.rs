//! What the fake Phase knows: apps, their environments and who may see them. Tests build a world,
//! or change the captured one while the server runs.

use crate::captures;
use crate::cloud::Cloud;
use crate::environment::Environment;
use crate::identifiers::uuid;
use crate::identities::Identities;

/// When everything was made.
pub(crate) const STAMP: &str = "2026-11-24T14:00:00.000000Z";

/// The two accounts that hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// `pss_service:v2`, authorization type `ServiceAccount`.
    ServiceAccount,
    /// `pss_user:v1`, authorization type `User`.
    User,
}

/// Everything that the rules answer from.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) apps: Vec<App>,
    pub(crate) listing: bool,
    pub(crate) reading: bool,
    pub(crate) revoked: Vec<Account>,
    pub(crate) wrapped_key_share: Option<String>,
    pub(crate) lease_failure: Option<String>,
    pub(crate) identities: Identities,
    pub(crate) cloud: Option<Cloud>,
}

/// One app, with server-side encryption unless it is said otherwise.
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

    /// No app; the captured tokens are valid.
    pub fn empty() -> World {
        World {
            apps: Vec::new(),
            listing: true,
            reading: true,
            revoked: Vec::new(),
            wrapped_key_share: None,
            lease_failure: None,
            identities: Identities::default(),
            cloud: None,
        }
    }

    /// No Phase at all but what a machine in a cloud can ask for its identity: the metadata services
    /// of AWS and Azure, the endpoints of containers, STS and Entra, all on one port.
    pub fn cloud() -> World {
        World {
            cloud: Some(Cloud),
            ..World::empty()
        }
    }

    /// The cloud identities of the service account.
    pub fn identities(&mut self) -> &mut Identities {
        &mut self.identities
    }

    /// The first app of this name, made if there is none.
    pub fn app(&mut self, name: &str) -> &mut App {
        let index = match self.apps.iter().position(|app| app.name == name) {
            Some(index) => index,
            None => self.push(name),
        };
        self.apps.get_mut(index).unwrap()
    }

    /// Another app of this name, whether or not there is one.
    pub fn add_app(&mut self, name: &str) -> &mut App {
        let index = self.push(name);
        self.apps.get_mut(index).unwrap()
    }

    /// No account may list apps and environments: `v1/apps/` and `v1/environments/` are 403.
    pub fn forbid_listing(&mut self) -> &mut World {
        self.listing = false;
        self
    }

    /// No account's role allows reading secrets: both secrets endpoints are 403.
    pub fn forbid_reading(&mut self) -> &mut World {
        self.reading = false;
        self
    }

    /// This account's token is deleted: 401, and 403 on the token endpoint.
    pub fn revoke(&mut self, account: Account) -> &mut World {
        self.revoked.push(account);
        self
    }

    /// The token endpoint gives this instead of the account's wrapped key share.
    pub fn spoil_key_share(&mut self, wrapped: &str) -> &mut World {
        self.wrapped_key_share = Some(wrapped.to_owned());
        self
    }

    /// Nothing can be leased: 400 with this message.
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
            created: STAMP.to_owned(),
            updated: STAMP.to_owned(),
            environments: Vec::new(),
            hidden_from: Vec::new(),
        });
        index
    }
}

impl App {
    /// Its UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// End-to-end encrypted from now on: `v1/secrets/` refuses it.
    pub fn e2e(&mut self) -> &mut App {
        self.e2e = true;
        self
    }

    /// No account is a member of it.
    pub fn hidden(&mut self) -> &mut App {
        self.hidden_from = vec![Account::ServiceAccount, Account::User];
        self
    }

    /// The environment of this name, made if there is none. `env_type` is `dev`, `staging`,
    /// `prod` or `custom` and is ignored when there is one.
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
