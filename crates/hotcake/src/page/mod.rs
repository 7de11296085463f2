//! The page for buyers: eight files, embedded, served with headers that let a browser keep them and run nothing else.
//!
//! Knows paths and HTTP caching; knows nothing of sales. All that the page says of them it asks `/v1` for, as any client does.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

/// Nothing from elsewhere, nothing inline, in nobody's frame, and no string ever becomes a script.
pub const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'";

const INDEX: &str = include_str!("index.html");

/// Name, content type, text. They stand under `/page/{version}/`, so that a new version of one is never mixed with an old one of another.
const ASSETS: [(&str, &str, &str); 7] = [
    ("page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
    ("server.js", "text/javascript; charset=utf-8", include_str!("server.js")),
    ("purchase.js", "text/javascript; charset=utf-8", include_str!("purchase.js")),
    ("words.js", "text/javascript; charset=utf-8", include_str!("words.js")),
    ("who.js", "text/javascript; charset=utf-8", include_str!("who.js")),
    ("favicon.svg", "image/svg+xml", include_str!("favicon.svg")),
];

/// The same on every node that runs the same binary: the hasher's keys are fixed.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    (INDEX, ASSETS).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
});

static PAGE: LazyLock<String> = LazyLock::new(|| INDEX.replace("VERSION", &VERSION));

/// `/` and the files that it names, for any state.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| page(&headers)))
        .route("/favicon.ico", get(async |headers: HeaderMap| asset(&VERSION, "favicon.svg", &headers)))
        .route(
            "/page/{version}/{name}",
            get(async |Path((version, name)): Path<(String, String)>, headers: HeaderMap| asset(&version, &name, &headers)),
        )
}

fn page(headers: &HeaderMap) -> Response {
    // Asked for each time, so that an upgrade is seen at once; the answer is nearly always 304.
    answer(headers, "text/html; charset=utf-8", "no-cache", PAGE.as_str())
}

fn asset(version: &str, name: &str, headers: &HeaderMap) -> Response {
    let Some(&(_, kind, text)) = ASSETS.iter().find(|asset| asset.0 == name) else {
        return (
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            "The page has no such file; reload the page.\n",
        )
            .into_response();
    };
    // During a rolling upgrade one node is asked for another's version. It gives what it has, but nobody may keep it under that name.
    let keep = if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    answer(headers, kind, keep, text)
}

fn answer(asked: &HeaderMap, kind: &'static str, keep: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{}\"", *VERSION);
    let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|list| list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag))
    });
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { text.into_response() };
    let headers = response.headers_mut();
    let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, kind);
    set(header::CACHE_CONTROL, keep);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hex digits in quotes are a header's value"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn the_page_names_only_files_that_exist() {
        let named: Vec<&str> = PAGE.split("/page/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(named.len() >= 5, "{named:?}");
        for path in named {
            let (version, name) = path.split_once('/').unwrap();
            let response = asset(version, name, &HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert!(header_of(&response, "cache-control").contains("immutable"), "{path}");
        }
        for (name, _, text) in ASSETS {
            for import in text.split(" from \"./").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(ASSETS.iter().any(|asset| asset.0 == import), "{name} imports {import}");
            }
        }
    }

    #[test]
    fn nothing_in_the_page_breaks_its_own_policy() {
        assert!(!PAGE.contains("<style") && !PAGE.contains(" style=") && !PAGE.contains(" onclick="), "inline style or handler");
        assert!(PAGE.split("<script").skip(1).all(|rest| rest.contains("src=\"/page/")), "inline script");
        for (name, _, text) in ASSETS {
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{name} makes markup or code out of strings");
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{name} names another host");
        }
        let response = page(&HeaderMap::new());
        assert!(header_of(&response, "content-security-policy").starts_with("default-src 'self';"));
        assert!(header_of(&response, "content-security-policy").contains("frame-ancestors 'none'"));
    }

    #[test]
    fn a_browser_that_has_it_is_told_so() {
        let tag = header_of(&page(&HeaderMap::new()), "etag").to_owned();
        for (sent, expect) in [(tag.clone(), 304), (format!("W/{tag}"), 304), (format!("\"x\", {tag}"), 304), ("\"x\"".to_owned(), 200)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, sent.parse().unwrap());
            let response = page(&headers);
            assert_eq!(response.status().as_u16(), expect, "{sent}");
            assert_eq!(header_of(&response, "etag"), tag);
            assert_eq!(header_of(&response, "cache-control"), "no-cache");
        }
    }

    #[test]
    fn a_file_of_another_version_is_not_kept_and_an_unknown_one_is_404() {
        let other = asset("0000", "page.js", &HeaderMap::new());
        assert_eq!((other.status(), header_of(&other, "cache-control")), (StatusCode::OK, "no-store"));
        assert_eq!(asset(&VERSION, "../mod.rs", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn both_languages_have_the_same_sentences() {
        let words = ASSETS.iter().find(|asset| asset.0 == "words.js").unwrap().2;
        let names = |from: &str| -> Vec<&str> {
            let table = words.split(from).nth(1).unwrap().split("\n};").next().unwrap();
            table.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": \"").map(|(name, _)| name)).collect()
        };
        let english = names("const en = {");
        assert!(english.len() > 100, "{}", english.len());
        assert_eq!(english, names("const zh = {"));
    }
}
