//! The configuration a plugin reads from its standard input.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::validate_network_name;
use crate::error::{Code, Error};
use crate::result::{self, CniResult, SpecVersion};

/// A network configuration: the fields all of them have, and the whole of it for the plugin.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// Version of the specification in which to answer.
    pub version: SpecVersion,
    /// Name of the network.
    pub name: String,
    /// Type of the plugin.
    pub kind: String,
    /// Result of the plugin before in the chain, or of ADD.
    pub prev_result: Option<CniResult>,
    /// Everything, as it came.
    pub fields: Map<String, Value>,
}

/// An attachment that GC has to leave alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, serde::Serialize)]
pub struct ValidAttachment {
    /// Container id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Interface name in the container.
    pub ifname: String,
}

fn text(fields: &Map<String, Value>, key: &str) -> Result<String, Error> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Error::new(
            Code::DECODE,
            format!("invalid network configuration: {key} is {other}, not a string"),
        )),
    }
}

impl NetConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Code 6 for what is no JSON object, 1 for an unknown version, 7 for a missing or bad name.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let value: Value = serde_json::from_slice(bytes).map_err(|e| {
            let msg = format!("invalid network configuration: no JSON: {e}");
            Error::new(Code::DECODE, msg)
        })?;
        let Value::Object(fields) = value else {
            return Err(Error::new(Code::DECODE, "invalid network configuration: no JSON object"));
        };
        Self::from_fields(fields)
    }

    /// Like [`Self::parse`], of an object.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_fields(fields: Map<String, Value>) -> Result<Self, Error> {
        let version: SpecVersion =
            text(&fields, "cniVersion")?.parse().map_err(|e: result::UnknownVersion| Error {
                code: Code::INCOMPATIBLE_VERSION,
                msg: "incompatible CNI versions".into(),
                details: e.to_string(),
            })?;
        let name = text(&fields, "name")?;
        validate_network_name(&name)?;
        let prev_result = match fields.get("prevResult") {
            None | Some(Value::Null) => None,
            Some(value) => {
                Some(result::decode(value, version).map_err(|e| Error::from_source(Code::DECODE, &e))?)
            }
        };
        Ok(Self { version, name, kind: text(&fields, "type")?, prev_result, fields })
    }

    /// Reads the plugin's own fields.
    ///
    /// # Errors
    /// Code 6, naming the field.
    pub fn plugin<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(Value::Object(self.fields.clone())).map_err(|e| {
            let msg = format!("invalid configuration of plugin {} in network {}: {e}", self.kind, self.name);
            Error::new(Code::DECODE, msg)
        })
    }

    /// The attachments GC has to leave alone. libcni sends them under two names, of which one is a misspelling of
    /// the drafts.
    ///
    /// # Errors
    /// Code 7 if there is no list: without it everything would be garbage.
    pub fn valid_attachments(&self) -> Result<Vec<ValidAttachment>, Error> {
        let list = ["cni.dev/valid-attachments", "cni.dev/attachments"]
            .iter()
            .find_map(|key| self.fields.get(*key).filter(|list| !list.is_null()));
        let Some(list) = list else {
            return Err(Error::new(
                Code::INVALID_CONFIG,
                "GC needs cni.dev/valid-attachments, which is missing",
            ));
        };
        Vec::deserialize(list)
            .map_err(|e| Error::new(Code::DECODE, format!("invalid cni.dev/valid-attachments: {e}")))
    }
}
