//! The JSON list of an environment's secrets.

use serde_json::Value;

use crate::environment::{Environment, Row};
use crate::world::Account;

/// The two forms in which secrets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `v1/secrets/`: camelCase, plain text.
    Plain,
    /// `service/secrets/`: snake_case, encrypted.
    Encrypted,
}

/// Which secrets a request selects.
pub(crate) struct Selection {
    pub(crate) path: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    /// A key, or its digest in the encrypted form.
    pub(crate) key: Option<String>,
    pub(crate) dynamic: bool,
    pub(crate) lease: bool,
}

/// Returns the JSON array. A row that matches two tags appears twice, and with a `tags` filter each
/// row's tags are sorted.
pub(crate) fn body(
    environment: &Environment,
    account: Account,
    form: Form,
    selection: &Selection,
) -> Vec<u8> {
    let encrypted;
    let (rows, dynamic) = match form {
        Form::Plain => (&environment.rows, &environment.dynamic),
        Form::Encrypted => {
            encrypted = environment.encrypted_rows();
            let [rows, dynamic] = &encrypted;
            (rows, dynamic)
        }
    };
    let key_field = match form {
        Form::Plain => "key",
        Form::Encrypted => "key_digest",
    };
    let in_path = |row: &&Row| {
        selection
            .path
            .as_ref()
            .is_none_or(|path| row.text("path") == path)
    };
    let has_key = |row: &&Row| {
        selection
            .key
            .as_ref()
            .is_none_or(|key| row.text(key_field) == key)
    };
    let mut list = List(vec![b'[']);
    for row in rows.iter().filter(in_path).filter(has_key) {
        let times = match &selection.tags {
            None => 1,
            Some(tags) => tags_of(row)
                .filter(|tag| tags.iter().any(|selected| selected == tag))
                .count(),
        };
        for _ in 0..times {
            list.push(row, account, selection.tags.is_some(), true);
        }
    }
    for row in dynamic.iter().filter(|_| selection.dynamic).filter(in_path) {
        list.push(row, account, false, selection.lease);
    }
    list.0.push(b']');
    list.0
}

fn tags_of(row: &Row) -> impl Iterator<Item = &str> {
    let tags = row
        .fields
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    tags.filter_map(Value::as_str)
}

/// Writes JSON field by field, because copies of values may take megabytes.
struct List(Vec<u8>);

impl List {
    fn push(&mut self, row: &Row, account: Account, sorted_tags: bool, lease: bool) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        let mut separator = b'{';
        for (name, value) in row
            .fields
            .iter()
            .filter(|(name, _)| lease || *name != "lease")
        {
            self.0.push(separator);
            separator = b',';
            serde_json::to_writer(&mut self.0, name).unwrap();
            self.0.push(b':');
            let user_value = row
                .user_fields
                .get(name)
                .filter(|_| account == Account::User);
            if sorted_tags && name == "tags" {
                let mut tags: Vec<&str> = tags_of(row).collect();
                tags.sort_unstable();
                serde_json::to_writer(&mut self.0, &tags).unwrap();
            } else {
                serde_json::to_writer(&mut self.0, user_value.unwrap_or(value)).unwrap();
            }
        }
        if separator == b'{' {
            self.0.push(b'{');
        }
        self.0.push(b'}');
    }
}
