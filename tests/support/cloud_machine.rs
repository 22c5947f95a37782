//! A machine in a cloud: it has no token, the fake Phase trusts its identity, and the cloud's services
//! run on loopback.

use std::ffi::OsStr;
use std::fs::{read_to_string, write};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use base64ct::{Base64, Encoding as _};
use fake_phase::{
    Identities, Options, Phase, World, aws, azure, minted_bearer, service_account_id,
};

use super::output::{Output, Status};
use super::run::Run;
use super::shop::{SHOP, Shop, shop};

/// A shop with the secret KEY, whose value is `value`, and a cloud.
pub(crate) struct CloudMachine {
    shop: Shop,
    /// The metadata services, the endpoint of containers, STS and Entra.
    pub(crate) cloud: Phase,
}

/// Makes a machine whose cloud speaks plain HTTP.
pub(crate) fn cloud_machine() -> CloudMachine {
    let plain = Options {
        tls: false,
        ..Options::default()
    };
    CloudMachine::with_cloud(Phase::with(World::cloud(), plain))
}

impl CloudMachine {
    /// Makes a machine with this cloud, whose certificate is trusted.
    pub(crate) fn with_cloud(cloud: Phase) -> CloudMachine {
        let mut shop = shop([("KEY", "value")]);
        for key in aws::KEYS {
            shop.canary(key.secret);
            key.token.iter().for_each(|token| shop.canary(token));
        }
        for token in azure::TOKENS {
            shop.canary(token);
            shop.canary(base64(token));
        }
        for secret in [
            aws::WEB_TOKEN,
            aws::CONTAINER_AUTHORIZATION,
            aws::METADATA_SESSION,
            azure::SECRET,
            azure::FEDERATED,
            azure::IDENTITY_HEADER,
        ] {
            shop.canary(secret);
        }
        (0..8).for_each(|before| shop.canary(minted_bearer(before)));
        let roots = shop.directory().with_file_name("ca.pem");
        let both = read_to_string(&roots).unwrap() + &read_to_string(cloud.ca_file()).unwrap();
        write(roots, both).unwrap();
        CloudMachine { shop, cloud }
    }

    /// Runs phase-run with `--identity` and these options before `--`. The machine has no credentials, and
    /// all requests stay on loopback, unless the test changes that.
    pub(crate) fn run_with_identity(&self, provider: &str, options: &[&str]) -> Run<'_> {
        let id = service_account_id();
        let words = ["--identity", provider, "--service-account", &id];
        self.with_cloud_variables(self.run(SHOP).args(words).args(options).arg("--"))
    }

    /// Sets the variables of such a machine.
    pub(crate) fn with_cloud_variables<'a>(&self, run: Run<'a>) -> Run<'a> {
        run.unset("PHASE_SERVICE_TOKEN")
            .env("HOME", self.directory())
            .env("PHASE_MAX_WAIT", "10")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.cloud.host())
            .env("AWS_ENDPOINT_URL_STS", self.cloud.host())
            .env("AZURE_AUTHORITY_HOST", self.cloud.host())
            .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", self.cloud.host())
    }

    /// Runs `printenv KEY` and checks its output. Standard error may have any text.
    pub(crate) fn assert_gets_value(&self, run: Run<'_>) -> Output {
        let output = run.args(["printenv", "KEY"]).output();
        let output = output.assert_status(Status::Exited(0));
        assert_eq!(output.text(), "value\n", "{output}");
        output
    }

    /// Checks that the run fails with an `identity` error and starts nothing. The output is without the
    /// lines about retries.
    pub(crate) fn assert_identity_error(&self, run: Run<'_>) -> Output {
        let mut output = run.args(["echo", "started"]).output();
        let lines = output.stderr.split_inclusive('\n');
        let other = lines.filter(|line| !line.contains("; retrying in "));
        output.stderr = other.collect();
        assert!(output.stdout.is_empty(), "something ran\n{output}");
        output.assert_error(125, "identity")
    }

    /// Changes the identities in Phase.
    pub(crate) fn edit_identities(&self, change: impl FnOnce(&mut Identities)) {
        self.phase.edit(|world| change(world.identities()));
    }

    /// The requests to the cloud, as `METHOD PATH`.
    pub(crate) fn cloud_requests(&self) -> Vec<String> {
        let requests = self.cloud.requests();
        let words = requests.iter();
        words
            .map(|request| format!("{} {}", request.method, request.path()))
            .collect()
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn write_file(&self, name: &str, content: &str) -> String {
        let path: PathBuf = self.file(name, content);
        path.to_str().unwrap().to_owned()
    }
}

/// Sets several variables.
pub(crate) fn with_env<'a, Value: AsRef<OsStr>>(
    run: Run<'a>,
    variables: impl IntoIterator<Item = (&'static str, Value)>,
) -> Run<'a> {
    let set = |run: Run<'a>, (name, value): (&str, Value)| run.env(name, value);
    variables.into_iter().fold(run, set)
}

/// Encodes text in base64, to search messages for it. An incomplete last group is left out, because the
/// search needs only a prefix.
fn base64(text: &str) -> String {
    let (groups, _) = text.as_bytes().as_chunks::<3>();
    Base64::encode_string(groups.as_flattened())
}

impl Deref for CloudMachine {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl DerefMut for CloudMachine {
    fn deref_mut(&mut self) -> &mut Shop {
        &mut self.shop
    }
}
