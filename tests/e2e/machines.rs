//! Callers that are no people: API keys with a scope and an end, service accounts, and what of them a page shows.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::oauth::{REDIRECT, Server, with};
use toolmesh_tests::signer::Signer;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Mcp, Page, System, TestResult, Workspace, eventually};

use crate::Echo;

/// The secret on the page that shows it once.
fn secret(page: &Page) -> Result<String> {
    let start = page.body.find("tmk_").context("no key on the page")?;
    let key: String =
        page.body[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    ensure!(key.len() > 40, "only a part of a key: {key}");
    Ok(key)
}

/// Makes a key by the form at `page`.
async fn make_key(console: &Console, page: &str, action: &str, fields: &[(&str, &str)]) -> Result<String> {
    secret(&console.submit(page, action, fields).await?.ok()?)
}

/// A new service account of a workspace: the path of its page.
async fn service_account(console: &Console, workspace: &Workspace, name: &str) -> Result<String> {
    let list = format!("/w/{}/service-accounts", workspace.slug);
    let made = console.submit(&list, &list, &[("name", name), ("description", "Made by a test")]).await?;
    ensure!(made.status == StatusCode::SEE_OTHER, "{}: {}", made.status, made.text());
    Ok(made.location().context("it leads nowhere")?.path().to_owned())
}

/// Waits until every node answers a key's `ping` with this status.
async fn everywhere(system: &System, workspace: &Workspace, key: &str, status: StatusCode) -> TestResult {
    for node in &system.ready.nodes {
        let mcp = system.mcp_on(&node.http, workspace, key);
        let what = format!("{} answers {status}", node.name);
        eventually(&what, SOON, || async {
            let answer = mcp.request("ping", json!({})).await?;
            Ok((answer.status == status).then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn link_to(page: &Page, start: &str) -> Option<String> {
    let links: Vec<String> = page.links(start);
    links.into_iter().find(|link| link.len() > start.len())
}

#[tokio::test]
async fn a_key_is_shown_once_and_later_known_by_its_beginning() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    let key = make_key(&console, &keys, &keys, &[("name", "report"), ("expires", "30")]).await?;
    let prefix = &key[..12];
    let list = console.visit(&keys).await?.ok()?;
    ensure!(list.text().contains(prefix), "the beginning is not in the list: {}", list.text());
    ensure!(!list.body.contains(&key[13..]), "the secret is in the list");
    ensure!(list.text().contains("in 29 days") || list.text().contains("in 30 days"), "{}", list.text());
    everywhere(system, &workspace, &key, StatusCode::OK).await?;

    for (field, bad) in [("expires", "31"), ("expires", "-1"), ("scope", "write"), ("name", " ")] {
        let fields: Vec<_> = [("name", "x"), ("expires", "7"), ("scope", "all")]
            .into_iter()
            .map(|(name, usual)| (name, if name == field { bad } else { usual }))
            .collect();
        let page = console.submit(&keys, &keys, &fields).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{field}={bad}: {}", page.status);
    }
    Ok(())
}

#[tokio::test]
async fn a_key_for_reading_neither_shows_nor_calls_what_changes_something() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let keys = format!("/w/{}/keys", echo.workspace.slug);
    let key = make_key(&console, &keys, &keys, &[("name", "reader"), ("scope", "read")]).await?;
    everywhere(echo.system, &echo.workspace, &key, StatusCode::OK).await?;
    let mcp = echo.system.mcp(&echo.workspace, &key);
    let names = mcp.names().await?;
    assert!(names.iter().any(|name| name == "echo_get_item"), "{names:?}");
    assert!(!names.iter().any(|name| name == "echo_create_item" || name == "echo_delete_item"), "{names:?}");
    mcp.call("echo_get_item", json!({"id": "1"})).await?.text()?;
    let before = echo.upstream.seen().len();
    let refusal = mcp.call("echo_create_item", json!({"title": "x"})).await?.refusal()?;
    let refusal = refusal.context("a key for reading wrote")?;
    assert!(refusal.contains("for reading only"), "{refusal}");
    assert_eq!(echo.upstream.seen().len(), before, "it reached the API");
    echo.mcp.call("echo_create_item", json!({"title": "x"})).await?.text()?;
    Ok(())
}

#[tokio::test]
async fn a_rolled_key_has_two_secrets_for_the_grace_that_was_chosen_and_one_after() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    let first = make_key(&console, &keys, &keys, &[("name", "rolls")]).await?;
    let list = console.visit(&keys).await?.ok()?;
    let mut paths = list.links(&format!("{keys}/"));
    let mut page = String::new();
    for path in paths.drain(..) {
        if console.visit(&path).await?.text().contains(&first[..12]) {
            page = path;
        }
    }
    let roll = format!("{page}/roll");
    let second = secret(&console.submit(&page, &roll, &[("grace", "1")]).await?.ok()?)?;
    for key in [&first, &second] {
        everywhere(system, &workspace, key, StatusCode::OK).await?;
    }
    let text = console.visit(&page).await?.text();
    assert!(text.contains("Old secret"), "{text}");
    let third = secret(&console.submit(&page, &roll, &[("grace", "0")]).await?.ok()?)?;
    everywhere(system, &workspace, &third, StatusCode::OK).await?;
    for key in [&first, &second] {
        everywhere(system, &workspace, key, StatusCode::UNAUTHORIZED).await?;
    }
    let bad = console.submit(&page, &roll, &[("grace", "9999")]).await?;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);

    console.submit(&page, &format!("{page}/revoke"), &[]).await?.ok()?;
    everywhere(system, &workspace, &third, StatusCode::UNAUTHORIZED).await?;
    let list = console.visit(&keys).await?.text();
    assert!(list.contains("revoked"), "what was revoked is not listed: {list}");
    let dead = console.post(&roll, &[]).await?;
    assert_ne!(dead.status, StatusCode::OK, "a revoked key was rolled");
    Ok(())
}

#[tokio::test]
async fn the_list_says_when_and_from_where_a_key_was_last_used() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let keys = format!("/w/{}/keys", echo.workspace.slug);
    assert!(console.visit(&keys).await?.text().contains("never"));
    echo.mcp.call("echo_whoami", json!({})).await?.text()?;
    eventually("the use is in the list", SOON, || async {
        let text = console.visit(&keys).await?.ok()?.text();
        Ok((text.contains("just now") && text.contains("from 127.0.0.1")).then_some(()))
    })
    .await
}

#[tokio::test]
async fn nobody_gets_a_secret_that_acts_as_somebody_else() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    let member = system.join(&workspace, &guest, "member").await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    let key = make_key(&member, &keys, &keys, &[("name", "of the guest")]).await?;
    let path = link_to(&member.visit(&keys).await?, &format!("{keys}/")).context("no key in the list")?;

    let owner = system.console(&workspace.owner).await?;
    let page = owner.visit(&path).await?.ok()?;
    ensure!(page.form(&format!("{path}/roll")).is_err(), "the owner is offered to roll a member's key");
    let rolled = owner.submit(&path, &format!("{path}/roll"), &[("grace", "0")]).await?;
    assert_eq!(rolled.status, StatusCode::NOT_FOUND);
    everywhere(system, &workspace, &key, StatusCode::OK).await?;

    let owners = owner.visit(&keys).await?.ok()?.links(&format!("{keys}/"));
    let owners: Vec<_> = owners.into_iter().filter(|other| *other != path).collect();
    for other in owners {
        assert_eq!(member.get(&other).await?.status, StatusCode::NOT_FOUND, "a member sees {other}");
    }
    let accounts = format!("/w/{}/service-accounts", workspace.slug);
    assert_eq!(member.get(&accounts).await?.status, StatusCode::FORBIDDEN);
    let account = service_account(&owner, &workspace, "robot").await?;
    assert_eq!(member.get(&account).await?.status, StatusCode::FORBIDDEN);
    let made = member.submit(&keys, &format!("{account}/keys"), &[("name", "x")]).await?;
    assert_eq!(made.status, StatusCode::FORBIDDEN);

    owner.submit(&path, &format!("{path}/revoke"), &[]).await?.ok()?;
    everywhere(system, &workspace, &key, StatusCode::UNAUTHORIZED).await
}

