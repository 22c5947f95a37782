//! What the fake cloud gives, to whom, and to whom not.

use std::net::TcpStream;

use fake_phase::{Options, Phase, World, aws, azure};

use crate::client::{Client, Reply};

fn cloud() -> Phase {
    let options = Options {
        tls: false,
        ..Options::default()
    };
    Phase::with(World::cloud(), options)
}

fn client(cloud: &Phase) -> Client<TcpStream> {
    Client::plain(cloud.port())
}

fn text(reply: Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    String::from_utf8(reply.body).unwrap()
}

#[test]
fn metadata_requires_a_session() {
    let cloud = cloud();
    let mut client = client(&cloud);
    let life = ("X-aws-ec2-metadata-token-ttl-seconds", "60");
    let mut ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        client.request(method, path, headers).unwrap()
    };
    assert_eq!(ask("PUT", "/latest/api/token", &[]).status, 400);
    assert_eq!(ask("GET", "/latest/api/token", &[life]).status, 405);
    let session = text(ask("PUT", "/latest/api/token", &[life]));
    let session = [("X-aws-ec2-metadata-token", session.as_str())];
    let roles = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(ask("GET", roles, &[]).status, 401);
    let role = text(ask("GET", roles, &session));
    let reply = ask("GET", &format!("{roles}{role}"), &session).json();
    let member = |name: &str| reply.get(name).unwrap().as_str().unwrap();
    assert_eq!(member("AccessKeyId"), aws::METADATA.id);
    assert_eq!(member("SecretAccessKey"), aws::METADATA.secret);
    assert_eq!(Some(member("Token")), aws::METADATA.token);
    assert_eq!(ask("GET", &format!("{roles}other"), &session).status, 404);
    let region = ask("GET", "/latest/meta-data/placement/region", &session);
    assert_eq!(text(region), aws::INSTANCE_REGION);
    assert_eq!(cloud.requests().len(), 8);
}

#[test]
fn container_endpoint_returns_its_key() {
    let cloud = cloud();
    let mut client = client(&cloud);
    for path in ["/v1/credentials", "/v2/credentials/abc"] {
        assert_eq!(client.request("GET", path, &[]).unwrap().status, 401);
        let authorization = [("Authorization", aws::CONTAINER_AUTHORIZATION)];
        let reply = client.request("GET", path, &authorization).unwrap();
        assert!(text(reply).contains(aws::CONTAINER.id));
    }
}

#[test]
fn sts_returns_a_key_for_a_web_identity() {
    let cloud = Phase::serve(World::cloud());
    let mut client = Client::tls(&cloud);
    let mut ask = |token: &str, role: &str| {
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=phase-run\
             &RoleArn={}&WebIdentityToken={token}",
            role.replace(':', "%3A").replace('/', "%2F")
        );
        client.post("/", &[], &form).unwrap()
    };
    let given = text(ask(aws::WEB_TOKEN, aws::ROLE_ARN));
    let id = format!("<AccessKeyId>{}</AccessKeyId>", aws::WEB_IDENTITY.id);
    assert!(given.contains(&id), "{given}");
    assert_eq!(ask("other", aws::ROLE_ARN).status, 400);
    assert_eq!(ask(aws::WEB_TOKEN, "arn:other").status, 403);
}

#[test]
fn azure_returns_tokens_to_known_clients() {
    let cloud = cloud();
    let mut client = client(&cloud);
    let mut ask =
        |target: &str, header: (&str, &str)| client.request("GET", target, &[header]).unwrap();
    let resource = "resource=https%3A%2F%2Fmanagement.azure.com%2F";
    let metadata = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{resource}");
    assert!(text(ask(&metadata, ("Metadata", "true"))).contains(azure::METADATA));
    assert_eq!(ask(&metadata, ("Accept", "*/*")).status, 400);
    let other = format!("{metadata}&client_id=other");
    assert_eq!(ask(&other, ("Metadata", "true")).status, 400);
    let app = format!("/msi/token?api-version=2019-08-01&{resource}");
    let header = ("X-IDENTITY-HEADER", azure::IDENTITY_HEADER);
    assert!(text(ask(&app, header)).contains(azure::APP_SERVICE));
    assert_eq!(ask(&app, ("X-IDENTITY-HEADER", "other")).status, 403);

    let path = format!("/{}/oauth2/v2.0/token", azure::TENANT);
    let mut ask = |rest: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id={}\
             &scope=https%3A%2F%2Fmanagement.azure.com%2F%2F.default&{rest}",
            azure::CLIENT
        );
        client.post(&path, &[], &form).unwrap()
    };
    let secret = azure::SECRET.replace('+', "%2B").replace('&', "%26");
    let given = ask(&format!("client_secret={secret}"));
    assert!(text(given).contains(azure::CLIENT_SECRET));
    assert_eq!(ask("client_secret=other").status, 401);
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let federated = azure::FEDERATED;
    let given = ask(&format!(
        "client_assertion_type={kind}&client_assertion={federated}"
    ));
    assert!(text(given).contains(azure::WORKLOAD));
    assert_eq!(ask(&format!("client_assertion={federated}")).status, 401);
}
