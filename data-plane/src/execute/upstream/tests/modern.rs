//! Revision 2026-07-28.

use super::played::{Played, event, events, json_body, of_type, result, status};
use super::*;

fn server(url: &str) -> Arc<Installation> {
    installed(url, "2026-07-28", v1::mcp_server::Transport::StreamableHttp)
}

#[tokio::test]
async fn a_call_is_one_request_that_says_everything() {
    let played = Played::start(|seen, _| {
        result(seen, &json!({"resultType": "complete", "content": [], "vendor": {"kept": 1.5}}))
    })
    .await;
    let (line, _heard, _gone) = client();
    let asked = upstreams()
        .ask(
            &server(&format!("{}?team=1", played.url)),
            somebody(),
            &Placement::default(),
            question(&json!({"region": "Zürich"})),
            &line,
        )
        .await;
    assert_eq!(asked.requests, 1);
    assert!(
        matches!(asked.result, Ok(Answer::Result(raw)) if raw.get().contains(r#""vendor":{"kept":1.5}"#))
    );
    let seen = &played.seen()[0];
    assert_eq!(seen.path, "/mcp?team=1");
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-method"), Some("tools/call"));
    assert_eq!(seen.header("mcp-name"), Some("echo"));
    assert_eq!(seen.header("mcp-param-region"), Some("=?base64?WsO8cmljaA==?="));
    assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
    let meta = &seen.body["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "toolmesh");
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {}, "sampling": {}, "roots": {}})
    );
    assert_eq!((&meta["progressToken"], &meta["acme/x"]), (&json!("p"), &json!(1)));
}

#[tokio::test]
async fn what_a_server_tells_on_the_way_reaches_the_client() {
    let played = Played::start(|seen, _| {
        let told =
            |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
        events(&[
            told("notifications/progress", json!({"progressToken": "p", "progress": 1})),
            told("notifications/message", json!({"level": "info", "data": "not wanted"})),
            told("notifications/message", json!({"level": "error", "data": "wanted"})),
            json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": said("done")}),
        ])
    })
    .await;
    let (line, mut heard, _gone) = client();
    let asked = upstreams()
        .ask(&server(&played.url), somebody(), &Placement::default(), question(&json!({})), &line)
        .await;
    assert_eq!(text(asked), "done");
    drop(line);
    let mut told = Vec::new();
    while let Some(Event::Notification { method, params }) = heard.recv().await {
        told.push(format!("{method} {params}"));
    }
    assert_eq!(
        told,
        [
            r#"notifications/progress {"progressToken":"p","progress":1}"#,
            r#"notifications/message {"level":"error","data":"wanted"}"#,
        ]
    );
}

#[tokio::test]
async fn a_server_that_needs_input_gets_it_in_another_round() {
    let played = Played::start(|seen, _| {
        if seen.body["params"]["inputResponses"]["name"]["action"] == "accept" {
            return result(seen, &said(seen.body["params"]["requestState"].as_str().unwrap()));
        }
        let ask = json!({"method": "elicitation/create", "params": {"message": "Your name?"}});
        result(
            seen,
            &json!({"resultType": "input_required", "inputRequests": {"name": ask}, "requestState": "s1"}),
        )
    })
    .await;
    let (line, _heard, _gone) = client();
    let (upstreams, server, subject) = (upstreams(), server(&played.url), somebody());
    let placement = Placement::default();
    let first = upstreams.ask(&server, subject, &placement, question(&json!({})), &line).await;
    let Ok(Answer::InputRequired { requests, state }) = first.result else { panic!("{first:?}") };
    assert!(requests.has("name"));
    let responses = json!({"name": {"action": "accept", "content": {}}});
    let round = Round { responses: responses.as_object().unwrap().clone(), state };
    let second = Question { round: Some(round), ..question(&json!({})) };
    assert_eq!(text(upstreams.ask(&server, subject, &placement, second, &line).await), "s1");
    let ids: Vec<_> = played.seen().iter().map(|seen| seen.body["id"].clone()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn the_servers_own_error_is_passed_on_and_is_no_failure_of_the_server() {
    let played = Played::start(|seen, _| {
        let error = json!({"code": -32602, "message": "no such tool", "data": {"a": 1}});
        json_body(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error}))
    })
    .await;
    let (upstreams, server) = (upstreams(), server(&played.url));
    for _ in 0..8 {
        let asked = call(&upstreams, &server, somebody()).await;
        assert!(matches!(asked.result, Err(Failure::Rpc { code: -32602, data: Some(_), .. })), "{asked:?}");
    }
}

