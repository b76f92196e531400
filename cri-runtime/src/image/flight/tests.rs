use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[tokio::test]
async fn callers_of_one_key_share_one_run_and_one_may_leave() {
    let flights = Flights::<&str, u32, ()>::default();
    let (release, gate) = tokio::sync::oneshot::channel::<()>();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let first = flights.join("a", move || {
        let work = async move {
            gate.await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst) + 7
        };
        ((), work)
    });
    let second = flights.join("a", || -> ((), std::future::Ready<u32>) { panic!("started twice") });
    assert!(first.started && !second.started);
    drop(first);
    release.send(()).unwrap();
    assert_eq!(second.result.await, Some(7));
    assert_eq!(flights.join("a", || ((), async { 8 })).result.await, Some(8));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn work_that_panics_frees_its_key() {
    let flights = Flights::<u8, u32, ()>::default();
    assert_eq!(flights.join(1, || ((), async { panic!("boom") })).result.await, None);
    assert_eq!(flights.join(1, || ((), async { 2 })).result.await, Some(2));
}

#[test]
fn a_start_outside_a_runtime_panics_and_blocks_nobody() {
    let flights = Flights::<u8, u32, ()>::default();
    let join = || flights.join(1, || ((), async { 2 }));
    for _ in 0..2 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(join));
        assert!(outcome.is_err());
    }
}
