//! Guard: the first answer stands.

use std::future::ready;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use model::access::{AccessControl, Admission, Exchange};
use model::author::{Author, Footing};
use model::hook::Hook;
use model::name::{ClientId, UserName, VhostName};
use model::principal::{Credentials, Permissions, Principal, bearer};
use model::refusal::Refusal;
use model::rights::Action;
use transport::files::Stamp;
use transport::http_client::trust::TrustError;

use crate::file::FileError;
use crate::hasher::Hasher;
use crate::jwt::key::KeyError;
use crate::jwt::{JwtOptions, Tokens, is_token};
use crate::rules::{How, Rule, Rules, Scoped};
use crate::scram::Scram;
use crate::token_exchange::{NAMES, TokenExchange};
use crate::users::{GUEST, Users, prepared};
use crate::verifier::NAME;
use crate::webhook::Webhooks;
use crate::webhook::options::HookOptions;

/// What the guard goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether a client without a user name is let in.
    pub anonymous: Anonymous,
    /// Whether the user `guest` with the password `guest` is let in from this machine; from elsewhere he never is.
    pub guest_loopback: bool,
    /// The password file; without one, nobody but `guest` has a password.
    pub file: Option<PathBuf>,
    /// Which signed tokens are taken; without it, none is looked at.
    pub jwt: Option<JwtOptions>,
    /// Whether a listener believes certificates of clients: then there are users that no file knows.
    pub certificates: bool,
    /// What whoever is let in may do.
    pub rules: Rules,
    /// Who is asked about what those who are in do, in this order.
    pub hooks: Vec<HookOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::default(),
            guest_loopback: true,
            file: None,
            jwt: None,
            certificates: false,
            rules: Rules::default(),
            hooks: Vec::new(),
        }
    }
}

/// Where clients without a user name may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// From this machine: a loopback address, or a socket without an address.
    #[default]
    Loopback,
    /// From everywhere.
    Always,
    /// From nowhere.
    Never,
}

