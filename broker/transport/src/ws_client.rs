//! The client's end of a WebSocket, for those who call a broker.

use std::io;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::stream::Stream;

/// A WebSocket as a stream of bytes: where its messages end means nothing.
#[derive(Debug)]
pub struct WebSocketClient {
    stream: WebSocketStream<Stream>,
    is_text: bool,
}

impl WebSocketClient {
    /// Upgrades `stream` to a WebSocket for `url` (`ws://host:port/path`, or `wss://…` where it is by TLS), asking for one of `subprotocols`. With
    /// `is_text`, what is valid UTF-8 is sent as text.
    ///
    /// # Errors
    ///
    /// Why there is no WebSocket at that address, for people.
    pub async fn connect(
        stream: Stream,
        url: &str,
        subprotocols: &[&str],
        is_text: bool,
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no address: {error}"))?;
        let mut request = ClientRequestBuilder::new(uri);
        for name in subprotocols {
            request = request.with_sub_protocol(*name);
        }
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Self { stream, is_text }),
            Err(Error::Http(answer)) => {
                Err(format!("{url} answered {} instead of a WebSocket; is the path right?", answer.status()))
            }
            Err(error) => Err(format!("no WebSocket at {url}: {error}")),
        }
    }

    /// Appends the next message to `buf` and says how many bytes it had; 0 if the peer closed. May be cancelled.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or the peer broke the rules of WebSocket.
    pub async fn read(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        loop {
            let data = match self.stream.next().await {
                None | Some(Ok(Message::Close(_))) => return Ok(0),
                Some(Ok(message @ (Message::Binary(_) | Message::Text(_)))) => message.into_data(),
                // The library answers pings by itself, and never hands out a raw frame.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(Error::Io(error))) => return Err(error),
                Some(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            };
            if !data.is_empty() {
                buf.extend_from_slice(&data);
                return Ok(data.len());
            }
        }
    }

    /// Sends all of `bytes` as one message and empties it. Cancelled, it has taken all or nothing.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or the peer has closed.
    pub async fn write(&mut self, bytes: &mut BytesMut) -> io::Result<()> {
        if !bytes.is_empty() {
            std::future::poll_fn(|cx| self.stream.poll_ready_unpin(cx)).await.map_err(io::Error::other)?;
            let data = bytes.split().freeze();
            let message = match std::str::from_utf8(&data) {
                Ok(text) if self.is_text => Message::text(text),
                Ok(_) | Err(_) => Message::Binary(data),
            };
            self.stream.start_send_unpin(message).map_err(io::Error::other)?;
        }
        self.stream.flush().await.map_err(io::Error::other)
    }

    /// Says good-bye and waits until the peer does too. The caller sets a limit to the patience.
    pub async fn close(&mut self) {
        // Whoever leaves does not mind that the other was quicker.
        if self.stream.close(None).await.is_ok() {
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }
}
