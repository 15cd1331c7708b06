//! The demo pages, built in: chat rooms in the browser, over STOMP and over MQTT.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::headers;

/// Where the pages find a WebSocket listener of the broker. They take the host from their own address, because only
/// the browser knows by which name it reached this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebEndpoint {
    /// The port it listens on.
    pub port: u16,
    /// The path of its upgrade, from `/` on: `/ws`, `/mqtt`.
    pub path: String,
    /// The path of its SockJS for the same protocol; `None` where it has none.
    pub sockjs: Option<String>,
    /// Whether it speaks TLS (`wss`).
    pub tls: bool,
}

/// `/` and all below `/demo/`; `login`: whether the pages can have tokens.
pub(crate) fn routes(mqtt: Option<&WebEndpoint>, stomp: Option<&WebEndpoint>, login: bool) -> Router {
    let config = json!({ "mqtt": describe(mqtt), "stomp": describe(stomp), "login": login }).to_string();
    let config = move || async move { ([(header::CONTENT_TYPE, JSON)], config) };
    let pages = Router::new()
        .route("/", get(async || Redirect::temporary("/demo/")))
        .route("/demo", get(async || Redirect::temporary("/demo/")))
        .route("/demo/config.json", get(config));
    ASSETS.iter().fold(pages, |pages, asset| pages.route(asset.path, get(async || asset.answer())))
}

/// `null` where there is no such listener: the page says so instead of guessing a port.
fn describe(endpoint: Option<&WebEndpoint>) -> Value {
    endpoint.map_or(
        Value::Null,
        |at| json!({ "port": at.port, "path": at.path, "sockjs": at.sockjs, "tls": at.tls }),
    )
}

/// A file of the pages.
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

impl Asset {
    fn answer(&self) -> Response {
        let mut response = ([(header::CONTENT_TYPE, self.media_type)], self.content).into_response();
        if self.path == SOCKJS_CLIENT {
            headers::share(response.headers_mut());
        }
        response
    }
}

/// Where the client library of SockJS is. Pages of other origins load it as well: those that the web listeners serve for the
/// transports that work by iframe.
pub const SOCKJS_CLIENT: &str = "/demo/vendor/sockjs.min.js";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! asset {
    ($path:literal, $media_type:expr, $file:literal) => {
        Asset { path: $path, media_type: $media_type, content: include_bytes!(concat!("../demo/", $file)) }
    };
}

/// Every file there is; the licences stand beside what they license, so that whoever gets one gets both.
static ASSETS: [Asset; 21] = [
    asset!("/demo/", HTML, "index.html"),
    asset!("/demo/chat.html", HTML, "chat.html"),
    asset!("/demo/mqtt.html", HTML, "mqtt.html"),
    asset!("/demo/demo.css", STYLE, "demo.css"),
    asset!("/demo/room.css", STYLE, "room.css"),
    asset!("/demo/icon.svg", PICTURE, "icon.svg"),
    asset!("/demo/index.js", SCRIPT, "index.js"),
    asset!("/demo/words.js", SCRIPT, "words.js"),
    asset!("/demo/login.js", SCRIPT, "login.js"),
    asset!("/demo/page.js", SCRIPT, "page.js"),
    asset!("/demo/messages.js", SCRIPT, "messages.js"),
    asset!("/demo/rooms.js", SCRIPT, "rooms.js"),
    asset!("/demo/chat.js", SCRIPT, "chat.js"),
    asset!("/demo/mqtt.js", SCRIPT, "mqtt.js"),
    Asset {
        path: SOCKJS_CLIENT,
        media_type: SCRIPT,
        content: include_bytes!("../demo/vendor/sockjs.min.js"),
    },
    asset!("/demo/vendor/LICENSE-sockjs", TEXT, "vendor/LICENSE-sockjs"),
    asset!("/demo/vendor/LICENSE-sockjs-parts", TEXT, "vendor/LICENSE-sockjs-parts"),
    asset!("/demo/vendor/stomp.umd.min.js", SCRIPT, "vendor/stomp.umd.min.js"),
    asset!("/demo/vendor/LICENSE-stompjs", TEXT, "vendor/LICENSE-stompjs"),
    asset!("/demo/vendor/mqtt.min.js", SCRIPT, "vendor/mqtt.min.js"),
    asset!("/demo/vendor/LICENSE-mqttjs", TEXT, "vendor/LICENSE-mqttjs"),
];