/// Lets in or refuses, by [`Options`]; whoever is let in may do what the rules say.
pub struct Guard {
    options: Options,
    users: RwLock<Arc<Users>>,
    rules: RwLock<Arc<Rules>>,
    /// Raised whenever users or rules are others.
    generation: AtomicU64,
    /// Of the password file, when it was read last.
    stamp: Mutex<Option<Stamp>>,
    hasher: Arc<Hasher>,
    tokens: Option<Arc<Tokens>>,
    /// Where there are hooks.
    hook: Option<Arc<dyn Hook>>,
    /// Of whoever came in by a password, and of whoever is let in without one: what they remember of that is the same for all.
    listed: Permissions,
    unlisted: Permissions,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The password file cannot be used.
    #[error("auth.file.path: {0}")]
    File(#[from] FileError),
    /// A key for signed tokens cannot be used.
    #[error("{place}: {error}")]
    Key {
        /// Where it is named.
        place: String,
        /// Why not.
        error: KeyError,
    },
    /// The certificates by which a hook is known cannot be used.
    #[error("{place}: {error}")]
    Hook {
        /// Where they are named.
        place: String,
        /// Why not.
        error: TrustError,
    },
    /// The operating system has no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

impl Guard {
    /// A guard who goes by `options`. To be called within a tokio runtime where there are hooks.
    ///
    /// # Errors
    ///
    /// The password file, a key or the certificates of a hook cannot be used: nobody is let in by half of one.
    pub fn new(options: Options) -> Result<Self, GuardError> {
        let stamp = options.file.as_deref().and_then(Stamp::of);
        let users = users(&options)?;
        let hasher = Arc::new(Hasher::new()?);
        let tokens = options.jwt.clone().map(Tokens::new).transpose().map_err(no_key)?.map(Arc::new);
        let hook: Option<Arc<dyn Hook>> = if options.hooks.is_empty() {
            None
        } else {
            let hooks = Webhooks::new(options.hooks.clone());
            Some(Arc::new(hooks.map_err(|(place, error)| GuardError::Hook { place, error })?))
        };
        let (users, stamp) = (RwLock::new(Arc::new(users)), Mutex::new(stamp));
        let rules = RwLock::new(Arc::new(options.rules.clone()));
        let [listed, unlisted] =
            [How::Password, How::OfThisMachine].map(|how| Permissions::everything().because(Arc::new(how)));
        let generation = AtomicU64::new(0);
        Ok(Self { options, users, rules, generation, stamp, hasher, tokens, hook, listed, unlisted })
    }

    /// Reads the files with keys for signed tokens again if they are others by now; `None`: they are not. May wait for the
    /// disk.
    ///
    /// # Errors
    ///
    /// A new one cannot be used. Until it can be, the keys of before hold.
    pub fn refresh_keys(&self) -> Option<Result<(), GuardError>> {
        Some(self.tokens.as_ref()?.refresh(false)?.map_err(no_key))
    }

    /// Reads those files again, whether they are others or not; `None`: there are none. May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::refresh_keys`].
    pub fn reread_keys(&self) -> Option<Result<(), GuardError>> {
        Some(self.tokens.as_ref()?.refresh(true)?.map_err(no_key))
    }

    /// Fetches lists of keys that are on other servers, where it is time; to be called every second or so. What goes wrong is
    /// told to the log, and the keys of before hold.
    pub async fn fetch_keys(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.fetch().await;
        }
    }

    /// Reads the password file again if it is another one by now; `None`: it is not. May wait for the disk.
    ///
    /// # Errors
    ///
    /// The new file cannot be used. Until it can be, what was read before holds.
    pub fn refresh(&self) -> Option<Result<(), GuardError>> {
        self.look_at_users(false)
    }

    /// Reads the password file again, whether it is another one or not; `None`: there is none. May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::refresh`].
    pub fn reread(&self) -> Option<Result<(), GuardError>> {
        self.look_at_users(true)
    }

    fn look_at_users(&self, is_asked: bool) -> Option<Result<(), GuardError>> {
        let path = self.options.file.as_deref()?;
        let found = Stamp::of(path);
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamp == found && !is_asked {
            return None;
        }
        // Also when it cannot be used: it is complained about once.
        *stamp = found;
        Some(users(&self.options).map(|users| {
            *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
            self.generation.fetch_add(1, Ordering::Release);
        }))
    }

    /// From now on, these are the rules of the file.
    pub fn set_rules(&self, listed: Arc<[Rule]>) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(Rules { listed, ..(**rules).clone() });
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// From now on, these are all the rules. Whether the broker tells of itself to everybody stays as it is.
    pub fn replace_rules(&self, new: Rules) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(Rules { tells_of_itself: rules.tells_of_itself, ..new });
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn rules(&self, vhost: &VhostName) -> Scoped {
        let rules = Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner));
        Scoped::new(rules, vhost.clone())
    }

    /// The signed token that a client shows, wherever it does: one that its protocol has a place for, else its password, else,
    /// if it shows nothing else, that of its HTTP request.
    fn token<'a>(&self, credentials: &'a Credentials) -> Option<(&Arc<Tokens>, &'a str)> {
        let tokens = self.tokens.as_ref()?;
        let password = credentials.password.as_deref().unwrap_or_default();
        let is_nobody = credentials.user.as_deref().unwrap_or_default().is_empty() && password.is_empty();
        let of_request = || {
            let handshake = credentials.handshake.as_deref().filter(|_| is_nobody)?;
            let header = handshake.header("authorization").and_then(bearer);
            header.or_else(|| handshake.cookie(tokens.cookie()?))
        };
        let of_password = || std::str::from_utf8(password).ok().filter(|it| is_token(it.as_bytes()));
        let token = credentials.token.as_deref().or_else(of_password).or_else(of_request)?;
        Some((tokens, token))
    }

    /// The answer that needs no work; `None`: the password has to be looked at.
    fn judge(&self, credentials: &Credentials, users: &Users) -> Option<Result<Principal, Refusal>> {
        let user = credentials.user.as_deref().unwrap_or_default();
        let password = credentials.password.as_deref().unwrap_or_default();
        let is_local = is_this_machine(credentials.address);
        // Whoever says a password is judged by that, whatever his connection showed.
        if let Some(name) = credentials.certificate.as_deref().filter(|_| password.is_empty()) {
            return Some(certified(name, user));
        }
        // Libraries send empty texts where they were given no user and no password.
        if credentials.user.is_none() || (user.is_empty() && password.is_empty()) {
            return Some(match (self.options.anonymous, is_local) {
                (Anonymous::Always, _) | (Anonymous::Loopback, true) => Ok(Principal { user: None }),
                (Anonymous::Loopback, false) => Err(Refusal::BadCredentials(
                    "a user name is needed; without one, clients of this machine alone are let in (auth.anonymous)",
                )),
                (Anonymous::Never, _) => {
                    Err(Refusal::BadCredentials("a user name is needed (auth.anonymous is \"never\")"))
                }
            });
        }
        if users.has("guest") {
            return None;
        }
        // Both are compared in any case: how long the answer takes does not tell which of them was right.
        let is_guest = equal(user.as_bytes(), GUEST) & equal(password, GUEST);
        match (is_guest, is_local && self.options.guest_loopback) {
            (true, true) => Some(Ok(Principal { user: Some(UserName::GUEST) })),
            (true, false) => Some(Err(Refusal::BadCredentials(
                "guest is let in from this machine alone, and only if auth.guest_loopback is true",
            ))),
            (false, _) if users.is_empty() => Some(Err(WRONG)),
            (false, _) => None,
        }
    }
}

