//! Reads a pod manifest strictly: every mistake is one line with file, line, column, field path and reason.
//!
//! Owns the way from text to a validated [`Pod`]. Does not own what the pod then does (`plan`), and knows nothing of
//! a runtime. Three stages, each pure:
//!
//! ```text
//! text --node--> tree with positions --decode--> Pod (unknown field, wrong type) --refuse, validate--> Manifest
//! ```
//!
//! A field that Orlop does not implement is refused by its name: a probe that silently never ran would be worse than
//! a pod that does not start.

mod decode;
mod error;
mod node;
mod path;
mod refuse;
mod scalar;
mod validate;

use k8s_openapi::api::core::v1::Pod;

use error::Problem;
pub use error::{ManifestError, Position};
use node::{Kind, Node};
pub use path::Path;

/// Largest manifest that is read, in bytes: the kubelet's own limit for static pods.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;

/// A pod that passed every check, and what else its file held.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The pod as written; defaults are applied where a field is used, not here.
    pub pod: Pod,
    /// Documents of the file that are not the pod, as `kind` and line: the caller says that they were left out.
    pub skipped: Vec<(String, usize)>,
}

/// Reads the first Pod of `text`, YAML (one or several documents) or JSON. `file` is only used in messages.
///
/// # Errors
/// The first problem in the file, with its position.
pub fn read(file: &str, text: &str) -> Result<Manifest, ManifestError> {
    parse(text).map_err(|problem| ManifestError::new(file, problem))
}

fn parse(text: &str) -> Result<Manifest, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::new(Position::START, &Path::root(), "is larger than 10 MiB"));
    }
    let mut skipped = Vec::new();
    let mut chosen = None;
    for document in node::documents(text)? {
        match kind_of(&document)? {
            kind if kind == "Pod" && chosen.is_none() => chosen = Some(document),
            kind => skipped.push((kind, document.at.line)),
        }
    }
    let Some(document) = chosen else {
        let what = match skipped.first() {
            Some((kind, _)) => format!("holds no Pod, only {kind}"),
            None => "is empty; a Pod manifest is needed".to_owned(),
        };
        return Err(Problem::new(Position::START, &Path::root(), what));
    };
    let pod: Pod = decode::decode(&document)?;
    refuse::check(&document)?;
    validate::check(&pod, &document)?;
    Ok(Manifest { pod, skipped })
}

/// The kind of a document; without one nothing else of it can be judged.
fn kind_of(document: &Node) -> Result<String, Problem> {
    let root = Path::root();
    let Kind::Mapping(_) = &document.kind else {
        return Err(Problem::new(document.at, &root, format!("expected a mapping, found {}", document.kind)));
    };
    let kind = match document.get("kind") {
        Some(Node { kind: Kind::Scalar(scalar::Scalar::String(kind)), .. }) => kind.clone(),
        Some(other) => {
            let what = format!("expected a string, found {}", other.kind);
            return Err(Problem::new(other.at, &root.field("kind"), what));
        }
        None => return Err(Problem::new(document.at, &root.field("kind"), "is required")),
    };
    let version = document.get("apiVersion");
    match version.map(|node| &node.kind) {
        Some(Kind::Scalar(scalar::Scalar::String(version))) if kind != "Pod" || version == "v1" => Ok(kind),
        None if kind == "Pod" => {
            Err(Problem::new(document.at, &root.field("apiVersion"), "is required; use \"v1\""))
        }
        Some(other) if kind == "Pod" => {
            let at = version.map_or(document.at, |node| node.at);
            Err(Problem::new(at, &root.field("apiVersion"), format!("expected \"v1\", found {other}")))
        }
        _ => Ok(kind),
    }
}

#[cfg(test)]
mod tests;
