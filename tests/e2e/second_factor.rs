//! Second factors without a browser: the authenticator app's codes, recovery codes, and workspaces that ask for one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::factors::copied;
use toolmesh_tests::mailbox::Mail;
use toolmesh_tests::oauth::{Pkce, REDIRECT, Tokens};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Page, Person, System, TestResult, Workspace, eventually};

const STEP: &str = "/login/second-factor";

fn goes_to(page: &Page, path: &str) -> bool {
    page.status == StatusCode::SEE_OTHER && page.location().is_some_and(|to| to.path() == path)
}

/// A browser in which somebody has given their password and owes the second factor.
async fn half_in(system: &System, person: &Person) -> Result<Console> {
    let console = Console::new(system)?;
    let page = console.try_login(&person.email, &person.password).await?;
    ensure!(goes_to(&page, STEP), "the password led to {} {:?}", page.status, page.location());
    Ok(console)
}

async fn try_code(console: &Console, code: &str) -> Result<Page> {
    console.submit(STEP, STEP, &[("code", code)]).await
}

async fn try_recovery(console: &Console, code: &str) -> Result<Page> {
    console.submit(&format!("{STEP}?with=recovery"), STEP, &[("recovery", code)]).await
}

async fn is_logged_in(console: &Console) -> Result<bool> {
    Ok(console.get("/workspaces").await?.status == StatusCode::OK)
}

async fn mail_about(system: &System, person: &Person, subject: &str) -> Result<Mail> {
    eventually(&format!("a mail about {subject:?}"), SOON, || async {
        let mails = system.mails_to(&person.email).await?;
        Ok(mails.into_iter().find(|mail| mail.subject.contains(subject)))
    })
    .await
}

/// Whether each node lets a token or key in.
async fn let_in(system: &System, workspace: &Workspace, token: &str) -> Result<Vec<bool>> {
    let mut answers = Vec::new();
    for node in &system.ready.nodes {
        let answer = system.mcp_on(&node.http, workspace, token).request("ping", json!({})).await?;
        answers.push(answer.status.is_success());
    }
    Ok(answers)
}

async fn all_nodes(system: &System, workspace: &Workspace, token: &str, wanted: bool) -> TestResult {
    let what = if wanted { "every node lets them in" } else { "no node lets them in" };
    eventually(what, SOON, || async {
        let answers = let_in(system, workspace, token).await?;
        Ok(answers.iter().all(|in_| *in_ == wanted).then_some(()))
    })
    .await
}

/// Asks for a second factor from `grace` on, as the owner, who has one.
async fn require(console: &Console, workspace: &Workspace, grace: &str) -> Result<Page> {
    let path = format!("/w/{}/settings/second-factor", workspace.slug);
    console.submit(&path, &path, &[("grace", grace)]).await
}

