//! Passkeys in real Chromium with a virtual authenticator, and the pages about second factors.

use anyhow::{Context as _, Result, ensure};
use toolmesh_tests::browser::Browser;
use toolmesh_tests::factors::copied;
use toolmesh_tests::totp::AuthenticatorApp;
use toolmesh_tests::{Person, System, TestResult};

async fn give_password(browser: &Browser, system: &System, person: &Person) -> Result<()> {
    browser.go(&system.console_url("/login")).await?;
    browser.fill("email", &person.email).await?;
    browser.fill("password", &person.password).await?;
    browser.submit("/login").await
}

async fn log_out(browser: &Browser, system: &System) -> Result<()> {
    browser.go(&system.console_url("/workspaces")).await?;
    browser.submit("/logout").await?;
    browser.at("/login").await?;
    Ok(())
}

async fn add_passkey(browser: &Browser, name: &str) -> Result<()> {
    let field = browser.see("form[data-passkey=create] input[name=name]").await?;
    field.clear().await?;
    field.send_keys(name).await?;
    browser.click("add passkey").await
}

#[tokio::test]
async fn a_passkey_is_registered_named_used_to_log_in_and_removed() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let browser = Browser::open().await?;
    let device = browser.authenticator().await?;
    give_password(&browser, system, &person).await?;
    browser.at("/workspaces").await?;
    browser.go(&system.console_url("/account/security")).await?;
    browser.inspect("60-security-without-factors").await?;

    add_passkey(&browser, "My laptop").await?;
    // The first factor comes with recovery codes.
    browser.at("/account/security/recovery-codes").await?;
    browser.inspect("61-recovery-codes-offered").await?;
    browser.submit("/account/security/recovery-codes").await?;
    browser.read("save these recovery codes").await?;
    browser.inspect("62-recovery-codes").await?;
    browser.click("i have saved them").await?;
    browser.read("My laptop").await?;
    browser.read("10 of 10 left").await?;
    browser.inspect("63-security-with-a-passkey").await?;
    ensure!(browser.passkeys(&device).await? == 1, "the device keeps no passkey");

    // The same device has one for this account already, and says so.
    add_passkey(&browser, "My laptop again").await?;
    browser.read("has a passkey for your account already").await?;
    let _ = browser.complaints().await?;

    browser.click("change my laptop").await?;
    let rename = browser.see("form[action$='/rename'] input[name=name]").await?;
    rename.clear().await?;
    rename.send_keys("Work laptop").await?;
    browser.submit("/rename").await?;
    browser.read("Work laptop").await?;

    // With the passkey alone, and nothing typed.
    browser.touches(&device, false).await?;
    log_out(&browser, system).await?;
    browser.inspect("64-log-in-with-passkey").await?;
    browser.click("log in with a passkey").await?;
    browser.touches(&device, true).await?;
    browser.at("/workspaces").await?;
    browser.go(&system.console_url("/account/security")).await?;
    browser.read("just now").await?;

    // After the password, as the second factor.
    browser.touches(&device, false).await?;
    log_out(&browser, system).await?;
    give_password(&browser, system, &person).await?;
    browser.at("/login/second-factor").await?;
    browser.inspect("65-second-factor-passkey").await?;
    browser.click("use a passkey").await?;
    browser.touches(&device, true).await?;
    browser.at("/workspaces").await?;

    // Removed, it lets nobody in, though the device still has it.
    browser.go(&system.console_url("/account/security")).await?;
    browser.click("change work laptop").await?;
    browser.submit("/remove").await?;
    browser.read("the passkey is removed").await?;
    browser.touches(&device, false).await?;
    log_out(&browser, system).await?;
    browser.click("log in with a passkey").await?;
    browser.touches(&device, true).await?;
    browser.read("this passkey is not known here").await?;
    // The page offers a passkey again, and this device would take every offer.
    browser.touches(&device, false).await?;
    let _ = browser.complaints().await?;
    give_password(&browser, system, &person).await?;
    browser.at("/workspaces").await?;
    browser.close().await
}

#[tokio::test]
async fn the_field_for_the_address_offers_a_passkey_and_the_password_still_works() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let browser = Browser::open().await?;
    let device = browser.authenticator().await?;
    give_password(&browser, system, &person).await?;
    browser.at("/workspaces").await?;
    browser.go(&system.console_url("/account/security")).await?;
    add_passkey(&browser, "Phone").await?;
    browser.at("/account/security/recovery-codes").await?;

    // Offered, and not taken: whoever types goes on as ever.
    browser.touches(&device, false).await?;
    log_out(&browser, system).await?;
    browser.see("input[name=email][autocomplete='username webauthn']").await?;
    give_password(&browser, system, &person).await?;
    browser.at("/login/second-factor").await?;

    // Taken: no button is pressed and nothing is typed.
    browser.go(&system.console_url("/login")).await?;
    browser.touches(&device, true).await?;
    browser.at("/workspaces").await?;
    browser.close().await
}

