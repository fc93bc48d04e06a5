//! A whole node over real sockets, between a control plane and an API of the tests' own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod code;
mod control;
mod load;
mod revocation;
mod upstream;
mod world;

use serde_json::{Value, json};
use toolmesh_proto::v1;
use toolmesh_proto::v1::Outcome;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;

use crate::control::{FakeControl, within};
use crate::world::{Client, ORIGIN, SECRET, USER, World, bundle};

#[tokio::test]
async fn a_client_finds_its_way_from_the_401_to_the_documents() {
    let world = World::start().await;
    let stranger = world.client().with("authorization", "");
    let refused = stranger.rpc("initialize", json!({})).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate");
    assert_eq!(
        challenge,
        format!(
            "Bearer resource_metadata=\"{ORIGIN}/.well-known/oauth-protected-resource/mcp\", scope=\"mcp:tools\""
        )
    );
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let document = stranger.send("GET", path, "").await;
        assert_eq!((document.status, document.header("access-control-allow-origin")), (200, "*"));
        assert_eq!(document.json()["resource"], format!("{ORIGIN}/mcp"));
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
    ] {
        let document = stranger.send("GET", path, "").await.json();
        assert_eq!(document["issuer"], ORIGIN);
        assert_eq!(document["token_endpoint"], "http://localhost:8080/oauth/acme/token");
    }
    let unknown = stranger.send("GET", "/.well-known/nothing", "").await;
    assert_eq!((unknown.status, unknown.header("content-type")), (404, "application/json"));
    let bad =
        world.client().with("authorization", "Bearer tmk_wrong").rpc("server/discover", json!({})).await;
    assert_eq!(bad.status, 401);
    assert!(bad.header("www-authenticate").contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn the_handshake_agrees_on_a_revision_and_names_the_workspace() {
    let world = World::start().await;
    for (asked, agreed) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let client = world.client().with("mcp-protocol-version", "");
        let answer = client.rpc("initialize", json!({"protocolVersion": asked, "capabilities": {}})).await;
        let result = &answer.json()["result"];
        assert_eq!(result["protocolVersion"], agreed);
        assert_eq!(result["serverInfo"]["name"], "acme");
        let title = result["serverInfo"]["title"].as_str();
        assert_eq!(title, (agreed >= "2025-06-18").then_some("Acme"), "older revisions know no titles");
        assert_eq!(answer.header("mcp-session-id"), "");
    }
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    let answer = world.client().send("POST", "/mcp", initialized).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    assert_eq!(world.client().rpc("ping", json!({})).await.json()["result"], json!({}));
}

#[tokio::test]
async fn tools_are_listed_with_their_hints_and_without_those_switched_off() {
    let world = World::start().await;
    let list = world.client().rpc("tools/list", json!({})).await.json();
    let tools = list["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["echo_get", "echo_create", "echo_status", "echo_slow"]);
    assert_eq!(tools[0]["annotations"]["readOnlyHint"], true);
    assert_eq!(tools[1]["annotations"]["readOnlyHint"], false);
    assert_eq!(tools[0]["annotations"]["openWorldHint"], true);
}

#[tokio::test]
async fn a_call_reaches_the_api_once_with_its_credential_and_is_in_the_log() {
    let world = World::start().await;
    let answer =
        world.client().with("user-agent", "test/1").call("echo_get", json!({"id": "a/b", "q": "x y"})).await;
    let result = &answer.json()["result"];
    assert_eq!(result["isError"], false);
    assert_eq!(result["structuredContent"]["path"], "/items/a%2Fb");
    assert_eq!(
        result["structuredContent"],
        serde_json::from_str::<Value>(result["content"][0]["text"].as_str().unwrap()).unwrap()
    );
    assert!(
        !answer.text.contains(SECRET),
        "the API's echo of the credential is not passed on: {}",
        answer.text
    );
    assert_eq!(world.seen(), [format!("GET /items/a%2Fb?q=x%20y Bearer {SECRET}")]);

    let (_, event) = world.control.events(1).await.remove(0);
    assert_eq!(
        (event.tool.as_str(), event.outcome(), event.access.as_str()),
        ("echo_get", Outcome::Ok, "read")
    );
    assert_eq!((event.user_id.as_str(), event.client_agent.as_str()), (USER, "test/1"));
    assert_eq!((event.upstream_status, event.request_id.as_str()), (200, answer.header("x-request-id")));
    let steps: Vec<&str> = event.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["identity", "policy", "arguments", "credential", "upstream", "result"]);
}

