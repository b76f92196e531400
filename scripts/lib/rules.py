"""The rules of the house that a compiler does not know. Each function returns what is wrong, one line each.

The arrows are those of docs/architecture.md: who changes one changes the other.
"""

import re
from pathlib import Path

# Crate -> crates of the workspace it may depend on. A crate that is not here fails, so that none slips in unseen.
ALLOWED = {
    "kernel": set(),
    "cri-api": set(),
    "cni-plugins": {"kernel"},
    "launch": {"kernel"},
    "supervisor": {"launch", "kernel"},
    "cri-runtime": {"cri-api", "cni-plugins", "launch", "kernel"},
    "volumes": {"kernel"},
    "kubelet": {"cri-api", "volumes", "kernel"},
    "cli": {"kubelet", "cri-api", "kernel"},
    # the stories reach everything
    "tests": None,
    "bench": None,
}

# Crate -> what must not be in its whole tree of normal dependencies, and why.
FORBIDDEN = {
    "kernel": {"tokio": "system calls know no reactor", "serde": "system calls know no formats", "k8s-openapi": "nor Kubernetes"},
    "launch": {"tokio": "the executor runs in a fork"},
    "supervisor": {"tokio": "one thread, under a megabyte", "oci-spec": "it parses nothing that an outsider wrote", "serde_json": "likewise"},
    "cni-plugins": {"cri-api": "the plugins serve any runtime", "tonic": "likewise", "k8s-openapi": "likewise"},
    "volumes": {"kube": "what a volume needs of a cluster it asks of a trait", "tonic": "likewise"},
    "kubelet": {"cri-runtime": "it drives any CRI runtime"},
    "cri-api": {"kernel": "the wire knows no host"},
}

# The tests and measurements of the executor fork and wait as it does, and so does the program that measures the floor.
UNSAFE_ROOMS = ("kernel/src/", "cri-runtime/launch/src/execute", "cri-runtime/launch/tests/", "cri-runtime/launch/benches/",
                "pause/src/", "tests/bench/src/floor")
SIZE_LISTED, SIZE_LIMIT = 400, 600
SIZE_EXCEPTIONS = "scripts/lib/large-files.txt"
SOURCES = ("**/*.rs", "scripts/*", "scripts/**/*.py")
SKIPPED_FOLDERS = {"target", ".git"}


def arrows(metadata, tree_of):
    """Dependencies between crates of the workspace, and what must not be in their trees at all.

    `tree_of(crate)` gives the names of everything the crate links when it is built alone: the features that another crate
    of the workspace asks for do not count.
    """
    packages = {package["id"]: package["name"] for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    wrong = []
    for member in metadata["workspace_members"]:
        name = packages[member]
        if name not in ALLOWED:
            wrong.append(f"crate {name} is not in the table: add it to docs/architecture.md and scripts/lib/rules.py")
            continue
        inner = {packages[id] for id in linked(nodes[member]) if id in metadata["workspace_members"]}
        if ALLOWED[name] is not None:
            wrong += [f"{name} -> {other}: no such arrow in docs/architecture.md" for other in sorted(inner - ALLOWED[name])]
        if name in FORBIDDEN:
            tree = tree_of(name)
            wrong += [f"{name} must not have {other} ({reason}): cargo tree -e normal -p {name} -i {other}"
                      for other, reason in FORBIDDEN[name].items() if other in tree]
    return wrong


def linked(node):
    """Ids of what a crate links: neither its build scripts nor its tests count."""
    return [dependency["pkg"] for dependency in node["deps"] if any(kind["kind"] is None for kind in dependency["dep_kinds"])]


def source_files(repository):
    for pattern in SOURCES:
        for path in sorted(repository.glob(pattern)):
            if path.is_file() and not SKIPPED_FOLDERS & set(path.relative_to(repository).parts):
                yield path


def exceptions(repository):
    """Path -> reason, from lines of the form `path: reason`."""
    listed = {}
    file = repository / SIZE_EXCEPTIONS
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.strip() and not line.startswith("#"):
            path, _, reason = line.partition(":")
            listed[path.strip()] = reason.strip()
    return listed


def sizes(repository):
    """Files that are past reading in one go."""
    allowed, wrong = exceptions(repository), []
    for path in source_files(repository):
        lines = path.read_text(errors="replace").count("\n")
        name = str(path.relative_to(repository))
        if lines <= SIZE_LISTED:
            continue
        if lines > SIZE_LIMIT and not allowed.get(name):
            wrong.append(f"{name} has {lines} lines: find its seam, or give a reason in {SIZE_EXCEPTIONS}")
        else:
            print(f"   {name} has {lines} lines")
    wrong += [f"{name} is in {SIZE_EXCEPTIONS} and does not exist" for name in allowed if not (repository / name).exists()]
    return wrong


def without_comments_and_texts(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return line.split("//")[0]


def unsafe(repository):
    """`unsafe` only where it belongs, each use with its invariant; everywhere else the crate forbids it."""
    wrong = []
    for path in sorted(repository.glob("**/*.rs")):
        name = str(path.relative_to(repository))
        if SKIPPED_FOLDERS & set(path.relative_to(repository).parts):
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            code = without_comments_and_texts(line)
            # the attribute `unsafe(...)` marks an item, not an action
            if not re.search(r"\bunsafe\b", code) or re.search(r"#!?\[.*unsafe", code):
                continue
            if not name.startswith(UNSAFE_ROOMS):
                wrong.append(f"{name}:{number + 1}: unsafe outside of {', '.join(UNSAFE_ROOMS)}")
            elif re.search(r"\bunsafe\s*(\{|impl\b)", code) and not explained(lines, number):
                wrong.append(f"{name}:{number + 1}: unsafe without a SAFETY comment before it")
    for root in crate_roots(repository):
        name = str(root.relative_to(repository))
        if not name.startswith(UNSAFE_ROOMS) and not name.startswith("cri-runtime/launch/") \
                and "#![forbid(unsafe_code)]" not in root.read_text():
            wrong.append(f"{name}: a crate root outside of those rooms forbids unsafe code")
    return wrong


def explained(lines, number):
    """Whether a SAFETY comment stands in the comment lines, attributes or statement lines right before."""
    for line in reversed(lines[max(0, number - 12):number + 1]):
        if "SAFETY:" in line:
            return True
        if line.strip() in ("", "}") and line is not lines[number]:
            return False
    return False


def crate_roots(repository):
    for manifest in sorted(repository.glob("**/Cargo.toml")):
        if SKIPPED_FOLDERS & set(manifest.relative_to(repository).parts):
            continue
        folder = manifest.parent / "src"
        yield from (path for path in [folder / "lib.rs", folder / "main.rs", *sorted((folder / "bin").glob("*.rs"))] if path.exists())
