//! A person's own account: proving again who one is, sessions, what happened, a new password and a new address.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use toolmesh_tests::mailbox::Mail;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Person, System, TestResult, eventually, html};

/// Makes it long ago that this person last proved who they are.
async fn prove_long_ago(system: &System, user_id: &str) -> TestResult {
    let sql = format!(
        "UPDATE sessions SET data = jsonb_set(data, '{{proof,at}}', to_jsonb(extract(epoch FROM now())::bigint - 700)) \
         WHERE user_id = '{user_id}'"
    );
    ensure!(system.sql(&sql).await? > 0, "no session to make older");
    Ok(())
}

fn path(page: &toolmesh_tests::Page) -> String {
    page.location().map(|to| to.path().to_owned()).unwrap_or_default()
}

async fn is_logged_in(console: &Console) -> anyhow::Result<bool> {
    Ok(console.get("/workspaces").await?.status == StatusCode::OK)
}

#[tokio::test]
async fn after_ten_minutes_a_key_is_made_only_by_who_proves_again_who_they_are() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    console.submit(&keys, &keys, &[("name", "made at once")]).await?.ok()?;

    prove_long_ago(system, &workspace.owner.user_id).await?;
    let page = console.visit(&keys).await?.ok()?;
    ensure!(page.form(&keys).is_err(), "a form that would be refused is shown");
    ensure!(page.body.contains("/account/confirm?next="), "no way to prove who one is: {}", page.text());
    let refused = console.submit(&keys, &keys, &[("name", "made later")]).await?;
    assert_eq!((refused.status, path(&refused).as_str()), (StatusCode::SEE_OTHER, "/account/confirm"));
    ensure!(!console.visit(&keys).await?.text().contains("made later"), "the key was made");

    let confirm = refused.location().context("no location")?.to_string();
    let wrong = console.submit(&confirm, "/account/confirm", &[("password", "not my password")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let before = console.cookies();
    let right =
        console.submit(&confirm, "/account/confirm", &[("password", &workspace.owner.password)]).await?;
    assert_eq!((right.status, path(&right)), (StatusCode::SEE_OTHER, keys.clone()));
    let made = console.submit(&keys, &keys, &[("name", "made later")]).await?.ok()?;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());

    let copied = Console::new(system)?;
    copied.set_cookies(before);
    ensure!(!is_logged_in(&copied).await?, "the session's old id still opens it");
    Ok(())
}

#[tokio::test]
async fn who_proves_again_who_they_are_is_sent_to_no_foreign_site() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    for next in ["https://evil.example/", "//evil.example/", "/\\evil.example"] {
        let fields = [("password", person.password.as_str()), ("next", next)];
        prove_long_ago(system, &person.user_id).await?;
        let page = console.submit("/account/confirm", "/account/confirm", &fields).await?;
        assert_eq!(path(&page), "/workspaces", "{next:?}");
    }
    Ok(())
}

#[tokio::test]
async fn proving_again_who_one_is_does_not_make_a_session_live_longer() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let older = format!(
        "UPDATE sessions SET created_at = now() - interval '6 days 23 hours 59 minutes', data = jsonb_set(data, '{{facts,since}}', \
         to_jsonb(extract(epoch FROM now() - interval '6 days 23 hours 59 minutes')::bigint)) WHERE user_id = '{}'",
        person.user_id
    );
    ensure!(system.sql(&older).await? == 1);
    prove_long_ago(system, &person.user_id).await?;
    let fields = [("password", person.password.as_str())];
    console.submit("/account/confirm", "/account/confirm", &fields).await?.ok()?;
    ensure!(is_logged_in(&console).await?);
    let young = format!(
        "UPDATE sessions SET data = data WHERE user_id = '{}' AND created_at > now() - interval '6 days'",
        person.user_id
    );
    ensure!(system.sql(&young).await? == 0, "the new id started the seven days again");
    Ok(())
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_without_use_and_after_seven_days_with_it() -> TestResult {
    let system = System::shared().await?;
    for change in
        ["expires_at = now() - interval '1 second'", "created_at = now() - interval '7 days 1 minute'"]
    {
        let person = system.person().await?;
        let console = system.console(&person).await?;
        ensure!(is_logged_in(&console).await?);
        let idle = format!(
            "UPDATE sessions SET data = data WHERE user_id = '{}' AND expires_at BETWEEN now() + interval '11 hours 50 minutes' \
             AND now() + interval '12 hours'",
            person.user_id
        );
        ensure!(system.sql(&idle).await? == 1, "the session does not end twelve hours after its last use");
        system.sql(&format!("UPDATE sessions SET {change} WHERE user_id = '{}'", person.user_id)).await?;
        ensure!(!is_logged_in(&console).await?, "{change}: the session lives on");
    }
    Ok(())
}

