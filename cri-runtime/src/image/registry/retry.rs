//! When to ask again, when to ask somebody else, and when to give up (I-16). Pure but for the dice.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

/// Attempts at one host for one request, or without progress for one body.
pub const ATTEMPTS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// What a registry may make us wait at most.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What to do with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the answer.
    Take,
    /// The same host again, after a while; with the delay it asked for.
    Again(Option<Duration>),
    /// This host will not do better, another may.
    NextHost,
}

/// Judges an answer.
pub fn judge(status: StatusCode, headers: &HeaderMap) -> Verdict {
    match status.as_u16() {
        200..=399 => Verdict::Take,
        408 | 429 | 500 | 502 | 503 | 504 => Verdict::Again(retry_after(headers)),
        // It starts in the middle, and the caller knows how to begin anew.
        416 => Verdict::Take,
        _ => Verdict::NextHost,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// How long to wait before attempt number `attempt` (the first repetition is 1): exponential, with jitter so that a
/// thousand nodes do not come back in step.
pub fn delay(attempt: u32, asked: Option<Duration>) -> Duration {
    let exponential = FIRST_DELAY.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_DELAY);
    let mut dice = [0u8; 1];
    // Without randomness the delay is merely not spread.
    let _ = getrandom::fill(&mut dice);
    let jittered = exponential.mul_f64(0.5 + f64::from(dice[0]) / 512.0);
    asked.map_or(jittered, |asked| asked.max(jittered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_lead_where_they_should() {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, "7".parse().unwrap());
        let judged = |code: u16| judge(StatusCode::from_u16(code).unwrap(), &headers);
        assert_eq!(judged(200), Verdict::Take);
        assert_eq!(judged(206), Verdict::Take);
        assert_eq!(judged(404), Verdict::NextHost);
        assert_eq!(judged(403), Verdict::NextHost);
        for code in [408, 429, 500, 502, 503, 504] {
            assert_eq!(judged(code), Verdict::Again(Some(Duration::from_secs(7))), "{code}");
        }
    }

    #[test]
    fn delays_grow_and_stay_bounded() {
        for attempt in 1..100 {
            let delay = delay(attempt, None);
            assert!(delay >= FIRST_DELAY / 2 && delay <= LONGEST_DELAY, "{attempt}: {delay:?}");
        }
        assert_eq!(delay(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
    }
}
