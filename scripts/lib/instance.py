"""What one runtime instance leaves on a host, and how it is removed without the runtime's help.

Everything is found by the instance's own names (see scripts/dev-runtime), never by a kind of thing: other runtimes on the
machine are not touched. Each step can be repeated and none stops the others.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import netlink

END_DEADLINE = 20.0
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def readable(stream, seconds):
    """Whether a stream has something to read, or has ended, within this time."""
    return bool(select.select([stream], [], [], seconds)[0])


def processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def read(path):
    """Content of a file of /proc, empty if the process has ended."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def program_name(pid):
    return os.path.basename(link(f"/proc/{pid}/exe").removesuffix(" (deleted)"))


def daemon_of(directory):
    """Process id of the daemon that runs on this directory."""
    wanted = os.fsencode(str(directory / "state"))
    for pid in processes():
        if program_name(pid) == "cri-runtime" and wanted in read(f"/proc/{pid}/cmdline").split(b"\0"):
            return pid
    return None


def supervisor_of(directory):
    """Process id of the supervisor that keeps its exit records in this directory."""
    for pid in processes():
        if not read(f"/proc/{pid}/comm").startswith(b"orlop-superviso"):
            continue
        for number in os.listdir(f"/proc/{pid}/fd") if os.path.exists(f"/proc/{pid}/fd") else ():
            if link(f"/proc/{pid}/fd/{number}").startswith(f"{directory}/"):
                return pid
    return None


def descendants(root):
    """Every process below `root`. A supervisor adopts orphans, so nothing of it gets away from this walk."""
    parents = {}
    for pid in processes():
        fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if len(fields) > 1:
            parents.setdefault(int(fields[1]), []).append(pid)
    found, open_ends = [], [root]
    while open_ends:
        children = parents.get(open_ends.pop(), [])
        found += children
        open_ends += children
    return found


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_gone(pids):
    deadline = time.monotonic() + END_DEADLINE
    while time.monotonic() < deadline:
        pids = [pid for pid in pids if read(f"/proc/{pid}/stat") and b") Z " not in read(f"/proc/{pid}/stat")]
        if not pids:
            return []
        time.sleep(0.02)
    return pids


def cgroup_roots():
    """Mount points of every cgroup hierarchy."""
    roots = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in ("cgroup", "cgroup2"):
            roots.append(before.split()[4])
    return roots


def cgroups_named(name):
    """Groups of the instance in every hierarchy, deepest first."""
    found = []
    for root in cgroup_roots():
        top = os.path.join(root, name)
        if os.path.isdir(top):
            found += [folder for folder, _, _ in os.walk(top)]
    return sorted(found, key=lambda path: path.count("/"), reverse=True)


def cgroups_of(pids):
    """Groups of containers that were asked to live under another parent, deepest first."""
    found = set()
    for pid in pids:
        for line in read(f"/proc/{pid}/cgroup").decode(errors="replace").splitlines():
            path = line.split(":", 2)[2]
            if CONTAINER_ID.search(path):
                found |= {root + path for root in cgroup_roots() if os.path.isdir(root + path)}
    return sorted(found, key=lambda path: path.count("/"), reverse=True)


def remove_cgroups(groups):
    """Ends what is left in the groups and removes them; returns those that stay."""
    deadline = time.monotonic() + END_DEADLINE
    while groups and time.monotonic() < deadline:
        for group in groups:
            for pid in read(f"{group}/cgroup.procs").split():
                kill(int(pid))
        groups = [group for group in groups if not removed(group)]
        if groups:
            time.sleep(0.02)
    return groups


def removed(group):
    try:
        os.rmdir(group)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False


def mounts_below(directory):
    """Mount points at or below a directory, last mounted first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split()[4])
        if point == str(directory) or point.startswith(f"{directory}/"):
            found.append(point)
    return found[::-1]


def bridges(chosen, options):
    """Names of the bridges that the instance's networks use."""
    names = {chosen["bridge"]}
    if "--cni-conf-dir" in options:
        folder = Path(options[options.index("--cni-conf-dir") + 1])
        for file in [*folder.glob("*.conflist"), *folder.glob("*.conf"), *folder.glob("*.json")]:
            try:
                content = json.loads(file.read_text())
            except (OSError, ValueError):
                continue
            for plugin in content.get("plugins", [content]):
                if plugin.get("type") == "bridge":
                    names.add(plugin.get("bridge", "cni0"))
    return names


def forget_rules(chosen, names, programs):
    """Takes the instance's entries out of the shared nftables tables; returns what could not be done."""
    if programs is None:
        return [] if not any(table.startswith("orlop_") for _, table in netlink.tables()) else ["nftables rules: no programs, run scripts/build"]
    # Nothing of this network is valid any more: the plugin itself knows what to remove (CNI GC).
    collect = {"cniVersion": "1.1.0", "name": chosen["name"], "type": "portmap", "cni.dev/valid-attachments": []}
    variables = {**os.environ, "CNI_COMMAND": "GC", "CNI_PATH": str(programs)}
    result = subprocess.run(["portmap"], executable=programs / "cni-plugins", input=json.dumps(collect), env=variables, stdout=subprocess.PIPE, text=True)
    left = [f"host ports: {result.stdout.strip()}"] if result.returncode else []
    result = subprocess.run([programs / "rules", *sorted(names)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return left + ([f"nftables rules: {result.stderr.strip()}"] if result.returncode else [])


def remove(directory, chosen, options, programs):
    """Removes everything; returns what is still there, one line each. `programs` is the folder of scripts/build, or None."""
    left = []
    daemon = daemon_of(directory)
    if daemon is not None:
        kill(daemon)
        left += [f"process {pid}" for pid in wait_gone([daemon])]
    supervisor = supervisor_of(directory)
    groups = cgroups_named(chosen["name"])
    if supervisor is not None:
        containers = descendants(supervisor)
        groups += [group for group in cgroups_of(containers) if group not in groups]
        # The supervisor first: nobody starts or adopts anything any more, then everything that was below it.
        kill(supervisor)
        for pid in containers:
            kill(pid)
        left += [f"process {pid}" for pid in wait_gone([supervisor, *containers])]
    left += [f"cgroup {group}" for group in remove_cgroups(groups)]
    for point in mounts_below(directory):
        # lazily: a mount that a foreign process looks into disappears from here all the same
        subprocess.run(["umount", "-l", point], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    left += [f"mount {point}" for point in mounts_below(directory)]
    for name in bridges(chosen, options):
        if netlink.ports(name) == 0:
            netlink.delete_link(name)
        elif os.path.exists(f"/sys/class/net/{name}"):
            left.append(f"bridge {name}, which still has ports")
    left += forget_rules(chosen, bridges(chosen, options), programs)
    try:
        shutil.rmtree(directory)
    except OSError as error:
        left.append(f"{directory}: {error}")
    return left
