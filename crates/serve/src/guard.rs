//! Who is answered at all, and what every answer says to a browser.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::refusal::Refusal;

/// What is answered without a token: nothing that was uploaded.
const PUBLIC: [&str; 6] = [
    "/",
    "/page.js",
    "/page.css",
    "/icon.svg",
    "/healthz",
    "/openapi.json",
];

/// Nothing may run or be loaded but what the server itself holds, nothing on the page
/// may be made of text (`require-trusted-types-for`), and no other page may show it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

#[derive(Debug)]
pub(crate) struct Guard {
    /// The address, where only this machine reaches it.
    loopback: Option<IpAddr>,
    /// Hashes are compared in a time that says nothing.
    token: Option<blake3::Hash>,
}

impl Guard {
    pub(crate) fn new(address: IpAddr, token: Option<&str>) -> Guard {
        Guard {
            loopback: address.is_loopback().then_some(address),
            token: token.map(|token| blake3::hash(token.as_bytes())),
        }
    }

    fn allow(&self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        let host = self.host(request.uri(), headers)?;
        same_site(request.method(), request.uri().path(), host, headers)?;
        let path = request.uri().path();
        let Some(token) = self.token else {
            return Ok(());
        };
        if PUBLIC.contains(&path) || bearer(headers) == Some(token) {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "token",
            "send the token of this server: Authorization: Bearer TOKEN",
        ))
    }

    /// The host that the request names. A page of another name that was made to mean
    /// this machine is refused by it.
    fn host<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let named = headers.get(header::HOST).and_then(|h| h.to_str().ok());
        let named = uri.authority().map(|a| a.as_str()).or(named);
        let Some(named) = named else {
            return Err(Refusal::wrong("the request names no host"));
        };
        let Some(address) = self.loopback else {
            return Ok(named);
        };
        let name = match named.rsplit_once(':') {
            // The last part of a bare IPv6 address is no port.
            Some((name, port)) if !port.contains(']') => name,
            _ => named,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let ours = bare.eq_ignore_ascii_case("localhost")
            || bare
                .parse()
                .is_ok_and(|ip: IpAddr| ip == address || ip.is_loopback());
        if ours {
            return Ok(named);
        }
        Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            format!("this server is localhost or {address}, and no other host"),
        ))
    }
}

/// Refuses what a browser sends for a page of another site.
fn same_site(method: &Method, path: &str, host: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let value = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let refused = Refusal::new(
        StatusCode::FORBIDDEN,
        "cross_site",
        "pages of other sites may not ask this server",
    );
    let site = value(HeaderName::from_static("sec-fetch-site"));
    let theirs = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    // A link to the page is harmless, whoever made it.
    if theirs && (path.starts_with("/v1") || path == "/metrics" || !method.is_safe()) {
        return Err(refused);
    }
    let origin = value(header::ORIGIN);
    let ours = |origin: &[u8]| {
        let text = std::str::from_utf8(origin).unwrap_or_default();
        let name = text
            .strip_prefix("http://")
            .or(text.strip_prefix("https://"));
        name.is_some_and(|name| name.eq_ignore_ascii_case(host))
    };
    match origin {
        Some(origin) if !ours(origin) => Err(refused),
        _ => Ok(()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<blake3::Hash> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    bearer.then(|| blake3::hash(token.trim_ascii()))
}

/// Lets requests through that may be answered, measures them, and adds what browsers
/// have to know.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let mut response = match app.guard.allow(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    let mut say = |name, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    say(header::CONTENT_SECURITY_POLICY, POLICY);
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
    say(header::X_FRAME_OPTIONS, "DENY");
    say(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    say(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    // Another version of the program has another page, and what was uploaded is to be
    // found in no cache.
    say(header::CACHE_CONTROL, "no-store");
    let seconds = begin.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    app.metrics.requested(&route, method, status, seconds);
    response
}
