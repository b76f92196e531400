use super::View;
use crate::plan::{Exit, Instance, Moment, Observed, Sandbox, State};
use crate::runtime::PodView;

fn instance(state: State) -> Instance {
    Instance {
        id: "i1".to_owned(),
        name: "c".to_owned(),
        attempt: 0,
        sandbox: "s1".to_owned(),
        hash: String::new(),
        state,
    }
}

fn exited() -> State {
    State::Exited(Exit { code: 0, finished_at: Moment(5), reason: String::new(), message: String::new() })
}

fn running() -> State {
    State::Running { started_at: Moment(1) }
}

fn seen(states: Vec<State>) -> PodView {
    PodView { sandboxes: Vec::new(), instances: states.into_iter().map(instance).collect() }
}

#[test]
fn a_list_older_than_a_result_takes_nothing_back() {
    let (mut view, mut observed) = (View::default(), Observed::default());
    view.advance(&mut observed, instance(exited()), 5);
    assert!(
        !view.merge(&mut observed, seen(vec![running()]), 4, Moment(9)),
        "it was running when the list was asked for"
    );
    assert_eq!(observed.instances[0].state, exited());
    assert!(
        !view.merge(&mut observed, seen(vec![]), 4, Moment(9)),
        "it did not exist when the list was asked for"
    );
    assert_eq!(observed.instances.len(), 1);
}

#[test]
fn what_was_removed_does_not_come_back() {
    let (mut view, mut observed) = (View::default(), Observed::default());
    view.advance(&mut observed, instance(exited()), 1);
    view.remove(&mut observed, "i1");
    assert!(!view.merge(&mut observed, seen(vec![exited()]), 1, Moment(9)));
    assert!(observed.instances.is_empty());
}

#[test]
fn a_running_instance_that_vanished_counts_as_killed() {
    let (mut view, mut observed) = (View::default(), Observed::default());
    view.advance(&mut observed, instance(running()), 1);
    assert!(view.merge(&mut observed, seen(vec![]), 1, Moment(9)));
    let State::Exited(exit) = &observed.instances[0].state else { panic!("{:?}", observed.instances) };
    assert_eq!(
        (exit.code, exit.finished_at, exit.reason.as_str()),
        (137, Moment(9), "ContainerStatusUnknown")
    );
}

#[test]
fn a_sandbox_that_died_or_vanished_is_not_ready() {
    let sandbox = |ready| Sandbox {
        id: "s1".to_owned(),
        attempt: 0,
        ready,
        stopped: false,
        addresses: Vec::new(),
        host_network: false,
    };
    let (mut view, mut observed) = (View::default(), Observed::default());
    view.add_sandbox(&mut observed, sandbox(true), 3);
    assert!(
        !view.merge(&mut observed, PodView::default(), 2, Moment(9)),
        "the list is older than the sandbox"
    );
    let dead = PodView { sandboxes: vec![sandbox(false)], instances: Vec::new() };
    assert!(view.merge(&mut observed, dead, 3, Moment(9)));
    assert!(!observed.sandboxes[0].ready && !observed.sandboxes[0].stopped);
    assert!(view.merge(&mut observed, PodView::default(), 3, Moment(9)));
    assert!(observed.sandboxes[0].stopped, "nothing is left to stop");
}
