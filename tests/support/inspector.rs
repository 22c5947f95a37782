//! The inspector, `tests/inspector/main.rs`: a program that reports how it was started. This module compiles
//! it, once for each run of the tests, and parses its report.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::Path;
use std::process::{Command, id};
use std::sync::LazyLock;

/// Returns the path of the compiled `tests/inspector/main.rs`. It is static, so that it also runs in an empty
/// root.
pub(crate) fn inspector() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(compile);
    &PATH
}

fn compile() -> String {
    // The name has no dot: rustc names its own files after the part before one, and two runs of the tests
    // would share them.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (new, path) = (
        directory.join(format!("inspector-{}", id())),
        directory.join("inspector"),
    );
    let output = Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "panic=abort",
            "-C",
            "target-feature=+crt-static",
        ])
        .arg("-o")
        .arg(&new)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/inspector/main.rs"
        ))
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "tests/inspector/main.rs:\n{complaints}"
    );
    // Renamed in one step, because another run of the tests may be executing the old one.
    std::fs::rename(new, &path).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// The inspector's report of how it was started.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    fields: BTreeMap<String, String>,
    /// The pid of the started process, which `Comparison` tells from other pids in the fields.
    pub(super) started: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disposition {
    Default,
    Ignored,
    Caught,
}

#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Descriptor {
    pub(crate) access: Access,
    pub(crate) close_on_exec: bool,
    /// The name in /proc, or `None` if /proc is not mounted.
    pub(crate) target: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
    Both,
}

impl Report {
    pub(crate) fn parse(stdout: &[u8], started: i32) -> Self {
        let text = str::from_utf8(stdout).unwrap();
        // A truncated report would hide differences.
        let lines = text.strip_suffix("\nend\n");
        let lines = lines
            .unwrap_or_else(|| panic!("not a whole report:\n{text}"))
            .lines();
        let mut fields = BTreeMap::new();
        for line in lines {
            let (field, value) = line.split_once(' ').unwrap();
            let before = fields.insert(field.to_owned(), value.to_owned());
            assert!(before.is_none(), "{field} stands twice in the report");
        }
        Report { fields, started }
    }

    /// Returns a field as the inspector wrote it: `umask`, `nice`, `limit.7`.
    pub(crate) fn field(&self, name: &str) -> &str {
        let value = self.fields.get(name);
        value.unwrap_or_else(|| panic!("no {name} in {:?}", self.fields.keys()))
    }

    pub(super) fn fields(&self) -> &BTreeMap<String, String> {
        &self.fields
    }

    pub(crate) fn number(&self, name: &str) -> i32 {
        self.field(name).parse().unwrap()
    }

    pub(crate) fn argv(&self) -> Vec<Vec<u8>> {
        self.list("argv")
    }

    /// Returns the entries of environ in their order.
    pub(crate) fn environ(&self) -> Vec<Vec<u8>> {
        self.list("environ")
    }

    /// Returns the value of a variable, which must not occur twice.
    pub(crate) fn variable(&self, name: &str) -> Option<Vec<u8>> {
        let entries = self.environ();
        let mut values = entries
            .iter()
            .filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        let value = values.next().map(<[u8]>::to_vec);
        assert!(
            values.next().is_none(),
            "{name} stands twice in the environment"
        );
        value
    }

    pub(crate) fn cwd(&self) -> Vec<u8> {
        decode_hex(self.field("cwd"))
    }

    pub(crate) fn disposition(&self, signal: c_int) -> Disposition {
        match self.field(&format!("signal.{signal}")) {
            "default" => Disposition::Default,
            "ignored" => Disposition::Ignored,
            "caught" => Disposition::Caught,
            other => panic!("disposition {other:?}"),
        }
    }

    pub(crate) fn blocked(&self) -> Vec<c_int> {
        let set = u64::from_str_radix(self.field("blocked"), 16).unwrap();
        (1..=64)
            .filter(|signal| set >> (signal - 1) & 1 == 1)
            .collect()
    }

    pub(crate) fn descriptor(&self, number: c_int) -> Option<Descriptor> {
        let line = self.fields.get(&format!("descriptor.{number}"))?;
        let part = |name: &str| {
            let mut parts = line.split(' ').filter_map(|part| part.split_once('='));
            parts.find(|(found, _)| *found == name).unwrap().1
        };
        Some(Descriptor {
            access: match part("access") {
                "read" => Access::Read,
                "write" => Access::Write,
                _ => Access::Both,
            },
            close_on_exec: part("cloexec") == "yes",
            target: match part("target") {
                "unknown" => None,
                target => Some(String::from_utf8_lossy(&decode_hex(target)).into_owned()),
            },
        })
    }

    /// Returns the numbers of all open descriptors in ascending order.
    pub(crate) fn descriptors(&self) -> Vec<c_int> {
        let names = self
            .fields
            .keys()
            .filter_map(|field| field.strip_prefix("descriptor."));
        let mut numbers: Vec<c_int> = names.map(|number| number.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let fields = (0..).map_while(|at| self.fields.get(&format!("{name}.{at}")));
        fields.map(|value| decode_hex(value)).collect()
    }
}

pub(super) fn decode_hex(digits: &str) -> Vec<u8> {
    let pairs = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}
