//! Which web sites may use this server from a visitor's browser.
//!
//! A browser names the site whose script asks in `Origin`, and the script can't change that. The token still decides who
//! the visitor is; this rule keeps other sites from asking in his name at all. Without `Origin` it is no browser.

use std::{collections::BTreeSet, str::FromStr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, VARY},
        uri::Authority,
    },
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

/// How long a browser may rely on the answer to a preflight.
const PREFLIGHT_VALID: Duration = Duration::from_secs(600);

/// The web sites, apart from the server's own, whose pages may use this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    origins: Arc<BTreeSet<String>>,
}

/// An entry of `ALLOWED_ORIGINS` is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?} in ALLOWED_ORIGINS {fault}; write each site as https://forum.example or http://localhost:3000, separated by commas"
)]
pub struct AllowedOriginsError {
    entry: String,
    fault: &'static str,
}

/// Why a browser's request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginRefused {
    /// `Origin: null` comes from sandboxed frames, local files and redirects: anybody can send from there.
    #[error("the page that asks has no origin of its own (a sandboxed frame, a local file or a redirect)")]
    Opaque,
    /// A request has one origin.
    #[error("the request names more than one origin, or one that is not text")]
    Unreadable,
    /// It is not among those allowed.
    #[error("pages of {0} may not use this server; its operator can add that origin to ALLOWED_ORIGINS")]
    NotAllowed(String),
}

impl FromStr for AllowedOrigins {
    type Err = AllowedOriginsError;

    /// Reads a comma-separated list; an empty one allows the server's own origin only.
    fn from_str(text: &str) -> Result<Self, AllowedOriginsError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let origins = entries
            .map(|entry| canonical(entry).map_err(|fault| AllowedOriginsError { entry: printable(entry), fault }))
            .collect::<Result<_, _>>()?;
        Ok(Self { origins: Arc::new(origins) })
    }
}

/// The origin as browsers spell it.
fn canonical(entry: &str) -> Result<String, &'static str> {
    if entry.contains('*') {
        return Err("is a pattern, and each site has to be named");
    }
    let url = Url::parse(entry).map_err(|_| "is not an address")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("begins with neither https:// nor http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("goes on after the host");
    }
    Ok(url.origin().ascii_serialization())
}

/// The entry for the error, without what may be a password.
fn printable(entry: &str) -> String {
    entry.rsplit('@').next().unwrap_or_default().to_owned()
}

impl AllowedOrigins {
    /// Whether a request with these headers may pass.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), OriginRefused> {
        let mut named = headers.get_all(ORIGIN).iter();
        let Some(origin) = named.next() else { return Ok(()) };
        let origin = origin.to_str().map_err(|_| OriginRefused::Unreadable)?;
        if named.next().is_some() {
            return Err(OriginRefused::Unreadable);
        }
        if origin == "null" {
            return Err(OriginRefused::Opaque);
        }
        if self.origins.contains(origin) || is_own(origin, headers) {
            return Ok(());
        }
        Err(OriginRefused::NotAllowed(origin.to_owned()))
    }

    /// Puts the rule around everything `router` serves, and tells browsers what they may do from which site.
    pub fn guard(self, router: Router) -> Router {
        let rule = self.clone();
        let allowed = AllowOrigin::predicate(move |_: &HeaderValue, request: &axum::http::request::Parts| {
            rule.check(&request.headers).is_ok()
        });
        let cors = CorsLayer::new()
            .allow_origin(allowed)
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE])
            .max_age(PREFLIGHT_VALID);
        router.layer(cors).layer(from_fn_with_state(self, refuse_strangers))
    }
}

async fn refuse_strangers(State(allowed): State<AllowedOrigins>, request: Request, next: Next) -> Response {
    let Err(refused) = allowed.check(request.headers()) else { return next.run(request).await };
    tracing::debug!(%refused, "refused a browser's request");
    metrics::counter!("curia_http_origin_refused_total").increment(1);
    let mut response = super::refusal(StatusCode::FORBIDDEN, "origin_not_allowed", refused.to_string());
    response.headers_mut().insert(VARY, HeaderValue::from_static("origin"));
    response
}

