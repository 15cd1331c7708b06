//! Who is written to first, on workers as the broker has them; the clients are threads of their own.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::*;

#[test]
fn a_lone_message_is_with_its_consumer_before_its_publisher_is_answered() {
    let room = Room::new(1);
    let (mut consumer, mut publisher) = (room.consumer(), room.publisher());
    consumer.lines.get_ref().set_nonblocking(true).expect("set");
    for n in 0..200 {
        publisher.say(&format!("offer {n}\n"));
        assert_eq!(publisher.line().expect("an answer"), "taken");
        assert_eq!(consumer.line().expect("there already"), n.to_string());
    }
}

#[test]
fn who_sends_more_at_once_is_answered_at_once() {
    let room = Room::new(1);
    let (mut consumer, mut publisher) = (room.consumer(), room.publisher());
    consumer.lines.get_ref().set_nonblocking(true).expect("set");
    // The message is later than the answers, but not by much: sooner or later that is seen.
    let end = Instant::now() + Duration::from_secs(20);
    let mut was_late = false;
    for n in 0.. {
        publisher.say(&format!("offer {n}\nsay and more\n"));
        assert_eq!(publisher.line().expect("an answer"), "taken");
        assert_eq!(publisher.line().expect("an answer"), "and more");
        loop {
            match consumer.line() {
                Ok(line) => break assert_eq!(line, n.to_string()),
                Err(kind) => assert_eq!(kind, ErrorKind::WouldBlock),
            }
            was_late = true;
        }
        if was_late {
            return;
        }
        assert!(Instant::now() < end, "every message was there before the answers");
    }
}

#[test]
fn nobody_waits_for_ever_who_gave_way() {
    let room = Room::new(2);
    let mut consumer = room.consumer();
    let publishers: Vec<Plain> = (0..4).map(|_| room.publisher()).collect();
    thread::scope(|scope| {
        for mut publisher in publishers {
            scope.spawn(move || {
                for n in 0..1000 {
                    publisher.say(&format!("offer {n}\n"));
                    assert_eq!(publisher.line().expect("an answer"), "taken");
                }
            });
        }
        (0..4000).for_each(|_| drop(consumer.line().expect("a message")));
    });
}

/// A house whose connections live on so many workers.
struct Room {
    runtime: Runtime,
    house: House,
}

impl Room {
    fn new(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .on_thread_start(crate::precedence::worker_is_free)
            .on_thread_park(crate::precedence::worker_is_free)
            .build()
            .expect("a runtime");
        let house = runtime.block_on(async { House::new() });
        Self { runtime, house }
    }

    fn publisher(&self) -> Plain {
        let mut client = self.enter();
        client.say("open\n");
        assert_eq!(client.line().expect("an answer"), "opened");
        client
    }

    fn consumer(&self) -> Plain {
        let mut consumer = self.publisher();
        consumer.say("consume\n");
        assert_eq!(consumer.line().expect("an answer"), "consuming");
        consumer
    }

    fn enter(&self) -> Plain {
        let stream = self.runtime.block_on(async {
            let listener = tcp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            drop(self.house.seat(&listener, Lined::default()).await);
            stream
        });
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        Plain { lines: BufReader::new(stream) }
    }
}

/// A client that waits on a thread, and sees what is there without asking a runtime.
struct Plain {
    lines: BufReader<TcpStream>,
}

impl Plain {
    fn say(&mut self, text: &str) {
        self.lines.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> Result<String, ErrorKind> {
        let mut line = String::new();
        self.lines.read_line(&mut line).map_err(|error| error.kind())?;
        Ok(line.trim_end().to_owned())
    }
}