#[tokio::test]
async fn a_service_account_acts_under_its_own_name_until_it_is_disabled() -> TestResult {
    let echo = Echo::new().await?;
    let (system, workspace) = (echo.system, &echo.workspace);
    let console = system.console(&workspace.owner).await?;
    let name = format!("nightly {}", unique());
    let account = service_account(&console, workspace, &name).await?;
    let key = make_key(&console, &account, &format!("{account}/keys"), &[("name", "pipeline")]).await?;
    everywhere(system, workspace, &key, StatusCode::OK).await?;
    system.mcp(workspace, &key).call("echo_create_item", json!({"title": "x"})).await?.text()?;
    let log = format!("/w/{}/audit", workspace.slug);
    eventually("the service account is in the log", SOON, || async {
        let text = console.visit(&log).await?.ok()?.text();
        Ok(text.contains(&name).then_some(()))
    })
    .await?;
    let id = account.rsplit('/').next().unwrap_or_default();
    let own = console.visit(&format!("{log}?user=svc_{id}")).await?.ok()?;
    assert!(link_to(&own, &format!("{log}/")).is_some(), "the filter finds nothing");

    console.submit(&account, &format!("{account}/state"), &[("disabled", "true")]).await?.ok()?;
    everywhere(system, workspace, &key, StatusCode::UNAUTHORIZED).await?;
    assert!(console.visit(&account).await?.text().contains("Disabled"));
    console.submit(&account, &format!("{account}/state"), &[("disabled", "false")]).await?.ok()?;
    everywhere(system, workspace, &key, StatusCode::OK).await?;

    let delete = format!("{account}/delete");
    let wrong = console.submit(&account, &delete, &[("confirm", "another")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    console.submit(&account, &delete, &[("confirm", &name)]).await?.ok()?;
    everywhere(system, workspace, &key, StatusCode::UNAUTHORIZED).await?;
    assert_eq!(console.get(&account).await?.status, StatusCode::NOT_FOUND);
    assert!(console.visit(&log).await?.text().contains("Deleted service account"));
    Ok(())
}

#[tokio::test]
async fn two_service_accounts_cannot_have_one_name_and_what_was_typed_stays() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    service_account(&console, &workspace, "robot").await?;
    let list = format!("/w/{}/service-accounts", workspace.slug);
    let again = console.submit(&list, &list, &[("name", "robot"), ("description", "Kept & shown")]).await?;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(again.text().contains("Another service account has this name"), "{}", again.text());
    let kept = again.form(&list)?.fields;
    assert!(kept.iter().any(|(_, value)| value == "Kept & shown"), "{kept:?}");
    Ok(())
}

#[tokio::test]
async fn another_workspaces_service_accounts_and_keys_are_not_found() -> TestResult {
    let system = System::shared().await?;
    let ours = system.workspace().await?;
    let owner = system.console(&ours.owner).await?;
    let account = service_account(&owner, &ours, "robot").await?;
    let key = make_key(&owner, &account, &format!("{account}/keys"), &[("name", "k")]).await?;
    everywhere(system, &ours, &key, StatusCode::OK).await?;
    let page = owner.visit(&account).await?.ok()?;
    let key_path = link_to(&page, &format!("/w/{}/keys/", ours.slug)).context("no key on the page")?;

    let eves = system.workspace().await?;
    let eve = system.console(&eves.owner).await?;
    let home = format!("/w/{}/keys", eves.slug);
    for (path, fields) in [
        (format!("{account}/state"), [("disabled", "true")].as_slice()),
        (format!("{account}/delete"), [("confirm", "robot")].as_slice()),
        (format!("{account}/describe"), [("name", "evil")].as_slice()),
        (format!("{account}/keys"), [("name", "evil")].as_slice()),
        (format!("{key_path}/roll"), [("grace", "0")].as_slice()),
        (format!("{key_path}/revoke"), [].as_slice()),
    ] {
        for path in [path.clone(), path.replace(&ours.slug, &eves.slug)] {
            let answer = eve.submit(&home, &path, fields).await?;
            ensure!(answer.status == StatusCode::NOT_FOUND, "{path}: {}", answer.status);
        }
    }
    let after = owner.visit(&account).await?.ok()?.text();
    assert!(after.contains("Enabled") && after.contains("robot") && !after.contains("evil"), "{after}");
    let mcp: Mcp = system.mcp(&ours, &key);
    assert_eq!(mcp.request("ping", json!({})).await?.status, StatusCode::OK);
    Ok(())
}

/// A client of a service account: its id, and the key that it signs with.
async fn machine(console: &Console, account: &str) -> Result<(String, Signer)> {
    let signer = Signer::new()?;
    let keys = signer.jwks().to_string();
    let fields = [("client_name", "pipeline"), ("keys", keys.as_str())];
    console.submit(account, &format!("{account}/clients"), &fields).await?.ok()?;
    let page = console.visit(account).await?.ok()?;
    let form = page.form(&format!("{account}/clients/remove"))?;
    let id = form.fields.iter().find(|(name, _)| name == "client_id").context("no client id on the page")?;
    Ok((id.1.clone(), signer))
}

/// What a machine sends.
fn asks(server: &Server, assertion: &str) -> Vec<(String, String)> {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("resource", server.resource.as_str()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test]
async fn a_machine_gets_a_token_by_its_own_key_and_acts_as_its_service_account() -> TestResult {
    let echo = Echo::new().await?;
    let (system, workspace) = (echo.system, &echo.workspace);
    let console = system.console(&workspace.owner).await?;
    let name = format!("robot {}", unique());
    let account = service_account(&console, workspace, &name).await?;
    let (client, signer) = machine(&console, &account).await?;
    let server = system.oauth(workspace).await?;
    let endpoint = server.endpoint("token_endpoint")?;
    let assertion = signer.assertion(&client, &endpoint, &[]);
    let answer = server.token(&asks(&server, &assertion)).await?;
    ensure!(answer.status == StatusCode::OK, "{}: {}", answer.status, answer.body);
    let json = answer.json()?;
    assert!(json.get("refresh_token").is_none(), "{json}");
    assert_eq!((&json["scope"], &json["token_type"]), (&json!("mcp:tools"), &json!("Bearer")));
    let token = json["access_token"].as_str().context("no token")?.to_owned();
    everywhere(system, workspace, &token, StatusCode::OK).await?;
    system.mcp(workspace, &token).call("echo_create_item", json!({"title": "x"})).await?.text()?;
    let log = format!("/w/{}/audit", workspace.slug);
    eventually("the service account is in the log", SOON, || async {
        let text = console.visit(&log).await?.ok()?.text();
        Ok((text.contains(&name) && text.contains("pipeline")).then_some(()))
    })
    .await?;

    // One assertion is good once.
    let again = server.token(&asks(&server, &assertion)).await?;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "{}", again.body);

    console.submit(&account, &format!("{account}/state"), &[("disabled", "true")]).await?.ok()?;
    everywhere(system, workspace, &token, StatusCode::UNAUTHORIZED).await?;
    let refused = server.token(&asks(&server, &signer.assertion(&client, &endpoint, &[]))).await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert_eq!(refused.json()?["error"], "unauthorized_client");
    Ok(())
}

#[tokio::test]
async fn a_machine_is_believed_for_its_own_signature_alone_and_gets_nothing_else() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let account = service_account(&console, &workspace, "robot").await?;
    let (client, signer) = machine(&console, &account).await?;
    let server = system.oauth(&workspace).await?;
    let endpoint = server.endpoint("token_endpoint")?;
    let thief = Signer::new()?;
    let forged = server.token(&asks(&server, &thief.assertion(&client, &endpoint, &[]))).await?;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED, "{}", forged.body);
    let bare = vec![
        ("grant_type".to_owned(), "client_credentials".to_owned()),
        ("client_id".to_owned(), client.clone()),
    ];
    assert_eq!(server.token(&bare).await?.status, StatusCode::UNAUTHORIZED);
    let fresh = || signer.assertion(&client, &endpoint, &[]);
    for (name, value, error) in [
        ("resource", "https://evil.example/mcp", "invalid_target"),
        ("grant_type", "authorization_code", "unauthorized_client"),
        ("grant_type", "refresh_token", "unauthorized_client"),
        ("grant_type", "password", "unsupported_grant_type"),
    ] {
        let answer = server.token(&with(asks(&server, &fresh()), name, value)).await?;
        ensure!(answer.json()?["error"] == error, "{name}={value}: {}", answer.body);
    }
    // A public client of the same workspace gets no token of a machine.
    let public = server.client(REDIRECT).await?;
    let answer = server.token(&with(bare.clone(), "client_id", &public)).await?;
    assert_eq!(answer.json()?["error"], "unauthorized_client");

    let answer = server.token(&asks(&server, &fresh())).await?;
    let token = answer.json()?["access_token"].as_str().context("no token")?.to_owned();
    everywhere(system, &workspace, &token, StatusCode::OK).await?;
    let remove = format!("{account}/clients/remove");
    console.submit(&account, &remove, &[("client_id", &client)]).await?.ok()?;
    everywhere(system, &workspace, &token, StatusCode::UNAUTHORIZED).await?;
    let gone = server.token(&asks(&server, &fresh())).await?;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED, "{}", gone.body);
    Ok(())
}

