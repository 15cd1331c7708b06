//! Shapes: exchanges, queues and bindings as RabbitMQ's JSON has them, read and written

pub(crate) mod arguments;
pub(crate) mod binding;
pub(crate) mod exchange;
pub(crate) mod queue;
