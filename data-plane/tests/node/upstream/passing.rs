//! What a node passes on between clients and servers: definitions, results, links, progress.

use super::*;

#[tokio::test]
async fn a_definition_and_a_result_pass_byte_by_byte_and_one_request_is_sent_for_a_call() {
    let (world, server) = world(|_| {}).await;
    // Neither client can be asked anything: what the server knows of them is the same.
    let modern = Modern(Modern::new(&world).0, json!({}));
    let list = modern.rpc("tools/list", json!({})).await.text;
    assert!(list.contains(&format!(r#"{{"name":"new_plain",{DEFINITION}}}"#)), "{list}");
    let older = world.client().rpc("tools/list", json!({})).await.text;
    let without = DEFINITION.replace(r#""outputSchema":{"type":"array"},"#, "");
    assert!(older.contains(&format!(r#"{{"name":"new_plain",{without}}}"#)), "{older}");
    for tool in ["new_plain", "old_plain"] {
        let old = world.client().call(tool, json!({"q": "x"})).await;
        assert!(old.text.contains(RESULT), "{}", old.text);
        let new = modern.rpc("tools/call", json!({"name": tool})).await;
        let body = RESULT.strip_suffix('}').and_then(|body| body.strip_prefix('{')).unwrap();
        assert!(new.text.contains(body), "{}", new.text);
        assert_eq!(new.json()["result"]["resultType"], "complete");
    }
    let calls = server.seen("tools/call");
    assert_eq!(calls.len(), 4);
    assert_eq!(
        (&calls[0]["params"]["name"], &calls[0]["params"]["arguments"]),
        (&json!("plain"), &json!({"q": "x"}))
    );
    assert_eq!(calls[1]["params"]["arguments"], json!({}), "what is missing is an empty object");
    assert_eq!(server.seen("initialize").len(), 1, "one session serves both calls");
    let modern_server: Vec<_> = server.seen("server/discover");
    assert!(modern_server.is_empty() && server.seen("tools/list").is_empty());
    let events = world.control.events(4).await;
    let step = events[0].1.steps.iter().find(|step| step.name == "upstream").unwrap();
    assert!(step.detail.contains("1 request"), "{}", step.detail);
}

#[tokio::test]
async fn an_admin_renames_a_tool_sets_its_arguments_and_gives_it_a_bare_alias() {
    let (world, server) = world(|bundle| {
        let argument = |name: &str, value: &str, fixed| v1::ArgumentOverride {
            name: name.into(),
            value_json: value.into(),
            fixed,
        };
        bundle.installations[1].overrides = vec![v1::ToolOverride {
            tool: "plain".into(),
            name: "better".into(),
            title: "Better".into(),
            description: String::new(),
            annotations_json: r#"{"readOnlyHint":true}"#.into(),
            arguments: vec![argument("team", "\"core\"", true), argument("q", "\"all\"", false)],
        }];
        bundle.installations[2].bare_names = true;
        bundle.aliases = vec![
            v1::ToolAlias { alias: "search".into(), installation_id: FIRST.into(), tool: "plain".into() },
            v1::ToolAlias { alias: "web_search".into(), installation_id: FIRST.into(), tool: "ask".into() },
        ];
    })
    .await;
    let client = world.client();
    let list = client.rpc("tools/list", json!({})).await.json();
    let tools = list["result"]["tools"].as_array().unwrap();
    let named = |name: &str| tools.iter().find(|tool| tool["name"] == name);
    let search = named("search").unwrap();
    assert_eq!(
        (&search["title"], &search["annotations"]),
        (&json!("Better"), &json!({"readOnlyHint": true}))
    );
    assert_eq!(
        search["inputSchema"],
        json!({"type": "object", "properties": {"q": {"type": "string", "default": "all"}}, "x-vendor": 1.5})
    );
    assert_eq!(search["vendor"], json!({"deep": [1, 2.0]}));
    assert!(named("new_better").is_none() && named("new_plain").is_none() && named("new_ask").is_some());
    assert!(named("plain").is_some() && named("old_web_search").is_some() && named("web_search").is_none());
    for name in ["search", "new_better"] {
        assert_eq!(
            client.call(name, json!({})).await.json()["result"]["vendor"],
            json!({"b": [1]}),
            "{name}"
        );
    }
    let sent = &server.seen("tools/call")[1]["params"];
    assert_eq!((&sent["name"], &sent["arguments"]), (&json!("plain"), &json!({"team": "core", "q": "all"})));
    let refused = client.call("search", json!({"team": "other"})).await.json();
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("/team: it is set by the workspace"), "{text}");
    assert_eq!(server.seen("tools/call").len(), 2);
    let events = world.control.events(3).await;
    assert!(events.iter().all(|(_, event)| event.tool == "new_better"), "one name in the log");
}

#[tokio::test]
async fn prompts_resources_and_completion_reach_the_server_that_offers_them() {
    let (world, server) = world(|bundle| {
        bundle.installations[1].disabled_definitions = vec!["test://t/{id}".into()];
    })
    .await;
    let modern = Modern::new(&world);
    let discovered = modern.rpc("server/discover", json!({})).await.json();
    let capabilities = &discovered["result"]["capabilities"];
    assert_eq!(capabilities["resources"], json!({"subscribe": true, "listChanged": true}));
    assert!(discovered["result"]["instructions"].as_str().unwrap().contains("New says: Ask me anything."));
    let prompts = modern.rpc("prompts/list", json!({})).await;
    assert!(prompts.text.contains(r#"{"name":"old_greet","vendor":1.0}"#), "{}", prompts.text);
    assert_eq!(prompts.json()["result"]["cacheScope"], "private");
    let got = modern.rpc("prompts/get", json!({"name": "new_greet", "arguments": {"a": "b"}})).await;
    assert!(got.text.contains(r#""messages":[],"vendor":1.0"#), "{}", got.text);
    assert_eq!(server.seen("prompts/get")[0]["params"]["name"], "greet");
    let unknown = modern.rpc("prompts/get", json!({"name": "greet"})).await.json();
    assert_eq!(unknown["error"]["code"], -32602);

    let listed = modern.rpc("resources/list", json!({})).await.json();
    let uris: Vec<&str> = listed["result"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["uri"].as_str().unwrap())
        .collect();
    assert_eq!(uris, ["test://shared", "ui://x", "mcp+old://test%3A%2F%2Fshared"]);
    for (uri, text) in [
        ("test://shared", "new"),
        ("ui://x", "new"),
        ("ui://mcp+old/ui%3A%2F%2Fx", "old"),
        ("mcp+old://test%3A%2F%2Fshared", "old"),
        ("mcp+new://test%3A%2F%2Fshared", "new"),
        ("test://t/5", "old"),
    ] {
        let read = modern.rpc("resources/read", json!({ "uri": uri })).await.json();
        assert_eq!(read["result"]["contents"], json!([{"uri": uri, "text": text}]), "{uri}: {read}");
    }
    for uri in ["mcp+new://test%3A%2F%2Ft%2F5", "mcp+echo://x", "other://x"] {
        let missing = modern.rpc("resources/read", json!({ "uri": uri })).await.json();
        assert_eq!(
            (&missing["error"]["code"], &missing["error"]["data"]["uri"]),
            (&json!(-32602), &json!(uri))
        );
        let missing = world.client().rpc("resources/read", json!({ "uri": uri })).await.json();
        assert_eq!(missing["error"]["code"], -32002);
    }
    let templates = world.client().rpc("resources/templates/list", json!({})).await.json();
    assert_eq!(templates["result"]["resourceTemplates"].as_array().unwrap().len(), 1);
    let argument = json!({"name": "arg1", "value": "a"});
    let completed = world
        .client()
        .rpc(
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "old_greet"}, "argument": argument}),
        )
        .await
        .json();
    assert_eq!(completed["result"]["completion"]["values"], json!(["a"]));
    assert_eq!(server.seen("completion/complete")[0]["params"]["ref"]["name"], "greet");
    let begun = world.client().rpc("initialize", json!({"protocolVersion": "2025-11-25"})).await.json();
    let told = &begun["result"]["capabilities"]["resources"];
    assert_eq!(told, &json!({"subscribe": false, "listChanged": false}), "older clients would hear nothing");
    for method in ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        assert_eq!(world.client().rpc(method, json!({"level": "info"})).await.json()["result"], json!({}));
        assert_eq!(modern.rpc(method, json!({})).await.status, 404);
    }
    let events = world.control.events(1).await;
    assert_eq!((events[0].1.method.as_str(), events[0].1.tool.as_str()), ("prompts/get", "new_greet"));
}

#[tokio::test]
async fn an_error_of_a_server_passes_byte_by_byte_in_every_pairing_of_eras() {
    let (world, _server) = world(|_| {}).await;
    for tool in ["new_fail", "old_fail"] {
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{ERROR}}}"#);
        let modern = Modern::new(&world).rpc("tools/call", json!({"name": tool})).await;
        assert_eq!(modern.text, expected);
        assert_eq!(world.client().call(tool, json!({})).await.text, expected);
    }
}

/// The URIs in a tool's result.
fn uris(result: &Value) -> Vec<String> {
    let uri = |block: &Value| block.get("resource").unwrap_or(block)["uri"].as_str().unwrap().to_owned();
    result["content"].as_array().unwrap().iter().map(uri).collect()
}

#[tokio::test]
async fn a_link_in_a_result_leads_to_the_server_that_gave_it() {
    let (world, _server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    for (tool, text) in [("new_links", "new"), ("old_links", "old")] {
        let result = &modern.call(tool).await["result"];
        let links = uris(result);
        assert_eq!(links, uris(&world.client().call(tool, json!({"q": "1"})).await.json()["result"]));
        for uri in links.iter().filter(|uri| !uri.starts_with("https:")) {
            let read = modern.rpc("resources/read", json!({ "uri": uri })).await.json();
            assert_eq!(read["result"]["contents"], json!([{"uri": uri, "text": text}]), "{uri}: {read}");
        }
        assert_eq!(links[2], links[5], "a link and what is embedded have one URI");
        assert_eq!(links[3], "https://example.org/page", "clients open the web by themselves");
        assert!(links[4].starts_with("ui://"), "{links:?}");
        let listed = modern.rpc("tools/list", json!({})).await.json();
        let listed = listed["result"]["tools"].as_array().unwrap();
        let page = listed.iter().find(|one| one["name"] == tool).unwrap();
        assert_eq!(page["_meta"]["openai/outputTemplate"], json!(links[4]), "a tool's page is read alike");
    }
}

#[tokio::test]
async fn what_one_server_alone_gives_keeps_its_uris() {
    let (world, _server) = world(|bundle| bundle.installations.truncate(2)).await;
    let links = uris(&Modern::new(&world).call("new_links").await["result"]);
    let own = ["test://shared", "test://t/5", "none://listed", "https://example.org/page", "ui://x"];
    assert_eq!(links, [own.as_slice(), &["none://listed"]].concat());
}

#[tokio::test]
async fn without_a_server_behind_the_endpoint_its_methods_are_not_there() {
    let world = World::start().await;
    let answer = world.client().rpc("prompts/list", json!({})).await.json();
    assert_eq!(answer["error"]["code"], -32601);
    assert_eq!(Modern::new(&world).rpc("resources/read", json!({"uri": "a://b"})).await.status, 404);
}

#[tokio::test]
async fn progress_comes_on_a_stream_if_it_is_asked_for() {
    let (world, _server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    for tool in ["new_progress", "old_progress"] {
        let params = json!({"name": tool, "arguments": {}, "_meta": {"progressToken": "p7"}});
        let told = modern.rpc("tools/call", params.clone()).await;
        assert_eq!(told.header("content-type"), "text/event-stream");
        let told = messages(&told);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(
            (&told[1]["params"]["progress"], &told[1]["params"]["progressToken"]),
            (&json!(50), &json!("p7"))
        );
        assert!(told[3]["result"]["content"].is_array());
        let silent = modern.rpc("tools/call", json!({"name": tool, "arguments": {}})).await;
        assert_eq!(silent.header("content-type"), "application/json");
        let both = world.client().with("accept", "application/json, text/event-stream");
        assert_eq!(messages(&both.rpc("tools/call", params).await).len(), 4);
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_of_one_revision() {
    let (world, _server) = world(|_| {}).await;
    let mut many = connector(false);
    let template = many.tools[0].clone();
    many.tools = (0..600).map(|n| v1::Tool { name: format!("tool_{n}"), ..template.clone() }).collect();
    let mut bundle = bundle(&world.upstream, 3);
    let mut installed = installation(FIRST, "http://127.0.0.1:1", false);
    installed.connector_hash = toolmesh_proto::connector_hash(&many);
    bundle.installations = vec![installed];
    world.control.tell(Control::Connector(many)).await;
    world.control.tell(Control::Bundle(bundle)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 3).then_some(())).await;
    let (client, mut names, mut cursor) = (world.client(), Vec::new(), json!(""));
    loop {
        let page = client.rpc("tools/list", json!({ "cursor": cursor })).await.json();
        let tools = page["result"]["tools"].as_array().unwrap().clone();
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        cursor = page["result"]["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let expected: Vec<String> = (0..600).map(|n| format!("new_tool_{n}")).collect();
    assert_eq!(names, expected);
    let bad = client.rpc("tools/list", json!({"cursor": "MS4yNTA"})).await.json();
    assert_eq!(bad["error"]["code"], -32602);
}