#[tokio::test]
async fn a_key_that_cannot_be_registered_is_named_and_what_was_typed_stays() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let account = service_account(&console, &workspace, "robot").await?;
    let clients = format!("{account}/clients");
    let mut private = Signer::new()?.jwk();
    private["d"] = json!("AAAA");
    for keys in ["", "{", "{\"keys\":[]}", "http://insecure.example/keys", &private.to_string()] {
        let fields = [("client_name", "kept & shown"), ("keys", keys)];
        let page = console.submit(&account, &clients, &fields).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{keys}: {}", page.status);
        let kept = page.form(&clients)?.fields;
        ensure!(kept.iter().any(|(_, value)| value == "kept & shown"), "{keys}: {kept:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_machines_token_that_is_given_back_ends_alone_and_the_machine_goes_on() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let account = service_account(&console, &workspace, &format!("robot {}", unique())).await?;
    let (client, signer) = machine(&console, &account).await?;
    let server = system.oauth(&workspace).await?;
    let endpoint = server.endpoint("token_endpoint")?;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = server.token(&asks(&server, &signer.assertion(&client, &endpoint, &[]))).await?;
        tokens.push(answer.json()?["access_token"].as_str().context("no token")?.to_owned());
    }
    for token in &tokens {
        everywhere(system, &workspace, token, StatusCode::OK).await?;
    }
    let revoke = async |fields: &[(&str, &str)]| -> Result<StatusCode> {
        let request = system.http.post(server.endpoint("revocation_endpoint")?).form(fields);
        Ok(request.send().await?.status())
    };
    // The token alone does not show whose it is.
    revoke(&[("token", &tokens[0])]).await?;
    everywhere(system, &workspace, &tokens[0], StatusCode::OK).await?;
    let signed = signer.assertion(&client, &endpoint, &[]);
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let form = [
        ("token", tokens[0].as_str()),
        ("client_assertion_type", kind),
        ("client_assertion", signed.as_str()),
    ];
    assert_eq!(revoke(&form).await?, StatusCode::OK);
    everywhere(system, &workspace, &tokens[0], StatusCode::UNAUTHORIZED).await?;
    everywhere(system, &workspace, &tokens[1], StatusCode::OK).await?;
    let answer = server.token(&asks(&server, &signer.assertion(&client, &endpoint, &[]))).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    Ok(())
}
