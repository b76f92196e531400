//! ImageFsInfo: from the account that commits and removals keep, so it is quick whatever the disk does (I-43). It is
//! also how the kubelet asks whether we are alive (G-03).

use std::time::UNIX_EPOCH;

use cri_api::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value};

use crate::image::Images;

pub(super) fn handle(images: &Images) -> ImageFsInfoResponse {
    let info = images.fs_info();
    let since = info.timestamp.duration_since(UNIX_EPOCH).unwrap_or_default();
    let usage = FilesystemUsage {
        timestamp: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        fs_id: Some(FilesystemIdentifier { mountpoint: info.mountpoint.to_string_lossy().into_owned() }),
        used_bytes: Some(UInt64Value { value: info.used_bytes }),
        inodes_used: Some(UInt64Value { value: info.inodes_used }),
    };
    // Writable layers are on the same file system: the second list is for those that are not.
    ImageFsInfoResponse { image_filesystems: vec![usage], container_filesystems: Vec::new() }
}
