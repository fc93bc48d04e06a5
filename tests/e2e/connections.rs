//! Accounts that members connect for themselves: each call uses the caller's own and nobody else's, and where there is none the
//! answer says where to connect one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::token_server::{CLIENT, SECRET, TokenServer};
use toolmesh_tests::upstream::{Auth, connector};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::Installation;
use toolmesh_tests::{
    Console, Mcp, Page, Person, System, TestResult, Upstream, Workspace, eventually, html, paths,
};
use url::Url;

/// Somebody in the workspace, with a client of theirs.
struct Somebody {
    person: Person,
    console: Console,
    key: String,
    mcp: Mcp,
}

/// A workspace with a connector for which each member connects an account of their own, and two members beside the owner.
struct Scene {
    system: &'static System,
    workspace: Workspace,
    installation: Installation,
    tool: &'static str,
    ana: Somebody,
    ben: Somebody,
    /// The owner's browser.
    owner: Console,
}

impl Scene {
    async fn new(
        dadl: &std::path::Path,
        url: &str,
        credentials: &[(&str, &str)],
        tool: &'static str,
    ) -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let installation = system.enable_file(&workspace.slug, dadl, "mine", url, credentials).await?;
        system.offered_everywhere(&workspace, tool).await?;
        let owner = system.console(&workspace.owner).await?;
        let page = format!("/w/{}/connectors/{}", workspace.slug, installation.id);
        owner.submit(&page, &format!("{page}/accounts"), &[("accounts", "personal")]).await?.ok()?;
        let (ana, ben) = (somebody(system, &workspace).await?, somebody(system, &workspace).await?);
        let scene = Self { system, workspace, installation, tool, ana, ben, owner };
        for one in [&scene.ana, &scene.ben] {
            scene.is_refused(one, "you have not connected an account").await?;
        }
        Ok(scene)
    }

    /// With a key that each enters for themselves.
    async fn with_keys(upstream: &Upstream) -> Result<Self> {
        let folder = paths::scratch("toolmesh-connections-")?;
        let dadl = connector(folder.path(), Auth::Bearer)?;
        let shared = [("token", "the-workspaces-own-token")];
        Self::new(&dadl, &upstream.url(), &shared, "mine_whoami").await
    }

    /// With a login at a provider.
    async fn by_consent(server: &TokenServer) -> Result<Self> {
        let shared = [("id", CLIENT), ("secret", SECRET)];
        Self::new(&document()?, &server.url, &shared, "mine_whoami").await
    }

    fn page(&self, rest: &str) -> String {
        format!("/w/{}/connections/{}{rest}", self.workspace.slug, self.installation.id)
    }

    /// Until every node says why somebody's call is not made, and where to go.
    async fn is_refused(&self, one: &Somebody, why: &str) -> TestResult {
        let url = self.system.console_url(&self.page(""));
        for node in &self.system.ready.nodes {
            let mcp = self.system.mcp_on(&node.http, &self.workspace, &one.key);
            eventually(&format!("{}: {why} … {url}", node.name), SOON, || async {
                let answer = mcp.call(self.tool, json!({})).await?;
                ensure!(answer.status == StatusCode::OK, "{}: a client would log in again", answer.status);
                Ok(answer.refusal()?.filter(|text| text.contains(why) && text.contains(&url)))
            })
            .await?;
        }
        Ok(())
    }

    /// Until somebody's calls go through.
    async fn works(&self, one: &Somebody) -> Result<String> {
        eventually("the call goes through", SOON, || async {
            let answer = one.mcp.call(self.tool, json!({})).await?;
            Ok(if answer.refusal()?.is_none() { Some(answer.text()?) } else { None })
        })
        .await
    }

    async fn enter(&self, one: &Somebody, key: &str) -> TestResult {
        let fields = [("credential.token", key)];
        one.console.submit(&self.page(""), &self.page("/enter"), &fields).await?.ok().map(|_| ())
    }

    async fn leave(&self, one: &Somebody) -> Result<Url> {
        away(&one.console.submit(&self.page(""), &self.page("/connect"), &[]).await?.ok()?)
    }

    async fn connect(&self, one: &Somebody, server: &TokenServer) -> Result<Page> {
        let back = server.allow(&self.leave(one).await?)?;
        one.console.visit(&one.console.path_of(back.as_str())?).await?.ok()
    }
}

async fn somebody(system: &System, workspace: &Workspace) -> Result<Somebody> {
    let person = system.person().await?;
    let console = system.join(workspace, &person, "member").await?;
    let key = system.key(&workspace.slug, &person.email).await?;
    let_in(system, workspace, &key).await?;
    Ok(Somebody { mcp: system.mcp(workspace, &key), key, person, console })
}

