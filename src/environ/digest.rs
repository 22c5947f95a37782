#![forbid(unsafe_code)]
//! The keyed digest of a plan, by which the watcher detects changes without seeing values.

use ring::hmac;

use super::changes::Entry;
use super::plan::{InjectionForm, Plan, PlannedSecret};
use crate::process::watch::Digest;
use crate::secret::length_prefixed::encode_length;

impl Plan {
    /// HMAC-SHA-256 (RFC 2104) over the name, form and value of each secret. Without the key, a
    /// guessed value cannot be verified. Values that must not cause a restart are left out: those that an
    /// inherited variable replaces, and dynamic secrets, which differ at each lease.
    pub(crate) fn digest(&self, key: &[u8]) -> Digest {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        // The length prefix makes (`AB`, `C`) differ from (`A`, `BC`).
        let mut add = |bytes: &[u8]| {
            context.update(&encode_length(bytes.len()));
            context.update(bytes);
        };
        for planned in &self.secrets {
            planned.fields().into_iter().for_each(&mut add);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Each name with the keyed digest of its form and its value.
    pub(crate) fn named_digests(&self, key: &[u8]) -> Vec<Entry> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let entry = |planned: &PlannedSecret| {
            let mut context = hmac::Context::with_key(&key);
            for field in planned.fields() {
                context.update(&encode_length(field.len()));
                context.update(field);
            }
            (planned.name.clone(), context.sign().as_ref().to_vec())
        };
        self.secrets.iter().map(entry).collect()
    }
}

impl PlannedSecret {
    /// What causes a restart if it changes: the name, the form, and the value if it counts.
    fn fields(&self) -> [&[u8]; 3] {
        let has_value =
            self.form != InjectionForm::Inherited && self.secret.dynamic_secret_name.is_none();
        let value = if has_value {
            self.secret.value.expose()
        } else {
            b""
        };
        [self.name.as_bytes(), self.form.as_str().as_bytes(), value]
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::secret::{Secret, SecretBytes};

    fn digest(key: &[u8], secrets: &[(&str, &str, InjectionForm)]) -> Digest {
        let planned = |(name, value, form): &(&str, &str, InjectionForm)| PlannedSecret {
            name: (*name).to_owned(),
            form: *form,
            secret: Secret {
                key: "KEY".to_owned(),
                value: SecretBytes::new(value.as_bytes().to_vec()),
                folder: "/".to_owned(),
                tags: vec![],
                secret_type: Cow::Borrowed("secret"),
                dynamic_secret_name: None,
                keeps_reference: false,
            },
        };
        let secrets = secrets.iter().map(planned).collect();
        Plan { secrets }.digest(key)
    }

    #[test]
    fn digest_depends_on_name_form_value_and_key() {
        let same = digest(
            b"key",
            &[
                ("A", "1", InjectionForm::Variable),
                ("B", "2", InjectionForm::Variable),
            ],
        );
        assert_eq!(
            same,
            digest(
                b"key",
                &[
                    ("A", "1", InjectionForm::Variable),
                    ("B", "2", InjectionForm::Variable)
                ]
            )
        );
        for other in [
            digest(
                b"kez",
                &[
                    ("A", "1", InjectionForm::Variable),
                    ("B", "2", InjectionForm::Variable),
                ],
            ),
            digest(
                b"key",
                &[
                    ("A", "1", InjectionForm::Variable),
                    ("B", "3", InjectionForm::Variable),
                ],
            ),
            digest(
                b"key",
                &[
                    ("A", "1", InjectionForm::Variable),
                    ("C", "2", InjectionForm::Variable),
                ],
            ),
            digest(
                b"key",
                &[
                    ("A", "1", InjectionForm::File),
                    ("B", "2", InjectionForm::Variable),
                ],
            ),
            digest(b"key", &[("A", "1", InjectionForm::Variable)]),
            digest(b"key", &[]),
        ] {
            assert_ne!(same, other);
        }
        let apart = [("AB", "C"), ("A", "BC")];
        let [one, other] =
            apart.map(|(name, value)| digest(b"key", &[(name, value, InjectionForm::Variable)]));
        assert_ne!(one, other);
    }

    #[test]
    fn digest_ignores_value_of_inherited_variable() {
        let [one, other] =
            ["1", "2"].map(|value| digest(b"key", &[("A", value, InjectionForm::Inherited)]));
        assert_eq!(one, other);
    }
}
