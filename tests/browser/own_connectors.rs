//! The catalog, and connectors of a workspace's own: the pages that bring an API in, from a document to an update.

use toolmesh_tests::browser::Browser;
use toolmesh_tests::{System, TestResult};

use crate::screens::log_in;

fn source(tools: &str) -> String {
    format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nsource_name: Warehouse\nbackend:\n  name: warehouse\n  type: rest\n  \
         base_url: https://warehouse.example.com/v1\n  description: What is in stock, and where.\n  auth: {{type: bearer, credential: api_token}}\n  \
         tools:\n{tools}"
    )
}

const LIST: &str = "    list_items: {method: GET, path: /items, access: read, description: \"Lists items, newest first.\"}\n";

fn document() -> String {
    let operation = |number: usize| {
        let (method, tag) = [("get", "items"), ("post", "orders"), ("delete", "orders")][number % 3];
        format!(
            r#""/{tag}/{number}": {{"{method}": {{"operationId": "{method}Thing{number}", "summary": "Does what number {number} does, and says so in a sentence", "tags": ["{tag}"], "deprecated": {}}}}}"#,
            number == 2
        )
    };
    let paths: Vec<String> = (0..70).map(operation).collect();
    format!(
        r#"{{"openapi": "3.1.0", "info": {{"title": "Warehouse Orders API", "version": "1.0", "contact": {{"name": "Warehouse support", "email": "api@warehouse.example.com"}}, "termsOfService": "https://warehouse.example.com/terms"}}, "servers": [{{"url": "https://warehouse.example.com"}}],
        "externalDocs": {{"url": "https://docs.warehouse.example.com/"}},
        "components": {{"securitySchemes": {{
            "warehouseKey": {{"type": "apiKey", "in": "header", "name": "X-Warehouse-Key", "description": "Made under Settings, API keys; it begins with wh_."}},
            "site": {{"type": "apiKey", "in": "cookie", "name": "site", "description": "The short name of your site, such as north-2."}}}}}},
        "security": [{{"warehouseKey": [], "site": []}}],
        "paths": {{"/session": {{"get": {{"parameters": [{{"name": "s;d", "in": "cookie", "required": true}}]}}}}, {}}}}}"#,
        paths.join(", ")
    )
}

#[tokio::test]
async fn the_catalog_says_what_a_connector_can_do_before_it_is_enabled() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    browser.go(&page("/catalog")).await?;
    browser.read("GitHub").await?;
    browser.inspect("80-catalog").await?;
    browser.click("Development").await?;
    browser.at("category=Development").await?;
    browser.go(&page("/catalog/github")).await?;
    browser.read("What you will need").await?;
    browser.inspect("81-catalog-github").await?;
    browser.close().await
}

#[tokio::test]
async fn a_connector_is_brought_in_written_and_updated_in_the_browser() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    browser.go(&page("/own")).await?;
    browser.read("No connector of your own").await?;
    browser.inspect("82-own-empty").await?;
    browser.go(&page("/own/new")).await?;
    browser.inspect("83-own-new").await?;

    // The editor says where a mistake is, and leads there.
    browser.go(&page("/own/editor")).await?;
    browser
        .paste(
            "source",
            &source(
                "    list_items: {method: FETCH, path: /items, access: read, descripton: Lists items.}\n",
            ),
        )
        .await?;
    browser.click("Check").await?;
    browser.read("is not a method").await?;
    browser.inspect("84-editor-with-errors").await?;
    browser.press("[data-line='10']").await?;
    browser.paste("source", &source(LIST)).await?;
    browser.click("Save").await?;
    browser.at("/own/0").await?;
    browser.read("It compiles").await?;
    browser.inspect("85-own-connector").await?;

    browser.press("a[href$='/enable']").await?;
    browser.fill("credential.api_token", "a-token-of-the-warehouse").await?;
    browser.submit("/enable").await?;
    browser.read("is enabled").await?;
    browser.press("a[href*='/own/']").await?;
    browser.press("a[href$='/edit']").await?;
    let more =
        "    drop_items: {method: DELETE, path: /items, access: dangerous, description: Drops them all.}\n";
    browser.paste("source", &source(&format!("{}{more}", LIST.replace("newest", "oldest")))).await?;
    browser.click("Save").await?;
    browser.read("Update available").await?;
    browser.press("a[href$='/versions/2']").await?;
    browser.read("What changed since version 1").await?;
    browser.inspect("86-own-version").await?;
    browser.go(&page("/own")).await?;
    browser.inspect("87-own-list").await?;
    browser.press(".row-link").await?;
    browser.press("a[href$='/update']").await?;
    browser.read("Arrives off").await?;
    browser.inspect("88-update").await?;
    browser.submit("/update").await?;
    browser.read("is updated").await?;

    // A document, its operations, and what was written.
    browser.go(&page("/own/new")).await?;
    browser.press("summary").await?;
    browser.paste("document", &document()).await?;
    browser.submit("/own/openapi").await?;
    browser.read("Pick operations").await?;
    browser.inspect("89-import").await?;
    browser.press("button[name='do'][value='all']").await?;
    browser.read("70 of 71 picked").await?;
    browser.press("button[name='do'][value='create']").await?;
    browser.at("/own/0").await?;
    browser.inspect("90-own-imported").await?;

    // What a document says of its credentials is there when they are entered and when they are replaced.
    browser.press("a[href$='/enable']").await?;
    browser.read("Made under Settings, API keys").await?;
    browser.inspect("91-own-enable").await?;
    browser.fill("credential.warehouse_key", "wh_key-of-the-warehouse").await?;
    browser.fill("credential.site", "north-2").await?;
    browser.submit("/enable").await?;
    browser.read("is enabled").await?;
    browser.press(".panel summary.btn").await?;
    browser.read("Made under Settings, API keys").await?;
    browser.read("Sent as X-Warehouse-Key: …").await?;
    browser.inspect("92-own-installation").await?;
    browser.close().await
}
