//! The parts of the page that never change, as they were when the program was built.
//!
//! A browser asks again each time whether they are still the same, which costs it
//! nothing on the way to a server that has answered anyway: after an update nobody looks
//! at half of a new page.

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where each file is, what it is, and its bytes.
const FILES: [(&str, &str, &[u8]); 19] = [
    ("/", HTML, include_bytes!("assets/index.html")),
    ("/page/page.css", CSS, include_bytes!("assets/page.css")),
    ("/page/parts.css", CSS, include_bytes!("assets/parts.css")),
    ("/page/icon.svg", SVG, include_bytes!("assets/icon.svg")),
    ("/page/page.js", JAVASCRIPT, include_bytes!("assets/page.js")),
    ("/page/feed.js", JAVASCRIPT, include_bytes!("assets/feed.js")),
    ("/page/tree.js", JAVASCRIPT, include_bytes!("assets/tree.js")),
    ("/page/words.js", JAVASCRIPT, include_bytes!("assets/words.js")),
    ("/page/parts.js", JAVASCRIPT, include_bytes!("assets/parts.js")),
    ("/page/attention.js", JAVASCRIPT, include_bytes!("assets/attention.js")),
    ("/page/chart.js", JAVASCRIPT, include_bytes!("assets/chart.js")),
    ("/page/charts.js", JAVASCRIPT, include_bytes!("assets/charts.js")),
    ("/page/model.js", JAVASCRIPT, include_bytes!("assets/model.js")),
    ("/page/trial.js", JAVASCRIPT, include_bytes!("assets/trial.js")),
    ("/page/overview.js", JAVASCRIPT, include_bytes!("assets/overview.js")),
    ("/page/requests.js", JAVASCRIPT, include_bytes!("assets/requests.js")),
    // uPlot 1.6.32 (MIT), unchanged from dist/ of npm's package `uplot`, whose sha512 is
    // KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==;
    // its licence is beside it.
    ("/page/uplot.js", JAVASCRIPT, include_bytes!("assets/uplot/uPlot.iife.min.js")),
    ("/page/uplot.css", CSS, include_bytes!("assets/uplot/uPlot.min.css")),
    ("/page/uplot.LICENSE", TEXT, include_bytes!("assets/uplot/LICENSE")),
];

/// All files, with what their bytes are known by.
pub(super) struct Assets(Vec<(&'static str, Asset)>);

#[derive(Clone)]
struct Asset {
    kind: &'static str,
    bytes: &'static [u8],
    tag: HeaderValue,
}

impl Assets {
    pub(super) fn new() -> Self {
        let asset = |(path, kind, bytes)| (path, Asset { kind, bytes, tag: tag(bytes) });
        Self(FILES.into_iter().map(asset).collect())
    }

    pub(super) fn routes(self) -> Router {
        self.0.into_iter().fold(Router::new(), |router, (path, asset)| {
            router.merge(Router::new().route(path, get(answer)).with_state(asset))
        })
    }
}

/// Some bytes of a digest, quoted as a header wants it.
fn tag(bytes: &[u8]) -> HeaderValue {
    let digits: String = Sha256::digest(bytes).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    // Digits are what a header may hold; a file without a tag is only sent again.
    HeaderValue::try_from(format!("\"{digits}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

async fn answer(State(asset): State<Asset>, headers: HeaderMap) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let mut known = known.flat_map(|tags| tags.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let same = known.any(|tag| tag == "*" || asset.tag == *tag);
    let about = [(ETAG, asset.tag), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if same {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(CONTENT_TYPE, asset.kind)], asset.bytes).into_response()
}
