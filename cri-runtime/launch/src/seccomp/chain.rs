//! Rules with conditions on arguments: one after the other until one holds.
//!
//! The accumulator has 32 bits and arguments have 64, so that each comparison is of the high half first and of the low
//! half where the high halves are equal.

use crate::plan::SockFilter;

use super::assemble::{
    AND, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD, RETURN, argument_low, jump, statement,
};
use super::{Action, Compare, Condition};

/// Rules of one call, tried in order, then the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) links: Vec<(Vec<Condition>, Action)>,
    pub(super) default: Action,
}

impl Chain {
    /// The code; every way through it ends by returning.
    pub(super) fn code(&self) -> Vec<SockFilter> {
        let mut code = Vec::new();
        for (conditions, action) in &self.links {
            code.extend(link(conditions, *action));
        }
        code.push(statement(RETURN, self.default.value()));
        code
    }
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    Next,
    /// Behind this comparison: it holds.
    Holds,
    /// Behind this link: it does not hold.
    Fails,
}

type Draft = (u16, u32, To, To);

fn link(conditions: &[Condition], action: Action) -> Vec<SockFilter> {
    let drafts: Vec<Vec<Draft>> = conditions.iter().map(compare).collect();
    // Six conditions of at most seven instructions: every distance within a link fits into 8 bits.
    let length: usize = drafts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for draft in drafts {
        let end = code.len() + draft.len();
        for (operation, k, yes, no) in draft {
            let after = code.len() + 1;
            let distance = |to| match to {
                To::Next => 0,
                To::Holds => (end - after) as u8,
                To::Fails => (length - after) as u8,
            };
            code.push(jump(operation, k, distance(yes), distance(no)));
        }
    }
    code.push(statement(RETURN, action.value()));
    code
}

fn compare(condition: &Condition) -> Vec<Draft> {
    use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Masked, NotEqual};
    let low = argument_low(condition.argument);
    let load = |offset| (LOAD, offset, To::Next, To::Next);
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let (load_high, load_low) = (load(low + 4), load(low));
    match condition.compare {
        Equal(value) => {
            let (high, low) = halves(value);
            vec![
                load_high,
                (JUMP_EQUAL, high, To::Next, To::Fails),
                load_low,
                (JUMP_EQUAL, low, To::Holds, To::Fails),
            ]
        }
        NotEqual(value) => {
            let (high, low) = halves(value);
            vec![
                load_high,
                (JUMP_EQUAL, high, To::Next, To::Holds),
                load_low,
                (JUMP_EQUAL, low, To::Fails, To::Holds),
            ]
        }
        Greater(value) => above(value, JUMP_GREATER, load_high, load_low, To::Holds, To::Fails),
        GreaterOrEqual(value) => {
            above(value, JUMP_GREATER_OR_EQUAL, load_high, load_low, To::Holds, To::Fails)
        }
        Less(value) => above(value, JUMP_GREATER_OR_EQUAL, load_high, load_low, To::Fails, To::Holds),
        LessOrEqual(value) => above(value, JUMP_GREATER, load_high, load_low, To::Fails, To::Holds),
        Masked { mask, value } => {
            let ((mask_high, mask_low), (high, low)) = (halves(mask), halves(value));
            vec![
                load_high,
                (AND, mask_high, To::Next, To::Next),
                (JUMP_EQUAL, high, To::Next, To::Fails),
                load_low,
                (AND, mask_low, To::Next, To::Next),
                (JUMP_EQUAL, low, To::Holds, To::Fails),
            ]
        }
    }
}

/// Greater, or greater or equal by the test of the low half; less is the same with the outcomes exchanged.
fn above(value: u64, low_test: u16, load_high: Draft, load_low: Draft, yes: To, no: To) -> Vec<Draft> {
    let (high, low) = ((value >> 32) as u32, value as u32);
    vec![
        load_high,
        (JUMP_GREATER, high, yes, To::Next),
        (JUMP_EQUAL, high, To::Next, no),
        load_low,
        (low_test, low, yes, no),
    ]
}
