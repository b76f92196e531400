//! What a ready descriptor belongs to, as the number it is registered with.

use crate::logline::Stream;

/// Owner of a registered descriptor.
///
/// An event can be older than the change that made its owner disappear. That is harmless: every handler reads without
/// blocking, so whoever took over the slot finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The listening socket.
    Listener,
    /// Pending signals.
    Signals,
    /// A connection, by serial number.
    Daemon(u32),
    /// The report of the process in a slot.
    Report(u32),
    /// An output of the process in a slot.
    Output(u32, Stream),
}

impl Token {
    /// The number.
    pub fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Daemon(serial) => (2, serial),
            Self::Report(slot) => (3, slot),
            Self::Output(slot, Stream::Stdout) => (4, slot),
            Self::Output(slot, Stream::Stderr) => (5, slot),
        };
        u64::from(number) << 8 | kind
    }

    /// The owner, for a number of [`Token::encode`].
    pub fn decode(number: u64) -> Option<Self> {
        let owner = (number >> 8) as u32;
        match number & 0xff {
            0 => Some(Self::Listener),
            1 => Some(Self::Signals),
            2 => Some(Self::Daemon(owner)),
            3 => Some(Self::Report(owner)),
            4 => Some(Self::Output(owner, Stream::Stdout)),
            5 => Some(Self::Output(owner, Stream::Stderr)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_owner() {
        for owner in [0, 1, 77, u32::MAX] {
            for token in [
                Token::Listener,
                Token::Signals,
                Token::Daemon(owner),
                Token::Report(owner),
                Token::Output(owner, Stream::Stdout),
                Token::Output(owner, Stream::Stderr),
            ] {
                assert_eq!(Token::decode(token.encode()), Some(token));
            }
        }
        assert_eq!(Token::decode(6), None);
    }
}
