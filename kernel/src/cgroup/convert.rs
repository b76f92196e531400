//! CPU shares of v1 (2 to 262144, default 1024) and CPU weights of v2 (1 to 10000, default 100).
//!
//! The older conversion was linear between the ends of both ranges, which gave the default of 1024 shares a weight of
//! 39: containers with defaults lost against every other group of the host. The newer one, used by the OCI runtimes
//! and the kubelet since 2025, is the parabola through minimum, default and maximum of both ranges in logarithms:
//!
//! `weight = ceil(10 ^ ((l^2 + 125 l) / 612 - 7 / 34))` with `l = log2(shares)` (F-80).

const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;
const WEIGHT: std::ops::RangeInclusive<u64> = 1..=10_000;

/// The v2 weight for v1 shares; shares outside of the range count as the nearest end.
pub fn shares_to_weight(shares: u64) -> u64 {
    let shares = shares.clamp(*SHARES.start(), *SHARES.end());
    if shares == *SHARES.start() {
        return *WEIGHT.start();
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 262144")]
    let l = (shares as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
    let weight = 10f64.powf(exponent).ceil() as u64;
    weight.clamp(*WEIGHT.start(), *WEIGHT.end())
}

/// The largest v1 shares that [`shares_to_weight`] turns into this weight, so that a weight read back and written
/// again does not drift.
pub fn weight_to_shares(weight: u64) -> u64 {
    let weight = weight.clamp(*WEIGHT.start(), *WEIGHT.end());
    // Monotone, so the last share with this weight is found by bisection: no second formula, no rounding of its own.
    let (mut low, mut high) = (*SHARES.start(), *SHARES.end());
    while low < high {
        let middle = (low + high).div_ceil(2);
        if shares_to_weight(middle) <= weight { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_defaults_meet() {
        for (shares, weight) in [(0, 1), (1, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
            assert_eq!(shares_to_weight(shares), weight, "{shares} shares");
        }
        assert_eq!(weight_to_shares(1), 2);
        assert_eq!(weight_to_shares(100), 1024);
        assert_eq!(weight_to_shares(10_000), 262_144);
    }

    #[test]
    fn more_shares_never_weigh_less() {
        let weights: Vec<u64> = (2..=262_144).map(shares_to_weight).collect();
        assert!(weights.is_sorted());
    }

    #[test]
    fn every_weight_comes_back() {
        for weight in 1..=10_000 {
            assert_eq!(shares_to_weight(weight_to_shares(weight)), weight);
        }
    }
}