#[tokio::test]
async fn the_log_holds_no_secret_of_the_arguments_or_the_installation() {
    let world = World::start().await;
    world
        .client()
        .call("echo_create", json!({"title": format!("use {SECRET}"), "password": "hunter2"}))
        .await;
    let (_, event) = world.control.events(1).await.remove(0);
    let text = format!("{event:?}");
    assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
    assert!(event.arguments_json.contains("use [redacted]"), "{}", event.arguments_json);
}

#[tokio::test]
async fn what_may_not_be_called_does_not_leave_and_a_tool_switched_off_looks_like_none() {
    let world = World::start().await;
    let unknown = world.client().call("echo_nothing", json!({})).await.json();
    let off = world.client().call("echo_off", json!({})).await.json();
    assert_eq!(unknown["error"]["code"], -32602);
    assert_eq!(unknown["error"]["message"], "Unknown tool: echo_nothing");
    assert_eq!(off["error"]["message"], "Unknown tool: echo_off");
    assert_eq!(world.seen().len(), 0);
    let events = world.control.events(2).await;
    assert!(events.iter().all(|(_, event)| event.outcome() == Outcome::Denied));
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_refused_as_the_revision_wants_with_the_field_named() {
    let world = World::start().await;
    let newest = world.client().call("echo_get", json!({"id": 5, "colour": "red"})).await.json();
    assert_eq!(newest["result"]["isError"], true);
    let text = newest["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("/id: 5 is not of type \"string\"") && text.contains("/colour"), "{text}");
    for older in ["2025-06-18", "2025-03-26", ""] {
        let answer =
            world.client().with("mcp-protocol-version", older).call("echo_get", json!({})).await.json();
        assert_eq!(answer["error"]["code"], -32602);
        assert!(answer["error"]["message"].as_str().unwrap().contains("/id: is required"), "{answer}");
    }
    assert_eq!(world.seen().len(), 0);
    assert!(world.control.events(4).await.iter().all(|(_, event)| event.outcome() == Outcome::Invalid));
}

#[tokio::test]
async fn an_apis_refusal_is_a_result_the_model_can_read_and_never_a_401_of_ours() {
    let world = World::start().await;
    for (code, words) in [
        ("404", "404 Not Found: as you wish"),
        ("401", "refused the workspace's credential"),
        ("302", "302 Found"),
    ] {
        let answer = world.client().call("echo_status", json!({ "code": code })).await;
        assert_eq!(answer.status, 200);
        let result = &answer.json()["result"];
        assert_eq!(result["isError"], true);
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(words) && text.contains("The Echo API"), "{text}");
    }
}

