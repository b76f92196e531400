//! From what was typed to a pod that can be run.

use std::io::Read;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kubelet::manifest;
use kubelet::names::{self, Identity};

use crate::args::{Pull, RunArgs};
use crate::command::holder::{self, Holder};
use crate::endpoint::Connection;
use crate::error::{Error, Result};
use crate::pods;

/// Reads the manifest and applies what the options change of it.
pub fn pod(options: &RunArgs) -> Result<Pod> {
    let Some(path) = options.file.as_deref().or(options.filename.as_deref()) else {
        return Err(Error::Usage("no manifest; give a file, or - for standard input".to_owned()));
    };
    let name = if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() };
    let manifest = manifest::read(&name, &read(path, &name)?)?;
    for (kind, line) in &manifest.skipped {
        eprintln!("orlop: {name}:{line}: {kind} left out; only the first Pod of a file is run");
    }
    let mut pod = manifest.pod;
    if pod.metadata.uid.is_none() {
        pod.metadata.uid = Some(random_uid()?);
    }
    // For `orlop stop` and `orlop rm`, which have to ask us.
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(holder::ANNOTATION.to_owned(), Holder::this()?.mark());
    if let Some(pull) = options.pull {
        let policy = match pull {
            Pull::Always => "Always",
            Pull::Missing => "IfNotPresent",
            Pull::Never => "Never",
        };
        let spec = pod.spec.iter_mut();
        for spec in spec {
            let init = spec.init_containers.iter_mut().flatten();
            for container in init.chain(&mut spec.containers) {
                container.image_pull_policy = Some(policy.to_owned());
            }
        }
    }
    Ok(pod)
}

fn read(path: &Path, name: &str) -> Result<String> {
    let limit = u64::try_from(manifest::MAX_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    // A file that is not there is a mistake of the command line, as much as one that says nonsense.
    read.map_err(|source| Error::Usage(format!("read {name}: {source}")))?;
    String::from_utf8(text).map_err(|_| Error::Usage(format!("read {name}: it is not UTF-8 text")))
}

/// A version 4 UUID (RFC 9562): every run is a pod of its own, although the name is the same.
fn random_uid() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("read", "random bytes", std::io::Error::other(error.to_string())))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Two pods of one name would fight over ports and confuse every command that takes a name.
pub async fn refuse_second(connection: &Connection, pod: &Pod) -> Result<()> {
    let identity = Identity::of(pod);
    let same = |sandbox: &cri_api::v1::PodSandbox| {
        pods::label(&sandbox.labels, names::POD_NAME) == identity.name
            && pods::label(&sandbox.labels, names::POD_NAMESPACE) == identity.namespace
    };
    let Some(existing) = pods::list(connection).await?.into_iter().find(same) else { return Ok(()) };
    let state = match existing.state() {
        cri_api::v1::PodSandboxState::SandboxReady => ("is running", " -f"),
        cri_api::v1::PodSandboxState::SandboxNotready => ("exists", ""),
    };
    let Identity { name, namespace, .. } = identity;
    Err(Error::Usage(format!(
        "pod {namespace}/{name} {} already; `orlop rm{} {name}` removes it",
        state.0, state.1
    )))
}

#[cfg(test)]
mod tests {
    #[test]
    fn uids_have_the_shape_of_a_uuid_and_differ() {
        let (one, two) = (super::random_uid().unwrap(), super::random_uid().unwrap());
        assert_ne!(one, two);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
    }
}
