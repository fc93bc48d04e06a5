//! Composites and code mode through a node: who may call what, what is recorded, and what clients see of it.

use serde_json::{Value, json};
use toolmesh_proto::v1;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;
use toolmesh_proto::v1::{Exposure, Outcome};

use crate::world::{Client, World, bundle, connector};

/// The echo connector with composites and a tool of theirs.
fn with_composites() -> v1::Connector {
    let mut connector = connector();
    let mut raw = connector.tools[1].clone();
    raw.name = "_raw".into();
    raw.hidden = true;
    connector.tools.push(raw);
    for (name, access, code, calls) in [
        (
            "both",
            "read",
            "const all = await Promise.all([1, 2].map((id) => api.get({ id: String(id), q: params.q })));\nreturn { paths: all.map((one) => one.path), q: params.q };",
            vec!["get"],
        ),
        ("make", "write", "return await api._raw({ title: params.q })", vec!["_raw"]),
        ("sly", "read", "return await api.create({ title: 'x' })", vec!["create"]),
        ("broken", "read", "const a = await api.status({ code: '404' });\nreturn a", vec!["status"]),
        (
            "careful",
            "read",
            "try { await api.status({ code: '404' }) } catch (e) { return [e.code, e.http_status, e.api_message] }",
            vec!["status"],
        ),
        ("endless", "read", "for (;;);", vec![]),
    ] {
        connector.tools.push(v1::Tool {
            name: name.into(),
            title: name.into(),
            description: format!("Does {name}"),
            access: access.into(),
            input_schema_json: json!({"type": "object", "properties": {"q": {"type": "string", "default": "usual"}}, "additionalProperties": false}).to_string(),
            call: Some(v1::tool::Call::Composite(v1::Composite {
                code: code.into(),
                params: vec![v1::Param { name: "q".into(), default_json: "\"usual\"".into(), ..Default::default() }],
                calls: calls.into_iter().map(str::to_owned).collect(),
                timeout_millis: 30_000,
            })),
            ..Default::default()
        });
    }
    connector
}

