//! An environment and its rows, which `v1/secrets/` and `service/secrets/` return.

use serde_json::{Map, Value, json};

use crate::encryption;
use crate::identifiers::{digest, uuid};
use crate::world::{Account, CREATED_AT};

/// One environment of an app.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) env_type: String,
    pub(crate) index: usize,
    pub(crate) created: String,
    pub(crate) updated: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) encrypted: Vec<Row>,
    pub(crate) dynamic: Vec<Row>,
    pub(crate) encrypted_dynamic: Vec<Row>,
    pub(crate) hidden_from: Vec<Account>,
    /// The captured keys, as the token endpoint returns them to each account.
    pub(crate) keys: Vec<(Account, Value)>,
    /// Whether `encrypted` holds the same rows as `rows`, because both were captured.
    pub(crate) captured_in_both_forms: bool,
    /// Members of its key that a test has replaced.
    pub(crate) corrupted: Vec<(String, Value)>,
}

/// A secret as a JSON object, with the fields that differ for a user token.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) fields: Map<String, Value>,
    pub(crate) user_fields: Map<String, Value>,
}

impl Environment {
    pub(crate) fn new(app_id: &str, name: &str, env_type: &str, index: usize) -> Environment {
        Environment {
            id: uuid(&["environment", app_id, name]),
            name: name.to_owned(),
            env_type: env_type.to_owned(),
            index,
            created: CREATED_AT.to_owned(),
            updated: CREATED_AT.to_owned(),
            rows: Vec::new(),
            encrypted: Vec::new(),
            dynamic: Vec::new(),
            encrypted_dynamic: Vec::new(),
            hidden_from: Vec::new(),
            keys: Vec::new(),
            captured_in_both_forms: false,
            corrupted: Vec::new(),
        }
    }

    /// Returns its UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Appends a secret to `folder` (`/` is the root), with the fields of a captured row;
    /// `service/secrets/` returns it encrypted. Unlike the real server, this one resolves no
    /// references.
    pub fn secret(&mut self, folder: &str, key: &str, value: &str) -> &mut Row {
        let path = normalized(folder);
        let count = self.rows.len().to_string();
        let folder = match path.as_str() {
            "/" => Value::Null,
            _ => uuid(&["folder", &self.id, &path]).into(),
        };
        self.row(json!({
            "id": uuid(&["secret", &self.id, &path, key, &count]),
            "key": key,
            "value": value,
            "comment": "",
            "tags": [],
            "override": null,
            "type": "secret",
            "lifecycle": "static",
            "path": path,
            "keyDigest": digest(&["key", &self.id, key]),
            "version": 1,
            "createdAt": CREATED_AT,
            "updatedAt": CREATED_AT,
            "environment": self.id,
            "folder": folder,
        }))
    }

    /// Encrypts a text as a field of this environment.
    pub fn encrypt(&self, text: &str) -> String {
        encryption::encrypt(text, &self.public_key(), &[&self.id])
    }

    /// Returns its public key, in hex digits.
    pub fn public_key(&self) -> String {
        let captured = self
            .keys
            .first()
            .and_then(|(_, key)| key.get("identity_key"));
        match captured.and_then(Value::as_str) {
            Some(captured) => captured.to_owned(),
            None => encryption::public_key(&self.seed()),
        }
    }

    /// Returns the seed of its key pair, in hex digits. Not for captured environments.
    pub fn seed(&self) -> String {
        encryption::seed(&["seed", &self.id])
    }

    /// Replaces a member of its key in the response of the token endpoint, such as `wrapped_seed`.
    pub fn corrupt_key(&mut self, member: &str, value: impl Into<Value>) -> &mut Environment {
        self.corrupted.push((member.to_owned(), value.into()));
        self
    }

    /// Returns its static and its dynamic rows as `service/secrets/` sends them.
    pub(crate) fn encrypted_rows(&self) -> [Vec<Row>; 2] {
        let public = self.public_key();
        let encrypted = |captured: &[Row], plain: &[Row]| -> Vec<Row> {
            let plain = plain.iter().filter(|_| !self.captured_in_both_forms);
            let plain = plain.map(|row| encryption::encrypt_row(row, &public));
            captured.iter().cloned().chain(plain).collect()
        };
        [
            encrypted(&self.encrypted, &self.rows),
            encrypted(&self.encrypted_dynamic, &self.dynamic),
        ]
    }

    /// Appends a row of `v1/secrets/` as it is. Panics if `row` is not an object.
    pub fn row(&mut self, row: Value) -> &mut Row {
        append(&mut self.rows, row)
    }

