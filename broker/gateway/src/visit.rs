//! Visit: a connection as its task holds it, from its first byte to its last

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::connection::Connection;

/// What a task has of its connection.
///
/// No `async fn`: that keeps the room of all it ever holds for as long as the client stays, and a task is as large as that,
/// rounded up to the next multiple of 128 bytes. Here each stage has its own memory, and gives it back.
pub(crate) enum Visit {
    /// It is being found out who that is.
    Coming(Coming),
    /// There.
    Here(Box<Connection>),
    /// The last words are on their way.
    Leaving(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Over.
    Gone,
}

/// Ready with whoever came, or with nobody.
pub(crate) type Coming = Pin<Box<dyn Future<Output = Option<Box<Connection>>> + Send>>;

impl Future for Visit {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let visit = self.get_mut();
        loop {
            match visit {
                Self::Coming(coming) => match ready!(coming.as_mut().poll(cx)) {
                    Some(connection) => *visit = Self::Here(connection),
                    None => *visit = Self::Gone,
                },
                Self::Here(connection) => {
                    let hangup = ready!(connection.poll(cx));
                    if let Self::Here(connection) = std::mem::replace(visit, Self::Gone) {
                        *visit = Self::Leaving(Box::pin(connection.say_goodbye(hangup)));
                    }
                }
                Self::Leaving(leaving) => {
                    ready!(leaving.as_mut().poll(cx));
                    *visit = Self::Gone;
                }
                Self::Gone => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle client costs beside its session and its link. What tokio keeps of a task beside that is 104 bytes, and both
    /// together are rounded up to a multiple of 128.
    #[test]
    fn a_connection_and_its_task_are_small() {
        let (visit, connection) = (size_of::<Visit>(), size_of::<Connection>());
        assert!(visit <= 24, "{visit}");
        assert!(connection <= 528, "{connection}");
    }
}
