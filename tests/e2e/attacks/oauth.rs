//! Attacks on the authorization server and its tokens.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Tokens, with};
use toolmesh_tests::rows::Rows;
use toolmesh_tests::{Answer, TestResult, Upstream};

use crate::client::{Flow, error_of};

/// The issuer was built from what the request said about itself.
#[tokio::test]
async fn the_issuer_follows_no_header_of_the_request() -> TestResult {
    let target = Flow::new().await?;
    let host = target.system.tenant_host(&target.workspace.slug);
    let node = &target.system.ready.nodes.first().context("no node")?.http;
    for document in ["oauth-authorization-server", "openid-configuration", "oauth-protected-resource"] {
        let path = format!("/.well-known/{document}");
        let plain =
            target.system.http.get(format!("{}{path}", target.workspace.origin)).send().await?.text().await?;
        for (origin, own_host) in [(target.workspace.origin.clone(), false), (format!("http://{node}"), true)]
        {
            let mut request = target.system.http.get(format!("{origin}{path}"));
            for (name, value) in [
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil.example"),
                ("x-forwarded-port", "444"),
                ("x-forwarded-prefix", "/evil"),
                ("x-original-host", "evil.example"),
                ("forwarded", "proto=https;host=evil.example"),
            ] {
                request = request.header(name, value);
            }
            let request = if own_host { request.header("host", &host) } else { request };
            let told = request.send().await?.text().await?;
            ensure!(told == plain, "{document} at {origin}: {told}");
        }
    }
    Ok(())
}

/// A refresh token, a code or another secret of the flow was taken for an access token.
#[tokio::test]
async fn nothing_but_an_access_token_opens_the_endpoint() -> TestResult {
    let target = Flow::new().await?;
    let tokens = target.tokens().await?;
    let code = target.code().await?;
    let form_token = target.console.get("/workspaces").await?.csrf().context("no token")?;
    let cookie = target.console.cookies().into_values().next().context("no cookie")?;
    for (what, value) in [
        ("the refresh token", tokens.refresh.as_str()),
        ("the code", &code),
        ("the client's id", &target.client),
        ("the form's token", &form_token),
        ("the session's cookie", &cookie),
        ("the workspace's id", &target.workspace.tenant_id),
        ("the password", &target.workspace.owner.password),
    ] {
        let answer = target.ping(value).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{what} opens the endpoint: {}", answer.status);
    }
    let as_refresh = target.server.refresh(&target.client, &tokens.access).await?;
    assert_eq!(error_of(&as_refresh)?, "invalid_grant", "an access token refreshes");
    assert_eq!(target.ping(&tokens.access).await?.status, StatusCode::OK);
    Ok(())
}

/// The token itself said where its key is to be found.
#[tokio::test]
async fn a_key_that_a_token_names_is_neither_fetched_nor_used() -> TestResult {
    let target = Flow::new().await?;
    let access = target.tokens().await?.access;
    let keys = Upstream::start().await?;
    let own = Ed25519KeyPair::generate().map_err(|_| anyhow::anyhow!("no key"))?;
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "evil",
        "x": URL_SAFE_NO_PAD.encode(own.public_key().as_ref()),
    });
    let parts: Vec<_> = access.split('.').collect();
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.first().context("no header")?)?)?;
    let body = parts.get(1).context("no claims")?;
    let url = format!("{}/echo/keys", keys.url());
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' UNION SELECT 'x' --")),
        ("kid", json!(url)),
        ("kid", json!("")),
        ("kid", Value::Null),
        ("crit", json!(["exp"])),
        ("typ", json!("JWT")),
        ("typ", json!("rt+jwt")),
        ("alg", json!("ES256")),
        ("alg", json!("none")),
    ] {
        let mut header = header.clone();
        header[name] = value.clone();
        let input = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header.to_string()));
        let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(own.sign(input.as_bytes())));
        let answer = target.ping(&forged).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{name}={value}: {}", answer.status);
    }
    ensure!(keys.seen().is_empty(), "a token made us fetch {:?}", keys.seen());
    assert_eq!(target.ping(&access).await?.status, StatusCode::OK);
    Ok(())
}

/// A redirect address that is almost the registered one.
#[tokio::test]
async fn an_address_that_is_almost_the_registered_one_gets_nothing() -> TestResult {
    let target = Flow::new().await?;
    for (registered, almost) in [
        ("https://client.example/callback", "https://client.example/callback/../evil"),
        ("https://client.example/callback", "https://client.example/callback/extra"),
        ("https://client.example/callback", "https://client.example/callback#fragment"),
        ("https://client.example/callback", "https://client.example/CALLBACK"),
        ("https://client.example/callback", "https://client.example/callback%2f"),
        ("https://client.example/callback", "https://client.example/call%62ack"),
        ("https://client.example/callback", "https://client.example//callback"),
        ("https://client.example/callback", "https://client.example/callback?"),
        ("https://client.example/callback", "https://client.example:444/callback"),
        ("https://client.example/callback", "https://client.example@evil.example/callback"),
        ("https://client.example/callback", "https://user@client.example/callback"),
        ("https://client.example/callback", "https://client.example\\@evil.example/callback"),
        ("https://client.example/callback", "https://client.example.evil.example/callback"),
        ("https://client.example/callback", "http://client.example/callback"),
        ("https://client.example/callback", " https://client.example/callback"),
        ("http://localhost:1234/cb", "http://localhost.evil.example:1234/cb"),
        ("http://localhost:1234/cb", "http://127.0.0.1:1234/cb"),
        ("http://127.0.0.1:1234/cb", "http://[::1]:1234/cb"),
        ("http://127.0.0.1:1234/cb", "http://127.0.0.2:1234/cb"),
        ("http://127.0.0.1:1234/cb", "http://127.0.0.1.evil.example:1234/cb"),
        ("http://127.0.0.1:1234/cb", "http://127.0.0.1@evil.example/cb"),
        ("http://127.0.0.1:1234/cb", "http://2130706433:1234/cb"),
    ] {
        let client = target.server.client(registered).await?;
        let query = target.server.query(&client, almost, &target.pkce);
        let page = target.server.authorize(&target.console, &query).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST, "{almost}: {}", page.status);
        ensure!(page.location().is_none(), "{almost} is sent somewhere: {:?}", page.location());
        ensure!(!page.body.contains("name=\"decision\""), "{almost} is asked about");
    }
    Ok(())
}

