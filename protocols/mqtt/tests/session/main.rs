//! Sessions as lists of calls: bytes, events and deliveries in; requests, bytes and a reason to close out.

mod anything;
mod connecting;
mod delivering;
mod driver;
mod leaving;
mod proving;
mod publishing;
mod redirecting;
mod subscribing;
