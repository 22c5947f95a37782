//! The metadata services, container endpoints, STS and Entra, with responses as AWS and Azure document
//! them. Their paths differ, so that one server can be all of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cloud_credentials::{AccessKey, aws, azure};
use crate::request::Request;
use crate::response::Response;

/// A fake cloud.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cloud;

const METADATA: &str = "/latest/meta-data/";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const EXPIRATION: &str = "2038-01-19T03:14:07Z";

impl Cloud {
    pub(crate) fn answer(self, request: &Request) -> Response {
        let path = request.path();
        match path {
            "/latest/api/token" => session(request),
            "/v1/credentials" => container(request),
            "/metadata/identity/oauth2/token" => azure_metadata(request),
            "/msi/token" => app_service(request),
            "/" => sts(request),
            _ if path.starts_with(METADATA) => metadata(request),
            _ if path.starts_with("/v2/credentials/") => container(request),
            _ if path.ends_with("/oauth2/v2.0/token") => entra(request),
            _ => Response::bare_html(404),
        }
    }
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>
fn session(request: &Request) -> Response {
    let life = request.header("X-aws-ec2-metadata-token-ttl-seconds");
    let life = life.and_then(|seconds| seconds.parse::<u32>().ok());
    if request.header("X-Forwarded-For").is_some() {
        return Response::bare_html(403);
    }
    match (request.method.as_str(), life) {
        ("PUT", Some(1..=21_600)) => plain(aws::METADATA_SESSION),
        ("PUT", _) => Response::bare_html(400),
        _ => Response::bare_html(405),
    }
}

fn metadata(request: &Request) -> Response {
    if request.header("X-aws-ec2-metadata-token") != Some(aws::METADATA_SESSION) {
        return Response::bare_html(401);
    }
    let path = request.path();
    if path == ROLES {
        return plain(aws::INSTANCE_ROLE);
    }
    if path.strip_prefix(ROLES) == Some(aws::INSTANCE_ROLE) {
        let mut key = key(aws::METADATA);
        let members = key.as_object_mut().unwrap();
        members.insert("Code".to_owned(), "Success".into());
        members.insert("Type".to_owned(), "AWS-HMAC".into());
        return answer(200, &key);
    }
    match path.strip_prefix(METADATA) {
        Some("placement/region") => plain(aws::INSTANCE_REGION),
        _ => Response::bare_html(404),
    }
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
fn container(request: &Request) -> Response {
    if request.header("Authorization") != Some(aws::CONTAINER_AUTHORIZATION) {
        let error = json!({"code": "AccessDenied", "message": "Invalid authorization token"});
        return answer(401, &error);
    }
    let mut key = key(aws::CONTAINER);
    let members = key.as_object_mut().unwrap();
    members.insert("RoleArn".to_owned(), aws::ROLE_ARN.into());
    answer(200, &key)
}

fn key(key: AccessKey) -> Value {
    json!({
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.token,
        "Expiration": EXPIRATION,
    })
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>. Parameters may
/// also be in the query, where some SDKs send them.
fn sts(request: &Request) -> Response {
    let given = |name: &str| request.form(name).or_else(|| request.query(name));
    let is = |name: &str, value: &str| given(name).is_some_and(|given| given == value);
    let fault = |status, code: &str, message: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
        );
        Response::raw(status, "text/xml", body.into_bytes())
    };
    if !is("Action", "AssumeRoleWithWebIdentity") || !is("Version", "2011-06-15") {
        return fault(400, "InvalidAction", "Could not find operation");
    }
    let named = |name: &str| (2..=64).contains(&name.len());
    if !given("RoleSessionName").is_some_and(|name| named(&name)) {
        return fault(
            400,
            "ValidationError",
            "Value at 'roleSessionName' is not one",
        );
    }
    if !is("WebIdentityToken", aws::WEB_TOKEN) {
        let message = "The ID Token provided is not a valid JWT.";
        return fault(400, "InvalidIdentityToken", message);
    }
    if !is("RoleArn", aws::ROLE_ARN) {
        let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
        return fault(403, "AccessDenied", message);
    }
    let AccessKey { id, secret, token } = aws::WEB_IDENTITY;
    let token = token.unwrap_or_default();
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <AssumeRoleWithWebIdentityResult>\n    <Audience>sts.amazonaws.com</Audience>\n    \
         <AssumedRoleUser>\n      <AssumedRoleId>AROAFAKE:session</AssumedRoleId>\n      \
         <Arn>arn:aws:sts::123456789012:assumed-role/reader/session</Arn>\n    </AssumedRoleUser>\n    \
         <Provider>arn:aws:iam::123456789012:oidc-provider/oidc.eks</Provider>\n    <Credentials>\n      \
         <AccessKeyId>{id}</AccessKeyId>\n      <SecretAccessKey>{secret}</SecretAccessKey>\n      \
         <SessionToken>{token}</SessionToken>\n      <Expiration>{EXPIRATION}</Expiration>\n    \
         </Credentials>\n  </AssumeRoleWithWebIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>00000000-0000-4000-8000-000000000000</RequestId>\n  </ResponseMetadata>\n\
         </AssumeRoleWithWebIdentityResponse>\n"
    );
    Response::raw(200, "text/xml", body.into_bytes())
}

