//! What becomes of a connection when its tokens end.

use anyhow::ensure;
use serde_json::json;
use toolmesh_tests::TestResult;

use super::Scene;

#[tokio::test]
async fn a_connection_to_google_outlives_its_access_token_and_says_when_it_was_taken_back() -> TestResult {
    let probe = ("list_labels", json!({}));
    let scene = Scene::connected("gmail", json!({}), probe.clone()).await?;
    let kinds = || -> Vec<String> {
        let forms = scene.google.exchanges();
        forms.iter().map(|form| form.get("grant_type").cloned().unwrap_or_default()).collect()
    };
    ensure!(kinds() == ["authorization_code"], "{:?}", kinds());

    // An hour passes: the next call gets another token, and its caller sees nothing of it.
    scene.google.end_access();
    scene.call(probe.0, probe.1.clone()).await?;
    ensure!(kinds() == ["authorization_code", "refresh_token"], "{:?}", kinds());
    scene.works(probe.0, probe.1.clone()).await?;
    ensure!(kinds().len() == 2, "one token is for all nodes: {:?}", kinds());

    // Ada takes the access back at Google.
    scene.google.end_access();
    scene.google.end_refresh().await?;
    let refusal = scene.refused(probe.0, probe.1.clone()).await?;
    ensure!(refusal.contains("invalid_grant") && refusal.contains("connected again"), "{refusal}");
    let page = scene.admin.visit(&scene.page).await?.ok()?.text();
    ensure!(page.contains("Reconnect it"), "{page}");
    scene.connect().await?;
    scene.works(probe.0, probe.1).await
}