/// The grace for clients that race was open to a token two generations old.
#[tokio::test]
async fn a_refresh_tokens_grandparent_is_a_thiefs() -> TestResult {
    let target = Flow::new().await?;
    let first = target.tokens().await?;
    let second = refreshed(&target, &first).await?;
    let third = refreshed(&target, &second).await?;
    let thief = target.server.refresh(&target.client, &first.refresh).await?;
    assert_eq!((thief.status, error_of(&thief)?.as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    for (what, tokens) in [("the child", &second), ("the grandchild", &third)] {
        let answer = target.server.refresh(&target.client, &tokens.refresh).await?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{what} lives on: {}", answer.status);
    }
    Ok(())
}

/// Where the grace was counted per token, each use of it began a family that outlived it.
#[tokio::test]
async fn the_grace_of_a_refresh_token_is_short_in_uses_and_all_of_it_is_one_family() -> TestResult {
    let target = Flow::new().await?;
    let first = target.tokens().await?;
    let mut children = vec![refreshed(&target, &first).await?];
    loop {
        let answer = target.server.refresh(&target.client, &first.refresh).await?;
        if answer.status != StatusCode::OK {
            ensure!(error_of(&answer)? == "invalid_grant", "{}", answer.body);
            break;
        }
        children.push(Tokens::of(&target.client, &answer)?);
        ensure!(children.len() <= 4, "an old token was used {} times", children.len());
    }
    let families = "SELECT count(DISTINCT grant_id)::text FROM refresh_tokens WHERE tenant_id = {tenant}";
    let mut rows = Rows::of(target.system, &target.workspace.tenant_id).await?;
    assert_eq!(rows.value(families).await?, "1");
    Ok(())
}

async fn refreshed(target: &Flow, tokens: &Tokens) -> Result<Tokens> {
    Tokens::of(&target.client, &target.server.refresh(&target.client, &tokens.refresh).await?)
}

/// Real clients leave the scope out when they refresh, or repeat an old one; neither may widen what was allowed.
#[tokio::test]
async fn a_refresh_never_widens_what_was_allowed() -> TestResult {
    let target = Flow::new().await?;
    let mut tokens = target.tokens().await?;
    let allowed = scope_of(&tokens.access)?;
    for asked in ["", "mcp:tools", "mcp:tools mcp:write offline_access", "admin openid profile *"] {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", target.client.as_str()),
            ("refresh_token", tokens.refresh.as_str()),
        ];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let answer = target.server.token(&with(form, "scope", asked)).await?;
        if answer.status == StatusCode::BAD_REQUEST {
            ensure!(error_of(&answer)? == "invalid_scope", "{asked:?}: {}", answer.body);
            continue;
        }
        tokens = Tokens::of(&target.client, &answer)?;
        let given = scope_of(&tokens.access)?;
        let wider: Vec<_> = given.iter().filter(|scope| !allowed.contains(scope)).collect();
        ensure!(wider.is_empty(), "{asked:?} widened the scope by {wider:?}");
    }
    Ok(())
}

fn scope_of(token: &str) -> Result<Vec<String>> {
    let body = token.split('.').nth(1).context("no claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body)?)?;
    Ok(claims["scope"].as_str().context("no scope")?.split(' ').map(str::to_owned).collect())
}

/// Whether somebody may was asked when the code was made, and not when it was redeemed.
#[tokio::test]
async fn who_is_removed_after_the_consent_gets_nothing_for_the_code() -> TestResult {
    let target = Flow::new().await?;
    let member = target.system.person().await?;
    let console = target.system.join(&target.workspace, &member, "member").await?;
    let code = target.code_of(&console).await?;
    let members = target.page("/members");
    let remove = format!("{members}/{}/remove", member.user_id);
    target.console.submit(&members, &remove, &[]).await?.ok()?;
    let answer = target.redeem(&code).await?;
    assert_eq!((answer.status, error_of(&answer)?.as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    // Nor does coming back bring the old code back.
    target.system.join(&target.workspace, &member, "member").await?;
    let answer = target.redeem(&code).await?;
    assert_eq!(error_of(&answer)?, "invalid_grant");
    Ok(())
}

/// A client that is not known any more has to be told so in the one way that makes it register again.
#[tokio::test]
async fn a_client_that_is_not_known_is_told_so_and_learns_nothing_else() -> TestResult {
    let target = Flow::new().await?;
    let tokens = target.tokens().await?;
    let mut broken = target.client.clone();
    broken.pop();
    for client in ["nobody", broken.as_str(), "", "00000000-0000-7000-8000-000000000000"] {
        for token in [tokens.refresh.as_str(), "no such token"] {
            let answer: Answer = target.server.refresh(client, token).await?;
            ensure!(answer.status.is_client_error(), "{client:?}: {}", answer.status);
            let error = error_of(&answer)?;
            ensure!(["invalid_client", "invalid_request"].contains(&error.as_str()), "{client:?}: {error}");
            ensure!(
                client.is_empty() || answer.status == StatusCode::UNAUTHORIZED,
                "{client:?}: {}",
                answer.status
            );
        }
    }
    Ok(())
}