#[tokio::test]
async fn a_device_that_does_not_recognise_its_person_lets_nobody_in() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let browser = Browser::open().await?;
    let device = browser.authenticator().await?;
    give_password(&browser, system, &person).await?;
    browser.at("/workspaces").await?;
    browser.go(&system.console_url("/account/security")).await?;
    add_passkey(&browser, "Phone").await?;
    browser.at("/account/security/recovery-codes").await?;
    browser.touches(&device, false).await?;
    log_out(&browser, system).await?;

    browser.recognises(&device, false).await?;
    browser.click("log in with a passkey").await?;
    browser.touches(&device, true).await?;
    browser.read("nothing happened").await?;
    ensure!(browser.client.current_url().await?.path() == "/login", "somebody is logged in");
    browser.recognises(&device, true).await?;

    // With the device gone, a recovery code gets them in.
    browser.unplug(device).await?;
    give_password(&browser, system, &person).await?;
    browser.at("/login/second-factor").await?;
    let _ = browser.complaints().await?;
    browser.close().await
}

#[tokio::test]
async fn an_authenticator_app_is_set_up_and_asked_for() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    system.join(&workspace, &guest, "member").await?;
    let browser = Browser::open().await?;
    give_password(&browser, system, &workspace.owner).await?;
    browser.at("/workspaces").await?;
    let rule = system.console_url(&format!("/w/{}/settings/second-factor", workspace.slug));
    browser.go(&rule).await?;
    browser.inspect("66-rule-without-own-factor").await?;
    browser.click("add one to your account").await?;
    browser.at("/account/security").await?;
    browser.click("set up an app").await?;
    browser.at("/account/security/app").await?;
    browser.inspect("67-set-up-app").await?;
    let secret = browser.see("#secret").await?.text().await?;
    let app = AuthenticatorApp::from_text(&secret)?;
    browser.fill("code", "123456").await?;
    browser.submit("/account/security/app").await?;
    browser.read("this code is wrong").await?;
    let _ = browser.complaints().await?;
    browser.inspect("68-set-up-app-wrong-code").await?;
    app.fresh_step().await?;
    browser.fill("code", &app.code(-1)?).await?;
    browser.submit("/account/security/app").await?;
    browser.read("save these recovery codes").await?;
    // Back to where the person was going.
    browser.click("i have saved them").await?;
    browser.at("/settings/second-factor").await?;
    browser.inspect("69-rule").await?;
    browser.submit("/settings/second-factor").await?;
    browser.read("will be required").await?;
    browser.inspect("70-rule-announced").await?;
    browser.go(&system.console_url(&format!("/w/{}/members", workspace.slug))).await?;
    browser.inspect("71-members-with-factors").await?;
    browser.go(&system.console_url("/account/security")).await?;
    browser.inspect("72-security-with-an-app").await?;

    log_out(&browser, system).await?;
    give_password(&browser, system, &workspace.owner).await?;
    browser.at("/login/second-factor").await?;
    browser.inspect("73-second-factor-code").await?;
    browser.fill("code", "000000").await?;
    browser.submit("/login/second-factor").await?;
    browser.read("this code is wrong").await?;
    let _ = browser.complaints().await?;
    browser.click("use a recovery code").await?;
    browser.inspect("74-second-factor-recovery").await?;
    browser.click("back to the code").await?;
    browser.fill("code", &app.code(0)?).await?;
    browser.submit("/login/second-factor").await?;
    browser.at("/workspaces").await?;
    browser.close().await
}

#[tokio::test]
async fn who_is_stopped_is_told_why_and_what_to_do() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    system.join(&workspace, &guest, "member").await?;
    let owner = system.console(&workspace.owner).await?;
    let page = owner.visit("/account/security/app").await?.ok()?;
    copied(&page, "secret").context("no secret to copy")?;
    owner.set_up_app().await?;
    let path = format!("/w/{}/settings/second-factor", workspace.slug);
    owner.submit(&path, &path, &[("grace", "now")]).await?.ok()?;
    let browser = Browser::open().await?;
    give_password(&browser, system, &guest).await?;
    browser.at("/workspaces").await?;
    browser.go(&system.console_url(&format!("/w/{}", workspace.slug))).await?;
    browser.at("/account/security").await?;
    browser.read("requires a second factor").await?;
    browser.inspect("75-stopped").await?;
    browser.close().await
}
