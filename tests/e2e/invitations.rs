//! Invitations: many at once, for their addressee only, once, for seven days, and no longer than their inviter may invite.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Page, System, TestResult, Workspace, eventually, html};

fn members(workspace: &Workspace) -> String {
    format!("/w/{}/members", workspace.slug)
}

async fn invite(console: &Console, workspace: &Workspace, email: &str, role: &str) -> Result<Page> {
    let page = members(workspace);
    console.submit(&page, &format!("{page}/invite"), &[("email", email), ("role", role)]).await
}

/// The path behind the link of the newest mail to an address, once more than `count` have come.
async fn link(system: &System, console: &Console, email: &str, count: usize) -> Result<String> {
    let mail = system.mail_with_after(email, "/invitation", count).await?;
    console.path_of(mail.link("/invitation").context("no link in the invitation")?)
}

/// Where the form to send again or withdraw goes; there is one invitation on the page.
fn action(page: &Page, what: &str) -> Result<String> {
    let all = html::forms(&page.body).into_iter().map(|form| form.action);
    let mut fitting = all.filter(|action| action.contains("/invitations/") && action.ends_with(what));
    fitting.next().with_context(|| format!("no form to {what}: {}", page.text()))
}

/// Makes the mails of a workspace's invitations that much older.
async fn age(system: &System, workspace: &Workspace, interval: &str) -> TestResult {
    let sql = format!(
        "UPDATE invitations SET created_at = created_at - interval '{interval}', expires_at = expires_at - interval '{interval}' \
         WHERE tenant_id = '{}'",
        workspace.tenant_id
    );
    ensure!(system.sql(&sql).await? > 0, "no invitation to make older");
    Ok(())
}

#[tokio::test]
async fn of_many_addresses_each_is_judged_by_itself() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let owner = system.console(&workspace.owner).await?;
    let (ana, bo) = (format!("ana-{}@example.org", unique()), format!("bo-{}@example.org", unique()));
    let text = format!("{ana}, not-an-address;\nBo Example <{bo}>\n{}\n{ana}", workspace.owner.email);
    let page = invite(&owner, &workspace, &text, "auditor").await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = page.text();
    for word in ["not-an-address is no e-mail address", "is a member already", "2 people"] {
        ensure!(said.contains(word), "the page does not say {word:?}: {said}");
    }
    // What has to be mended stays in the field, and only that.
    ensure!(
        page.body.contains(&format!("not-an-address\n{}</textarea>", workspace.owner.email)),
        "{}",
        page.body
    );
    for address in [&ana, &bo] {
        let mail = system.mail_to(address).await?;
        ensure!(mail.text.contains("an auditor"), "{}", mail.text);
        ensure!(system.mails_to(address).await?.len() == 1, "{address} was mailed twice");
    }
    let many: Vec<_> = (0..51).map(|n| format!("p{n}-{}@example.org", unique())).collect();
    let page = invite(&owner, &workspace, &many.join(" "), "member").await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(page.text().contains("up to 50") && page.body.contains(&many[50]), "{}", page.text());
    ensure!(system.mails_to(&many[0]).await?.is_empty(), "some were sent nevertheless");
    Ok(())
}

