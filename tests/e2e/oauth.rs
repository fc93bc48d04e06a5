//! The authorization server, as clients and as attackers meet it.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, REDIRECT, Tokens, parameter, redirected, registration, with};
use toolmesh_tests::{Answer, Console, TestResult};
use url::Url;

use crate::client::{Flow, error_of};

#[tokio::test]
async fn the_discovery_documents_say_what_is() -> TestResult {
    let flow = Flow::new().await?;
    let origin = &flow.workspace.origin;
    let console = format!("{}/oauth/{}", flow.system.ready.console_url, flow.workspace.slug);
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let answer = Answer::of(flow.system.http.get(format!("{origin}{path}")).send().await?).await?;
        let json = answer.json()?;
        assert_eq!(json["resource"], flow.workspace.mcp_url);
        assert_eq!(json["authorization_servers"], json!([origin]));
        assert_eq!(json["scopes_supported"], json!(["mcp:tools"]));
        assert_eq!(json["bearer_methods_supported"], json!(["header"]));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("content-type").starts_with("application/json"));
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
    ] {
        let answer = Answer::of(flow.system.http.get(format!("{origin}{path}")).send().await?).await?;
        let json = answer.json()?;
        assert_eq!(json["issuer"], *origin);
        for (name, last) in [
            ("authorization_endpoint", "authorize"),
            ("token_endpoint", "token"),
            ("registration_endpoint", "register"),
            ("revocation_endpoint", "revoke"),
            ("jwks_uri", "jwks.json"),
        ] {
            assert_eq!(json[name], format!("{console}/{last}"));
        }
        assert_eq!(json["response_types_supported"], json!(["code"]));
        assert_eq!(json["code_challenge_methods_supported"], json!(["S256"]));
        let types = json!(["authorization_code", "refresh_token", "client_credentials"]);
        assert_eq!(json["grant_types_supported"], types);
        assert_eq!(json["authorization_response_iss_parameter_supported"], true);
        assert_eq!(json["scopes_supported"], json!(["mcp:tools", "offline_access"]));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    let jwks = flow.server.endpoint("jwks_uri")?;
    let jwks: Value = flow.system.http.get(jwks).send().await?.error_for_status()?.json().await?;
    let keys = jwks["keys"].as_array().context("no keys")?;
    assert!(!keys.is_empty() && keys.iter().all(|key| key.get("d").is_none()), "{jwks}");
    Ok(())
}

#[tokio::test]
async fn registration_answers_with_what_is_in_force() -> TestResult {
    let flow = Flow::new().await?;
    let mut document = registration(&[
        "http://127.0.0.1:33418/",
        "https://vscode.dev/redirect",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ]);
    document["grant_types"] =
        json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"]);
    document["application_type"] = json!("native");
    document["something_new"] = json!({"x": 1});
    let answer = flow.server.register(&document).await?;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let json = answer.json()?;
    assert!(json["client_id"].is_string() && json["client_id_issued_at"].is_u64(), "{json}");
    assert_eq!(json["redirect_uris"], document["redirect_uris"]);
    assert_eq!(json["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(json["token_endpoint_auth_method"], "none");
    assert_eq!(answer.header("cache-control"), "no-store");
    Ok(())
}

#[tokio::test]
async fn redirect_addresses_that_leak_or_run_something_cannot_be_registered() -> TestResult {
    let flow = Flow::new().await?;
    for bad in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://evil.example/cb",
        "https://client.example/cb#fragment",
        "https://user:pw@client.example/cb",
        "/relative",
        "not a url",
    ] {
        let answer = flow.server.register(&registration(&[bad])).await?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{bad}: {} {}", answer.status, answer.body);
        ensure!(error_of(&answer)? == "invalid_redirect_uri", "{bad}: {}", answer.body);
    }
    for bad in [json!({}), json!({"redirect_uris": []}), json!({"redirect_uris": "x"}), json!([1])] {
        let answer = flow.server.register(&bad).await?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{bad}: {} {}", answer.status, answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn consent_names_the_client_and_where_it_leads_and_success_carries_the_issuer() -> TestResult {
    let flow = Flow::new().await?;
    let page = flow.server.authorize(&flow.console, &flow.query()).await?.ok()?;
    let text = page.text();
    assert!(text.contains("Test client") && text.contains("client.example"), "{text}");
    let header =
        |name: &str| page.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    assert!(
        header("content-security-policy").contains("frame-ancestors 'none'"),
        "{}",
        header("content-security-policy")
    );
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");

    let back = flow.server.consent(&flow.console, &flow.query(), "allow").await?;
    assert!(back.as_str().starts_with(REDIRECT));
    assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
    assert_eq!(parameter(&back, "iss"), Some(flow.server.issuer()?));
    Ok(())
}

#[tokio::test]
async fn a_refusal_goes_back_to_the_client_with_the_issuer() -> TestResult {
    let flow = Flow::new().await?;
    let back = flow.server.consent(&flow.console, &flow.query(), "deny").await?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "iss"), Some(flow.server.issuer()?));
    assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
    assert!(parameter(&back, "code").is_none());
    Ok(())
}

