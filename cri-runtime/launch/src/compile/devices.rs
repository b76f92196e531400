//! `linux.devices`, and the nodes and links every container has (runtime-spec, "Default Devices").

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Process, Spec};

use super::need::{Bind, Needs};
use super::{CompileError, DeviceNodes, Need, Options, mounts};
use crate::plan::{Device, DeviceKind, Link, Resolve, Step};

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Path, major, minor.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

const DEFAULT_MODE: u32 = 0o666;

/// Devices waiting for the moment when `/dev` is there and nothing in it yet.
#[derive(Debug)]
pub(super) struct Placement {
    devices: Vec<Device>,
    links: Vec<Link>,
    console: Option<Bind>,
    nodes: DeviceNodes,
}

impl Placement {
    /// A container with a `/dev` of its own gets the defaults. One with the host's `/dev` gets nothing: it is not
    /// ours to change (F-40). One without a `/dev` mount gets what the spec lists.
    pub(super) fn new(
        spec: &Spec,
        process: &Process,
        options: &Options,
        dev_is_mounted: bool,
        dev_is_bound: bool,
    ) -> Result<Self, CompileError> {
        let mut placement =
            Self { devices: Vec::new(), links: Vec::new(), console: None, nodes: options.devices };
        if dev_is_bound {
            return Ok(placement);
        }
        let listed = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
        for device in listed.into_iter().flatten() {
            placement.devices.push(compile(device)?);
        }
        if dev_is_mounted {
            for (path, major, minor) in DEFAULTS {
                if placement.devices.iter().all(|device| device.path != path.as_bytes()) {
                    placement.devices.push(character(path, major, minor));
                }
            }
            let link = |(path, target): (&str, &str)| Link {
                path: path.as_bytes().to_owned(),
                target: target.as_bytes().to_owned(),
            };
            placement.links = LINKS.into_iter().map(link).collect();
        }
        if process.terminal() == Some(true)
            && let Some(terminal) = &options.terminal
        {
            placement.console = Some(Bind {
                source: terminal.clone(),
                propagation: kernel::mount::propagation::PRIVATE,
                ..Bind::default()
            });
        }
        Ok(placement)
    }

    pub(super) fn place(&mut self, needs: &mut Needs, steps: &mut Vec<Step>) {
        let devices = std::mem::take(&mut self.devices);
        let mut attach = |target: Vec<u8>, bind: Bind, steps: &mut Vec<Step>| {
            let tree = needs.add(Need::Bind(bind));
            steps.push(Step::Attach { target, tree, resolve: Resolve::NoLinks });
        };
        match self.nodes {
            DeviceNodes::Made if !devices.is_empty() => steps.push(Step::Devices(devices)),
            DeviceNodes::Made => {}
            DeviceNodes::Bound => {
                for device in devices {
                    let source = OsStr::from_bytes(&device.path).into();
                    let propagation = kernel::mount::propagation::PRIVATE;
                    attach(device.path, Bind { source, propagation, ..Bind::default() }, steps);
                }
            }
        }
        if !self.links.is_empty() {
            steps.push(Step::Links(std::mem::take(&mut self.links)));
        }
        if let Some(console) = self.console.take() {
            attach(b"/dev/console".to_vec(), console, steps);
        }
    }
}

fn character(path: &str, major: u32, minor: u32) -> Device {
    Device {
        path: path.as_bytes().to_owned(),
        kind: DeviceKind::Character,
        major,
        minor,
        mode: DEFAULT_MODE,
        uid: 0,
        gid: 0,
    }
}

fn compile(device: &LinuxDevice) -> Result<Device, CompileError> {
    let path = mounts::target(device.path(), "linux.devices.path")?;
    let shown = || device.path().to_string_lossy().into_owned();
    let kind = match device.typ() {
        // "u" is a character device too, without buffering (mknod(1)).
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => {
            return Err(CompileError::invalid("linux.devices", shown(), "type `a` is for cgroup rules"));
        }
    };
    let number = |number: i64| {
        u32::try_from(number)
            .map_err(|_| CompileError::invalid("linux.devices", shown(), "device number out of range"))
    };
    let mode = device.file_mode().unwrap_or(DEFAULT_MODE);
    if mode & !0o7777 != 0 && mode & libc::S_IFMT == 0 {
        return Err(CompileError::invalid("linux.devices", shown(), "mode out of range"));
    }
    Ok(Device {
        path,
        kind,
        major: number(device.major())?,
        minor: number(device.minor())?,
        // The type bits some clients send along say what `type` says.
        mode: mode & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}
