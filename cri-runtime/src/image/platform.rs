//! Which entry of an index fits this machine (I-20). Pure.

use oci_spec::image::{Descriptor, ImageIndex};

/// Operating system, architecture and variant in the words of the OCI image specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, ...
    pub architecture: String,
    /// For arm: `v8`, `v7`, `v6`.
    pub variant: Option<String>,
}

impl Platform {
    /// The machine this was compiled for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        let variant = variant.map(str::to_owned);
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant }
    }

    /// How well an offer fits: smaller is better, `None` is not at all. `os.version` says nothing on Linux.
    fn rank(&self, offer: &Descriptor) -> Option<u32> {
        let platform = offer.platform().as_ref()?;
        let architecture = platform.architecture().to_string();
        if platform.os().to_string() != self.os {
            return None;
        }
        let offered = platform.variant().as_deref();
        if architecture == self.architecture {
            return match (architecture.as_str(), offered, self.variant.as_deref()) {
                ("arm64", None | Some("v8"), _) => Some(0),
                ("arm64", Some(_), _) => None,
                ("arm", offered, own) => step_down(own.unwrap_or("v7"), offered.unwrap_or("v7")),
                // amd64 levels above the first may not run here; the plain entry always does.
                (_, None | Some("" | "v1"), _) => Some(0),
                _ => None,
            };
        }
        // A 64-bit arm kernel runs 32-bit images, newest variant first, when there is nothing better.
        match (self.architecture.as_str(), architecture.as_str()) {
            ("arm64", "arm") => step_down("v8", offered.unwrap_or("v7")).map(|steps| 1 + steps),
            _ => None,
        }
    }
}

/// Steps from the machine's arm variant down to the offered one; a newer one does not run.
fn step_down(own: &str, offered: &str) -> Option<u32> {
    let number = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
    number(own)?.checked_sub(number(offered)?)
}

/// Attestations (provenance, SBOM) stand in indexes as if they were images.
fn is_attestation(offer: &Descriptor) -> bool {
    let annotated = offer.annotations().as_ref();
    annotated.is_some_and(|annotations| annotations.contains_key("vnd.docker.reference.type"))
        || offer.platform().as_ref().is_some_and(|platform| platform.architecture().to_string() == "unknown")
}

/// The entry to use, or the list of platforms there are, for the error message.
pub fn select<'a>(index: &'a ImageIndex, platform: &Platform) -> Result<&'a Descriptor, Vec<String>> {
    let offers = || index.manifests().iter().filter(|offer| !is_attestation(offer));
    let ranked = offers().filter_map(|offer| Some((platform.rank(offer)?, offer)));
    // min_by_key returns the first of equals: the order of the index decides between them.
    if let Some((_, offer)) = ranked.min_by_key(|(rank, _)| *rank) {
        return Ok(offer);
    }
    // An index of one entry that names no platform is an image with a wrapper (common in OCI layouts).
    let mut unnamed = offers().filter(|offer| offer.platform().is_none());
    if let (Some(only), None, 1) = (unnamed.next(), unnamed.next(), offers().count()) {
        return Ok(only);
    }
    Err(offers().filter_map(|offer| offer.platform().as_ref()).map(describe).collect())
}

fn describe(platform: &oci_spec::image::Platform) -> String {
    let variant = platform.variant().as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os(), platform.architecture())
}

#[cfg(test)]
mod tests;
