//! Safe wrappers over the kernel interfaces that a node needs: mounts, namespaces, cgroups, processes, file trees.
//!
//! This room knows system calls and nothing above them: no async runtime, no serialisation, no Kubernetes words.
//! Every `unsafe` of the project outside the launch executor and `pause` lives here.

mod call;
pub mod cgroup;
pub mod credentials;
pub mod descriptor;
pub mod event;
pub mod failpoint;
pub mod file;
pub mod mount;
pub mod namespace;
pub mod path;
pub mod process;
pub mod socket;
pub mod spawn;
pub mod tree;
