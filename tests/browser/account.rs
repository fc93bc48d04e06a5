//! A person's own account in the browser: confirming it is them, profile, sessions, a new password, a new address, the code after
//! signing up.

use anyhow::{Context as _, Result, ensure};
use toolmesh_tests::browser::Browser;
use toolmesh_tests::mailbox::Mail;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Person, System, TestResult};

use crate::log_in;

fn code(mail: &Mail) -> Result<String> {
    let is_code = |line: &&str| line.len() == 9 && line.bytes().all(|b| b.is_ascii_digit() || b == b' ');
    Ok(mail.text.lines().map(str::trim).find(is_code).context("no code in the mail")?.to_owned())
}

#[tokio::test]
async fn a_person_looks_after_their_account() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let person = workspace.owner.clone();
    // Another place where they are logged in.
    system.console(&person).await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &person).await?;
    browser.go(&system.console_url(&format!("/w/{}", workspace.slug))).await?;
    browser.press("details.me summary").await?;
    browser.press("details.me a[href='/account']").await?;
    browser.at("/account").await?;
    browser.inspect("60-account").await?;
    browser.click("sessions").await?;
    browser.at("/account/sessions").await?;
    browser.read("this one").await?;
    browser.read("Chrome on Linux").await?;
    browser.inspect("61-sessions").await?;
    browser.submit("/account/sessions/end-others").await?;
    browser.read("One other session is ended").await?;
    browser.submit("/account/sessions/end-everywhere").await?;
    browser.read("Signed out everywhere").await?;
    browser.inspect("61-signed-out-everywhere").await?;

    let long_ago = "UPDATE sessions SET data = jsonb_set(data, '{proof,at}', '0') WHERE user_id = ";
    system.sql(&format!("{long_ago}'{}'", person.user_id)).await?;
    browser.go(&system.console_url(&format!("/w/{}/keys", workspace.slug))).await?;
    browser.inspect("62-keys-not-proved").await?;
    browser.go(&system.console_url("/account/password")).await?;
    browser.at("/account/confirm").await?;
    browser.inspect("63-confirm").await?;
    browser.fill("password", "not my password").await?;
    browser.submit("/account/confirm").await?;
    browser.read("not your password").await?;
    browser.complaints().await?;
    browser.fill("password", &person.password).await?;
    browser.submit("/account/confirm").await?;
    browser.at("/account/password").await?;
    browser.inspect("64-password").await?;

    browser.go(&system.console_url("/account/email")).await?;
    browser.inspect("65-email").await?;
    let new = format!("{}@example.org", unique());
    browser.fill("email", &new).await?;
    browser.submit("/account/email").await?;
    browser.read(&new).await?;
    browser.inspect("66-email-pending").await?;
    browser.fill("code", &code(&system.mail_to(&new).await?)?).await?;
    browser.submit("/account/email/code").await?;
    browser.read("Your address is changed").await?;
    browser.inspect("67-email-changed").await?;
    // Somebody who adds to the account now sees it go with the change.
    system.console(&Person { email: new, ..person.clone() }).await?.set_up_app().await?;
    let told = system.mail_to(&person.email).await?;
    browser.go(told.link("/account/email/undo").context("no way back")?).await?;
    browser.read("authenticator app").await?;
    browser.inspect("68-email-undo").await?;
    browser.close().await
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let browser = Browser::open().await?;
    browser.go(&system.console_url("/login")).await?;
    browser.click("forgot your password").await?;
    browser.at("/reset").await?;
    browser.inspect("70-reset").await?;
    browser.fill("email", &person.email).await?;
    browser.submit("/reset").await?;
    browser.at("/reset/sent").await?;
    browser.inspect("71-reset-sent").await?;
    let mail = system.mail_to(&person.email).await?;
    browser.go(mail.link("/reset/new").context("no link")?).await?;
    browser.inspect("72-reset-new").await?;
    let password = format!("lantern copper {}", unique());
    browser.fill("password", &password).await?;
    browser.submit("/reset/new").await?;
    browser.at("/login").await?;
    browser.read("The new password is set").await?;
    browser.inspect("73-reset-done").await?;
    log_in(&browser, system, &Person { password, ..person }).await?;
    browser.go(mail.link("/reset/new").context("no link")?).await?;
    browser.read("no longer works").await?;
    browser.pictures("74-reset-dead").await?;
    ensure!(browser.complaints().await?.iter().all(|line| line.contains("410")), "more than the dead link");
    browser.close().await
}

#[tokio::test]
async fn the_code_of_the_mail_is_typed_where_one_signed_up() -> TestResult {
    let system = System::shared().await?;
    let email = format!("{}@example.org", unique());
    let browser = Browser::open().await?;
    browser.go(&system.console_url("/signup")).await?;
    browser.fill("name", "Ada Lovelace").await?;
    browser.fill("email", &email).await?;
    browser.fill("password", &format!("correct horse {}", unique())).await?;
    browser.submit("/signup").await?;
    browser.at("/signup/sent").await?;
    browser.read("send it again in").await?;
    browser.inspect("75-sign-up-code").await?;
    browser.fill("code", "1234 5678").await?;
    browser.submit("/signup/code").await?;
    browser.read("not the code").await?;
    browser.pictures("76-sign-up-code-wrong").await?;
    browser.accessible().await?;
    browser.complaints().await?;
    browser.fill("code", &code(&system.mail_to(&email).await?)?).await?;
    browser.submit("/signup/code").await?;
    browser.at("/workspaces/new").await?;
    browser.close().await
}
