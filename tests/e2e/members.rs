//! Who belongs to a workspace and what each may do there: roles, suspension, removal, handing over.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::oauth::{Pkce, REDIRECT};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Person, System, TestResult, Workspace, eventually};

/// The pages that not everybody has any use for, and the words in the navigation that lead to them.
const PAGES: [(&str, &str); 5] = [
    ("/connectors", "Connectors"),
    ("/catalog", "Catalog"),
    ("/members", "Members"),
    ("/audit", "Audit"),
    ("/settings", "Settings"),
];

/// The address of a member's page, or of something below it.
fn of(workspace: &Workspace, person: &Person, rest: &str) -> String {
    format!("/w/{}/members/{}{rest}", workspace.slug, person.user_id)
}

/// Waits until every node lets a key in, or no longer does.
async fn key_is_good(system: &System, workspace: &Workspace, key: &str, good: bool) -> Result<()> {
    let word = if good { "taken" } else { "refused" };
    for node in &system.ready.nodes {
        let mcp = system.mcp_on(&node.http, workspace, key);
        eventually(&format!("the key is {word} by {}", node.name), SOON, || async {
            let status = mcp.request("ping", json!({})).await?.status;
            ensure!(status.is_success() || status == StatusCode::UNAUTHORIZED, "{status}");
            Ok((status.is_success() == good).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// How many owners there are, as the page of the workspace's members says.
async fn owners(system: &System, workspace: &Workspace) -> Result<i64> {
    let sql = format!(
        "SELECT count(*) FROM memberships WHERE tenant_id = '{}' AND role = 'owner'",
        workspace.tenant_id
    );
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut system.database().await?).await?)
}

#[tokio::test]
async fn each_role_is_offered_and_shown_its_own_pages_and_no_others() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    for (role, allowed) in [
        ("admin", ["/connectors", "/catalog", "/members", "/audit", "/settings"].as_slice()),
        ("connector_manager", ["/connectors", "/catalog"].as_slice()),
        ("auditor", ["/audit"].as_slice()),
        ("billing", [].as_slice()),
        ("member", [].as_slice()),
    ] {
        let console = system.join(&workspace, &system.person().await?, role).await?;
        let home = console.visit(&format!("/w/{}", workspace.slug)).await?.ok()?;
        for (path, word) in PAGES {
            let address = format!("/w/{}{path}", workspace.slug);
            let expected = if allowed.contains(&path) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            let page = console.get(&address).await?;
            ensure!(page.status == expected, "{role} at {path}: {}", page.status);
            let offered = home.body.contains(&format!("href=\"{address}\""));
            ensure!(offered == allowed.contains(&path), "{role}: the link {word} is wrong");
        }
    }
    Ok(())
}

#[tokio::test]
async fn nobody_promotes_themselves_or_gives_more_than_they_have() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (admin, manager, other) = (system.person().await?, system.person().await?, system.person().await?);
    let admins = system.join(&workspace, &admin, "admin").await?;
    let managers = system.join(&workspace, &manager, "connector_manager").await?;
    system.join(&workspace, &other, "member").await?;
    let refused = async |console: &Console, whom: &Person, action: &str, field: (&str, &str)| -> TestResult {
        let page = console
            .submit(&format!("/w/{}", workspace.slug), &of(&workspace, whom, action), &[field])
            .await?;
        ensure!(page.status == StatusCode::FORBIDDEN, "{action} {field:?} got {}", page.status);
        Ok(())
    };
    refused(&admins, &admin, "/role", ("role", "owner")).await?;
    refused(&admins, &other, "/role", ("role", "owner")).await?;
    refused(&admins, &workspace.owner, "/role", ("role", "member")).await?;
    refused(&admins, &workspace.owner, "/suspend", ("", "")).await?;
    refused(&admins, &workspace.owner, "/remove", ("", "")).await?;
    refused(&admins, &other, "/owner", ("confirm", &other.email)).await?;
    refused(&managers, &manager, "/role", ("role", "admin")).await?;
    refused(&managers, &other, "/role", ("role", "billing")).await?;
    let invite = format!("/w/{}/members/invite", workspace.slug);
    let fields = [("email", "somebody@example.org"), ("role", "admin")];
    let page = managers.submit(&format!("/w/{}", workspace.slug), &invite, &fields).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(owners(system, &workspace).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_suspended_member_is_out_everywhere_until_they_are_let_in_again() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let member = system.person().await?;
    let console = system.join(&workspace, &member, "member").await?;
    let key = system.key(&workspace.slug, &member.email).await?;
    let tokens = system.tokens(&workspace, &member).await?;
    key_is_good(system, &workspace, &key, true).await?;
    key_is_good(system, &workspace, &tokens.access, true).await?;

    let owner = system.console(&workspace.owner).await?;
    let suspend = of(&workspace, &member, "/suspend");
    owner.submit(&suspend, &suspend, &[]).await?.ok()?;
    key_is_good(system, &workspace, &key, false).await?;
    key_is_good(system, &workspace, &tokens.access, false).await?;
    let server = system.oauth(&workspace).await?;
    let refresh = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    assert_eq!(refresh.json()?["error"], "invalid_grant");
    let page = console.visit(&format!("/w/{}", workspace.slug)).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text().contains("suspended"), "{}", page.text());
    assert!(console.visit("/workspaces").await?.text().contains("suspended"));
    let query = server.query(&tokens.client_id, REDIRECT, &Pkce::new());
    let consent = url::Url::parse_with_params(&server.endpoint("authorization_endpoint")?, &query)?;
    let page = console.visit(consent.as_str()).await?;
    assert!(page.status.is_client_error() && page.text().contains("suspended"), "{}", page.text());

    let resume = of(&workspace, &member, "/resume");
    owner.submit(&of(&workspace, &member, ""), &resume, &[]).await?.ok()?;
    key_is_good(system, &workspace, &key, true).await?;
    console.visit(&format!("/w/{}", workspace.slug)).await?.ok()?;
    Ok(())
}

#[tokio::test]
async fn neither_oneself_nor_the_last_owner_can_be_suspended() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let admin = system.person().await?;
    let admins = system.join(&workspace, &admin, "admin").await?;
    let owner = system.console(&workspace.owner).await?;
    for (console, person) in [(&admins, &admin), (&owner, &workspace.owner)] {
        let suspend = of(&workspace, person, "/suspend");
        let page = console.submit(&suspend, &suspend, &[]).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", page.status);
        console.visit(&format!("/w/{}/members", workspace.slug)).await?.ok()?;
    }
    Ok(())
}

