//! Connectors of a workspace's own: written, uploaded, imported from OpenAPI, versioned, and installations brought to a newer
//! version.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::console::Console;
use toolmesh_tests::{Mcp, Page, System, TestResult, Upstream, Workspace};

struct Own {
    system: &'static System,
    workspace: Workspace,
    console: Console,
    upstream: Upstream,
}

impl Own {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let console = system.console(&workspace.owner).await?;
        Ok(Self { system, workspace, console, upstream: Upstream::start().await? })
    }

    fn path(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.workspace.slug)
    }

    fn mcp(&self) -> Mcp {
        self.system.mcp(&self.workspace, &self.workspace.key)
    }

    /// A connector for the tests' API, with these tools below `tools:`.
    fn dadl(&self, tools: &str) -> String {
        format!(
            "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nsource_name: Shop\nbackend:\n  name: shop\n  type: rest\n  \
             base_url: {}/echo\n  description: A shop.\n  auth: {{type: bearer, credential: token}}\n  tools:\n{tools}",
            self.upstream.url()
        )
    }

    /// Sends the editor's form.
    async fn save(&self, editor: &str, source: &str, what: &str) -> Result<Page> {
        let editor = self.path(editor);
        self.console.submit(&editor, &editor, &[("source", source), ("do", what)]).await
    }

    /// Saves a connector and answers the path of its page.
    async fn create(&self, source: &str) -> Result<String> {
        let page = self.save("/own/editor", source, "save").await?.ok()?;
        Ok(page.location().with_context(|| format!("not saved: {}", page.text()))?.path().to_owned())
    }

    /// Enables a connector by its page and answers the path of the installation.
    async fn enable(&self, connector: &str, fields: &[(&str, &str)]) -> Result<String> {
        let form = format!("{connector}/enable");
        let page = self.console.submit(&form, &form, fields).await?.ok()?;
        Ok(page.location().with_context(|| format!("not enabled: {}", page.text()))?.path().to_owned())
    }

    async fn text(&self, path: &str) -> Result<String> {
        Ok(self.console.visit(path).await?.ok()?.text())
    }
}

const LIST: &str = "    list: {method: GET, path: /items, access: read, description: Lists items., params: {q: {type: string, in: query}}}\n";
const MAKE: &str = "    make: {method: POST, path: /items, access: write, description: Makes one., params: {name: {type: string, in: body}}}\n";

#[tokio::test]
async fn a_connector_is_written_enabled_and_called() -> TestResult {
    let own = Own::new().await?;
    let connector = own.create(&own.dadl(LIST)).await?;
    let page = own.text(&connector).await?;
    ensure!(page.contains("Version 1") && page.contains("Lists items."), "{page}");
    own.enable(&connector, &[("credential.token", "s3cret-of-the-shop")]).await?;
    own.system.offered_everywhere(&own.workspace, "shop_list").await?;
    own.mcp().call("shop_list", json!({"q": "tea"})).await?.text()?;
    let seen = own.upstream.only()?;
    ensure!(seen.path == "/echo/items" && seen.query == "q=tea", "{seen:?}");
    ensure!(seen.header("authorization") == "Bearer s3cret-of-the-shop", "{seen:?}");
    let list = own.text(&own.path("/own")).await?;
    ensure!(list.contains("Shop") && list.contains("once"), "{list}");
    Ok(())
}

#[tokio::test]
async fn what_does_not_compile_is_not_saved_and_nothing_typed_is_lost() -> TestResult {
    let own = Own::new().await?;
    let broken = own.dadl("    list: {method: FETCH, path: /items, access: read, description: Lists.}\n");
    for what in ["check", "save"] {
        let page = own.save("/own/editor", &broken, what).await?;
        ensure!((page.status == StatusCode::OK) == (what == "check"), "{what}: {}", page.status);
        let text = page.text();
        ensure!(text.contains("Line 10, column") && text.contains("is not a method"), "{text}");
        ensure!(page.body.contains("method: FETCH") && page.body.contains("#L10"), "{}", page.body);
    }
    let list = own.text(&own.path("/own")).await?;
    ensure!(list.contains("No connector of your own"), "{list}");
    Ok(())
}