impl Guard {
    pub(crate) fn admit_to<'a>(
        &'a self,
        vhost: &'a VhostName,
        credentials: &'a Credentials,
    ) -> Admission<'a> {
        let users = self.users();
        // Of the rules at the end of it: a password may wait to be hashed.
        let known = Arc::clone(&users);
        let admitted = move |principal: Principal| {
            let client = credentials.client.as_ref();
            let permissions = self.rules(vhost).permissions(principal.user.as_ref(), client, &[]);
            let way = match &principal.user {
                Some(user) if known.has(user.as_str()) => &self.listed,
                Some(_) | None => &self.unlisted,
            };
            (principal, permissions.as_known(way))
        };
        // Whoever shows one is judged by it alone.
        if let Some((tokens, token)) = self.token(credentials) {
            return Box::pin(async move {
                let shown = tokens.judge(token).await?;
                let client = credentials.client.as_ref();
                let permissions = self.rules(vhost).permissions(Some(&shown.user), client, &shown.rules);
                let permissions = shown.limit(permissions);
                Ok((Principal { user: Some(shown.user) }, permissions))
            });
        }
        if let Some(answer) = self.judge(credentials, &users) {
            return Box::pin(ready(answer.map(admitted)));
        }
        // A name that nobody can have is hashed like others: the time tells nothing.
        let name = credentials.user.as_deref().unwrap_or_default();
        let name = prepared(name).unwrap_or_else(|| name.to_owned());
        let verifier = users.verifier(&name, false);
        let password = credentials.password.as_ref().map_or_else(Bytes::new, |it| Bytes::copy_from_slice(it));
        Box::pin(async move {
            if self.hasher.is_of(verifier, password).await? {
                Ok(admitted(Principal { user: Some(UserName::new(&name)) }))
            } else {
                Err(WRONG)
            }
        })
    }

    pub(crate) fn permissions_in(
        &self,
        vhost: &VhostName,
        principal: &Principal,
        client: Option<&ClientId>,
    ) -> Permissions {
        self.rules(vhost).permissions(principal.user.as_ref(), client, &[])
    }

    pub(crate) fn revise_in(
        &self,
        vhost: &VhostName,
        principal: &Principal,
        client: Option<&ClientId>,
        known: Option<&Permissions>,
    ) -> Result<Option<Permissions>, Refusal> {
        let user = principal.user.as_ref();
        let how = known.and_then(|known| known.basis()?.downcast_ref::<How>());
        let is_gone = |user: &UserName| !self.users().has(user.as_str());
        let shown: &[Rule] = match how {
            Some(How::Token(rules)) => rules,
            Some(How::OfThisMachine) => &[],
            Some(How::Password) if user.is_some_and(is_gone) => return Err(GONE),
            Some(How::Password) => &[],
            // Whoever was there before the broker came back. Where there are tokens or certificates, he may have had one.
            None => {
                let Options { file, certificates, .. } = &self.options;
                let is_listed = file.is_some() && self.tokens.is_none() && !certificates;
                if is_listed && user.is_some_and(|user| user.as_str().as_bytes() != GUEST && is_gone(user)) {
                    return Err(GONE);
                }
                &[]
            }
        };
        let permissions = self.rules(vhost).permissions(user, client, shown);
        if let Some(right) = permissions.keep_from_all(Action::Connect) {
            return Err(Refusal::forbidden("connect", "here", right));
        }
        Ok(Some(match known {
            Some(known) => permissions.as_known(known),
            None => permissions,
        }))
    }

    pub(crate) fn permissions_of_author_in(
        &self,
        vhost: &VhostName,
        author: &Author,
        client: Option<&ClientId>,
    ) -> Result<Option<Permissions>, Refusal> {
        let user = author.user.as_ref();
        let is_gone = |user: &UserName| !self.users().has(user.as_str());
        let rules = self.rules(vhost);
        let permissions = match author.footing {
            None => return self.revise_in(vhost, &Principal { user: author.user.clone() }, client, None),
            Some(Footing::Password) if user.is_some_and(is_gone) => return Err(GONE),
            Some(Footing::Password | Footing::Token | Footing::Unlisted) => {
                rules.permissions(user, client, &[])
            }
            // What his token allowed stands, but for what has been denied him since.
            Some(Footing::TokenWithRules) => rules.unless_denied(user, client),
        };
        match permissions.keep_from_all(Action::Connect) {
            Some(right) => Err(Refusal::forbidden("connect", "here", right)),
            None => Ok(Some(permissions)),
        }
    }

    pub(crate) fn begin_in(
        &self,
        vhost: &VhostName,
        method: &str,
        credentials: &Credentials,
    ) -> Result<Box<dyn Exchange>, Refusal> {
        let rules = self.rules(vhost);
        if let (Some(tokens), true) = (&self.tokens, NAMES.contains(&method)) {
            return Ok(Box::new(TokenExchange::new(Arc::clone(tokens), rules, credentials)));
        }
        if method != NAME {
            let supported = if self.tokens.is_some() { "SCRAM-SHA-256, JWT" } else { NAME };
            return Err(Refusal::NoMethod { method: method.to_owned(), supported });
        }
        let is_local = is_this_machine(credentials.address);
        Ok(Box::new(Scram::new(self.users(), rules, is_local, credentials)?))
    }
}

