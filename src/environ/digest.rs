#![forbid(unsafe_code)]
//! What stands for a plan where its values must not be: a digest that is equal for equal plans.

use ring::hmac;

use super::plan::{Form, Plan};
use crate::process::watch::Digest;

impl Plan {
    /// HMAC-SHA-256 (RFC 2104) over name, form and value of each, by name. Without the key, values
    /// cannot even be guessed at. A variable that was set before stays as it is whatever the value, and
    /// what is leased has another value each time.
    pub(crate) fn digest(&self, key: &[u8]) -> Digest {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        // The length before each keeps `AB`, `C` apart from `A`, `BC`.
        let mut add = |bytes: &[u8]| {
            context.update(&bytes.len().to_le_bytes());
            context.update(bytes);
        };
        for planned in &self.secrets {
            add(planned.name.as_bytes());
            add(planned.form.word().as_bytes());
            let counts = planned.form != Form::Kept && planned.secret.dynamic.is_none();
            add(if counts {
                planned.secret.value.expose()
            } else {
                b""
            });
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::environ::Planned;
    use crate::secret::{Secret, SecretBytes};

    fn digest(key: &[u8], secrets: &[(&str, &str, Form)]) -> Digest {
        let planned = |(name, value, form): &(&str, &str, Form)| Planned {
            name: (*name).to_owned(),
            form: *form,
            secret: Secret {
                key: "KEY".to_owned(),
                value: SecretBytes::new(value.as_bytes().to_vec()),
                folder: "/".to_owned(),
                tags: vec![],
                kind: Cow::Borrowed("secret"),
                dynamic: None,
            },
        };
        let secrets = secrets.iter().map(planned).collect();
        Plan { secrets }.digest(key)
    }

    #[test]
    fn name_form_value_and_key_each_make_a_difference() {
        let same = digest(
            b"key",
            &[("A", "1", Form::Variable), ("B", "2", Form::Variable)],
        );
        assert_eq!(
            same,
            digest(
                b"key",
                &[("A", "1", Form::Variable), ("B", "2", Form::Variable)]
            )
        );
        for other in [
            digest(
                b"kez",
                &[("A", "1", Form::Variable), ("B", "2", Form::Variable)],
            ),
            digest(
                b"key",
                &[("A", "1", Form::Variable), ("B", "3", Form::Variable)],
            ),
            digest(
                b"key",
                &[("A", "1", Form::Variable), ("C", "2", Form::Variable)],
            ),
            digest(
                b"key",
                &[("A", "1", Form::File), ("B", "2", Form::Variable)],
            ),
            digest(b"key", &[("A", "1", Form::Variable)]),
            digest(b"key", &[]),
        ] {
            assert_ne!(same, other);
        }
        let apart = [("AB", "C"), ("A", "BC")];
        let [one, other] =
            apart.map(|(name, value)| digest(b"key", &[(name, value, Form::Variable)]));
        assert_ne!(one, other);
    }

    #[test]
    fn the_value_of_what_stays_as_it_is_makes_none() {
        let [one, other] = ["1", "2"].map(|value| digest(b"key", &[("A", value, Form::Kept)]));
        assert_eq!(one, other);
    }
}
