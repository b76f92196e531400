//! Images that try to get out, or to redirect what is done for them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use launch::compile::{CompileError, Options, compile};
use serde_json::json;

use crate::harness::{Case, Ended, Image, run};
use crate::spec::{base, parse};

pub const CASES: &[Case] = &[
    Case { name: "a_linked_proc_is_refused", run: a_linked_proc_is_refused },
    Case { name: "a_linked_dev_is_refused", run: a_linked_dev_is_refused },
    Case { name: "a_linked_sys_is_refused", run: a_linked_sys_is_refused },
    Case { name: "a_mount_target_stays_in_the_root", run: a_mount_target_stays_in_the_root },
    Case { name: "a_dangling_mount_target_makes_nothing", run: a_dangling_mount_target_makes_nothing },
    Case {
        name: "a_working_directory_cannot_be_a_descriptor",
        run: a_working_directory_cannot_be_a_descriptor,
    },
    Case { name: "a_working_directory_stays_in_the_root", run: a_working_directory_stays_in_the_root },
    Case { name: "nothing_is_mounted_over_proc", run: nothing_is_mounted_over_proc },
    Case { name: "a_null_device_of_the_image_masks_nothing", run: a_null_device_of_the_image_masks_nothing },
    Case {
        name: "volumes_swapped_while_mounting_do_not_leak",
        run: volumes_swapped_while_mounting_do_not_leak,
    },
];

/// A file on the host that a container would like to write, outside everything it has.
fn canary(directory: &Path) -> PathBuf {
    let canary = directory.join("canary");
    std::fs::create_dir(&canary).expect("mkdir");
    canary
}

fn assert_empty(canary: &Path) {
    assert_eq!(std::fs::read_dir(canary).expect("the canary").count(), 0, "something was made outside");
}

fn replace_by_link(image: &Image, name: &str, target: &str) {
    std::fs::remove_dir(image.lower.join(name)).expect("rmdir");
    symlink(target, image.lower.join(name)).expect("link");
}

fn refused(directory: &Path, name: &str) {
    for target in ["/etc", "../../../../..", "."] {
        let own = directory.join(target.replace(['/', '.'], "_"));
        let image = Image::new(&own);
        replace_by_link(&image, name, target);
        let failure = run(&parse(base("true")), &image.options()).expect_err("it must not start");
        assert_eq!(failure.errno, libc::ELOOP, "{failure}");
        assert_eq!(
            failure.to_string(),
            format!("mount /{name}: Too many levels of symbolic links (os error 40)")
        );
    }
}

fn a_linked_proc_is_refused(directory: &Path) {
    refused(directory, "proc");
}

fn a_linked_dev_is_refused(directory: &Path) {
    refused(directory, "dev");
}

fn a_linked_sys_is_refused(directory: &Path) {
    refused(directory, "sys");
}

fn a_mount_target_stays_in_the_root(directory: &Path) {
    let canary = canary(directory);
    let image = Image::new(directory);
    symlink("../../../../../../..", image.lower.join("up")).expect("link");
    symlink(&canary, image.lower.join("out")).expect("link");
    std::fs::create_dir_all(image.lower.join(canary.strip_prefix("/").expect("absolute"))).expect("mkdir");
    let volume = directory.join("volume");
    std::fs::create_dir(&volume).expect("mkdir");
    std::fs::write(volume.join("file"), "inside\n").expect("write");
    let mut spec =
        base(&format!("cat /up/made/file /made/file /out/below/file {}/below/file", canary.display()));
    let mounts = spec["mounts"].as_array_mut().expect("a list");
    for target in ["/up/made", "/out/below"] {
        mounts.push(json!({ "destination": target, "type": "bind", "source": volume, "options": ["rbind"] }));
    }
    let (output, ended) = run(&parse(spec), &image.options()).expect("it starts");
    assert_eq!(ended, Ended::Code(0), "{output}");
    assert_eq!(output, "inside\n".repeat(4));
    assert_empty(&canary);
}

fn a_dangling_mount_target_makes_nothing(directory: &Path) {
    let canary = canary(directory);
    let image = Image::new(directory);
    symlink(canary.join("made"), image.lower.join("target")).expect("link");
    let mut spec = base("true");
    spec["mounts"].as_array_mut().expect("a list").push(json!(
        { "destination": "/target", "type": "bind", "source": "/etc/hostname", "options": ["bind"] }));
    let failure = run(&parse(spec), &image.options()).expect_err("it must not start");
    assert_eq!(failure.object, "/target");
    assert_empty(&canary);
}