/// What the browser of a person is told about a request that is wrong: an error for the client, by redirect.
async fn refused(flow: &Flow, query: Vec<(String, String)>) -> Result<(String, Url)> {
    let page = flow.server.authorize(&flow.console, &query).await?;
    let back = redirected(&page)?;
    ensure!(back.as_str().starts_with(REDIRECT), "it leads to {back}");
    ensure!(parameter(&back, "iss") == Some(flow.server.issuer()?), "no issuer in {back}");
    Ok((parameter(&back, "error").with_context(|| format!("no error in {back}"))?, back))
}

#[tokio::test]
async fn a_proof_key_is_required_and_only_s256_is_taken() -> TestResult {
    let flow = Flow::new().await?;
    let missing = with(flow.query(), "code_challenge", "");
    assert_eq!(refused(&flow, missing).await?.0, "invalid_request");
    let plain = with(flow.query(), "code_challenge_method", "plain");
    assert_eq!(refused(&flow, plain).await?.0, "invalid_request");
    let unnamed = with(flow.query(), "code_challenge_method", "");
    assert_eq!(refused(&flow, unnamed).await?.0, "invalid_request");
    let implicit = with(flow.query(), "response_type", "token");
    assert_eq!(refused(&flow, implicit).await?.0, "unsupported_response_type");
    Ok(())
}

#[tokio::test]
async fn the_resource_of_another_tenant_is_refused_and_a_missing_one_is_ours() -> TestResult {
    let flow = Flow::new().await?;
    let other = flow.system.workspace().await?;
    for foreign in [other.mcp_url.as_str(), "https://evil.example/mcp"] {
        let (error, _) = refused(&flow, with(flow.query(), "resource", foreign)).await?;
        assert_eq!(error, "invalid_target");
    }
    let back = flow.server.consent(&flow.console, &with(flow.query(), "resource", ""), "allow").await?;
    let code = parameter(&back, "code").context("no code")?;
    let answer = flow.server.token(&with(flow.form(&code), "resource", "")).await?;
    let tokens = Tokens::of(&flow.client, &answer)?;
    assert!(flow.works(&tokens.access).await?);
    Ok(())
}

