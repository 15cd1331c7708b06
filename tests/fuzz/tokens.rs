//! Signed tokens: nobody is let in by one that was not signed, and nobody under another name than the one that was.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use auth::{
    Algorithm, Anonymous, ClaimRules, Encoding, Guard, JwtKey, JwtOptions, KeySource, Options, Secret,
};
use bytes::Bytes;
use bytestring::ByteString;
use model::access::AccessControl;
use model::principal::Credentials;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static GUARD: OnceCell<(Runtime, Arc<Guard>)> = const { OnceCell::new() };
}

/// All of it is the token: as a password, and where a protocol has a place for one.
pub fn run(data: &[u8]) {
    GUARD.with(|guard| {
        let (runtime, guard) = guard.get_or_init(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            (runtime, Arc::new(Guard::new(options()).expect("a guard")))
        });
        let token = std::str::from_utf8(data).ok().map(ByteString::from);
        let password = data.splitn(3, |byte| *byte == b'.').count() == 3 && data.starts_with(b"eyJ");
        let shown = [
            token.map(|token| (Some(token), None)),
            password.then(|| (None, Some(Bytes::copy_from_slice(data)))),
        ];
        for (token, password) in shown.into_iter().flatten() {
            let user = password.is_some().then(|| ByteString::from("somebody"));
            let credentials = Credentials {
                user,
                password,
                client: None,
                address: None,
                token,
                proof: None,
                handshake: None,
                certificate: None,
            };
            if let Ok((principal, _)) = runtime.block_on(guard.admit(&credentials)) {
                // The one token that anybody ever signed with this secret says so.
                assert_eq!(principal.user.as_ref().map(|user| user.as_str()), Some("ann"));
            }
        }
    });
}

fn options() -> Options {
    let key = JwtKey {
        id: None,
        algorithm: Algorithm::HS256,
        source: KeySource::Secret(Secret::new("a secret that only the corpus knows"), Encoding::Text),
    };
    let claims = ClaimRules {
        issuers: Vec::new(),
        audiences: Vec::new(),
        required: Vec::new(),
        user: "sub".to_owned(),
        rules: None,
        vhosts: Some("vhost".to_owned()),
        leeway: Duration::from_secs(30),
    };
    let jwt = JwtOptions { keys: vec![key], lists: Vec::new(), claims, cookie: None };
    Options { anonymous: Anonymous::Never, guest_loopback: false, jwt: Some(jwt), ..Options::default() }
}
