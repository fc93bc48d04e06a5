//! APIs that want an access token or a login: got once for all callers, replaced before they end, and said plainly when a person
//! has to do something.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::cable::Cable;
use toolmesh_tests::emulate::{Emulate, Service};
use toolmesh_tests::node::Node;
use toolmesh_tests::system::Options;
use toolmesh_tests::token_server::{CLIENT, PASSWORD, REFRESH, SECRET, TokenServer, USER};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::Installation;
use toolmesh_tests::{Console, Mcp, Page, System, TestResult, Workspace, eventually, html, net, paths};
use url::Url;

/// A connector with one kind of authentication and two tools, as a file.
fn document(auth: &str, path: &str) -> Result<PathBuf> {
    let text = format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  description: An API that wants a token.\n  auth: {auth}\n  defaults:\n    errors: {{format: json, message_path: $.error.message}}\n  tools:\n    whoami: {{method: GET, path: {path}, access: read, description: Says who is calling.}}\n    change: {{method: POST, path: {path}, access: write, description: Changes something.}}\n"
    );
    let file = paths::scratch("toolmesh-auth-")?.keep().join("demo.dadl");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// A workspace with a connector that gets its tokens from a server of ours.
struct Scene {
    system: &'static System,
    server: TokenServer,
    workspace: Workspace,
    installation: Installation,
    mcp: Mcp,
}

const CREDENTIALS: [(&str, &str); 2] = [("id", CLIENT), ("secret", SECRET)];

impl Scene {
    /// `flow` and further keys of the auth block.
    async fn oauth2(keys: &str, credentials: &[(&str, &str)]) -> Result<Self> {
        let auth = format!(
            "{{type: oauth2, token_url: /token, client_id_credential: id, client_secret_credential: secret{keys}}}"
        );
        Self::new(&document(&auth, "/api/me")?, credentials).await
    }

    async fn by_consent() -> Result<Self> {
        let keys = ", flow: authorization_code, authorize_url: /authorize?audience=api, refresh_token_credential: refresh, scopes: [read, write], authorization_params: {access_type: offline}";
        Self::oauth2(keys, &CREDENTIALS).await
    }

    async fn session(password: &str) -> Result<Self> {
        let auth = "{type: session, login: {method: POST, path: /login, body: {user: {name: 'credential:user', password_credential: password}}, extract: {token: $.data.token}}, inject: [{header: X-Session, value: 'T {{token}}'}], refresh: {trigger: '401', action: re_login}}";
        Self::new(&document(auth, "/session/me")?, &[("user", USER), ("password", password)]).await
    }

    async fn new(dadl: &std::path::Path, credentials: &[(&str, &str)]) -> Result<Self> {
        let (system, server) = (System::shared().await?, TokenServer::start()?);
        let workspace = system.workspace().await?;
        let installation =
            system.enable_file(&workspace.slug, dadl, "demo", &server.url, credentials).await?;
        let mcp = system.mcp(&workspace, &workspace.key);
        system.offered_everywhere(&workspace, "demo_whoami").await?;
        Ok(Self { system, server, workspace, installation, mcp })
    }

    fn page(&self, rest: &str) -> String {
        format!("/w/{}/connectors/{}{rest}", self.workspace.slug, self.installation.id)
    }

    async fn owner(&self) -> Result<Console> {
        self.system.console(&self.workspace.owner).await
    }

    /// A call at one node, always the same.
    async fn call(&self) -> Result<Value> {
        let node = self.system.ready.nodes.first().context("no node")?;
        let mcp = self.system.mcp_on(&node.http, &self.workspace, &self.workspace.key);
        mcp.call("demo_whoami", json!({})).await?.result_json()
    }

    async fn refusal(&self) -> Result<String> {
        let answer = self.mcp.call("demo_whoami", json!({})).await?;
        answer.refusal()?.context("it passed for a success")
    }

    /// So many calls at once, over all nodes; every one succeeds.
    async fn many(&self, count: usize) -> TestResult {
        let calls = (0..count).map(|n| {
            let node = &self.system.ready.nodes[n % self.system.ready.nodes.len()];
            let mcp = self.system.mcp_on(&node.http, &self.workspace, &self.workspace.key);
            tokio::spawn(async move { mcp.call("demo_whoami", json!({})).await?.text() })
        });
        for call in calls.collect::<Vec<_>>() {
            let text = call.await??;
            ensure!(text.contains("[redacted]") && !text.contains("access-token"), "{text}");
        }
        Ok(())
    }

