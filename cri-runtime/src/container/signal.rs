//! Stop signals: names of images, numbers of the kernel, values of CRI.

use cri_api::v1::Signal;

/// First real-time signal as the C libraries count: the kernel's first two belong to the threading library.
const SIGRTMIN: i32 = 34;
/// Last real-time signal.
const SIGRTMAX: i32 = 64;
/// What a container is stopped with when nobody says otherwise.
pub const SIGTERM: i32 = 15;
/// What cannot be refused.
pub const SIGKILL: i32 = 9;

const NAMES: [(&str, i32); 36] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", SIGRTMIN),
    ("RTMAX", SIGRTMAX),
];

/// The number of a signal by name (`SIGTERM`, `term`, `SIGRTMIN+3`) or number.
pub fn number(name: &str) -> Option<i32> {
    let upper = name.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = bare.parse::<i32>() {
        return (1..=SIGRTMAX).contains(&number).then_some(number);
    }
    let offset = |text: &str| text.parse::<i32>().ok();
    let found = if let Some(above) = bare.strip_prefix("RTMIN+") {
        SIGRTMIN.checked_add(offset(above)?)?
    } else if let Some(below) = bare.strip_prefix("RTMAX-") {
        SIGRTMAX.checked_sub(offset(below)?)?
    } else {
        NAMES.iter().find(|(known, _)| *known == bare)?.1
    };
    let realtime = bare.starts_with("RT");
    (!realtime || (SIGRTMIN..=SIGRTMAX).contains(&found)).then_some(found)
}

/// The number of a CRI signal; `None` for the runtime's default.
pub fn of_cri(signal: Signal) -> Option<i32> {
    let name = signal.as_str_name().strip_prefix("SIGNAL_")?;
    number(&name.replace("PLUS", "+").replace("MINUS", "-"))
}

/// The CRI value of a number; every number from 1 to 64 that has a name has one.
pub fn to_cri(number: i32) -> Signal {
    (1..=65)
        .filter_map(|value| Signal::try_from(value).ok())
        .find(|signal| of_cri(*signal) == Some(number))
        .unwrap_or(Signal::RuntimeDefault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_of_cri_has_a_number_and_comes_back() {
        for value in 1..=65 {
            let signal = Signal::try_from(value).unwrap();
            let number = of_cri(signal).unwrap_or_else(|| panic!("{signal:?} has no number"));
            assert_eq!(of_cri(to_cri(number)), Some(number));
        }
        assert_eq!(of_cri(Signal::RuntimeDefault), None);
    }

    #[test]
    fn names_of_images_are_understood_however_they_are_written() {
        let table = [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGNOPE", None),
            ("0", None),
            ("65", None),
            ("RTMIN+31", None),
            ("RTMAX-99999999999", None),
            ("", None),
        ];
        for (name, wanted) in table {
            assert_eq!(number(name), wanted, "{name}");
        }
    }
}
