"""What the runtime needs of a host, and the command that brings what is missing.

`missing()` returns (what, how) pairs; an empty list is a host on which pods run.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# mount_setattr (5.12) and cgroup.kill (5.14) are the youngest calls without a way around them.
KERNEL = (5, 14)
NAMESPACES = ("net", "mnt", "pid", "ipc", "uts", "cgroup", "user")
CONTROLLERS = ("cpu", "memory", "pids")
FREE_BYTES = 3 << 30
LIBRARY = Path(__file__).resolve().parent


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def kernel():
    version = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
    if version < KERNEL:
        yield f"kernel {os.uname().release}; {KERNEL[0]}.{KERNEL[1]} or newer is needed", "apt-get install -y linux-image-amd64 && reboot"


def root():
    if os.geteuid() != 0:
        yield "not root; namespaces, mounts and cgroups of containers need it", f"sudo -E {' '.join(sys.argv)}"


def namespaces():
    absent = [name for name in NAMESPACES if not os.path.exists(f"/proc/self/ns/{name}")]
    if absent:
        yield f"no {', '.join(absent)} namespaces in this kernel", "apt-get install -y linux-image-amd64 && reboot"


def overlay():
    if "\toverlay\n" not in read("/proc/filesystems") and not loads("overlay"):
        yield "no overlay filesystem", "modprobe overlay"


def loads(module):
    """Whether a module could be loaded: it is then there for the runtime too."""
    return bool(shutil.which("modprobe")) and subprocess.run(["modprobe", "-q", module], stdin=subprocess.DEVNULL).returncode == 0


def cgroups():
    unified = read("/sys/fs/cgroup/cgroup.controllers").split()
    if unified:
        absent = [name for name in CONTROLLERS if name not in unified]
        if absent:
            yield f"no cgroup controllers {', '.join(absent)}", "sed -i 's/cgroup_disable=[^ \"]*//' /etc/default/grub && update-grub && reboot"
        return
    mounted = {option for line in read("/proc/self/mountinfo").splitlines() if " - cgroup " in line for option in line.rsplit(" ", 1)[1].split(",")}
    absent = [name for name in CONTROLLERS if name not in mounted]
    if absent:
        yield f"no cgroup controllers {', '.join(absent)}", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"


def network():
    """Tried in a namespace of its own, which takes everything with it when it ends."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return
    for kind, trial in (("veth", "create_link('orltry', 'veth')"), ("bridge", "create_link('orltry', 'bridge')"), ("nf_tables", "tables(strict=True)")):
        program = f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(LIBRARY)!r}); import netlink; netlink.{trial}"
        if subprocess.run(["unshare", "--net", sys.executable, "-c", program], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            yield f"no {kind} in this kernel", f"modprobe {kind}"


def tools():
    for program, command in (
        ("cargo", "curl -sSf https://sh.rustup.rs | sh -s -- -y"),
        ("cc", "apt-get install -y gcc libc6-dev"),
        ("unshare", "apt-get install -y util-linux"),
    ):
        if not shutil.which(program):
            yield f"no {program}", command


def room():
    folder = Path(os.environ.get("CARGO_TARGET_DIR") or LIBRARY.parent.parent)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        yield f"only {free >> 20} MiB free at {folder}; building takes about {FREE_BYTES >> 30} GiB", f"df -h {folder}"


def missing():
    return [finding for check in (kernel, root, namespaces, overlay, cgroups, network, tools, room) for finding in check()]