/// Whether the page came from this server: the same host and port as the request was sent to. The scheme may differ,
/// since TLS ends at a proxy.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let (Some(name), Some(port)) = (origin.host_str(), origin.port_or_known_default()) else { return false };
    // Without a port the request went to the scheme's own, and that scheme is the page's.
    let default = match origin.scheme() {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    name.eq_ignore_ascii_case(host.host()) && host.port_u16().unwrap_or(default) == port
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        routing::get,
    };
    use tower::ServiceExt;

    use super::*;

    fn allowed(text: &str) -> AllowedOrigins {
        text.parse().unwrap()
    }

    fn headers(host: &str, origin: &str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, host.parse().unwrap()), (ORIGIN, origin.parse().unwrap())])
    }

    #[test]
    fn origins_are_read_as_browsers_spell_them() {
        let origins = allowed(" https://Forum.Example:443/ ,http://localhost:3000,, https://b\u{fc}cher.example");
        let expected = ["http://localhost:3000", "https://forum.example", "https://xn--bcher-kva.example"];
        assert_eq!(origins.origins.iter().collect::<Vec<_>>(), expected.each_ref().map(|origin| *origin));
        assert!(allowed("").origins.is_empty());
    }

    #[test]
    fn what_is_no_origin_is_refused_with_a_reason() {
        for (entry, reason) in [
            ("*", "pattern"),
            ("https://*.forum.example", "pattern"),
            ("forum.example", "not an address"),
            ("localhost:3000", "neither"),
            ("ftp://forum.example", "neither"),
            ("https://forum.example/login", "goes on"),
            ("https://forum.example?a=1", "goes on"),
            ("null", "not an address"),
        ] {
            let error = format!("https://ok.example,{entry}").parse::<AllowedOrigins>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("{entry:?}")), "{entry}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = "https://user:hunter2@forum.example".parse::<AllowedOrigins>().unwrap_err().to_string();
        assert!(error.contains("user name or password") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn only_named_origins_and_our_own_pass() {
        let origins = allowed("https://forum.example");
        for (host, origin) in [
            ("rt.example", "https://forum.example"),
            ("rt.example", "https://rt.example"),
            ("rt.example", "http://rt.example"),
            ("RT.example:4000", "http://rt.example:4000"),
            ("rt.example:443", "https://rt.example"),
            ("[::1]:4000", "http://[::1]:4000"),
        ] {
            assert_eq!(origins.check(&headers(host, origin)), Ok(()), "{host} {origin}");
        }
        for (host, origin) in [
            ("rt.example", "https://evil.example"),
            ("rt.example", "http://forum.example"),
            ("rt.example", "https://forum.example:8443"),
            ("rt.example", "https://forum.example.evil.example"),
            ("rt.example", "https://rt.example:4000"),
            ("rt.example:4000", "https://rt.example"),
            ("rt.example", "ws://rt.example"),
            ("rt.example", "rt.example"),
            ("rt.example", ""),
        ] {
            assert_eq!(
                origins.check(&headers(host, origin)),
                Err(OriginRefused::NotAllowed(origin.to_owned())),
                "{host} {origin}",
            );
        }
        assert_eq!(origins.check(&headers("rt.example", "null")), Err(OriginRefused::Opaque));
        assert_eq!(origins.check(&HeaderMap::new()), Ok(()));
        let mut twice = headers("rt.example", "https://forum.example");
        twice.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert_eq!(origins.check(&twice), Err(OriginRefused::Unreadable));
    }

    fn request(method: Method, origin: Option<&str>) -> Request {
        let mut request = Request::builder().method(method).uri("/socket.io/?EIO=4").header(HOST, "rt.example");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
            .body(Body::empty())
            .unwrap()
    }

    #[tokio::test]
    async fn a_stranger_is_refused_before_anything_is_served() {
        let served = Router::new().fallback(get(|| async { "reached" }));
        let router = allowed("https://forum.example").guard(served);
        for method in [Method::GET, Method::OPTIONS] {
            let response = router.clone().oneshot(request(method, Some("https://evil.example"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(response.headers()[VARY], "origin");
            assert!(!response.headers().contains_key("access-control-allow-origin"));
            let body = to_bytes(response.into_body(), 4096).await.unwrap();
            let body = std::str::from_utf8(&body).unwrap();
            assert!(body.contains("https://evil.example") && body.contains("ALLOWED_ORIGINS"), "{body}");
        }
    }

    #[tokio::test]
    async fn an_allowed_site_gets_its_preflight_and_its_answer() {
        let router = allowed("https://forum.example").guard(Router::new().fallback(get(|| async { "served" })));
        let response = router.clone().oneshot(request(Method::OPTIONS, Some("https://forum.example"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "https://forum.example");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["access-control-allow-methods"], "GET,POST");
        assert_eq!(headers["access-control-allow-headers"], "authorization,content-type");
        assert!(headers[VARY].to_str().unwrap().contains("origin"));

        let response = router.clone().oneshot(request(Method::GET, Some("https://forum.example"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["access-control-allow-origin"], "https://forum.example");
        assert!(response.headers()[VARY].to_str().unwrap().contains("origin"));

        let response = router.oneshot(request(Method::GET, None)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
}
