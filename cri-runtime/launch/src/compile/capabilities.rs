//! `process.capabilities`.

use oci_spec::runtime::{Capabilities as Set, LinuxCapabilities};

use crate::plan::Capabilities;

/// Names in the order of their numbers (`capabilities(7)`, `linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn mask(set: &Option<Set>) -> u64 {
    let names = set.iter().flatten().map(ToString::to_string);
    let numbers = names.filter_map(|name| NAMES.iter().position(|known| *known == name));
    numbers.fold(0, |mask, number| mask | 1 << number)
}

/// A process without the section has no capabilities: the safe reading of a spec that says nothing.
pub(super) fn compile(capabilities: Option<&LinuxCapabilities>) -> Capabilities {
    capabilities.map_or_else(Capabilities::default, |sets| Capabilities {
        bounding: mask(sets.bounding()),
        effective: mask(sets.effective()),
        permitted: mask(sets.permitted()),
        inheritable: mask(sets.inheritable()),
        ambient: mask(sets.ambient()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Capability;

    #[test]
    fn every_capability_of_the_spec_has_its_kernel_number() {
        assert_eq!(mask(&Some([Capability::Chown].into())), 1);
        assert_eq!(mask(&Some([Capability::SysAdmin].into())), 1 << 21);
        assert_eq!(mask(&Some([Capability::CheckpointRestore].into())), 1 << 40);
        let all = NAMES.iter().map(|name| name.parse::<Capability>().expect("the spec knows it"));
        assert_eq!(mask(&Some(all.collect())), (1 << 41) - 1);
    }
}
