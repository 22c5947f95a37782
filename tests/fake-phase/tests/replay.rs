//! Replays the captured requests.

use fake_phase::{Phase, Responder, exchanges};

use crate::client::Client;

#[test]
fn captured_requests_get_the_captured_bytes() {
    let phase = Phase::start();
    let mut client = Client::tls(&phase);
    let all = exchanges();
    assert!(all.len() > 30);
    for exchange in &all {
        if exchange.status == 429 {
            phase.respond("/v1/secrets/", Responder::rate_limited(60).times(1));
        }
        let reply = client.request(exchange.method, exchange.target, &exchange.request_headers);
        let reply = reply.unwrap();
        let headers: Vec<(&str, &str)> = reply
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let name = exchange.name;
        assert_eq!(reply.status, exchange.status, "{name}");
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            exchange.body,
            "{name}"
        );
        assert_eq!(headers, exchange.headers, "{name}");
    }
    assert_eq!(phase.requests().len(), all.len());
    assert_eq!(phase.connections(), 1);
}

#[test]
fn captured_dynamic_secrets_come_last_on_request() {
    let phase = Phase::start();
    let mut client = Client::tls(&phase);
    let bearer = format!("Bearer ServiceAccount {}", fake_phase::bearer());
    let authorization = ("Authorization", bearer.as_str());

    let target = format!(
        "/service/public/v1/secrets/?app_id={}&env=production&dynamic=true",
        fake_phase::app_id("shop")
    );
    let unleased = client
        .request("GET", &target, &[authorization])
        .unwrap()
        .json();
    assert!(
        unleased
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .get("lease")
            .is_none()
    );
    let leased = client
        .request("GET", &format!("{target}&lease=true"), &[authorization])
        .unwrap();
    assert_last_is(
        &leased.body,
        include_str!("../captures/secrets-dynamic-leased.json"),
    );

    let environment = (
        "Environment",
        fake_phase::environment_id("shop-e2ee", "Production"),
    );
    let headers = [
        authorization,
        environment,
        ("dynamic", "true"),
        ("lease", "true"),
    ];
    let leased = client
        .request("GET", "/service/secrets/", &headers)
        .unwrap();
    assert_last_is(
        &leased.body,
        include_str!("../captures/e2ee-secrets-dynamic-leased.json"),
    );
}

fn assert_last_is(body: &[u8], captured: &str) {
    let body = str::from_utf8(body).unwrap();
    let row = captured.trim_end().strip_prefix('[').unwrap();
    assert!(body.ends_with(row), "{body}");
    assert_eq!(body.matches("\"type\":\"dynamic\"").count(), 1);
}
