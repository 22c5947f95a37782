//! Tokens for cloud identities: who gets one, what it is good for, and who is refused how.
//! Signatures are shown to be checked in the crate itself, against botocore's.

use base64ct::{Base64, Encoding};
use fake_phase::{Identities, Mint, Phase, World, azure, service_account_id};
use serde_json::{Value, json};

use crate::client::{Client, Reply};

const AZURE: &str = "/service/public/identities/external/v1/azure/entra/auth/";
const AWS: &str = "/service/public/identities/external/v1/aws/iam/auth/";

fn encoded(text: &str) -> String {
    Base64::encode_string(text.as_bytes())
}

fn asked(token: &str) -> Value {
    json!({
        "account": {"type": "service", "id": service_account_id()},
        "azureEntra": {"jwt": encoded(token)},
    })
}

fn ask(phase: &Phase, path: &str, body: &Value) -> Reply {
    Client::tls(phase)
        .post(path, &[], &body.to_string())
        .unwrap()
}

type Change = fn(&mut Identities) -> &mut Identities;

/// The status and the message after a change of the world.
fn refusal(change: Change, path: &str, body: &Value) -> (u16, String) {
    let mut world = World::captured();
    change(world.identities());
    let reply = ask(&Phase::serve(world), path, body);
    (reply.status, reply.error())
}

#[test]
fn minted_token_works_until_it_expires() {
    let phase = Phase::start();
    let first = ask(&phase, AZURE, &asked(azure::METADATA)).json();
    let second = ask(&phase, AZURE, &asked(azure::WORKLOAD)).json();
    assert_ne!(first, second);
    assert_eq!(first.pointer("/authentication/TTL"), Some(&3600.into()));
    let token = first.pointer("/authentication/token").unwrap();
    let token = token.as_str().unwrap();
    let bearer = token.split(':').nth(2).unwrap();
    let headers = format!("Bearer ServiceAccount {bearer}");
    let headers = [("Authorization", headers.as_str())];
    let mut client = Client::tls(&phase);
    for path in ["/service/secrets/tokens/", "/service/public/v1/apps/"] {
        assert_eq!(client.request("GET", path, &headers).unwrap().status, 200);
    }
    phase.edit(|world| {
        assert_eq!(world.identities().minted().len(), 2);
        world.identities().expire();
    });
    let path = "/service/public/v1/apps/";
    assert_eq!(client.request("GET", path, &headers).unwrap().status, 401);
    let mints = phase.mints();
    let tokens = mints
        .iter()
        .map(|mint: &Mint| mint.access_token.clone().unwrap());
    assert_eq!(
        tokens.collect::<Vec<_>>(),
        [azure::METADATA, azure::WORKLOAD]
    );
    assert_eq!(mints.first().unwrap().account, service_account_id());
}

#[test]
fn untrusted_identity_is_told_why() {
    let good = asked(azure::METADATA);
    let with = |member: &str, value: Value| {
        let mut asked = good.clone();
        *asked.pointer_mut(member).unwrap() = value;
        asked
    };
    let nothing: Change = |all| all;
    let other = with("/account/id", "00000000-0000-4000-8000-000000000000".into());
    let mut long = good.clone();
    let members = long.as_object_mut().unwrap();
    members.insert("tokenRequest".to_owned(), json!({"ttl": 90_000}));
    let malformed = with("/azureEntra/jwt", "not base64".into());
    let unknown = with("/azureEntra/jwt", encoded("other").into());
    let user = with("/account/type", "user".into());
    let cases = [
        (nothing, &other, 404, "Service account not found"),
        (nothing, &user, 400, "Only service account"),
        (nothing, &malformed, 400, "Invalid JWT encoding"),
        (nothing, &unknown, 401, "Azure JWT validation failed"),
        (nothing, &long, 400, "Requested TTL (90000s) exceeds"),
        (Identities::detach, &good, 404, "No Azure identity"),
        (Identities::distrust, &good, 403, "Untrusted"),
        (
            Identities::without_server_side_keys,
            &good,
            403,
            "Server-side key",
        ),
    ];
    for (change, body, status, message) in cases {
        let refused = refusal(change, AZURE, body);
        assert!(refused.1.starts_with(message), "{refused:?}");
        assert_eq!(refused.0, status, "{message}");
    }
    let unsigned = json!({
        "account": {"type": "service", "id": service_account_id()},
        "awsIam": {
            "httpRequestMethod": "POST",
            "httpRequestUrl": encoded("https://sts.amazonaws.com/"),
            "httpRequestHeaders": encoded("{\"X-Amz-Date\": \"20261126T000000Z\"}"),
            "httpRequestBody": encoded("Action=GetCallerIdentity&Version=2011-06-15"),
        },
    });
    let refused = refusal(|all| all, AWS, &unsigned);
    assert_eq!(refused, (401, "Signature expired".to_owned()));
}
