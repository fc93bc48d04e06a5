//! Signing up: the same answer for everyone, links that work once and not for ever, passwords that are not on a list.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Page, Person, System, TestResult};

fn stranger() -> Person {
    Person {
        user_id: String::new(),
        email: format!("{}@example.org", unique()),
        password: format!("correct horse {}", unique()),
    }
}

async fn sign_up(console: &Console, person: &Person) -> Result<Page> {
    let fields = [("name", "Ada Example"), ("email", &person.email), ("password", &person.password)];
    console.submit("/signup", "/signup", &fields).await
}

/// The path and query of the link in the mail to someone who signed up.
async fn link(system: &System, console: &Console, person: &Person) -> Result<String> {
    let mail = system.mail_to(&person.email).await?;
    console.path_of(mail.link("/verify").context("no link to /verify in the mail")?)
}

async fn is_logged_in(console: &Console) -> Result<bool> {
    Ok(console.get("/workspaces").await?.status == StatusCode::OK)
}

#[tokio::test]
async fn a_person_signs_up_confirms_the_address_and_is_asked_for_a_workspace() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    let sent = sign_up(&console, &person).await?;
    assert_eq!(
        (sent.status, sent.location().map(|to| to.path().to_owned())),
        (StatusCode::SEE_OTHER, Some("/signup/sent".into()))
    );
    let path = link(system, &console, &person).await?;

    let page = console.get(&path).await?.ok()?;
    assert!(
        !is_logged_in(&console).await?,
        "opening the link alone must not log in: mail scanners open links"
    );
    let done = console.submit(&path, "/verify", &[]).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(done.location().context("no location")?.path(), "/workspaces/new");
    assert!(is_logged_in(&console).await?);
    assert_eq!(page.headers.get("referrer-policy").and_then(|v| v.to_str().ok()), Some("no-referrer"));
    Ok(())
}

#[tokio::test]
async fn a_known_and_an_unknown_address_get_the_same_answer() -> TestResult {
    let system = System::shared().await?;
    let known = system.person().await?;
    let twin = Person { password: format!("another phrase {}", unique()), ..known.clone() };
    let mut answers = Vec::new();
    for person in [&twin, &stranger()] {
        let console = Console::new(system)?;
        let sent = sign_up(&console, person).await?;
        let page = console.visit("/signup/sent").await?.ok()?;
        answers.push((sent.status, sent.location(), page.text().replace(&person.email, "ADDRESS")));
    }
    assert_eq!(answers[0], answers[1]);
    Console::new(system)?.login(&known).await.context("the old password still holds")?;
    let refused = Console::new(system)?.try_login(&twin.email, &twin.password).await?;
    assert_ne!(refused.status, StatusCode::SEE_OTHER, "signing up again must not change the password");
    Ok(())
}

#[tokio::test]
async fn a_used_link_says_so_and_logs_nobody_in() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    sign_up(&console, &person).await?.ok()?;
    let path = link(system, &console, &person).await?;
    console.submit(&path, "/verify", &[]).await?.ok()?;

    dead_link(system, &path, &person).await
}

