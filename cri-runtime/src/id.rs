//! Object ids: 64 lower-case hex digits, random (G-06).

use std::io;

/// A new id.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn generate() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(hex::encode(bytes))
}

/// Whether `text` has the form of an id.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_that_cadvisor_matches() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert!(is_id(&one) && is_id(&two) && one != two);
        assert!(!is_id("abc") && !is_id(&one.to_uppercase()[..63]));
    }
}
