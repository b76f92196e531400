//! Putting what the runtime says into what the worker knows (K-PLEG-2).
//!
//! A list that was asked for before an action's result came in is older than that result. So nothing ever goes
//! backwards: an instance only moves along created, running, exited, and one that was removed stays removed.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Exit, Instance, Moment, Observed, Sandbox, State};
use crate::runtime::PodView;

/// Counts results; an observation carries the count from before it was asked for.
pub(super) type Generation = u64;

/// What is needed beside [`Observed`] to merge safely.
#[derive(Debug, Default)]
pub(super) struct View {
    removed: BTreeSet<String>,
    known_since: BTreeMap<String, Generation>,
}

fn rank(state: &State) -> u8 {
    match state {
        State::Created => 0,
        State::Unknown => 1,
        State::Running { .. } => 2,
        State::Exited(_) => 3,
    }
}

impl View {
    /// Adds a sandbox that an action made.
    pub fn add_sandbox(&mut self, observed: &mut Observed, sandbox: Sandbox, generation: Generation) {
        self.known_since.insert(sandbox.id.clone(), generation);
        observed.sandboxes.retain(|known| known.id != sandbox.id);
        observed.sandboxes.push(sandbox);
    }

    /// Adds or advances an instance; true if that changed anything.
    pub fn advance(&mut self, observed: &mut Observed, instance: Instance, generation: Generation) -> bool {
        if self.removed.contains(&instance.id) {
            return false;
        }
        self.known_since.entry(instance.id.clone()).or_insert(generation);
        let Some(known) = observed.instances.iter_mut().find(|known| known.id == instance.id) else {
            observed.instances.push(instance);
            return true;
        };
        // Unknown is the one state that may follow running: the runtime lost track.
        let lost = matches!((&known.state, &instance.state), (State::Running { .. }, State::Unknown));
        if rank(&instance.state) <= rank(&known.state) && !lost {
            return false;
        }
        known.state = instance.state;
        true
    }

    /// Forgets a sandbox or an instance that an action removed.
    pub fn remove(&mut self, observed: &mut Observed, id: &str) {
        self.removed.insert(id.to_owned());
        self.known_since.remove(id);
        observed.instances.retain(|instance| instance.id != id);
        observed.sandboxes.retain(|sandbox| sandbox.id != id);
    }

    /// Merges a list asked for at `generation`; true if that changed anything.
    pub fn merge(
        &mut self,
        observed: &mut Observed,
        seen: PodView,
        generation: Generation,
        now: Moment,
    ) -> bool {
        let mut changed = false;
        for known in &mut observed.sandboxes {
            let found = seen.sandboxes.iter().find(|sandbox| sandbox.id == known.id);
            match found {
                Some(found) => {
                    changed |= known.ready && !found.ready;
                    known.ready &= found.ready;
                }
                None if self.was_known(&known.id, generation) && !known.stopped => {
                    changed = true;
                    (known.ready, known.stopped) = (false, true);
                }
                None => {}
            }
        }
        for sandbox in seen.sandboxes {
            let known = observed.sandboxes.iter().any(|known| known.id == sandbox.id);
            if !known && !self.removed.contains(&sandbox.id) {
                changed = true;
                self.add_sandbox(observed, sandbox, generation);
            }
        }
        let listed: BTreeSet<String> = seen.instances.iter().map(|instance| instance.id.clone()).collect();
        for instance in seen.instances {
            changed |= self.advance(observed, instance, generation);
        }
        let gone = |known: &Instance| !listed.contains(&known.id) && self.was_known(&known.id, generation);
        for known in observed.instances.iter_mut().filter(|known| known.alive() && gone(known)) {
            changed = true;
            known.state = State::Exited(Exit {
                code: 137,
                finished_at: now,
                reason: "ContainerStatusUnknown".to_owned(),
                message: "The container could not be located when the pod was looked at".to_owned(),
            });
        }
        let before = observed.instances.len();
        observed.instances.retain(|known| known.state != State::Created || !gone(known));
        changed | (observed.instances.len() != before)
    }

    fn was_known(&self, id: &str, generation: Generation) -> bool {
        self.known_since.get(id).is_some_and(|since| *since <= generation)
    }
}

#[cfg(test)]
mod tests;
