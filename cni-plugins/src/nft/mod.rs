//! nftables over netlink, as far as the plugins need it: no `nft` process, no rule text.
//!
//! Owns: the encoding of tables, chains, rules, sets and their elements, the transaction, and the owner that is
//! written into an element. What the tables mean is the business of the plugin they belong to.
//!
//! Both of our tables have a fixed skeleton (chains, rules, sets) and vary in set elements only: a pod costs elements,
//! never rules, and a packet meets the same few rules however many pods there are.

pub mod element;
pub mod expression;
pub mod message;
pub mod owner;
pub mod transaction;

pub use element::Element;
pub use expression::Expression;
pub use owner::Owner;
pub use transaction::{Error, Tables};
