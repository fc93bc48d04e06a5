//! Who belongs to a workspace and what each may do there: roles, invitations, suspension, removal, groups.

use anyhow::ensure;
use http::StatusCode;
use toolmesh_tests::{System, TestResult};

/// The pages that not everybody has any use for, and the words in the navigation that lead to them.
const PAGES: [(&str, &str); 5] = [
    ("/connectors", "Connectors"),
    ("/catalog", "Catalog"),
    ("/members", "Members"),
    ("/audit", "Audit"),
    ("/settings", "Settings"),
];

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
