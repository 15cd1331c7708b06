//! Hook: a program that a broker asks over HTTP, and that answers as a test says.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::wait::{SOON, until};

/// A server at a port of its own, for as long as the test runs.
pub struct Hook {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// All above the body, in lower case.
    pub head: String,
    /// The body.
    pub json: Value,
}

/// What it says to that.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with this JSON.
    Json(Value),
    /// 200 with this JSON, after a while.
    Later(Duration, Value),
    /// These bytes, whatever they are; then it closes.
    Bytes(Vec<u8>),
    /// Nothing, ever.
    Silence,
}

impl Hook {
    /// Listens, and answers by what is asked.
    ///
    /// # Errors
    ///
    /// If there is no port.
    pub fn start(answer: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// The same at an address of one's own.
    ///
    /// # Errors
    ///
    /// If somebody else has it.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let hook =
            Self { address: listener.local_addr()?, asked: Arc::default(), connections: Arc::default() };
        let (asked, connections) = (Arc::clone(&hook.asked), Arc::clone(&hook.connections));
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                // How a connection ends is the broker's business.
                thread::spawn(move || drop(serve(stream, &asked, &*answer)));
            }
        });
        Ok(hook)
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// All that it was asked, in the order in which it came.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until it has been asked something.
    ///
    /// # Errors
    ///
    /// If it is not asked soon.
    pub fn wait(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, SOON, || self.asked().into_iter().map(|asked| asked.json).find(|json| is_it(json)))
    }
}

fn serve(
    mut stream: TcpStream,
    asked: &Mutex<Vec<Asked>>,
    answer: &dyn Fn(&Value) -> Reply,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            more(&mut stream, &mut buffer)?;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or_default();
        while buffer.len() < end + length {
            more(&mut stream, &mut buffer)?;
        }
        let json: Value = serde_json::from_slice(&buffer[end..end + length])?;
        buffer.drain(..end + length);
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { head, json: json.clone() });
        let json = match answer(&json) {
            Reply::Json(json) => json,
            Reply::Later(wait, json) => {
                thread::sleep(wait);
                json
            }
            Reply::Bytes(bytes) => return stream.write_all(&bytes),
            // Until the broker has had enough.
            Reply::Silence => return more(&mut stream, &mut buffer),
        };
        let body = json.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    }
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            buffer.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}
