//! The container hash: what of a container, when changed, restarts it in place (K-CTR-2).
//!
//! Only name and image count. The value lives in an annotation, so it must stay the same from release to release.

use k8s_openapi::api::core::v1::Container;

/// FNV-1a, 32 bits, over the container's name and image, in lower case hex.
#[must_use]
pub fn container_hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let mut hash = 0x811c_9dc5_u32;
    // The zero byte separates the two: neither may contain it.
    for byte in container.name.bytes().chain([0]).chain(image.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    format!("{hash:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, image: &str) -> Container {
        Container { name: name.to_owned(), image: Some(image.to_owned()), ..Container::default() }
    }

    #[test]
    fn only_name_and_image_count() {
        let plain = container("web", "a:1");
        let mut other = plain.clone();
        other.command = Some(vec!["sh".to_owned()]);
        assert_eq!(container_hash(&plain), container_hash(&other));
        assert_ne!(container_hash(&plain), container_hash(&container("web", "a:2")));
        assert_ne!(container_hash(&container("a", "bc")), container_hash(&container("ab", "c")));
    }

    #[test]
    fn the_value_never_changes_between_releases() {
        assert_eq!(container_hash(&container("web", "orlop.local/demo:latest")), "e7899c9b");
    }
}