#[tokio::test]
async fn two_connectors_of_one_name_are_refused_and_a_version_keeps_its_name() -> TestResult {
    let own = Own::new().await?;
    let connector = own.create(&own.dadl(LIST)).await?;
    let twice = own.save("/own/editor", &own.dadl(MAKE), "save").await?;
    ensure!(twice.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", twice.status);
    ensure!(twice.text().contains("named shop already"), "{}", twice.text());
    let rest = connector.strip_prefix(&own.path("")).context("a path elsewhere")?;
    let renamed = own.dadl(LIST).replace("name: shop", "name: bazaar");
    let refused = own.save(&format!("{rest}/edit"), &renamed, "save").await?;
    ensure!(refused.text().contains("keeps its connector's name"), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn an_installation_is_updated_with_the_changes_in_sight_and_keeps_what_was_set() -> TestResult {
    let own = Own::new().await?;
    let old = own.dadl(&format!(
        "{LIST}    gone: {{method: GET, path: /gone, access: read, description: Goes.}}\n{MAKE}"
    ));
    let connector = own.create(&old).await?;
    let installation =
        own.enable(&connector, &[("name", "shop2"), ("credential.token", "s3cret-of-the-shop")]).await?;
    let tools = format!("{installation}/tools");
    own.console.submit(&installation, &tools, &[("tool", "make"), ("enabled", "false")]).await?.ok()?;

    let drop_it = "    drop: {method: DELETE, path: /items, access: dangerous, description: Drops all.}\n";
    let look = "    look: {method: GET, path: /look, access: read, description: Looks.}\n";
    let list = LIST.replace("Lists items.", "Lists all items.");
    let rest = connector.strip_prefix(&own.path("")).context("a path elsewhere")?;
    let saved =
        own.save(&format!("{rest}/edit"), &own.dadl(&format!("{list}{MAKE}{drop_it}{look}")), "save").await?;
    saved.ok()?;
    let versions = own.text(&connector).await?;
    ensure!(versions.contains("Version 2") && versions.contains("Update available"), "{versions}");
    let compared = own.text(&format!("{connector}/versions/2")).await?;
    for words in ["since version 1", "Lists all items.", "drop", "gone"] {
        ensure!(compared.contains(words), "{words}: {compared}");
    }
    // Nothing has changed for members yet.
    own.system.offered_everywhere(&own.workspace, "shop2_gone").await?;

    let update = format!("{installation}/update");
    let page = own.text(&update).await?;
    for words in ["New", "Changed", "Removed", "Arrives off", "Lists all items."] {
        ensure!(page.contains(words), "{words}: {page}");
    }
    own.console.submit(&update, &update, &[]).await?.ok()?;
    own.system.offered_everywhere(&own.workspace, "shop2_look").await?;
    let names = own.mcp().names().await?;
    let shop: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("shop2_")).collect();
    // `make` stays off as it was set; `drop` is new and does more than read; `gone` is gone.
    ensure!(shop == ["list", "look"], "{shop:?}");
    own.mcp().call("shop2_list", json!({})).await?.text()?;
    ensure!(
        own.upstream.only()?.header("authorization") == "Bearer s3cret-of-the-shop",
        "the credential is lost"
    );
    let again = own.text(&update).await?;
    ensure!(again.contains("Nothing newer"), "{again}");
    Ok(())
}

#[tokio::test]
async fn what_was_set_of_tools_goes_along_with_an_update_that_renames_removes_and_adds_some() -> TestResult {
    let own = Own::new().await?;
    let gone = "    gone: {method: GET, path: /gone, access: read, description: Goes.}\n";
    let connector = own.create(&own.dadl(&format!("{LIST}{gone}{MAKE}"))).await?;
    let installation =
        own.enable(&connector, &[("name", "shop"), ("credential.token", "s3cret-of-the-shop")]).await?;
    let said = format!("{installation}/override");
    for (tool, name, words) in [("list", "find", "Finds tea."), ("gone", "", "Goes with tea.")] {
        let fields = [("tool", tool), ("name", name), ("description", words)];
        own.console.submit(&format!("{said}?tool={tool}"), &said, &fields).await?.ok()?;
    }
    let exposure = [("exposure", "code")];
    own.console.submit(&installation, &format!("{installation}/exposure"), &exposure).await?.ok()?;
    for tool in ["list", "gone"] {
        let promoted = [("tool", tool), ("promoted", "true")];
        own.console.submit(&installation, &format!("{installation}/promote"), &promoted).await?.ok()?;
    }
    own.system.offered_everywhere(&own.workspace, "shop_find").await?;

    // `list` is called `items` now, `gone` is gone, and a new tool has the name that was given to `list`.
    let items = LIST.replace("list:", "items:");
    let find = "    find: {method: GET, path: /find, access: read, description: Finds anything.}\n";
    let rest = connector.strip_prefix(&own.path("")).context("a path elsewhere")?.to_owned();
    own.save(&format!("{rest}/edit"), &own.dadl(&format!("{items}{find}{MAKE}")), "save").await?.ok()?;
    let update = format!("{installation}/update");
    let page = own.text(&update).await?;
    ensure!(page.contains("It was called list and works as that did") && page.contains("Removed"), "{page}");
    let done = own.console.submit(&update, &update, &[]).await?.ok()?;
    let text = own.console.follow(done).await?.text();
    ensure!(text.contains("Its new tool find goes by find_2"), "{text}");
    own.system.offered_everywhere(&own.workspace, "shop_find").await?;
    let tools = own.mcp().tools().await?;
    let shop: Vec<_> =
        tools.iter().filter(|tool| tool["name"].as_str().is_some_and(|n| n.starts_with("shop_"))).collect();
    ensure!(
        shop.len() == 1 && shop[0]["description"] == "Finds tea.",
        "only what was put into the list: {shop:?}"
    );
    own.mcp().call("shop_find", json!({"q": "tea"})).await?.text()?;
    ensure!(own.upstream.only()?.path == "/echo/items", "another tool answers to the name");

    // What comes back is as it was set.
    let back = own.dadl(&format!("{items}{find}{gone}{MAKE}"));
    own.save(&format!("{rest}/edit"), &back, "save").await?.ok()?;
    own.console.submit(&update, &update, &[]).await?.ok()?;
    own.system.offered_everywhere(&own.workspace, "shop_gone").await?;
    let tools = own.mcp().tools().await?;
    let gone = tools.iter().find(|tool| tool["name"] == "shop_gone").context("it is not in the list")?;
    assert_eq!(gone["description"], "Goes with tea.");
    Ok(())
}

#[tokio::test]
async fn a_tool_that_comes_back_takes_no_name_by_which_clients_know_another_meanwhile() -> TestResult {
    let own = Own::new().await?;
    let gone = "    gone: {method: GET, path: /gone, access: read, description: Goes.}\n";
    let connector = own.create(&own.dadl(&format!("{LIST}{gone}"))).await?;
    let installation =
        own.enable(&connector, &[("name", "shop"), ("credential.token", "s3cret-of-the-shop")]).await?;
    let said = format!("{installation}/override");
    let fields = [("tool", "gone"), ("name", "find"), ("description", "")];
    own.console.submit(&format!("{said}?tool=gone"), &said, &fields).await?.ok()?;
    own.system.offered_everywhere(&own.workspace, "shop_find").await?;

    let rest = connector.strip_prefix(&own.path("")).context("a path elsewhere")?.to_owned();
    let update = format!("{installation}/update");
    let find = "    find: {method: GET, path: /find, access: read, description: Finds anything.}\n";
    for tools in [format!("{LIST}{find}"), format!("{LIST}{find}{gone}")] {
        own.save(&format!("{rest}/edit"), &own.dadl(&tools), "save").await?.ok()?;
        own.console.submit(&update, &update, &[]).await?.ok()?;
    }
    own.system.offered_everywhere(&own.workspace, "shop_gone").await?;
    own.mcp().call("shop_find", json!({})).await?.text()?;
    ensure!(own.upstream.only()?.path == "/echo/find", "another tool answers to the name");
    Ok(())
}

#[tokio::test]
async fn an_update_that_was_not_looked_at_is_not_made() -> TestResult {
    let own = Own::new().await?;
    let connector = own.create(&own.dadl(LIST)).await?;
    let installation = own.enable(&connector, &[("credential.token", "s3cret-of-the-shop")]).await?;
    let rest = connector.strip_prefix(&own.path("")).context("a path elsewhere")?;
    own.save(&format!("{rest}/edit"), &own.dadl(&format!("{LIST}{MAKE}")), "save").await?.ok()?;
    let update = format!("{installation}/update");
    let refused = own.console.submit(&update, &update, &[("hash", "of another version")]).await?;
    ensure!(refused.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.status);
    ensure!(refused.text().contains("Look at the changes again"), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn a_connector_that_an_installation_stands_on_is_not_deleted() -> TestResult {
    let own = Own::new().await?;
    let connector = own.create(&own.dadl(LIST)).await?;
    let installation = own.enable(&connector, &[("credential.token", "s3cret-of-the-shop")]).await?;
    let delete = format!("{connector}/delete");
    let refused = own.console.submit(&connector, &delete, &[("confirm", "shop")]).await?;
    ensure!(refused.text().contains("stands on this connector"), "{}", refused.text());
    let remove = format!("{installation}/remove");
    own.console.submit(&installation, &remove, &[("confirm", "shop")]).await?.ok()?;
    own.console.submit(&connector, &delete, &[("confirm", "shop")]).await?.ok()?;
    let gone = own.console.visit(&connector).await?;
    ensure!(gone.status == StatusCode::NOT_FOUND, "{}", gone.status);
    Ok(())
}

#[tokio::test]
async fn another_workspaces_connectors_are_not_found() -> TestResult {
    let (own, other) = (Own::new().await?, Own::new().await?);
    let connector = own.create(&own.dadl(LIST)).await?;
    let id = connector.rsplit('/').next().unwrap_or_default();
    for rest in ["", "/edit", "/enable", "/versions/1"] {
        let page = other.console.visit(&other.path(&format!("/own/{id}{rest}"))).await?;
        ensure!(page.status == StatusCode::NOT_FOUND, "{rest}: {}", page.status);
    }
    Ok(())
}

fn document(base: &str) -> Value {
    let pet = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}, "id": {"type": "integer", "readOnly": true}}});
    let mut paths = serde_json::Map::new();
    paths.insert("/pets/{pet-id}".to_owned(), json!({
        "parameters": [{"name": "pet-id", "in": "path", "required": true, "schema": {"type": "integer"}}],
        "get": {"operationId": "getPet", "summary": "One pet", "tags": ["pets"], "parameters": [
            {"name": "fields", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}}]},
        "put": {"operationId": "replacePet", "tags": ["pets"],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}},
        "delete": {"operationId": "deletePet", "tags": ["pets"]},
    }));
    for number in 0..60 {
        let operation = json!({"operationId": format!("readThing{number}"), "tags": ["things"], "summary": format!("Thing {number}")});
        paths.insert(format!("/things/{number}"), json!({ "get": operation }));
    }
    json!({
        "openapi": "3.1.0", "info": {"title": "Pet Store", "version": "1.0"}, "servers": [{"url": base}],
        "components": {"schemas": {"Pet": pet}, "securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
        "security": [{"k": []}], "paths": paths,
    })
}