#[tokio::test]
async fn who_hangs_up_ends_the_request() {
    let (write, read) = tokio::sync::oneshot::channel::<()>();
    let write = std::sync::Mutex::new(Some(write));
    let played = Played::start(move |_, _| {
        // Held by the stream alone: it goes when the stream does.
        let held = write.lock().unwrap().take();
        let silence = async_stream(held);
        of_type("text/event-stream", axum::body::Body::from_stream(silence))
    })
    .await;
    let (line, _heard, gone) = client();
    let (upstreams, server) = (upstreams(), server(&played.url));
    let asking = tokio::spawn(async move {
        upstreams.ask(&server, somebody(), &Placement::default(), question(&json!({})), &line).await
    });
    while played.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    gone.cancel();
    assert!(matches!(asking.await.unwrap().result, Err(Failure::HungUp)));
    assert!(tokio::time::timeout(SOON, read).await.unwrap().is_err(), "the request goes on");
}

/// A stream that says a comment over and over for as long as it is read.
fn async_stream(
    held: Option<tokio::sync::oneshot::Sender<()>>,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, std::convert::Infallible>> {
    futures_util::stream::unfold(held, |held| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok(bytes::Bytes::from_static(b":\n\n")), held))
    })
}

#[tokio::test]
async fn a_server_that_turns_out_to_be_older_is_asked_as_such() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => super::played::initialized(seen, None),
        "notifications/initialized" => status(202),
        _ if seen.header("mcp-method").is_some() => status(400),
        _ => result(seen, &said("older")),
    })
    .await;
    let (upstreams, server, subject) = (upstreams(), server(&played.url), somebody());
    assert_eq!(text(call(&upstreams, &server, subject).await), "older");
    let again = call(&upstreams, &server, subject).await;
    assert_eq!(again.requests, 1, "what it speaks is remembered");
}

#[tokio::test]
async fn an_event_may_come_in_pieces_and_its_stream_may_go_on() {
    let played = Played::start(|seen, _| {
        let whole = event(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": said("pieces")}));
        let (write, response) = super::played::open_stream();
        tokio::spawn(async move {
            for piece in whole.as_bytes().chunks(7) {
                let _ = write.send(String::from_utf8(piece.to_vec()).unwrap()).await;
                tokio::task::yield_now().await;
            }
            // The server does not end its stream.
            std::future::pending::<()>().await;
        });
        response
    })
    .await;
    assert_eq!(text(call(&upstreams(), &server(&played.url), somebody()).await), "pieces");
}

#[tokio::test]
async fn who_listens_hears_what_was_wanted_and_nothing_else() {
    let told = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    let played = Played::start(move |_, _| {
        let (write, response) = super::played::open_stream();
        for message in [
            told("notifications/subscriptions/acknowledged", json!({})),
            told("notifications/tools/list_changed", json!({})),
            told("notifications/prompts/list_changed", json!({})),
            told("notifications/resources/updated", json!({"uri": "test://other"})),
            told("notifications/resources/updated", json!({"uri": "test://a", "title": "A"})),
        ] {
            write.try_send(event(&message)).unwrap();
        }
        tokio::spawn(async move { write.closed().await });
        response
    })
    .await;
    let wanted = listen::Wanted { prompts: true, uris: vec!["test://a".into()], ..listen::Wanted::default() };
    let show: listen::Show = Arc::new(|| Box::pin(async { Some(Placement::default()) }));
    let upstreams = upstreams();
    let mut heard = Box::pin(upstreams.listen(server(&played.url), somebody(), show, wanted));
    let mut next = async || {
        tokio::time::timeout(SOON, futures_util::StreamExt::next(&mut heard)).await.unwrap().unwrap()
    };
    assert!(matches!(next().await, listen::Notice::Open));
    assert!(matches!(next().await, listen::Notice::Prompts));
    assert!(matches!(next().await, listen::Notice::Resource(params) if params.get().contains("title")));
    let asked = &played.seen()[0];
    assert_eq!(asked.header("mcp-method"), Some("subscriptions/listen"));
    let expected = json!({"promptsListChanged": true, "resourceSubscriptions": ["test://a"]});
    assert_eq!(asked.body["params"]["notifications"], expected);
    let report = upstreams.reporter.next().await;
    let changed = matches!(report, toolmesh_proto::v1::node_message::Message::UpstreamChanged(_));
    assert!(changed, "the control plane hears of what changed, whether or not it was wanted");
}
