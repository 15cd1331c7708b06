//! Where a server is, and whether it is asked by TLS.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use rustls::pki_types::ServerName;

/// Where a server is: `https://app.example.org/hook`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) authority: Box<str>,
    /// With the query, if there is one.
    pub(super) path: Box<str>,
    /// For whom a server has to be certified; `None`: plain HTTP.
    pub(super) certified: Option<ServerName<'static>>,
}

impl Url {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// Why it is none that can be asked.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let (is_encrypted, usual) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            Some(_) | None => return Err(UrlError::Scheme),
        };
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::User);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // What stands behind the host and is no port is not there, for the one who reads it.
        let is_bare = authority.as_str() == authority.host();
        let port = if is_bare { Some(usual) } else { authority.port_u16() };
        let (Some(port @ 1..), false) = (port, host.is_empty()) else { return Err(UrlError::Malformed) };
        let certified = is_encrypted
            .then(|| ServerName::try_from(host.to_owned()).map_err(|_| UrlError::Malformed))
            .transpose()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let (authority, path) = (authority.as_str().into(), path.into());
        Ok(Self { host: host.into(), port, authority, path, certified })
    }

    /// Whether nobody between here and there can answer in its place: it is asked by TLS, or is on this machine.
    pub fn is_safe(&self) -> bool {
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        self.certified.is_some() || &*self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

/// Without its query, in which a secret may be.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.certified.is_some() { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

/// Why a text is no address that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is another kind of address.
    #[error("it must begin with http:// or https://")]
    Scheme,
    /// It names a user.
    #[error("it must not name a user")]
    User,
    /// It has a part that is for browsers.
    #[error("it must not have a fragment (#)")]
    Fragment,
    /// It is no address.
    #[error("it is no address such as https://app.example.org/hook")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_says_where() {
        for (text, expected) in [
            ("http://127.0.0.1:9000/hook?a=b", "plain 127.0.0.1 9000 127.0.0.1:9000 /hook?a=b"),
            ("http://app", "plain app 80 app /"),
            ("http://[::1]:80/x", "plain ::1 80 [::1]:80 /x"),
            ("https://id.example.org/keys", "TLS id.example.org 443 id.example.org /keys"),
            ("https://app:8443/", "TLS app 8443 app:8443 /"),
            ("https://[::1]/", "TLS ::1 443 [::1] /"),
            ("ftp://app/", "it must begin with http"),
            ("app:80", "it must begin with http"),
            ("app", "it must begin with http"),
            ("", "it is no address"),
            ("http://", "it is no address"),
            ("https://", "it is no address"),
            ("http://app:0/", "it is no address"),
            ("https://app:0/", "it is no address"),
            ("http://app:99999/", "it is no address"),
            ("https://app:99999/", "it is no address"),
            ("https://-/", "it is no address"),
            ("http://a:b@app/", "it must not name a user"),
            ("https://a:b@app/", "it must not name a user"),
            ("http://app/#x", "it must not have a fragment"),
            ("https://app/#x", "it must not have a fragment"),
            ("http://app/a b", "it is no address"),
            ("https://app/a b", "it is no address"),
            ("http://app/\r\nx: y", "it is no address"),
            ("https://app/\r\nx: y", "it is no address"),
        ] {
            let shown = match Url::parse(text) {
                Ok(url) => {
                    let kind = if url.certified.is_some() { "TLS" } else { "plain" };
                    format!("{kind} {} {} {} {}", url.host, url.port, url.authority, url.path)
                }
                Err(error) => error.to_string(),
            };
            assert!(shown.starts_with(expected), "{text}: {shown}");
        }
        let shown = format!("{:?}", Url::parse("https://app/keys?secret=s3cret").unwrap());
        assert_eq!(shown, "https://app/keys");
    }

    #[test]
    fn nobody_is_between_where_it_is_encrypted_or_on_this_machine() {
        let is_safe = |text: &str| Url::parse(text).unwrap().is_safe();
        for safe in
            ["http://127.0.0.1:1/", "http://[::1]/keys", "http://localhost/a?b=c", "https://id.example.org/"]
        {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in ["http://10.0.0.1/", "http://id.example.org/keys", "http://localhost.example.org/"]
        {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }
}
