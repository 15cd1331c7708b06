//! A load: publishers and subscribers against a broker, from the first connection to the last message.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use model::qos::Qos;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bench::meter::Meter;
use crate::bench::probe::Probe;
use crate::bench::publisher::{BATCH, Moments, NUMBER, OpenedBy, Pace, Sent, Task, publish, ring};
use crate::bench::subscriber::{Got, Ours, listen};
use crate::bench::tally::Times;
use crate::client::Client;
use crate::client::address::Protocol;
use crate::client::entry::{Entry, Wanted};
use crate::failure::Failure;

/// What a load is made of.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// How to get in; the client id is what those of all clients begin with.
    pub(crate) entry: Entry,
    /// Another number for each run.
    pub(crate) run: u64,
    /// Where each publisher publishes to; `%m` is the number of the message.
    pub(crate) publishers: Vec<ByteString>,
    /// What each subscriber subscribes to; whatever the number of the message is, where `%m` stands.
    pub(crate) subscribers: Vec<ByteString>,
    /// How long the sessions of subscribers would outlive their connections, in seconds; `None`: not at all.
    pub(crate) session_expiry_s: Option<u32>,
    /// Of publishers and subscribers.
    pub(crate) qos: Qos,
    /// Bytes of each payload.
    pub(crate) size: usize,
    /// Headers or user properties of each message.
    pub(crate) properties: Vec<(ByteString, ByteString)>,
    /// How many messages of a publisher may be under way.
    pub(crate) window: usize,
    /// What makes room in it.
    pub(crate) opened_by: OpenedBy,
    /// Messages a second, of all publishers together; `None`: as the window allows.
    pub(crate) rate: Option<f64>,
    /// How many messages, of all publishers together.
    pub(crate) count: Option<u64>,
    /// How long.
    pub(crate) duration: Duration,
    /// The broker's process, if it is on this machine and its cost is wanted.
    pub(crate) pid: Option<u32>,
    /// Nothing is told meanwhile.
    pub(crate) quiet: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From the first message to the last one that came.
    pub(crate) took: Duration,
    /// By each publisher.
    pub(crate) sent: Vec<Sent>,
    /// By each subscriber.
    pub(crate) got: Vec<Got>,
    /// The broker before and after.
    pub(crate) probes: Option<(Probe, Probe)>,
}

impl Load {
    /// Runs it. Ends early when `stop` does.
    ///
    /// # Errors
    ///
    /// A client is not let in. What goes wrong later is in the outcome.
    pub(crate) async fn run(&self, stop: impl Future<Output = ()>) -> Result<Outcome, Failure> {
        let (publishers, subscribers) = self.enter().await?;
        let before = self.pid.map(Probe::take).transpose()?;
        let meter = Arc::new(Meter::default());
        let (stopping, stopped) = watch::channel(false);
        let (ending, ended) = watch::channel(false);
        let windows: Vec<_> = publishers.iter().map(|_| Arc::new(Semaphore::new(self.room()))).collect();
        let listening: Vec<JoinHandle<Got>> = subscribers
            .into_iter()
            .enumerate()
            .map(|(number, client)| {
                let ours = self.ours(number, &windows);
                tokio::spawn(listen(client, ours, Arc::clone(&meter), ended.clone()))
            })
            .collect();
        let start = Instant::now() + BEGIN;
        let publishing = self.publish(publishers, &windows, start, (&meter, &stopped));
        let all = async {
            let sent = join(publishing).await;
            if sent.is_empty() {
                meter.until(self.count.unwrap_or(u64::MAX), start + self.duration).await;
            } else {
                meter.arrival(self.expected(&sent).iter().sum(), ARRIVAL_MAX).await;
            }
            sent
        };
        let names = [
            if self.publishers.is_empty() { "" } else { "sent" },
            if self.publishers.is_empty() || self.qos == Qos::AtMostOnce { "" } else { "acknowledged" },
            if self.subscribers.is_empty() { "" } else { "received" },
        ];
        tokio::pin!(all, stop);
        let sent = tokio::select! {
            sent = &mut all => sent,
            never = meter.tell(names), if !self.quiet => match never {},
            () = &mut stop => {
                // Whoever waits to be told has gone already.
                let _ = stopping.send(true);
                if self.publishers.is_empty() { Vec::new() } else { all.await }
            }
        };
        let took = start.elapsed();
        let after = self.pid.map(Probe::take).transpose()?;
        let _ = ending.send(true);
        let got = join(listening).await;
        Ok(Outcome { took, sent, got, probes: before.zip(after) })
    }

    /// What each subscriber should have got: at QoS 0 all that was sent to where it listens, else all that was acknowledged.
    pub(crate) fn expected(&self, sent: &[Sent]) -> Vec<u64> {
        let of = |destination: &ByteString| {
            let theirs = self.publishers.iter().zip(sent).filter(|(to, _)| *to == destination);
            theirs
                .map(|(_, sent)| if self.qos == Qos::AtMostOnce { sent.sent } else { sent.acknowledged })
                .sum()
        };
        self.subscribers.iter().map(of).collect()
    }

