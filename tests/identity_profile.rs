//! AWS's shared files, and the region.

use fake_phase::aws;

use crate::identity::aws_run;
use crate::identity_aws::{container, credentials, signed, write_profiles};
use crate::support::{Run, cloud_machine};

/// `AWS_PROFILE` selects the profile, and variables may set other paths. The config file may hold
/// keys too.
#[test]
fn profile_is_found_where_sdks_look() {
    let machine = cloud_machine();
    let elsewhere = machine.write_file("elsewhere", &credentials());
    let (default, other) = (aws::DEFAULT_PROFILE, aws::OTHER_PROFILE);
    let config = format!(
        "[default]\naws_access_key_id={}\naws_secret_access_key={}\n[profile other]\n\
         aws_access_key_id={}\naws_secret_access_key={}\naws_session_token={}\n",
        default.id,
        default.secret,
        other.id,
        other.secret,
        other.token.unwrap()
    );
    let config = machine.write_file("config", &config);
    for file in ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] {
        let path = match file {
            "AWS_CONFIG_FILE" => &config,
            _ => &elsewhere,
        };
        let run = || machine.run_with_identity("aws", &[]).env(file, path);
        let _ = machine.assert_gets_value(run());
        assert_eq!(signed(&machine).access_key(), Some(default), "{file}");
        let _ = machine.assert_gets_value(run().env("AWS_PROFILE", "other"));
        assert_eq!(signed(&machine).access_key(), Some(other), "{file}");
        // The older name of the variable works too.
        let _ = machine.assert_gets_value(run().env("AWS_DEFAULT_PROFILE", "other"));
        assert_eq!(signed(&machine).access_key(), Some(other), "{file}");
        for profile in ["missing", "half"] {
            let _ = machine.assert_identity_error(run().env("AWS_PROFILE", profile));
        }
    }
    assert!(machine.cloud_requests().is_empty());
    write_profiles(&machine);
    let run = machine
        .run_with_identity("aws", &[])
        .env("AWS_PROFILE", "other");
    let _ = machine.assert_gets_value(run);
    assert_eq!(signed(&machine).access_key(), Some(other));
}

/// A profile without keys leaves the choice to the next source; a missing profile is an error.
#[test]
fn profile_without_keys_is_skipped() {
    let machine = cloud_machine();
    let config = machine.write_file("config", "[profile bare]\nregion = us-east-1\n");
    let run = |name: &str| {
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_CONFIG_FILE", &config);
        container(&machine, run.env("AWS_PROFILE", name))
    };
    let _ = machine.assert_gets_value(run("bare"));
    assert_eq!(signed(&machine).access_key(), Some(aws::CONTAINER));
    let _ = machine.assert_identity_error(run("missing"));
}

/// Two variables that name different profiles are an error.
#[test]
fn different_profile_variables_are_an_error() {
    let machine = cloud_machine();
    write_profiles(&machine);
    let run = |name: &str| {
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_PROFILE", "other");
        run.env("AWS_DEFAULT_PROFILE", name)
    };
    let _ = machine.assert_gets_value(run("other"));
    let _ = machine.assert_identity_error(run("default"));
}

/// As in the SDKs, `credential_process` comes after keys in the credentials file and before keys in
/// the config file.
#[test]
fn credential_process_precedes_config_file_keys() {
    let machine = cloud_machine();
    let default = aws::DEFAULT_PROFILE;
    let keys = format!(
        "aws_access_key_id={}\naws_secret_access_key={}\n",
        default.id, default.secret
    );
    let credentials = machine.write_file("elsewhere", &format!("[default]\n{keys}"));
    let config = format!("[default]\ncredential_process = true\n{keys}");
    let config = machine.write_file("config", &config);
    let run = || {
        machine
            .run_with_identity("aws", &[])
            .env("AWS_CONFIG_FILE", &config)
    };
    let _ = machine.assert_gets_value(run().env("AWS_SHARED_CREDENTIALS_FILE", &credentials));
    assert_eq!(signed(&machine).access_key(), Some(default));
    let _ = machine.assert_identity_error(run());
}