/// Waits until every node knows a key.
async fn let_in(system: &System, workspace: &Workspace, key: &str) -> TestResult {
    for node in &system.ready.nodes {
        let mcp = system.mcp_on(&node.http, workspace, key);
        eventually(&format!("{} lets it in", node.name), SOON, || async {
            Ok(mcp.request("ping", json!({})).await?.status.is_success().then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn document() -> Result<PathBuf> {
    let text = "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  description: An API that wants a token.\n  auth: {type: oauth2, flow: authorization_code, authorize_url: /authorize, token_url: /token, x-revoke-url: /revoke, client_id_credential: id, client_secret_credential: secret, refresh_token_credential: refresh, scopes: [read, write]}\n  tools:\n    whoami: {method: GET, path: /api/me, access: read, description: Says who is calling.}\n";
    let file = paths::scratch("toolmesh-connections-")?.keep().join("demo.dadl");
    std::fs::write(&file, text)?;
    Ok(file)
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
async fn each_call_shows_the_key_that_its_caller_entered_and_nobody_elses() -> TestResult {
    let upstream = Upstream::start().await?;
    let scene = Scene::with_keys(&upstream).await?;
    ensure!(upstream.seen().is_empty(), "the workspace's own token stood in");
    let waiting = scene.ana.console.visit(&format!("/w/{}/connections", scene.workspace.slug)).await?.ok()?;
    ensure!(waiting.text().contains("Not connected"), "{}", waiting.text());
    let empty = scene.ana.console.submit(&scene.page(""), &scene.page("/enter"), &[]).await?;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);

    scene.enter(&scene.ana, "the-key-that-ana-entered").await?;
    let text = scene.works(&scene.ana).await?;
    ensure!(!text.contains("the-key-that-ana-entered"), "the answer shows it: {text}");
    scene.is_refused(&scene.ben, "you have not connected an account").await?;
    scene.enter(&scene.ben, "the-key-that-ben-entered").await?;
    scene.works(&scene.ben).await?;
    let shown = || upstream.seen().last().map(|seen| seen.header("authorization").to_owned());
    assert_eq!(shown().as_deref(), Some("Bearer the-key-that-ben-entered"));
    scene.works(&scene.ana).await?;
    assert_eq!(shown().as_deref(), Some("Bearer the-key-that-ana-entered"));

    // Nobody sees the other's, and an admin sees how many there are.
    let page = scene.ben.console.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("ends in") && !page.body.contains("that-ben-entered"), "{}", page.text());
    let admins = format!("/w/{}/connectors/{}", scene.workspace.slug, scene.installation.id);
    let page = scene.owner.visit(&admins).await?.ok()?;
    ensure!(page.text().contains("2 members have connected"), "{}", page.text());

    // Another key is used at once, and after disconnecting none.
    scene.enter(&scene.ana, "another-key-that-ana-entered").await?;
    eventually("the other key is shown", SOON, || async {
        scene.ana.mcp.call(scene.tool, json!({})).await?.text()?;
        Ok((shown().as_deref() == Some("Bearer another-key-that-ana-entered")).then_some(()))
    })
    .await?;
    scene.ana.console.submit(&scene.page(""), &scene.page("/disconnect"), &[]).await?.ok()?;
    scene.is_refused(&scene.ana, "you have not connected an account").await?;
    scene.works(&scene.ben).await?;
    assert_eq!(shown().as_deref(), Some("Bearer the-key-that-ben-entered"));
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_entered_for_one_service_is_not_shown_to_another() -> TestResult {
    let (upstream, other) = (Upstream::start().await?, Upstream::start().await?);
    let scene = Scene::with_keys(&upstream).await?;
    scene.enter(&scene.ana, "the-key-that-ana-entered").await?;
    scene.works(&scene.ana).await?;
    let connector = format!("/w/{}/connectors/{}", scene.workspace.slug, scene.installation.id);
    let settings = [("base_url", &*other.url())];
    scene.owner.submit(&connector, &format!("{connector}/settings"), &settings).await?.ok()?;
    scene.is_refused(&scene.ana, "you have not connected an account").await?;
    ensure!(other.seen().is_empty(), "the other service was shown a key that was not given for it");
    let page = scene.ana.console.visit(&scene.page("")).await?.ok()?;
    ensure!(!page.text().contains("ends in"), "{}", page.text());
    scene.enter(&scene.ana, "the-key-for-the-other").await?;
    scene.works(&scene.ana).await?;
    let shown = other.seen().last().map(|seen| seen.header("authorization").to_owned());
    assert_eq!(shown.as_deref(), Some("Bearer the-key-for-the-other"));
    Ok(())
}

#[tokio::test]
async fn each_members_consent_gives_a_token_for_their_own_calls_alone() -> TestResult {
    let server = TokenServer::start()?;
    let scene = Scene::by_consent(&server).await?;
    let page = scene.connect(&scene.ana, &server).await?;
    ensure!(page.text().contains("ada@provider.example"), "{}", page.text());
    ensure!(!page.body.contains("refresh-token-of"), "{}", page.text());
    scene.works(&scene.ana).await?;
    assert_eq!(server.exchanges().len(), 1, "the token that came with the consent is used");
    scene.is_refused(&scene.ben, "you have not connected an account").await?;
    scene.connect(&scene.ben, &server).await?;
    scene.works(&scene.ben).await?;
    scene.ben.console.submit(&scene.page(""), &scene.page("/disconnect"), &[]).await?.ok()?;
    scene.is_refused(&scene.ben, "you have not connected an account").await?;
    scene.works(&scene.ana).await?;

    // The provider ends Ana's: she is told where to mend it, and her page says so too.
    server.end_all();
    server.end_refresh();
    scene.is_refused(&scene.ana, "its provider has ended your connection (invalid_grant)").await?;
    let page = scene.ana.console.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("Reconnect it"), "{}", page.text());
    scene.connect(&scene.ana, &server).await?;
    scene.works(&scene.ana).await?;
    Ok(())
}

#[tokio::test]
async fn who_disconnects_has_the_provider_take_the_tokens_back_and_the_log_says_so() -> TestResult {
    let server = TokenServer::start()?;
    let scene = Scene::by_consent(&server).await?;
    let disconnect = || async {
        scene.connect(&scene.ana, &server).await?;
        let console = &scene.ana.console;
        let page = console.submit(&scene.page(""), &scene.page("/disconnect"), &[]).await?.ok()?;
        console.follow(page).await
    };
    let text = disconnect().await?.text();
    ensure!(text.contains("taken back at the provider") && text.contains("Not connected"), "{text}");
    let given = server.given_back();
    ensure!(given.len() == 1 && given[0]["token"].starts_with("refresh-token-of-exchange-"), "{given:?}");
    ensure!(given[0]["token_type_hint"] == "refresh_token" && given[0]["client_id"] == CLIENT, "{given:?}");
    // A provider that fails, or does not answer, keeps nobody connected.
    for takes_back in [(503, Duration::ZERO), (200, Duration::from_secs(120))] {
        server.behave(|manners| manners.takes_back = takes_back);
        let text = disconnect().await?.text();
        ensure!(text.contains("did not take the access back") && text.contains("Not connected"), "{text}");
    }
    let log = scene.owner.visit(&format!("/w/{}/audit", scene.workspace.slug)).await?.ok()?;
    let text = log.text();
    for said in [
        "Disconnected their own account from mine; its tokens were taken back",
        "did not take the tokens back",
    ] {
        ensure!(text.contains(said), "{said}: {text}");
    }
    ensure!(!log.body.contains("refresh-token-of"), "a token is in the log");
    Ok(())
}

#[tokio::test]
async fn a_member_is_mailed_once_for_each_time_that_the_provider_ends_their_connection() -> TestResult {
    let server = TokenServer::start()?;
    let scene = Scene::by_consent(&server).await?;
    let (system, email) = (scene.system, &scene.ana.person.email);
    for end in 0..2 {
        scene.connect(&scene.ana, &server).await?;
        scene.works(&scene.ana).await?;
        server.end_all();
        server.end_refresh();
        scene.is_refused(&scene.ana, "its provider has ended your connection (invalid_grant)").await?;
        let mail = system.mail_with_after(email, &scene.page(""), end).await?;
        ensure!(mail.subject.starts_with("Connect Demo again in "), "{}", mail.subject);
        ensure!(
            mail.text.contains("Your calls to it fail") && !mail.text.contains("token-number"),
            "{}",
            mail.text
        );
        scene.is_refused(&scene.ana, "its provider has ended your connection (invalid_grant)").await?;
    }
    assert_eq!(system.mails_with(email, &scene.page("")).await?.len(), 2, "one mail for each end");
    let pages = format!("/w/{}/connect", scene.workspace.slug);
    ensure!(system.mails_with(&scene.workspace.owner.email, &pages).await?.is_empty(), "it is nobody else's");
    Ok(())
}

#[tokio::test]
async fn admins_are_mailed_when_the_provider_ends_the_workspaces_connection() -> TestResult {
    let server = TokenServer::start()?;
    let scene = Scene::by_consent(&server).await?;
    let page = format!("/w/{}/connectors/{}", scene.workspace.slug, scene.installation.id);
    scene.owner.submit(&page, &format!("{page}/accounts"), &[("accounts", "workspace")]).await?.ok()?;
    let address = away(&scene.owner.submit(&page, &format!("{page}/connect"), &[]).await?.ok()?)?;
    let back = server.allow(&address)?;
    scene.owner.visit(&scene.owner.path_of(back.as_str())?).await?.ok()?;
    scene.works(&scene.ana).await?;
    server.end_all();
    server.end_refresh();
    eventually("the end comes to light", SOON, || async {
        let refusal = scene.ana.mcp.call(scene.tool, json!({})).await?.refusal()?;
        Ok(refusal.filter(|text| text.contains("has to be connected again")))
    })
    .await?;
    let mail = scene.system.mail_with_after(&scene.workspace.owner.email, &page, 0).await?;
    ensure!(
        mail.text.contains("the workspace's account") && mail.text.contains("(invalid_grant)"),
        "{}",
        mail.text
    );
    ensure!(
        scene.system.mails_with(&scene.ana.person.email, &page).await?.is_empty(),
        "members cannot mend it"
    );
    let log = scene.owner.visit(&format!("/w/{}/audit", scene.workspace.slug)).await?.ok()?.text();
    ensure!(
        log.contains("The provider has ended the connection of mine to the workspace's account"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn nobody_brings_back_a_consent_for_another_member() -> TestResult {
    let server = TokenServer::start()?;
    let scene = Scene::by_consent(&server).await?;
    let back = server.allow(&scene.leave(&scene.ana).await?)?;
    let path = scene.ben.console.path_of(back.as_str())?;
    assert_eq!(scene.ben.console.get(&path).await?.status, StatusCode::GONE);
    assert_eq!(scene.owner.get(&path).await?.status, StatusCode::GONE);
    assert!(server.exchanges().is_empty(), "a code was sent for somebody else");
    ensure!(scene.ana.console.get(&path).await?.status == StatusCode::SEE_OTHER);
    scene.works(&scene.ana).await?;
    scene.is_refused(&scene.ben, "you have not connected an account").await
}

#[tokio::test]
async fn who_was_removed_and_comes_back_begins_without_a_connection() -> TestResult {
    let upstream = Upstream::start().await?;
    let scene = Scene::with_keys(&upstream).await?;
    scene.enter(&scene.ana, "the-key-that-ana-entered").await?;
    scene.works(&scene.ana).await?;
    let member = format!("/w/{}/members/{}/remove", scene.workspace.slug, scene.ana.person.user_id);
    scene.owner.submit(&member, &member, &[]).await?.ok()?;
    let console = scene.system.join(&scene.workspace, &scene.ana.person, "member").await?;
    let key = scene.system.key(&scene.workspace.slug, &scene.ana.person.email).await?;
    let_in(scene.system, &scene.workspace, &key).await?;
    let mcp = scene.system.mcp(&scene.workspace, &key);
    let ana = Somebody { person: scene.ana.person.clone(), console, key, mcp };
    scene.is_refused(&ana, "you have not connected an account").await
}

#[tokio::test]
async fn what_was_connected_for_all_is_not_used_for_one_nor_the_other_way_round() -> TestResult {
    let upstream = Upstream::start().await?;
    let scene = Scene::with_keys(&upstream).await?;
    scene.enter(&scene.ana, "the-key-that-ana-entered").await?;
    scene.works(&scene.ana).await?;
    let page = format!("/w/{}/connectors/{}", scene.workspace.slug, scene.installation.id);
    scene.owner.submit(&page, &format!("{page}/accounts"), &[("accounts", "workspace")]).await?.ok()?;
    eventually("the workspace has no credential", SOON, || async {
        let refusal = scene.ana.mcp.call(scene.tool, json!({})).await?.refusal()?;
        Ok(refusal.filter(|text| text.contains("has not been set")))
    })
    .await?;
    scene.owner.submit(&page, &format!("{page}/accounts"), &[("accounts", "personal")]).await?.ok()?;
    scene.is_refused(&scene.ana, "you have not connected an account").await
}

#[tokio::test]
async fn a_service_account_uses_its_makers_account_only_while_it_is_lent() -> TestResult {
    let upstream = Upstream::start().await?;
    let scene = Scene::with_keys(&upstream).await?;
    let accounts = format!("/w/{}/service-accounts", scene.workspace.slug);
    let made = scene.owner.submit(&accounts, &accounts, &[("name", "robot")]).await?;
    let account = made.location().context("no service account was made")?.path().to_owned();
    let fields = [("name", "nightly"), ("expires", "30"), ("scope", "all")];
    let page = scene.owner.submit(&account, &format!("{account}/keys"), &fields).await?.ok()?;
    let start = page.body.find("tmk_").with_context(|| format!("no key on the page: {}", page.text()))?;
    let own = |c: &char| c.is_ascii_alphanumeric() || "_-".contains(*c);
    let key: String = page.body[start..].chars().take_while(own).collect();
    let_in(scene.system, &scene.workspace, &key).await?;
    let robot = Somebody {
        person: scene.workspace.owner.clone(),
        console: scene.system.console(&scene.workspace.owner).await?,
        mcp: scene.system.mcp(&scene.workspace, &key),
        key,
    };
    scene.enter(&robot, "the-key-that-the-owner-entered").await?;
    scene.is_refused(&robot, "does not lend it").await?;
    let lend = [("lent", "true")];
    robot.console.submit(&scene.page(""), &scene.page("/lend"), &lend).await?.ok()?;
    scene.works(&robot).await?;
    let shown = upstream.seen().last().map(|seen| seen.header("authorization").to_owned());
    assert_eq!(shown.as_deref(), Some("Bearer the-key-that-the-owner-entered"));
    robot.console.submit(&scene.page(""), &scene.page("/lend"), &[]).await?.ok()?;
    scene.is_refused(&robot, "does not lend it").await
}

/// A connector whose members show a key of their own beside the id of the workspace's application, and one that puts all of it
/// into the address.
fn with_application(place: &str) -> Result<PathBuf> {
    let auth = match place {
        "header" => "{type: bearer, credential: token, x-also: [{credential: app, header_name: X-App-Id}]}",
        _ => {
            "{type: apikey, credential: token, inject_into: query, query_param: key, x-also: [{credential: app, inject_into: query, query_param: app}]}"
        }
    };
    let text = format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  description: An API with applications.\n  auth: {auth}\n  tools:\n    whoami: {{method: GET, path: /echo/me, access: read, description: Says who is calling.}}\n"
    );
    let file = paths::scratch("toolmesh-connections-")?.keep().join("demo.dadl");
    std::fs::write(&file, text)?;
    Ok(file)
}

#[tokio::test]
async fn a_members_own_key_is_shown_beside_the_workspaces_further_key() -> TestResult {
    for place in ["header", "query"] {
        let upstream = Upstream::start().await?;
        let shared = [("token", "the-workspaces-own-token"), ("app", "the-application-of-all")];
        let dadl = with_application(place)?;
        let scene = Scene::new(&dadl, &upstream.url(), &shared, "mine_whoami").await?;
        let page = scene.ana.console.visit(&scene.page("")).await?.ok()?;
        ensure!(
            page.body.contains("credential.token") && !page.body.contains("credential.app"),
            "{place}: a member is asked for what is the workspace's: {}",
            page.text()
        );
        scene.enter(&scene.ana, "the-key-that-ana-entered").await?;
        scene.works(&scene.ana).await?;
        let seen = upstream.seen().pop().context("nothing was seen")?;
        let shown = format!("{} {} {}", seen.header("authorization"), seen.header("x-app-id"), seen.query);
        for part in ["the-key-that-ana-entered", "the-application-of-all"] {
            ensure!(shown.contains(part), "{place}: {part} was not shown: {shown}");
        }
        ensure!(!shown.contains("the-workspaces-own-token"), "{place}: {shown}");
        // The workspace's page has the one that is the workspace's, and replaces it for all.
        let connector = format!("/w/{}/connectors/{}", scene.workspace.slug, scene.installation.id);
        let other = [("credential.app", "another-application")];
        scene.owner.submit(&connector, &format!("{connector}/credential"), &other).await?.ok()?;
        eventually("the other application is shown", SOON, || async {
            scene.works(&scene.ana).await?;
            let seen = upstream.seen().pop().context("nothing was seen")?;
            let shown = format!("{} {}", seen.header("x-app-id"), seen.query);
            Ok(shown.contains("another-application").then_some(()))
        })
        .await?;
    }
    Ok(())
}
