//! Fields of the spec that this runtime does not carry out, refused by name.

use oci_spec::runtime::{Hooks, Linux, Process, Spec};

use super::{CompileError, DeviceNodes, Options};

pub(super) fn check(spec: &Spec, process: &Process, options: &Options) -> Result<(), CompileError> {
    let mut fields = vec![
        ("hooks", spec.hooks().as_ref().is_some_and(any_hook)),
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
        ("process.commandLine", process.command_line().is_some()),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
        ("process.user.username", process.user().username().as_ref().is_some_and(|name| !name.is_empty())),
        (
            "process.terminal without a terminal",
            process.terminal() == Some(true) && options.terminal.is_none(),
        ),
    ];
    if let Some(linux) = spec.linux() {
        fields.extend(linux_fields(linux));
        let profile = linux.seccomp().is_some() && options.seccomp.is_none();
        fields.push(("linux.seccomp without a compiled program", profile));
    }
    let bound_to_mode = options.devices == DeviceNodes::Bound;
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    let changed = devices
        .into_iter()
        .flatten()
        .any(|device| device.file_mode().is_some() || device.uid().is_some() || device.gid().is_some());
    fields.push(("linux.devices with mode or owner, bound from the host", bound_to_mode && changed));
    match fields.into_iter().find(|(_, present)| *present) {
        Some((field, _)) => Err(CompileError::unsupported(field)),
        None => Ok(()),
    }
}

fn linux_fields(linux: &Linux) -> [(&'static str, bool); 9] {
    let text = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    [
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("linux.uidMappings", linux.uid_mappings().as_ref().is_some_and(|mappings| !mappings.is_empty())),
        ("linux.gidMappings", linux.gid_mappings().as_ref().is_some_and(|mappings| !mappings.is_empty())),
        ("linux.mountLabel", text(linux.mount_label())),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.personality", linux.personality().is_some()),
        ("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
        ("linux.seccomp.listenerPath", linux.seccomp().as_ref().is_some_and(|s| s.listener_path().is_some())),
    ]
}

fn any_hook(hooks: &Hooks) -> bool {
    #[allow(deprecated, reason = "a spec may still use it, and must not have it ignored")]
    let prestart = hooks.prestart();
    let lists = [
        prestart,
        hooks.create_runtime(),
        hooks.create_container(),
        hooks.start_container(),
        hooks.poststart(),
        hooks.poststop(),
    ];
    lists.into_iter().flatten().any(|list| !list.is_empty())
}