#[tokio::test]
async fn unknown_clients_and_redirects_get_a_page_and_never_a_redirect() -> TestResult {
    let flow = Flow::new().await?;
    let other = flow.system.workspace().await?;
    let foreign_client = flow.system.oauth(&other).await?.client(REDIRECT).await?;
    for (name, value) in [
        ("client_id", "nobody"),
        ("client_id", foreign_client.as_str()),
        ("redirect_uri", "https://client.example/callback/"),
        ("redirect_uri", "https://client.example/other"),
        ("redirect_uri", "https://client.example.evil/callback"),
        ("redirect_uri", "https://client.example/callback?x=1"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        let page = flow.server.authorize(&flow.console, &with(flow.query(), name, value)).await?;
        ensure!(page.status.is_client_error(), "{name}={value}: {}", page.status);
        ensure!(redirected(&page).is_err(), "{name}={value} redirects");
        ensure!(page.text().len() > 20, "{name}={value}: an empty page");
    }
    Ok(())
}

#[tokio::test]
async fn a_loopback_redirect_may_come_back_on_another_port_and_nowhere_else() -> TestResult {
    let flow = Flow::new().await?;
    for registered in ["http://127.0.0.1:1234/cb", "http://localhost:1234/cb"] {
        let client = flow.server.client(registered).await?;
        let moved = registered.replace("1234", "49152");
        let query = flow.server.query(&client, &moved, &flow.pkce);
        let back = flow.server.consent(&flow.console, &query, "allow").await?;
        ensure!(back.as_str().starts_with(&moved), "{back}");
        for bad in [
            moved.replace("/cb", "/other"),
            moved.replace("http:", "https:"),
            "http://10.0.0.1:1234/cb".to_owned(),
        ] {
            let page =
                flow.server.authorize(&flow.console, &flow.server.query(&client, &bad, &flow.pkce)).await?;
            ensure!(page.status.is_client_error() && page.location().is_none(), "{bad}: {}", page.status);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_code_that_is_used_twice_kills_what_came_of_it() -> TestResult {
    let flow = Flow::new().await?;
    let code = flow.code().await?;
    let tokens = Tokens::of(&flow.client, &flow.server.token(&flow.form(&code)).await?)?;
    assert!(flow.works(&tokens.access).await?);

    let again = flow.server.token(&flow.form(&code)).await?;
    assert_eq!((again.status, error_of(&again)?.as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    let refresh = flow.server.refresh(&flow.client, &tokens.refresh).await?;
    assert_eq!(error_of(&refresh)?, "invalid_grant", "the refresh token outlives the replay");
    Ok(())
}

#[tokio::test]
async fn a_code_is_worth_nothing_with_another_verifier_client_or_redirect() -> TestResult {
    let flow = Flow::new().await?;
    let foreign = flow.server.client(REDIRECT).await?;
    for (name, value, expected) in [
        ("code_verifier", Pkce::new().verifier.as_str(), "invalid_grant"),
        ("code_verifier", "", "invalid_request invalid_grant"),
        ("client_id", foreign.as_str(), "invalid_grant"),
        ("client_id", "nobody", "invalid_client"),
        ("redirect_uri", "https://client.example/other", "invalid_grant"),
        ("code", "invented", "invalid_grant"),
        ("grant_type", "password", "unsupported_grant_type"),
    ] {
        let code = flow.code().await?;
        let answer = flow.server.token(&with(flow.form(&code), name, value)).await?;
        let status =
            if expected == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        ensure!(answer.status == status, "{name}={value}: {} {}", answer.status, answer.body);
        ensure!(expected.contains(&error_of(&answer)?), "{name}={value}: {}", answer.body);
        ensure!(answer.header("cache-control").contains("no-store"), "{name}={value}: it may be cached");
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_code_is_worth_nothing() -> TestResult {
    let flow = Flow::new().await?;
    let code = flow.code().await?;
    let tenant = &flow.workspace.tenant_id;
    let past = format!(
        "UPDATE oauth_codes SET expires_at = now() - interval '1 second' WHERE tenant_id = '{tenant}'"
    );
    assert_eq!(flow.system.sql(&past).await?, 1);
    let answer = flow.server.token(&flow.form(&code)).await?;
    assert_eq!(error_of(&answer)?, "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn refresh_tokens_rotate_and_an_old_one_that_comes_back_ends_the_grant() -> TestResult {
    let flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.client, &flow.server.refresh(&flow.client, &first.refresh).await?)?;
    assert_ne!(first.refresh, second.refresh);
    assert!(flow.works(&second.access).await?);

    // Clients race, so an old token may come back for a moment; a minute later it is a thief's.
    let tenant = &flow.workspace.tenant_id;
    let past = format!(
        "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '10 minutes' \
         WHERE tenant_id = '{tenant}' AND rotated_at IS NOT NULL"
    );
    assert!(flow.system.sql(&past).await? >= 1);
    let stolen = flow.server.refresh(&flow.client, &first.refresh).await?;
    assert_eq!((stolen.status, error_of(&stolen)?.as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    let owner = flow.server.refresh(&flow.client, &second.refresh).await?;
    assert_eq!(error_of(&owner)?, "invalid_grant", "the family lives on after the theft");
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_belongs_to_its_client_and_workspace() -> TestResult {
    let flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let other_client = flow.server.client(REDIRECT).await?;
    let answer = flow.server.refresh(&other_client, &tokens.refresh).await?;
    assert_eq!(error_of(&answer)?, "invalid_grant");

    let other = flow.system.workspace().await?;
    let elsewhere = flow.system.oauth(&other).await?;
    let answer = elsewhere.refresh(&flow.client, &tokens.refresh).await?;
    assert!(["invalid_grant", "invalid_client"].contains(&error_of(&answer)?.as_str()), "{}", answer.body);
    let code = flow.code().await?;
    let answer = elsewhere.token(&with(flow.form(&code), "resource", "")).await?;
    assert!(["invalid_grant", "invalid_client"].contains(&error_of(&answer)?.as_str()), "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_is_of_no_use_any_more() -> TestResult {
    let flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let revoke = flow.server.endpoint("revocation_endpoint")?;
    let form = [("token", tokens.refresh.as_str()), ("client_id", flow.client.as_str())];
    let answer = flow.system.http.post(&revoke).form(&form).send().await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let refresh = flow.server.refresh(&flow.client, &tokens.refresh).await?;
    assert_eq!(error_of(&refresh)?, "invalid_grant");
    let unknown = flow.system.http.post(&revoke).form(&[("token", "x"), ("client_id", flow.client.as_str())]);
    assert_eq!(unknown.send().await?.status(), StatusCode::OK, "RFC 7009: an unknown token is no error");
    Ok(())
}

#[tokio::test]
async fn a_token_of_one_tenant_is_refused_by_another() -> TestResult {
    let flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let both = flow.system.workspace_of(flow.workspace.owner.clone()).await?;
    for token in [&tokens.access, &flow.workspace.key] {
        assert!(flow.works(token).await?);
        let answer = flow.system.mcp(&both, token).request("ping", json!({})).await?;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "even of the same person");
        assert!(
            answer.header("www-authenticate").contains("invalid_token"),
            "{}",
            answer.header("www-authenticate")
        );
    }
    Ok(())
}

#[tokio::test]
async fn forged_tokens_are_refused() -> TestResult {
    let flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    let parts: Vec<_> = token.split('.').collect();
    let [head, body, signature] = parts[..] else { anyhow::bail!("no JWT: {token}") };
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head)?)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body)?)?;
    assert_eq!((&header["typ"], &claims["iss"]), (&json!("at+jwt"), &json!(flow.workspace.origin)));
    assert_eq!(claims["aud"], json!(flow.workspace.mcp_url));
    let life = claims["exp"].as_i64().unwrap_or_default() - claims["iat"].as_i64().unwrap_or_default();
    assert!((60..=900).contains(&life), "an access token lives {life} seconds");

    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let changed = |base: &Value, name: &str, value: Value| {
        let mut base = base.clone();
        base[name] = value;
        encode(&base)
    };
    let none = changed(&header, "alg", json!("none"));
    let hmac = changed(&header, "alg", json!("HS256"));
    let forever = changed(&claims, "exp", json!(4_000_000_000_u64));
    let someone = changed(&claims, "sub", json!("00000000-0000-7000-8000-000000000000"));
    let own_key = sign_with_own_key(&format!("{head}.{forever}"))?;
    let mut flipped = signature.to_owned();
    flipped.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    for forged in [
        format!("{none}.{body}."),
        format!("{none}.{forever}."),
        format!("{hmac}.{body}.{signature}"),
        format!("{head}.{forever}.{signature}"),
        format!("{head}.{someone}.{signature}"),
        format!("{head}.{body}.{flipped}"),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        own_key,
        "not.a.token".to_owned(),
        "tmk_invented".to_owned(),
        String::from("x"),
        "x".repeat(10_000),
    ] {
        let answer = flow.system.mcp(&flow.workspace, &forged).request("ping", json!({})).await?;
        let short: String = forged.chars().take(40).collect();
        let refused =
            [StatusCode::UNAUTHORIZED, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE].contains(&answer.status);
        ensure!(refused, "{short} got {}", answer.status);
    }
    assert!(flow.works(&token).await?);
    Ok(())
}

fn sign_with_own_key(input: &str) -> Result<String> {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let key = Ed25519KeyPair::generate().map_err(|_| anyhow::anyhow!("no key"))?;
    ensure!(key.public_key().as_ref().len() == 32);
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()))))
}

#[tokio::test]
async fn someone_who_is_no_member_cannot_consent() -> TestResult {
    let flow = Flow::new().await?;
    let stranger = flow.system.person().await?;
    let console = flow.system.console(&stranger).await?;
    let page = flow.server.authorize(&console, &flow.query()).await?;
    let back = page.location();
    ensure!(
        back.as_ref().is_none_or(|to| parameter(to, "code").is_none()),
        "a code for a stranger: {back:?}"
    );
    ensure!(
        page.form(&format!("/oauth/{}/authorize", flow.workspace.slug)).is_err(),
        "a consent page for a stranger"
    );
    Ok(())
}

#[tokio::test]
async fn a_member_who_is_not_logged_in_logs_in_on_the_way() -> TestResult {
    let flow = Flow::new().await?;
    let console = Console::new(flow.system)?;
    let page = flow.server.authorize(&console, &flow.query()).await?;
    let login = console.follow(page).await?.ok()?;
    assert_eq!(login.url.path(), "/login");
    let owner = &flow.workspace.owner;
    let at = login.url.as_str().to_owned();
    let page =
        console.submit(&at, "/login", &[("email", &owner.email), ("password", &owner.password)]).await?;
    let consent = console.follow(page).await?.ok()?;
    assert!(consent.text().contains("Test client"), "{}", consent.text());
    Ok(())
}

#[tokio::test]
async fn a_consent_that_was_prepared_elsewhere_is_refused() -> TestResult {
    let flow = Flow::new().await?;
    let page = flow.server.authorize(&flow.console, &flow.query()).await?.ok()?;
    let action = format!("/oauth/{}/authorize", flow.workspace.slug);
    let mut fields = page.form(&action)?.fields;
    fields.push(("decision".into(), "allow".into()));
    let victim = flow.system.person().await?;
    flow.system.join(&flow.workspace, &victim, "member").await?;
    let victim = flow.system.console(&victim).await?;
    let answer = victim.post(&action, &fields).await?;
    assert!(
        answer.status.is_client_error(),
        "another's form was taken: {} {:?}",
        answer.status,
        answer.location()
    );

    let without: Vec<_> = fields.iter().filter(|(name, _)| name != "_csrf").cloned().collect();
    assert_eq!(flow.console.post(&action, &without).await?.status, StatusCode::FORBIDDEN);
    Ok(())
}