/// CVE-2024-21626: a descriptor of the host's root, left open, as working directory.
fn a_working_directory_cannot_be_a_descriptor(directory: &Path) {
    let image = Image::new(directory);
    for number in 0..64 {
        let mut spec = base("pwd; ls");
        spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        // Not close-on-exec, as a careless caller might have it.
        let host = std::fs::File::open("/").expect("open");
        // SAFETY: F_SETFD takes an integer.
        unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&host), libc::F_SETFD, 0) };
        let failure = run(&parse(spec), &image.options()).expect_err("it must not start");
        assert_eq!(failure.step, "change directory");
        assert!(
            matches!(failure.errno, libc::ELOOP | libc::ENOENT | libc::ENOTDIR | libc::EACCES),
            "{failure}"
        );
    }
}

fn a_working_directory_stays_in_the_root(directory: &Path) {
    let canary = canary(directory);
    let image = Image::new(directory);
    symlink("../../../..", image.lower.join("up")).expect("link");
    let mut spec = base("pwd");
    spec["process"]["cwd"] = json!("/up/up/made");
    let (output, _) = run(&parse(spec), &image.options()).expect("it starts");
    assert_eq!(output, "/made\n");
    assert_empty(&canary);
}

fn nothing_is_mounted_over_proc(directory: &Path) {
    let image = Image::new(directory);
    for target in ["/proc", "/proc/self", "/proc/sys/kernel", "/proc/./self/attr"] {
        let mut spec = base("true");
        spec["mounts"].as_array_mut().expect("a list").push(json!(
            { "destination": target, "type": "bind", "source": directory, "options": ["rbind"] }));
        let error = compile(&parse(spec), &image.options()).expect_err("refused");
        assert!(matches!(error, CompileError::Invalid { .. }), "{error}");
    }
}

/// CVE-2025-31133: the image brings its own `/dev/null`, and no `/dev` is mounted over it.
fn a_null_device_of_the_image_masks_nothing(directory: &Path) {
    let canary = canary(directory);
    let image = Image::new(directory);
    std::fs::write(image.lower.join("secret"), "secret\n").expect("write");
    std::fs::write(image.lower.join("bait"), "bait\n").expect("write");
    symlink("/bait", image.lower.join("dev/null")).expect("link");
    let mut spec = base("stat -c %t:%T /secret; cat /secret; cat /bait");
    spec["mounts"] = json!([{ "destination": "/proc", "type": "proc" }]);
    spec["linux"]["maskedPaths"] = json!(["/secret", "/dev/null"]);
    let (output, ended) = run(&parse(spec), &image.options()).expect("it starts");
    assert_eq!(ended, Ended::Code(0));
    // The link is followed inside the root: what it points to is hidden, nothing else is shown.
    assert_eq!(output, "1:3\n");
    assert_empty(&canary);
}

/// CVE-2021-30465, CVE-2024-45310: another container with the same volume exchanges a mount target for a link while
/// this one starts, over and over.
fn volumes_swapped_while_mounting_do_not_leak(directory: &Path) {
    let canary = canary(directory);
    let volume = directory.join("volume");
    let inner = directory.join("inner");
    std::fs::create_dir_all(volume.join("target")).expect("mkdir");
    std::fs::create_dir_all(&inner).expect("mkdir");
    symlink(&canary, volume.join("link")).expect("link");
    // SAFETY: this process has one thread.
    let swapper = unsafe { libc::fork() };
    if swapper == 0 {
        swap_for_ever(&volume);
    }
    for round in 0..60 {
        let image = Image::new(&directory.join(round.to_string()));
        let mut spec = base("true");
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        mounts.push(
            json!({ "destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"] }),
        );
        mounts.push(json!({ "destination": "/volume/target/made", "type": "bind", "source": inner,
            "options": ["rbind"] }));
        let options: Options = image.options();
        // Starting or not is up to the race; getting out is not.
        match run(&parse(spec), &options) {
            Ok((_, ended)) => assert_eq!(ended, Ended::Code(0)),
            Err(failure) => assert_eq!(failure.step, "mount", "{failure}"),
        }
        assert_empty(&canary);
    }
    // SAFETY: no pointers are passed.
    unsafe { libc::kill(swapper, libc::SIGKILL) };
    crate::harness::wait(swapper);
}

fn swap_for_ever(volume: &Path) -> ! {
    let path = |name: &str| {
        let bytes = volume.join(name).into_os_string().into_encoded_bytes();
        std::ffi::CString::new(bytes).expect("no NUL")
    };
    let (target, link) = (path("target"), path("link"));
    loop {
        // SAFETY: both are terminated strings that outlive the call.
        unsafe {
            libc::syscall(
                libc::SYS_renameat2,
                libc::AT_FDCWD,
                target.as_ptr(),
                libc::AT_FDCWD,
                link.as_ptr(),
                libc::RENAME_EXCHANGE,
            )
        };
    }
}
