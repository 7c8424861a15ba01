//! What pages load: the style sheet, htmx and the icon, part of the binary. Their addresses hold a hash of
//! their content, so browsers may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segue_core::digest::Digest;

use super::answer::Trouble;

/// A file of the console.
#[derive(Debug)]
pub struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// Our style sheet.
pub const STYLE: Asset = Asset {
    name: "console.css",
    kind: "text/css; charset=utf-8",
    bytes: include_bytes!("assets/console.css"),
};
/// htmx 2.0.11, as published in npm (Zero-Clause BSD, see `assets/htmx-LICENSE.txt`).
pub const HTMX: Asset = Asset {
    name: "htmx.js",
    kind: "text/javascript; charset=utf-8",
    bytes: include_bytes!("assets/htmx-2.0.11.min.js"),
};
/// The icon of the browser's tab.
pub const ICON: Asset =
    Asset { name: "icon.svg", kind: "image/svg+xml", bytes: include_bytes!("assets/favicon.svg") };

/// By address within `/console/assets/`.
static ALL: LazyLock<[(String, Asset); 3]> =
    LazyLock::new(|| [STYLE, HTMX, ICON].map(|asset| (addressed(&asset), asset)));

fn addressed(asset: &Asset) -> String {
    let hash = Digest::of_payload(asset.bytes).to_string();
    format!("{}-{}", &hash[..12], asset.name)
}

impl Asset {
    /// Where pages find it.
    #[must_use]
    pub fn path(&self) -> String {
        let known = ALL.iter().find(|(_, asset)| asset.name == self.name);
        let name = known.map_or(self.name, |(name, _)| name);
        format!("/console/assets/{name}")
    }
}

/// Serves an asset.
pub async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((address, asset)) = ALL.iter().find(|(address, _)| *address == name) else {
        return Trouble::no_such_page(&format!("/console/assets/{name}")).into_response();
    };
    let tag = format!("\"{address}\"");
    let fresh = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *tag);
    let tag = HeaderValue::from_str(&tag).expect("a hash and a name are ASCII");
    let about = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
    ];
    if fresh {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, asset.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_asset_names_another_host() {
        let style = std::str::from_utf8(STYLE.bytes).unwrap();
        assert!(!style.contains("http") && !style.contains("@import") && !style.contains("url("));
        let icon =
            std::str::from_utf8(ICON.bytes).unwrap().replace("http://www.w3.org/2000/svg", "");
        assert!(!icon.contains("http"));
    }

    #[tokio::test]
    async fn a_browser_that_has_an_asset_is_not_sent_it_again() {
        let name = STYLE.path().trim_start_matches("/console/assets/").to_owned();
        let first = serve(Path(name.clone()), HeaderMap::new()).await;
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(serve(Path(name), headers).await.status(), StatusCode::NOT_MODIFIED);
    }
}
