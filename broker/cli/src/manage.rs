//! Manage: what a broker that runs tells of itself, and what it is told to have

mod arguments;
mod ask;
pub(crate) mod bans;
pub(crate) mod definitions;
pub(crate) mod explain;
pub(crate) mod list;
mod place;
pub(crate) mod policies;
pub(crate) mod replay;
pub(crate) mod show;
mod table;
pub(crate) mod tell;
pub(crate) mod topology;
mod vhosts;
