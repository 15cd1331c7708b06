//! SCRAM-SHA-256: a password is shown to be known without being said (RFC 5802, RFC 7677).

use std::future::ready;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use model::access::{Exchange, Step, Stepping};
use model::name::{ClientId, UserName};
use model::principal::{Credentials, Principal};
use model::refusal::Refusal;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::rules::{How, Scoped};
use crate::users::{Users, prepared};
use crate::verifier::{Key, Verifier, mac};

/// The server's side of one exchange. Nothing in it waits.
pub(crate) struct Scram {
    users: Arc<Users>,
    rules: Scoped,
    /// What the client calls itself.
    client: Option<ClientId>,
    /// Whether the client is on this machine.
    is_local: bool,
    /// As whom the client came, beside the exchange: it must be the same.
    claimed: Option<ByteString>,
    nonce: String,
    stage: Stage,
}

enum Stage {
    /// The client speaks first.
    First,
    /// It was challenged.
    Final(Box<Challenged>),
    /// Either way.
    Over,
}

/// What is remembered of the first messages.
struct Challenged {
    user: UserName,
    verifier: Verifier,
    /// Its header, which comes again.
    gs2: Vec<u8>,
    /// Both halves.
    nonce: String,
    /// All that was said, but for the last message.
    said: Vec<u8>,
}

impl Scram {
    /// An exchange with one who came with `credentials`.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub(crate) fn new(
        users: Arc<Users>,
        rules: Scoped,
        is_local: bool,
        credentials: &Credentials,
    ) -> Result<Self, Refusal> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| NO_NONCE)?;
        let (nonce, claimed) = (STANDARD.encode(nonce), credentials.user.clone());
        let client = credentials.client.clone();
        Ok(Self { users, rules, client, is_local, claimed, nonce, stage: Stage::First })
    }

    fn advance(&mut self, data: Option<&[u8]>) -> Result<Step, Refusal> {
        let text = match data {
            None => return Err(SILENT),
            Some(data) if data.len() > MESSAGE_BYTES_MAX => return Err(LONG),
            Some(data) => std::str::from_utf8(data).map_err(|_| NOT_TEXT)?,
        };
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::First => self.challenge(text),
            Stage::Final(challenged) => self.judge(&challenged, text),
            Stage::Over => Err(OVER),
        }
    }

    /// client-first-message, answered by server-first-message.
    fn challenge(&mut self, text: &str) -> Result<Step, Refusal> {
        let first = First::read(text)?;
        if self.claimed.as_deref().is_some_and(|claimed| !claimed.is_empty() && *claimed != *first.user) {
            return Err(OTHER_USER);
        }
        let verifier = self.users.verifier(&first.user, self.is_local);
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let salt = STANDARD.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations);
        self.stage = Stage::Final(Box::new(Challenged {
            user: UserName::new(&first.user),
            verifier,
            gs2: first.gs2.as_bytes().to_vec(),
            nonce,
            said: format!("{},{challenge}", first.bare).into_bytes(),
        }));
        Ok(Step::Challenge(Bytes::from(challenge)))
    }

    /// client-final-message, answered by server-final-message.
    fn judge(&self, challenged: &Challenged, text: &str) -> Result<Step, Refusal> {
        let last = Final::read(text)?;
        if last.binding != challenged.gs2 {
            return Err(BINDING_CHANGED);
        }
        if last.nonce != challenged.nonce {
            return Err(NONCE_CHANGED);
        }
        let said: [&[u8]; 3] = [&challenged.said, b",", last.without_proof.as_bytes()];
        let signature = mac(&challenged.verifier.stored_key, &said);
        let mut client_key = Key::default();
        for (key, (proof, signature)) in client_key.iter_mut().zip(last.proof.iter().zip(&signature)) {
            *key = proof ^ signature;
        }
        let shown: Key = Sha256::digest(client_key).into();
        if !bool::from(shown.ct_eq(&challenged.verifier.stored_key)) {
            return Err(WRONG);
        }
        let is_listed = self.users.has(challenged.user.as_str());
        let how = if is_listed { How::Password } else { How::OfThisMachine };
        let signature = STANDARD.encode(mac(&challenged.verifier.server_key, &said));
        Ok(Step::Proven {
            principal: Principal { user: Some(challenged.user.clone()) },
            permissions: self
                .rules
                .permissions(Some(&challenged.user), self.client.as_ref(), &[])
                .because(Arc::new(how)),
            data: Some(Bytes::from(format!("v={signature}"))),
        })
    }
}

impl Exchange for Scram {
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a> {
        Box::pin(ready(self.advance(data)))
    }
}

/// client-first-message: `n,,n=user,r=nonce`.
struct First<'a> {
    gs2: &'a str,
    bare: &'a str,
    user: String,
    nonce: &'a str,
}

