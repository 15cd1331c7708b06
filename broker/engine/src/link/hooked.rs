//! First the hook, where there is one, then the request.

use std::task::{Context, Poll};

use model::event::Event;
use model::request::Request;

use super::{Link, State, Turn};
use crate::inquiry::{Answer, Checked, Inquiry};

impl Link {
    /// Takes a request: at once, or once the hook has answered what was asked before, and what is asked about this.
    pub(super) fn begin(&mut self, request: Request, turn: &mut Turn<'_>) {
        match &mut self.inquiry {
            None => self.handle(request, turn),
            Some(inquiry) if inquiry.is_asking() => inquiry.hold(request),
            Some(_) => self.inquire(request, turn),
        }
    }

    fn inquire(&mut self, mut request: Request, turn: &mut Turn<'_>) {
        let (Some(inquiry), State::In(member)) = (&mut self.inquiry, &self.state) else {
            return self.handle(request, turn);
        };
        let consumers = &member.consumers;
        inquiry.forget_consumers(consumers.len(), |id| consumers.has(*id));
        if !inquiry.heed(&mut request, &member.publisher.permissions) {
            return self.handle(request, turn);
        }
        let outlives = member.session.as_ref().is_some_and(|session| {
            session.state_for(self.id).is_some_and(|state| state.outlives_its_connection())
        });
        inquiry.ask(request, member.publisher.permissions.clone(), !outlives);
    }

    /// Goes on with what the hook has answered, and with what waits behind that.
    pub(super) fn poll_inquiry(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        if !self.is_asking() {
            return;
        }
        let mut turn = Turn::new(events);
        while let Some(inquiry) = &mut self.inquiry
            && let Poll::Ready(answer) = inquiry.poll(cx)
        {
            self.act(answer, &mut turn);
            while !self.is_asking()
                && let Some(request) = self.inquiry.as_mut().and_then(|inquiry| inquiry.next())
            {
                self.inquire(request, &mut turn);
            }
        }
        turn.wakes.flush();
        self.commit_removals();
    }

    fn act(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        match answer {
            Answer::Go(request) => self.handle(request, turn),
            Answer::Refused(event) => self.answer(event, turn),
            Answer::Subscribe(Checked { request, refused, names }) => {
                let names_max = self.core.parts.vhost.options.subscriptions_max;
                let inquiry = self.inquiry.as_mut();
                let over = inquiry.map(|inquiry| inquiry.rename(names, names_max)).unwrap_or_default();
                self.subscribe(request, over, refused, turn);
            }
        }
    }

    /// Whether a hook is being asked: until it has answered, what the client says waits.
    pub fn is_asking(&self) -> bool {
        self.inquiry.as_deref().is_some_and(Inquiry::is_asking)
    }

    /// Whether so much waits, for a hook's answer, because publishers are held or since it was too much for one turn, that
    /// nothing more should be read from the client.
    pub fn is_held_up(&self) -> bool {
        self.is_unfinished() || self.holds(1)
    }

    /// Whether what was said before is not done, and would be lost with the link: by [`Link::finish`] it is not.
    pub fn is_busy(&self) -> bool {
        self.is_unfinished() || self.is_asking()
    }

    /// Whether so much waits that nothing more may be read, not even to hear whether the client is still there.
    pub fn is_full(&self) -> bool {
        self.holds(FULL)
    }

    fn holds(&self, times: usize) -> bool {
        self.inquiry.as_ref().is_some_and(|inquiry| inquiry.holds(times))
            || self.parked.as_ref().is_some_and(|parked| parked.holds(times))
    }

    /// Lives on until all that the client said before it left is done, with the hook's answer where it has to be asked. Nobody
    /// hears the answers.
    pub async fn finish(mut self) {
        let mut events = Vec::new();
        std::future::poll_fn(|cx| {
            let _ = self.poll(cx, &mut events);
            events.clear();
            if self.is_unfinished() {
                // Others have their turn.
                cx.waker().wake_by_ref();
            }
            if self.is_busy() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// So many times as much as a client is read for is more than may wait for it.
const FULL: usize = 16;
