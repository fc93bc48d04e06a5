//! Servers that ask for a login, on screen: before anybody has connected, where a client has to be entered, connected, to be
//! connected again, and with each member's own account; and one from which nodes get no answer.

use serde_json::json;
use toolmesh_tests::browser::{Browser, PATIENCE};
use toolmesh_tests::guarded::Guarded;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::{System, TestResult, Workspace, eventually};

use crate::log_in;
use crate::mcp_servers::scripted::{Scripted, tool};

const CLIENT: &str = "made-by-hand";
const SECRET: &str = "the-secret-of-the-client-made-by-hand";

fn page(system: &System, workspace: &Workspace, rest: &str) -> String {
    system.console_url(&format!("/w/{}{rest}", workspace.slug))
}

/// Fills in the form for a server, as far as its button.
async fn add(
    browser: &Browser,
    system: &System,
    workspace: &Workspace,
    url: &str,
    way: &ServerAuth<'_>,
) -> TestResult {
    browser.go(&page(system, workspace, "/servers/new")).await?;
    browser.fill("url", url).await?;
    browser.fill("name", "guarded").await?;
    browser.press(&format!("input[value={}]", way.way())).await?;
    browser.click("Look at the server").await
}

#[tokio::test]
async fn a_server_that_asks_for_a_login_says_in_each_state_what_to_do_next() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = Guarded::start()?;
    server.behave(|manners| manners.registers = false);
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    add(&browser, system, &workspace, &server.url(), &ServerAuth::Login).await?;
    browser.read("Connect it first").await?;
    let here = browser.at("/connectors/").await?;
    browser.inspect("90-server-not-connected").await?;

    browser.submit("/connect").await?;
    browser.read("registers no clients by itself").await?;
    browser.read("Enter a client").await?;
    browser.pictures("91-server-asks-for-a-client").await?;
    browser.accessible().await?;
    // The browser's console has its say about an answer that refuses a form.
    browser.complaints().await?;
    server.client(CLIENT, SECRET);
    browser.fill("client_id", CLIENT).await?;
    browser.fill("client_secret", SECRET).await?;
    browser.submit("/client").await?;
    browser.read("The client is saved").await?;
    browser.inspect("92-server-client-entered").await?;

    browser.submit("/connect").await?;
    browser.read("Says who is calling").await?;
    browser.inspect("93-server-connected-choose").await?;
    browser.click("Switch on what is picked").await?;
    browser.read("ada@provider.example").await?;
    browser.inspect("94-server-connected").await?;
    system.offered_everywhere(&workspace, "guarded_whoami").await?;

    server.end_all();
    let mcp = system.mcp(&workspace, &workspace.key);
    mcp.call("guarded_whoami", json!({})).await?;
    eventually("the page says that it has to be connected again", PATIENCE, || async {
        browser.go(here.as_str()).await?;
        Ok(browser.text().await?.contains("Go to its connection").then_some(()))
    })
    .await?;
    browser.inspect("95-server-to-reconnect").await?;
    browser.go(&page(system, &workspace, "/connectors")).await?;
    browser.read("login for all").await?;
    browser.inspect("95-connectors-to-reconnect").await?;
    browser.close().await
}

#[tokio::test]
async fn where_each_member_logs_in_the_admin_is_led_to_their_own_connection() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = Guarded::start()?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    add(&browser, system, &workspace, &server.url(), &ServerAuth::OwnLogin).await?;
    browser.read("Your account").await?;
    let own = browser.at("/connections/").await?;
    browser.inspect("96-own-login-waits").await?;
    let id = own.path_segments().and_then(Iterator::last).unwrap_or_default();
    browser.go(&page(system, &workspace, &format!("/connectors/{id}"))).await?;
    browser.read("Connect your account first").await?;
    browser.inspect("96-own-login-connector").await?;
    browser.click("Go to your connection").await?;
    browser.at("/connections/").await?;
    browser.submit("/connect").await?;
    browser.read("Says who is calling").await?;
    browser.click("Switch on what is picked").await?;
    browser.read("1 member has connected").await?;
    browser.inspect("97-own-login-connected").await?;
    browser.close().await
}

#[tokio::test]
async fn a_server_from_which_nodes_get_no_answer_is_marked_where_people_look() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = Scripted::start(&[tool("find", "Finds orders by their `text`.", "q")], None).await?;
    let id = system.add_mcp_server(&workspace, "orders", &server.url(), ServerAuth::None).await?.id;
    system.offered_everywhere(&workspace, "orders_find").await?;
    server.stop();
    let mcp = system.mcp(&workspace, &workspace.key);
    // Each node finds out for itself.
    for _ in 0..8 * system.ready.nodes.len() {
        mcp.call("orders_find", json!({"q": "engine"})).await?;
    }
    let here = page(system, &workspace, &format!("/connectors/{id}"));
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    eventually("the page says that the server does not answer", PATIENCE, || async {
        browser.go(&here).await?;
        Ok(browser.text().await?.contains("Not answering").then_some(()))
    })
    .await?;
    // What its author wrote between backticks is code, and not a backtick.
    browser.see("#tools td.lead .sub code").await?;
    browser.inspect("98-server-not-answering").await?;
    browser.go(&page(system, &workspace, "/connectors")).await?;
    browser.read("Not answering").await?;
    browser.inspect("98-connectors-not-answering").await?;
    browser.close().await
}

#[tokio::test]
async fn who_waits_for_a_slow_server_sees_that_it_goes_on() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    // Connections are made, and nothing is ever answered.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&page(system, &workspace, "/servers/new")).await?;
    browser.fill("url", &format!("http://127.0.0.1:{}/mcp", silent.local_addr()?.port())).await?;
    browser.fill("name", "slow").await?;
    // The answer goes elsewhere, since the driver does nothing while a page is on its way.
    const ELSEWHERE: &str =
        "const frame = document.createElement('iframe'); frame.name = 'elsewhere'; frame.hidden = true;
        document.body.append(frame); document.querySelector('.server-form').target = 'elsewhere'";
    browser.client.execute(ELSEWHERE, vec![]).await?;
    browser.click("Look at the server").await?;
    browser.read("Asking the server what it offers").await?;
    browser.see(".btn.primary.busy[aria-disabled=true]").await?;
    browser.pictures("99-server-is-asked").await?;
    browser.close().await
}