impl<'a> First<'a> {
    fn read(text: &'a str) -> Result<Self, Refusal> {
        let (flag, rest) = text.split_once(',').ok_or(FIRST)?;
        let (authzid, bare) = rest.split_once(',').ok_or(FIRST)?;
        match flag {
            // `y`: would bind, and thinks that we do not offer it, which is right.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(BINDING),
            _ => return Err(FIRST),
        }
        let gs2 = text.get(..text.len() - bare.len()).ok_or(FIRST)?;
        let mut attributes = bare.split(',');
        let name = match attributes.next().ok_or(FIRST)? {
            mandatory if mandatory.starts_with("m=") => return Err(MANDATORY),
            name => name.strip_prefix("n=").ok_or(FIRST)?,
        };
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(FIRST)?;
        if !is_nonce(nonce) {
            return Err(NONCE);
        }
        let user = prepared(&unescape(name).ok_or(FIRST)?).ok_or(NAME)?;
        if !authzid.is_empty() {
            let other = authzid.strip_prefix("a=").and_then(unescape).ok_or(FIRST)?;
            if other != user {
                return Err(ON_BEHALF);
            }
        }
        Ok(Self { gs2, bare, user, nonce })
    }
}

/// client-final-message: `c=…,r=…,p=…`.
struct Final<'a> {
    binding: Vec<u8>,
    nonce: &'a str,
    without_proof: &'a str,
    proof: Key,
}

impl<'a> Final<'a> {
    fn read(text: &'a str) -> Result<Self, Refusal> {
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(FINAL)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|binding| binding.strip_prefix("c=")).ok_or(FINAL)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(FINAL)?;
        let binding = STANDARD.decode(binding).map_err(|_| FINAL)?;
        let proof = STANDARD.decode(proof).ok().and_then(|proof| Key::try_from(proof).ok()).ok_or(FINAL)?;
        Ok(Self { binding, nonce, without_proof, proof })
    }
}

/// `=2C` is a comma, `=3D` is `=`; no other `=` may stand in a name.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = if let Some(rest) = part.strip_prefix("2C") {
            (',', rest)
        } else {
            ('=', part.strip_prefix("3D")?)
        };
        text.push(sign);
        text.push_str(rest);
    }
    Some(text)
}