/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
fn azure_metadata(request: &Request) -> Response {
    let bad =
        |error: &str, why: &str| answer(400, &json!({"error": error, "error_description": why}));
    if request.header("Metadata") != Some("true") || request.header("X-Forwarded-For").is_some() {
        return bad("bad_request", "Required metadata header not specified");
    }
    if request.query("api-version").as_deref() != Some("2018-02-01") {
        return bad(
            "bad_request",
            "Required api-version parameter not specified",
        );
    }
    if request
        .query("client_id")
        .is_some_and(|id| id != azure::CLIENT)
    {
        return bad("invalid_request", "Identity not found");
    }
    managed(request, azure::METADATA, 401)
}

/// <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>
fn app_service(request: &Request) -> Response {
    let refused =
        |status, why: &str| answer(status, &json!({"statusCode": status, "message": why}));
    if request.header("X-IDENTITY-HEADER") != Some(azure::IDENTITY_HEADER) {
        return refused(403, "The identity header is not this app's");
    }
    if request.query("api-version").as_deref() != Some("2019-08-01") {
        return refused(400, "Unsupported api-version");
    }
    if request
        .query("client_id")
        .is_some_and(|id| id != azure::CLIENT)
    {
        return refused(
            400,
            "No User Assigned Managed Identity found for specified ClientId",
        );
    }
    managed(request, azure::APP_SERVICE, 400)
}

/// Returns the token of a managed identity for the resource in the query.
fn managed(request: &Request, token: &str, otherwise: u16) -> Response {
    let Some(resource) = request
        .query("resource")
        .filter(|resource| resource.starts_with("http"))
    else {
        return answer(otherwise, &json!({"error": "invalid_resource"}));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = (now + Duration::from_secs(86_399)).as_secs().to_string();
    let body = json!({
        "access_token": token,
        "client_id": azure::CLIENT,
        "expires_in": "86399",
        "expires_on": end,
        "resource": resource,
        "token_type": "Bearer",
    });
    answer(200, &body)
}

/// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
fn entra(request: &Request) -> Response {
    let is = |name: &str, value: &str| request.form(name).is_some_and(|given| given == value);
    let refused = |status, error: &str, why: &str| {
        answer(
            status,
            &json!({"error": error, "error_description": why, "error_codes": [0]}),
        )
    };
    if request.path() != format!("/{}/oauth2/v2.0/token", azure::TENANT) {
        let message = "AADSTS90002: Tenant not found.";
        return refused(400, "invalid_request", message);
    }
    if !is("grant_type", "client_credentials") || !is("client_id", azure::CLIENT) {
        let message = "AADSTS700016: Application was not found in the directory.";
        return refused(400, "unauthorized_client", message);
    }
    let scope = request.form("scope").unwrap_or_default();
    if !scope.starts_with("https://") || !scope.ends_with("/.default") {
        let message =
            "AADSTS70011: The provided value for the input parameter 'scope' is not valid.";
        return refused(400, "invalid_scope", message);
    }
    let assertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let token = if is("client_secret", azure::SECRET) {
        azure::CLIENT_SECRET
    } else if is("client_assertion", azure::FEDERATED) && is("client_assertion_type", assertion) {
        azure::WORKLOAD
    } else {
        let message = "AADSTS7000215: Invalid client secret provided.";
        return refused(401, "invalid_client", message);
    };
    let body = json!({
        "token_type": "Bearer",
        "expires_in": 3599,
        "ext_expires_in": 3599,
        "access_token": token,
    });
    answer(200, &body)
}

fn answer(status: u16, body: &Value) -> Response {
    let body = body.to_string().into_bytes();
    Response::raw(status, "application/json; charset=utf-8", body)
}

fn plain(text: &str) -> Response {
    Response::raw(200, "text/plain", text.as_bytes().to_vec())
}