/// The region is that of `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile, else us-east-1. The
/// metadata service is not asked unless the credentials come from there.
#[test]
fn region_follows_precedence() {
    let machine = cloud_machine();
    let config = "[default]\nregion = eu-west-1\n[profile other]\nregion=eu-west-2\n";
    let config = machine.write_file("config", config);
    let in_region = |region: &str, run: Run<'_>| {
        machine.edit_identities(|identities| {
            match region {
                "us-east-1" => identities.endpoint("https://sts.amazonaws.com"),
                _ => identities.endpoint(&format!("https://sts.{region}.amazonaws.com")),
            };
        });
        let _ = machine.assert_gets_value(run);
        let signed = signed(&machine);
        assert_eq!(signed.region(), Some(region));
    };
    let run = || aws_run(&machine, &[]);
    in_region("us-east-1", run());
    in_region("eu-north-1", run().env("AWS_REGION", "eu-north-1"));
    in_region("eu-south-1", run().env("AWS_DEFAULT_REGION", "eu-south-1"));
    let both = || run().env("AWS_DEFAULT_REGION", "eu-south-1");
    in_region("eu-north-1", both().env("AWS_REGION", "eu-north-1"));
    in_region("eu-south-1", both().env("AWS_REGION", ""));
    in_region("eu-south-1", both().env("AWS_CONFIG_FILE", &config));
    in_region("eu-west-1", run().env("AWS_CONFIG_FILE", &config));
    let other = || {
        run()
            .env("AWS_CONFIG_FILE", &config)
            .env("AWS_PROFILE", "other")
    };
    in_region("eu-west-2", other());
    assert!(machine.cloud_requests().is_empty());
    in_region("us-east-1", run().unset("AWS_EC2_METADATA_DISABLED"));
    assert!(machine.cloud_requests().is_empty());
}

/// On an instance, the metadata service provides the credentials of its role and its region.
#[test]
fn instance_provides_role_and_region() {
    let machine = cloud_machine();
    let endpoint = format!("https://sts.{}.amazonaws.com", aws::INSTANCE_REGION);
    machine.edit_identities(|identities| {
        identities.endpoint(&endpoint);
    });
    let run = machine
        .run_with_identity("aws", &[])
        .unset("AWS_EC2_METADATA_DISABLED");
    let _ = machine.assert_gets_value(run);
    assert_eq!(signed(&machine).access_key(), Some(aws::METADATA));
    let sessions = machine.cloud_requests();
    let sessions = sessions.iter().filter(|asked| asked.starts_with("PUT"));
    assert_eq!(sessions.count(), 1, "one session is enough");
}

/// A profile may define a web identity. One that needs a login, a second role or another program is
/// an error with a hint.
#[test]
fn profile_web_identity_is_used() {
    let machine = cloud_machine();
    let token = machine.write_file("token", aws::WEB_TOKEN);
    let role = aws::ROLE_ARN;
    let config = machine.write_file(
        "config",
        &format!(
            "[profile web]\nrole_arn = {role}\nweb_identity_token_file = {token}\n\
             role_session_name = name-of-a-session\nregion = us-east-1\n\
             [profile second]\nrole_arn = {role}\nsource_profile = web\n\
             [profile login]\nsso_session = here\nsso_account_id = 1\n\
             [profile program]\ncredential_process = /bin/false\n"
        ),
    );
    let run = |profile| {
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_PROFILE", profile);
        run.env("AWS_CONFIG_FILE", &config)
    };
    let _ = machine.assert_gets_value(run("web"));
    assert_eq!(signed(&machine).access_key(), Some(aws::WEB_IDENTITY));
    let request = machine.cloud.requests().pop().unwrap();
    let session = request.form("RoleSessionName");
    assert_eq!(session.as_deref(), Some("name-of-a-session"));
    for (profile, key) in [
        ("second", "source_profile"),
        ("login", "sso_session"),
        ("program", "credential_process"),
    ] {
        let output = machine.assert_identity_error(run(profile));
        assert!(output.stderr.contains(key), "{output}");
        assert!(
            output.stderr.contains("aws configure export-credentials"),
            "{output}"
        );
    }
}

/// The regions in China have a domain of their own. Text that could lead the address elsewhere is
/// not a region.
#[test]
fn china_region_uses_china_endpoint() {
    let machine = cloud_machine();
    machine.edit_identities(|identities| {
        identities.endpoint("https://sts.cn-north-1.amazonaws.com.cn");
    });
    let _ = machine.assert_gets_value(aws_run(&machine, &[]).env("AWS_REGION", "cn-north-1"));
    // What could lead the address elsewhere is no region.
    for region in ["evil.example/", "a b", "EU-WEST-1", "x@y"] {
        let _ = machine.assert_identity_error(aws_run(&machine, &[]).env("AWS_REGION", region));
    }
    assert_eq!(machine.phase.mints().len(), 1);
}
