use super::*;

fn bytes(records: &[Record]) -> Vec<u8> {
    let mut buffer = Vec::new();
    records.iter().for_each(|record| Report::encode(record, &mut buffer).expect("encode"));
    buffer
}

fn step(name: &str) -> StepTime {
    StepTime { name: name.to_owned(), nanos: 5 }
}

fn failure() -> Failure {
    Failure { step: "mount".to_owned(), object: "/proc".to_owned(), errno: libc::EPERM }
}

#[test]
fn the_end_after_executing_is_success() {
    let bytes = bytes(&[Record::Done(step("one")), Record::Done(step("two")), Record::Executing { at: 9 }]);
    let outcome = Report::decode(&bytes).expect("decode");
    assert_eq!(outcome.executing, Some(9));
    let steps = outcome.into_result().expect("success");
    assert_eq!(steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["one", "two", "execute"]);
}

#[test]
fn a_failure_counts_before_and_after_executing() {
    for records in [
        vec![Record::Done(step("one")), Record::Failed(failure())],
        vec![Record::Executing { at: 9 }, Record::Failed(failure())],
    ] {
        let outcome = Report::decode(&bytes(&records)).expect("decode");
        assert_eq!(outcome.into_result().expect_err("failure"), failure());
    }
}

#[test]
fn silence_is_a_failure() {
    for records in [vec![], vec![Record::Done(step("one"))]] {
        let outcome = Report::decode(&bytes(&records)).expect("decode");
        assert_eq!(outcome.into_result().expect_err("failure").errno, 0);
    }
}

#[test]
fn a_torn_report_is_an_error_that_says_where() {
    let whole = bytes(&[Record::Done(step("one"))]);
    let torn = bytes(&[Record::Done(step("one")), Record::Failed(failure())]);
    let error = Report::decode(&torn[..torn.len() - 1]).expect_err("torn");
    assert_eq!(error.offset, whole.len());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = Report::decode(&bytes).map(Outcome::into_result);
    }
}
