//! The credentials of the fake cloud. Each source has its own, so that a login shows which source
//! was used. The fake Phase trusts all of them.

/// An AWS access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// `AKIA…`, or `ASIA…` for a temporary key.
    pub id: &'static str,
    /// The secret that signs requests.
    pub secret: &'static str,
    /// The session token of a temporary key.
    pub token: Option<&'static str>,
}

/// AWS.
pub mod aws {
    use super::AccessKey;

    /// For `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub const ENVIRONMENT: AccessKey = AccessKey {
        id: "AKIAENVIRONMENTFAKES",
        secret: "environment/Secret+0123456789abcdefghijk",
        token: None,
    };
    /// The same with `AWS_SESSION_TOKEN`.
    pub const SESSION: AccessKey = AccessKey {
        id: "ASIAENVIRONMENTFAKES",
        secret: "session0/Secret+0123456789abcdefghijklmn",
        token: Some("FwoGZXIvYXdzSESSION//////////wEaDHNlc3Npb24tdG9rZW4+Lw=="),
    };
    /// For the profile `default` of the shared files.
    pub const DEFAULT_PROFILE: AccessKey = AccessKey {
        id: "AKIADEFAULTPROFILEXX",
        secret: "default0/Profile+0123456789abcdefghijklm",
        token: None,
    };
    /// For another profile of the shared files.
    pub const OTHER_PROFILE: AccessKey = AccessKey {
        id: "ASIAOTHERPROFILEFAKE",
        secret: "other000/Profile+0123456789abcdefghijklm",
        token: Some("FwoGZXIvYXdzOTHER//////////wEaDG90aGVyLXByb2ZpbGU+Lw=="),
    };
    /// Returned by STS for a web identity token.
    pub const WEB_IDENTITY: AccessKey = AccessKey {
        id: "ASIAWEBIDENTITYFAKES",
        secret: "web00000/Identity+0123456789abcdefghijkl",
        token: Some("FwoGZXIvYXdzWEB//////////wEaDHdlYi1pZGVudGl0eS10b2tlbg+/=="),
    };
    /// Returned by a container's credential endpoint.
    pub const CONTAINER: AccessKey = AccessKey {
        id: "ASIACONTAINERFAKESXX",
        secret: "container/Secret+0123456789abcdefghijklm",
        token: Some("FwoGZXIvYXdzCONTAINER//////////wEaDGNvbnRhaW5lci10b2tlbg+/=="),
    };
    /// Returned by the instance metadata service.
    pub const METADATA: AccessKey = AccessKey {
        id: "ASIAMETADATAFAKESXXX",
        secret: "metadata/Secret+0123456789abcdefghijklmn",
        token: Some("FwoGZXIvYXdzMETADATA//////////wEaDG1ldGFkYXRhLXRva2Vu+/=="),
    };
    /// All keys. Phase knows their secrets, as AWS does.
    pub const KEYS: [AccessKey; 7] = [
        ENVIRONMENT,
        SESSION,
        DEFAULT_PROFILE,
        OTHER_PROFILE,
        WEB_IDENTITY,
        CONTAINER,
        METADATA,
    ];

    /// The content of `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub const WEB_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.ZWtzLXNlcnZpY2UtYWNjb3VudA.ZmFrZS1lcy1zaWc";
    /// `AWS_ROLE_ARN`.
    pub const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/shop/reader";
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`.
    pub const CONTAINER_AUTHORIZATION: &str = "container-authorization-0123456789";
    /// The role of the instance.
    pub const INSTANCE_ROLE: &str = "shop-reader";
    /// The instance's region.
    pub const INSTANCE_REGION: &str = "ap-southeast-2";
    /// The session token of the metadata service (IMDSv2).
    pub const METADATA_SESSION: &str = "AQAEAFakeMetadataSession0123456789==";
}

/// Azure: one access token for each source, and what they are exchanged for.
pub mod azure {
    /// Returned by Entra for a client secret.
    pub const CLIENT_SECRET: &str = "eyJ0eXAiOiJKV1QifQ.Y2xpZW50LXNlY3JldA.c2lnbmF0dXJlLW9mLWE";
    /// Returned by Entra for a federated token.
    pub const WORKLOAD: &str = "eyJ0eXAiOiJKV1QifQ.d29ya2xvYWQtaWQ.c2lnbmF0dXJlLW9mLWI";
    /// Returned by App Service and Container Apps.
    pub const APP_SERVICE: &str = "eyJ0eXAiOiJKV1QifQ.YXBwLXNlcnZpY2U.c2lnbmF0dXJlLW9mLWM";
    /// Returned by the instance metadata service.
    pub const METADATA: &str = "eyJ0eXAiOiJKV1QifQ.bWV0YWRhdGEtaW1kcw.c2lnbmF0dXJlLW9mLWQ";
    /// All tokens.
    pub const TOKENS: [&str; 4] = [CLIENT_SECRET, WORKLOAD, APP_SERVICE, METADATA];

    /// `AZURE_TENANT_ID`.
    pub const TENANT: &str = "7f1c2a9e-3b5d-4e6f-8a90-0b1c2d3e4f50";
    /// `AZURE_CLIENT_ID`.
    pub const CLIENT: &str = "0d9e8c7b-6a5f-4e3d-9c2b-1a0f9e8d7c6b";
    /// `AZURE_CLIENT_SECRET`.
    pub const SECRET: &str = "fake~Client.Secret_0123456789+/&=";
    /// The content of `AZURE_FEDERATED_TOKEN_FILE`.
    pub const FEDERATED: &str = "eyJhbGciOiJSUzI1NiJ9.YWtzLXNlcnZpY2UtYWNjb3VudA.ZmFrZS1ha3Mtc2ln";
    /// `IDENTITY_HEADER`.
    pub const IDENTITY_HEADER: &str = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a";
    /// The resource of the tokens, by default.
    pub const RESOURCE: &str = "https://management.azure.com/";
}
