//! Kubernetes quantities: `500m`, `1.5`, `64Mi`, `1e3`.
//!
//! Kept as a whole number of billionths, the finest unit Kubernetes knows, so no amount ever passes through a float.

/// An amount, exact to one billionth; magnitudes above 2^63-1 are capped to it, finer digits are rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Quantity {
    nanos: i128,
}

const NANO: i128 = 1_000_000_000;
const CAP: i128 = i64::MAX as i128 * NANO;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity; write a number with an optional unit, such as \"500m\" or \"64Mi\"")]
pub struct QuantityError {
    /// What was written.
    pub text: String,
}

impl Quantity {
    /// Parses `<sign><digits>[.<digits>]<unit>`; units are `n u m k M G T P E`, `Ki Mi Gi Ti Pi Ei` or `e<number>`.
    ///
    /// # Errors
    /// The text has another shape.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError { text: text.to_owned() })
    }

    /// The amount in whole units, rounded up (bytes of a memory quantity).
    #[must_use]
    pub fn value(self) -> i64 {
        self.in_units_of(Self { nanos: NANO })
    }

    /// The amount in thousandths, rounded up (millicores of a cpu quantity).
    #[must_use]
    pub fn milli(self) -> i64 {
        self.in_units_of(Self { nanos: NANO / 1000 })
    }

    /// How many of `unit` make this amount, rounded up. A unit of zero counts as one, as for `divisor` in the API.
    #[must_use]
    pub fn in_units_of(self, unit: Self) -> i64 {
        let unit = if unit.nanos == 0 { NANO } else { unit.nanos };
        i64::try_from(div_up(self.nanos, unit)).unwrap_or(i64::MAX)
    }

    /// Whether the amount is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether the amount is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

/// Division rounded away from zero, as quantities round.
fn div_up(number: i128, by: i128) -> i128 {
    let whole = number / by;
    if number % by == 0 { whole } else { whole + number.signum() }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (unit, exponent) = unit(suffix)?;
    // number * unit * 10^(exponent - fraction digits), in billionths
    let mut scale = exponent - i32::try_from(fraction.len()).ok()?;
    let mut nanos = 0_i128;
    for digit in whole.chars().chain(fraction.chars()) {
        nanos = nanos.saturating_mul(10).saturating_add(i128::from(digit.to_digit(10)?));
    }
    nanos = nanos.saturating_mul(unit);
    while scale > 0 && nanos != 0 && nanos < CAP {
        nanos = nanos.saturating_mul(10);
        scale -= 1;
    }
    if scale < 0 {
        // One division, so that rounding up happens once.
        let by = u32::try_from(-scale).ok().and_then(|power| 10_i128.checked_pow(power));
        nanos = by.map_or(i128::from(nanos != 0), |by| div_up(nanos, by));
    }
    let nanos = nanos.min(CAP);
    Some(Quantity { nanos: if negative { -nanos } else { nanos } })
}

/// A suffix as a factor in billionths and a power of ten.
fn unit(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((NANO << (10 * power), 0));
    match suffix {
        "n" => Some((1, 0)),
        "u" => Some((NANO, -6)),
        "m" => Some((NANO, -3)),
        "" => Some((NANO, 0)),
        "k" => Some((NANO, 3)),
        "M" => Some((NANO, 6)),
        "G" => Some((NANO, 9)),
        "T" => Some((NANO, 12)),
        "P" => Some((NANO, 15)),
        "E" => Some((NANO, 18)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((NANO, exponent.clamp(-100, 100)))
        }
    }
}

#[cfg(test)]
mod tests;
