//! Phase's views: they turn a request into a response, as the captures show it.

use serde_json::{Value, json};

use crate::authentication::{Access, Refusal, authenticate};
use crate::environment::{Environment, normalized};
use crate::identities;
use crate::request::Request;
use crate::response::{Response, View};
use crate::secrets;
use crate::tokens;
use crate::world::{App, World};

/// The longest request target in bytes; a longer one is 414 (nginx's `large_client_header_buffers`).
const MAX_TARGET_BYTES: usize = 8 << 10;

/// Responds as Phase does behind `prefix`.
pub(crate) fn respond(world: &mut World, prefix: &str, request: &Request) -> Response {
    if let Some(cloud) = &world.cloud {
        return cloud.answer(request);
    }
    if request.target.len() > MAX_TARGET_BYTES {
        return Response::bare_html(414);
    }
    let Some(path) = request.path().strip_prefix(prefix) else {
        return Response::not_found();
    };
    if let Some(provider) = identities::route(path) {
        return world.identities.answer(provider, request);
    }
    let Some((view, app_id)) = route(path) else {
        return Response::not_found();
    };
    let json = accepts_json(request);
    if !json && view == View::Tokens {
        return Response::bare_html(200);
    }
    if !json {
        let message = "Could not satisfy the request Accept header.";
        return Response::error(view, 406, None, message);
    }
    if request.query("app_id").is_some_and(|id| id.contains('\0')) {
        return Response::bare_html(500);
    }
    let body = match view {
        View::Tokens => match request.header("Authorization") {
            None => return Response::bare_html(500),
            Some(authorization) => tokens::body(world, request, authorization),
        },
        View::Secrets => secrets(world, request, secrets::Form::Plain),
        View::EncryptedSecrets => secrets(world, request, secrets::Form::Encrypted),
        View::List if path.ends_with("/apps/") => apps(world, request),
        View::List => environments(world, request),
        View::Detail => app(world, request, app_id),
        View::Identity => return Response::not_found(),
    };
    match body {
        Ok(body) => Response::json(view, 200, None, body),
        Err((status, message)) => Response::error(view, status, None, &message),
    }
}

/// Returns the view of a path, and the app ID in the path.
fn route(path: &str) -> Option<(View, Option<&str>)> {
    match path {
        "/service/secrets/tokens/" => return Some((View::Tokens, None)),
        "/service/secrets/" => return Some((View::EncryptedSecrets, None)),
        _ => {}
    }
    match path
        .strip_prefix("/service/public")
        .unwrap_or(path)
        .strip_prefix("/v1/")?
    {
        "secrets/" => Some((View::Secrets, None)),
        "apps/" | "environments/" => Some((View::List, None)),
        rest => {
            let id = rest.strip_prefix("apps/")?.strip_suffix('/')?;
            (!id.is_empty() && !id.contains('/')).then_some((View::Detail, Some(id)))
        }
    }
}

fn accepts_json(request: &Request) -> bool {
    let types = |accept: &str| {
        accept.split(',').any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            matches!(range, "*/*" | "application/*" | "application/json")
        })
    };
    request.header("Accept").is_none_or(types)
}