#[tokio::test]
async fn bad_input_gets_an_answer_of_the_right_kind() {
    let world = World::start().await;
    let client = world.client();
    let code = |answer: &world::Answer| answer.json()["error"]["code"].as_i64().unwrap();

    let broken = client.send("POST", "/mcp", "{").await;
    assert_eq!((broken.status, code(&broken)), (400, -32700));
    assert_eq!(broken.json()["id"], Value::Null);
    let deep = client.send("POST", "/mcp", "[".repeat(50_000)).await;
    assert_eq!(deep.status, 400);
    let wrong = client.send("POST", "/mcp", r#"{"id":7,"method":"ping"}"#).await;
    assert_eq!((wrong.status, code(&wrong), &wrong.json()["id"]), (400, -32600, &json!(7)));
    let repeated = client.send("POST", "/mcp", r#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#).await;
    assert_eq!((repeated.status, code(&repeated)), (400, -32600));
    let unknown = client.rpc("resources/list", json!({})).await;
    assert_eq!((unknown.status, code(&unknown)), (200, -32601));
    let nameless = client.rpc("tools/call", json!({})).await;
    assert_eq!(code(&nameless), -32602);
    let large = client.send("POST", "/mcp", " ".repeat((4 << 20) + 1)).await;
    assert_eq!(large.status, 413);

    for (method, status) in [("GET", 405), ("DELETE", 405), ("PUT", 405)] {
        let answer = client.clone().with("authorization", "").send(method, "/mcp", "").await;
        assert_eq!((answer.status, answer.header("allow")), (status, "POST"), "{method}");
    }
    assert_eq!(client.send("GET", "/nothing", "").await.status, 404);
    assert_eq!(client.clone().with("host", "other.localhost:8080").rpc("ping", json!({})).await.status, 404);
    assert_eq!(
        client.clone().with("origin", "https://evil.example").rpc("ping", json!({})).await.status,
        403
    );
    assert_eq!(client.clone().with("origin", "null").rpc("ping", json!({})).await.status, 403);
    for origin in [ORIGIN, "http://localhost:8080"] {
        assert_eq!(client.clone().with("origin", origin).rpc("ping", json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn both_eras_are_served_and_a_client_that_says_too_little_is_told_what_lacks() {
    let world = World::start().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let modern = world.client().with("mcp-protocol-version", "2026-07-28");
    let params = json!({ "_meta": meta });
    let answer =
        modern.clone().with("mcp-method", "server/discover").rpc("server/discover", params.clone()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["result"]["supportedVersions"][0], "2026-07-28");
    // One of the new era's own codes keeps a client in it.
    let answer = modern.rpc("server/discover", params).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_i64()), (400, Some(-32020)));
    // To the old era the method is unknown, and `initialize` negotiates whatever the header says.
    assert_eq!(world.client().rpc("server/discover", json!({})).await.json()["error"]["code"], -32601);
    let initialize = modern.rpc("initialize", json!({"protocolVersion": "2026-07-28"})).await;
    assert_eq!(initialize.json()["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn a_batch_is_answered_where_the_revision_knows_batches() {
    let world = World::start().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": {"name": "echo_get", "arguments": {"id": "1"}}}
    ])
    .to_string();
    let old =
        world.client().with("mcp-protocol-version", "2025-03-26").send("POST", "/mcp", batch.clone()).await;
    let replies = old.json();
    assert_eq!(
        replies.as_array().unwrap().iter().map(|reply| &reply["id"]).collect::<Vec<_>>(),
        [&json!(1), &json!("b")]
    );
    let first = world.client().with("mcp-protocol-version", "2024-11-05");
    assert_eq!(first.send("POST", "/mcp", batch.clone()).await.json().as_array().map(Vec::len), Some(2));
    for later in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let client = world.client().with("mcp-protocol-version", later);
        let refused = client.send("POST", "/mcp", batch.clone()).await;
        assert_eq!(refused.status, 400, "{later}");
        assert!(refused.text.contains("Batches are not part"), "{later}: {}", refused.text);
    }
    let client = world.client().with("mcp-protocol-version", "").with("mcp-session-id", "nonsense");
    assert_eq!(client.send("POST", "/mcp", batch).await.status, 404, "a session that is over");
}

#[tokio::test]
async fn what_cannot_be_read_is_said_to_be_that_and_an_unknown_revision_is_told_what_there_is() {
    let world = World::start().await;
    let huge = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo_get","arguments":{"id":1e400}}}"#;
    let twice =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo_get","name":"echo_create"}}"#;
    for (body, why) in [(huge, "number out of range"), (twice, "duplicate field")] {
        let refused = world.client().send("POST", "/mcp", body).await.json();
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(why), "{refused}");
    }
    assert_eq!(world.control.events(2).await[1].1.outcome(), v1::Outcome::Invalid);
    assert!(world.seen().is_empty());
    let cursor = world.client().rpc("tools/list", json!({"cursor": 5})).await.json();
    assert_eq!(cursor["error"]["code"], -32602, "a cursor is a text: {cursor}");
    let unknown = world.client().with("mcp-protocol-version", "v9").rpc("ping", json!({})).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["data"]["requested"]), (400, &json!("v9")));
    assert_eq!(unknown.json()["error"]["data"]["supported"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn who_is_removed_while_a_batch_is_on_its_way_gets_no_further_with_it() {
    let world = World::start().await;
    let call = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "echo_slow", "arguments": {}}});
    let batch = Value::from((0..20).map(call).collect::<Vec<_>>()).to_string();
    let client = world.client().with("mcp-protocol-version", "2025-03-26");
    let sent = tokio::spawn(async move { client.send("POST", "/mcp", batch).await });
    within(async {
        while world.seen().is_empty() {
            tokio::task::yield_now().await
        }
    })
    .await;
    let mut removed = bundle(&world.upstream, 2);
    removed.members.clear();
    world.control.tell(Control::Bundle(removed)).await;
    let answer = within(sent).await.unwrap();
    let replies = answer.json();
    assert_eq!((answer.status, replies.as_array().unwrap().len()), (200, 20));
    assert_eq!(replies[0]["result"]["isError"], false);
    assert_eq!(replies[19]["error"]["code"], -32600);
    assert!(world.seen().len() < 20);
}