impl Own {
    async fn import(&self, document: &str) -> Result<Page> {
        let page = self.path("/own/new");
        self.console.submit(&page, &self.path("/own/openapi"), &[("document", document)]).await
    }
}

#[tokio::test]
async fn an_openapi_document_becomes_tools_in_three_steps() -> TestResult {
    let own = Own::new().await?;
    let base = format!("{}/echo", own.upstream.url());
    let page = own.import(&document(&base).to_string()).await?.ok()?;
    let import = page.location().with_context(|| page.text())?.path().to_owned();

    let selection = own.console.visit(&format!("{import}?tag=pets")).await?.ok()?;
    let text = selection.text();
    ensure!(
        text.contains("0 of 63 picked") && text.contains("delete_pet") && !text.contains("Thing 1"),
        "{text}"
    );
    let everything = own.console.visit(&import).await?.ok()?;
    ensure!(everything.text().contains("Page 1 of 2"), "a long list is not cut into pages");

    // All of one group, one of them with another class; then one of them left out again.
    let pick = format!("{import}/pick");
    let all = [("tag", "pets"), ("do", "all")];
    own.console.submit(&format!("{import}?tag=pets"), &pick, &all).await?.ok()?;
    let page = own.console.visit(&format!("{import}?tag=pets")).await?.ok()?;
    let mut fields = page.form(&pick)?.fields;
    fields.retain(|(name, value)| !(name == "pick" && value == "2"));
    fields.push(("access.1".to_owned(), "admin".to_owned()));
    fields.push(("do".to_owned(), "create".to_owned()));
    let made = own.console.post(&pick, &fields).await?.ok()?;
    let connector = made.location().with_context(|| made.text())?.path().to_owned();

    let page = own.text(&connector).await?;
    ensure!(page.contains("Pet Store") && page.contains("replace_pet") && page.contains("admin"), "{page}");
    ensure!(!page.contains("delete_pet"), "what was left out is there: {page}");
    own.enable(&connector, &[("credential.api_key", "key-of-the-store")]).await?;
    own.system.offered_everywhere(&own.workspace, "pet-store_replace_pet").await?;

    own.mcp().call("pet-store_get_pet", json!({"pet-id": 7, "fields": ["a,b", "c"]})).await?.text()?;
    let seen = own.upstream.only()?;
    ensure!((seen.path.as_str(), seen.query.as_str()) == ("/echo/pets/7", "fields=a%2Cb,c"), "{seen:?}");
    ensure!(seen.header("x-key") == "key-of-the-store", "{seen:?}");
    let unfit =
        own.mcp().call("pet-store_replace_pet", json!({"pet-id": 7, "name": "Rex", "tags": ["z"]})).await?;
    ensure!(unfit.refusal()?.is_some_and(|told| told.contains("/tags/0")), "the schema is not held");
    Ok(())
}

