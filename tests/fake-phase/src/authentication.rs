//! Phase's authentication, which runs before any view. It checks the token, the environment, the app
//! and the access in this order, and returns 401, 403 or 404.

use crate::captures::credential;
use crate::environment::Environment;
use crate::request::Request;
use crate::world::{Account, App, World};

/// The status and the message of an `{"error": …}` response.
pub(crate) type Refusal = (u16, String);

/// The account, app and environment of an authenticated request.
pub(crate) struct Access<'a> {
    pub(crate) account: Account,
    pub(crate) app: Option<&'a App>,
    pub(crate) environment: Option<&'a Environment>,
}

impl Account {
    /// Both accounts.
    pub(crate) const ALL: [Account; 2] = [Account::ServiceAccount, Account::User];

    /// Returns the type before the bearer. Phase compares it with case.
    pub(crate) fn authorization_type(self) -> &'static str {
        match self {
            Account::ServiceAccount => "ServiceAccount",
            Account::User => "User",
        }
    }

    /// Returns the account's bearer.
    pub(crate) fn bearer(self) -> &'static str {
        credential(match self {
            Account::ServiceAccount => "/service_account/bearer",
            Account::User => "/user/bearer",
        })
    }

    /// Returns the account's public key, in hex digits.
    pub(crate) fn public_key(self) -> &'static str {
        let token = credential(match self {
            Account::ServiceAccount => "/service_account/token",
            Account::User => "/user/token",
        });
        token.split(':').nth(3).unwrap()
    }

    fn noun(self) -> &'static str {
        match self {
            Account::ServiceAccount => "Service account",
            Account::User => "User",
        }
    }

    /// Phase denies access to service accounts with 401 and to users with 403.
    fn denied(self, what: &str) -> Refusal {
        let status = match self {
            Account::ServiceAccount => 401,
            Account::User => 403,
        };
        (status, format!("{} cannot access this {what}", self.noun()))
    }
}

/// Returns the account of `Authorization: Bearer <type> <bearer>` if the token is valid.
pub(crate) fn account(world: &World, authorization: &str) -> Option<Account> {
    let mut words = authorization.split(' ').skip(1);
    let (kind, bearer) = (words.next()?, words.next()?);
    let is_legacy = kind == "Service" && world.accepts_legacy_token;
    let kind = if is_legacy { "ServiceAccount" } else { kind };
    let holds = |account: &Account| {
        account.authorization_type() == kind
            && (account.bearer() == bearer
                || *account == Account::ServiceAccount && world.identities.has_minted(bearer))
            && !world.revoked.contains(account)
    };
    Account::ALL.into_iter().find(holds)
}

/// Authenticates a request to the REST or the end-to-end interface. `app_id` is the ID in its path.
pub(crate) fn authenticate<'a>(
    world: &'a World,
    request: &Request,
    app_id: Option<&str>,
) -> Result<Access<'a>, Refusal> {
    let refuse = |status, message: &str| Err((status, message.to_owned()));
    let Some(authorization) = request.header("Authorization") else {
        return refuse(401, "Authentication credentials were not provided.");
    };
    let kind = authorization.split(' ').nth(1).unwrap_or_default();
    if !matches!(kind, "User" | "Service" | "ServiceAccount") {
        return refuse(401, "Invalid token");
    }
    let Some(account) = account(world, authorization) else {
        return refuse(401, "Token expired or deleted");
    };

    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let id = app_id
        .map(str::to_owned)
        .or_else(|| request.query("app_id").filter(|id| !id.is_empty()));
    let name = request
        .query("env")
        .filter(|_| given(&request.query("env")));
    let (app, environment) = match (
        request.header("Environment").filter(|id| !id.is_empty()),
        id,
    ) {
        (Some(id), _) => {
            let mut all = world
                .apps
                .iter()
                .flat_map(|app| app.environments.iter().map(move |env| (app, env)));
            match all.find(|(_, environment)| environment.id == id) {
                Some((app, environment)) => (Some(app), Some(environment)),
                None => return refuse(401, "Environment not found"),
            }
        }
        (None, None) => (None, None),
        (None, Some(id)) => {
            let Some(app) = world.apps.iter().find(|app| app.id == id) else {
                return Err((404, format!("App with ID {id} not found")));
            };
            let same =
                |name: &str, env: &&Environment| env.name.to_lowercase() == name.to_lowercase();
            match name {
                None => (Some(app), None),
                Some(name) => match app.environments.iter().find(|env| same(&name, env)) {
                    Some(environment) => (Some(app), Some(environment)),
                    None => {
                        return Err((404, format!("Environment '{name}' not found in App {id}")));
                    }
                },
            }
        }
    };
    if kind == "Service" && environment.is_none() {
        return refuse(401, "Service tokens require an environment context");
    }
    if environment.is_some_and(|environment| !environment.readable_by(account)) {
        return Err(account.denied("environment"));
    }
    if app.is_some_and(|app| !app.visible_to(account)) {
        return Err(account.denied(if environment.is_some() {
            "environment"
        } else {
            "app"
        }));
    }
    Ok(Access {
        account,
        app,
        environment,
    })
}