#[tokio::test]
async fn sent_again_an_invitation_has_a_new_link_and_the_old_one_is_dead() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (owner, guest) = (system.console(&workspace.owner).await?, system.person().await?);
    let guests = system.console(&guest).await?;
    invite(&owner, &workspace, &guest.email, "member").await?.ok()?;
    let old = link(system, &guests, &guest.email, 0).await?;
    let page = owner.visit(&members(&workspace)).await?.ok()?;
    ensure!(page.text().contains("in 6 days") || page.text().contains("in 7 days"), "{}", page.text());
    let resend = action(&page, "/resend")?;
    let hasty = owner.submit(&members(&workspace), &resend, &[]).await?;
    assert_eq!(hasty.status, StatusCode::UNPROCESSABLE_ENTITY);

    age(system, &workspace, "2 minutes").await?;
    owner.submit(&members(&workspace), &resend, &[]).await?.ok()?;
    let new = link(system, &guests, &guest.email, 1).await?;
    assert_eq!(guests.visit(&old).await?.status, StatusCode::GONE);
    guests.submit(&new, "/invitation", &[]).await?.ok()?;
    guests.visit(&format!("/w/{}", workspace.slug)).await?.ok()?;
    // Used, it can be sent no more.
    assert_eq!(owner.submit(&members(&workspace), &resend, &[]).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn an_expired_or_withdrawn_invitation_lets_nobody_in() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (owner, guest) = (system.console(&workspace.owner).await?, system.person().await?);
    let guests = system.console(&guest).await?;
    invite(&owner, &workspace, &guest.email, "member").await?.ok()?;
    let first = link(system, &guests, &guest.email, 0).await?;
    age(system, &workspace, "8 days").await?;
    assert_eq!(guests.visit(&first).await?.status, StatusCode::GONE);
    let page = owner.visit(&members(&workspace)).await?.ok()?;
    ensure!(page.text().contains("expired"), "{}", page.text());

    owner.submit(&members(&workspace), &action(&page, "/resend")?, &[]).await?.ok()?;
    let second = link(system, &guests, &guest.email, 1).await?;
    let page = owner.visit(&members(&workspace)).await?.ok()?;
    owner.submit(&members(&workspace), &action(&page, "/revoke")?, &[]).await?.ok()?;
    assert_eq!(guests.visit(&second).await?.status, StatusCode::GONE);
    assert_eq!(guests.visit(&format!("/w/{}", workspace.slug)).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_forwarded_link_is_no_use_to_another_person() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let owner = system.console(&workspace.owner).await?;
    let (guest, eve) = (system.person().await?, system.person().await?);
    let eves = system.console(&eve).await?;
    invite(&owner, &workspace, &guest.email, "admin").await?.ok()?;
    let path = link(system, &eves, &guest.email, 0).await?;
    let token = path.split("token=").nth(1).context("no token")?.to_owned();
    let page = eves.visit(&path).await?;
    ensure!(page.text().contains(&guest.email), "whom it is for is not said: {}", page.text());
    let csrf = page.csrf().context("no form")?;
    let page = eves.post("/invitation", &[("_csrf".to_owned(), csrf), ("token".to_owned(), token)]).await?;
    ensure!(page.status.is_client_error(), "{}", page.status);
    assert_eq!(eves.visit(&format!("/w/{}", workspace.slug)).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn of_two_who_accept_one_invitation_at_once_one_does() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (owner, guest) = (system.console(&workspace.owner).await?, system.person().await?);
    invite(&owner, &workspace, &guest.email, "member").await?.ok()?;
    let (one, two) = (system.console(&guest).await?, system.console(&guest).await?);
    let path = link(system, &one, &guest.email, 0).await?;
    let (a, b) = tokio::join!(one.submit(&path, "/invitation", &[]), two.submit(&path, "/invitation", &[]));
    let got = [a?, b?];
    let joined = got.iter().filter(|page| page.status == StatusCode::SEE_OTHER).count();
    // The slower one may have found the page dead before there was a form to send.
    ensure!(joined == 1, "{:?}", got.map(|page| page.status));
    Ok(())
}

#[tokio::test]
async fn an_invitation_does_not_outlive_its_inviters_right_to_invite() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let owner = system.console(&workspace.owner).await?;
    for (action, fields) in
        [("/role", [("role", "member")].as_slice()), ("/suspend", [].as_slice()), ("/remove", [].as_slice())]
    {
        let (admin, guest) = (system.person().await?, system.person().await?);
        let admins = system.join(&workspace, &admin, "admin").await?;
        invite(&admins, &workspace, &guest.email, "admin").await?.ok()?;
        let guests = system.console(&guest).await?;
        let path = link(system, &guests, &guest.email, 0).await?;
        guests.visit(&path).await?.ok()?;
        let change = format!("{}/{}{action}", members(&workspace), admin.user_id);
        owner.submit(&members(&workspace), &change, fields).await?.ok()?;
        let page = guests.visit(&path).await?;
        ensure!(page.status == StatusCode::GONE, "after {action}: {}", page.status);
    }
    Ok(())
}

#[tokio::test]
async fn an_invitation_with_another_role_replaces_the_first() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (owner, guest) = (system.console(&workspace.owner).await?, system.person().await?);
    let guests = system.console(&guest).await?;
    invite(&owner, &workspace, &guest.email, "admin").await?.ok()?;
    let first = link(system, &guests, &guest.email, 0).await?;
    invite(&owner, &workspace, &guest.email, "member").await?.ok()?;
    let second = link(system, &guests, &guest.email, 1).await?;
    assert_eq!(guests.visit(&first).await?.status, StatusCode::GONE);
    guests.submit(&second, "/invitation", &[]).await?.ok()?;
    let page = guests.visit(&members(&workspace)).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "they are more than a member");
    Ok(())
}

#[tokio::test]
async fn limits_hold_however_many_ask_at_once() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let fill = format!(
        "INSERT INTO invitations (tenant_id, id, email, role, token_hash, invited_by, created_at, expires_at) \
         SELECT '{}', gen_random_uuid(), 'p' || n || '@example.org', 'member', sha256(n::text::bytea), '{}', \
         now() - interval '2 days', now() + interval '5 days' FROM generate_series(1, 198) n",
        workspace.tenant_id, workspace.owner.user_id
    );
    assert_eq!(system.sql(&fill).await?, 198);
    let owner = system.console(&workspace.owner).await?;
    let addresses: Vec<_> = (0..6).map(|_| format!("{}@example.org", unique())).collect();
    let all = addresses.iter().map(|address| invite(&owner, &workspace, address, "member"));
    let mut sent = 0;
    for page in futures_util::future::join_all(all).await {
        let page = page?;
        if page.status == StatusCode::SEE_OTHER {
            sent += 1;
        } else {
            ensure!(page.text().contains("200 open invitations"), "{}: {}", page.status, page.text());
        }
    }
    assert_eq!(sent, 2);
    eventually("two mails have come", SOON, || async {
        let mut mails = 0;
        for address in &addresses {
            mails += system.mails_to(address).await?.len();
        }
        Ok((mails == 2).then_some(()))
    })
    .await?;

    let keys = format!("/w/{}/keys", workspace.slug);
    let fill = format!(
        "INSERT INTO api_keys (tenant_id, id, user_id, name, sha256, last4) \
         SELECT '{}', gen_random_uuid(), '{}', 'k' || n, sha256(n::text::bytea), 'last' FROM generate_series(1, 47) n",
        workspace.tenant_id, workspace.owner.user_id
    );
    assert_eq!(system.sql(&fill).await?, 47);
    let all = (0..6).map(|_| owner.submit(&keys, &keys, &[("name", "one more")]));
    let pages = futures_util::future::join_all(all).await.into_iter().collect::<Result<Vec<_>>>()?;
    let made = pages.iter().filter(|page| page.status.is_success()).count();
    // 47 and the one that the workspace's owner had.
    ensure!(made == 2, "{made} keys were made");
    Ok(())
}
