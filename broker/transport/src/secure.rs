//! Secure: the broker's end of TLS, which holds nothing but its keys while nothing is said
//!
//! By [`rustls::unbuffered`]: whoever reads from the socket decides where that is kept. All connections of a worker share one
//! place for it, and each keeps only what is left of a record that has not come as a whole. So ten thousand that are silent hold
//! no buffer, and one that sends much is read many records at a time.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::rekeying::Rekeying;

/// A connection by TLS that was accepted, from its handshake on.
pub struct Secure {
    socket: TcpStream,
    session: UnbufferedServerConnection,
    rekeying: Rekeying,
    /// What came of a record, or of a message of a handshake, whose end has not come.
    begun: Vec<u8>,
    /// What was decrypted and is still to be read.
    plain: BytesMut,
    /// What was encrypted and is still to be sent.
    sealed: BytesMut,
    /// The peer sends no more.
    is_over: bool,
    /// The peer was told that no more comes.
    is_closed: bool,
    /// TLS broke: it is not asked again, for what it had begun is gone.
    is_broken: bool,
}

impl Secure {
    /// Shakes hands. The caller sets a limit to the patience.
    ///
    /// # Errors
    ///
    /// Why nothing comes of it, and the socket: the peer was told, as far as TLS has words for it.
    pub(crate) async fn accept(
        config: Arc<ServerConfig>,
        socket: TcpStream,
    ) -> Result<Self, (io::Error, TcpStream)> {
        let session = match UnbufferedServerConnection::new(config) {
            Ok(session) => session,
            Err(error) => return Err((io::Error::other(error), socket)),
        };
        let (begun, plain, sealed) = (Vec::new(), BytesMut::new(), BytesMut::new());
        let (is_over, is_closed, is_broken) = (false, false, false);
        let rekeying = Rekeying::new();
        let mut secure =
            Self { socket, session, rekeying, begun, plain, sealed, is_over, is_closed, is_broken };
        match poll_fn(|cx| secure.poll_shake(cx)).await {
            Ok(()) => Ok(secure),
            Err(error) => Err((error, secure.socket)),
        }
    }