#[tokio::test]
async fn a_documents_cookies_and_pairs_of_keys_reach_the_api_and_what_is_open_is_called_without() -> TestResult
{
    let own = Own::new().await?;
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "Depot", "version": "1.0"}, "externalDocs": {"url": "https://docs.depot.example/"},
        "servers": [{"url": format!("{}/echo", own.upstream.url())}],
        "components": {"securitySchemes": {
            "appKey": {"type": "apiKey", "in": "header", "name": "X-App-Key", "description": "Made under Settings."},
            "site": {"type": "apiKey", "in": "cookie", "name": "site"}}},
        "security": [{"appKey": [], "site": []}],
        "paths": {
            "/items": {"get": {"operationId": "listItems", "parameters": [
                {"name": "lang", "in": "cookie", "required": true, "schema": {"type": "string"}}]}},
            "/ping": {"get": {"operationId": "ping", "security": [{}]}},
        },
    });
    let page = own.import(&document.to_string()).await?.ok()?;
    let import = page.location().with_context(|| page.text())?.path().to_owned();
    let pick = format!("{import}/pick");
    own.console.submit(&import, &pick, &[("do", "all")]).await?.ok()?;
    let made = own.console.submit(&import, &pick, &[("do", "create")]).await?.ok()?;
    let connector = made.location().with_context(|| made.text())?.path().to_owned();
    let fields = [("credential.app_key", "key-of-the-depot"), ("credential.site", "north-2==")];
    let installation = own.enable(&connector, &fields).await?;
    own.system.offered_everywhere(&own.workspace, "depot_list_items").await?;

    own.mcp().call("depot_list_items", json!({"lang": "de; admin=1"})).await?.text()?;
    let seen = own.upstream.only()?;
    ensure!(seen.header("x-app-key") == "key-of-the-depot", "{seen:?}");
    ensure!(seen.header("cookie") == "site=north-2==; lang=de%3B%20admin%3D1", "{seen:?}");
    let page = own.text(&installation).await?;
    for words in
        ["appKey: Made under Settings.", "Sent as X-App-Key: …", "the cookie site", "the API's documentation"]
    {
        ensure!(page.contains(words), "{words}: {page}");
    }

    // What the document leaves open is called without a credential, even before anybody has entered one.
    own.enable(&connector, &[("name", "open")]).await?;
    own.system.offered_everywhere(&own.workspace, "open_ping").await?;
    let refused = own.mcp().call("open_list_items", json!({"lang": "de"})).await?;
    ensure!(refused.refusal()?.is_some_and(|told| told.contains("has not been set")), "{}", refused.body);
    own.mcp().call("open_ping", json!({})).await?.text()?;
    Ok(())
}

