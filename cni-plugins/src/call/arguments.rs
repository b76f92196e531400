//! `CNI_ARGS`: parameters that do not belong to the network but to the pod.

use crate::error::{Code, Error};

/// `KEY=VALUE` pairs in the order they were given. Keys that no plugin knows are left alone whether or not
/// `IgnoreUnknown` is set: every Kubernetes runtime passes its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(String, String)>);

impl Arguments {
    /// From pairs.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Reads `K=V;K=V`.
    ///
    /// # Errors
    /// Code 4 for a pair without `=`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let pairs = text.split(';').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Error::new(Code::INVALID_ENVIRONMENT, format!("invalid CNI_ARGS pair {pair:?}: no = in it"))
            })?;
            Ok((key.to_owned(), value.to_owned()))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The value of a key, unless it is missing or empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// The pairs.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The form of `CNI_ARGS`.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(";")
    }
}