/// A world whose connector is this one, with a bundle changed in this way.
async fn world(change: impl FnOnce(&mut v1::TenantBundle)) -> World {
    let world = World::start().await;
    let connector = with_composites();
    let mut bundle = bundle(&world.upstream, 2);
    bundle.installations[0].connector_hash = toolmesh_proto::connector_hash(&connector);
    change(&mut bundle);
    world.control.tell(Control::Connector(connector)).await;
    world.control.tell(Control::Bundle(bundle)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    world
}

async fn in_code() -> World {
    world(|bundle| bundle.installations[0].set_exposure(Exposure::Code)).await
}

async fn listed(client: &Client) -> Vec<Value> {
    let list = client.rpc("tools/list", json!({})).await.json();
    list["result"]["tools"].as_array().unwrap().clone()
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

async fn text(client: &Client, tool: &str, arguments: Value) -> (bool, String) {
    let answer = client.call(tool, arguments).await.json();
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (result["isError"].as_bool().unwrap(), text.to_owned())
}

async fn run(client: &Client, code: &str) -> Value {
    let (failed, text) = text(client, "execute_code", json!({ "code": code })).await;
    assert!(!failed, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_composite_calls_its_tools_with_its_defaults_and_each_call_is_recorded_below_it() {
    let world = world(|_| {}).await;
    let (failed, text) = text(&world.client(), "echo_both", json!({})).await;
    assert!(!failed, "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"paths": ["/items/1", "/items/2"], "q": "usual"})
    );
    let events: Vec<v1::AuditEvent> =
        world.control.events(3).await.into_iter().map(|(_, event)| event).collect();
    let parent = events.iter().find(|event| event.tool == "echo_both").unwrap();
    let children: Vec<_> = events.iter().filter(|event| event.tool == "echo_get").collect();
    assert_eq!(children.len(), 2);
    assert!(!parent.call_id.is_empty() && parent.parent_call_id.is_empty());
    assert!(
        children
            .iter()
            .all(|child| child.parent_call_id == parent.call_id && child.user_id == parent.user_id)
    );
    assert!(children.iter().all(|child| child.upstream_status == 200));
    let steps: Vec<&str> = parent.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((parent.outcome(), steps), (Outcome::Ok, vec!["identity", "policy", "arguments", "code"]));
}

#[tokio::test]
async fn what_a_composite_calls_needs_the_callers_rights_and_not_the_composites() {
    let reading = world(|bundle| bundle.api_keys[0].scope = "read".into()).await;
    let (failed, told) = text(&reading.client(), "echo_sly", json!({})).await;
    assert!(failed && told.contains("for reading only"), "{told}");
    assert!(reading.seen().is_empty(), "nothing left");
    let events = reading.control.events(2).await;
    let child = events.iter().find(|(_, event)| event.tool == "echo_create").unwrap();
    assert_eq!(child.1.outcome(), Outcome::Denied);

    let off = world(|bundle| bundle.installations[0].disabled_tools.push("get".into())).await;
    let (failed, told) = text(&off.client(), "echo_both", json!({})).await;
    assert!(failed && told.contains("Unknown tool: echo_get"), "{told}");
    assert!(off.seen().is_empty());
}

#[tokio::test]
async fn a_hidden_tool_is_for_composites_alone() {
    let world = world(|_| {}).await;
    assert!(!names(&listed(&world.client()).await).contains(&"echo__raw"));
    let refused = world.client().call("echo__raw", json!({"title": "x"})).await.json();
    assert_eq!(refused["error"]["message"], "Unknown tool: echo__raw");
    let (failed, told) = text(&world.client(), "echo_make", json!({"q": "hello"})).await;
    assert!(!failed && told.contains("/items"), "{told}");
}

#[tokio::test]
async fn a_composite_that_fails_says_what_failed_and_ends() {
    let world = world(|_| {}).await;
    let (failed, told) = text(&world.client(), "echo_broken", json!({})).await;
    assert!(failed && told.contains("answered 404 Not Found: as you wish"), "{told}");
    let (failed, told) = text(&world.client(), "echo_careful", json!({})).await;
    assert!(!failed);
    assert_eq!(told, r#"["not_found",404,"as you wish"]"#);
    let (failed, told) = text(&world.client(), "echo_endless", json!({})).await;
    assert!(failed && told.contains("computed for more than"), "{told}");
    let answer = world.client().call("echo_both", json!({"colour": 1})).await.json();
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("It takes q"), "{answer}");
    let ended = world.control.events(6).await;
    let endless = ended.iter().find(|(_, event)| event.tool == "echo_endless").unwrap();
    assert_eq!(endless.1.outcome(), Outcome::CodeFailed);
}

#[tokio::test]
async fn a_client_sees_two_tools_and_those_that_are_promoted() {
    let world = world(|bundle| {
        bundle.installations[0].set_exposure(Exposure::Code);
        bundle.installations[0].promoted_tools = vec!["get".into(), "off".into()];
    })
    .await;
    let tools = listed(&world.client()).await;
    assert_eq!(names(&tools), ["discover_tools", "execute_code", "echo_get"]);
    assert_eq!(tools[0]["annotations"]["readOnlyHint"], true);
    assert_eq!(
        (&tools[1]["annotations"]["readOnlyHint"], &tools[1]["annotations"]["destructiveHint"]),
        (&json!(false), &json!(true))
    );
    // A client that knows the name from before is served.
    assert!(world.client().call("echo_slow", json!({})).await.json()["result"]["isError"] == false);
    let answer = world
        .client()
        .rpc("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}}))
        .await
        .json();
    assert!(answer["result"]["instructions"].as_str().unwrap().contains("discover_tools"));
}

#[tokio::test]
async fn code_that_can_only_read_is_marked_so_and_nobody_sees_code_mode_without_a_use_for_it() {
    let reading = world(|bundle| {
        bundle.installations[0].set_exposure(Exposure::Code);
        bundle.api_keys[0].scope = "read".into();
    })
    .await;
    let tools = listed(&reading.client()).await;
    assert_eq!(
        (names(&tools), &tools[1]["annotations"]["readOnlyHint"]),
        (vec!["discover_tools", "execute_code"], &json!(true))
    );

    let direct = world(|_| {}).await;
    assert!(!names(&listed(&direct.client()).await).contains(&"execute_code"));
    let answer = direct.client().call("execute_code", json!({"code": "1"})).await.json();
    assert_eq!(answer["error"]["message"], "Unknown tool: execute_code");
    let (_, event) = direct.control.events(1).await.remove(0);
    assert_eq!(event.outcome(), Outcome::Denied);
}

#[tokio::test]
async fn a_model_finds_a_tool_and_calls_it_from_code() {
    let world = in_code().await;
    let client = world.client();
    let (_, found) = text(&client, "discover_tools", json!({"query": "create something with a title"})).await;
    let signature = "tools.echo.create(args?: { title?: string; password?: string }): Promise<any>";
    assert!(found.lines().any(|line| line == signature), "{found}");
    let (_, overview) = text(&client, "discover_tools", json!({})).await;
    assert!(overview.contains("tools.echo (Echo): 10 tools"), "{overview}");
    let (_, all) = text(&client, "discover_tools", json!({"namespace": "echo"})).await;
    assert!(all.contains("create (write)") && !all.contains("_raw") && !all.contains("off"), "{all}");
    let (_, none) = text(&client, "discover_tools", json!({"query": "zzzz"})).await;
    assert!(none.contains("No tool fits"), "{none}");
    let (_, named) =
        text(&client, "discover_tools", json!({"names": ["echo.get", "tools.echo.nothing"]})).await;
    assert!(named.contains("tools.echo.get(args: {") && named.contains("There is no tool"), "{named}");

    let answer = run(&client, "const [a, b] = await Promise.all([tools.echo.get({ id: '1' }), tools.echo.create({ title: 'x' })]);\nconsole.log('made');\nreturn [a.path, b.path]").await;
    assert_eq!(answer["returned"], json!(["/items/1", "/items"]));
    assert_eq!(answer["console"], json!(["made"]));
    assert_eq!(
        (&answer["calls"][0]["tool"], &answer["calls"][0]["calls"]),
        (&json!("tools.echo.get"), &json!(1))
    );
    let events = world.control.events(8).await;
    let parent = events.iter().find(|(_, event)| event.tool == "execute_code").unwrap().1.clone();
    let made: Vec<_> = events.iter().filter(|(_, event)| event.parent_call_id == parent.call_id).collect();
    assert_eq!(made.len(), 2);
    assert!(parent.arguments_json.contains("Promise.all"));
}

#[tokio::test]
async fn code_reaches_composites_and_their_calls_are_recorded_below_them() {
    let world = in_code().await;
    let answer = run(&world.client(), "return (await tools.echo.both({ q: 'x' })).paths.length").await;
    assert_eq!(answer["returned"], 2);
    let events: Vec<v1::AuditEvent> =
        world.control.events(4).await.into_iter().map(|(_, event)| event).collect();
    let of = |tool: &str| events.iter().find(|event| event.tool == tool).unwrap();
    assert_eq!(of("echo_both").parent_call_id, of("execute_code").call_id);
    assert_eq!(of("echo_get").parent_call_id, of("echo_both").call_id);
}

#[tokio::test]
async fn code_gets_no_further_than_its_caller() {
    let reading = world(|bundle| {
        bundle.installations[0].set_exposure(Exposure::Both);
        bundle.api_keys[0].scope = "read".into();
    })
    .await;
    let client = reading.client();
    let (failed, told) =
        text(&client, "execute_code", json!({"code": "await tools.echo.create({ title: 'x' })"})).await;
    assert!(failed && told.contains("has no tool"), "{told}");
    let (_, found) = text(&client, "discover_tools", json!({"query": "create"})).await;
    assert!(!found.contains("tools.echo.create"), "{found}");
    let (failed, told) = text(&client, "execute_code", json!({"code": "await tools.echo.off({})"})).await;
    assert!(failed && told.contains("has no tool"), "{told}");
    let caught =
        run(&client, "try { await tools.echo.sly({}) } catch (e) { return [e.code, e.message] }").await;
    assert_eq!(caught["returned"][0], "denied", "{caught}");
    assert!(reading.seen().is_empty(), "{:?}", reading.seen());
}

#[tokio::test]
async fn mistakes_in_code_come_back_with_their_line_and_what_was_printed() {
    let world = in_code().await;
    let client = world.client();
    for (code, part) in [
        ("const a: string = 1", "no types"),
        ("\nconst b = 1;\nnope()", "\"line\":3"),
        ("console.log('so far'); throw new Error('mine')", "so far"),
        ("await tools.echo.gett({})", "Did you mean get"),
        ("await tools.ekko.get({})", "it has echo"),
        ("await tools.echo.get({})", "/id: is required"),
        ("await tools.echo.status({ code: '500' })", "500 Internal Server Error"),
        ("await new Promise(() => {})", "nothing will settle"),
    ] {
        let (failed, told) = text(&client, "execute_code", json!({ "code": code })).await;
        assert!(failed && told.contains(part), "{code}: {told}");
    }
    let told = run(&client, "1;").await;
    assert_eq!(told["returned"], 1);
    for bad in [json!({}), json!({"code": 1}), json!({"code": "1", "timeout": 5})] {
        let (failed, told) = text(&client, "execute_code", bad).await;
        assert!(failed && told.contains("It takes code"), "{told}");
    }
}

#[tokio::test]
async fn what_is_taken_back_while_code_runs_is_gone_for_it() {
    let world = in_code().await;
    let client = world.client();
    let running = tokio::spawn(async move {
        let code = "const all = [];\nfor (let n = 0; n < 150; n++) { try { await tools.echo.get({ id: String(n) }); all.push('ok') } catch (e) { all.push(e.code); break } }\nreturn all[all.length - 1]";
        text(&client, "execute_code", json!({ "code": code })).await
    });
    crate::control::within(async {
        while world.seen().len() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut removed = bundle(&world.upstream, 3);
    removed.members.clear();
    world.control.tell(Control::Bundle(removed)).await;
    let (_, told) = crate::control::within(running).await.unwrap();
    assert!(told.contains("denied"), "{told}");
    assert!(world.seen().len() < 150);
}
