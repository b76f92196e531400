//! What comes in from the host: volumes, devices, a terminal.

use std::path::Path;

use launch::compile::{Options, Rootfs};
use serde_json::json;

use crate::cases::output;
use crate::harness::{Case, Ended, Image, Ready, Room, run};
use crate::spec::{base, parse};

pub const CASES: &[Case] = &[
    Case { name: "a_volume_is_mounted_as_asked", run: a_volume_is_mounted_as_asked },
    Case { name: "devices_can_come_from_the_host", run: devices_can_come_from_the_host },
    Case {
        name: "a_terminal_is_console_and_controlling_terminal",
        run: a_terminal_is_console_and_controlling_terminal,
    },
    Case { name: "a_host_mount_reaches_a_slave_volume", run: a_host_mount_reaches_a_slave_volume },
    Case {
        name: "a_mount_reaches_the_host_through_a_shared_volume_only",
        run: a_mount_reaches_the_host_through_a_shared_volume_only,
    },
];

fn a_volume_is_mounted_as_asked(directory: &Path) {
    let volume = directory.join("volume");
    std::fs::create_dir_all(volume.join("inner")).expect("mkdir");
    std::fs::write(volume.join("file"), "content\n").expect("write");
    std::fs::write(directory.join("hosts"), "127.0.0.1 localhost\n").expect("write");
    let script =
        "cat /data/file /etc/hosts; touch /data/rw /data/ro/x 2>&1; ls /data; cat /proc/self/mounts; exit 0";
    let listed = output(directory, script, |spec| {
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        // Deeper first: they are sorted (F-40). Neither target exists in the image (F-43).
        mounts.push(json!({ "destination": "/data/ro", "type": "bind", "source": volume,
            "options": ["rbind", "rro", "nosuid", "nodev", "noexec", "rprivate"] }));
        mounts.push(json!({ "destination": "/data", "type": "bind", "source": volume, "options": ["rbind", "rslave"] }));
        mounts.push(json!({ "destination": "/etc/hosts", "type": "bind", "source": directory.join("hosts"),
            "options": ["rbind", "ro"] }));
    });
    assert!(
        listed.starts_with("content\n127.0.0.1 localhost\ntouch: /data/ro/x: Read-only file system\n"),
        "{listed}"
    );
    assert!(listed.contains("\nrw\n"), "{listed}");
    assert!(volume.join("rw").exists());
    let mount = |place: &str| {
        let found = listed.lines().find(|line| line.split(' ').nth(1) == Some(place));
        found.unwrap_or_else(|| panic!("{place} in {listed}")).split(' ').nth(3).expect("options").to_owned()
    };
    assert!(mount("/data/ro").starts_with("ro,nosuid,nodev,noexec"));
    assert!(mount("/etc/hosts").starts_with("ro,"));
    assert!(mount("/data").starts_with("rw,"));
}

/// A directory that is a shared mount of this process's own mount namespace.
fn shared_volume(directory: &Path) -> std::path::PathBuf {
    kernel::namespace::unshare(kernel::namespace::Kind::Mount.flag()).expect("unshare");
    kernel::mount::make_private(Path::new("/"), true).expect("make private");
    let volume = directory.join("volume");
    std::fs::create_dir(&volume).expect("mkdir");
    kernel::mount::mount(Path::new("volume"), &volume, "tmpfs", 0, b"").expect("mount");
    std::fs::create_dir(volume.join("inner")).expect("mkdir");
    let own = kernel::path::open_dir(&volume).expect("open");
    let shared = kernel::mount::propagation::SHARED;
    kernel::mount::set_attr(std::os::fd::AsFd::as_fd(&own), false, 0, 0, shared).expect("share");
    volume
}

fn with_volume(script: &str, volume: &Path, propagation: &str) -> serde_json::Value {
    let mut spec = base(script);
    spec["mounts"].as_array_mut().expect("a list").push(json!({
        "destination": "/data", "type": "bind", "source": volume, "options": ["rbind", propagation] }));
    spec
}