/// The code of eight digits in a mail.
fn code(mail: &Mail) -> anyhow::Result<String> {
    let digits = |line: &str| line.chars().filter(|c| *c != ' ').collect::<String>();
    let is_code = |line: &&str| digits(line).len() == 8 && digits(line).bytes().all(|b| b.is_ascii_digit());
    mail.text.lines().map(str::trim).find(is_code).map(digits).context("no code in the mail")
}

/// The links to a new password that have come to an address, newest first.
async fn reset_links(system: &System, console: &Console, email: &str) -> anyhow::Result<Vec<String>> {
    let mails = system.mails_to(email).await?;
    mails.iter().filter_map(|mail| mail.link("/reset/new")).map(|link| console.path_of(link)).collect()
}

/// Asks for a new password and waits for the link.
async fn reset_link(system: &System, console: &Console, person: &Person) -> anyhow::Result<String> {
    let before = reset_links(system, console, &person.email).await?.len();
    console.submit("/reset", "/reset", &[("email", &person.email)]).await?.ok()?;
    next_reset_link(system, console, &person.email, before).await
}

/// Waits until more than `before` links to a new password have come, since other mails come in between.
async fn next_reset_link(
    system: &System,
    console: &Console,
    email: &str,
    before: usize,
) -> anyhow::Result<String> {
    eventually("a mail with a link to a new password", SOON, || async {
        let mut links = reset_links(system, console, email).await?;
        Ok((links.len() > before).then(|| links.remove(0)))
    })
    .await
}

#[tokio::test]
async fn a_person_sees_their_own_sessions_and_ends_one_and_all_others() -> TestResult {
    let system = System::shared().await?;
    let (person, stranger) = (system.person().await?, system.person().await?);
    let here = system.console(&person).await?;
    let (phone, tablet, other) =
        (system.console(&person).await?, system.console(&person).await?, system.console(&stranger).await?);
    let page = here.visit("/account/sessions").await?.ok()?;
    ensure!(page.text().contains("this one") && page.text().contains("127.0.0.1"), "{}", page.text());
    ensure!(page.text().contains("Logged in"), "the login is no recent activity: {}", page.text());
    let ends: Vec<_> = html::forms(&page.body).into_iter().filter(|f| f.action.ends_with("/end")).collect();
    assert_eq!(ends.len(), 2, "one button for each other session");

    let foreign = other.submit("/account/sessions", &ends[0].action, &[]).await?;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND, "another person's session was found");
    ensure!(is_logged_in(&phone).await? && is_logged_in(&tablet).await?);

    here.submit("/account/sessions", &ends[0].action, &[]).await?.ok()?;
    let left = [is_logged_in(&phone).await?, is_logged_in(&tablet).await?];
    assert_eq!(left.iter().filter(|alive| **alive).count(), 1, "exactly one has ended");
    Ok(())
}

