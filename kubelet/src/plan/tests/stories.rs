use std::time::Duration;

use super::world::{World, container, exited, spec};
use crate::plan::RestartPolicy::{Always, Never, OnFailure};
use crate::plan::Role::{Init, Regular, Sidecar};
use crate::plan::{Action, Phase, Stage, State, phase};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn started(world: &World) -> Vec<&str> {
    let starts = world.done.iter().filter_map(|action| match action {
        Action::StartContainer { container, .. } => Some(container.as_str()),
        _ => None,
    });
    starts.collect()
}

fn stopped(world: &World) -> Vec<&str> {
    let name =
        |id: &String| world.observed.instances.iter().find(|i| i.id == *id).map_or("?", |i| i.name.as_str());
    let stops = world.done.iter().filter_map(|action| match action {
        Action::StopContainer { id, .. } => Some(name(id)),
        _ => None,
    });
    stops.collect()
}

#[test]
fn init_containers_run_one_by_one_and_regular_ones_together() {
    let containers = vec![
        container("i1", Init, OnFailure),
        container("i2", Init, OnFailure),
        container("a", Regular, Always),
        container("b", Regular, Always),
    ];
    let mut world = World::new(spec(Always, containers));
    world.settle();
    assert_eq!(world.running(), ["i1"]);
    assert_eq!(phase(&world.spec, &world.observed), Phase::Pending);
    world.exit("i1", 0);
    world.settle();
    assert_eq!(world.running(), ["i2"]);
    world.exit("i2", 0);
    world.settle();
    assert_eq!(world.running(), ["a", "b"]);
    assert_eq!(phase(&world.spec, &world.observed), Phase::Running);
}

#[test]
fn a_failing_init_container_is_tried_again_or_ends_the_pod() {
    let mut world =
        World::new(spec(Always, vec![container("i", Init, OnFailure), container("a", Regular, Always)]));
    world.settle();
    world.exit("i", 1);
    world.settle();
    assert_eq!(started(&world), ["i", "i"]);
    let mut world =
        World::new(spec(Never, vec![container("i", Init, Never), container("a", Regular, Never)]));
    world.settle();
    world.exit("i", 1);
    let decision = world.settle();
    assert_eq!(decision.stage, Stage::Terminated);
    assert_eq!(started(&world), ["i"]);
}

#[test]
fn a_container_that_exits_at_once_starts_at_0_0_10_30_70_150_310() {
    let mut world = World::new(spec(Always, vec![container("a", Regular, Always)]));
    let begin = world.now;
    let mut starts = Vec::new();
    for _ in 0..7 {
        let decision = world.settle();
        if world.running().is_empty() {
            let wake = decision.wake_at.expect("a time to wake at");
            world.advance(wake.since(world.now));
            world.settle();
        }
        starts.push(world.now.since(begin).as_secs());
        world.exit("a", 0);
    }
    assert_eq!(starts, [0, 0, 10, 30, 70, 150, 310], "exit code 0 counts too");
}

#[test]
fn one_millisecond_before_its_time_a_container_is_not_restarted() {
    let mut world = World::new(spec(Always, vec![container("a", Regular, Always)]));
    for _ in 0..2 {
        world.settle();
        world.exit("a", 1);
    }
    world.advance(Duration::from_millis(9_999));
    assert!(world.settle().actions.is_empty());
    assert!(world.running().is_empty());
    world.advance(Duration::from_millis(1));
    world.settle();
    assert_eq!(world.running(), ["a"]);
}

#[test]
fn phases_follow_the_restart_policy() {
    let table = [
        (Never, [0, 0], Stage::Terminated, Phase::Succeeded),
        (Never, [0, 3], Stage::Terminated, Phase::Failed),
        (OnFailure, [0, 0], Stage::Terminated, Phase::Succeeded),
        (OnFailure, [0, 3], Stage::Syncing, Phase::Running),
        (Always, [0, 0], Stage::Syncing, Phase::Running),
    ];
    for (policy, codes, stage, expected) in table {
        let containers = vec![container("a", Regular, policy), container("b", Regular, policy)];
        let mut world = World::new(spec(policy, containers));
        world.spec.remove = false;
        world.settle();
        world.exit("a", codes[0]);
        world.exit("b", codes[1]);
        assert_eq!(world.settle().stage, stage, "{policy:?} {codes:?}");
        assert_eq!(phase(&world.spec, &world.observed), expected, "{policy:?} {codes:?}");
    }
}

#[test]
fn a_sidecar_stays_until_the_regular_containers_are_done_and_ends_last() {
    let containers = vec![
        container("s1", Sidecar, Always),
        container("i", Init, OnFailure),
        container("s2", Sidecar, Always),
        container("a", Regular, Never),
    ];
    let mut world = World::new(spec(Never, containers));
    world.spec.remove = false;
    world.settle();
    assert_eq!(world.running(), ["i", "s1"]);
    world.exit("i", 0);
    world.settle();
    assert_eq!(world.running(), ["a", "s1", "s2"]);
    world.exit("s1", 1);
    world.settle();
    assert_eq!(
        world.running(),
        ["a", "s1", "s2"],
        "it is restarted although the pod never restarts anything"
    );
    world.exit("a", 0);
    assert_eq!(world.settle().stage, Stage::Terminated);
    assert_eq!(stopped(&world), ["s2", "s1"]);
    assert_eq!(phase(&world.spec, &world.observed), Phase::Succeeded);
}

