use super::*;

#[test]
fn pressure_lines_are_read() {
    let parsed = parse_pressure(
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=123456\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=99",
    );
    assert_eq!(parsed.some, PressureLine { avg10: 1.5, avg60: 0.25, avg300: 0.0, total_us: 123_456 });
    assert_eq!(parsed.full.total_us, 99);
}

#[test]
fn a_kernel_without_the_full_line_of_the_cpu_is_read() {
    let parsed = parse_pressure("some avg10=1.50 avg60=0.25 avg300=0.00 total=7");
    assert_eq!((parsed.some.total_us, parsed.full), (7, PressureLine::default()));
}

#[test]
fn oom_kill_is_not_confused_with_oom_kill_disable() {
    let text = "oom_kill_disable 1\nunder_oom 0\noom_kill 3";
    assert_eq!(control::keyed(text, "oom_kill"), Some(3));
}
