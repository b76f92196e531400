//! Reading the logs that a runtime writes for containers.

mod follow;
mod line;
mod print;

pub use follow::{Attempt, follow};
pub use line::{Line, LineReader};
pub use print::Printer;