#[tokio::test]
async fn after_the_password_the_apps_code_is_asked_and_each_code_works_once() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let path = "/account/security/app";
    let page = console.visit(path).await?.ok()?;
    ensure!(page.body.contains("<svg"), "no picture to scan");
    let wrong = console.submit(path, path, &[("code", "000000")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(copied(&page, "secret")?, copied(&wrong, "secret")?, "another picture after a wrong code");
    ensure!(wrong.body.contains("value=\"000000\""), "what was typed is lost");
    let held = console.set_up_app().await?;
    assert_eq!(held.recovery_codes.len(), 10);
    mail_about(system, &person, "authenticator app was added").await?;

    let browser = half_in(system, &person).await?;
    ensure!(!is_logged_in(&browser).await?, "the password alone was enough");
    for bad in ["", "123", "abcdef", &held.app.code(-1)?, &held.app.code(5)?] {
        let page = try_code(&browser, bad).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad:?}: {}", page.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_code_that_was_accepted_is_not_accepted_again() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let held = system.console(&person).await?.set_up_app().await?;
    let code = held.app.code(0)?;
    let first = half_in(system, &person).await?;
    let page = try_code(&first, &format!("{} {}", &code[..3], &code[3..])).await?;
    ensure!(goes_to(&page, "/workspaces"), "{} {}", page.status, page.text());
    ensure!(is_logged_in(&first).await?, "the code was right and nobody is logged in");
    let second = half_in(system, &person).await?;
    assert_eq!(try_code(&second, &code).await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(goes_to(&try_code(&second, &held.app.code(1)?).await?, "/workspaces"));
    Ok(())
}

#[tokio::test]
async fn who_is_half_in_is_nobody_and_gets_another_session_at_each_step() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let held = system.console(&workspace.owner).await?.set_up_app().await?;
    let planted = Console::new(system)?;
    planted.visit("/login").await?;
    let browser = half_in(system, &workspace.owner).await?;
    let before = browser.cookies();
    for path in ["/workspaces", &format!("/w/{}", workspace.slug), "/account/security", "/account/confirm"] {
        ensure!(goes_to(&browser.get(path).await?, "/login"), "{path} opens for who is half in");
    }
    ensure!(goes_to(&try_code(&browser, &held.app.code(0)?).await?, "/workspaces"));
    let thief = Console::new(system)?;
    thief.set_cookies(before);
    ensure!(!is_logged_in(&thief).await?, "the session of the first step became the one of the second");
    ensure!(goes_to(&thief.get(STEP).await?, "/login"), "the first step can be used again");
    // Without the first step there is no second.
    ensure!(goes_to(&planted.get(STEP).await?, "/login"));
    Ok(())
}

#[tokio::test]
async fn a_recovery_code_works_once_and_new_ones_end_the_old() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let held = console.set_up_app().await?;
    let [used, unused] = [&held.recovery_codes[0], &held.recovery_codes[1]];
    let browser = half_in(system, &person).await?;
    let page = try_recovery(&browser, &used.replace('-', " ").to_uppercase()).await?;
    ensure!(goes_to(&page, "/workspaces"), "{} {}", page.status, page.text());
    let mail = mail_about(system, &person, "recovery code was used").await?;
    ensure!(mail.text.contains("9 codes are left"), "{}", mail.text);
    let browser = half_in(system, &person).await?;
    let page = try_recovery(&browser, used).await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(page.text().contains("has been used"), "{}", page.text());

    let codes = "/account/security/recovery-codes";
    ensure!(console.visit("/account/security").await?.text().contains("9 of 10 left"));
    let page = console.submit(codes, codes, &[]).await?.ok()?;
    let fresh: Vec<_> = copied(&page, "codes")?.lines().map(str::to_owned).collect();
    assert_eq!(fresh.len(), 10);
    assert_eq!(try_recovery(&browser, unused).await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(goes_to(&try_recovery(&browser, &fresh[0]).await?, "/workspaces"));
    Ok(())
}

#[tokio::test]
async fn guessing_codes_has_to_wait_and_every_failure_is_kept() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let held = system.console(&person).await?.set_up_app().await?;
    let browser = half_in(system, &person).await?;
    let mut refused = None;
    for _ in 0..6 {
        let page = try_code(&browser, "000000").await?;
        if page.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(page);
            break;
        }
    }
    let page = refused.context("guessing never had to wait")?;
    ensure!(page.text().contains("Try again in"), "{}", page.text());
    // Even the right one waits, and nobody else does.
    assert_eq!(try_code(&browser, &held.app.code(0)?).await?.status, StatusCode::TOO_MANY_REQUESTS);
    let other = system.person().await?;
    let fine = system.console(&other).await?.set_up_app().await?;
    ensure!(goes_to(&try_code(&half_in(system, &other).await?, &fine.app.code(0)?).await?, "/workspaces"));
    let sql = format!(
        "UPDATE security_events SET details = details WHERE user_id = '{}' AND kind = 'second_factor_failed'",
        person.user_id
    );
    ensure!(system.sql(&sql).await? >= 5, "failures are not kept");
    Ok(())
}