    /// What the peer showed of itself, verified.
    pub(crate) fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.peer_certificates()
    }

    /// The connection below: what was read of it and not decrypted is gone.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// What was decrypted and not read yet.
    pub(crate) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Ready when there is more of that; `false`: the peer sends no more.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or with TLS.
    pub(crate) async fn more(&mut self) -> io::Result<bool> {
        let known = self.plain.len();
        poll_fn(|cx| {
            while self.plain.len() == known && !self.is_over {
                ready!(self.poll_fill(cx, &mut ReadBuf::new(&mut [])))?;
            }
            Poll::Ready(Ok(self.plain.len() > known))
        })
        .await
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_drain(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.is_over {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the peer left in the middle of the handshake",
                )));
            }
            ready!(self.poll_fill(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads what the socket has and works on it: plain text goes into `buf`, and what has no room there is kept.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut desk = Desk::borrow();
        let filled = self.fill(cx, buf, &mut desk);
        desk.give_back();
        filled
    }

    fn fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, desk: &mut Desk) -> Poll<io::Result<()>> {
        let begun = self.begun.len();
        if self.is_broken {
            return Poll::Ready(Err(invalid(BROKEN)));
        }
        if begun >= BEGUN_BYTES_MAX {
            return Poll::Ready(Err(invalid("a message of a handshake that is too long")));
        }
        // As much as there is room for, so that little is kept; but never less than a record.
        let most = begun + buf.remaining().clamp(RECORD_BYTES_MAX, READ_BYTES_MAX);
        if desk.incoming.len() < most {
            desk.incoming.resize(most, 0);
        }
        let room = desk.incoming.get_mut(begun..most).unwrap_or_default();
        let mut read = ReadBuf::new(room);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            // Maybe without the good-bye of TLS: many leave so, and every protocol here says itself where its messages end.
            self.is_over = true;
            return Poll::Ready(Ok(()));
        }
        if let Some(start) = desk.incoming.get_mut(..begun) {
            start.copy_from_slice(&self.begun);
        }
        let incoming = desk.incoming.get_mut(..begun + count).unwrap_or_default();
        let worked = self.work(incoming, buf, &mut desk.outgoing, |_, _| Ok(()));
        let used = *worked.as_ref().unwrap_or(&incoming.len());
        self.begun = incoming.get(used..).filter(|_| !self.is_over).map(<[u8]>::to_vec).unwrap_or_default();
        // Also where there was an error: the peer is told of it, if its socket takes that at once.
        let sent = self.send(cx, &mut desk.outgoing);
        worked?;
        sent?;
        Poll::Ready(Ok(()))
    }

    /// Lets TLS work on what came, until it needs more; `write` is called once when something may be sealed, and gets where to.
    /// Returns how much of `incoming` was used.
    fn work(
        &mut self,
        incoming: &mut [u8],
        buf: &mut ReadBuf<'_>,
        outgoing: &mut Vec<u8>,
        write: impl FnOnce(&mut Writer<'_>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let left = incoming.get_mut(used..).unwrap_or_default();
            let session = &mut self.session;
            let status = self.rekeying.watch(move || session.process_tls_records(left));
            let UnbufferedStatus { mut discard, state } = status;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        if self.plain.is_empty() && record.payload.len() <= buf.remaining() {
                            buf.put_slice(record.payload);
                        } else {
                            self.plain.extend_from_slice(record.payload);
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, outgoing)?,
                // It is in our hands, and goes before all that is sealed later.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_over = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    write(&mut traffic, outgoing)?;
                    return Ok(used + discard);
                }
                Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake) => return Ok(used + discard),
                // Early data, which was not offered.
                Ok(_) => {
                    self.is_broken = true;
                    return Err(invalid("something came that is not expected here"));
                }
                Err(error) => {
                    self.is_broken = true;
                    self.complain(outgoing);
                    return Err(invalid(error));
                }
            }
            used += discard;
        }
    }

    /// What the peer is told of an error.
    fn complain(&mut self, outgoing: &mut Vec<u8>) {
        while self.session.wants_write()
            && let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut data)), .. } =
                self.session.process_tls_records(&mut [])
            && encode(&mut data, outgoing).is_ok()
        {}
    }

    /// Seals something that is not sealed yet, behind all that is, and sends as much as the socket takes.
    fn seal(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        write: impl FnOnce(&mut Writer<'_>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.is_broken {
            return Err(invalid(BROKEN));
        }
        // What is begun stands where it stood: TLS remembers it by its place.
        let mut begun = std::mem::take(&mut self.begun);
        let worked = self.work(&mut begun, &mut ReadBuf::new(&mut []), &mut desk.outgoing, write);
        begun.drain(..worked.as_ref().map_or(0, |used| (*used).min(begun.len())));
        self.begun = begun;
        let sent = self.send(cx, &mut desk.outgoing);
        worked?;
        sent
    }

    /// Sends what is there, and keeps what the socket does not take.
    fn send(&mut self, cx: &mut Context<'_>, outgoing: &mut Vec<u8>) -> io::Result<()> {
        let mut sent = 0;
        let outcome = loop {
            let left = outgoing.get(sent..).unwrap_or_default();
            if left.is_empty() || !self.sealed.is_empty() {
                break Ok(());
            }
            match Pin::new(&mut self.socket).poll_write(cx, left) {
                Poll::Ready(Ok(0)) => break Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Err(error),
                Poll::Pending => break Ok(()),
            }
        };
        self.sealed.extend_from_slice(outgoing.get(sent..).unwrap_or_default());
        outgoing.clear();
        outcome
    }

    /// Ready when all that was sealed is out.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.sealed))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sealed.advance(count),
            }
        }
        self.sealed = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let mut desk = Desk::borrow();
        let mut gathered = std::mem::take(&mut desk.gathered);
        for slice in slices {
            let room = WRITE_BYTES_MAX - gathered.len();
            gathered.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        let sealed = self.seal(cx, &mut desk, |traffic, outgoing| encrypt(traffic, &gathered, outgoing));
        let count = gathered.len();
        gathered.clear();
        desk.gathered = gathered;
        desk.give_back();
        sealed?;
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Secure {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let secure = self.get_mut();
        let known = buf.filled().len();
        loop {
            if !secure.plain.is_empty() {
                let count = secure.plain.len().min(buf.remaining());
                buf.put_slice(secure.plain.get(..count).unwrap_or_default());
                secure.plain.advance(count);
                if secure.plain.is_empty() {
                    secure.plain = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if secure.is_over || buf.filled().len() > known {
                return Poll::Ready(Ok(()));
            }
            ready!(secure.poll_fill(cx, buf))?;
        }
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_some(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    /// Says good-bye as TLS does, then as TCP does.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let secure = self.get_mut();
        if !std::mem::replace(&mut secure.is_closed, true) {
            let mut desk = Desk::borrow();
            // Where there was an error, the peer has heard more than that.
            let _ = secure.seal(cx, &mut desk, close);
            desk.give_back();
        }
        ready!(secure.poll_drain(cx))?;
        Pin::new(&mut secure.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_some(cx, bufs)
    }
}

impl fmt::Debug for Secure {
    /// No key, and nothing that was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("socket", &self.socket).finish_non_exhaustive()
    }
}

type Writer<'c> = WriteTraffic<'c, ServerConnectionData>;

/// Appends a message of TLS itself.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, to: &mut Vec<u8>) -> io::Result<()> {
    append(to, ROOM_BYTES, |room| match data.encode(room) {
        Ok(count) => Ok(count),
        Err(EncodeError::InsufficientSize(more)) => Err(Ok(more.required_size)),
        Err(error @ EncodeError::AlreadyEncoded) => Err(Err(io::Error::other(error))),
    })
}

fn encrypt(traffic: &mut Writer<'_>, plain: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
    append(to, plain.len() + ROOM_BYTES, |room| traffic.encrypt(plain, room).map_err(short))
}

fn close(traffic: &mut Writer<'_>, to: &mut Vec<u8>) -> io::Result<()> {
    append(to, ROOM_BYTES, |room| traffic.queue_close_notify(room).map_err(short))
}

fn short(error: EncryptError) -> Result<usize, io::Error> {
    match error {
        EncryptError::InsufficientSize(more) => Ok(more.required_size),
        EncryptError::EncryptExhausted => Err(io::Error::other(error)),
    }
}

/// Appends what `put` writes. It is asked once more if it says how much room it needs.
fn append(
    to: &mut Vec<u8>,
    room_bytes: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Result<usize, io::Error>>,
) -> io::Result<()> {
    let known = to.len();
    to.resize(known + room_bytes, 0);
    let mut written = put(to.get_mut(known..).unwrap_or_default());
    if let Err(Ok(required)) = written {
        to.resize(known + required, 0);
        written = put(to.get_mut(known..).unwrap_or_default());
    }
    match written {
        Ok(count) => {
            to.truncate(known + count);
            Ok(())
        }
        Err(why) => {
            to.truncate(known);
            Err(why.err().unwrap_or_else(|| io::Error::other("TLS never has enough room")))
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What a connection works with while it has its turn, and leaves to the next one on the same worker.
#[derive(Debug, Default)]
struct Desk {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    gathered: Vec<u8>,
}

thread_local! {
    static DESK: Cell<Option<Box<Desk>>> = const { Cell::new(None) };
}

impl Desk {
    fn borrow() -> Box<Self> {
        DESK.take().unwrap_or_default()
    }

    fn give_back(mut self: Box<Self>) {
        self.outgoing.clear();
        DESK.set(Some(self));
    }
}

/// A record with all that is around it (RFC 8446, 5.2).
const RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 256;

/// So much is read at once at most, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;

/// So much is sealed at once at most, in bytes.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// So much may have come of what has no end yet: rustls takes messages of a handshake up to 64 KiB.
const BEGUN_BYTES_MAX: usize = (64 * 1024) + RECORD_BYTES_MAX;

/// What is around the records that are sealed at once has room in that, in bytes, and so have most words of TLS itself.
const ROOM_BYTES: usize = 512;

const BROKEN: &str = "TLS broke before";