    /// Of several who listen to the same, the first one opens the windows.
    fn ours(&self, number: usize, windows: &[Arc<Semaphore>]) -> Ours {
        if self.publishers.is_empty() {
            return Ours::All;
        }
        let destination = self.subscribers.get(number);
        let is_first = self.subscribers.iter().position(|other| Some(other) == destination) == Some(number);
        let opens = is_first && self.opened_by == OpenedBy::Arrival;
        Ours::Run(self.run, if opens { windows.to_vec() } else { Vec::new() })
    }

    fn room(&self) -> usize {
        if self.opened_by == OpenedBy::Writing { BATCH } else { self.window }
    }

    /// All clients, subscribed where they are to be: nothing that is published can be missed.
    async fn enter(&self) -> Result<(Vec<Client>, Vec<Client>), Failure> {
        let mut subscribers = Vec::new();
        for (number, destination) in self.subscribers.iter().enumerate() {
            let mut entry = self.named("sub", number);
            entry.session_expiry_s = self.session_expiry_s;
            let mut client = Client::enter(&entry).await?;
            let wanted = Wanted {
                destinations: vec![self.filter(destination)],
                qos: self.qos,
                properties: Vec::new(),
                one_by_one: false,
            };
            client.subscribe(&wanted).await?;
            subscribers.push(client);
        }
        let mut publishers = Vec::new();
        for number in 0..self.publishers.len() {
            publishers.push(Client::enter(&self.named("pub", number)).await?);
        }
        Ok((publishers, subscribers))
    }

    /// All that goes there, whatever the number of the message is.
    fn filter(&self, destination: &ByteString) -> ByteString {
        let one = match self.entry.protocol {
            Protocol::Mqtt(_) => "+",
            Protocol::Stomp => "*",
        };
        if destination.contains(NUMBER) {
            destination.replace(NUMBER, one).into()
        } else {
            destination.clone()
        }
    }

    /// As whom a client comes.
    pub(crate) fn named(&self, kind: &str, number: usize) -> Entry {
        let mut entry = self.entry.clone();
        let begin = self.entry.client_id.clone().unwrap_or_else(|| format!("bench-{:08x}", self.run));
        entry.client_id = Some(format!("{begin}-{kind}-{number}"));
        entry
    }

    fn publish(
        &self,
        clients: Vec<Client>,
        windows: &[Arc<Semaphore>],
        start: Instant,
        (meter, stop): (&Arc<Meter>, &watch::Receiver<bool>),
    ) -> Vec<JoinHandle<Sent>> {
        let many = clients.len() as u64;
        let end = start + self.duration;
        let moments: Vec<Moments> =
            (0..many).filter_map(|number| self.moments(number, many, start)).collect();
        if !moments.is_empty() {
            ring(&moments, end);
        }
        let mut moments = moments.into_iter();
        let tasks = clients.into_iter().zip(&self.publishers).zip(windows).zip(0..);
        tasks
            .map(|(((client, destination), window), publisher)| {
                let task = Task {
                    run: self.run,
                    publisher,
                    destination: destination.clone(),
                    qos: self.qos,
                    size: self.size,
                    properties: self.properties.clone(),
                    pace: moments.next().map_or(Pace::Window, Pace::Fixed),
                    count: self.count.map_or(u64::MAX, |count| share(count, many, publisher.into())),
                    end,
                    window: Arc::clone(window),
                    opened_by: self.opened_by,
                };
                let (meter, stop) = (Arc::clone(meter), stop.clone());
                tokio::spawn(async move {
                    tokio::time::sleep_until(start).await;
                    publish(client, task, meter, stop).await
                })
            })
            .collect()
    }

    /// Publishers take turns, evenly.
    fn moments(&self, number: u64, many: u64, start: Instant) -> Option<Moments> {
        let each = 1.0 / self.rate?;
        Some(Moments {
            first: start + Duration::from_secs_f64(each * number as f64),
            every: Duration::from_secs_f64(each * many as f64),
            bell: Arc::new(Notify::new()),
        })
    }
}

impl Outcome {
    /// What went wrong first, if anything did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        let sent = self.sent.iter().filter_map(|sent| sent.failure.as_ref());
        sent.chain(self.got.iter().filter_map(|got| got.failure.as_ref())).next()
    }

    /// From due to acknowledged, of all publishers.
    pub(crate) fn acknowledgements(&self) -> Times {
        sum(self.sent.iter().map(|sent| &sent.acknowledgements))
    }

    /// From due to handed over, of all publishers.
    pub(crate) fn late(&self) -> Times {
        sum(self.sent.iter().map(|sent| &sent.late))
    }

    /// From due to arrived, of all subscribers.
    pub(crate) fn arrivals(&self) -> Times {
        sum(self.got.iter().map(|got| &got.times))
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a Times>) -> Times {
    all.fold(Times::new(), |mut sum, times| {
        sum.add(times);
        sum
    })
}

async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut done = Vec::new();
    for task in tasks {
        // One that panicked has said so.
        done.extend(task.await);
    }
    done
}

/// What of `count` is that publisher's.
fn share(count: u64, publishers: u64, number: u64) -> u64 {
    count / publishers + u64::from(number < count % publishers)
}

/// From the last connection to the first message: all tasks are there by then.
const BEGIN: Duration = Duration::from_millis(50);

/// How long what was sent is waited for while nothing comes.
const ARRIVAL_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn publishers_share_the_messages() {
        assert_eq!((0..3).map(|number| share(10, 3, number)).collect::<Vec<_>>(), [4, 3, 3]);
    }
}
