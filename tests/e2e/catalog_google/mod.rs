//! The catalog's connectors for Google against the Google of the npm package `emulate`: entered by an admin, connected by
//! somebody's consent at Google, and called through a node. What came of a call is asked of Google itself.
//!
//! The documents are the catalog's own, changed in nothing but their three addresses: these are Google's, and nothing in the
//! product leads a connection of the catalog's elsewhere, as it should be.

mod calendar;
mod drive;
mod gmail;
mod tokens;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use toolmesh_proto::names;
use toolmesh_tests::emulate::choose;
use toolmesh_tests::google::Google;
use toolmesh_tests::oauth::{parameter, redirected};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Mcp, Page, System, TestResult, Workspace, eventually, paths};

const CLIENT: &str = "toolmesh.apps.googleusercontent.example";
const SECRET: &str = "GOCSPX-emulated-secret-0001";
/// Whose account is connected. Google's first user is somebody else, for whom `emulate` takes whoever it does not know.
const ADA: &str = "ada@example.com";
/// With which the tests ask Google as Ada, past the product.
const HERS: &str = "a-token-of-the-tests-for-ada";

/// A workspace whose admin has connected Ada's account with one of the connectors.
struct Scene {
    connector: &'static str,
    system: &'static System,
    google: Google,
    workspace: Workspace,
    admin: Console,
    /// Path of the installation's page.
    page: String,
    mcp: Mcp,
}

impl Scene {
    /// `data` is what Google holds, `probe` a tool that works as soon as the account is connected.
    async fn connected(connector: &'static str, data: Value, probe: (&str, Value)) -> Result<Self> {
        let system = System::shared().await?;
        let google = Google::start(&seed(&system.console_url("/connections/callback"), data)).await?;
        let workspace = system.workspace().await?;
        let admin = system.join(&workspace, &system.person().await?, "admin").await?;
        let document = document(connector, &addresses(connector, &google.url))?;
        let client = [("credential.google_client_id", CLIENT), ("credential.google_client_secret", SECRET)];
        let page = enable(&admin, &workspace, &document, &client).await?;
        let mcp = system.mcp(&workspace, &workspace.key);
        let scene = Self { connector, system, google, workspace, admin, page, mcp };
        scene.offered(probe.0).await?;
        let refusal = scene.call(probe.0, probe.1.clone()).await.err().context("nobody had connected it")?;
        ensure!(refusal.to_string().contains("nobody has connected it"), "{refusal:#}");
        let shown = scene.connect().await?.text();
        ensure!(shown.contains(ADA), "{shown}");
        scene.works(probe.0, probe.1).await?;
        Ok(scene)
    }

    /// What a person does: leaves for Google, chooses Ada's account there, and comes back.
    async fn connect(&self) -> Result<Page> {
        let connect = format!("{}/connect", self.page);
        let asked = redirected(&self.admin.submit(&self.page, &connect, &[]).await?.ok()?)?;
        for (name, value) in [
            ("client_id", CLIENT),
            ("response_type", "code"),
            ("access_type", "offline"),
            ("prompt", "consent"),
            ("code_challenge_method", "S256"),
        ] {
            ensure!(parameter(&asked, name).as_deref() == Some(value), "{name} in {asked}");
        }
        let scopes = parameter(&asked, "scope").unwrap_or_default();
        ensure!(scopes.starts_with("https://www.googleapis.com/auth/"), "{scopes}");
        let back = choose(&asked, ADA).await?;
        self.admin.visit(&self.admin.path_of(&back)?).await?.ok()
    }

    fn public(&self, tool: &str) -> String {
        names::tool_name(self.connector, tool)
    }

    async fn offered(&self, tool: &str) -> TestResult {
        self.system.offered_everywhere(&self.workspace, &self.public(tool)).await
    }

