//! Shapes: exchanges, queues, bindings and policies as RabbitMQ's JSON has them, read and written

pub(crate) mod arguments;
pub(crate) mod binding;
pub(crate) mod exchange;
pub(crate) mod policy;
pub(crate) mod queue;
