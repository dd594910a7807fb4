//! The style, the script and the icon: part of the program, and small.
//!
//! An address has a fingerprint of the contents, so browsers keep what they have and never show what is old.

use linden_gateway::axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

/// A file that pages load.
#[derive(Debug)]
pub(super) struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
    fingerprint: u64,
}

pub(super) const STYLE: Asset =
    Asset::new("shop.css", "text/css; charset=utf-8", include_str!("assets/shop.css"));
pub(super) const SCRIPT: Asset =
    Asset::new("shop.js", "text/javascript; charset=utf-8", include_str!("assets/shop.js"));
pub(super) const ICON: Asset =
    Asset::new("icon.svg", "image/svg+xml", include_str!("assets/icon.svg"));

const ALL: [&Asset; 3] = [&STYLE, &SCRIPT, &ICON];

impl Asset {
    const fn new(name: &'static str, content_type: &'static str, text: &'static str) -> Asset {
        Asset { name, content_type, text, fingerprint: fingerprint(text.as_bytes()) }
    }

    /// Where it is served.
    pub(super) fn href(&self) -> String {
        format!("/shop/assets/{}?v={:016x}", self.name, self.fingerprint)
    }

    fn etag(&self) -> String {
        format!("\"{:016x}\"", self.fingerprint)
    }

    fn headers(&self) -> [(HeaderName, String); 3] {
        [
            (header::CONTENT_TYPE, self.content_type.to_owned()),
            (header::ETAG, self.etag()),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        ]
    }
}

/// FNV-1a: tells versions of a file apart, and nothing more.
const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut place = 0;
    while place < bytes.len() {
        hash = (hash ^ bytes[place] as u64).wrapping_mul(0x100_0000_01b3);
        place += 1;
    }
    hash
}

/// Who has the file already is told so.
pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ALL.into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|tags| tags.contains(&asset.etag())) {
        return (StatusCode::NOT_MODIFIED, asset.headers()).into_response();
    }
    (asset.headers(), asset.text).into_response()
}