#[tokio::test]
async fn an_expired_link_says_so_and_logs_nobody_in() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    sign_up(&console, &person).await?.ok()?;
    let path = link(system, &console, &person).await?;
    let past = format!(
        "UPDATE email_tokens SET expires_at = now() - interval '1 minute', created_at = now() - interval '2 days' \
         WHERE user_id = (SELECT id FROM users WHERE email = '{}')",
        person.email
    );
    ensure!(system.sql(&past).await? > 0, "no token to let expire");

    dead_link(system, &path, &person).await?;
    let refused = Console::new(system)?.try_login(&person.email, &person.password).await?;
    assert_ne!(refused.location().map(|to| to.path().to_owned()), Some("/workspaces".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_invented_link_is_refused() -> TestResult {
    let system = System::shared().await?;
    for token in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%00%ff", "../../etc/passwd"] {
        dead_link(system, &format!("/verify?token={token}"), &stranger())
            .await
            .with_context(|| token.to_owned())?;
    }
    Ok(())
}

/// The link shows a readable refusal, at once or when its button is pressed, and logs nobody in.
async fn dead_link(system: &System, path: &str, person: &Person) -> TestResult {
    let console = Console::new(system)?;
    let mut page = console.visit(path).await?;
    if page.form("/verify").is_ok() {
        page = console.submit(path, "/verify", &[("password", &person.password)]).await?;
    }
    ensure!(page.status.is_client_error(), "{path} answered {}: {}", page.status, page.text());
    let text = page.text().to_lowercase();
    ensure!(["link", "expired", "used", "no longer"].iter().any(|word| text.contains(word)), "{text}");
    ensure!(!is_logged_in(&console).await?, "it logged in");
    Ok(())
}

#[tokio::test]
async fn in_another_browser_the_link_wants_the_password() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    sign_up(&console, &person).await?.ok()?;
    let path = link(system, &console, &person).await?;

    let other = Console::new(system)?;
    other.submit(&path, "/verify", &[("password", "not the password at all")]).await?;
    assert!(!is_logged_in(&other).await?);
    let done = other.submit(&path, "/verify", &[("password", &person.password)]).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert!(is_logged_in(&other).await?);
    Ok(())
}

#[tokio::test]
async fn a_weak_or_common_password_is_refused_and_what_was_typed_stays() -> TestResult {
    let system = System::shared().await?;
    for password in ["short", "password1234", "qwertyuiop123", "111111111111"] {
        let person = Person { password: password.to_owned(), ..stranger() };
        let page = sign_up(&Console::new(system)?, &person).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{password:?} got {}", page.status);
        ensure!(page.text().to_lowercase().contains("password"), "{}", page.text());
        let form = page.form("/signup")?;
        ensure!(
            form.fields.iter().any(|(name, value)| name == "email" && *value == person.email),
            "lost the address"
        );
        ensure!(!page.body.contains(&format!("value=\"{password}\"")), "the password is in the page");
        ensure!(system.mails_to(&person.email).await?.is_empty(), "a mail went out");
    }
    Ok(())
}

#[tokio::test]
async fn the_own_name_or_address_is_no_password() -> TestResult {
    let system = System::shared().await?;
    for password in ["Ada Example Ada", "ADDRESS", "ADDRESS1"] {
        let person = stranger();
        let person = Person { password: password.replace("ADDRESS", &person.email), ..person };
        let page = sign_up(&Console::new(system)?, &person).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{password:?} got {}", page.status);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() -> TestResult {
    let system = System::shared().await?;
    let known = system.person().await?;
    let mut answers = Vec::new();
    for email in [&known.email, &stranger().email] {
        let page = Console::new(system)?.try_login(email, "not the password at all").await?;
        answers.push((page.status, page.text().replace(email.as_str(), "ADDRESS")));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].0.is_client_error());
    Ok(())
}

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() -> TestResult {
    let system = System::shared().await?;
    let person = stranger();
    let pairs = [("name", "Eve"), ("email", &person.email), ("password", &person.password)];
    let fields: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let page = Console::new(system)?.post("/signup", &fields).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text());
    let refused = Console::new(system)?.try_login(&person.email, &person.password).await?;
    assert_ne!(refused.status, StatusCode::SEE_OTHER);
    assert!(system.mails_to(&person.email).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn after_logging_out_the_old_cookie_opens_nothing() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    assert!(is_logged_in(&console).await?);
    let before = console.cookies();
    console.submit("/workspaces", "/logout", &[]).await?.ok()?;
    assert!(!is_logged_in(&console).await?);
    console.set_cookies(before);
    assert!(!is_logged_in(&console).await?, "the session lives on in a copied cookie");
    Ok(())
}

