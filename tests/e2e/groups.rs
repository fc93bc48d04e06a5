//! Groups of members: made, named, filled, emptied, deleted; never with strangers in them.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, System, TestResult, Workspace};

fn groups(workspace: &Workspace) -> String {
    format!("/w/{}/groups", workspace.slug)
}

async fn make(console: &Console, workspace: &Workspace, name: &str) -> anyhow::Result<String> {
    let page = groups(workspace);
    let made = console.submit(&page, &page, &[("name", name)]).await?;
    let to = made.location().with_context(|| format!("no group was made: {}", made.text()))?;
    Ok(to.path().to_owned())
}

#[tokio::test]
async fn a_group_is_made_filled_renamed_and_deleted() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let member = system.person().await?;
    system.join(&workspace, &member, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    let group = make(&owner, &workspace, "Engineering").await?;
    owner.submit(&group, &format!("{group}/members"), &[("user", &member.user_id)]).await?.ok()?;
    let page = owner.visit(&group).await?.ok()?;
    ensure!(page.text().contains(&member.email) && page.text().contains("by hand"), "{}", page.text());
    let list = owner.visit(&format!("/w/{}/members", workspace.slug)).await?.ok()?;
    ensure!(list.text().contains("Engineering"), "the members page does not show it");

    let fields = [("name", "Builders"), ("external_name", "eng@acme")];
    owner.submit(&group, &group, &fields).await?.ok()?;
    let list = owner.visit(&groups(&workspace)).await?.ok()?.text();
    ensure!(
        list.contains("Builders") && list.contains("eng@acme") && !list.contains("Engineering"),
        "{list}"
    );
    let out = format!("{group}/members/{}/remove", member.user_id);
    owner.submit(&group, &out, &[]).await?.ok()?;
    ensure!(owner.visit(&group).await?.text().contains("Nobody yet"), "they are in it still");
    owner.submit(&group, &format!("{group}/delete"), &[]).await?.ok()?;
    assert_eq!(owner.visit(&group).await?.status, StatusCode::NOT_FOUND);
    owner.visit(&format!("/w/{}/members/{}", workspace.slug, member.user_id)).await?.ok()?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_or_empty_is_refused_beside_the_field() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let owner = system.console(&workspace.owner).await?;
    make(&owner, &workspace, "Sales").await?;
    let second = make(&owner, &workspace, "Support").await?;
    for (page, fields, says) in [
        (groups(&workspace), [("name", "sales"), ("external_name", "")], "Another group"),
        (groups(&workspace), [("name", "  "), ("external_name", "")], "1 to 80"),
        (second.clone(), [("name", "SALES"), ("external_name", "x")], "Another group"),
        (second.clone(), [("name", "Support"), ("external_name", "a\u{202e}b")], "visible"),
    ] {
        let answer = owner.submit(&page, &page, &fields).await?;
        ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}: {}", answer.status);
        ensure!(answer.text().contains(says), "{fields:?}: {}", answer.text());
        let kept =
            answer.form(&page)?.fields.iter().any(|(name, value)| name == "name" && value == fields[0].1);
        ensure!(kept, "{fields:?}: what was typed is lost");
    }
    Ok(())
}

#[tokio::test]
async fn neither_strangers_nor_members_reach_a_group_and_no_stranger_is_put_into_one() -> TestResult {
    let system = System::shared().await?;
    let (ours, eve) = (system.workspace().await?, system.workspace().await?);
    let member = system.person().await?;
    let members = system.join(&ours, &member, "connector_manager").await?;
    let owner = system.console(&ours.owner).await?;
    let group = make(&owner, &ours, "Engineering").await?;
    let id = group.rsplit('/').next().context("no id")?.to_owned();
    assert_eq!(members.visit(&group).await?.status, StatusCode::FORBIDDEN);
    let home = format!("/w/{}", ours.slug);
    let joined = members.submit(&home, &format!("{group}/members"), &[("user", &member.user_id)]).await?;
    assert_eq!(joined.status, StatusCode::FORBIDDEN);

    let eves = system.console(&eve.owner).await?;
    assert_eq!(eves.visit(&group).await?.status, StatusCode::NOT_FOUND);
    let hers = format!("/w/{}/groups/{id}", eve.slug);
    assert_eq!(eves.visit(&hers).await?.status, StatusCode::NOT_FOUND);
    for (path, fields) in [
        (hers.clone(), [("name", unique())]),
        (format!("{hers}/members"), [("user", eve.owner.user_id.clone())]),
        (format!("{hers}/delete"), [("x", String::new())]),
    ] {
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let page = eves.submit(&format!("/w/{}", eve.slug), &path, &fields).await?;
        ensure!(page.status == StatusCode::NOT_FOUND, "{path}: {}", page.status);
    }
    let add = owner.submit(&group, &format!("{group}/members"), &[("user", &eve.owner.user_id)]).await?;
    assert_eq!(add.status, StatusCode::NOT_FOUND);
    ensure!(owner.visit(&group).await?.text().contains("Nobody yet"), "a stranger is in the group");
    Ok(())
}
