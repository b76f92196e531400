//! What a plain YAML scalar is: null, boolean, number or text.
//!
//! The rules are those kubectl lives by (YAML 1.1: `yes` is a boolean, `0644` is octal), because a manifest must mean
//! the same here and under a real kubelet. A quoted scalar is always text.

use std::fmt;

/// A resolved scalar. Numbers keep their text: a quantity must not pass through a float.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool { value: bool, text: String },
    Int { value: i64, text: String },
    Float { value: f64, text: String },
    String(String),
}

impl Scalar {
    pub fn resolve(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
                return Self::Bool { value: true, text: text.to_owned() };
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
                return Self::Bool { value: false, text: text.to_owned() };
            }
            _ => {}
        }
        if let Some(value) = integer(text) {
            return Self::Int { value, text: text.to_owned() };
        }
        match float(text) {
            Some(value) => Self::Float { value, text: text.to_owned() },
            None => Self::String(text.to_owned()),
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (&text[..1], rest),
        None => ("", text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = if let Some(hex) = digits.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        (8, octal)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits.as_str())
    };
    let sign = if sign == "+" { "" } else { sign };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

fn float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    // Rust's parser also takes "inf" and "nan", which are text in YAML: a number has a digit, and only these signs.
    let plausible = text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    plausible.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Bool { text, .. } => write!(f, "the boolean {text}"),
            Self::Int { text, .. } | Self::Float { text, .. } => write!(f, "the number {text}"),
            Self::String(text) => write!(f, "the text {text:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
