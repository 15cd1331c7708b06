//! Whose pages may connect.

use hyper::header::{HOST, HeaderName, ORIGIN, REFERER};
use hyper::{HeaderMap, StatusCode};

use crate::http::rejection::Rejection;

/// Origins whose pages may connect beside those of the host itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    listed: Vec<String>,
}

impl Origins {
    /// `listed`: `https://example.org` each, or `*` for all.
    pub const fn new(listed: Vec<String>) -> Self {
        Self { listed }
    }

    /// Whether the pages of all sites may connect.
    pub fn are_all(&self) -> bool {
        self.listed.iter().any(|entry| entry == "*")
    }

    /// Those that are listed.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// A page of another site may not use the browser's way into our network (cross-site WebSocket hijacking). Only
    /// browsers send an origin; other clients are not asked for one.
    ///
    /// # Errors
    ///
    /// 403, naming the origin.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let host = headers.get(HOST).map(|host| host_of(host.as_bytes()));
        headers.get_all(ORIGIN).iter().try_for_each(|origin| self.admit(origin.as_bytes(), host))
    }

    /// The same for what a `<script>` or a frame asks for: a browser sends no origin with that, but says in other words
    /// where it comes from (`Sec-Fetch-Site`, `Referer`).
    ///
    /// # Errors
    ///
    /// 403, naming the origin where it is known.
    pub fn check_embedded(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        if headers.contains_key(ORIGIN) || self.are_all() {
            return self.check(headers);
        }
        let host = headers.get(HOST).map(|host| host_of(host.as_bytes()));
        if let Some(referer) = headers.get(REFERER) {
            return self.admit(origin_of(referer.as_bytes()), host);
        }
        let foreign = headers.get(SEC_FETCH_SITE).is_some_and(|site| site.as_bytes() == b"cross-site");
        if foreign {
            let reason = "a page of another site that does not say which (Referrer-Policy) is not allowed";
            return Err(Rejection::new(StatusCode::FORBIDDEN, reason));
        }
        Ok(())
    }

    fn admit(&self, origin: &[u8], host: Option<&[u8]>) -> Result<(), Rejection> {
        let same_host = match (strip_scheme(origin), host) {
            (Some(ours), Some(host)) => host_of(ours).eq_ignore_ascii_case(host),
            (None, _) | (_, None) => false,
        };
        let listed = |entry: &String| entry == "*" || entry.as_bytes().eq_ignore_ascii_case(origin);
        if same_host || self.listed.iter().any(listed) {
            return Ok(());
        }
        Err(Rejection::new(
            StatusCode::FORBIDDEN,
            format!("origin {} is not allowed; list it in origins", origin.escape_ascii()),
        ))
    }
}

fn strip_scheme(origin: &[u8]) -> Option<&[u8]> {
    let end = origin.windows(3).position(|window| window == b"://")?;
    origin.get(end + 3..)
}

/// `https://example.org` of `https://example.org/page`.
fn origin_of(referer: &[u8]) -> &[u8] {
    let Some(rest) = strip_scheme(referer) else { return referer };
    let host = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    referer.get(..referer.len() - rest.len() + host).unwrap_or(referer)
}

/// `host:port` without the port; an IPv6 address keeps its brackets.
fn host_of(authority: &[u8]) -> &[u8] {
    let bracket = authority.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(|colon| *colon > bracket);
    colon.and_then(|colon| authority.get(..colon)).unwrap_or(authority)
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_same_host_may_connect_from_any_port() {
        check(&[("origin", "http://broker.example")], Ok(()));
        check(&[("origin", "https://broker.example:8443")], Ok(()));
        check(&[("origin", "https://BROKER.example")], Ok(()));
    }

    #[test]
    fn a_page_of_another_host_must_be_listed() {
        check(&[("origin", "https://evil.example")], FORBIDDEN);
        check(&[("origin", "https://broker.example.evil.example")], FORBIDDEN);
        check(&[("origin", "null")], FORBIDDEN);
        check(&[("origin", "broker.example")], FORBIDDEN);
        check(&[("origin", "https://friend.example")], Ok(()));
        check(&[("origin", "http://friend.example")], FORBIDDEN);
    }

    #[test]
    fn a_star_lists_all_origins() {
        let origins = Origins::new(vec!["*".to_owned()]);
        assert_eq!(origins.check(&headers(&[("origin", "https://evil.example")])), Ok(()));
        assert_eq!(origins.check_embedded(&headers(&[("sec-fetch-site", "cross-site")])), Ok(()));
    }

    #[test]
    fn a_script_of_another_site_must_be_of_a_listed_one() {
        check(&[], Ok(()));
        check(&[("referer", "https://friend.example/page?x=https://y/")], Ok(()));
        check(&[("referer", "http://broker.example:3000/")], Ok(()));
        check(&[("referer", "https://evil.example/broker.example")], FORBIDDEN);
        check(&[("sec-fetch-site", "same-origin")], Ok(()));
        check(&[("sec-fetch-site", "cross-site")], FORBIDDEN);
        check(&[("sec-fetch-site", "cross-site"), ("referer", "https://friend.example/")], Ok(()));
    }

    #[test]
    fn a_host_is_compared_without_its_port() {
        assert_eq!(host_of(b"a.example"), b"a.example");
        assert_eq!(host_of(b"a.example:80"), b"a.example");
        assert_eq!(host_of(b"[::1]"), b"[::1]");
        assert_eq!(host_of(b"[::1]:80"), b"[::1]");
    }

    #[track_caller]
    fn check(more: &[(&'static str, &'static str)], expected: Result<(), StatusCode>) {
        let origins = Origins::new(vec!["https://friend.example".to_owned()]);
        let decision = origins.check_embedded(&headers(more));
        assert_eq!(decision.map_err(|rejection| rejection.status), expected, "{more:?}");
    }

    fn headers(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = [("host", "broker.example:8080")].into_iter().chain(more.iter().copied());
        all.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    const FORBIDDEN: Result<(), StatusCode> = Err(StatusCode::FORBIDDEN);
}