/// HostToContainer (F-44): the volume arrived as a descriptor, in a mount namespace that never saw its source.
fn a_host_mount_reaches_a_slave_volume(directory: &Path) {
    let image = Image::new(directory);
    let volume = shared_volume(directory);
    let script = "touch /data/up; until test -e /data/inner/file; do :; done; cat /data/inner/file";
    let spec = with_volume(script, &volume, "rslave");
    let ready = Ready::new(&parse(spec), &image.options(), Vec::new());
    let (output, _) = crate::harness::run_apart(&ready, || {
        // Nothing propagates into a mount that is still detached.
        while !volume.join("up").exists() {
            std::thread::yield_now();
        }
        kernel::mount::mount(Path::new("late"), &volume.join("inner"), "tmpfs", 0, b"").expect("mount");
        std::fs::write(volume.join("inner/part"), "late\n").expect("write");
        std::fs::rename(volume.join("inner/part"), volume.join("inner/file")).expect("rename");
    })
    .expect("it starts");
    assert_eq!(output, "late\n");
}

fn a_mount_reaches_the_host_through_a_shared_volume_only(directory: &Path) {
    let image = Image::new(directory);
    let volume = shared_volume(directory);
    let script = "mount -t tmpfs made /data/inner && touch /data/inner/made";
    let all = |spec: &mut serde_json::Value| {
        spec["process"]["capabilities"] = json!({
            "bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"],
        });
    };
    for (propagation, visible) in [("rprivate", false), ("rslave", false), ("rshared", true)] {
        let mut spec = with_volume(script, &volume, propagation);
        all(&mut spec);
        let upper = directory.join(propagation);
        let work = directory.join(format!("{propagation}-work"));
        std::fs::create_dir(&upper).expect("mkdir");
        std::fs::create_dir(&work).expect("mkdir");
        let rootfs = Rootfs::Overlay { lower: vec![image.lower.clone()], upper, work };
        let (output, ended) =
            run(&parse(spec), &Options { rootfs, ..Options::default() }).expect("it starts");
        assert_eq!(ended, Ended::Code(0), "{output}");
        assert_eq!(volume.join("inner/made").exists(), visible, "{propagation}");
    }
}

fn devices_can_come_from_the_host(directory: &Path) {
    let image = Image::new(directory);
    let options = Options { devices: launch::compile::DeviceNodes::Bound, ..image.options() };
    let spec = parse(base(
        "head -c 4 /dev/zero | wc -c; stat -c %t:%T /dev/null; grep ' /dev/null ' /proc/mounts | wc -l",
    ));
    let (output, _) = run(&spec, &options).expect("it starts");
    assert_eq!(output, "4\n1:3\n1\n");
}

fn a_terminal_is_console_and_controlling_terminal(directory: &Path) {
    let image = Image::new(directory);
    let main = std::fs::File::options().read(true).write(true).open("/dev/ptmx").expect("a terminal");
    let (mut number, unlock) = (0_u32, 0_i32);
    let raw = std::os::fd::AsRawFd::as_raw_fd(&main);
    // SAFETY: both requests take a pointer to an int, which outlives the call.
    unsafe {
        assert_eq!(libc::ioctl(raw, libc::TIOCSPTLCK as _, &raw const unlock), 0);
        assert_eq!(libc::ioctl(raw, libc::TIOCGPTN as _, &raw mut number), 0);
    }
    let path = format!("/dev/pts/{number}");
    let replica = std::fs::File::options().read(true).write(true).open(&path).expect("the other side");
    let options = Options { terminal: Some(path.into()), ..image.options() };
    let mut spec = base("test -c /dev/console && echo hello > /dev/console; echo here > /dev/tty; read x");
    spec["process"]["terminal"] = json!(true);
    let ready = Ready::new(&parse(spec), &options, Vec::new());
    let room = Room::enter();
    let streams = [&replica, &replica, &replica].map(std::os::fd::AsFd::as_fd);
    let mut running = room.start_with(&ready, streams, main.into()).expect("it starts");
    assert_eq!(running.line(), "hello\r");
    assert_eq!(running.line(), "here\r");
    assert_eq!(running.kill(), Ended::Signal(libc::SIGKILL));
}
