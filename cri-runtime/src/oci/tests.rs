//! Whole specifications, and what their sections say together.

use std::os::fd::AsFd;

use cri_api::v1::security_profile::ProfileType;
use cri_api::v1::{
    ContainerMetadata, IdMapping, Int64Value, LinuxContainerConfig, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, SecurityProfile, UserNamespace,
};
use launch::seccomp::KernelVersion;
use oci_spec::image::{ConfigBuilder, ImageConfigurationBuilder};
use oci_spec::runtime::LinuxNamespaceType;

use super::*;

/// Everything a specification is made of, to be changed by a test.
pub(super) struct Request {
    pub(super) sandbox: PodSandboxConfig,
    pub(super) config: ContainerConfig,
    pub(super) defaults: Defaults,
    pub(super) shm: Option<PathBuf>,
    pub(super) root: tempfile::TempDir,
}

impl Request {
    pub(super) fn new() -> Self {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "web".into(), attempt: 0 }),
            command: vec!["/bin/web".into()],
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext::default()),
                ..LinuxContainerConfig::default()
            }),
            ..ContainerConfig::default()
        };
        let sandbox = PodSandboxConfig {
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(LinuxSandboxSecurityContext::default()),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        };
        Self {
            sandbox,
            config,
            defaults: Defaults::without_host(KernelVersion { major: 6, minor: 1 }),
            shm: Some("/run/pod/shm".into()),
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn security(&mut self) -> &mut LinuxContainerSecurityContext {
        self.config.linux.as_mut().unwrap().security_context.as_mut().unwrap()
    }

    pub(super) fn pod_security(&mut self) -> &mut LinuxSandboxSecurityContext {
        self.sandbox.linux.as_mut().unwrap().security_context.as_mut().unwrap()
    }

    /// Sets the modes of the pod and of its container.
    pub(super) fn modes(&mut self, network: NamespaceMode, pid: NamespaceMode, ipc: NamespaceMode) {
        let options = NamespaceOption {
            network: network.into(),
            pid: pid.into(),
            ipc: ipc.into(),
            ..NamespaceOption::default()
        };
        self.pod_security().namespace_options = Some(options.clone());
        self.security().namespace_options = Some(options);
    }

    pub(super) fn resolve(&self) -> Result<Resolved, ResolveError> {
        let root = std::fs::File::open(self.root.path()).unwrap();
        let image = ConfigBuilder::default().user("1000:1000".to_owned()).build().unwrap();
        let image = ImageConfigurationBuilder::default()
            .config(image)
            .architecture(oci_spec::image::Arch::Amd64)
            .os(oci_spec::image::Os::Linux)
            .rootfs(oci_spec::image::RootFsBuilder::default().diff_ids(Vec::<String>::new()).build().unwrap())
            .build()
            .unwrap();
        resolve(&ContainerInput {
            id: "c1",
            sandbox: &self.sandbox,
            holder: 77,
            config: &self.config,
            image: &image,
            rootfs: root.as_fd(),
            hostname: "pod",
            files: Path::new("/run/pod"),
            shm: self.shm.clone(),
            cgroup: Path::new("/kubepods/pod1/c1"),
            defaults: &self.defaults,
        })
    }

    fn namespaces(&self) -> Vec<String> {
        let spec = self.resolve().unwrap().spec;
        let list = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        let text = |path: &Option<PathBuf>| {
            path.as_ref().map_or("new".to_owned(), |path| path.display().to_string())
        };
        list.iter().map(|namespace| format!("{} {}", namespace.typ(), text(namespace.path()))).collect()
    }
}

#[test]
fn a_plain_container_is_whole_and_compiles_to_a_plan() {
    let request = Request::new();
    let Resolved { spec, user } = request.resolve().unwrap();
    assert_eq!((user.uid, user.gid, user.groups), (1000, 1000, vec![1000]));
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.cwd(), Path::new("/"));
    assert_eq!(process.no_new_privileges(), Some(false));
    assert_eq!(process.oom_score_adj(), Some(0));
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!((linux.seccomp(), linux.sysctl()), (&None, &None));
    assert_eq!(
        (linux.masked_paths(), linux.readonly_paths()),
        (&Some(vec![]), &Some(vec![])),
        "exactly as asked"
    );
    let options = launch::Options {
        cgroups: launch::compile::Cgroups {
            visible: vec![launch::compile::VisibleCgroup {
                name: String::new(),
                source: "/sys/fs/cgroup".into(),
            }],
            ..Default::default()
        },
        ..launch::Options::default()
    };
    launch::compile(&spec, &options).unwrap();
    let again: Spec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    assert_eq!(again, spec, "a record gives back what was written");
}

#[test]
fn namespaces_are_the_pods_the_containers_or_the_hosts() {
    use NamespaceMode::{Container, Node, Pod, Target};
    let mut request = Request::new();
    let pod = ["net /proc/77/ns/net", "uts /proc/77/ns/uts", "ipc /proc/77/ns/ipc"];
    request.modes(Pod, Container, Pod);
    assert_eq!(request.namespaces(), [&["mnt new"], &pod[..], &["pid new"]].concat());
    request.modes(Pod, Pod, Pod);
    assert_eq!(request.namespaces(), [&["mnt new"], &pod[..], &["pid /proc/77/ns/pid"]].concat());
    request.modes(Node, Node, Node);
    request.shm = None;
    assert_eq!(request.namespaces(), ["mnt new"]);
    request.modes(Pod, Container, Pod);
    request.defaults.unified = true;
    assert!(request.namespaces().contains(&"cgroup new".to_owned()));
    request.security().namespace_options.as_mut().unwrap().pid = Target.into();
    assert!(matches!(request.resolve(), Err(ResolveError::Unsupported { .. })));
}

