//! Decides what happens: joins routing, storage and access control.
//!
//! A [`link::Link`] is the broker's end of one connection. What a session asks goes through it to `publish`, `settle`,
//! `subscribe` and `registry`; what a queue gives up is a `plan` with a `dead_letter`; what must last goes through `durable` to the journal first. One law stands over all of
//! them: **persist, then show, then acknowledge.**

pub mod broker;
mod browse;
pub mod definitions;
pub mod link;
pub mod policy;

mod attached;
mod authors;
mod bans;
mod caretaker;
mod client;
mod clock;
mod commands;
mod core;
mod crowd;
mod dead_letter;
mod delayed;
mod due;
mod durable;
mod equivalence;
mod expiry;
mod explain;
mod foresee;
mod foundation;
mod gauge;
mod govern;
mod inquiry;
mod inspect;
mod levels;
mod load;
mod mailbox;
mod numbers;
mod overdue;
mod parked;
mod parts;
mod plan;
mod policies;
mod presence;
mod pressure;
mod publications;
mod publish;
mod recovery;
mod registry;
mod replay;
mod rest;
mod rights;
mod settle;
mod subscribe;
mod system_topics;
mod timers;
mod topology;
mod unfinished;
mod unreleased;
mod unroutable;
mod users;
mod vhost;
mod vhosts;
mod wheel;
mod wills;

pub use crate::broker::Broker;
pub use crate::browse::{Browsed, Portion, Replayed};
pub use crate::client::Arrival;
pub use crate::commands::{Commands, DeleteQueueIf};
pub use crate::definitions::{Definitions, Made, Objection};
pub use crate::explain::{AccessView, Explanation, ReachedView, StepView, Supposed, TriedView};
pub use crate::foresee::{BoundView, Foreseen, QueueForeseen, SupposedSubscription};
pub use crate::gauge::memory_limit_bytes;
pub use crate::inspect::{
    Amounts, BanView, BindingView, DelayedView, ExchangeView, Held, Inspect, Overview, Page, PolicyView,
    QueueView, SessionView, SubscriptionView, TermsView, UserView,
};
pub use crate::levels::{LevelRule, Levels};
pub use crate::link::Link;
pub use crate::policies::{CheckedPolicy, ConfiguredPolicy, Placed};
pub use crate::policy::{BanRules, Options, Threshold, Watermarks};
pub use crate::unroutable::UnroutableView;
pub use crate::vhosts::{Premises, VHOSTS_MAX, VhostError, VhostView, Vhosts};
pub use routing::{Pool, Resident};
