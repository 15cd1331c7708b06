//! The demo pages, built in: a chat room in the browser, over STOMP and over MQTT.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};

/// Where the pages find a WebSocket listener of the broker. They take the host from their own address, because only
/// the browser knows by which name it reached this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebEndpoint {
    /// The port it listens on.
    pub port: u16,
    /// The path of its upgrade, from `/` on: `/ws`, `/mqtt`.
    pub path: String,
    /// Whether it speaks TLS (`wss`).
    pub tls: bool,
}

/// `/` and all below `/demo/`.
pub(crate) fn routes(mqtt: Option<&WebEndpoint>, stomp: Option<&WebEndpoint>) -> Router {
    let config = json!({ "mqtt": describe(mqtt), "stomp": describe(stomp) }).to_string();
    let config = move || async move { ([(header::CONTENT_TYPE, JSON)], config) };
    let pages = Router::new()
        .route("/", get(async || Redirect::temporary("/demo/")))
        .route("/demo", get(async || Redirect::temporary("/demo/")))
        .route("/demo/config.json", get(config));
    ASSETS.iter().fold(pages, |pages, asset| pages.route(asset.path, get(async || asset.answer())))
}

/// `null` where there is no such listener: the page says so instead of guessing a port.
fn describe(endpoint: Option<&WebEndpoint>) -> Value {
    endpoint.map_or(Value::Null, |at| json!({ "port": at.port, "path": at.path, "tls": at.tls }))
}

/// A file of the pages.
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

impl Asset {
    fn answer(&self) -> Response {
        ([(header::CONTENT_TYPE, self.media_type)], self.content).into_response()
    }
}

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
static ASSETS: [Asset; 15] = [
    asset!("/demo/", HTML, "index.html"),
    asset!("/demo/chat.html", HTML, "chat.html"),
    asset!("/demo/mqtt.html", HTML, "mqtt.html"),
    asset!("/demo/demo.css", STYLE, "demo.css"),
    asset!("/demo/room.css", STYLE, "room.css"),
    asset!("/demo/icon.svg", PICTURE, "icon.svg"),
    asset!("/demo/index.js", SCRIPT, "index.js"),
    asset!("/demo/words.js", SCRIPT, "words.js"),
    asset!("/demo/room.js", SCRIPT, "room.js"),
    asset!("/demo/chat.js", SCRIPT, "chat.js"),
    asset!("/demo/mqtt.js", SCRIPT, "mqtt.js"),
    asset!("/demo/vendor/stomp.umd.min.js", SCRIPT, "vendor/stomp.umd.min.js"),
    asset!("/demo/vendor/LICENSE-stompjs", TEXT, "vendor/LICENSE-stompjs"),
    asset!("/demo/vendor/mqtt.min.js", SCRIPT, "vendor/mqtt.min.js"),
    asset!("/demo/vendor/LICENSE-mqttjs", TEXT, "vendor/LICENSE-mqttjs"),
];