fn is_nonce(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NONCE_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

const NONCE_BYTES: usize = 18;
const NONCE_BYTES_MAX: usize = 512;

/// The longest message of a client, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

const WRONG: Refusal = Refusal::NotProven("wrong user name or password");
const SILENT: Refusal = Refusal::NotProven("SCRAM: the client speaks first; no authentication data came");
const LONG: Refusal = Refusal::NotProven("SCRAM: the message is longer than 4096 bytes");
const NOT_TEXT: Refusal = Refusal::NotProven("SCRAM: the message is not UTF-8");
const OVER: Refusal = Refusal::NotProven("SCRAM: the exchange is over");
const FIRST: Refusal = Refusal::NotProven("SCRAM: the first message is not n,,n=USER,r=NONCE");
const FINAL: Refusal = Refusal::NotProven("SCRAM: the last message is not c=HEADER,r=NONCE,p=PROOF");
const NONCE: Refusal = Refusal::NotProven("SCRAM: the nonce is not 1 to 512 printable ASCII characters");
const NAME: Refusal = Refusal::NotProven("SCRAM: the user name is empty or has characters that no name has");
const MANDATORY: Refusal = Refusal::NotProven("SCRAM: the mandatory extension m= is not known");
const BINDING: Refusal = Refusal::NotProven("SCRAM: channel binding (p=) is not offered; use n,,");
const BINDING_CHANGED: Refusal = Refusal::NotProven("SCRAM: c= is not the header of the first message");
const NONCE_CHANGED: Refusal = Refusal::NotProven("SCRAM: r= is not the nonce of the challenge");
const ON_BEHALF: Refusal = Refusal::NotProven("SCRAM: nobody may act for another user (a=)");
const OTHER_USER: Refusal = Refusal::NotProven("SCRAM: the user name of CONNECT is another");
const NO_NONCE: Refusal = Refusal::NotProven("the operating system has no random bytes");

#[cfg(test)]
mod tests {
    use model::name::VhostName;

    use super::*;

    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FIRST_MESSAGE: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const LAST_MESSAGE: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_example_of_rfc_7677_is_understood() {
        let mut scram = scram(None);
        assert_eq!(
            told(&mut scram, FIRST_MESSAGE),
            "challenge r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(
            told(&mut scram, LAST_MESSAGE),
            "proven user v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        assert_eq!(told(&mut scram, LAST_MESSAGE), said(&OVER));
    }

    #[test]
    fn a_wrong_proof_is_refused_and_so_is_one_for_nobody() {
        let wrong = LAST_MESSAGE.replace("p=dHzb", "p=dHzc");
        check(FIRST_MESSAGE, &wrong, &WRONG);
        check("n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO", LAST_MESSAGE, &WRONG);
    }

    #[test]
    fn what_was_said_first_cannot_be_changed_afterwards() {
        check(FIRST_MESSAGE, &LAST_MESSAGE.replace("biws", "eSws"), &BINDING_CHANGED);
        check(FIRST_MESSAGE, &LAST_MESSAGE.replace("hNlF", "hNlG"), &NONCE_CHANGED);
        check(FIRST_MESSAGE, &LAST_MESSAGE.replace(SERVER_NONCE, ""), &NONCE_CHANGED);
        // The same password, another first message: what was signed is another thing.
        check("n,,n=user,r=rOprNGfwEbeRWgbNEkqO,x=1", LAST_MESSAGE, &WRONG);
    }

    #[test]
    fn a_first_message_is_what_the_grammar_says() {
        let check = |text: &str, expected: &Refusal| {
            assert_eq!(told(&mut scram(None), text), said(expected), "{text}");
        };
        for text in
            ["", "n", "n,", "n,,", "n,,n=user", "n,,r=x,n=user", "x,,n=user,r=x", "n,b=user,n=user,r=x"]
        {
            check(text, &FIRST);
        }
        for name in ["a=", "a=2", "a=2c", "=41", "a=3D="] {
            check(&format!("n,,n={name},r=x"), &FIRST);
        }
        check("p=tls-unique,,n=user,r=x", &BINDING);
        check("n,,m=x,n=user,r=x", &MANDATORY);
        check("n,,n=,r=x", &NAME);
        check("n,,n=a\u{7},r=x", &NAME);
        check("n,,n=user,r=", &NONCE);
        check("n,,n=user,r=a b", &NONCE);
        check(&format!("n,,n=user,r={}", "x".repeat(513)), &NONCE);
        check(&"x".repeat(4097), &LONG);
        check("n,a=other,n=user,r=x", &ON_BEHALF);
        assert!(told(&mut scram(None), "n,a=user,n=user,r=x").starts_with("challenge"));
        assert!(told(&mut scram(None), "y,,n=user,r=x").starts_with("challenge"));
        assert!(told(&mut scram(None), "n,,n=a=2Cb=3D,r=x").starts_with("challenge"));
        assert_eq!(scram(None).advance(None).map(drop), Err(SILENT));
        assert_eq!(scram(None).advance(Some(b"n,,n=\xFF,r=x")).map(drop), Err(NOT_TEXT));
    }

    #[test]
    fn a_last_message_is_what_the_grammar_says() {
        for text in [
            "",
            "c=biws",
            "c=biws,r=x",
            "r=x,c=biws,p=AAAA",
            "c=b,r=x,p=AAAA",
            "c=biws,r=x,p=AAAA",
            "c=biws,r=x,p=####",
        ] {
            check(FIRST_MESSAGE, text, &FINAL);
        }
    }

    #[test]
    fn the_user_name_of_connect_is_that_of_the_exchange() {
        assert_eq!(told(&mut scram(Some("other")), FIRST_MESSAGE), said(&OTHER_USER));
        for claimed in ["user", ""] {
            assert!(told(&mut scram(Some(claimed)), FIRST_MESSAGE).starts_with("challenge"));
        }
    }

    #[test]
    fn no_two_exchanges_have_one_nonce() {
        let nonces =
            [(), ()].map(|()| Scram::new(users(), rules(), true, &Credentials::default()).unwrap().nonce);
        assert!(nonces[0] != nonces[1] && nonces.iter().all(|nonce| nonce.len() == 24 && is_nonce(nonce)));
    }

    #[track_caller]
    fn check(first: &str, last: &str, expected: &Refusal) {
        let mut scram = scram(None);
        assert!(told(&mut scram, first).starts_with("challenge"), "{first}");
        assert_eq!(told(&mut scram, last), said(expected), "{last}");
    }

    fn scram(claimed: Option<&'static str>) -> Scram {
        let claimed = claimed.map(ByteString::from_static);
        let nonce = SERVER_NONCE.to_owned();
        Scram {
            users: users(),
            rules: rules(),
            client: None,
            is_local: true,
            claimed,
            nonce,
            stage: Stage::First,
        }
    }

    fn told(scram: &mut Scram, text: &str) -> String {
        match scram.advance(Some(text.as_bytes())) {
            Ok(Step::Challenge(data)) => format!("challenge {}", str(&data)),
            Ok(Step::Proven { principal, data, .. }) => {
                format!("proven {} {}", principal.user.unwrap(), str(&data.unwrap()))
            }
            Err(refusal) => said(&refusal),
        }
    }

    fn said(refusal: &Refusal) -> String {
        refusal.to_string()
    }

    fn str(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    /// The user of the RFC.
    fn users() -> Arc<Users> {
        let line = "user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        Arc::new(Users::parse(line).unwrap())
    }

    fn rules() -> Scoped {
        Scoped::new(Arc::default(), VhostName::DEFAULT)
    }
}
