use super::*;

fn row(measure: &str, ours: Option<f64>, peer: Option<f64>) -> Row {
    Row {
        measure: measure.to_owned(),
        unit: "ms",
        ours: ours.map(Figure::from),
        peer: peer.map(Figure::from),
        floor: None,
    }
}

#[test]
fn a_row_has_the_keys_that_later_comparisons_look_for() {
    let json = row("ExecSync", Some(2.0), Some(16.0)).json();
    assert_eq!(json["ratio"], 0.125);
    assert_eq!(
        (&json["measure"], &json["unit"], &json["floor"]),
        (&json!("ExecSync"), &json!("ms"), &Value::Null)
    );
}

#[test]
fn a_side_that_was_not_measured_has_no_ratio() {
    assert_eq!(row("x", Some(2.0), None).json()["ratio"], Value::Null);
    assert_eq!(row("x", Some(2.0), Some(0.0)).json()["ratio"], Value::Null);
}

#[test]
fn only_measures_that_are_asked_for_are_taken() {
    let mut report = Report::new(Some("execsync".to_owned()));
    assert!(report.wants(&["pull", "ExecSync 10-way"]) && !report.wants(&["pull"]));
    report.push(row("ExecSync true", None, None));
    report.push(row("pull", None, None));
    assert_eq!(report.rows.len(), 1);
}

#[test]
fn numbers_keep_three_digits() {
    let cells = [0.123, 1.234, 12.34, 1234.5].map(|value| cell(Some(value)));
    assert_eq!(cells, ["0.12", "1.23", "12.3", "1234"]);
}

#[test]
fn what_failed_makes_the_run_fail() {
    let mut report = Report::new(None);
    assert!(report.complete());
    report.failed("pull", &anyhow::anyhow!("no registry"));
    assert!(!report.complete());
}
