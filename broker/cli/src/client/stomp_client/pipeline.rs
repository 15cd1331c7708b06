//! STOMP without waiting: many messages under way at once.

use model::qos::Qos;
use stomp::frame::{Command, Frame};

use super::{LIMITS, StompClient, judge, received, send_frame};
use crate::failure::Failure;
use crate::message::{Heard, Publication};

impl StompClient {
    /// SEND; from QoS 1 on, `tag` comes back with its receipt.
    pub(crate) fn post(&mut self, publication: &Publication, tag: u64) {
        let mut frame = send_frame(publication);
        if publication.qos != Qos::AtMostOnce {
            self.receipts += 1;
            frame = frame.with("receipt", format!("p{}", self.receipts));
            self.under_way.insert(self.receipts, tag);
        }
        self.send(&frame);
    }

    /// What came already: the next message, which is acknowledged by that, or receipt.
    pub(crate) fn hear(&mut self) -> Result<Option<Heard>, Failure> {
        loop {
            let frame = match self.early.pop_front() {
                Some(frame) => frame,
                None => {
                    let decoded = self.decoder.decode(&mut self.wire.incoming, &LIMITS, self.version);
                    match decoded
                        .map_err(|error| Failure::runtime(format!("the broker sent no STOMP: {error}")))?
                    {
                        Some(frame) => frame,
                        None => return Ok(None),
                    }
                }
            };
            if frame.command == Command::Message {
                let message = received(frame, self.version, self.acknowledges);
                self.settle(&message);
                return Ok(Some(Heard::Message(message)));
            }
            if frame.command == Command::Error {
                return Err(judge("the connection ended", &frame));
            }
            let receipt = number(&frame).filter(|_| frame.command == Command::Receipt);
            if let Some(tag) = receipt.and_then(|number| self.under_way.remove(&number)) {
                return Ok(Some(Heard::Acknowledged(tag)));
            }
        }
    }

    /// Sends what is to be sent, then waits until something more came; may be cancelled.
    pub(crate) async fn exchange(&mut self) -> Result<(), Failure> {
        self.wire.exchange().await
    }

    /// Sends what is to be sent.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.wire.flush().await.map_err(|error| Failure::runtime(error.to_string()))
    }
}

/// Of a publication's receipt.
fn number(receipt: &Frame) -> Option<u64> {
    receipt.header("receipt-id")?.strip_prefix('p')?.parse().ok()
}