/// By itself, a guard stands at the door of the default vhost.
impl AccessControl for Guard {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        self.admit_to(&HOME, credentials)
    }

    fn permissions_of(&self, principal: &Principal, client: Option<&ClientId>) -> Option<Permissions> {
        Some(self.permissions_in(&HOME, principal, client))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn revise(
        &self,
        principal: &Principal,
        client: Option<&ClientId>,
        known: Option<&Permissions>,
    ) -> Result<Option<Permissions>, Refusal> {
        self.revise_in(&HOME, principal, client, known)
    }

    fn begin(&self, method: &str, credentials: &Credentials) -> Result<Box<dyn Exchange>, Refusal> {
        self.begin_in(&HOME, method, credentials)
    }

    fn footing(&self, known: &Permissions) -> Option<Footing> {
        let how = known.basis()?.downcast_ref::<How>()?;
        Some(match how {
            How::Password => Footing::Password,
            How::Token(rules) if rules.is_empty() => Footing::Token,
            How::Token(_) => Footing::TokenWithRules,
            How::OfThisMachine => Footing::Unlisted,
        })
    }

    fn permissions_of_author(
        &self,
        author: &Author,
        client: Option<&ClientId>,
    ) -> Result<Option<Permissions>, Refusal> {
        self.permissions_of_author_in(&HOME, author, client)
    }

    fn within(self: Arc<Self>, vhost: &VhostName) -> Option<Arc<dyn AccessControl>> {
        Some(Arc::new(Posted { guard: self, vhost: vhost.clone() }))
    }

    fn hook(&self) -> Option<Arc<dyn Hook>> {
        self.hook.clone()
    }
}

