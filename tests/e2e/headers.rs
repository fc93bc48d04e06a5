//! The headers that every answer has, whatever is asked and whatever comes of it; and the cookies.

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, Method, StatusCode};
use toolmesh_tests::system::Options;
use toolmesh_tests::{Console, Page, System, TestResult};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What every answer of the control plane has.
fn dressed(what: &str, headers: &HeaderMap) -> TestResult {
    let policy = header(headers, "content-security-policy");
    for part in ["default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
        ensure!(policy.contains(part), "{what}: no {part} in {policy:?}");
    }
    ensure!(!policy.contains("unsafe"), "{what}: {policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        ensure!(header(headers, name) == value, "{what}: {name} is {:?}", header(headers, name));
    }
    ensure!(
        header(headers, "cross-origin-opener-policy").starts_with("same-origin"),
        "{what}: no opener policy"
    );
    ensure!(header(headers, "permissions-policy").contains("camera=()"), "{what}: no permissions policy");
    // What clients call from other origins' pages is open to all: data, never a page, and nothing that knows cookies.
    let open = headers.get("access-control-allow-origin").is_some_and(|origin| origin == "*");
    let data = header(headers, "content-type").starts_with("application/json");
    let knows_cookies =
        headers.contains_key("set-cookie") || headers.contains_key("access-control-allow-credentials");
    ensure!(!open || (data && !knows_cookies), "{what}: open to all");
    ensure!(!header(headers, "cache-control").is_empty(), "{what}: nothing says how long it may be kept");
    Ok(())
}

#[tokio::test]
async fn every_answer_of_the_control_plane_has_the_safe_headers() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let inside = format!("/w/{}", workspace.slug);
    let oauth = format!("/oauth/{}", workspace.slug);
    let paths = [
        ("/", StatusCode::SEE_OTHER),
        ("/login?switch=1", StatusCode::OK),
        ("/reset", StatusCode::OK),
        ("/workspaces", StatusCode::OK),
        ("/account", StatusCode::OK),
        ("/account/sessions", StatusCode::OK),
        (&inside, StatusCode::OK),
        (&format!("{inside}/keys"), StatusCode::OK),
        ("/w/nobody-has-this", StatusCode::NOT_FOUND),
        ("/no-such-page", StatusCode::NOT_FOUND),
        ("/verify?token=x", StatusCode::GONE),
        ("/static/no-such-file", StatusCode::NOT_FOUND),
        ("/static/js/app.js", StatusCode::OK),
        (&format!("{oauth}/jwks.json"), StatusCode::OK),
        (&format!("{oauth}/authorize"), StatusCode::BAD_REQUEST),
        ("/oauth/nobody-has-this/jwks.json", StatusCode::NOT_FOUND),
        ("/healthz", StatusCode::OK),
        ("/readyz", StatusCode::OK),
    ];
    for (path, status) in paths {
        let page = console.get(path).await?;
        ensure!(page.status == status, "{path} answered {}", page.status);
        dressed(path, &page.headers)?;
        ensure!(!page.headers.contains_key("strict-transport-security"), "{path}: HSTS over plain HTTP");
        let kept = header(&page.headers, "cache-control");
        let public = path.starts_with("/static/js") || path.ends_with("jwks.json");
        ensure!(public || kept.contains("no-store"), "{path}: {kept}");
    }
    for (what, page) in refusals(system, &console, &oauth).await? {
        ensure!(page.status.is_client_error(), "{what} answered {}", page.status);
        dressed(what, &page.headers)?;
    }
    Ok(())
}

/// What is refused before a handler sees it, and by one.
async fn refusals(system: &System, console: &Console, oauth: &str) -> Result<Vec<(&'static str, Page)>> {
    let large = vec![("x".to_owned(), "y".repeat(300 * 1024))];
    let wrong_method = system.http.request(Method::DELETE, system.console_url("/login")).send().await?;
    let wrong_method = Page {
        status: wrong_method.status(),
        headers: wrong_method.headers().clone(),
        url: wrong_method.url().clone(),
        body: String::new(),
    };
    Ok(vec![
        ("a form without its token", console.post("/login", &[]).await?),
        ("a form that is too large", console.post("/login", &large).await?),
        ("another method", wrong_method),
        ("a token request without anything", console.post(&format!("{oauth}/token"), &[]).await?),
    ])
}