    /// Leaves for the provider, and says where to.
    async fn leave(&self, console: &Console) -> Result<Url> {
        away(&console.submit(&self.page(""), &self.page("/connect"), &[]).await?.ok()?)
    }

    /// Connects as a person does.
    async fn connect(&self, console: &Console) -> Result<Page> {
        let back = self.server.allow(&self.leave(console).await?)?;
        console.visit(&console.path_of(back.as_str())?).await?.ok()
    }
}

/// Where the page that leaves the console leads.
fn away(page: &Page) -> Result<Url> {
    let tags = html::tags(&page.body);
    let refresh = tags.iter().find(|tag| tag.attribute("http-equiv") == Some("refresh"));
    let content = refresh.and_then(|tag| tag.attribute("content"));
    let content = content.with_context(|| format!("{} leads nowhere: {}", page.status, page.text()))?;
    Ok(Url::parse(content.split_once("url=").context("no address")?.1)?)
}

#[tokio::test]
async fn a_client_gets_one_token_for_all_callers_and_no_answer_shows_it() -> TestResult {
    for (keys, by_form) in [("", true), (", token_auth: basic", false)] {
        let scene = Scene::oauth2(&format!("{keys}, scopes: [read, write]"), &CREDENTIALS).await?;
        scene.many(20).await?;
        let exchanges = scene.server.exchanges();
        ensure!(exchanges.len() == 1, "{} exchanges", exchanges.len());
        ensure!(exchanges[0].get("grant_type").map(String::as_str) == Some("client_credentials"));
        ensure!(exchanges[0].get("scope").map(String::as_str) == Some("read write"));
        ensure!(exchanges[0].contains_key("client_secret") == by_form, "{:?}", exchanges[0].keys());
    }
    Ok(())
}

#[tokio::test]
async fn fifty_calls_after_the_end_of_a_token_make_one_refresh() -> TestResult {
    let keys = ", flow: refresh_token, refresh_token_credential: refresh";
    let scene = Scene::oauth2(keys, &[CREDENTIALS[0], CREDENTIALS[1], ("refresh", REFRESH)]).await?;
    scene.server.behave(|manners| manners.life = Some(2));
    scene.call().await?;
    scene.server.behave(|manners| manners.life = Some(3600));
    eventually("the token has ended", SOON, || async { Ok(scene.server.has_ended_all().then_some(())) })
        .await?;
    let before = scene.server.exchanges().len();
    scene.many(50).await?;
    assert_eq!(scene.server.exchanges().len() - before, 1);
    Ok(())
}