/// The same guard at the door of another vhost.
struct Posted {
    guard: Arc<Guard>,
    vhost: VhostName,
}

impl AccessControl for Posted {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        self.guard.admit_to(&self.vhost, credentials)
    }

    fn permissions_of(&self, principal: &Principal, client: Option<&ClientId>) -> Option<Permissions> {
        Some(self.guard.permissions_in(&self.vhost, principal, client))
    }

    fn generation(&self) -> u64 {
        self.guard.generation()
    }

    fn revise(
        &self,
        principal: &Principal,
        client: Option<&ClientId>,
        known: Option<&Permissions>,
    ) -> Result<Option<Permissions>, Refusal> {
        self.guard.revise_in(&self.vhost, principal, client, known)
    }

    fn begin(&self, method: &str, credentials: &Credentials) -> Result<Box<dyn Exchange>, Refusal> {
        self.guard.begin_in(&self.vhost, method, credentials)
    }

    fn footing(&self, known: &Permissions) -> Option<Footing> {
        self.guard.footing(known)
    }

    fn permissions_of_author(
        &self,
        author: &Author,
        client: Option<&ClientId>,
    ) -> Result<Option<Permissions>, Refusal> {
        self.guard.permissions_of_author_in(&self.vhost, author, client)
    }

    fn hook(&self) -> Option<Arc<dyn Hook>> {
        self.guard.hook()
    }
}

/// Whom a certificate names, where the client says nothing else.
fn certified(name: &str, user: &str) -> Result<Principal, Refusal> {
    match prepared(name) {
        Some(name) if user.is_empty() || user == name => Ok(Principal { user: Some(UserName::new(&name)) }),
        Some(_) => Err(Refusal::BadCredentials(
            "the user name is not that of the certificate; leave it out, or show a password with it",
        )),
        None => Err(Refusal::BadCredentials("the name in the certificate cannot be that of a user")),
    }
}

fn no_key((place, error): (String, KeyError)) -> GuardError {
    GuardError::Key { place, error }
}

fn users(options: &Options) -> Result<Users, GuardError> {
    let users = match &options.file {
        Some(path) => Users::read(path)?,
        None => Users::none()?,
    };
    Ok(if options.guest_loopback { users.with_guest() } else { users })
}

/// An IPv4 address may come wrapped in an IPv6 one, from a socket that listens on both.
fn is_this_machine(address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| address.to_canonical().is_loopback())
}

/// Takes as long for a wrong text as for the right one of that length: the time tells nothing about where they part.
fn equal(shown: &[u8], known: &[u8]) -> bool {
    let parts = shown.iter().zip(known.iter().cycle()).fold(0, |parts, (a, b)| parts | (a ^ b));
    black_box(parts) == 0 && shown.len() == known.len()
}

static HOME: VhostName = VhostName::DEFAULT;
const GONE: Refusal = Refusal::BadCredentials("there is no such user any more");
const WRONG: Refusal = Refusal::BadCredentials("wrong user name or password");

#[cfg(test)]
mod tests;
