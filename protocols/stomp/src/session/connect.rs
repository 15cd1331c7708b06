//! CONNECT or STOMP to CONNECTED.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use bytestring::ByteString;
use model::name::ClientId;
use model::principal::Credentials;
use model::refusal::Refusal;
use model::request::{Identity, Open};

use crate::encode::encode;
use crate::error_frame::Fault;
use crate::frame::{Command, Frame};
use crate::heart_beat::{HeartBeat, Offer};
use crate::options::Options;
use crate::session::standing::Standing;
use crate::version::Version;

/// What CONNECT agreed on, until the broker lets the client in.
#[derive(Debug)]
pub(super) struct Agreed {
    /// The version of all that follows.
    pub(super) version: Version,
    /// What the client said of heart-beats.
    offer: Offer,
    /// As whom it came, for the text of a refusal.
    login: Option<ByteString>,
    /// What it showed, and who it calls itself.
    pub(super) standing: Standing,
}

/// Reads the first frame of a client.
///
/// # Errors
///
/// It is no CONNECT, or no version is spoken on both sides, or its heart-beat is none.
pub(super) fn open(
    frame: &Frame,
    options: &Options,
    address: Option<IpAddr>,
) -> Result<(Agreed, Box<Open>), (Version, Fault)> {
    let refused = |version: Version, fault: Fault| (version, fault.about(frame.command, &frame.headers, &[]));
    if !matches!(frame.command, Command::Connect | Command::Stomp) {
        let fault = Fault::new("Illegal command", "You must log in using CONNECT first.");
        return Err(refused(Version::V1_2, fault));
    }
    let accept_version = frame.header("accept-version");
    let Some(version) = Version::choose(accept_version.map(|list| &**list), &options.versions) else {
        let supported = format!("Supported versions are {}", Version::list(&options.versions));
        // Not about the frame: it has no receipt, and clients compare this text.
        return Err((Version::V1_2, Fault::new("Version mismatch", supported)));
    };
    // The examples of 1.0 pad their values; later versions forbid to trim.
    let value = |name: &str| {
        let value = frame.header(name)?;
        let trimmed = if version == Version::V1_0 { value.trim_start_matches(' ') } else { value };
        // A copy, for the read buffer's sake; some clients write the header without anything in it.
        (!trimmed.is_empty()).then(|| ByteString::from(trimmed))
    };
    let offer = match (version, value("heart-beat")) {
        // 1.0 has no heart-beats.
        (Version::V1_0, _) | (Version::V1_1 | Version::V1_2, None) => Offer::default(),
        (Version::V1_1 | Version::V1_2, Some(text)) => Offer::parse(&text).ok_or_else(|| {
            let detail =
                format!("header heart-beat is '{text}'; expected two numbers of milliseconds: 10000,10000.");
            refused(version, Fault::new("Invalid header", detail))
        })?,
    };
    let login = value("login");
    let client = client_id(value("client-id")).map_err(|fault| refused(version, fault))?;
    let token = frame.headers.token().filter(|_| options.tokens);
    let standing = Standing::new(client.clone(), address, token);
    let open = Open {
        credentials: Credentials {
            user: login.clone(),
            password: value("passcode").map(ByteString::into_bytes),
            client,
            address,
            token: token.map(ByteString::from),
            proof: None,
            handshake: None,
            certificate: None,
        },
        version: version.as_str(),
        identity: Identity::Connection,
        vhost: value("host").filter(|host| !is_default(host, options)).map(|host| host.to_string()),
        will: None,
    };
    Ok((Agreed { version, offer, login, standing }, Box::new(open)))
}

/// What the client calls itself. STOMP knows no such thing; ActiveMQ's clients say it.
fn client_id(value: Option<ByteString>) -> Result<Option<ClientId>, Fault> {
    let Some(value) = value else { return Ok(None) };
    if value.len() > CLIENT_ID_BYTES_MAX {
        let detail = format!("header client-id is longer than {CLIENT_ID_BYTES_MAX} bytes.");
        return Err(Fault::new("Invalid header", detail));
    }
    Ok(Some(ClientId::new(&value)))
}

/// Whether a `host` stands for the default virtual host. Clients put there what they connected to; a port is ignored.
fn is_default(host: &str, options: &Options) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    name == "/"
        || name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || host.parse::<SocketAddr>().is_ok()
        || options
            .host_names
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host))
}

impl Agreed {
    /// Writes CONNECTED; the client is in.
    pub(super) fn connected(
        &self,
        connection: &str,
        options: &Options,
        now: Instant,
        buf: &mut BytesMut,
    ) -> HeartBeat {
        let answer = self.offer.answer(options.heart_beat_min);
        let frame = Frame::new(Command::Connected)
            .with("version", self.version.as_str())
            .with("heart-beat", format!("{},{}", answer.can_send_ms, answer.wants_ms))
            .with("session", connection)
            .with("server", &*options.server);
        encode(&frame, self.version, buf);
        HeartBeat::new(self.offer, answer, options.heart_beat_tolerance, now)
    }

    /// Why the client is not let in.
    pub(super) fn refused(&self, refusal: &Refusal) -> Fault {
        let mut fault = Fault::from(refusal);
        if matches!(refusal, Refusal::BadCredentials(_)) {
            let user =
                self.login.as_deref().map_or_else(|| "no login".into(), |login| format!("user '{login}'"));
            fault.message = "Bad CONNECT".into();
            fault.detail = format!("Access refused for {user}\n{}", fault.detail);
        }
        fault
    }
}

/// The longest `client-id`, in bytes: as MQTT's.
const CLIENT_ID_BYTES_MAX: usize = 256;