#[tokio::test]
async fn who_changes_factors_has_just_proved_who_they_are() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    console.set_up_app().await?;
    let page = console.visit("/account/security").await?.ok()?;
    let remove = "/account/security/app/remove";
    let form = page.form(remove)?;
    let sql = format!(
        "UPDATE sessions SET data = jsonb_set(data, '{{proof,at}}', to_jsonb(extract(epoch FROM now())::bigint - 700)) \
         WHERE user_id = '{}'",
        person.user_id
    );
    ensure!(system.sql(&sql).await? > 0);
    ensure!(
        goes_to(&console.post(remove, &form.fields).await?, "/account/confirm"),
        "an old login was enough"
    );
    for path in ["/account/security", "/account/security/app", "/account/security/recovery-codes"] {
        ensure!(goes_to(&console.get(path).await?, "/account/confirm"), "{path}");
    }
    half_in(system, &person).await?;
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_asks_for_a_factor_stops_who_has_none_everywhere_until_they_add_one() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    let member = system.join(&workspace, &guest, "member").await?;
    let key = system.key(&workspace.slug, &guest.email).await?;
    let tokens = system.tokens(&workspace, &guest).await?;
    let server = system.oauth(&workspace).await?;
    all_nodes(system, &workspace, &key, true).await?;
    all_nodes(system, &workspace, &tokens.access, true).await?;

    let owner = system.console(&workspace.owner).await?;
    let page = require(&owner, &workspace, "now").await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "an owner without a factor stopped themselves");
    owner.set_up_app().await?;
    let settings = owner.visit(&format!("/w/{}/settings/second-factor", workspace.slug)).await?.ok()?;
    ensure!(settings.text().contains(&guest.email), "who would be stopped is not shown: {}", settings.text());
    require(&owner, &workspace, "now").await?.ok()?;

    // The console at once.
    let home = format!("/w/{}", workspace.slug);
    let page = member.visit(&home).await?;
    ensure!(page.url.path() == "/account/security", "{} is open: {}", home, page.status);
    ensure!(page.text().contains("requires a second factor"), "{}", page.text());
    // Nodes with the next push, for keys and tokens alike.
    all_nodes(system, &workspace, &key, false).await?;
    all_nodes(system, &workspace, &tokens.access, false).await?;
    ensure!(
        let_in(system, &workspace, &workspace.key).await?.iter().all(|in_| *in_),
        "the owner is stopped too"
    );
    // Tokens are not renewed, with the reason; new ones are not to be had.
    let answer = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    ensure!(
        answer.body.contains("invalid_grant") && answer.body.contains("second factor"),
        "{}",
        answer.body
    );
    let client = server.client(REDIRECT).await?;
    let consent = server.authorize(&member, &server.query(&client, REDIRECT, &Pkce::new())).await?;
    ensure!(goes_to(&consent, "/account/security"), "consent is open: {}", consent.status);
    mail_about(system, &guest, "asks for a second factor").await?;

    // Adding one opens everything, and the page knows the way back.
    member.visit(&home).await?;
    member.set_up_app().await?;
    let page = member.visit("/account/security").await?.ok()?;
    ensure!(page.links(&home).contains(&home), "no way back to {home}: {}", page.body);
    assert_eq!(member.get(&home).await?.status, StatusCode::OK);
    all_nodes(system, &workspace, &key, true).await?;
    all_nodes(system, &workspace, &tokens.access, true).await?;
    Tokens::of(&tokens.client_id, &server.refresh(&tokens.client_id, &tokens.refresh).await?)?;
    Ok(())
}

#[tokio::test]
async fn the_last_factor_stays_while_a_workspace_asks_for_one() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let owner = system.console(&workspace.owner).await?;
    owner.set_up_app().await?;
    require(&owner, &workspace, "30-days").await?.ok()?;
    let remove = "/account/security/app/remove";
    let page = owner.submit("/account/security", remove, &[]).await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(page.text().contains("this is your last one"), "{}", page.text());
    half_in(system, &workspace.owner).await?;

    let path = format!("/w/{}/settings/second-factor", workspace.slug);
    owner.submit(&path, &path, &[("rule", "off")]).await?.ok()?;
    owner.submit("/account/security", remove, &[]).await?.ok()?;
    mail_about(system, &workspace.owner, "app was removed").await?;
    system.console(&workspace.owner).await?;
    Ok(())
}

#[tokio::test]
async fn during_the_days_of_grace_nobody_is_stopped_and_afterwards_nodes_know() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    let member = system.join(&workspace, &guest, "member").await?;
    let key = system.key(&workspace.slug, &guest.email).await?;
    let owner = system.console(&workspace.owner).await?;
    owner.set_up_app().await?;
    require(&owner, &workspace, "7-days").await?.ok()?;
    let home = format!("/w/{}", workspace.slug);
    assert_eq!(member.get(&home).await?.status, StatusCode::OK);
    ensure!(member.visit("/account/security").await?.text().contains("will require a second factor"));
    all_nodes(system, &workspace, &key, true).await?;

    let sql = format!(
        "UPDATE second_factor_rules SET required_from = now() - interval '1 second' WHERE tenant_id = '{}'",
        workspace.tenant_id
    );
    assert_eq!(system.sql(&sql).await?, 1);
    ensure!(goes_to(&member.get(&home).await?, "/account/security"), "the console does not go by the date");
    eventually("nodes stop who has no factor", Duration::from_secs(60), || async {
        Ok(let_in(system, &workspace, &key).await?.iter().all(|in_| !in_).then_some(()))
    })
    .await?;
    ensure!(let_in(system, &workspace, &workspace.key).await?.iter().all(|in_| *in_));
    Ok(())
}

