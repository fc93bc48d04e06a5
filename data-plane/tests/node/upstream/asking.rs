//! A call that is under way: what its server asks the client, and who may go on with it or end it.

use super::*;

#[tokio::test]
async fn a_client_of_the_newest_revision_cancels_by_leaving_and_an_older_one_by_a_message() {
    let (world, server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    let leaving = tokio::spawn(async move { modern.call("new_never").await });
    within(async {
        while server.seen("tools/call").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    leaving.abort();
    within(server.left.cancelled()).await;
    let (_, event) = world.control.events(1).await.remove(0);
    assert_eq!(event.outcome(), v1::Outcome::Cancelled, "{event:?}");

    let client = world.client();
    let waiting = tokio::spawn(async move { client.call("old_never", json!({})).await.json() });
    within(async {
        while server.seen("tools/call").len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let cancel =
        |id: u32| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    world.client().send("POST", "/mcp", cancel(99).to_string()).await;
    world.client().send("POST", "/mcp", cancel(1).to_string()).await;
    let answer = within(waiting).await.unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let events = world.control.events(2).await;
    assert_eq!(events[1].1.outcome(), v1::Outcome::Cancelled);
}

#[tokio::test]
async fn a_modern_server_asks_a_modern_client_in_rounds_and_a_state_is_good_for_its_call_alone() {
    let (world, server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    let first = modern.call("new_ask").await;
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required", "{first}");
    assert_eq!(result["inputRequests"]["who"]["method"], "elicitation/create");
    let state = result["requestState"].as_str().unwrap().to_owned();
    assert!(!state.contains("state 1"));
    let retry = |name: &str, state: &str| {
        let responses = json!({"who": {"action": "accept"}, "extra": 1});
        json!({"name": name, "arguments": {"q": "1"}, "inputResponses": responses, "requestState": state})
    };
    let done = modern.rpc("tools/call", retry("new_ask", &state)).await.json();
    assert_eq!(done["result"]["content"][0]["text"], r#"[{"who":{"action":"accept"}},"state 1"]"#);
    let mut other = retry("new_ask", &state);
    other["arguments"]["q"] = "2".into();
    let tampered = format!("{}A", &state[..state.len() - 1]);
    let mut number = retry("new_ask", &state);
    number["inputResponses"]["who"] = 12345.into();
    for bad in
        [retry("new_plain", &state), other, retry("new_ask", &tampered), retry("new_ask", "nonsense"), number]
    {
        let refused = modern.rpc("tools/call", bad.clone()).await.json();
        assert!(
            refused["error"]["code"] == -32602
                || bad["requestState"] == state.as_str() && refused["error"].is_object(),
            "{refused}"
        );
    }
    assert_eq!(server.seen("tools/call").len(), 2);
    let narrow = Modern(modern.0.clone(), json!({}));
    let refused = narrow.rpc("tools/call", json!({"name": "new_ask", "arguments": {}})).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!(-32021)));
    assert_eq!(refused.json()["error"]["data"]["requiredCapabilities"], json!({"elicitation": {}}));
}

/// The next message of a stream.
async fn message(stream: &mut reqwest::Response, held: &mut String) -> Value {
    loop {
        while let Some((event, rest)) = held.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
            *held = rest.to_owned();
            if let Some(data) = data {
                return serde_json::from_str(&data).unwrap();
            }
        }
        let chunk = within(stream.chunk()).await.unwrap().unwrap();
        held.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

/// A client of an older revision that can be asked, with its session.
async fn session(world: &World) -> Client {
    let client = world.client().with("accept", "application/json, text/event-stream");
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}});
    let begun = client.rpc("initialize", params).await;
    let id = begun.header("mcp-session-id");
    assert!(!id.is_empty() && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    client.with("mcp-session-id", id)
}

#[tokio::test]
async fn an_older_client_is_asked_on_its_stream_by_servers_of_either_era() {
    let (world, server) = world(|_| {}).await;
    let client = session(&world).await;
    for (tool, expected) in
        [("old_elicit", r#"{"action":"accept"}"#), ("new_ask", r#"[{"who":{"action":"accept"}},"state 1"]"#)]
    {
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        let mut stream = client.open("POST", "/mcp", call.to_string()).await;
        let mut held = String::new();
        let asked = message(&mut stream, &mut held).await;
        assert_eq!(
            (&asked["method"], &asked["params"]["message"]),
            (&json!("elicitation/create"), &json!("Who?"))
        );
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}}).to_string();
        let taken = client.send("POST", "/mcp", answer.clone()).await;
        assert_eq!((taken.status, taken.text.as_str()), (202, ""));
        let done = message(&mut stream, &mut held).await;
        assert_eq!(
            (&done["id"], &done["result"]["content"][0]["text"]),
            (&json!(7), &json!(expected)),
            "{done}"
        );
        assert_eq!(client.send("POST", "/mcp", answer).await.status, 202, "an answer too late is nothing");
    }
    assert_eq!(server.seen("tools/call").len(), 3);
    // Without a session nothing can be asked of the client.
    let plain = world.client().call("new_ask", json!({})).await.json();
    assert!(plain["error"]["message"].as_str().unwrap().contains("cannot be asked"), "{plain}");
}

#[tokio::test]
async fn a_session_that_is_not_its_callers_is_over() {
    let (world, _server) = world(|_| {}).await;
    let client = world.client().with("mcp-session-id", "nonsense");
    assert_eq!(client.rpc("ping", json!({})).await.status, 404);
    assert_eq!(client.rpc("initialize", json!({})).await.status, 200);
    let client = session(&world).await;
    assert_eq!(client.rpc("ping", json!({})).await.status, 200);
    assert_eq!(client.send("DELETE", "/mcp", "").await.status, 405);
}

#[tokio::test]
async fn a_question_of_an_older_server_waits_for_the_next_request_of_a_modern_client() {
    let (world, server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    let first = modern.call("old_elicit").await;
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required", "{first}");
    let requests = result["inputRequests"].as_object().unwrap();
    let (key, request) = requests.iter().next().unwrap();
    assert_eq!(
        (&request["method"], &request["params"]["message"]),
        (&json!("elicitation/create"), &json!("Who?"))
    );
    let retry = |responses: Value, state: &Value| json!({"name": "old_elicit", "arguments": {"q": "1"}, "inputResponses": responses, "requestState": state});
    // What is missing is asked again.
    let again = modern.rpc("tools/call", retry(json!({"other": {}}), &result["requestState"])).await.json();
    assert_eq!(again["result"]["inputRequests"], result["inputRequests"], "{again}");
    let answers = json!({ key.as_str(): {"action": "accept"} });
    let done =
        modern.rpc("tools/call", retry(answers.clone(), &again["result"]["requestState"])).await.json();
    assert_eq!(done["result"]["content"][0]["text"], r#"{"action":"accept"}"#, "{done}");
    let late = modern.rpc("tools/call", retry(answers, &again["result"]["requestState"])).await.json();
    assert_eq!(late["error"]["code"], -32602);
    assert_eq!(server.seen("tools/call").len(), 1);
}