    /// Appends a row of `service/secrets/` (end-to-end encryption) as it is.
    pub fn encrypted_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.encrypted, row)
    }

    /// Appends a dynamic secret with these variables and a lease of `seconds`.
    pub fn dynamic(&mut self, folder: &str, name: &str, values: &[(&str, &str)], seconds: u64) {
        let path = normalized(folder);
        let id = uuid(&["dynamic", &self.id, &path, name]);
        let keys = values.iter().map(|(key, _)| {
            json!({"id": key.to_lowercase(), "keyName": key, "keyDigest": digest(&[key])})
        });
        let credentials = values
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}));
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.dynamic_row(json!({
            "id": id,
            "name": name,
            "type": "dynamic",
            "description": "",
            "environment": self.id,
            "folder": null,
            "path": path,
            "defaultTtl": "01:00:00",
            "maxTtl": "12:00:00",
            "provider": "aws",
            "keyMap": keys.collect::<Vec<_>>(),
            "createdAt": CREATED_AT,
            "updatedAt": CREATED_AT,
            "deletedAt": null,
            "lease": {
                "id": uuid(&["lease", &id]),
                "name": "",
                "secret": id,
                "status": "active",
                "credentials": credentials.collect::<Vec<_>>(),
                "createdAt": "2026-11-24T00:00:00.000000Z",
                "expiresAt": format!("2026-11-24T{hours:02}:{minutes:02}:{rest:02}.000000Z"),
            },
        }));
    }

    /// Appends a dynamic secret of `v1/secrets/` as it is. Its `lease` is sent only on request.
    pub fn dynamic_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.dynamic, row)
    }

    /// Appends a dynamic secret of `service/secrets/` as it is.
    pub fn encrypted_dynamic_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.encrypted_dynamic, row)
    }

    /// Finds the first row with this folder and key.
    pub fn find(&mut self, folder: &str, key: &str) -> Option<&mut Row> {
        let path = normalized(folder);
        self.rows
            .iter_mut()
            .find(|row| row.text("path") == path && row.text("key") == key)
    }

    /// Removes every row with this folder and key.
    pub fn remove(&mut self, folder: &str, key: &str) -> &mut Environment {
        let path = normalized(folder);
        self.rows
            .retain(|row| row.text("path") != path || row.text("key") != key);
        self
    }

    /// Removes all rows.
    pub fn clear(&mut self) -> &mut Environment {
        self.rows.clear();
        self.encrypted.clear();
        self.dynamic.clear();
        self.encrypted_dynamic.clear();
        self
    }

    /// Denies access to all accounts.
    pub fn hidden(&mut self) -> &mut Environment {
        self.hidden_from(Account::ServiceAccount)
            .hidden_from(Account::User)
    }

    /// Denies access to one account.
    pub fn hidden_from(&mut self, account: Account) -> &mut Environment {
        self.hidden_from.push(account);
        self
    }

    /// Grants access to all accounts.
    pub fn visible(&mut self) -> &mut Environment {
        self.hidden_from.clear();
        self
    }

    pub(crate) fn readable_by(&self, account: Account) -> bool {
        !self.hidden_from.contains(&account)
    }
}

impl Row {
    /// Sets its tags, in the order of a response without the `tags` filter.
    pub fn tags(&mut self, tags: &[&str]) -> &mut Row {
        self.set("tags", tags.into())
    }

    /// Sets its `type`: `secret`, `sealed` or `config`.
    pub fn kind(&mut self, kind: &str) -> &mut Row {
        self.set("type", kind.into())
    }

    /// Sets its UUID.
    pub fn id(&mut self, id: &str) -> &mut Row {
        self.set("id", id.into())
    }

    /// Sets its value.
    pub fn value(&mut self, value: &str) -> &mut Row {
        self.set("value", value.into())
    }

    /// Sets any field.
    pub fn set(&mut self, field: &str, value: Value) -> &mut Row {
        self.fields.insert(field.to_owned(), value);
        self
    }

    /// Sets the `override` that user tokens get.
    pub fn overridden(&mut self, value: &str, active: bool) -> &mut Row {
        let fields = json!({
            "id": uuid(&["override", self.text("id")]),
            "value": value,
            "isActive": active,
            "createdAt": CREATED_AT,
            "updatedAt": CREATED_AT,
        });
        self.user_fields.insert("override".to_owned(), fields);
        self
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Normalizes a folder as the server does: `backend//db/` becomes `/backend/db`.
pub(crate) fn normalized(folder: &str) -> String {
    let names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    format!("/{}", names.join("/"))
}

fn append(rows: &mut Vec<Row>, row: Value) -> &mut Row {
    let Value::Object(fields) = row else {
        panic!("a row is a JSON object, not {row}")
    };
    rows.push(Row {
        fields,
        user_fields: Map::new(),
    });
    rows.last_mut().unwrap()
}
