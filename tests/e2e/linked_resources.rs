//! Two other servers with the same resources in one workspace: what their tools and prompts link to is read from the server that
//! gave it, over any node.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::everything::{Eras, Everything, Sdk};
use toolmesh_tests::relay::Relay;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::{Mcp, System, TestResult, Workspace};

/// A server under its name in the workspace.
struct Behind {
    name: &'static str,
    /// Between the nodes and the server.
    relay: Relay,
    _everything: Everything,
}

struct Scene {
    mcp: Mcp,
    servers: [Behind; 2],
}

impl Scene {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let rust = Self::add(system, &workspace, "rust", Sdk::Rust, Eras::Both).await?;
        let typescript = Self::add(system, &workspace, "typescript", Sdk::TypeScript, Eras::Legacy).await?;
        for name in ["rust", "typescript"] {
            system.offered_everywhere(&workspace, &format!("{name}_test_resource_links")).await?;
        }
        let mcp = system.mcp(&workspace, &workspace.key);
        Ok(Self { mcp, servers: [typescript, rust] })
    }

    async fn add(
        system: &System,
        workspace: &Workspace,
        name: &'static str,
        sdk: Sdk,
        eras: Eras,
    ) -> Result<Behind> {
        let everything = Everything::start(sdk, eras).await?;
        let relay = Relay::before(&everything.url)?;
        let url = format!("{}/mcp", relay.url.replace("localhost", "127.0.0.1"));
        let added = system.add_mcp_server(workspace, name, &url, ServerAuth::None).await?;
        // Of so many tools, those of the second server would be left to code.
        let console = system.console(&workspace.owner).await?;
        let page = format!("/w/{}/connectors/{}", workspace.slug, added.id);
        console.submit(&page, &format!("{page}/exposure"), &[("exposure", "direct")]).await?.ok()?;
        Ok(Behind { name, relay, _everything: everything })
    }

    async fn result(&self, method: &str, params: Value) -> Result<Value> {
        let json = self.mcp.request(method, params).await?.json()?;
        json.get("result").cloned().with_context(|| format!("{method}: {json}"))
    }

    /// Reads, and says how many requests each server got for it.
    async fn read(&self, uri: &str) -> Result<(Value, [usize; 2])> {
        let count = || self.servers.each_ref().map(|server| server.relay.asked("resources/read"));
        let before = count();
        let json = self.mcp.request("resources/read", json!({ "uri": uri })).await?.json()?;
        let after = count();
        Ok((json, [after[0] - before[0], after[1] - before[1]]))
    }

    /// The URIs that a server's tools and prompts give.
    async fn given(&self, name: &str) -> Result<Vec<String>> {
        let mut blocks = Vec::new();
        for tool in ["test_resource_links", "test_embedded_resource"] {
            let called = json!({ "name": format!("{name}_{tool}") });
            let result = self.result("tools/call", called).await?;
            blocks.extend(result["content"].as_array().cloned().unwrap_or_default());
        }
        let asked = json!({
            "name": format!("{name}_test_prompt_with_embedded_resource"),
            "arguments": { "resourceUri": "test://static-text" },
        });
        let prompt = self.result("prompts/get", asked).await?;
        blocks.push(prompt["messages"][0]["content"].clone());
        let uri = |block: &Value| block.get("resource").unwrap_or(block)["uri"].as_str().map(str::to_owned);
        blocks.iter().map(|block| uri(block).with_context(|| block.to_string())).collect()
    }
}

#[tokio::test]
async fn what_two_servers_link_to_is_read_from_the_one_that_gave_it() -> TestResult {
    let scene = Scene::new().await?;
    let listed = scene.result("resources/list", json!({})).await?;
    let listed: Vec<&str> =
        listed["resources"].as_array().into_iter().flatten().filter_map(|one| one["uri"].as_str()).collect();
    let mut all = Vec::new();
    for (at, server) in scene.servers.iter().enumerate() {
        let given = scene.given(server.name).await?;
        ensure!(given.len() == 4, "{}: {given:?}", server.name);
        ensure!(listed.contains(&given[0].as_str()), "{} is not in the list: {listed:?}", given[0]);
        ensure!(given[0] == given[3], "a tool and a prompt name one resource differently: {given:?}");
        let mut expected = [0, 0];
        expected[at] = 1;
        for uri in &given {
            let (read, asked) = scene.read(uri).await?;
            ensure!(
                asked == expected,
                "{} gave {uri}, which was read from elsewhere: {asked:?}",
                server.name
            );
            // One of the servers cannot read what no list has.
            let missing = server.name == "typescript" && uri == &given[2];
            let told =
                if missing { &read["error"]["data"]["uri"] } else { &read["result"]["contents"][0]["uri"] };
            ensure!(told == uri, "{}: {uri} was read as {read}", server.name);
        }
        all.extend(given);
    }
    let (first, second) = all.split_at(4);
    ensure!(first.iter().all(|uri| !second.contains(uri)), "both servers give {all:?}");
    for server in &scene.servers {
        server.relay.clean()?;
    }
    Ok(())
}