#[tokio::test]
async fn a_long_call_turns_into_a_stream_only_for_clients_that_take_one() {
    let world = World::start().await;
    let both = world.client().with("accept", "application/json, text/event-stream");
    let quick = both.call("echo_get", json!({"id": "1"})).await;
    assert_eq!(quick.header("content-type"), "application/json");
    let slow = both.call("echo_slow", json!({})).await;
    assert_eq!((slow.header("content-type"), slow.header("x-accel-buffering")), ("text/event-stream", "no"));
    assert!(slow.text.starts_with(": "), "{}", slow.text);
    let data = slow.text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["result"]["isError"], false);
    let plain = world.client().call("echo_slow", json!({})).await;
    assert_eq!(plain.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_person_with_a_browser_gets_a_page() {
    let world = World::start().await;
    let browser = world.client().with("authorization", "").with("accept", "text/html,application/xhtml+xml");
    for path in ["/", "/mcp"] {
        let page = browser.send("GET", path, "").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.text.contains("Acme") && page.text.contains(&format!("{ORIGIN}/mcp")), "{}", page.text);
        assert!(page.header("content-security-policy").contains("sha256-"));
        assert_eq!(page.header("set-cookie"), "");
    }
    let health = world.client().with("host", "10.0.0.1").send("GET", "/healthz", "").await;
    assert_eq!(health.status, 200);
}

#[tokio::test]
async fn a_change_is_in_force_when_the_node_acknowledges_it() {
    let world = World::start().await;
    let mut changed = bundle(&world.upstream, 2);
    changed.installations[0].disabled_tools.push("get".into());
    world.control.tell(Control::Bundle(changed)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    let answer = world.client().call("echo_get", json!({"id": "1"})).await.json();
    assert_eq!(answer["error"]["message"], "Unknown tool: echo_get");

    let mut removed = bundle(&world.upstream, 3);
    removed.members.clear();
    world.control.tell(Control::Bundle(removed)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 3).then_some(())).await;
    assert_eq!(world.client().rpc("tools/list", json!({})).await.status, 401);

    let mut bad = bundle(&world.upstream, 4);
    bad.origin = "nonsense".into();
    world.control.tell(Control::Bundle(bad)).await;
    let nack = world.control.heard(|reply| match reply {
        Reply::Nack(nack) => Some(nack.clone()),
        _ => None,
    });
    assert_eq!(nack.await.kept_revision, 3);
    let gone = v1::TenantRemoved { tenant_id: world::TENANT.into() };
    world.control.tell(Control::Removed(gone)).await;
    let client = world.client();
    within(async { while client.rpc("ping", json!({})).await.status != 404 {} }).await;
}

