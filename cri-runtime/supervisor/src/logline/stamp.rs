//! The time of a record: RFC 3339 in UTC with nine digits of a second.

/// `2026-11-20T14:08:09.123456789Z`: always as long, so that every record starts with as many bytes (L-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; Stamp::LENGTH]);

impl Stamp {
    /// Length of the text, bytes.
    pub const LENGTH: usize = 30;

    /// The text for a time in nanoseconds since the epoch. Times before it and after the year 9999 do not fit the
    /// format and are clamped.
    pub fn at(nanos: i64) -> Self {
        const LAST: i64 = 253_402_300_799;
        let nanos = nanos.max(0);
        let seconds = (nanos / 1_000_000_000).min(LAST);
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date_of(day);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], second / 3600);
        put(&mut text[14..16], second / 60 % 60);
        put(&mut text[17..19], second % 60);
        put(&mut text[20..29], nanos % 1_000_000_000);
        Self(text)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Decimal digits, right-aligned in a field of zeros.
fn put(field: &mut [u8], mut value: i64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from the first of March, so that the leap day is the last of a year, and in eras of 400 years,
/// which all have the same number of days.
fn date_of(day: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let since_march_0000 = day + 719_468;
    let era = since_march_0000.div_euclid(ERA);
    let day_of_era = since_march_0000.rem_euclid(ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
