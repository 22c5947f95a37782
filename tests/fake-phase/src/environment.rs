//! An environment of the fake Phase and the rows in it: what `v1/secrets/` and `service/secrets/`
//! have to answer from.

use serde_json::{Map, Value, json};

use crate::identifiers::{digest, uuid};
use crate::sealing;
use crate::world::{Account, STAMP};

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
    pub(crate) boxed: Vec<Row>,
    pub(crate) dynamic: Vec<Row>,
    pub(crate) boxed_dynamic: Vec<Row>,
    pub(crate) hidden_from: Vec<Account>,
    /// What the token endpoint says of it, where it was captured.
    pub(crate) keys: Vec<(Account, Value)>,
    /// The boxed rows are the plain ones, captured.
    pub(crate) twins: bool,
    /// Members of its key that a test has changed.
    pub(crate) spoiled: Vec<(String, Value)>,
}

/// One secret as a JSON object, with the fields that a user token sees otherwise.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) fields: Map<String, Value>,
    pub(crate) personal: Map<String, Value>,
}

impl Environment {
    pub(crate) fn new(app_id: &str, name: &str, env_type: &str, index: usize) -> Environment {
        Environment {
            id: uuid(&["environment", app_id, name]),
            name: name.to_owned(),
            env_type: env_type.to_owned(),
            index,
            created: STAMP.to_owned(),
            updated: STAMP.to_owned(),
            rows: Vec::new(),
            boxed: Vec::new(),
            dynamic: Vec::new(),
            boxed_dynamic: Vec::new(),
            hidden_from: Vec::new(),
            keys: Vec::new(),
            twins: false,
            spoiled: Vec::new(),
        }
    }

    /// Its UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Appends a secret to `folder` (`/` is the root), with the fields of a captured row; it is
    /// boxed for whoever asks `service/secrets/`. Values are literal: the server resolves
    /// references, this one has none to resolve.
    pub fn secret(&mut self, folder: &str, key: &str, value: &str) -> &mut Row {
        let path = normalised(folder);
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
            "createdAt": STAMP,
            "updatedAt": STAMP,
            "environment": self.id,
            "folder": folder,
        }))
    }

    /// A text as a boxed field of this environment.
    pub fn sealed(&self, text: &str) -> String {
        sealing::boxed(text, &self.public_key(), &[&self.id])
    }

    /// The public key of its pair, in hex digits.
    pub fn public_key(&self) -> String {
        let captured = self
            .keys
            .first()
            .and_then(|(_, key)| key.get("identity_key"));
        match captured.and_then(Value::as_str) {
            Some(captured) => captured.to_owned(),
            None => sealing::public_key(&self.seed()),
        }
    }

    /// The seed of its pair, in hex digits, unless it was captured.
    pub fn seed(&self) -> String {
        sealing::seed(&["seed", &self.id])
    }

    /// Changes a member of its key at the token endpoint, such as `wrapped_seed`.
    pub fn spoil_key(&mut self, member: &str, value: impl Into<Value>) -> &mut Environment {
        self.spoiled.push((member.to_owned(), value.into()));
        self
    }

    /// Its rows, static and dynamic, as `service/secrets/` has them.
    pub(crate) fn boxed_rows(&self) -> [Vec<Row>; 2] {
        let public = self.public_key();
        let sealed = |boxed: &[Row], plain: &[Row]| -> Vec<Row> {
            let plain = plain.iter().filter(|_| !self.twins);
            let plain = plain.map(|row| sealing::sealed_row(row, &public));
            boxed.iter().cloned().chain(plain).collect()
        };
        [
            sealed(&self.boxed, &self.rows),
            sealed(&self.boxed_dynamic, &self.dynamic),
        ]
    }

    /// Appends a row of `v1/secrets/` as it is. Anything that is not an object is not a row.
    pub fn row(&mut self, row: Value) -> &mut Row {
        append(&mut self.rows, row)
    }

    /// Appends a row of `service/secrets/` (end-to-end encryption) as it is.
    pub fn boxed_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.boxed, row)
    }

    /// Appends a dynamic secret with these variables and a lease of `seconds`.
    pub fn dynamic(&mut self, folder: &str, name: &str, values: &[(&str, &str)], seconds: u64) {
        let path = normalised(folder);
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
            "createdAt": STAMP,
            "updatedAt": STAMP,
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

    /// Appends a dynamic secret of `v1/secrets/` as it is. Its `lease` is left out unless asked for.
    pub fn dynamic_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.dynamic, row)
    }

    /// Appends a dynamic secret of `service/secrets/` as it is.
    pub fn boxed_dynamic_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.boxed_dynamic, row)
    }

    /// The first row of this folder and key.
    pub fn find(&mut self, folder: &str, key: &str) -> Option<&mut Row> {
        let path = normalised(folder);
        self.rows
            .iter_mut()
            .find(|row| row.text("path") == path && row.text("key") == key)
    }

    /// Removes every row of this folder and key.
    pub fn remove(&mut self, folder: &str, key: &str) -> &mut Environment {
        let path = normalised(folder);
        self.rows
            .retain(|row| row.text("path") != path || row.text("key") != key);
        self
    }

    /// Removes all rows.
    pub fn clear(&mut self) -> &mut Environment {
        self.rows.clear();
        self.boxed.clear();
        self.dynamic.clear();
        self.boxed_dynamic.clear();
        self
    }

    /// No account may read it.
    pub fn hidden(&mut self) -> &mut Environment {
        self.hidden_from(Account::ServiceAccount)
            .hidden_from(Account::User)
    }

    /// This account may not read it.
    pub fn hidden_from(&mut self, account: Account) -> &mut Environment {
        self.hidden_from.push(account);
        self
    }

    /// Every account may read it.
    pub fn visible(&mut self) -> &mut Environment {
        self.hidden_from.clear();
        self
    }

    pub(crate) fn readable_by(&self, account: Account) -> bool {
        !self.hidden_from.contains(&account)
    }
}

impl Row {
    /// Its tags, in the order in which an answer without `tags` has them.
    pub fn tags(&mut self, tags: &[&str]) -> &mut Row {
        self.set("tags", tags.into())
    }

    /// Its `type`: `secret`, `sealed`, `config`.
    pub fn kind(&mut self, kind: &str) -> &mut Row {
        self.set("type", kind.into())
    }

    /// Its UUID.
    pub fn id(&mut self, id: &str) -> &mut Row {
        self.set("id", id.into())
    }

    /// Another value.
    pub fn value(&mut self, value: &str) -> &mut Row {
        self.set("value", value.into())
    }

    /// Any field.
    pub fn set(&mut self, field: &str, value: Value) -> &mut Row {
        self.fields.insert(field.to_owned(), value);
        self
    }

    /// What user tokens get as `override`.
    pub fn overridden(&mut self, value: &str, active: bool) -> &mut Row {
        let personal = json!({
            "id": uuid(&["override", self.text("id")]),
            "value": value,
            "isActive": active,
            "createdAt": STAMP,
            "updatedAt": STAMP,
        });
        self.personal.insert("override".to_owned(), personal);
        self
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// `backend//db/` is `/backend/db`, as the server has it.
pub(crate) fn normalised(folder: &str) -> String {
    let names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    format!("/{}", names.join("/"))
}

fn append(rows: &mut Vec<Row>, row: Value) -> &mut Row {
    let Value::Object(fields) = row else {
        panic!("a row is a JSON object, not {row}")
    };
    rows.push(Row {
        fields,
        personal: Map::new(),
    });
    rows.last_mut().unwrap()
}
