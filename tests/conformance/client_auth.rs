//! The suite's scenarios for authorization. The client is a running system with three nodes: an admin adds the suite's server in the
//! console and connects it, a browser goes to the suite's authorization server and back, and each node calls its tool.
//!
//! Left out are the extensions, since nothing here claims them: `client-credentials-*` (no grant without a person is used towards
//! other MCP servers), `enterprise-managed-authorization` and `wif-jwt-bearer` (no assertion of another identity provider is
//! exchanged for a server's token), `dpop*` (tokens are shown as bearer tokens).

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use http::header::LOCATION;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use toolmesh_tests::oauth::{parameter, redirected};
use toolmesh_tests::relay::{Held, Relay, Route};
use toolmesh_tests::schema::MODERN;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Mcp, Page, System, TestResult, Workspace, eventually};
use url::Url;

use crate::driven::{Played, driven};
use crate::nodes;
use crate::server::SESSIONS;

/// The revision without documents about protected resources.
const FIRST: &str = "2025-03-26";
const BOTH: [&str; 2] = [SESSIONS, MODERN];
/// Where the suite wants a client to be whose id is the address of a document.
const PUBLIC: &str = "https://conformance-test.local";
/// What the suite's server has, as a workspace offers it.
const TOOL: &str = "suite_test-tool";

/// An admin who has added the suite's server to a workspace of its own.
struct Admin {
    system: &'static System,
    workspace: Workspace,
    console: Console,
    id: String,
    /// Over all nodes in turn.
    front: Relay,
}

impl Admin {
    async fn with(system: &'static System, workspace: Workspace, url: &str) -> Result<Self> {
        let console = system.console(&workspace.owner).await?;
        let id = console.find_mcp_server(&workspace.slug, "suite", url, ServerAuth::Login).await?;
        let front = Relay::start(Route {
            targets: system.ready.nodes.iter().map(|node| format!("http://{}", node.http)).collect(),
            host: Some(system.tenant_host(&workspace.slug)),
            token: Some(workspace.key.clone()),
            held: Held::Everything,
        })?;
        Ok(Self { system, workspace, console, id, front })
    }

    fn page(&self, rest: &str) -> String {
        format!("/w/{}/connectors/{}{rest}", self.workspace.slug, self.id)
    }

    /// Presses Connect.
    async fn press(&self) -> Result<Page> {
        self.console.submit(&self.page(""), &self.page("/connect"), &[]).await
    }

    /// Where the browser is sent then.
    async fn leave(&self) -> Result<Url> {
        redirected(&self.press().await?.ok()?)
    }

    /// Goes to the authorization server, which allows everything, and comes back.
    async fn come_back(&self, address: Url) -> Result<Page> {
        let answer = self.system.http.get(address).send().await?;
        let back = answer.headers().get(LOCATION).with_context(|| format!("answered {}", answer.status()))?;
        let back = back.to_str()?;
        ensure!(back.starts_with(&self.system.console_url("/connections/callback?")), "sent to {back}");
        self.console.visit(&self.console.path_of(back)?).await
    }

    async fn connect(&self) -> Result<Page> {
        let address = self.leave().await?;
        self.come_back(address).await?.ok()
    }

    /// Switches on what the server offers.
    async fn begin(&self) -> TestResult {
        let tools = self.console.begin_mcp_server(&self.workspace.slug, &self.id).await?;
        ensure!(tools == 1, "{tools} tools were found");
        self.system.offered_everywhere(&self.workspace, TOOL).await
    }

    /// A client of the workspace, whose requests go to each node in turn.
    fn client(&self) -> Mcp {
        Mcp::new(self.system.http.clone(), &format!("{}/mcp", self.front.url))
    }

    /// Every node calls the tool with the account that is connected.
    async fn call(&self) -> TestResult {
        let client = self.client();
        for _ in &self.system.ready.nodes {
            let said = client.call(TOOL, json!({})).await?.text()?;
            ensure!(said == "test", "the tool said {said:?}");
        }
        self.front.clean()
    }

    async fn connect_and_call(&self) -> TestResult {
        self.connect().await?;
        self.begin().await?;
        self.call().await
    }