#[tokio::test]
async fn what_nodes_show_to_people_and_clients_has_the_safe_headers() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    for path in ["/", "/mcp", "/.well-known/oauth-protected-resource/mcp", "/no-such-page"] {
        for accept in ["text/html", "application/json"] {
            let url = format!("{}{path}", workspace.origin);
            let answer = system.http.get(url).header("accept", accept).send().await?;
            let (headers, what) = (answer.headers(), format!("{path} as {accept}"));
            let policy = header(headers, "content-security-policy");
            ensure!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{what}"
            );
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
            ] {
                ensure!(header(headers, name) == value, "{what}: {name} is {:?}", header(headers, name));
            }
            ensure!(!headers.contains_key("set-cookie"), "{what}: a workspace's host sets a cookie");
            ensure!(!headers.contains_key("strict-transport-security"), "{what}: HSTS over plain HTTP");
        }
    }
    Ok(())
}

#[tokio::test]
async fn over_tls_the_cookies_are_bound_to_the_host_and_the_browser_is_told_to_stay_with_tls() -> TestResult {
    let public_url = Some("https://tools.example.test".to_owned());
    let system = System::start(Options { nodes: 1, public_url, ..Options::default() }).await?;
    let url = format!("http://{}/login", system.ready.control_plane.http);
    let answer = system.http.get(&url).header("host", "tools.example.test").send().await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    dressed("/login", answer.headers())?;
    let hsts = header(answer.headers(), "strict-transport-security");
    let age = hsts.strip_prefix("max-age=").and_then(|rest| rest.split(';').next()?.parse::<u64>().ok());
    ensure!(age.is_some_and(|age| age >= 31_536_000) && hsts.contains("includeSubDomains"), "{hsts:?}");

    let nonce = cookie(answer.headers(), "__Host-toolmesh-form")?;
    let body = answer.text().await?;
    let form = toolmesh_tests::html::forms(&body).into_iter().find(|form| form.action == "/login");
    let mut fields = form.context("no form")?.fields;
    let person = system.person().await?;
    fields.retain(|(name, _)| name == "_csrf");
    fields.push(("email".to_owned(), person.email));
    fields.push(("password".to_owned(), person.password));
    let request = system.http.post(&url).header("host", "tools.example.test");
    let request =
        request.header("origin", "https://tools.example.test").header("cookie", nonce).form(&fields);
    let answer = request.send().await?;
    ensure!(answer.status() == StatusCode::SEE_OTHER, "{}", answer.status());
    cookie(answer.headers(), "__Host-toolmesh")?;
    system.stop()
}

/// `NAME=VALUE` of a cookie that is set as it must be.
fn cookie(headers: &HeaderMap, name: &str) -> Result<String> {
    let all: Vec<_> = headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
    let found = all.iter().find(|text| text.starts_with(&format!("{name}=")));
    let text = found.with_context(|| format!("no cookie {name} in {all:?}"))?;
    let lower = text.to_lowercase();
    for part in ["; secure", "; httponly", "; path=/", "; samesite="] {
        ensure!(lower.contains(part), "{text}: no {part}");
    }
    ensure!(!lower.contains("domain="), "{text}: sent to other hosts too");
    Ok(text.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn logging_out_clears_what_the_browser_keeps() -> TestResult {
    let system = System::shared().await?;
    let console = system.console(&system.person().await?).await?;
    let page = console.submit("/workspaces", "/logout", &[]).await?.ok()?;
    let cleared = header(&page.headers, "clear-site-data").to_owned();
    ensure!(cleared.contains("cache") && cleared.contains("storage"), "{cleared:?}");
    Ok(())
}