fn secrets(world: &World, request: &Request, form: secrets::Form) -> Result<Vec<u8>, Refusal> {
    let access = authenticate(world, request, None)?;
    if request.method == "HEAD" {
        return Err((403, "Unsupported HTTP method: HEAD".to_owned()));
    }
    only_get(request)?;
    let (Some(app), Some(environment)) = (access.app, access.environment) else {
        let message =
            "Environment context required. Supply `app_id` and `env` as query parameters.";
        return Err((403, message.to_owned()));
    };
    if !world.allows_reading {
        let message = "You don't have permission to read secrets in this environment.";
        return Err((403, message.to_owned()));
    }
    if app.e2e && form == secrets::Form::Plain {
        return Err((400, "SSE is not enabled for this App".to_owned()));
    }
    let parameter = |query: &str, header: &str| match form {
        secrets::Form::Plain => request.query(query),
        secrets::Form::Encrypted => request.header(header).map(str::to_owned),
    };
    let given = |name: &str| parameter(name, name).filter(|text| !text.is_empty());
    let wanted =
        |name: &str| parameter(name, name).is_some_and(|text| !text.eq_ignore_ascii_case("false"));
    let lease_ttl = given("lease_ttl").filter(|_| wanted("dynamic"));
    if lease_ttl.is_some_and(|ttl| ttl.trim().parse::<i64>().is_err()) {
        return Err((
            400,
            "lease_ttl must be a valid integer (seconds)".to_owned(),
        ));
    }
    let selection = secrets::Selection {
        path: given("path").map(|path| normalized(&path)),
        tags: given("tags").map(|tags| tags.split(',').map(str::to_owned).collect()),
        key: parameter("key", "keydigest").filter(|key| !key.is_empty()),
        dynamic: wanted("dynamic"),
        lease: wanted("lease"),
    };
    if let Some(failure) = &world.lease_failure
        && selection.dynamic
        && selection.lease
    {
        return Err((400, failure.clone()));
    }
    Ok(secrets::body(environment, access.account, form, &selection))
}

fn apps(world: &World, request: &Request) -> Result<Vec<u8>, Refusal> {
    let access = authenticate(world, request, None)?;
    only_get(request)?;
    listing_allowed(world, "apps")?;
    let visible = world
        .apps
        .iter()
        .rev()
        .filter(|app| app.visible_to(access.account));
    Ok(
        json!({ "data": visible.map(app_fields).collect::<Vec<_>>() })
            .to_string()
            .into_bytes(),
    )
}

fn app(world: &World, request: &Request, app_id: Option<&str>) -> Result<Vec<u8>, Refusal> {
    let access = authenticate(world, request, app_id)?;
    let app = sse_app(&access)?;
    only_get(request)?;
    listing_allowed(world, "apps")?;
    Ok(app_fields(app).to_string().into_bytes())
}

fn environments(world: &World, request: &Request) -> Result<Vec<u8>, Refusal> {
    let access = authenticate(world, request, None)?;
    let app = sse_app(&access)?;
    only_get(request)?;
    listing_allowed(world, "environments")?;
    let mut readable: Vec<&Environment> = app
        .environments
        .iter()
        .filter(|env| env.readable_by(access.account))
        .collect();
    readable.sort_by_key(|environment| environment.index);
    let fields = |environment: &Environment| {
        json!({
            "id": environment.id,
            "name": environment.name,
            "envType": environment.env_type,
            "index": environment.index,
            "createdAt": environment.created,
            "updatedAt": environment.updated,
        })
    };
    let data: Vec<Value> = readable.into_iter().map(fields).collect();
    Ok(json!({ "data": data }).to_string().into_bytes())
}

fn app_fields(app: &App) -> Value {
    json!({
        "id": app.id,
        "name": app.name,
        "description": null,
        "sseEnabled": !app.e2e,
        "createdAt": app.created,
        "updatedAt": app.updated,
    })
}

fn sse_app<'a>(access: &Access<'a>) -> Result<&'a App, Refusal> {
    match access.app {
        None => Err((403, "Could not resolve app from request.".to_owned())),
        Some(app) if app.e2e => Err((403, "SSE is not enabled for this App.".to_owned())),
        Some(app) => Ok(app),
    }
}

fn listing_allowed(world: &World, what: &str) -> Result<(), Refusal> {
    match world.allows_listing {
        true => Ok(()),
        false => Err((403, format!("You don't have permission to read {what}."))),
    }
}

fn only_get(request: &Request) -> Result<(), Refusal> {
    match request.method.as_str() {
        "GET" => Ok(()),
        method => Err((405, format!("Method \"{method}\" not allowed."))),
    }
}