    /// What the admin is told where connecting does not even begin.
    async fn is_told(&self) -> Result<String> {
        let page = self.press().await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{}: {}", page.status, page.text());
        Ok(page.text())
    }

    async fn does_not_leave(&self, words: &str) -> TestResult {
        let told = self.is_told().await?;
        ensure!(told.contains(words), "the admin is not told {words:?}: {told}");
        self.is_not_connected().await
    }

    async fn is_turned_away_on_return(&self) -> TestResult {
        let page = self.come_back(self.leave().await?).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{}: {}", page.status, page.text());
        ensure!(page.text().contains("another authorization server"), "{}", page.text());
        self.is_not_connected().await
    }

    async fn is_not_connected(&self) -> TestResult {
        let page = self.console.visit(&self.page("")).await?.ok()?;
        ensure!(page.text().contains("Not connected"), "{}", page.text());
        Ok(())
    }
}

/// A system whose address is the public one that the suite expects of a client with a document.
async fn public() -> Result<&'static System> {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    let options = || Options { nodes: 1, public_url: Some(PUBLIC.to_owned()), ..Options::default() };
    SYSTEM.get_or_try_init(|| System::start(options())).await
}

async fn on<F>(system: &'static System, scenario: &str, revision: &str, act: F) -> TestResult
where
    F: AsyncFnOnce(Admin, Value) -> TestResult,
{
    let workspace = system.workspace().await?;
    let played = driven(scenario, revision, async |played: Played| {
        act(Admin::with(system, workspace, &played.url).await?, played.context).await
    });
    played.await.with_context(|| format!("in revision {revision}"))
}

macro_rules! scenarios {
    ($($test:ident: $scenario:literal in $revisions:expr, $act:expr;)*) => {
        $(#[tokio::test]
        async fn $test() -> TestResult {
            for revision in $revisions {
                on(nodes::system().await?, $scenario, revision, $act).await?;
            }
            Ok(())
        })*
    };
}

async fn connects(admin: Admin, _: Value) -> TestResult {
    admin.connect_and_call().await
}

async fn is_turned_away(admin: Admin, _: Value) -> TestResult {
    admin.is_turned_away_on_return().await
}

scenarios! {
    documents_are_where_a_challenge_and_the_issuer_say: "auth/metadata-default" in BOTH, connects;
    documents_are_found_without_a_challenge: "auth/metadata-var1" in BOTH, connects;
    documents_are_found_at_the_root_and_for_an_issuer_with_a_path: "auth/metadata-var2" in BOTH, connects;
    documents_are_found_in_places_of_the_servers_own: "auth/metadata-var3" in BOTH, connects;
    a_challenge_says_what_is_asked_for: "auth/scope-from-www-authenticate" in BOTH, connects;
    without_that_the_document_says_it: "auth/scope-from-scopes-supported" in BOTH, connects;
    where_nothing_says_it_nothing_is_asked_for: "auth/scope-omitted-when-undefined" in BOTH, connects;
    a_call_that_needs_more_works_once_more_was_allowed: "auth/scope-step-up" in BOTH, allows_more;
    where_nothing_is_ever_enough_nobody_is_sent_round: "auth/scope-retry-limit" in BOTH, allows_more_in_vain;
    a_secret_is_shown_in_a_header: "auth/token-endpoint-auth-basic" in BOTH, connects;
    a_secret_is_shown_in_the_form: "auth/token-endpoint-auth-post" in BOTH, connects;
    no_secret_is_shown_where_none_is_taken: "auth/token-endpoint-auth-none" in BOTH, connects;
    a_client_that_was_registered_by_hand_is_used: "auth/pre-registration" in BOTH, enters_a_client;
    a_document_about_another_resource_is_not_believed: "auth/resource-mismatch" in [MODERN],
        async |admin: Admin, _: Value| admin.does_not_leave("which is not this server").await;
    a_document_about_another_issuer_is_not_believed: "auth/metadata-issuer-mismatch" in [MODERN],
        async |admin: Admin, _: Value| admin.does_not_leave("says that its issuer is https://attacker.example.com").await;
    access_that_lasts_is_asked_for_where_it_is_given: "auth/offline-access-scope" in [MODERN], connects;
    access_that_lasts_is_not_asked_for_elsewhere: "auth/offline-access-not-supported" in [MODERN], connects;
    at_a_new_authorization_server_a_new_client_is_used: "auth/authorization-server-migration" in [MODERN], moves;
    an_answer_that_names_its_server_is_taken: "auth/iss-supported" in [MODERN], connects;
    an_answer_of_a_server_that_never_names_itself_is_taken: "auth/iss-not-advertised" in [MODERN], connects;
    an_answer_without_the_name_that_was_announced_is_not: "auth/iss-supported-missing" in [MODERN], is_turned_away;
    an_answer_in_another_servers_name_is_not: "auth/iss-wrong-issuer" in [MODERN], is_turned_away;
    nor_where_no_name_was_announced: "auth/iss-unexpected" in [MODERN], is_turned_away;
    nor_in_almost_the_right_name: "auth/iss-normalized" in [MODERN], is_turned_away;
    a_server_of_the_first_revision_has_a_document_at_its_root: "auth/2025-03-26-oauth-metadata-backcompat" in [FIRST],
        connects;
    a_server_of_the_first_revision_needs_no_document: "auth/2025-03-26-oauth-endpoint-fallback" in [FIRST], connects;
}

#[tokio::test]
async fn a_public_system_is_known_by_its_document() -> TestResult {
    let system = public().await?;
    for revision in BOTH {
        on(system, "auth/basic-cimd", revision, connects).await?;
    }
    let document = Console::new(system)?.get("/client-metadata.json").await?.ok()?;
    let document: Value = serde_json::from_str(&document.body)?;
    ensure!(document["client_id"] == format!("{PUBLIC}/client-metadata.json"), "{document}");
    ensure!(document["redirect_uris"] == json!([format!("{PUBLIC}/connections/callback")]), "{document}");
    Ok(())
}

async fn allows_more(admin: Admin, _: Value) -> TestResult {
    admin.connect().await?;
    admin.begin().await?;
    let answer = admin.client().call(TOOL, json!({})).await?;
    let refusal = answer.refusal()?.context("a call went through that was not allowed")?;
    ensure!(refusal.contains("insufficient_scope"), "{refusal}");
    let page = admin.console.visit(&admin.page("")).await?.ok()?;
    ensure!(page.text().contains("(insufficient_scope)"), "{}", page.text());
    let address = admin.leave().await?;
    let asked = parameter(&address, "scope").unwrap_or_default();
    ensure!(asked == "mcp:basic mcp:write", "asked for {asked:?}");
    admin.come_back(address).await?.ok()?;
    for node in &admin.system.ready.nodes {
        let mcp = admin.system.mcp_on(&node.http, &admin.workspace, &admin.workspace.key);
        eventually(&format!("{} has heard of it", node.name), SOON, || async {
            Ok(mcp.call(TOOL, json!({})).await?.refusal()?.is_none().then_some(()))
        })
        .await?;
    }
    admin.call().await
}

/// The page says what is wrong each time, and nothing but a person goes there again.
async fn allows_more_in_vain(admin: Admin, _: Value) -> TestResult {
    for _ in 0..2 {
        let page = admin.connect().await?;
        ensure!(page.text().contains("insufficient_scope"), "{}", page.text());
    }
    Ok(())
}

async fn enters_a_client(admin: Admin, context: Value) -> TestResult {
    let told = admin.is_told().await?;
    ensure!(told.contains("registers no clients by itself"), "{told}");
    let known = |name: &str| context[name].as_str().with_context(|| format!("no {name} in {context}"));
    let fields = [("client_id", known("client_id")?), ("client_secret", known("client_secret")?)];
    admin.console.submit(&admin.page(""), &admin.page("/client"), &fields).await?.ok()?;
    admin.connect_and_call().await
}

async fn moves(admin: Admin, _: Value) -> TestResult {
    // The server takes the token once. From then on it has another authorization server.
    let page = admin.connect().await?;
    ensure!(page.text().contains("Reconnect it"), "{}", page.text());
    admin.connect_and_call().await
}