/// The code of eight digits in the mail to someone who signed up.
async fn code(system: &System, person: &Person, mails: usize) -> Result<String> {
    let mail = system.mail_after(&person.email, mails).await?;
    let digits = |line: &str| line.chars().filter(|c| *c != ' ').collect::<String>();
    let is_code = |line: &&str| digits(line).len() == 8 && digits(line).bytes().all(|b| b.is_ascii_digit());
    let found = mail.text.lines().map(str::trim).find(is_code);
    Ok(found.context("no code in the mail")?.to_owned())
}

#[tokio::test]
async fn the_code_of_the_mail_confirms_in_the_browser_that_signed_up() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    sign_up(&console, &person).await?.ok()?;
    let code = code(system, &person, 0).await?;
    let elsewhere = Console::new(system)?;
    let sent = elsewhere.submit("/login", "/signup/code", &[("code", &code)]).await?;
    assert_eq!(sent.location().map(|to| to.path().to_owned()), Some("/signup".into()), "no sign-up here");

    let wrong = console.submit("/signup/sent", "/signup/code", &[("code", "1234 567")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text());
    let done = console.submit("/signup/sent", "/signup/code", &[("code", &code)]).await?;
    assert_eq!(done.location().context("no location")?.path(), "/workspaces/new");
    assert!(is_logged_in(&console).await?);
    let again = console.submit("/workspaces", "/signup/code", &[("code", &code)]).await?;
    assert_ne!(again.location().map(|to| to.path().to_owned()), Some("/workspaces/new".into()));
    Ok(())
}

#[tokio::test]
async fn a_code_can_be_tried_five_times() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    sign_up(&console, &person).await?.ok()?;
    let code = code(system, &person, 0).await?;
    for _ in 0..5 {
        console.submit("/signup/sent", "/signup/code", &[("code", "00000000")]).await?;
    }
    let late = console.submit("/signup/sent", "/signup/code", &[("code", &code)]).await?;
    assert!(late.status.is_client_error(), "the sixth try counted");
    assert!(!is_logged_in(&console).await?);
    Ok(())
}

#[tokio::test]
async fn whether_an_address_is_known_does_not_show_in_the_tries_of_its_code() -> TestResult {
    let system = System::shared().await?;
    let known = system.person().await?;
    let mut answers = Vec::new();
    for person in [&Person { password: format!("another phrase {}", unique()), ..known }, &stranger()] {
        let console = Console::new(system)?;
        sign_up(&console, person).await?.ok()?;
        let mut seen = Vec::new();
        for _ in 0..7 {
            let page = console.submit("/signup/sent", "/signup/code", &[("code", "00000000")]).await?;
            seen.push((page.status, page.text().replace(&person.email, "ADDRESS")));
        }
        answers.push(seen);
    }
    assert_eq!(answers[0], answers[1]);
    Ok(())
}

#[tokio::test]
async fn the_mail_can_be_sent_again_after_a_while_and_only_its_code_counts() -> TestResult {
    let system = System::shared().await?;
    let (console, person) = (Console::new(system)?, stranger());
    sign_up(&console, &person).await?.ok()?;
    let first = code(system, &person, 0).await?;
    console.submit("/signup/sent", "/signup/resend", &[]).await?.ok()?;
    let page = console.visit("/signup/sent").await?;
    ensure!(page.text().contains("can be sent again in"), "{}", page.text());
    ensure!(system.mails_to(&person.email).await?.len() == 1, "a second mail at once");
    let earlier = "UPDATE sessions SET data = jsonb_set(data, '{sent_at}', '0') WHERE data->>'sent_to' = ";
    ensure!(system.sql(&format!("{earlier}'{}'", person.email)).await? == 1);

    console.submit("/signup/sent", "/signup/resend", &[]).await?.ok()?;
    let second = code(system, &person, 1).await?;
    let refused = console.submit("/signup/sent", "/signup/code", &[("code", &first)]).await?;
    assert!(refused.status.is_client_error(), "the older code still counts");
    console.submit("/signup/sent", "/signup/code", &[("code", &second)]).await?.ok()?;
    assert!(is_logged_in(&console).await?);
    Ok(())
}
