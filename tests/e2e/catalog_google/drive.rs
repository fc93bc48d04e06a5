//! Google Drive. `emulate` lists, reads, makes, renames and moves files. It has no account, export, copies, rights, comments or
//! shared drives, looks for no words, and a change leaves out whether a file is in the trash. The requests
//! of what is on to begin with are held against Google's documentation in `catalog_requests`.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toolmesh_tests::TestResult;

use super::{ADA, Scene, all};

const TEXT: &str = "Preis: 42 €\nGültig bis Montag 🙂\n";
const FOLDER: &str = "application/vnd.google-apps.folder";

async fn drive() -> Result<Scene> {
    let data = json!({"drive_items": [
        {"id": "offers", "user_email": ADA, "name": "Angebote", "mime_type": FOLDER},
        {"id": "prices", "user_email": ADA, "name": "preise.txt", "mime_type": "text/plain", "parent_ids": ["offers"], "data": TEXT},
        {"id": "zoes", "user_email": "zoe@example.com", "name": "Not for Ada", "mime_type": "text/plain", "data": "secret"},
    ]});
    Scene::connected("google-drive", data, ("search_files", json!({}))).await
}

#[tokio::test]
async fn google_drive_finds_reads_makes_and_moves_files_of_the_connected_account() -> TestResult {
    let scene = drive().await?;
    let inside =
        |folder: &str| json!({"q": format!("'{folder}' in parents and trashed = false"), "orderBy": "name"});
    let found = scene.call("search_files", inside("offers")).await?;
    ensure!(all(&found["files"], "id") == ["prices"], "{found}");
    let folders = json!({"q": format!("mimeType = '{FOLDER}'"), "pageSize": 1});
    let folders = scene.call("search_files", folders).await?;
    ensure!(all(&folders["files"], "name") == ["Angebote"], "{folders}");
    let file = scene.call("get_file", json!({"fileId": "prices"})).await?;
    let size = TEXT.len().to_string();
    ensure!(file["name"] == "preise.txt" && file["size"] == size.as_str(), "{file}");
    let text = scene.run("read_text_file", json!({"fileId": "prices"})).await?;
    ensure!(text == TEXT, "{text:?}");

    let made = scene.call("create_folder", json!({"name": "Köln & mehr", "parents": ["offers"]})).await?;
    let folder = made["id"].as_str().with_context(|| format!("no ID: {made}"))?;
    let held = scene.ask(&format!("/drive/v3/files/{folder}")).await?;
    ensure!(held["mimeType"] == FOLDER && held["name"] == "Köln & mehr", "{held}");
    let letter = json!({"name": "Brief", "parents": [folder]});
    let letter = scene.call("create_document", letter).await?;
    let letter = letter["id"].as_str().with_context(|| format!("no ID: {letter}"))?;
    let held = scene.ask(&format!("/drive/v3/files/{letter}")).await?;
    ensure!(held["mimeType"] == "application/vnd.google-apps.document", "{held}");

    let change = json!({"fileId": "prices", "name": "preise-2027.txt", "addParents": folder, "removeParents": "offers"});
    scene.call("update_file", change).await?;
    let held = scene.ask("/drive/v3/files/prices").await?;
    ensure!(held["name"] == "preise-2027.txt" && held["parents"] == json!([folder]), "{held}");
    let found = scene.call("search_files", inside(folder)).await?;
    ensure!(all(&found["files"], "name") == ["Brief", "preise-2027.txt"], "{found}");

    for lost in ["nowhere", "zoes"] {
        for tool in ["get_file", "read_text_file"] {
            let refusal = scene.refused(tool, json!({"fileId": lost})).await?;
            ensure!(refusal.contains("404") && refusal.contains("entity was not found"), "{refusal}");
        }
    }
    let everything = scene.call("search_files", json!({"pageSize": 100})).await?;
    ensure!(!all(&everything["files"], "id").contains(&"zoes"), "{everything}");
    Ok(())
}

#[tokio::test]
async fn a_long_list_of_google_drive_is_read_page_by_page() -> TestResult {
    let scene = drive().await?;
    let mut names = Vec::new();
    let mut wanted = json!({"pageSize": 1, "orderBy": "name"});
    for _ in 0..2 {
        let page = scene.call("search_files", wanted.clone()).await?;
        names.extend(all(&page["files"], "name").into_iter().map(str::to_owned));
        wanted["pageToken"] = page["nextPageToken"].clone();
        if wanted["pageToken"].is_null() {
            break;
        }
    }
    ensure!(names == ["Angebote", "preise.txt"] && wanted["pageToken"].is_null(), "{names:?} {wanted}");
    Ok(())
}
