//! Connected apps: who sees what, who may end it, and what a click does.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::oauth::Tokens;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Page, Person, System, TestResult, Workspace, eventually};

/// A workspace with an owner and a member, each with an app.
struct Two {
    system: &'static System,
    workspace: Workspace,
    owner: Console,
    owners: Tokens,
    person: Person,
    member: Console,
    members: Tokens,
}

impl Two {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let person = system.person().await?;
        system.join(&workspace, &person, "member").await?;
        let owners = system.tokens(&workspace, &workspace.owner).await?;
        let members = system.tokens(&workspace, &person).await?;
        let two = Self {
            owner: system.console(&workspace.owner).await?,
            member: system.console(&person).await?,
            system,
            workspace,
            owners,
            person,
            members,
        };
        for tokens in [&two.owners, &two.members] {
            eventually("every node knows the member", SOON, || async {
                Ok(two.good(&tokens.access).await?.then_some(()))
            })
            .await?;
        }
        Ok(two)
    }

    fn path(&self, rest: &str) -> String {
        format!("/w/{}/connected-apps{rest}", self.workspace.slug)
    }

    /// Whether a token works on every node.
    async fn good(&self, token: &str) -> Result<bool> {
        for node in &self.system.ready.nodes {
            let mcp = self.system.mcp_on(&node.http, &self.workspace, token);
            if mcp.request("ping", json!({})).await?.status != StatusCode::OK {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The forms that disconnect one app each.
    fn buttons(page: &Page) -> Vec<String> {
        let forms = toolmesh_tests::html::forms(&page.body);
        forms.into_iter().map(|form| form.action).filter(|action| action.ends_with("/revoke")).collect()
    }
}

#[tokio::test]
async fn a_member_sees_their_own_apps_and_ends_them_with_a_click() -> TestResult {
    let two = Two::new().await?;
    let page = two.member.visit(&two.path("")).await?.ok()?;
    let text = page.text();
    ensure!(text.contains("Test client") && text.contains("client.example"), "{text}");
    let buttons = Two::buttons(&page);
    assert_eq!(buttons.len(), 1, "{text}");

    let done = two.member.submit(&two.path(""), &buttons[0], &[]).await?.ok()?;
    let said = two.member.follow(done).await?.ok()?.text();
    let nodes = two.system.ready.nodes.len();
    ensure!(said.contains(&format!("In force on {nodes} of {nodes}")), "{said}");
    ensure!(said.contains("No apps yet"), "{said}");
    // The page has said so; nothing is left to wait for.
    for node in &two.system.ready.nodes {
        let mcp = two.system.mcp_on(&node.http, &two.workspace, &two.members.access);
        assert_eq!(mcp.request("ping", json!({})).await?.status, StatusCode::UNAUTHORIZED);
    }
    let server = two.system.oauth(&two.workspace).await?;
    let refresh = server.refresh(&two.members.client_id, &two.members.refresh).await?;
    assert_eq!(refresh.status, StatusCode::BAD_REQUEST, "{}", refresh.body);
    assert!(two.good(&two.owners.access).await?, "another's app goes on");
    Ok(())
}

#[tokio::test]
async fn a_member_ends_nothing_of_others_and_a_stranger_finds_nothing() -> TestResult {
    let two = Two::new().await?;
    let page = two.owner.visit(&two.path("")).await?.ok()?;
    let own = Two::buttons(&two.member.visit(&two.path("")).await?);
    let others: Vec<_> = Two::buttons(&page).into_iter().filter(|action| !own.contains(action)).collect();
    assert_eq!(others.len(), 1, "{}", page.text());
    let refused = two.member.submit(&two.path(""), &others[0], &[]).await?;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let owner = format!("?user={}", two.workspace.owner.user_id);
    for query in ["", owner.as_str(), &format!("?client={}", two.owners.client_id)] {
        let page = two.member.visit(&two.path(&format!("/end{query}"))).await?;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{query}");
    }
    let seen = two.member.visit(&two.path(&owner)).await?.ok()?;
    assert_eq!(Two::buttons(&seen), own, "a filter shows a member no more");

    let elsewhere = two.system.workspace().await?;
    let stranger = two.system.console(&elsewhere.owner).await?;
    assert_eq!(stranger.visit(&two.path("")).await?.status, StatusCode::NOT_FOUND);
    // Through their own workspace, another's id is not there.
    let through = others[0].replace(&two.workspace.slug, &elsewhere.slug);
    let own_page = format!("/w/{}/connected-apps/end", elsewhere.slug);
    let mut fields = stranger.visit("/workspaces/new").await?.form("/workspaces/new")?.fields;
    fields.retain(|(name, _)| name == "_csrf");
    assert_eq!(stranger.post(&through, &fields).await?.status, StatusCode::NOT_FOUND, "{own_page}");
    assert!(two.good(&two.owners.access).await? && two.good(&two.members.access).await?);
    Ok(())
}

#[tokio::test]
async fn an_admin_ends_all_of_a_person_or_of_an_app_after_seeing_what_stops() -> TestResult {
    let two = Two::new().await?;
    let end = two.path("/end");
    let of_person = two.path(&format!("/end?user={}", two.person.user_id));
    let asked = two.owner.visit(&of_person).await?.ok()?;
    ensure!(asked.text().contains("1 connection of 1 person"), "{}", asked.text());
    let done = two.owner.submit(&of_person, &end, &[]).await?.ok()?;
    let said = two.owner.follow(done).await?.text();
    ensure!(said.contains("1 connection is ended") && said.contains("In force on"), "{said}");
    assert!(!two.good(&two.members.access).await? && two.good(&two.owners.access).await?);

    // Who logs in again in the same second is in.
    let again = two.system.tokens(&two.workspace, &two.person).await?;
    assert!(two.good(&again.access).await?, "a token of after the revocation");

    let of_app = two.path(&format!("/end?client={}", two.owners.client_id));
    let asked = two.owner.visit(&of_app).await?.ok()?;
    ensure!(asked.text().contains("Test client"), "{}", asked.text());
    two.owner.submit(&of_app, &end, &[]).await?.ok()?;
    assert!(!two.good(&two.owners.access).await? && two.good(&again.access).await?);
    let nobody = two.owner.visit(&two.path("/end?client=nobody")).await?;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn everything_of_a_workspace_ends_after_its_name_is_typed_with_the_keys_where_that_is_wished()
-> TestResult {
    let two = Two::new().await?;
    let end = two.path("/end");
    let wrong = two.owner.submit(&end, &end, &[("confirm", "something")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(wrong.text().contains(&format!("Type {} here", two.workspace.slug)), "{}", wrong.text());
    assert!(two.good(&two.owners.access).await?);

    let slug = two.workspace.slug.as_str();
    two.owner.submit(&end, &end, &[("confirm", slug)]).await?.ok()?;
    assert!(!two.good(&two.owners.access).await? && !two.good(&two.members.access).await?);
    assert!(two.good(&two.workspace.key).await?, "keys were not meant");

    two.owner.submit(&end, &end, &[("confirm", slug), ("api_keys", "true")]).await?.ok()?;
    for node in &two.system.ready.nodes {
        let mcp = two.system.mcp_on(&node.http, &two.workspace, &two.workspace.key);
        let answer = mcp.request("ping", json!({})).await?;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", node.name);
    }
    let fresh = two.system.key(slug, &two.workspace.owner.email).await?;
    eventually("a key that is made afterwards works", SOON, || async {
        Ok(two.good(&fresh).await?.then_some(()))
    })
    .await?;
    let page = two.owner.visit(&end).await?.ok()?;
    page.text().contains("What stops working").then_some(()).context("the new key could be ended")?;
    Ok(())
}
