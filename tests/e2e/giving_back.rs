//! What clients give back at the revocation endpoint (RFC 7009), and what admins take from clients: in force on every node.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::oauth::{REDIRECT, Server, Tokens};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, System, TestResult, Workspace, eventually, html};

/// From the answer to the refusal on every node.
const PROMISED: Duration = Duration::from_secs(1);

/// A workspace whose owner has connected two apps.
struct Place {
    system: &'static System,
    workspace: Workspace,
    server: Server,
    tokens: Tokens,
    others: Tokens,
}

impl Place {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let server = system.oauth(&workspace).await?;
        let tokens = system.tokens(&workspace, &workspace.owner).await?;
        let others = system.tokens(&workspace, &workspace.owner).await?;
        let place = Self { system, workspace, server, tokens, others };
        ensure!(place.is_good(&place.tokens.access).await? && place.is_good(&place.others.access).await?);
        Ok(place)
    }

    /// Whether a token works on every node.
    async fn is_good(&self, token: &str) -> Result<bool> {
        for node in &self.system.ready.nodes {
            let mcp = self.system.mcp_on(&node.http, &self.workspace, token);
            if mcp.request("ping", json!({})).await?.status != StatusCode::OK {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_refused_everywhere_soon(&self, token: &str) -> TestResult {
        let start = Instant::now();
        for node in &self.system.ready.nodes {
            let mcp = self.system.mcp_on(&node.http, &self.workspace, token);
            eventually(&format!("{} refuses the token", node.name), SOON, || async {
                let status = mcp.request("ping", json!({})).await?.status;
                Ok((status == StatusCode::UNAUTHORIZED).then_some(()))
            })
            .await?;
        }
        ensure!(start.elapsed() <= PROMISED, "it took {:?}", start.elapsed());
        Ok(())
    }

    async fn give_back(&self, form: &[(&str, &str)]) -> Result<StatusCode> {
        let endpoint = self.server.endpoint("revocation_endpoint")?;
        Ok(self.system.http.post(endpoint).form(form).send().await?.status())
    }

    async fn refreshes(&self, tokens: &Tokens) -> Result<bool> {
        let answer = self.server.refresh(&tokens.client_id, &tokens.refresh).await?;
        Ok(answer.status == StatusCode::OK)
    }
}

#[tokio::test]
async fn an_access_token_that_is_given_back_ends_its_grant_on_every_node_and_no_other() -> TestResult {
    let place = Place::new().await?;
    let (token, client) = (place.tokens.access.as_str(), place.tokens.client_id.as_str());
    let form = [("token", token), ("token_type_hint", "access_token"), ("client_id", client)];
    assert_eq!(place.give_back(&form).await?, StatusCode::OK);
    place.is_refused_everywhere_soon(token).await?;
    ensure!(!place.refreshes(&place.tokens).await?, "the refresh token of the same grant goes on");
    ensure!(place.is_good(&place.others.access).await? && place.refreshes(&place.others).await?);
    // The same again is no error, and nothing more happens.
    assert_eq!(place.give_back(&form).await?, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_hint_that_is_wrong_or_unknown_does_not_hide_a_token() -> TestResult {
    let place = Place::new().await?;
    let (first, second) = (&place.tokens, &place.others);
    let form = [
        ("token", first.access.as_str()),
        ("token_type_hint", "refresh_token"),
        ("client_id", first.client_id.as_str()),
    ];
    assert_eq!(place.give_back(&form).await?, StatusCode::OK);
    place.is_refused_everywhere_soon(&first.access).await?;
    let form = [
        ("token", second.refresh.as_str()),
        ("token_type_hint", "something_else"),
        ("client_id", second.client_id.as_str()),
    ];
    assert_eq!(place.give_back(&form).await?, StatusCode::OK);
    place.is_refused_everywhere_soon(&second.access).await
}

#[tokio::test]
async fn another_clients_token_a_forged_one_and_another_workspaces_are_no_error_and_nothing_happens()
-> TestResult {
    let place = Place::new().await?;
    let elsewhere = Place::new().await?;
    let (token, client) = (place.tokens.access.as_str(), place.others.client_id.as_str());
    let mut forged: Vec<&str> = token.split('.').collect();
    forged[2] = "c2lnbmF0dXJl";
    let forged = forged.join(".");
    for (what, token) in [
        ("another client's access token", token),
        ("another client's refresh token", place.tokens.refresh.as_str()),
        ("a forged one", forged.as_str()),
        ("another workspace's", elsewhere.tokens.access.as_str()),
        ("nonsense", "a.b.c"),
    ] {
        let status = place.give_back(&[("token", token), ("client_id", client)]).await?;
        ensure!(status == StatusCode::OK, "{what}: {status}");
    }
    ensure!(place.give_back(&[("client_id", client)]).await? == StatusCode::BAD_REQUEST, "without a token");
    ensure!(place.is_good(token).await? && place.refreshes(&place.tokens).await?);
    ensure!(elsewhere.is_good(&elsewhere.tokens.access).await?);
    Ok(())
}

#[tokio::test]
async fn an_access_token_of_a_client_with_a_secret_is_given_back_only_by_who_knows_the_secret() -> TestResult
{
    let place = Place::new().await?;
    let mut document = toolmesh_tests::oauth::registration(&[REDIRECT]);
    document["token_endpoint_auth_method"] = json!("client_secret_basic");
    let answer = place.server.register(&document).await?.json()?;
    let client = answer["client_id"].as_str().context("no client id")?;
    let secret = answer["client_secret"].as_str().context("no secret")?;
    let pkce = toolmesh_tests::oauth::Pkce::new();
    let console = place.system.console(&place.workspace.owner).await?;
    let back = place.server.consent(&console, &place.server.query(client, REDIRECT, &pkce), "allow").await?;
    let code = toolmesh_tests::oauth::parameter(&back, "code").context("no code")?;
    let form = place.server.code_form(client, REDIRECT, &code, &pkce);
    let tokens = Tokens::of(client, &place.server.token_over_basic(client, secret, &form).await?)?;

    for form in
        [vec![("token", tokens.access.as_str())], vec![("token", &tokens.access), ("client_id", client)]]
    {
        place.give_back(&form).await?;
    }
    ensure!(place.is_good(&tokens.access).await?, "given back by who did not prove anything");
    let form = [("token", tokens.access.as_str()), ("client_id", client), ("client_secret", secret)];
    assert_eq!(place.give_back(&form).await?, StatusCode::OK);
    place.is_refused_everywhere_soon(&tokens.access).await
}

/// Presses the button of the only client's page that does this.
async fn press(console: &Console, workspace: &Workspace, action: &str) -> TestResult {
    let list = console.visit(&format!("/w/{}/clients", workspace.slug)).await?.ok()?;
    let own = format!("/w/{}/clients/", workspace.slug);
    let handle = |path: &String| path.strip_prefix(&own).is_some_and(|rest| rest.len() == 64);
    let page = list.links(&own).into_iter().find(handle).context("no client is listed")?;
    let client = console.visit(&page).await?.ok()?;
    let form = html::forms(&client.body).into_iter().find(|form| form.action.ends_with(action));
    let form = form.with_context(|| format!("no form to {action}"))?;
    console.submit(&page, &form.action, &[]).await?.ok()?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_blocked_or_deleted_is_refused_on_every_node_and_gets_no_other_token() -> TestResult
{
    for action in ["/block", "/delete"] {
        let place = Place::new().await?;
        let owner = place.system.console(&place.workspace.owner).await?;
        press(&owner, &place.workspace, action).await?;
        // Both apps registered the same way, and are one client to people.
        for tokens in [&place.tokens, &place.others] {
            place.is_refused_everywhere_soon(&tokens.access).await.context(action)?;
            ensure!(!place.refreshes(tokens).await?, "{action}: it refreshes on");
        }
        ensure!(place.is_good(&place.workspace.key).await?, "{action}: the owner's key");
    }
    Ok(())
}

#[tokio::test]
async fn a_consent_page_is_answered_once_also_by_two_answers_at_the_same_time() -> TestResult {
    let place = Place::new().await?;
    let owner = place.system.console(&place.workspace.owner).await?;
    let client = place.server.client(REDIRECT).await?;
    let action = url::Url::parse(&place.server.endpoint("authorization_endpoint")?)?.path().to_owned();
    let answers = async |decision: &'static str| -> Result<Vec<toolmesh_tests::Page>> {
        let query = place.server.query(&client, REDIRECT, &toolmesh_tests::oauth::Pkce::new());
        let mut fields = place.server.authorize(&owner, &query).await?.form(&action)?.fields;
        fields.retain(|(name, _)| name != "decision");
        fields.push(("decision".to_owned(), decision.to_owned()));
        let (first, second) = tokio::join!(owner.post(&action, &fields), owner.post(&action, &fields));
        Ok(vec![first?, second?, owner.post(&action, &fields).await?])
    };
    for decision in ["allow", "deny"] {
        let answers = answers(decision).await?;
        let led_back: Vec<_> = answers.iter().filter(|page| page.status == StatusCode::SEE_OTHER).collect();
        assert_eq!(led_back.len(), 1, "{decision}: answered more than once");
        for page in answers.iter().filter(|page| page.status != StatusCode::SEE_OTHER) {
            ensure!(page.status == StatusCode::BAD_REQUEST, "{decision}: {}", page.status);
            ensure!(page.text().contains("answered this page already"), "{}", page.text());
        }
    }
    let tenant = &place.workspace.tenant_id;
    let grants = format!(
        "UPDATE oauth_grants SET scope = scope WHERE tenant_id = '{tenant}' AND client_id = '{client}'"
    );
    assert_eq!(place.system.sql(&grants).await?, 1, "one consent");
    Ok(())
}
