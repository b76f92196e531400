use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, container, spec};
use crate::plan::{Action, RestartPolicy, Role, Spec, Stage, plan};

fn policy() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![Just(RestartPolicy::Always), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Never)]
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let roles = prop::collection::vec(prop_oneof![Just(Role::Init), Just(Role::Sidecar)], 0..4);
    (policy(), roles, 1..4_usize, any::<bool>()).prop_map(|(restart, roles, regular, remove)| {
        let inherited = if restart == RestartPolicy::Always { RestartPolicy::OnFailure } else { restart };
        let before = roles.into_iter().enumerate().map(|(index, role)| {
            let restart = if role == Role::Sidecar { RestartPolicy::Always } else { inherited };
            container(&format!("i{index}"), role, restart)
        });
        let after = (0..regular).map(|index| container(&format!("c{index}"), Role::Regular, restart));
        let containers = before.chain(after).collect();
        Spec { remove, ..spec(restart, containers) }
    })
}

/// One thing that happens to a pod.
#[derive(Clone, Debug)]
enum Event {
    /// Ask the planner and start what it says.
    Plan,
    /// An action under way succeeds or fails.
    Finish { which: usize, succeed: bool },
    /// A running container ends.
    Exit { which: usize, code: i32 },
    /// The newest sandbox dies.
    SandboxDies,
    /// Time goes on.
    Wait { millis: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Plan),
        8 => (any::<usize>(), prop::bool::weighted(0.85)).prop_map(|(which, succeed)| Event::Finish { which, succeed }),
        3 => (any::<usize>(), prop_oneof![Just(0), Just(1), Just(137)])
            .prop_map(|(which, code)| Event::Exit { which, code }),
        1 => Just(Event::SandboxDies),
        2 => (1..400_000_u64).prop_map(|millis| Event::Wait { millis }),
    ]
}

struct Play {
    world: World,
    under_way: Vec<Action>,
}

impl Play {
    fn plan(&mut self) {
        let decision = self.world.decide();
        for action in decision.actions {
            self.world.launch(&action);
            self.under_way.push(action);
        }
        // Everything was started; asking again must not find more to do.
        let again = plan(&self.world.spec, &self.world.observed, self.world.now);
        assert_eq!(again.actions, [], "the same question has another answer");
    }

    fn finish(&mut self, which: usize, succeed: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let action = self.under_way.remove(which % self.under_way.len());
        // A stop that was overtaken leaves the shorter one under way.
        let overtaken = self.under_way.iter().any(|other| other.object() == action.object());
        if overtaken {
            return;
        }
        if succeed { self.world.succeed(&action) } else { self.world.fail(&action, Duration::from_secs(10)) }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Plan => self.plan(),
            Event::Finish { which, succeed } => self.finish(*which, *succeed),
            Event::Exit { which, code } => {
                let running: Vec<String> = self.world.running().iter().map(|&name| name.to_owned()).collect();
                if let Some(name) = running.get(which % running.len().max(1)) {
                    self.world.exit(name, *code);
                }
            }
            Event::SandboxDies => {
                if let Some(sandbox) =
                    self.world.observed.sandboxes.iter_mut().max_by_key(|sandbox| sandbox.attempt)
                {
                    sandbox.ready = false;
                }
            }
            Event::Wait { millis } => self.world.advance(Duration::from_millis(*millis)),
        }
    }
}

proptest! {
    /// The rules that hold at every start are asserted by the world itself: no second instance, no start before the
    /// init containers, in a dead sandbox, without volumes, or in a pod that ends.
    #[test]
    fn whatever_happens_the_rules_hold_and_a_stop_ends_everything(
        spec in any_spec(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut play = Play { world: World::new(spec), under_way: Vec::new() };
        for event in &events {
            play.happen(event);
        }
        play.world.ask_to_stop(Duration::from_secs(30));
        let mut turns = 0;
        loop {
            play.plan();
            if play.world.stage() == Stage::Terminated && play.under_way.is_empty() {
                break;
            }
            while !play.under_way.is_empty() {
                play.finish(0, true);
            }
            play.world.advance(Duration::from_secs(11));
            turns += 1;
            prop_assert!(turns < 50, "the pod does not end: {:?}", play.world.observed);
        }
        prop_assert!(play.world.running().is_empty());
        prop_assert!(!play.world.busy_containers());
        if play.world.spec.remove {
            prop_assert!(play.world.observed.sandboxes.is_empty());
            prop_assert!(play.world.observed.instances.is_empty());
        }
    }

    /// A decision depends on nothing but its arguments.
    #[test]
    fn the_same_question_has_the_same_answer(spec in any_spec(), events in prop::collection::vec(event(), 0..40)) {
        let mut play = Play { world: World::new(spec), under_way: Vec::new() };
        for event in &events {
            play.happen(event);
            let (spec, observed, now) = (&play.world.spec, &play.world.observed, play.world.now);
            prop_assert_eq!(plan(spec, observed, now), plan(spec, observed, now));
        }
    }
}
