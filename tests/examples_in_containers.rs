//! The examples for containers, run without a container engine: the test builds the image's root
//! directory, takes arguments, variables, files and users from the example, and runs the command as
//! PID 1.

#![cfg(target_os = "linux")]

use std::fs::{create_dir_all, read, read_to_string};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use fake_phase::{Options, Phase, Responder, World, aws, service_account_id, service_token};
use serde_json::Value;

use crate::examples::{example, market, variable, words, yaml};
use crate::static_binary::binary_as_root;
use crate::support::{Running, Sandbox, inspector, set_mode};

/// The user of images that do not run as root.
const NONROOT: u32 = 65532;

/// The root directory of an image, and what a container of it is started with.
struct Container {
    phase: Phase,
    sandbox: Sandbox,
    root: PathBuf,
    variables: Vec<(String, String)>,
    directory: String,
    user: u32,
    entrypoint: Vec<String>,
    command: Vec<String>,
    /// The shell commands that mount the volumes.
    mounts: String,
}

impl Container {
    /// Returns an image with only what the test needs, or nothing if there is no static binary.
    fn empty() -> Option<Self> {
        binary_as_root()?;
        let (phase, sandbox) = market();
        let root = sandbox.directory().join("root");
        create_dir_all(root.join("proc")).unwrap();
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let container = Container {
            variables: vec![
                ("PATH".into(), path.into()),
                ("PHASE_CA_FILE".into(), "/ca.pem".into()),
            ],
            directory: "/".into(),
            user: 0,
            entrypoint: Vec::new(),
            command: Vec::new(),
            mounts: format!(
                "set -e; mount --bind {root} {root}; ",
                root = root.display()
            ),
            phase,
            sandbox,
            root,
        };
        container.copy(container.phase.ca_file(), "/ca.pem");
        set_mode(container.at("/ca.pem"), 0o444);
        container.copy(inspector(), "/inspector");
        Some(container)
    }

    /// Builds the last stage of a Dockerfile.
    fn image(name: &str) -> Option<Self> {
        let mut image = Self::empty()?;
        let text = example(name);
        let (_, stage) = text.rsplit_once("\nFROM ").unwrap();
        let (base, instructions) = stage.split_once('\n').unwrap();
        match base {
            "scratch" => {}
            "gcr.io/distroless/nodejs22-debian12:nonroot" => {
                image.stand_in("/nodejs/bin/node");
                image.user = NONROOT;
            }
            other => panic!("what is in {other}?"),
        }
        for line in instructions.lines() {
            let line: Vec<&str> = line.splitn(2, ' ').collect();
            let list = || words(&serde_json::from_str(line[1]).unwrap());
            match line[0] {
                "COPY" => image.copied(line[1]),
                "WORKDIR" => image.directory = line[1].into(),
                "USER" => assert_eq!(line[1], format!("{NONROOT}:{NONROOT}")),
                "ENV" => {
                    let pairs = line[1].split(' ').map(|pair| pair.split_once('=').unwrap());
                    image
                        .variables
                        .extend(pairs.map(|(name, value)| (name.into(), value.into())));
                }
                "ENTRYPOINT" => image.entrypoint = list(),
                "CMD" => image.command = list(),
                other => panic!("what does {other} do?"),
            }
            if line[0] == "USER" {
                image.user = NONROOT;
            }
        }
        Some(image)
    }

