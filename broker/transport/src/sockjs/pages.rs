//! What is there for everybody: greeting, info, the page of the iframe transports.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW,
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ETAG, EXPIRES, HOST, HeaderValue,
    IF_NONE_MATCH, ORIGIN, SET_COOKIE, VARY,
};
use hyper::{HeaderMap, Method, Response, StatusCode};

use crate::http::content::{Content, plain};
use crate::http::origins::Origins;
use crate::sockjs::options::Options;

/// For people who look whether it is there.
pub fn greeting() -> Response<Content> {
    plain(StatusCode::OK, "Welcome to SockJS!\n")
}

/// What the client asks first: which transports there are. The origins are of no use to it.
pub(crate) fn info(options: &Options) -> Response<Content> {
    // As good as the randomness of a hash table: it is seeded by the system.
    let entropy = RandomState::new().hash_one("entropy") & u64::from(u32::MAX);
    let text = format!(
        "{{\"websocket\":{},\"cookie_needed\":{},\"origins\":[\"*:*\"],\"entropy\":{entropy}}}",
        options.websocket, options.cookie
    );
    let mut response = Response::new(Content::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

/// The page that the iframe transports load from here, so that it may speak to us as one of ours.
#[derive(Debug)]
pub(crate) struct Iframe {
    page: String,
    tag: HeaderValue,
}

impl Iframe {
    /// With the library at `client_url`.
    pub(crate) fn new(client_url: &str) -> Self {
        let page = IFRAME.replace("{client}", &attribute(client_url));
        // Not a secret: the same page has the same tag in every process.
        let sum = page.bytes().fold(FNV_BASIS, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        let tag = HeaderValue::try_from(format!("\"{sum:016x}\"")).expect("hexadecimal is printable");
        Self { page, tag }
    }

    /// The page, or that the client has it already.
    pub(crate) fn answer(&self, request: &HeaderMap, origins: &Origins) -> Response<Content> {
        let known = request.get_all(IF_NONE_MATCH).iter().any(|tag| *tag == self.tag);
        let mut response = Response::new(Content::empty());
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Content::from(self.page.clone());
            let html = HeaderValue::from_static("text/html; charset=UTF-8");
            response.headers_mut().insert(CONTENT_TYPE, html);
        }
        response.headers_mut().insert(ETAG, self.tag.clone());
        restrict_frames(response.headers_mut(), request, origins);
        cache_for_a_year(response.headers_mut());
        response
    }
}

/// Only pages that may connect may have our frames in them: such a frame speaks for the page around it.
pub(crate) fn restrict_frames(headers: &mut HeaderMap, request: &HeaderMap, origins: &Origins) {
    if origins.are_all() {
        return;
    }
    let mut policy = "frame-ancestors 'self'".to_owned();
    let is_host = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    if let Some(host) = request.get(HOST).and_then(|host| host.to_str().ok()).filter(is_host) {
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let name = name.map_or(host, |(name, _)| name);
        let _ = write!(policy, " http://{name}:* https://{name}:*");
    }
    for origin in origins.listed() {
        policy.push(' ');
        policy.push_str(origin);
    }
    // What cannot stand in a header was no origin.
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("frame-ancestors 'self'"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
}

/// The answer to a request that asks what it may ask.
pub(crate) fn preflight(methods: &[Method]) -> Response<Content> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, list(methods));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("31536000"));
    cache_for_a_year(headers);
    response
}

/// Another method than there is.
pub(crate) fn other_method(methods: &[Method]) -> Response<Content> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, list(methods));
    response
}

/// Lets the page that asks read the answer, with its cookies (Fetch, 3.2). Its origin was checked.
pub(crate) fn allow_origin(headers: &mut HeaderMap, request: &HeaderMap) {
    match request.get(ORIGIN) {
        Some(origin) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        None => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| !asked.is_empty()) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
}

/// For all that is said to one client.
pub(crate) fn never_cache(headers: &mut HeaderMap) {
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0"),
    );
}

/// The cookie by which balancers send all requests of a client to one broker: its own, or a dummy that makes them add theirs.
pub(crate) fn set_cookie(headers: &mut HeaderMap, request: &HeaderMap) {
    let lines = request.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut values = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        pair.trim().strip_prefix("JSESSIONID=").filter(|value| value.bytes().all(|b| b.is_ascii_graphic()))
    });
    let value = values.next().unwrap_or("dummy");
    if let Ok(cookie) = HeaderValue::try_from(format!("JSESSIONID={value}; path=/")) {
        headers.insert(SET_COOKIE, cookie);
    }
}

fn cache_for_a_year(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000"));
    // `max-age` stands before it (RFC 9111, 5.3); a far date is good enough for whoever knows nothing else.
    headers.insert(EXPIRES, HeaderValue::from_static("Fri, 31 Dec 2100 23:59:59 GMT"));
}

fn list(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).expect("names of methods are printable")
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

const IFRAME: &str = r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{client}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"#;