#[tokio::test]
async fn a_document_that_cannot_be_read_says_why() -> TestResult {
    let own = Own::new().await?;
    for (document, word) in [
        ("<html>", "web page"),
        ("{\"openapi\": \"2.9\"}", "is not read"),
        ("{\"openapi\": \"3.0.0\", \"paths\": {}}", "describes no operation"),
        ("a: &a [*a]", "not YAML"),
    ] {
        let page = own.import(document).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{document}: {}", page.status);
        ensure!(page.text().contains(word), "{document}: {}", page.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_document_is_fetched_by_its_address_and_a_redirect_is_not_followed() -> TestResult {
    let own = Own::new().await?;
    let page = own.path("/own/new");
    let action = own.path("/own/openapi");
    for (url, word) in [
        (format!("{}/redirect", own.upstream.url()), "not"),
        ("http://127.0.0.1:1/openapi.json".to_owned(), "could not be fetched"),
        ("file:///etc/passwd".to_owned(), "not fetched"),
        (format!("{}/echo/me", own.upstream.url()), "not an OpenAPI document"),
    ] {
        let refused = own.console.submit(&page, &action, &[("url", &url)]).await?;
        ensure!(refused.status == StatusCode::UNPROCESSABLE_ENTITY, "{url}: {}", refused.status);
        ensure!(refused.text().contains(word), "{url}: {}", refused.text());
        ensure!(refused.body.contains(&url), "what was typed is lost");
    }
    Ok(())
}