    fn copied(&self, words: &str) {
        match words.split(' ').collect::<Vec<_>>()[..] {
            // The path at which scripts/build leaves the binary.
            ["--from=phase-run", "target/dist/phase-run", to] => self.put_phase_run(to),
            ["--from=build", "/app", to] => create_dir_all(self.at(to)).unwrap(),
            ["--from=build", owner, "/empty", to] => {
                assert_eq!(owner, format!("--chown={NONROOT}:{NONROOT}"));
                create_dir_all(self.at(to)).unwrap();
                chown(self.at(to), Some(NONROOT), Some(NONROOT)).unwrap();
            }
            ["--from=build", _, to] => self.stand_in(to),
            _ => panic!("what does COPY {words} do?"),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Another process copies the file: one that this process has open for writing could not be
    /// executed.
    fn copy(&self, from: impl AsRef<Path>, to: &str) {
        let copy = self.sandbox.bare(["cp"]).arg(from.as_ref());
        let _ = copy.arg(self.at(to)).output().assert_ok();
    }

    fn put_phase_run(&self, to: &str) {
        self.copy(binary_as_root().unwrap(), to);
    }

    /// Puts the inspector at a path: it prints `ready` and then each signal it gets.
    fn stand_in(&self, path: &str) {
        create_dir_all(self.at(path).parent().unwrap()).unwrap();
        self.sandbox
            .executable(&format!("root{path}"), "#!/inspector serve\n");
    }

    /// Writes the token to a file that only this user may read.
    fn put_token(&self, path: &Path, user: u32) {
        create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{}\n", service_token())).unwrap();
        set_mode(path, 0o400);
        chown(path, Some(user), Some(user)).unwrap();
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    fn start(&self) -> Running {
        let enter = [
            "unshare".to_owned(),
            "--mount-proc".to_owned(),
            format!("--root={}", self.root.display()),
            format!("--wd={}", self.directory),
            format!("--setgid={}", self.user),
            format!("--setuid={}", self.user),
        ];
        let run = self.sandbox.bare(enter).unset("PHASE_SERVICE_TOKEN");
        let run = run.args(self.entrypoint.iter().chain(&self.command));
        let variables = self.variables.iter();
        let run = variables.fold(run, |run, (name, value)| run.env(name, value));
        let script = format!("{} exec \"$@\"", self.mounts);
        run.in_namespaces(&["--mount"], &script).as_pid1().spawn()
    }

    /// Starts the container, inspects the command as PID 1, and stops it like `docker stop`.
    fn serves(&self, look: impl Fn(i32)) {
        let mut running = self.start();
        assert_eq!(running.wait_until_ready(), 1);
        self.check(running.pid(), &look);
        running.kill(libc::SIGTERM);
        assert!(running.line().starts_with("signal 15 "));
        let _ = running.wait().assert_ok();
    }

    fn check(&self, pid: i32, look: impl Fn(i32)) {
        assert_eq!(variable(pid, "PHASE_SERVICE_TOKEN"), None);
        let line = read(format!("/proc/{pid}/cmdline")).unwrap();
        let line: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        // The path of the program follows the arguments of the inspector.
        assert_eq!(line[..2], [&b"/inspector"[..], b"serve"]);
        let rest: Vec<&[u8]> = self.command[1..].iter().map(String::as_bytes).collect();
        assert!(line[2].ends_with(self.command[0].as_bytes()), "{line:?}");
        assert_eq!(line[3..line.len() - 1], rest);
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
        let user = format!("\nUid:\t{user}\t{user}\t", user = self.user);
        assert!(status.contains(&user), "{status}");
        look(pid);
    }
}

fn has_secret(pid: i32) {
    assert_eq!(variable(pid, "SECRET").unwrap(), "Production");
}

#[test]
fn dockerfile_images_run_command_as_pid_1() {
    for name in ["Dockerfile.distroless", "Dockerfile.scratch"] {
        let Some(mut image) = Container::image(name) else {
            return;
        };
        assert_eq!(image.user, NONROOT);
        image.set("PHASE_SERVICE_TOKEN", service_token());
        image.serves(has_secret);
        // With an app ID and an exact name, one request is enough.
        assert_eq!(image.phase.requests().len(), 1);
    }
}

/// Applies the settings of a Compose service to its image.
fn compose(image: &mut Container, service: &Value) {
    image.entrypoint = words(&service["entrypoint"]);
    image.command = words(&service["command"]);
    for (name, value) in service["environment"].as_object().unwrap() {
        image.set(name, value.as_str().unwrap());
    }
    for secret in service["secrets"].as_array().into_iter().flatten() {
        let path = image.at(&format!("/run/secrets/{}", secret.as_str().unwrap()));
        image.put_token(&path, image.user);
    }
}

/// A new named volume takes over the owner of the directory in the image.
#[test]
fn compose_restarts_from_snapshot_during_outage() {
    let Some(file) = yaml("compose.yaml") else {
        return;
    };
    let Some(mut image) = Container::image("Dockerfile.scratch") else {
        return;
    };
    let service = &file["services"]["web"];
    compose(&mut image, service);
    assert_eq!(service["volumes"][1], "./phase:/run/phase:ro");
    image.put_token(&image.at("/run/phase/token"), image.user);
    assert_eq!(service["volumes"][0], "snapshot:/var/cache/phase");
    let target = image.at("/var/cache/phase");
    let owner = target.metadata().unwrap().gid();
    let volume = image.sandbox.directory().join("snapshot");
    create_dir_all(&volume).unwrap();
    chown(&volume, Some(owner), Some(owner)).unwrap();
    image.mounts += &format!("mount --bind {} {}; ", volume.display(), target.display());
    assert_eq!(service["read_only"], true);
    restarts_from_snapshot(&mut image);
}

/// Starts the container with a read-only root directory, and again with the same volumes while Phase is
/// unavailable.
fn restarts_from_snapshot(image: &mut Container) {
    let root = image.root.display();
    image.mounts += &format!("mount -o remount,bind,ro {root};");
    image.serves(has_secret);
    image.phase.respond("", Responder::status(503));
    let mut running = image.start();
    assert_eq!(running.wait_until_ready(), 1);
    image.check(running.pid(), has_secret);
    let _ = running
        .wait()
        .assert_log_lines(&["using the snapshot /var/cache/phase/secrets"])
        .assert_ok();
}

/// The password is in the file that the variable names, and in no variable.
#[test]
fn postgres_image_reads_password_from_file() {
    let Some(file) = yaml("postgres.compose.yaml") else {
        return;
    };
    let Some(mut image) = Container::empty() else {
        return;
    };
    let service = &file["services"]["db"];
    compose(&mut image, service);
    assert_eq!(service["volumes"][0], "./phase-run:/phase-run:ro");
    image.put_phase_run("/phase-run");
    image.stand_in("/usr/local/bin/docker-entrypoint.sh");
    let start = image
        .entrypoint
        .iter()
        .position(|word| word == "--")
        .unwrap()
        + 1;
    image.command = [image.entrypoint.split_off(start), image.command.clone()].concat();
    image.serves(|pid| {
        assert_eq!(variable(pid, "POSTGRES_PASSWORD"), None);
        assert_eq!(variable(pid, "SECRET"), None);
        let path = variable(pid, "POSTGRES_PASSWORD_FILE").unwrap();
        let path = path.replace("/proc/1/", &format!("/proc/{pid}/"));
        assert_eq!(read(path).unwrap(), b"canary of a folder");
    });
}

/// The kubelet provides a Secret behind symbolic links on a read-only mount, and an emptyDir; both
/// belong to the group fsGroup, and the root directory is read-only.
#[test]
fn pod_restarts_from_snapshot_during_outage() {
    let Some(deployment) = yaml("kubernetes.yaml") else {
        return;
    };
    let Some(mut image) = Container::image("Dockerfile.scratch") else {
        return;
    };
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    image.entrypoint = words(&container["command"]);
    image.command = words(&container["args"]);
    image.user = u32::try_from(pod["securityContext"]["runAsUser"].as_u64().unwrap()).unwrap();
    for variable in container["env"].as_array().unwrap() {
        let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap());
        image.set(name, value);
    }
    for mount in container["volumeMounts"].as_array().unwrap() {
        let path = mount["mountPath"].as_str().unwrap();
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"])
            .unwrap();
        volume_at(&mut image, volume, path);
    }
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    restarts_from_snapshot(&mut image);
}

fn volume_at(image: &mut Container, volume: &Value, path: &str) {
    let name = volume["name"].as_str().unwrap();
    let folder = image.sandbox.directory().join(name);
    create_dir_all(image.at(path)).unwrap();
    let target = image.at(path);
    image.mounts += &format!("mount --bind {} {}; ", folder.display(), target.display());
    if let Some(mode) = volume["secret"]["defaultMode"].as_u64() {
        let token = folder.join("..2026_11_26/token");
        image.put_token(&token, 0);
        chown(&token, Some(0), Some(image.user)).unwrap();
        let mode = u32::try_from(mode).unwrap();
        set_mode(&token, mode);
        symlink("..2026_11_26", folder.join("..data")).unwrap();
        symlink("..data/token", folder.join("token")).unwrap();
        image.mounts += &format!("mount -o remount,bind,ro {}; ", target.display());
    } else {
        assert!(volume["emptyDir"].is_object());
        create_dir_all(&folder).unwrap();
        chown(&folder, Some(0), Some(image.user)).unwrap();
        set_mode(&folder, 0o2777);
        assert_eq!(folder.metadata().unwrap().gid(), image.user);
    }
}

/// No token is stored: the task authenticates with the role from its container endpoint.
#[test]
fn ecs_task_authenticates_with_its_role() {
    let Some(task) = yaml("ecs-task.json") else {
        return;
    };
    let Some(mut image) = Container::image("Dockerfile.scratch") else {
        return;
    };
    let container = &task["containerDefinitions"][0];
    image.entrypoint = words(&container["entryPoint"]);
    image.command = words(&container["command"]);
    assert_eq!(container["user"], format!("{NONROOT}:{NONROOT}"));
    for variable in container["environment"].as_array().unwrap() {
        let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap());
        image.set(name, value);
    }
    image.set("PHASE_SERVICE_ACCOUNT_ID", &service_account_id());
    let options = Options {
        tls: false,
        ..Options::default()
    };
    let cloud = Phase::with(World::cloud(), options);
    // ECS sets ..._RELATIVE_URI, for an address that a test cannot serve.
    let endpoint = format!("{}/v2/credentials/task", cloud.host());
    image.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endpoint);
    let authorization = aws::CONTAINER_AUTHORIZATION;
    image.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", authorization);
    image.serves(has_secret);
    assert_eq!(image.phase.mints().len(), 1);
}

/// Kubernetes must not restart a Pod that still retries: `--max-wait` is 30 seconds by default.
#[test]
fn startup_probe_outlasts_max_wait() {
    let Some(deployment) = yaml("kubernetes.yaml") else {
        return;
    };
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let probe = &container["startupProbe"];
    let [period, tries] = ["periodSeconds", "failureThreshold"].map(|key| probe[key].as_u64());
    assert!(period.unwrap() * tries.unwrap() > 30);
}