#[tokio::test]
async fn before_a_removal_a_page_names_what_stops_working() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let member = system.person().await?;
    let console = system.join(&workspace, &member, "admin").await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    console.submit(&keys, &keys, &[("name", "nightly report")]).await?.ok()?;
    let key = system.key(&workspace.slug, &member.email).await?;
    let tokens = system.tokens(&workspace, &member).await?;
    let members = format!("/w/{}/members", workspace.slug);
    let fields = [("email", "offered@example.org"), ("role", "member")];
    console.submit(&members, &format!("{members}/invite"), &fields).await?.ok()?;

    let owner = system.console(&workspace.owner).await?;
    let remove = of(&workspace, &member, "/remove");
    let page = owner.visit(&remove).await?.ok()?.text();
    for word in ["nightly report", "offered@example.org", "Clients that are connected", &member.email] {
        ensure!(page.contains(word), "the page does not name {word}: {page}");
    }
    owner.submit(&remove, &remove, &[]).await?.ok()?;
    key_is_good(system, &workspace, &key, false).await?;
    key_is_good(system, &workspace, &tokens.access, false).await?;
    ensure!(
        !owner.visit(&members).await?.text().contains("offered@example.org"),
        "their invitation lives on"
    );
    assert_eq!(console.visit(&members).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn anybody_may_leave_but_the_last_owner() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let member = system.person().await?;
    let console = system.join(&workspace, &member, "member").await?;
    let leave = format!("/w/{}/leave", workspace.slug);
    let left = console.submit(&leave, &leave, &[]).await?;
    assert_eq!(left.location().map(|to| to.path().to_owned()).as_deref(), Some("/workspaces"));
    assert_eq!(console.visit(&format!("/w/{}", workspace.slug)).await?.status, StatusCode::NOT_FOUND);
    let owner = system.console(&workspace.owner).await?;
    let page = owner.submit(&leave, &leave, &[]).await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text().contains("last owner"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn two_owners_who_remove_each_other_at_once_leave_one() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let second = system.person().await?;
    let seconds = system.join(&workspace, &second, "admin").await?;
    let owner = system.console(&workspace.owner).await?;
    let role = of(&workspace, &second, "/role");
    owner.submit(&of(&workspace, &second, ""), &role, &[("role", "owner")]).await?.ok()?;
    let (theirs, ours) = (of(&workspace, &second, "/remove"), of(&workspace, &workspace.owner, "/remove"));
    let (a, b) = tokio::join!(owner.submit(&theirs, &theirs, &[]), seconds.submit(&ours, &ours, &[]));
    let mut got = [a?.status, b?.status];
    got.sort();
    ensure!(got[0] == StatusCode::SEE_OTHER && got[1].is_client_error(), "{got:?}");
    assert_eq!(owners(system, &workspace).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_workspace_is_handed_over_only_with_the_new_owners_address_typed() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let next = system.person().await?;
    let nexts = system.join(&workspace, &next, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    let path = of(&workspace, &next, "/owner");
    let page = owner.submit(&path, &path, &[("confirm", "yes")]).await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let form = page.form(&path)?;
    ensure!(
        form.fields.iter().any(|(name, value)| name == "confirm" && value == "yes"),
        "lost what was typed"
    );

    owner.submit(&path, &path, &[("confirm", &next.email)]).await?.ok()?;
    assert_eq!(owners(system, &workspace).await?, 1);
    // The old owner runs the workspace still, and cannot take it back.
    owner.visit(&format!("/w/{}/members", workspace.slug)).await?.ok()?;
    let back = of(&workspace, &workspace.owner, "/role");
    let members = format!("/w/{}/members", workspace.slug);
    assert_eq!(owner.submit(&members, &back, &[("role", "owner")]).await?.status, StatusCode::FORBIDDEN);
    nexts.submit(&members, &back, &[("role", "owner")]).await?.ok()?;
    assert_eq!(owners(system, &workspace).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_key_does_not_outlive_the_membership_it_acts_as() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let member = system.person().await?;
    system.join(&workspace, &member, "member").await?;
    let key = system.key(&workspace.slug, &member.email).await?;
    key_is_good(system, &workspace, &key, true).await?;
    let owner = system.console(&workspace.owner).await?;
    let remove = of(&workspace, &member, "/remove");
    owner.submit(&remove, &remove, &[]).await?.ok()?;
    key_is_good(system, &workspace, &key, false).await?;
    // Invited anew, they are a member again, and their old key is still nobody's.
    let mails = system.mails_with(&member.email, "/invitation").await?.len();
    let members = format!("/w/{}/members", workspace.slug);
    let fields = [("email", member.email.as_str()), ("role", "member")];
    owner.submit(&members, &format!("{members}/invite"), &fields).await?.ok()?;
    let mail = system.mail_with_after(&member.email, "/invitation", mails).await?;
    let console = system.console(&member).await?;
    let path = console.path_of(mail.link("/invitation").context("no link")?)?;
    console.submit(&path, "/invitation", &[]).await?.ok()?;
    let fresh = system.key(&workspace.slug, &member.email).await?;
    key_is_good(system, &workspace, &fresh, true).await?;
    key_is_good(system, &workspace, &key, false).await
}

#[tokio::test]
async fn the_switcher_leads_to_the_persons_other_workspaces_and_to_no_suspended_one() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let first = system.workspace_of(person.clone()).await?;
    let second = system.workspace_of(person.clone()).await?;
    let third = system.workspace().await?;
    let console = system.join(&third, &person, "member").await?;
    let links = async |at: &Workspace| -> Result<Vec<bool>> {
        let page = console.visit(&format!("/w/{}", at.slug)).await?.ok()?;
        let link = |to: &Workspace| page.body.contains(&format!("menu-item\" href=\"/w/{}\"", to.slug));
        Ok([&first, &second, &third].map(link).to_vec())
    };
    assert_eq!(links(&first).await?, [false, true, true]);
    assert_eq!(links(&third).await?, [true, true, false]);
    let owner = system.console(&third.owner).await?;
    let suspend = of(&third, &person, "/suspend");
    owner.submit(&suspend, &suspend, &[]).await?.ok()?;
    assert_eq!(links(&second).await?, [true, false, false]);
    Ok(())
}

#[tokio::test]
async fn what_is_done_with_a_member_stands_in_their_history_and_is_mailed_to_them() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let member = system.person().await?;
    let console = system.join(&workspace, &member, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    let told = async |subject: &str| -> TestResult {
        eventually(subject, SOON, || async {
            let mails = system.mails_to(&member.email).await?;
            let mail = mails.into_iter().find(|mail| mail.subject.contains(subject));
            Ok(mail.filter(|mail| mail.text.contains(&workspace.owner.email)))
        })
        .await?;
        Ok(())
    };
    let page = of(&workspace, &member, "");
    owner.submit(&page, &of(&workspace, &member, "/role"), &[("role", "auditor")]).await?.ok()?;
    told("You are now an auditor of Test workspace").await?;
    for (action, subject) in [
        ("/suspend", "Your access to Test workspace is suspended"),
        ("/resume", "You are let in to Test workspace again"),
        ("/remove", "You are no longer a member of Test workspace"),
    ] {
        let form = if action == "/resume" { page.clone() } else { of(&workspace, &member, action) };
        owner.submit(&form, &of(&workspace, &member, action), &[]).await?.ok()?;
        told(subject).await?;
    }
    let history = console.visit("/account/sessions").await?.ok()?.text();
    for word in [
        "Role in a workspace changed",
        "Test workspace: an auditor, before a member, by",
        "Suspended in a workspace",
        "Let in to a workspace again",
        "Membership of a workspace ended",
    ] {
        ensure!(history.contains(word), "the history lacks {word}: {history}");
    }
    let owners = owner.visit("/account/sessions").await?.ok()?.text();
    ensure!(!owners.contains("Membership of a workspace ended"), "it stands in somebody else's history");
    Ok(())
}

#[tokio::test]
async fn whoever_hands_a_workspace_over_is_told_as_well_as_who_gets_it() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let next = system.person().await?;
    let nexts = system.join(&workspace, &next, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    let path = of(&workspace, &next, "/owner");
    owner.submit(&path, &path, &[("confirm", &next.email)]).await?.ok()?;
    for (email, subject) in
        [(&next.email, "You are now an owner of"), (&workspace.owner.email, "You have handed")]
    {
        eventually(subject, SOON, || async {
            Ok(system.mails_to(email).await?.into_iter().find(|mail| mail.subject.contains(subject)))
        })
        .await?;
    }
    for console in [&owner, &nexts] {
        let history = console.visit("/account/sessions").await?.ok()?.text();
        ensure!(history.contains("Workspace handed over"), "{history}");
    }
    Ok(())
}

#[tokio::test]
async fn who_has_not_proved_lately_who_they_are_changes_no_member() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (member, out) = (system.person().await?, system.person().await?);
    system.join(&workspace, &member, "member").await?;
    system.join(&workspace, &out, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    let suspend = of(&workspace, &out, "/suspend");
    owner.submit(&suspend, &suspend, &[]).await?.ok()?;
    let members = format!("/w/{}/members", workspace.slug);
    let old = format!(
        "UPDATE sessions SET data = jsonb_set(data, '{{proof,at}}', '1000000000') WHERE user_id = '{}'",
        workspace.owner.user_id
    );
    ensure!(system.sql(&old).await? > 0);
    for (whom, action, field) in [
        (&member, "/role", ("role", "admin")),
        (&member, "/suspend", ("", "")),
        (&member, "/remove", ("", "")),
        (&member, "/owner", ("confirm", member.email.as_str())),
        (&out, "/resume", ("", "")),
    ] {
        let page = owner.submit(&members, &of(&workspace, whom, action), &[field]).await?;
        let to = page.location().map(|to| to.path().to_owned());
        ensure!(to.as_deref() == Some("/account/confirm"), "{action}: {} {to:?}", page.status);
    }
    let page = owner.visit(&members).await?.text();
    ensure!(page.contains(&member.email) && page.contains("suspended"), "something was done: {page}");
    assert_eq!(owners(system, &workspace).await?, 1);
    Ok(())
}