    /// Until calls go through at every node.
    async fn works(&self, tool: &str, arguments: Value) -> TestResult {
        for node in &self.system.ready.nodes {
            let mcp = self.system.mcp_on(&node.http, &self.workspace, &self.workspace.key);
            eventually(&format!("{tool} works at {}", node.name), SOON, || async {
                let answer = mcp.call(&self.public(tool), arguments.clone()).await?;
                Ok(answer.refusal()?.is_none().then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Calls a tool that answers with JSON.
    async fn call(&self, tool: &str, arguments: Value) -> Result<Value> {
        let answer = self.mcp.call(&self.public(tool), arguments).await?;
        answer.result_json().with_context(|| tool.to_owned()).map_err(|error| anyhow::anyhow!("{error:#}"))
    }

    /// Calls a tool whose answer is not looked at.
    async fn run(&self, tool: &str, arguments: Value) -> Result<String> {
        let answer = self.mcp.call(&self.public(tool), arguments).await?;
        answer.text().with_context(|| tool.to_owned())
    }

    /// Calls a tool that has to fail, and says with which words it does.
    async fn refused(&self, tool: &str, arguments: Value) -> Result<String> {
        let answer = self.mcp.call(&self.public(tool), arguments.clone()).await?;
        answer.refusal()?.with_context(|| format!("{tool} took {arguments}: {}", answer.body))
    }

    /// Switches tools on that are off to begin with.
    async fn switch_on(&self, tools: &[&str]) -> TestResult {
        let offered = self.mcp.names().await?;
        for tool in tools {
            ensure!(!offered.contains(&self.public(tool)), "{tool} was on from the start");
            let switches = format!("{}/tools", self.page);
            self.admin.submit(&self.page, &switches, &[("tool", tool), ("enabled", "true")]).await?.ok()?;
        }
        for tool in tools {
            self.offered(tool).await?;
        }
        Ok(())
    }

    /// Asks Google itself, as Ada.
    async fn ask(&self, path: &str) -> Result<Value> {
        self.google.ask(path, HERS).await
    }
}

/// People, the product's client, and what the account holds.
fn seed(callback: &str, mut data: Value) -> Value {
    data["users"] = json!([
        {"email": "zoe@example.com", "name": "Zoe Other", "email_verified": true},
        {"email": ADA, "name": "Ada Example", "email_verified": true},
    ]);
    data["oauth_clients"] = json!([
        {"client_id": CLIENT, "client_secret": SECRET, "name": "ToolMesh", "redirect_uris": [callback]},
    ]);
    json!({"tokens": {HERS: {"login": ADA, "scopes": []}}, "google": data})
}

/// Which addresses of a document are Google's, and what stands here instead.
fn addresses(connector: &str, google: &str) -> [(&'static str, &'static str, String); 3] {
    let api =
        if connector == "gmail" { "https://gmail.googleapis.com" } else { "https://www.googleapis.com" };
    let consent = "https://accounts.google.com/o/oauth2/v2/auth";
    [
        ("base_url", api, google.to_owned()),
        ("authorize_url", consent, format!("{google}/o/oauth2/v2/auth")),
        ("token_url", "https://oauth2.googleapis.com/token", format!("{google}/oauth2/token")),
    ]
}

/// A document of the catalog with other addresses: of each the key, what it has to begin with, and what it begins with here.
pub(crate) fn document(connector: &str, addresses: &[(&str, &str, String)]) -> Result<String> {
    let file = paths::root().join(format!("control-plane/catalog/{connector}.dadl"));
    let mut text = std::fs::read_to_string(&file)?;
    for (key, real, here) in addresses {
        let (real, here) = (format!("  {key}: {real}"), format!("  {key}: {here}"));
        ensure!(text.matches(&real).count() == 1, "{connector} does not say {real}");
        text = text.replace(&real, &here);
    }
    Ok(text)
}

/// Saves a document and enables it with a client; answers the path of the installation's page.
pub(crate) async fn enable(
    admin: &Console,
    workspace: &Workspace,
    document: &str,
    client: &[(&str, &str)],
) -> Result<String> {
    let editor = format!("/w/{}/own/editor", workspace.slug);
    let saved = admin.submit(&editor, &editor, &[("source", document), ("do", "save")]).await?.ok()?;
    let saved = saved.location().with_context(|| format!("not saved: {}", saved.text()))?;
    let form = format!("{}/enable", saved.path());
    let enabled = admin.submit(&form, &form, client).await?.ok()?;
    let enabled = enabled.location().with_context(|| format!("not enabled: {}", enabled.text()))?;
    Ok(enabled.path().to_owned())
}

/// The members of a list with one name, each as a text.
fn all<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|one| one[name].as_str()).collect()
}

fn base64url(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}
