//! The catalog's connector for Outlook against the Microsoft of the npm package `emulate`: it has accounts, consent and who
//! somebody is, and nothing of mail, calendars or contacts. Their requests are held against Microsoft's documentation in
//! `catalog_requests`.

use anyhow::ensure;
use serde_json::json;
use toolmesh_tests::emulate::{Emulate, Service, choose};
use toolmesh_tests::oauth::{parameter, redirected};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{System, TestResult, eventually};

use crate::catalog_google::{document, enable};

const CLIENT: &str = "0b4c1c9e-client";
const SECRET: &str = "microsoft-secret-0001";
const ADA: &str = "ada@contoso.example";

#[tokio::test]
async fn outlook_is_connected_by_consent_at_microsoft_and_acts_as_whoever_gave_it() -> TestResult {
    let system = System::shared().await?;
    // Who shows a token that nobody knows is taken for the first of these.
    let seed = json!({"tokens": {}, "microsoft": {
        "users": [{"email": "zoe@contoso.example", "name": "Zoe Other"}, {"email": ADA, "name": "Ada Example"}],
        "oauth_clients": [{
            "client_id": CLIENT, "client_secret": SECRET, "name": "ToolMesh",
            "redirect_uris": [system.console_url("/connections/callback")],
        }],
    }});
    let microsoft = Emulate::start_with(Service::Microsoft, Some(&seed), None).await?;
    let here = |path: &str| format!("{}{path}", microsoft.url);
    let addresses = [
        ("base_url", "https://graph.microsoft.com/v1.0", here("/v1.0")),
        ("authorize_url", "https://login.microsoftonline.com/common/oauth2", here("/oauth2")),
        ("token_url", "https://login.microsoftonline.com/common/oauth2", here("/oauth2")),
    ];
    let workspace = system.workspace().await?;
    let admin = system.join(&workspace, &system.person().await?, "admin").await?;
    let client = [("credential.microsoft_client_id", CLIENT), ("credential.microsoft_client_secret", SECRET)];
    let page = enable(&admin, &workspace, &document("outlook", &addresses)?, &client).await?;
    system.offered_everywhere(&workspace, "outlook_get_me").await?;

    let asked = redirected(&admin.submit(&page, &format!("{page}/connect"), &[]).await?.ok()?)?;
    let scopes = parameter(&asked, "scope").unwrap_or_default();
    ensure!(scopes.starts_with("offline_access User.Read Mail.ReadWrite"), "{scopes}");
    let back = choose(&asked, ADA).await?;
    let shown = admin.visit(&admin.path_of(&back)?).await?.ok()?.text();
    ensure!(shown.contains(ADA), "{shown}");
    let mcp = system.mcp(&workspace, &workspace.key);
    let me = eventually("the account is used", SOON, || async {
        let answer = mcp.call("outlook_get_me", json!({})).await?;
        Ok(if answer.refusal()?.is_none() { Some(answer.result_json()?) } else { None })
    })
    .await?;
    ensure!(me["displayName"] == "Ada Example" && me["mail"] == ADA, "{me}");
    Ok(())
}