#[tokio::test]
async fn an_operator_takes_lost_factors_away_and_the_person_is_told() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let person = &workspace.owner;
    let owner = system.console(person).await?;
    owner.set_up_app().await?;
    require(&owner, &workspace, "now").await?.ok()?;
    system.admin(&["reset-second-factor", "--email", &person.email]).await?;
    mail_about(system, person, "second factor was reset").await?;
    let console = system.console(person).await?;
    let page = console.visit(&format!("/w/{}", workspace.slug)).await?;
    ensure!(page.url.path() == "/account/security", "the workspace is open without a factor: {}", page.url);
    all_nodes(system, &workspace, &workspace.key, false).await?;
    let ran = system.run_admin(&["reset-second-factor", "--email", &person.email]).await?;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    ensure!(ran.stderr.contains("has no second factor"), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn admins_see_who_has_a_second_factor_and_only_they_decide() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    let member = system.join(&workspace, &guest, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    owner.set_up_app().await?;
    let page = owner.visit(&format!("/w/{}/members", workspace.slug)).await?.ok()?;
    ensure!(page.text().contains("Second factor"), "{}", page.text());
    member.set_up_app().await?;
    let path = format!("/w/{}/settings/second-factor", workspace.slug);
    assert_eq!(member.get(&path).await?.status, StatusCode::FORBIDDEN);
    let form = [("_csrf".to_owned(), member.visit("/account/security").await?.csrf().unwrap_or_default())];
    let fields: Vec<_> = form.into_iter().chain([("grace".to_owned(), "now".to_owned())]).collect();
    assert_eq!(member.post(&path, &fields).await?.status, StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn a_passkey_of_somebody_else_is_not_found_and_stays_as_it_is() -> TestResult {
    let system = System::shared().await?;
    let (ana, ben) = (system.person().await?, system.person().await?);
    let id = uuid::Uuid::new_v4();
    let sql = format!(
        "INSERT INTO passkeys (credential_id, id, user_id, name, credential) \
         VALUES (decode(md5('{id}'), 'hex'), '{id}', '{}', 'Phone of Ana', '{{}}')",
        ana.user_id
    );
    assert_eq!(system.sql(&sql).await?, 1);
    let console = system.console(&ben).await?;
    let token = console.visit("/account/security").await?.csrf().context("no token")?;
    for (action, id) in [("remove", id), ("rename", id), ("remove", uuid::Uuid::new_v4())] {
        let path = format!("/account/security/passkeys/{id}/{action}");
        let fields = [("_csrf".to_owned(), token.clone()), ("name".to_owned(), "Mine".to_owned())];
        let page = console.post(&path, &fields).await?;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}: {}", page.text());
    }
    let left = format!("UPDATE passkeys SET name = name WHERE id = '{id}' AND name = 'Phone of Ana'");
    assert_eq!(system.sql(&left).await?, 1, "somebody else's passkey was changed");
    Ok(())
}

#[tokio::test]
async fn a_new_password_by_mail_is_no_way_around_the_factor_and_ends_who_is_half_in() -> TestResult {
    let system = System::shared().await?;
    let mut person = system.person().await?;
    let held = system.console(&person).await?.set_up_app().await?;
    let thief = half_in(system, &person).await?;
    // The moments of both are told apart by the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let anybody = Console::new(system)?;
    anybody.submit("/reset", "/reset", &[("email", &person.email)]).await?.ok()?;
    let link = eventually("the link", SOON, || async {
        let mails = system.mails_to(&person.email).await?;
        Ok(mails.iter().find_map(|mail| mail.link("/reset/new").map(str::to_owned)))
    })
    .await?;
    let link = anybody.path_of(&link)?;
    person.password = format!("{} renewed", person.password);
    anybody.submit(&link, "/reset/new", &[("password", &person.password)]).await?.ok()?;
    ensure!(!is_logged_in(&anybody).await?, "the link logged somebody in");
    ensure!(goes_to(&thief.get(STEP).await?, "/login"), "who had the old password is still half in");
    ensure!(goes_to(&try_code(&half_in(system, &person).await?, &held.app.code(0)?).await?, "/workspaces"));
    Ok(())
}
