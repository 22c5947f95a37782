//! A machine in a cloud: no token anywhere, a Phase that trusts its identity, and the cloud that
//! vouches for it, on loopback alone.

use std::ffi::OsStr;
use std::fs::{read_to_string, write};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use fake_phase::{
    Identities, Options, Phase, World, aws, azure, minted_bearer, service_account_id,
};

use super::output::{Output, Status};
use super::run::Run;
use super::shop::{SHOP, Shop, shop};

/// A shop whose secret KEY is `value`, and a cloud.
pub(crate) struct CloudMachine {
    shop: Shop,
    /// The metadata services, the endpoint of containers, STS and Entra.
    pub(crate) cloud: Phase,
}

/// With plain http to the cloud.
pub(crate) fn cloud_machine() -> CloudMachine {
    let plain = Options {
        tls: false,
        ..Options::default()
    };
    CloudMachine::with(Phase::with(World::cloud(), plain))
}

impl CloudMachine {
    /// With this cloud, whose certificate is trusted.
    pub(crate) fn with(cloud: Phase) -> CloudMachine {
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

    /// phase-run with `--identity` and these options before `--`. Nothing leads to credentials or
    /// away from loopback unless the test says so.
    pub(crate) fn run_with_identity(&self, provider: &str, options: &[&str]) -> Run<'_> {
        let id = service_account_id();
        let words = ["--identity", provider, "--service-account", &id];
        self.around(self.run(SHOP).args(words).args(options).arg("--"))
    }

    /// The variables of such a machine, whatever the words are.
    pub(crate) fn around<'a>(&self, run: Run<'a>) -> Run<'a> {
        run.unset("PHASE_SERVICE_TOKEN")
            .env("HOME", self.directory())
            .env("PHASE_MAX_WAIT", "10")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.cloud.host())
            .env("AWS_ENDPOINT_URL_STS", self.cloud.host())
            .env("AZURE_AUTHORITY_HOST", self.cloud.host())
            .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", self.cloud.host())
    }

    /// Runs `printenv KEY` so, and takes what it says on standard error for granted.
    pub(crate) fn assert_gets_value(&self, run: Run<'_>) -> Output {
        let output = run.args(["printenv", "KEY"]).output();
        let output = output.ended(Status::Exited(0));
        assert_eq!(output.text(), "value\n", "{output}");
        output
    }

    /// Runs it, and nothing is started: an `identity` error. Gives its two lines, without what was
    /// said of retries.
    pub(crate) fn assert_refused(&self, run: Run<'_>) -> Output {
        let mut output = run.args(["echo", "started"]).output();
        let lines = output.stderr.split_inclusive('\n');
        let told = lines.filter(|line| !line.starts_with("phase-run: retrying in "));
        output.stderr = told.collect();
        assert!(output.stdout.is_empty(), "something ran\n{output}");
        output.failed(125, "identity")
    }

    /// Changes what Phase thinks of identities.
    pub(crate) fn identities(&self, change: impl FnOnce(&mut Identities)) {
        self.phase.edit(|world| change(world.identities()));
    }

    /// The requests to the cloud, as `METHOD PATH`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let requests = self.cloud.requests();
        let words = requests.iter();
        words
            .map(|request| format!("{} {}", request.method, request.path()))
            .collect()
    }

    /// Writes a file and gives its path as text.
    pub(crate) fn path(&self, name: &str, content: &str) -> String {
        let path: PathBuf = self.file(name, content);
        path.to_str().unwrap().to_owned()
    }
}

/// Sets several variables.
pub(crate) fn with<'a, Value: AsRef<OsStr>>(
    run: Run<'a>,
    variables: impl IntoIterator<Item = (&'static str, Value)>,
) -> Run<'a> {
    let set = |run: Run<'a>, (name, value): (&str, Value)| run.env(name, value);
    variables.into_iter().fold(run, set)
}

/// RFC 4648 §4, to find it in messages.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = String::new();
    for three in text.as_bytes().chunks_exact(3) {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let sextets = [18, 12, 6, 0].map(|shift| DIGITS[bits >> shift & 63]);
        digits.extend(sextets.map(char::from));
    }
    // What follows an incomplete group says no more.
    digits
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
