//! AWS's shared files, and the region.

use fake_phase::aws;

use crate::identity::simple;
use crate::identity_aws::{container, credentials, profiles, signed};
use crate::support::{Run, cloud_machine};

/// Which of the files and which part of them: AWS_PROFILE, and variables with other paths. A file of
/// `~/.aws/config` may hold the keys, too.
#[test]
fn a_profile_is_found_where_the_sdks_look() {
    let machine = cloud_machine();
    let elsewhere = machine.path("elsewhere", &credentials());
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
    let config = machine.path("config", &config);
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
        // The older name of the variable.
        let _ = machine.assert_gets_value(run().env("AWS_DEFAULT_PROFILE", "other"));
        assert_eq!(signed(&machine).access_key(), Some(other), "{file}");
        for profile in ["missing", "half"] {
            let _ = machine.assert_refused(run().env("AWS_PROFILE", profile));
        }
    }
    assert!(machine.asked().is_empty());
    profiles(&machine);
    let run = machine
        .run_with_identity("aws", &[])
        .env("AWS_PROFILE", "other");
    let _ = machine.assert_gets_value(run);
    assert_eq!(signed(&machine).access_key(), Some(other));
}

/// A profile that is there and has no keys leaves them to what comes next; one that is not there does
/// not.
#[test]
fn a_profile_without_keys_is_passed_over() {
    let machine = cloud_machine();
    let config = machine.path("config", "[profile bare]\nregion = us-east-1\n");
    let run = |name: &str| {
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_CONFIG_FILE", &config);
        container(&machine, run.env("AWS_PROFILE", name))
    };
    let _ = machine.assert_gets_value(run("bare"));
    assert_eq!(signed(&machine).access_key(), Some(aws::CONTAINER));
    let _ = machine.assert_refused(run("missing"));
}

/// Where two variables name two profiles, nobody has chosen one.
#[test]
fn two_profiles_are_none() {
    let machine = cloud_machine();
    profiles(&machine);
    let run = |name: &str| {
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_PROFILE", "other");
        run.env("AWS_DEFAULT_PROFILE", name)
    };
    let _ = machine.assert_gets_value(run("other"));
    let _ = machine.assert_refused(run("default"));
}

/// As the SDKs look: keys of the one file, a program, keys of the other file.
#[test]
fn a_program_comes_between_the_two_files() {
    let machine = cloud_machine();
    let default = aws::DEFAULT_PROFILE;
    let keys = format!(
        "aws_access_key_id={}\naws_secret_access_key={}\n",
        default.id, default.secret
    );
    let credentials = machine.path("elsewhere", &format!("[default]\n{keys}"));
    let config = format!("[default]\ncredential_process = true\n{keys}");
    let config = machine.path("config", &config);
    let run = || {
        machine
            .run_with_identity("aws", &[])
            .env("AWS_CONFIG_FILE", &config)
    };
    let _ = machine.assert_gets_value(run().env("AWS_SHARED_CREDENTIALS_FILE", &credentials));
    assert_eq!(signed(&machine).access_key(), Some(default));
    let _ = machine.assert_refused(run());
}

/// "Region: AWS_REGION, AWS_DEFAULT_REGION, the profile", else us-east-1: a machine whose keys come from
/// elsewhere is not taken for an instance, and waits for no metadata.
#[test]
fn the_region_is_the_first_that_is_said() {
    let machine = cloud_machine();
    let config = "[default]\nregion = eu-west-1\n[profile other]\nregion=eu-west-2\n";
    let config = machine.path("config", config);
    let in_region = |region: &str, run: Run<'_>| {
        machine.identities(|identities| {
            match region {
                "us-east-1" => identities.endpoint("https://sts.amazonaws.com"),
                _ => identities.endpoint(&format!("https://sts.{region}.amazonaws.com")),
            };
        });
        let _ = machine.assert_gets_value(run);
        let signed = signed(&machine);
        assert_eq!(signed.region(), Some(region));
    };
    let run = || simple(&machine, &[]);
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
    assert!(machine.asked().is_empty());
    in_region("us-east-1", run().unset("AWS_EC2_METADATA_DISABLED"));
    assert!(machine.asked().is_empty());
}

/// On an instance that says nothing else, its own role and its own region: "the metadata service".
#[test]
fn an_instance_has_a_role_and_a_region() {
    let machine = cloud_machine();
    let endpoint = format!("https://sts.{}.amazonaws.com", aws::INSTANCE_REGION);
    machine.identities(|identities| {
        identities.endpoint(&endpoint);
    });
    let run = machine
        .run_with_identity("aws", &[])
        .unset("AWS_EC2_METADATA_DISABLED");
    let _ = machine.assert_gets_value(run);
    assert_eq!(signed(&machine).access_key(), Some(aws::METADATA));
    let sessions = machine.asked();
    let sessions = sessions.iter().filter(|asked| asked.starts_with("PUT"));
    assert_eq!(sessions.count(), 1, "one session is enough");
}

/// A profile may name a web identity. What needs a login, a second role or another program is told,
/// with what would do it.
#[test]
fn a_profile_may_name_a_web_identity() {
    let machine = cloud_machine();
    let token = machine.path("token", aws::WEB_TOKEN);
    let role = aws::ROLE_ARN;
    let config = machine.path(
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
        let output = machine.assert_refused(run(profile));
        assert!(output.stderr.contains(key), "{output}");
        assert!(
            output.stderr.contains("aws configure export-credentials"),
            "{output}"
        );
    }
}

/// China is a partition of its own, with a domain of its own.
#[test]
fn china_has_an_endpoint_of_its_own() {
    let machine = cloud_machine();
    machine.identities(|identities| {
        identities.endpoint("https://sts.cn-north-1.amazonaws.com.cn");
    });
    let _ = machine.assert_gets_value(simple(&machine, &[]).env("AWS_REGION", "cn-north-1"));
    // What could lead the address elsewhere is no region.
    for region in ["evil.example/", "a b", "EU-WEST-1", "x@y"] {
        let _ = machine.assert_refused(simple(&machine, &[]).env("AWS_REGION", region));
    }
    assert_eq!(machine.phase.mints().len(), 1);
}