#[tokio::test]
async fn a_token_that_the_api_refuses_is_replaced_once_for_all_and_the_calls_succeed() -> TestResult {
    let scene = Scene::oauth2("", &CREDENTIALS).await?;
    // Both nodes hold it and have seen it taken.
    scene.many(4).await?;
    scene.server.end_all();
    scene.many(30).await?;
    assert_eq!(scene.server.exchanges().len(), 2);
    // A call that changes something is repeated too: what was refused did nothing.
    scene.server.end_all();
    scene.mcp.call("demo_change", json!({})).await?.text()?;
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_that_changes_with_each_use_is_kept_before_it_is_used() -> TestResult {
    let keys = ", flow: refresh_token, refresh_token_credential: refresh, rotates_refresh_token: true";
    let scene = Scene::oauth2(keys, &[CREDENTIALS[0], CREDENTIALS[1], ("refresh", REFRESH)]).await?;
    scene.server.behave(|manners| manners.rotates = true);
    for _ in 0..3 {
        scene.call().await?;
        scene.server.end_all();
    }
    let used: Vec<_> = scene.server.exchanges().iter().map(|form| form["refresh_token"].clone()).collect();
    assert_eq!(used, [REFRESH, "refresh-token-of-exchange-1", "refresh-token-of-exchange-2"]);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_where_the_provider_forgives_and_told_where_not()
-> TestResult {
    for forgives in [true, false] {
        let keys = ", flow: refresh_token, refresh_token_credential: refresh, rotates_refresh_token: true";
        let scene = Scene::oauth2(keys, &[CREDENTIALS[0], CREDENTIALS[1], ("refresh", REFRESH)]).await?;
        scene.server.behave(|manners| {
            manners.rotates = true;
            manners.forgives = forgives;
            manners.loses_answer = true;
        });
        let refusal = scene.refusal().await?;
        ensure!(refusal.contains("gave no access token") && refusal.contains("Try again"), "{refusal}");
        let last = eventually("it is tried again", SOON, || async {
            let answer = scene.mcp.call("demo_whoami", json!({})).await?;
            let refusal = answer.refusal()?;
            Ok((!refusal.as_ref().is_some_and(|text| text.contains("gave no access"))).then_some(refusal))
        })
        .await?;
        match last {
            None => ensure!(forgives, "a token that was used before was taken"),
            Some(refusal) => ensure!(!forgives && refusal.contains("connected again"), "{refusal}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_service_accounts_key_signs_for_a_token_and_is_shown_to_nobody() -> TestResult {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let key = KeyPair::generate(KeySize::Rsa2048).ok().context("no key could be made")?;
    let der: Pkcs8V1Der<'_> = key.as_der().ok().context("the key cannot be written")?;
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let file = json!({
        "type": "service_account", "client_email": "robot@project.example", "private_key_id": "k1", "private_key": pem,
    });
    let auth = "{type: oauth2, flow: jwt_bearer, token_url: /token, service_account_credential: account, subject: ana@example.com, scopes: [read]}";
    let scene = Scene::new(&document(auth, "/api/me")?, &[("account", &file.to_string())]).await?;
    scene.many(6).await?;
    let exchanges = scene.server.exchanges();
    ensure!(exchanges.len() == 1, "{} exchanges", exchanges.len());
    let assertion = exchanges[0].get("assertion").context("no assertion")?;
    let (message, signature) = assertion.rsplit_once('.').context("no signature")?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    ensure!(public.verify(message.as_bytes(), &signature).is_ok(), "another key signed");
    let claims = message.split_once('.').context("no claims")?.1;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    assert_eq!(claims["iss"], "robot@project.example");
    assert_eq!(claims["sub"], "ana@example.com");
    assert_eq!(claims["scope"], "read");
    assert_eq!(claims["aud"], format!("{}/token", scene.server.url));
    // The token ends: another is signed for.
    scene.server.end_all();
    scene.many(6).await?;
    assert_eq!(scene.server.exchanges().len(), 2);
    let page = scene.owner().await?.visit(&scene.page("")).await?.ok()?;
    ensure!(!page.body.contains("PRIVATE KEY"), "the key is on the page");
    Ok(())
}

/// A control plane that is killed after the provider has answered and before it could keep the answer.
async fn killed_while_a_token_is_on_its_way(forgives: bool) -> TestResult {
    let (folder, port) = (paths::scratch("toolmesh-killed-")?, net::free_port()?);
    let options = || Options { data: Some(folder.path().join("data")), nodes: 1, port, ..Options::default() };
    let (system, server) = (System::start(options()).await?, TokenServer::start()?);
    let workspace = system.workspace().await?;
    let auth = "{type: oauth2, token_url: /token, client_id_credential: id, client_secret_credential: secret, flow: refresh_token, refresh_token_credential: refresh, rotates_refresh_token: true}";
    let credentials = [CREDENTIALS[0], CREDENTIALS[1], ("refresh", REFRESH)];
    let dadl = document(auth, "/api/me")?;
    system.enable_file(&workspace.slug, &dadl, "demo", &server.url, &credentials).await?;
    system.offered_everywhere(&workspace, "demo_whoami").await?;
    system.mcp(&workspace, &workspace.key).call("demo_whoami", json!({})).await?.text()?;

    server.behave(|manners| {
        (manners.rotates, manners.forgives) = (true, forgives);
        manners.answers_after = Duration::from_secs(5);
    });
    server.end_all();
    let (before, mcp) = (server.exchanges().len(), system.mcp(&workspace, &workspace.key));
    let call = tokio::spawn(async move { mcp.call("demo_whoami", json!({})).await });
    eventually("the provider has answered", SOON, || async {
        Ok((server.exchanges().len() > before).then_some(()))
    })
    .await?;
    let control = nix::unistd::Pid::from_raw(system.ready.control_plane.pid);
    nix::sys::signal::kill(control, nix::sys::signal::Signal::SIGKILL)?;
    call.abort();
    drop(system);
    server.behave(|manners| manners.answers_after = Duration::ZERO);

    let system = System::start(options()).await?;
    system.offered_everywhere(&workspace, "demo_whoami").await?;
    let mcp = system.mcp(&workspace, &workspace.key);
    let refusal = eventually("what was lost is tried again", Duration::from_secs(60), || async {
        let refusal = mcp.call("demo_whoami", json!({})).await?.refusal()?;
        // The turn of the process that died has to end first.
        Ok((!refusal.as_ref().is_some_and(|text| text.contains("Try again in a moment"))).then_some(refusal))
    })
    .await?;
    match refusal {
        None => ensure!(forgives, "a token that was used before was taken"),
        Some(text) => ensure!(!forgives && text.contains("has to be connected again"), "{text}"),
    }
    system.stop()
}

#[tokio::test]
async fn a_token_that_is_lost_with_the_control_plane_is_asked_for_again() -> TestResult {
    killed_while_a_token_is_on_its_way(true).await
}

#[tokio::test]
async fn a_token_that_is_lost_for_good_is_told_and_not_lost_silently() -> TestResult {
    killed_while_a_token_is_on_its_way(false).await
}

#[tokio::test]
async fn a_wrong_secret_is_told_to_callers_and_on_the_page_until_it_is_replaced() -> TestResult {
    let scene = Scene::oauth2("", &[("id", CLIENT), ("secret", "a-wrong-secret-0000")]).await?;
    let refusal = scene.refusal().await?;
    ensure!(refusal.contains("invalid_client") && refusal.contains("to be replaced"), "{refusal}");
    ensure!(refusal.contains("Ask an owner or admin"), "{refusal}");
    let asked = scene.server.exchanges().len();
    scene.refusal().await?;
    assert_eq!(
        scene.server.exchanges().len(),
        asked,
        "a provider that has refused is left alone for a while"
    );

    let owner = scene.owner().await?;
    let page = owner.visit(&scene.page("")).await?.ok()?;
    ensure!(
        page.text().contains("Failing") && page.text().contains("Replace the credential"),
        "{}",
        page.text()
    );
    ensure!(!page.body.contains("a-wrong-secret"), "the secret is in the page");
    let fields = [("credential.secret", SECRET)];
    owner.submit(&scene.page(""), &scene.page("/credential"), &fields).await?.ok()?;
    eventually("the new secret is used", SOON, || async {
        Ok(scene.mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await?;
    let page = owner.visit(&scene.page("")).await?.ok()?;
    ensure!(!page.text().contains("Failing"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_down_is_named_and_not_asked_by_every_caller() -> TestResult {
    let scene = Scene::oauth2("", &CREDENTIALS).await?;
    scene.server.behave(|manners| manners.refuses = Some((503, "temporarily_unavailable")));
    let refusal = scene.refusal().await?;
    ensure!(refusal.contains("temporarily_unavailable") && refusal.contains("Try again"), "{refusal}");
    scene.server.behave(|manners| manners.refuses = None);
    eventually("it is asked again by itself", SOON, || async {
        Ok(scene.mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn while_the_control_plane_is_away_a_token_is_good_until_it_ends_and_then_the_error_says_so()
-> TestResult {
    let scene = Scene::oauth2("", &CREDENTIALS).await?;
    scene.server.behave(|manners| manners.life = Some(8));
    let cable = Cable::to(&scene.system.ready.control_plane.grpc).await?;
    let node = Node::start(scene.system, &cable.address.to_string()).await?;
    let mcp = scene.system.mcp_on(&node.http, &scene.workspace, &scene.workspace.key);
    mcp.call("demo_whoami", json!({})).await?.text()?;
    cable.cut();
    mcp.call("demo_whoami", json!({})).await?.text().context("the token is still good")?;
    let limit = Duration::from_secs(20);
    eventually("the token has ended", limit, || async { Ok(scene.server.has_ended_all().then_some(())) })
        .await?;
    let refusal =
        mcp.call("demo_whoami", json!({})).await?.refusal()?.context("nobody could know another token")?;
    ensure!(refusal.contains("control plane") && refusal.contains("is away"), "{refusal}");
    cable.plug_in();
    eventually("the next token is got", limit, || async {
        Ok(mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_person_connects_an_account_and_calls_use_it_until_they_disconnect() -> TestResult {
    let scene = Scene::by_consent().await?;
    ensure!(scene.refusal().await?.contains("nobody has connected it"), "without a connection");
    let owner = scene.owner().await?;
    let page = owner.visit(&scene.page("")).await?.ok()?;
    let redirect = scene.system.console_url("/connections/callback");
    ensure!(page.text().contains("Not connected") && page.body.contains(&redirect), "{}", page.text());

    let address = scene.leave(&owner).await?;
    let pairs: Vec<_> = address.query_pairs().into_owned().collect();
    for (name, value) in [("audience", "api"), ("access_type", "offline"), ("scope", "read write")] {
        ensure!(pairs.contains(&(name.to_owned(), value.to_owned())), "{address}");
    }
    ensure!(!address.as_str().contains(SECRET), "{address}");
    let back = scene.server.allow(&address)?;
    let page = owner.visit(&owner.path_of(back.as_str())?).await?.ok()?;
    let text = page.text();
    ensure!(text.contains("ada@provider.example") && text.contains("Disconnect"), "{text}");
    ensure!(!page.body.contains("refresh-token-of") && !page.body.contains("access-token-number"), "{text}");
    eventually("every node uses it", SOON, || async {
        Ok(scene.mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await?;
    scene.many(4).await?;

    // The refresh token that came with the consent works.
    scene.server.end_all();
    scene.many(4).await?;
    owner.submit(&scene.page(""), &scene.page("/disconnect"), &[]).await?.ok()?;
    eventually("no node uses it any more", SOON, || async {
        let refusal = scene.mcp.call("demo_whoami", json!({})).await?.refusal()?;
        Ok(refusal.filter(|text| text.contains("nobody has connected it")))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_consent_that_the_provider_has_ended_is_told_with_the_way_out() -> TestResult {
    let scene = Scene::by_consent().await?;
    let owner = scene.owner().await?;
    scene.connect(&owner).await?;
    eventually("it is connected", SOON, || async {
        Ok(scene.mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await?;
    scene.server.end_all();
    scene.server.end_refresh();
    let refusal = scene.refusal().await?;
    ensure!(refusal.contains("invalid_grant") && refusal.contains("connected again"), "{refusal}");
    let page = owner.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("Reconnect it"), "{}", page.text());
    scene.connect(&owner).await?;
    eventually("it works again", SOON, || async {
        Ok(scene.mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_state_connects_nothing_in_another_browser_for_somebody_else_or_twice() -> TestResult {
    let scene = Scene::by_consent().await?;
    let owner = scene.owner().await?;

    // Another browser of the same person.
    let back = scene.server.allow(&scene.leave(&owner).await?)?;
    let path = owner.path_of(back.as_str())?;
    let elsewhere = scene.owner().await?;
    assert_eq!(elsewhere.get(&path).await?.status, StatusCode::GONE);

    // Another person, whose own workspace the victim is lured to connect to the attacker's account.
    let stranger = scene.system.person().await?;
    let attacker = scene.system.console(&stranger).await?;
    assert_eq!(attacker.get(&path).await?.status, StatusCode::GONE);
    let asked = scene.server.exchanges().len();

    // Its own browser, once.
    ensure!(owner.get(&path).await?.status == StatusCode::SEE_OTHER);
    assert_eq!(owner.get(&path).await?.status, StatusCode::GONE);
    assert_eq!(scene.server.exchanges().len() - asked, 1, "a code was sent for somebody who may not");

    // One that nobody made.
    for state in ["", "x", &format!("{}.abc", scene.workspace.tenant_id)] {
        let path = format!("/connections/callback?code=c&state={state}");
        assert_eq!(owner.get(&path).await?.status, StatusCode::GONE, "{state:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_at_the_provider_changes_nothing_and_says_so() -> TestResult {
    let scene = Scene::by_consent().await?;
    let owner = scene.owner().await?;
    let address = scene.leave(&owner).await?;
    let state = address.query_pairs().find(|(name, _)| name == "state").context("no state")?.1.into_owned();
    let path = format!("/connections/callback?error=access_denied&state={state}");
    let page = owner.get(&path).await?;
    ensure!(
        page.status == StatusCode::UNPROCESSABLE_ENTITY && page.text().contains("not allowed"),
        "{}",
        page.text()
    );
    Ok(())
}

#[tokio::test]
async fn an_account_of_the_emulated_google_is_connected_and_its_api_called() -> TestResult {
    let system = System::shared().await?;
    let console_url = system.console_url("/connections/callback");
    let seed = json!({ "google": {
        "users": [{ "email": "ada@example.com", "name": "Ada Example", "email_verified": true }],
        "oauth_clients": [{
            "client_id": CLIENT, "client_secret": SECRET, "name": "ToolMesh", "redirect_uris": [console_url],
        }],
    } });
    let google = Emulate::start_with(Service::Google, Some(&seed), None).await?;
    let auth = "{type: oauth2, flow: authorization_code, authorize_url: /o/oauth2/v2/auth, token_url: /oauth2/token, client_id_credential: id, client_secret_credential: secret, refresh_token_credential: refresh, scopes: [openid, email], authorization_params: {access_type: offline, prompt: consent}}";
    let workspace = system.workspace().await?;
    let dadl = document(auth, "/oauth2/v2/userinfo")?;
    let made = system.enable_file(&workspace.slug, &dadl, "google", &google.url, &CREDENTIALS).await?;
    system.offered_everywhere(&workspace, "google_whoami").await?;
    let owner = system.console(&workspace.owner).await?;
    let page = format!("/w/{}/connectors/{}", workspace.slug, made.id);
    let address = away(&owner.submit(&page, &format!("{page}/connect"), &[]).await?.ok()?)?;

    // Ada chooses her account on Google's page.
    let choice = system.http.get(address.clone()).send().await?.error_for_status()?.text().await?;
    let hers = |form: &html::Form| form.fields.iter().any(|(_, value)| value == "ada@example.com");
    let form = html::forms(&choice).into_iter().find(hers).context("Ada's account is not offered")?;
    let chosen = system.http.post(address.join(&form.action)?).form(&form.fields).send().await?;
    let back = chosen.headers().get("location").context("Google sends nobody back")?.to_str()?.to_owned();
    let shown = owner.visit(&owner.path_of(&back)?).await?.ok()?.text();
    ensure!(shown.contains("ada@example.com"), "{shown}");
    let mcp = system.mcp(&workspace, &workspace.key);
    let text = eventually("the account is used", SOON, || async {
        let answer = mcp.call("google_whoami", json!({})).await?;
        Ok(if answer.refusal()?.is_none() { Some(answer.text()?) } else { None })
    })
    .await?;
    ensure!(text.contains("ada@example.com"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_login_is_made_once_for_all_callers_and_once_more_when_it_has_ended() -> TestResult {
    let scene = Scene::session(PASSWORD).await?;
    let nodes = u32::try_from(scene.system.ready.nodes.len())?;
    scene.sessions(30).await?;
    assert_eq!(scene.server.logins(), nodes, "each node logs in once");
    scene.server.end_all();
    scene.sessions(30).await?;
    assert_eq!(scene.server.logins(), 2 * nodes, "each node logs in once more");
    Ok(())
}

impl Scene {
    /// So many calls at once, over all nodes, with a login.
    async fn sessions(&self, count: usize) -> TestResult {
        let calls = (0..count).map(|n| {
            let node = &self.system.ready.nodes[n % self.system.ready.nodes.len()];
            let mcp = self.system.mcp_on(&node.http, &self.workspace, &self.workspace.key);
            tokio::spawn(async move { mcp.call("demo_whoami", json!({})).await?.text() })
        });
        for call in calls.collect::<Vec<_>>() {
            let text = call.await??;
            ensure!(text.contains("[redacted]") && !text.contains("session-"), "{text}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_login_that_is_refused_says_what_to_enter_again() -> TestResult {
    let scene = Scene::session("a-wrong-password-0000").await?;
    let refusal = scene.refusal().await?;
    ensure!(refusal.contains("login was refused (401") && refusal.contains("entered again"), "{refusal}");
    ensure!(!refusal.contains("a-wrong-password"), "{refusal}");
    let owner = scene.owner().await?;
    let fields = [("credential.password", PASSWORD)];
    owner.submit(&scene.page(""), &scene.page("/credential"), &fields).await?.ok()?;
    eventually("the new password is used", SOON, || async {
        Ok(scene.mcp.call("demo_whoami", json!({})).await?.refusal()?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn testing_a_connection_gets_a_token_of_its_own_and_shows_what_kept_it_from_one() -> TestResult {
    let scene = Scene::oauth2("", &CREDENTIALS).await?;
    let owner = scene.owner().await?;
    let page = owner.submit(&scene.page(""), &scene.page("/test"), &[]).await?.ok()?;
    ensure!(page.text().contains("200"), "{}", page.text());
    let scene = Scene::by_consent().await?;
    let owner = scene.owner().await?;
    let page = owner.submit(&scene.page(""), &scene.page("/test"), &[]).await?.ok()?;
    ensure!(page.text().contains("has to be connected"), "{}", page.text());
    Ok(())
}
