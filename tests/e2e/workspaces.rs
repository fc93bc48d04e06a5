//! Making a workspace: which addresses are possible, and what the live check says of them.

use anyhow::ensure;
use http::StatusCode;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{System, TestResult};

#[tokio::test]
async fn a_workspace_is_made_and_its_owner_sees_its_address() -> TestResult {
    let system = System::shared().await?;
    let console = system.console(&system.person().await?).await?;
    let slug = format!("w{}", unique());
    let made =
        console.submit("/workspaces/new", "/workspaces/new", &[("name", "Acme"), ("slug", &slug)]).await?;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text());
    assert_eq!(made.location().map(|to| to.path().to_owned()), Some(format!("/w/{slug}")));
    let page = console.visit(&format!("/w/{slug}")).await?.ok()?;
    assert!(
        page.body.contains(&format!("{}/mcp", system.tenant(&slug))),
        "the endpoint's address is not on the page"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_or_reserved_slug_is_refused_and_what_was_typed_stays() -> TestResult {
    let system = System::shared().await?;
    let console = system.console(&system.person().await?).await?;
    for slug in [
        "a",
        "Acme",
        "acme_inc",
        "-acme",
        "acme-",
        "ac--me",
        "1acme",
        "admin",
        "mcp",
        "login",
        &"a".repeat(31),
    ] {
        let fields = [("name", "Acme & Söhne"), ("slug", slug)];
        let page = console.submit("/workspaces/new", "/workspaces/new", &fields).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{slug:?} got {}", page.status);
        let form = page.form("/workspaces/new")?;
        ensure!(
            form.fields.iter().any(|(name, value)| name == "name" && value == "Acme & Söhne"),
            "lost the name"
        );
        let check = console.get(&format!("/workspaces/check-slug?slug={slug}")).await?;
        ensure!(!check.text().contains("Available"), "{slug:?}: {}", check.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_taken_slug_is_refused_by_check_form_and_command_line() -> TestResult {
    let system = System::shared().await?;
    let taken = system.workspace().await?.slug;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let free = console.get(&format!("/workspaces/check-slug?slug=w{}", unique())).await?.ok()?;
    let check = console.get(&format!("/workspaces/check-slug?slug={taken}")).await?;
    assert!(check.text().to_lowercase().contains("taken"), "{}", check.text());
    assert!(free.text().contains("Available"), "{}", free.text());

    let page =
        console.submit("/workspaces/new", "/workspaces/new", &[("name", "Mine"), ("slug", &taken)]).await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text().to_lowercase().contains("taken"), "{}", page.text());
    assert_eq!(console.get(&format!("/w/{taken}")).await?.status, StatusCode::NOT_FOUND);

    let args = ["create-workspace", "--slug", &taken, "--name", "Mine", "--owner", &person.email];
    let ran = system.run_admin(&args).await?;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.to_lowercase().contains("taken"), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn two_people_who_want_one_slug_at_once_get_one_workspace() -> TestResult {
    let system = System::shared().await?;
    let (a, b) = (system.person().await?, system.person().await?);
    let (a, b) = (system.console(&a).await?, system.console(&b).await?);
    let slug = format!("w{}", unique());
    let fields = [("name", "Race"), ("slug", slug.as_str())];
    let (first, second) = tokio::join!(
        a.submit("/workspaces/new", "/workspaces/new", &fields),
        b.submit("/workspaces/new", "/workspaces/new", &fields)
    );
    let mut got = [first?.status, second?.status];
    got.sort();
    assert_eq!(got, [StatusCode::SEE_OTHER, StatusCode::UNPROCESSABLE_ENTITY]);
    Ok(())
}

#[tokio::test]
async fn someone_who_is_not_logged_in_is_sent_to_log_in_and_comes_back() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = toolmesh_tests::Console::new(system)?;
    let path = format!("/w/{}/catalog", workspace.slug);
    let login = console.visit(&path).await?.ok()?;
    assert_eq!(login.url.path(), "/login");
    let owner = &workspace.owner;
    let at = login.url.as_str().to_owned();
    let back =
        console.submit(&at, "/login", &[("email", &owner.email), ("password", &owner.password)]).await?;
    assert_eq!(back.location().map(|to| to.path().to_owned()), Some(path));
    Ok(())
}

#[tokio::test]
async fn after_a_login_nobody_is_sent_to_a_foreign_site() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    for next in ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"] {
        let console = toolmesh_tests::Console::new(system)?;
        let fields =
            [("email", person.email.as_str()), ("password", person.password.as_str()), ("next", next)];
        let page = console.submit("/login", "/login", &fields).await?;
        let to = page.location();
        ensure!(to.as_ref().is_none_or(|to| to.host_str() == Some("localhost")), "{next:?} leads to {to:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_owns_more_than_twenty_workspaces_however_many_they_make_at_once() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let make = async || -> anyhow::Result<StatusCode> {
        let slug = format!("w{}", unique());
        let fields = [("name", "One of many"), ("slug", slug.as_str())];
        Ok(console.submit("/workspaces/new", "/workspaces/new", &fields).await?.status)
    };
    for _ in 0..17 {
        assert_eq!(make().await?, StatusCode::SEE_OTHER);
    }
    let made = futures_util::future::try_join_all((0..8).map(|_| make())).await?;
    let count = |status| made.iter().filter(|made| **made == status).count();
    assert_eq!(count(StatusCode::SEE_OTHER), 3, "{made:?}");
    assert_eq!(count(StatusCode::UNPROCESSABLE_ENTITY), 5, "{made:?}");
    Ok(())
}
