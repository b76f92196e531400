//! The planner against a simulated runtime: tables of stories, and random ones.

mod random;
mod stories;
mod world;
