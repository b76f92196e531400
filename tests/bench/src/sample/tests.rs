use super::*;

fn samples(times: &[u64]) -> Samples {
    let mut samples = Samples::default();
    for time in times {
        samples.push(Duration::from_millis(*time), Some(Duration::from_millis(1)));
    }
    samples
}

#[test]
fn quantiles_are_numbers_that_were_measured() {
    let samples = samples(&[40, 10, 30, 20]);
    assert_eq!(samples.quantile(0.5), Some(20.0));
    assert_eq!(samples.quantile(0.95), Some(40.0));
    assert_eq!(samples.quantile(0.0), Some(10.0));
}

#[test]
fn one_sample_is_its_own_median_and_none_has_no_figure() {
    assert_eq!(samples(&[7]).figure().map(|figure| (figure.value, figure.min)), Some((7.0, Some(7.0))));
    assert_eq!(Samples::default().figure(), None);
}

#[test]
fn cpu_is_the_mean() {
    let mut samples = samples(&[1]);
    samples.push(Duration::ZERO, Some(Duration::from_millis(3)));
    assert_eq!(samples.mean_cpu(), Some(2.0));
}
