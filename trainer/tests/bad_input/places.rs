//! Places that can't be written: files in a folder's place, missing rights, full disks.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Output},
};

use crate::{
    BOTH, RUN, file,
    support::{Lab, assert_ok, text},
    table::{Table, lines},
};

#[test]
fn places_that_are_files() {
    let mut table = Table::default();
    table.row(
        "output",
        file("out", ""),
        &BOTH,
        64,
        &["output.uri: LAB/out: is a file; choose a folder for the output"],
    );
    table.row(
        "work directory",
        file("work", ""),
        &BOTH,
        64,
        &["work directory (--workdir): LAB/work: is a file; name a folder"],
    );
    table.holds();
}

/// The command line of a user without rights, and a lab that it can read; `None` if this machine has no such user.
fn unprivileged() -> Option<(Lab, Command)> {
    let lab = Lab::new(1);
    let binary = lab.path("medtrain");
    let built = Path::new(env!("CARGO_BIN_EXE_medtrain"));
    fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-tokenizer");
    fs::create_dir(lab.path("tokenizer")).unwrap();
    for entry in fs::read_dir(&tokenizer).unwrap().flatten() {
        fs::copy(entry.path(), lab.path("tokenizer").join(entry.file_name())).unwrap();
    }
    lab.edit("training.yaml", &tokenizer.display().to_string(), "tokenizer");
    for folder in ["out", "work"] {
        fs::create_dir(lab.path(folder)).unwrap();
        mode(&lab.path(folder), 0o777);
    }
    mode(lab.dir.path(), 0o755);
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut command = match root {
        false => Command::new(&binary),
        true => {
            let mut nobody = Command::new("setpriv");
            nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
            nobody
        }
    };
    command.current_dir(lab.dir.path());
    let works = command.arg("--version").output().is_ok_and(|output| output.status.success());
    let mut fresh = Command::new(command.get_program());
    fresh.args(command.get_args().filter(|arg| *arg != "--version")).current_dir(lab.dir.path());
    works.then_some((lab, fresh))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn places_that_may_not_be_read_or_written() {
    let mut table = Table::default();
    for (what, place, closed, error) in [
        ("output", "out", 0o555, "output.uri: LAB/out"),
        ("work directory", "work", 0o555, "work directory (--workdir): LAB/work"),
        ("data", "pt.txt", 0o000, "stages[0].dataset.train[0]: LAB/pt.txt"),
    ] {
        let Some((lab, mut command)) = unprivileged() else {
            return println!("skipped: root here, and no setpriv to become somebody else");
        };
        mode(&lab.path(place), closed);
        let output = command.args(RUN.split(' ')).output().unwrap();
        let expected = [format!("{error}: permission denied; let this user read and write it, or name another place")];
        let found = lines(&lab, &output, "error: ");
        let wrong = (found != expected).then(|| format!("errors {found:#?}"));
        table.check(what, &lab, &output, 77, wrong);
        mode(&lab.path(place), 0o777);
    }
    table.holds();
}

/// Runs a script in a mount namespace of its own; `None` if this machine refuses one.
fn in_own_mounts(lab: &Lab, script: &str) -> Option<Output> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).current_dir(lab.dir.path());
        command.env("MEDTRAIN", env!("CARGO_BIN_EXE_medtrain")).output()
    };
    let allowed = unshare("mount -t tmpfs -o size=4k tmpfs out").is_ok_and(|output| output.status.success());
    allowed.then(|| unshare(script).unwrap())
}

/// Adapter and figures of the stage that the tests of full disks run.
fn undisturbed() -> Vec<u8> {
    let lab = Lab::new(1);
    assert_ok(&lab.run().args(["--only", "pt"]).output().unwrap());
    fs::read(lab.artifact("pt").join("adapter/adapter_model.safetensors")).unwrap()
}

#[test]
fn a_full_disk_is_told_and_with_room_again_the_same_command_finishes() {
    let whole = undisturbed();
    // At the first byte, at the plan, at the first checkpoint, at the second, in the merged model; in the work directory
    // at the first byte, at the tokens, at the random model.
    for (place, size, name) in [
        ("out", "4k", "output.uri: "),
        ("out", "16k", "output.uri: "),
        ("out", "64k", "output.uri: "),
        ("out", "200k", "output.uri: "),
        ("out", "330k", "output.uri: "),
        ("work", "4k", "work directory (--workdir): "),
        ("work", "16k", "work directory (--workdir): "),
        ("work", "160k", "work directory (--workdir): "),
    ] {
        let what = format!("{place} of {size}");
        let lab = Lab::new(1);
        for folder in ["out", "work"] {
            fs::create_dir(lab.path(folder)).unwrap();
        }
        let fill = if size == "4k" { format!("head -c 4096 /dev/zero > {place}/filler") } else { "true".to_owned() };
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs {place} && {fill} || exit 1
             $MEDTRAIN {RUN} --only pt > first.txt 2>&1; echo $? > first.code
             find out -path '*/attempt-*' -o -path '*/checkpoints/*' | sort > left.txt
             mount -o remount,size=64m {place}
             $MEDTRAIN {RUN} --only pt > second.txt 2>&1; echo $? > second.code
             cp out/latest/pt/adapter/adapter_model.safetensors adapter"
        );
        let Some(output) = in_own_mounts(&lab, &script) else {
            return println!("skipped: this machine lets nobody mount a small disk");
        };
        assert!(output.status.success(), "{what}: {}", text(&output));
        let read = |name: &str| fs::read_to_string(lab.path(name)).unwrap();
        let first = read("first.txt");
        assert_eq!(read("first.code"), "75\n", "{what}: {first}");
        let errors: Vec<_> = first.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        let [error] = errors[..] else { panic!("{what}: {} errors: {first}", errors.len()) };
        assert!(error.starts_with(name), "{what}: {error}");
        assert!(error.contains(&lab.path(place).display().to_string()), "{what}: {error}");
        let way_out = ": no space left on the disk; free some and run again: finished work is kept";
        assert!(error.ends_with(way_out), "{what}: {error}");
        assert!(!first.contains("panicked"), "{what}: {first}");
        assert!(!read("left.txt").contains("/attempt-"), "{what}: {}", read("left.txt"));
        for checkpoint in read("left.txt").lines().filter(|path| path.matches('/').count() == 4) {
            assert!(read("left.txt").contains(&format!("{checkpoint}/manifest.json")), "{what}: {}", read("left.txt"));
        }
        assert_eq!(read("second.code"), "0\n", "{what}: {}", read("second.txt"));
        assert!(fs::read(lab.path("adapter")).unwrap() == whole, "{what}: the adapter differs from an undisturbed one");
    }
}
