//! From a request and the world to an answer: Phase's views, as the captures show them.

use serde_json::{Value, json};

use crate::access::{Access, Refusal, authenticate};
use crate::answer::{Answer, View};
use crate::environment::{Environment, normalised};
use crate::identities;
use crate::request::Request;
use crate::secrets;
use crate::tokens;
use crate::world::{App, World};

/// nginx's `large_client_header_buffers`: what doesn't fit is 414.
const MAX_TARGET: usize = 8 << 10;

/// Answers as Phase does behind `prefix`.
pub(crate) fn answer(world: &mut World, prefix: &str, request: &Request) -> Answer {
    if let Some(cloud) = &world.cloud {
        return cloud.answer(request);
    }
    if request.target.len() > MAX_TARGET {
        return Answer::bare_html(414);
    }
    let Some(path) = request.path().strip_prefix(prefix) else {
        return Answer::not_found();
    };
    if let Some(provider) = identities::route(path) {
        return world.identities.answer(provider, request);
    }
    let Some((view, app_id)) = route(path) else {
        return Answer::not_found();
    };
    let json = accepts_json(request);
    if !json && view == View::Tokens {
        return Answer::bare_html(200);
    }
    if !json {
        let message = "Could not satisfy the request Accept header.";
        return Answer::error(view, 406, None, message);
    }
    if request.query("app_id").is_some_and(|id| id.contains('\0')) {
        return Answer::bare_html(500);
    }
    let body = match view {
        View::Tokens => match request.header("Authorization") {
            None => return Answer::bare_html(500),
            Some(authorization) => tokens::answer(world, request, authorization),
        },
        View::Secrets => secrets(world, request, secrets::Form::Plain),
        View::BoxedSecrets => secrets(world, request, secrets::Form::Boxed),
        View::List if path.ends_with("/apps/") => apps(world, request),
        View::List => environments(world, request),
        View::Detail => app(world, request, app_id),
        View::Identity => return Answer::not_found(),
    };
    match body {
        Ok(body) => Answer::json(view, 200, None, body),
        Err((status, message)) => Answer::error(view, status, None, &message),
    }
}

/// The view of a path, and the app that the path names.
fn route(path: &str) -> Option<(View, Option<&str>)> {
    match path {
        "/service/secrets/tokens/" => return Some((View::Tokens, None)),
        "/service/secrets/" => return Some((View::BoxedSecrets, None)),
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
    if !world.reading {
        let message = "You don't have permission to read secrets in this environment.";
        return Err((403, message.to_owned()));
    }
    if app.e2e && form == secrets::Form::Plain {
        return Err((400, "SSE is not enabled for this App".to_owned()));
    }
    let asked = |plain: &str, boxed: &str| match form {
        secrets::Form::Plain => request.query(plain),
        secrets::Form::Boxed => request.header(boxed).map(str::to_owned),
    };
    let given = |name: &str| asked(name, name).filter(|text| !text.is_empty());
    let wanted =
        |name: &str| asked(name, name).is_some_and(|text| !text.eq_ignore_ascii_case("false"));
    let lease_ttl = given("lease_ttl").filter(|_| wanted("dynamic"));
    if lease_ttl.is_some_and(|ttl| ttl.trim().parse::<i64>().is_err()) {
        return Err((
            400,
            "lease_ttl must be a valid integer (seconds)".to_owned(),
        ));
    }
    let selection = secrets::Selection {
        path: given("path").map(|path| normalised(&path)),
        tags: given("tags").map(|tags| tags.split(',').map(str::to_owned).collect()),
        key: asked("key", "keydigest").filter(|key| !key.is_empty()),
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
    match world.listing {
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