#[tokio::test]
async fn ending_all_others_leaves_only_this_session_and_needs_a_recent_proof() -> TestResult {
    let system = System::shared().await?;
    let (person, stranger) = (system.person().await?, system.person().await?);
    let here = system.console(&person).await?;
    let (phone, tablet) = (system.console(&person).await?, system.console(&person).await?);
    let other = system.console(&stranger).await?;
    prove_long_ago(system, &person.user_id).await?;
    let refused = here.submit("/account/sessions", "/account/sessions/end-others", &[]).await?;
    assert_eq!(path(&refused), "/account/confirm");
    ensure!(is_logged_in(&phone).await?);

    let password = [("password", person.password.as_str())];
    here.submit("/account/confirm", "/account/confirm", &password).await?.ok()?;
    here.submit("/account/sessions", "/account/sessions/end-others", &[]).await?.ok()?;
    ensure!(!is_logged_in(&phone).await? && !is_logged_in(&tablet).await?, "another session lives on");
    ensure!(is_logged_in(&here).await? && is_logged_in(&other).await?, "too much has ended");
    let page = here.visit("/account/sessions").await?.ok()?;
    ensure!(page.text().contains("All other sessions ended"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_is_told_by_mail() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let (here, phone) = (system.console(&person).await?, system.console(&person).await?);
    let new = format!("lantern copper {}", unique());
    let send = async |current: &str, new: &str| {
        here.submit("/account/password", "/account/password", &[("current", current), ("password", new)])
            .await
    };
    for (current, wanted, field) in [
        ("not my password", new.as_str(), "This is not your password"),
        (&person.password, "password1234", "common or easy to guess"),
        (&person.password, &person.password, "Choose another"),
    ] {
        let refused = send(current, wanted).await?;
        ensure!(refused.status == StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", refused.status);
        ensure!(refused.text().contains(field), "{}", refused.text());
    }
    let before = here.cookies();
    let done = send(&person.password, &new).await?;
    assert_eq!((done.status, path(&done).as_str()), (StatusCode::SEE_OTHER, "/account"));
    ensure!(is_logged_in(&here).await? && !is_logged_in(&phone).await?);
    let copied = Console::new(system)?;
    copied.set_cookies(before);
    ensure!(!is_logged_in(&copied).await?, "the id from before the change still opens the session");
    let mail = system.mail_to(&person.email).await?;
    ensure!(mail.subject.contains("Password changed"), "{}", mail.subject);
    ensure!(mail.text.contains("127.0.0.1"), "{}", mail.text);

    ensure!(Console::new(system)?.try_login(&person.email, &person.password).await?.status.is_client_error());
    Console::new(system)?.login(&Person { password: new, ..person }).await
}

#[tokio::test]
async fn a_forgotten_password_is_set_by_mail_once_and_ends_every_session() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let (phone, console) = (system.console(&person).await?, Console::new(system)?);
    let link = reset_link(system, &console, &person).await?;
    // A program that looks into mails opens links too.
    for _ in 0..2 {
        console.get(&link).await?.ok()?;
    }
    let weak = console.submit(&link, "/reset/new", &[("password", "password1234")]).await?;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", weak.text());
    let new = format!("lantern copper {}", unique());
    let done = console.submit(&link, "/reset/new", &[("password", &new)]).await?;
    assert_eq!((done.status, path(&done).as_str()), (StatusCode::SEE_OTHER, "/login"));
    ensure!(!is_logged_in(&console).await?, "the link alone logged in");
    ensure!(!is_logged_in(&phone).await?, "a session from before lives on");
    ensure!(console.visit("/login").await?.text().contains("The new password is set"));

    let again = Console::new(system)?.get(&link).await?;
    assert_eq!(again.status, StatusCode::GONE, "{}", again.text());
    ensure!(Console::new(system)?.try_login(&person.email, &person.password).await?.status.is_client_error());
    let person = Person { password: new, ..person };
    let console = system.console(&person).await?;
    let page = console.visit("/account/sessions").await?.ok()?;
    ensure!(page.text().contains("Password reset by mail"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn asking_for_a_new_password_tells_nobody_whether_the_address_is_known() -> TestResult {
    let system = System::shared().await?;
    let known = system.person().await?;
    let unknown = format!("{}@example.org", unique());
    let mut answers = Vec::new();
    for email in [&known.email, &unknown] {
        let console = Console::new(system)?;
        let sent = console.submit("/reset", "/reset", &[("email", email)]).await?;
        let page = console.follow(sent.clone()).await?.ok()?;
        answers.push((sent.status, path(&sent), page.text()));
    }
    assert_eq!(answers[0], answers[1]);
    system.mail_to(&known.email).await?;
    ensure!(system.mails_to(&unknown).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_old_link_to_a_new_password_and_an_older_one_are_dead() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = Console::new(system)?;
    let first = reset_link(system, &console, &person).await?;
    let second = reset_link(system, &console, &person).await?;
    let new = format!("lantern copper {}", unique());
    console.submit(&second, "/reset/new", &[("password", &new)]).await?.ok()?;
    assert_eq!(console.get(&first).await?.status, StatusCode::GONE, "another link outlives the reset");

    let person = Person { password: new, ..person };
    let third = reset_link(system, &console, &person).await?;
    let past = format!(
        "UPDATE password_resets SET expires_at = now() - interval '1 second' WHERE user_id = '{}' AND used_at IS NULL",
        person.user_id
    );
    ensure!(system.sql(&past).await? == 1);
    assert_eq!(console.get(&third).await?.status, StatusCode::GONE);
    assert_eq!(console.get("/reset/new?token=invented").await?.status, StatusCode::GONE);
    Ok(())
}

#[tokio::test]
async fn a_new_address_counts_when_its_code_is_typed_and_the_old_one_is_told() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let person = workspace.owner.clone();
    let console = system.console(&person).await?;
    let new = format!("{}@example.org", unique());
    console.submit("/account/email", "/account/email", &[("email", &new)]).await?.ok()?;
    let mail = system.mail_to(&new).await?;
    let page = console.visit("/account").await?.ok()?;
    ensure!(page.text().contains(&new) && page.text().contains(&person.email), "{}", page.text());
    let wrong = console.submit("/account", "/account/email/code", &[("code", "0000 0000")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    Console::new(system)?
        .login(&person)
        .await
        .context("the old address counts until the new one is confirmed")?;

    console.submit("/account", "/account/email/code", &[("code", &code(&mail)?)]).await?.ok()?;
    let told = system.mail_to(&person.email).await?;
    ensure!(told.subject.contains("changed") && told.text.contains(&new), "{}: {}", told.subject, told.text);
    ensure!(Console::new(system)?.try_login(&person.email, &person.password).await?.status.is_client_error());
    Console::new(system)?.login(&Person { email: new, ..person.clone() }).await?;

    let undo = told.link("/account/email/undo").context("no way back in the mail")?;
    let anybody = Console::new(system)?;
    let undo = anybody.path_of(undo)?;
    anybody.get(&undo).await?.ok()?;
    ensure!(is_logged_in(&console).await?, "opening the link alone changed something");
    anybody.submit(&undo, "/account/email/undo", &[]).await?.ok()?;
    ensure!(!is_logged_in(&console).await?, "a session outlives the return");
    ensure!(Console::new(system)?.try_login(&person.email, &person.password).await?.status.is_client_error());
    let link = next_reset_link(system, &anybody, &person.email, 0).await?;
    let password = format!("lantern copper {}", unique());
    anybody.submit(&link, "/reset/new", &[("password", &password)]).await?.ok()?;
    Console::new(system)?.login(&Person { password, ..person }).await
}

#[tokio::test]
async fn a_new_address_is_confirmed_by_its_link_only_in_the_account_that_asked() -> TestResult {
    let system = System::shared().await?;
    let (person, other) = (system.person().await?, system.person().await?);
    let (console, foreign) = (system.console(&person).await?, system.console(&other).await?);
    let new = format!("{}@example.org", unique());
    console.submit("/account/email", "/account/email", &[("email", &new)]).await?.ok()?;
    let mail = system.mail_to(&new).await?;
    let link = console.path_of(mail.link("/account/email/confirm").context("no link")?)?;
    let page = foreign.visit(&link).await?;
    ensure!(page.text().contains("another account"), "{}", page.text());
    let form = console.visit(&link).await?.form("/account/email/confirm")?;
    let token = form.fields.iter().find(|(name, _)| name == "token").context("no token")?.1.clone();
    let stolen = foreign.submit("/account", "/account/email/confirm", &[("token", &token)]).await?;
    assert_eq!(stolen.status, StatusCode::GONE, "{}", stolen.text());
    console.submit(&link, "/account/email/confirm", &[]).await?.ok()?;
    Console::new(system)?.login(&Person { email: new, ..person }).await
}

#[tokio::test]
async fn a_code_for_a_new_address_can_be_tried_five_times() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let new = format!("{}@example.org", unique());
    console.submit("/account/email", "/account/email", &[("email", &new)]).await?.ok()?;
    let right = code(&system.mail_to(&new).await?)?;
    for _ in 0..5 {
        console.submit("/account", "/account/email/code", &[("code", "0000 0000")]).await?;
    }
    let late = console.submit("/account", "/account/email/code", &[("code", &right)]).await?;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY, "the sixth try counted");
    Console::new(system)?.login(&person).await
}

#[tokio::test]
async fn asking_for_an_address_that_is_taken_shows_the_same_and_changes_nothing() -> TestResult {
    let system = System::shared().await?;
    let (person, other) = (system.person().await?, system.person().await?);
    let console = system.console(&person).await?;
    let sent = console.submit("/account/email", "/account/email", &[("email", &other.email)]).await?;
    assert_eq!(path(&sent), "/account");
    let page = console.visit("/account").await?.ok()?;
    ensure!(page.form("/account/email/code").is_ok(), "{}", page.text());
    let mail = system.mail_to(&other.email).await?;
    ensure!(code(&mail).is_err() && mail.link("/account/email/confirm").is_none(), "{}", mail.text);
    Console::new(system)?.login(&person).await?;
    Console::new(system)?.login(&other).await
}

#[tokio::test]
async fn a_login_from_a_browser_never_seen_before_is_told_by_mail_and_a_known_one_is_not() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    system.console(&person).await?;
    let again = system.console(&person).await?;
    ensure!(system.mails_to(&person.email).await?.is_empty(), "a mail for a browser of the same kind, here");
    let elsewhere = format!(
        "UPDATE security_events SET address = '198.51.100.7', browser = NULL WHERE user_id = '{}'",
        person.user_id
    );
    ensure!(system.sql(&elsewhere).await? == 2);
    system.console(&person).await?;
    let mail = system.mail_to(&person.email).await?;
    ensure!(mail.subject.contains("new device"), "{}", mail.subject);
    ensure!(is_logged_in(&again).await?);
    Ok(())
}

#[tokio::test]
async fn the_password_is_stored_only_in_a_keyed_form() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let stored = |like: &str| {
        let sql = format!(
            "UPDATE users SET name = name WHERE id = '{}' AND password_hash LIKE '{like}'",
            person.user_id
        );
        async move { system.sql(&sql).await }
    };
    ensure!(stored("hmac-sha256:$argon2id$v=19$m=65536,t=3,p=1$%").await? == 1);
    Console::new(system)?.login(&person).await
}