#[test]
fn a_privileged_container_needs_a_privileged_pod() {
    let mut request = Request::new();
    request.security().privileged = true;
    assert!(matches!(request.resolve(), Err(ResolveError::Invalid { field: "privileged", .. })));
    request.pod_security().privileged = true;
    request.security().seccomp = Some(SecurityProfile::default());
    let spec = request.resolve().unwrap().spec;
    assert_eq!(spec.linux().as_ref().unwrap().seccomp(), &None);
    let option = |path: &str, option: &str| {
        let mounts = spec.mounts().as_ref().unwrap();
        let mount = mounts.iter().find(|mount| mount.destination() == Path::new(path)).unwrap();
        mount.options().as_ref().unwrap().iter().any(|found| found == option)
    };
    assert!(option("/sys", "rw") && option("/sys/fs/cgroup", "rw"));
    assert!(sees_host_cgroups(&request.config));
}

#[test]
fn what_is_not_carried_out_is_refused_by_name() {
    let mut request = Request::new();
    request.config.cdi_devices = vec![cri_api::v1::CdiDevice { name: "a/b=c".into() }];
    assert!(matches!(request.resolve(), Err(ResolveError::Unsupported { field: "CDI_devices" })));
    let mut request = Request::new();
    request.defaults.selinux = true;
    request.security().selinux_options =
        Some(cri_api::v1::SeLinuxOption { level: "s0:c1,c2".into(), ..Default::default() });
    assert!(matches!(request.resolve(), Err(ResolveError::Unsupported { field: "selinux_options" })));
    request.defaults.selinux = false;
    request.resolve().unwrap();
}

fn pod_spec(request: &Request) -> Result<Spec, ResolveError> {
    validate_sandbox(&request.sandbox)?;
    sandbox_spec(&SandboxInput { config: &request.sandbox, hostname: "pod", defaults: &request.defaults })
}

#[test]
fn the_holder_of_a_pod_has_namespaces_and_nothing_else() {
    let mut request = Request::new();
    request.pod_security().seccomp =
        Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), ..Default::default() });
    let spec = pod_spec(&request).unwrap();
    let process = spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.no_new_privileges()), (65535, Some(true)));
    let capabilities = process.capabilities().as_ref().unwrap();
    assert_eq!(capabilities.bounding().as_ref().map(|set| set.len()), Some(0));
    assert_eq!(spec.mounts().as_ref().map(Vec::len), Some(0));
    assert_eq!(spec.hostname().as_deref(), Some("pod"));
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_some());
    let kinds: Vec<LinuxNamespaceType> =
        linux.namespaces().iter().flatten().map(|namespace| namespace.typ()).collect();
    use LinuxNamespaceType::{Ipc, Mount, Network, Pid, Uts};
    assert_eq!(kinds, [Mount, Network, Uts, Ipc, Pid]);

    request.modes(NamespaceMode::Node, NamespaceMode::Node, NamespaceMode::Node);
    let spec = pod_spec(&request).unwrap();
    assert_eq!(spec.hostname(), &None, "the host's name is not ours");
    assert_eq!(spec.linux().as_ref().unwrap().namespaces().as_ref().map(Vec::len), Some(1));
}

#[test]
fn senseless_pods_are_refused() {
    use NamespaceMode::{Container, Node, Pod, Target};
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::new();
        change(&mut request);
        validate_sandbox(&request.sandbox).unwrap_err().to_string()
    };
    for (network, pid, ipc) in
        [(Container, Pod, Pod), (Target, Pod, Pod), (Pod, Target, Pod), (Pod, Pod, Container)]
    {
        with(&|request| request.modes(network, pid, ipc));
    }
    let mapping = |container_id, length| IdMapping { host_id: 1 << 16, container_id, length };
    let userns = |mode: NamespaceMode, uids: &[IdMapping], gids: &[IdMapping]| {
        let options = UserNamespace { mode: mode.into(), uids: uids.to_vec(), gids: gids.to_vec() };
        with(&|request| {
            let options =
                NamespaceOption { userns_options: Some(options.clone()), ..NamespaceOption::default() };
            request.pod_security().namespace_options = Some(options);
        })
    };
    let good = [mapping(0, 65536)];
    for text in [
        userns(Node, &good, &[]),
        userns(Pod, &[], &[]),
        userns(Pod, &good, &[mapping(5, 10)]),
        userns(Pod, &[mapping(0, 1), mapping(1, 1)], &good),
        userns(Pod, &good, &[mapping(0, 0)]),
        userns(Container, &good, &good),
    ] {
        assert!(text.starts_with("use namespace_options.userns_options"), "{text}");
    }
    assert!(userns(Pod, &good, &good).ends_with("not supported"));
    let group = with(&|request| request.pod_security().run_as_group = Some(Int64Value { value: 5 }));
    assert!(group.starts_with("use run_as_group"), "{group}");
    with(&|request| request.pod_security().run_as_user = Some(Int64Value { value: -1 }));
}