#[tokio::test]
async fn a_node_restarts_and_serves_while_the_control_plane_is_away_and_ships_its_events_later() {
    let world = World::start().await;
    let World { mut control, node, folder, upstream, .. } = world;
    control.kill();
    node.shutdown().await;

    let alone = world::node(folder.path(), control.address).await;
    within(alone.ready()).await;
    let answer = Client::new(alone.local_addr).call("echo_get", json!({"id": "1"})).await;
    assert_eq!(answer.json()["result"]["isError"], false);
    alone.shutdown().await;

    let back = FakeControl::start(0, world::opening(&upstream)).await;
    let third = world::node(folder.path(), back.address).await;
    let hello = back.heard(|reply| match reply {
        Reply::Hello(hello) => Some(hello.clone()),
        _ => None,
    });
    let hello = hello.await;
    assert_eq!((hello.tenants[0].revision, hello.connector_hashes.len()), (1, 1));
    Client::new(third.local_addr).call("echo_get", json!({"id": "2"})).await;
    let events = back.events(2).await;
    assert_eq!(events.iter().map(|(_, event)| event.sequence).collect::<Vec<_>>(), [1, 1]);
    assert_ne!(events[0].0, events[1].0, "two lives, two boot ids");
    third.shutdown().await;
    let left = std::fs::read_dir(folder.path().join("spool")).unwrap().count();
    assert_eq!(left, 0, "what is stored is not kept");
}

#[tokio::test]
async fn a_broken_stream_mends_itself_while_the_node_serves() {
    let mut world = World::start().await;
    let port = world.control.address.port();
    world.control.kill();
    assert_eq!(world.client().rpc("ping", json!({})).await.status, 200);
    let mut opening = world::opening(&world.upstream);
    let mut changed = bundle(&world.upstream, 2);
    changed.name = "New name".into();
    opening[2] = Control::Bundle(changed);
    let back = FakeControl::start(port, opening).await;
    back.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    let answer = world.client().rpc("initialize", json!({})).await.json();
    assert_eq!(answer["result"]["serverInfo"]["title"], "New name");
}

#[tokio::test]
async fn a_connection_is_tested_from_the_node_with_settings_that_are_not_saved() {
    let world = World::start().await;
    world
        .control
        .tell(Control::Probe(v1::ProbeRequest {
            probe_id: "p1".into(),
            tenant_id: world::TENANT.into(),
            connector: Some(world::connector()),
            installation: Some(bundle(&world.upstream, 1).installations.remove(0)),
            tool: "slow".into(),
            arguments_json: String::new(),
        }))
        .await;
    let result = world.control.heard(|reply| match reply {
        Reply::ProbeResult(result) => Some(result.clone()),
        _ => None,
    });
    let result = result.await;
    assert!(result.ok, "{result:?}");
    assert_eq!(result.steps.len(), 5);
}

#[tokio::test]
async fn two_nodes_do_not_share_a_folder() {
    let world = World::start().await;
    let config = toolmesh_data_plane::Config {
        control_url: "http://127.0.0.1:1".parse().unwrap(),
        join_secret: "x".repeat(40).into(),
        http_listen: "127.0.0.1:0".parse().unwrap(),
        state_dir: world.folder.path().to_owned(),
        node_name: "second".into(),
        egress: toolmesh_proto::egress::EgressPolicy::default(),
        peer: None,
        trusted_proxies: vec![],
        limits: toolmesh_data_plane::Limits::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = toolmesh_data_plane::Node::start(config, listener).await.unwrap_err();
    assert!(error.to_string().contains("another running node"), "{error}");
}