#[test]
fn an_end_that_is_asked_for_stops_containers_before_sandbox_and_volumes() {
    let mut world =
        World::new(spec(Always, vec![container("a", Regular, Always), container("b", Regular, Always)]));
    world.settle();
    world.done.clear();
    world.ask_to_stop(seconds(30));
    let decision = world.decide();
    let deadline = world.now + seconds(30);
    let stops = decision
        .actions
        .iter()
        .all(|a| matches!(a, Action::StopContainer { deadline: d, .. } if *d == deadline));
    assert!(stops && decision.actions.len() == 2, "{:?}", decision.actions);
    assert_eq!(world.settle().stage, Stage::Terminated);
    let kinds: Vec<&str> = world
        .done
        .iter()
        .map(|action| match action {
            Action::StopContainer { .. } => "stop",
            Action::StopSandbox { .. } => "sandbox",
            Action::TeardownVolumes => "volumes",
            Action::RemoveContainer { .. } | Action::RemoveSandbox { .. } => "remove",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["stop", "stop", "sandbox", "volumes", "remove", "remove", "remove"]);
    assert!(world.observed.sandboxes.is_empty() && world.observed.instances.is_empty());
}

#[test]
fn asking_twice_brings_the_end_forward_and_never_back() {
    let mut world = World::new(spec(Always, vec![container("a", Regular, Always)]));
    world.settle();
    world.ask_to_stop(seconds(30));
    let first = world.decide().actions;
    first.iter().for_each(|action| world.launch(action));
    assert!(world.decide().actions.is_empty(), "a stop under way is not repeated");
    world.ask_to_stop(Duration::ZERO);
    let now = world.now;
    let again = world.decide().actions;
    assert!(matches!(&again[..], [Action::StopContainer { deadline, .. }] if *deadline == now), "{again:?}");
    again.iter().for_each(|action| world.launch(action));
    world.ask_to_stop(seconds(60));
    assert!(world.decide().actions.is_empty());
}

#[test]
fn a_dead_sandbox_is_replaced_and_init_containers_run_again() {
    let mut world =
        World::new(spec(Always, vec![container("i", Init, OnFailure), container("a", Regular, Always)]));
    world.settle();
    world.exit("i", 0);
    world.settle();
    world.observed.sandboxes[0].ready = false;
    world.settle();
    assert_eq!(world.running(), ["i"], "the regular container of the dead sandbox was ended");
    assert_eq!(world.observed.newest_sandbox().map(|sandbox| sandbox.attempt), Some(1));
    world.exit("i", 0);
    world.settle();
    assert_eq!(world.running(), ["a"]);
}

#[test]
fn a_pod_that_never_restarts_ends_with_its_sandbox() {
    let mut world = World::new(spec(Never, vec![container("a", Regular, Never)]));
    world.spec.remove = false;
    world.settle();
    world.observed.sandboxes[0].ready = false;
    assert_eq!(world.settle().stage, Stage::Terminated);
    assert_eq!(started(&world), ["a"]);
    assert_eq!(phase(&world.spec, &world.observed), Phase::Failed);
}

#[test]
fn a_lost_instance_is_ended_before_another_one_starts() {
    let mut world = World::new(spec(Always, vec![container("a", Regular, Always)]));
    world.settle();
    world.observed.instances[0].state = State::Unknown;
    let decision = world.decide();
    assert!(matches!(&decision.actions[..], [Action::StopContainer { .. }]), "{:?}", decision.actions);
    world.settle();
    assert_eq!(started(&world), ["a", "a"]);
}

#[test]
fn another_image_restarts_the_container_in_place() {
    let mut world = World::new(spec(Never, vec![container("a", Regular, Never)]));
    world.settle();
    world.spec.containers[0].hash = "other".to_owned();
    let decision = world.decide();
    assert!(matches!(&decision.actions[..], [Action::StopContainer { .. }]), "{:?}", decision.actions);
}

#[test]
fn of_old_instances_one_is_kept() {
    let mut world = World::new(spec(Always, vec![container("a", Regular, Always)]));
    for _ in 0..5 {
        world.settle();
        world.exit("a", 1);
        world.advance(seconds(301));
    }
    world.settle();
    let attempts: Vec<u32> = world.observed.instances.iter().map(|instance| instance.attempt).collect();
    assert_eq!(attempts, [4, 5]);
}

#[test]
fn a_created_instance_that_never_ran_is_followed_by_the_next() {
    let mut world = World::new(spec(Always, vec![container("a", Regular, Always)]));
    world.settle();
    world.observed.instances[0].state = State::Created;
    world.settle();
    assert_eq!(world.running(), ["a"]);
    assert_eq!(world.observed.latest("a").map(|latest| latest.attempt), Some(1));
    world.observed.instances[0].state = exited(1, world.now);
}
