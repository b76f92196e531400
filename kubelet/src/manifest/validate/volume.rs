//! Rules for `spec.volumes`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, Volume};

use super::super::error::Problem;
use super::super::path::Path;
use super::{Place, name};
use crate::quantity::Quantity;

const HOST_PATH_TYPES: [&str; 8] =
    ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

/// Checks every volume and returns their names, which mounts may refer to.
pub(super) fn all<'a>(
    spec: &'a PodSpec,
    place: Place<'_>,
    path: &Path,
) -> Result<BTreeSet<&'a str>, Problem> {
    let mut names = BTreeSet::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let at = path.field("volumes").index(index);
        name::label(&volume.name).map_err(|what| place.problem(&at.field("name"), what))?;
        place.unique(&at.field("name"), "volume name", &volume.name, &mut names)?;
        source(volume, place, &at)?;
    }
    Ok(names)
}

fn source(volume: &Volume, place: Place<'_>, at: &Path) -> Result<(), Problem> {
    match (&volume.empty_dir, &volume.host_path) {
        (Some(_), Some(_)) => {
            Err(place.problem(&at.field("hostPath"), "a volume has one source; emptyDir is given too"))
        }
        (None, None) => Err(place.problem(at, "a volume source is required: emptyDir or hostPath")),
        (Some(empty_dir), None) => {
            let at = at.field("emptyDir");
            if let Some(medium) = &empty_dir.medium {
                place.one_of(&at.field("medium"), medium, &["", "Memory"])?;
            }
            let Some(limit) = &empty_dir.size_limit else { return Ok(()) };
            let limit_path = at.field("sizeLimit");
            let limit =
                Quantity::parse(&limit.0).map_err(|error| place.problem(&limit_path, error.to_string()))?;
            if limit.is_negative() {
                return Err(place.problem(&limit_path, "must not be negative"));
            }
            Ok(())
        }
        (None, Some(host_path)) => {
            let at = at.field("hostPath");
            let path_at = at.field("path");
            if host_path.path.is_empty() {
                return Err(place.problem(&path_at, "is required"));
            }
            if !host_path.path.starts_with('/') {
                return Err(place.problem(&path_at, format!("{:?} must be an absolute path", host_path.path)));
            }
            if host_path.path.split('/').any(|part| part == "..") {
                return Err(place.problem(&path_at, format!("{:?} must not contain \"..\"", host_path.path)));
            }
            place.one_of(&at.field("type"), host_path.type_.as_deref().unwrap_or_default(), &HOST_PATH_TYPES)
        }
    }
}
