//! The revisions that begin with `initialize`.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use serde_json::value::to_raw_value;

use super::played::{Played, event, events, initialized, of_type, open_stream, result, status};
use super::*;
use crate::call::line::Answered;

fn server(url: &str) -> Arc<Installation> {
    installed(url, "2025-11-25", v1::mcp_server::Transport::StreamableHttp)
}

#[tokio::test]
async fn a_session_begins_once_for_a_caller_and_carries_every_call() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => initialized(seen, Some("s-1")),
        "notifications/initialized" => status(202),
        _ => result(seen, &said("hello")),
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    let first = call(&upstreams, &server, ada).await;
    assert_eq!(first.requests, 3);
    assert_eq!(text(first), "hello");
    assert_eq!(call(&upstreams, &server, ada).await.requests, 1);
    let wanted = ["POST initialize", "POST notifications/initialized", "POST tools/call", "POST tools/call"];
    assert_eq!(played.methods(), wanted);
    for seen in &played.seen()[1..] {
        assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!(seen.header("mcp-method"), None);
    }
    assert_ne!(played.seen()[2].body["id"], played.seen()[3].body["id"]);
    // Somebody else never meets what the server keeps for Ada.
    assert_eq!(call(&upstreams, &server, somebody()).await.requests, 3);
}

#[tokio::test]
async fn many_who_call_at_once_begin_one_session() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => initialized(seen, None),
        "notifications/initialized" => status(202),
        _ => result(seen, &said("hello")),
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    let calls = (0..16).map(|_| call(&upstreams, &server, ada));
    for asked in futures_util::future::join_all(calls).await {
        assert_eq!(text(asked), "hello");
    }
    let begun = played.methods().iter().filter(|method| *method == "POST initialize").count();
    assert_eq!(begun, 1);
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_begun_anew_and_the_caller_does_not_notice() {
    for (code, body) in [(404, ""), (400, r#"{"error":"Bad Request: No valid session ID provided"}"#)] {
        let begun = AtomicUsize::new(0);
        let played = Played::start(move |seen, _| match seen.rpc() {
            "initialize" => {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                initialized(seen, Some(&format!("s-{number}")))
            }
            "notifications/initialized" => status(202),
            _ if seen.header("mcp-session-id") == Some("s-0") => {
                let mut lost = of_type("application/json", body);
                *lost.status_mut() = http::StatusCode::from_u16(code).unwrap();
                lost
            }
            _ => result(seen, &said("again")),
        })
        .await;
        let asked = call(&upstreams(), &server(&played.url), somebody()).await;
        assert_eq!(text(asked), "again", "{code}");
    }
}

#[tokio::test]
async fn a_server_that_forgets_every_session_is_given_up() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => initialized(seen, Some("s")),
        "notifications/initialized" => status(202),
        _ => status(404),
    })
    .await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    assert!(matches!(asked.result, Err(Failure::Broken(_))), "{asked:?}");
    assert_eq!(asked.requests, 6);
}

#[tokio::test]
async fn a_question_in_the_middle_of_a_call_reaches_the_client_and_its_answer_the_server() {
    type Open = std::sync::Mutex<Option<(mpsc::Sender<String>, Value)>>;
    let open: Arc<Open> = Arc::default();
    let played = Played::start({
        let open = Arc::clone(&open);
        move |seen, _| match seen.rpc() {
            "initialize" => initialized(seen, Some("s")),
            "notifications/initialized" => status(202),
            "logging/setLevel" => result(seen, &json!({})),
            "tools/call" => {
                let (write, response) = open_stream();
                let token = &seen.body["params"]["_meta"]["progressToken"];
                let progress = json!({"progressToken": token, "progress": 1});
                let ask =
                    json!({"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}});
                for message in [
                    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}),
                    json!({"jsonrpc": "2.0", "id": "q-1", "method": "ping"}),
                    json!({"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": ask}),
                ] {
                    write.try_send(event(&message)).unwrap();
                }
                *open.lock().unwrap() = Some((write, seen.body["id"].clone()));
                response
            }
            // The answers to the two questions.
            _ if seen.body["id"] == 7 => {
                let (write, id) = open.lock().unwrap().take().unwrap();
                let done = said(&seen.body["result"].to_string());
                write.try_send(event(&json!({"jsonrpc": "2.0", "id": id, "result": done}))).unwrap();
                status(202)
            }
            _ => status(202),
        }
    })
    .await;
    let (line, mut heard, _gone) = client();
    let (upstreams, server) = (upstreams(), server(&played.url));
    let person = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(event) = heard.recv().await {
            match event {
                Event::Notification { params, .. } => told.push(params.get().to_owned()),
                Event::Ask(ask) => {
                    assert_eq!(ask.method, "elicitation/create");
                    // Longer than the server has: the time in which a person thinks is not its own.
                    tokio::time::sleep(Duration::from_millis(2300)).await;
                    let answer = to_raw_value(&json!({"action": "accept", "content": {}})).unwrap();
                    ask.answer.send(Answered::Result(answer)).unwrap();
                }
            }
        }
        told
    });
    let asked = upstreams.ask(&server, somebody(), &Placement::default(), question(&json!({})), &line).await;
    assert_eq!(text(asked), r#"{"action":"accept","content":{}}"#);
    drop(line);
    assert_eq!(person.await.unwrap(), [r#"{"progressToken":"p","progress":1}"#]);
    let first = &played.seen()[0].body["params"]["capabilities"];
    assert_eq!(first, &json!({"elicitation": {}, "sampling": {}, "roots": {}}));
    let pong = played.seen().iter().any(|seen| seen.body["id"] == "q-1" && seen.body["result"] == json!({}));
    assert!(pong, "a ping is answered");
}

#[tokio::test]
async fn a_question_beside_the_answer_reaches_the_client_too() {
    type Open = std::sync::Mutex<Vec<mpsc::Sender<String>>>;
    let open: Arc<Open> = Arc::default();
    let played = Played::start(move |seen, _| match (seen.method.clone(), seen.rpc()) {
        (_, "initialize") => initialized(seen, Some("s")),
        (_, "notifications/initialized") => status(202),
        (_, "logging/setLevel") => result(seen, &json!({})),
        (Method::GET, _) => {
            let (write, response) = open_stream();
            open.lock().unwrap().push(write);
            response
        }
        // The question comes on the stream of the session, which is open before the call.
        (_, "tools/call") => {
            let ask = json!({"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}});
            let ask = json!({"jsonrpc": "2.0", "id": seen.body["id"], "method": "elicitation/create", "params": ask});
            let (write, response) = open_stream();
            let mut open = open.lock().unwrap();
            open[0].try_send(event(&ask)).unwrap();
            open.push(write);
            response
        }
        _ => {
            let done = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": said("answered")});
            let write = open.lock().unwrap().pop().unwrap();
            write.try_send(event(&done)).unwrap();
            status(202)
        }
    })
    .await;
    let (line, mut heard, _gone) = client();
    let person = tokio::spawn(async move {
        while let Some(event) = heard.recv().await {
            if let Event::Ask(ask) = event {
                let answer = to_raw_value(&json!({"action": "decline"})).unwrap();
                ask.answer.send(Answered::Result(answer)).unwrap();
            }
        }
    });
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    for _ in 0..2 {
        let asked = upstreams.ask(&server, ada, &Placement::default(), question(&json!({})), &line).await;
        assert_eq!(text(asked), "answered");
    }
    drop(line);
    person.await.unwrap();
    let opened = played.seen().iter().filter(|seen| seen.method == Method::GET).count();
    assert_eq!(opened, 1, "one stream serves all calls of a session");
}

#[tokio::test]
async fn a_question_that_nobody_can_answer_is_refused_to_the_server() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => initialized(seen, None),
        "tools/call" => {
            let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}});
            events(&[ask, json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": said("alone")})])
        }
        _ => status(202),
    })
    .await;
    let (upstreams, server) = (upstreams(), server(&played.url));
    assert_eq!(text(call(&upstreams, &server, somebody()).await), "alone");
    assert_eq!(played.seen()[0].body["params"]["capabilities"], json!({}));
}

#[tokio::test]
async fn a_server_is_told_that_nobody_waits_any_more() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => initialized(seen, Some("s")),
        "tools/call" => {
            let (write, response) = open_stream();
            tokio::spawn(async move {
                let _open = write;
                std::future::pending::<()>().await;
            });
            response
        }
        _ => status(202),
    })
    .await;
    let (upstreams, server, gone) = (upstreams(), server(&played.url), CancellationToken::new());
    let line = Line::silent(gone.clone());
    let asking = tokio::spawn(async move {
        upstreams.ask(&server, somebody(), &Placement::default(), question(&json!({})), &line).await
    });
    let sent = |method: &str| {
        let (method, seen) = (method.to_owned(), played.seen());
        seen.into_iter().find(|seen| seen.rpc() == method)
    };
    let wait = async |method: &str| loop {
        if let Some(seen) = sent(method) {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let asked = tokio::time::timeout(SOON, wait("tools/call")).await.unwrap();
    gone.cancel();
    assert!(matches!(asking.await.unwrap().result, Err(Failure::HungUp)));
    let cancelled = tokio::time::timeout(SOON, wait("notifications/cancelled")).await.unwrap();
    assert_eq!(cancelled.body["params"]["requestId"], asked.body["id"]);
    assert_eq!(cancelled.header("mcp-session-id"), Some("s"));
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_broke() {
    let played = Played::start(|seen, _| match (seen.method.clone(), seen.rpc()) {
        (_, "initialize") => initialized(seen, Some("s")),
        (_, "tools/call") => of_type("text/event-stream", "id: e-1\nretry: 10\ndata:\n\n"),
        (Method::GET, _) if seen.header("last-event-id") == Some("e-1") => {
            of_type("text/event-stream", "id: e-2\ndata:\n\n")
        }
        (Method::GET, _) if seen.header("last-event-id") == Some("e-2") => {
            events(&[json!({"jsonrpc": "2.0", "id": 1, "result": said("taken up")})])
        }
        _ => status(202),
    })
    .await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    assert_eq!(asked.requests, 5);
    assert_eq!(text(asked), "taken up");
}

#[tokio::test]
async fn a_server_that_turns_out_to_be_newer_is_asked_as_such() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "initialize" => {
            let data = json!({"supported": ["2026-07-28"], "requested": "2025-11-25"});
            let error = json!({"code": -32022, "message": "Unsupported", "data": data});
            let body = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error});
            let mut response = super::played::json_body(&body);
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            response
        }
        _ => result(seen, &said("newer")),
    })
    .await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    assert_eq!(text(asked), "newer");
    assert_eq!(played.seen()[1].header("mcp-protocol-version"), Some("2026-07-28"));
}

#[tokio::test]
async fn a_server_of_an_older_revision_is_held_to_it() {
    for (chosen, header) in [("2025-06-18", true), ("2025-03-26", false), ("2024-11-05", false)] {
        let played = Played::start(move |seen, _| match seen.rpc() {
            "initialize" => {
                let result_ = json!({"protocolVersion": chosen, "capabilities": {}, "serverInfo": {}});
                result(seen, &result_)
            }
            "tools/call" if chosen == "2025-03-26" => {
                let answer = json!([{"jsonrpc": "2.0", "id": seen.body["id"], "result": said("old")}]);
                super::played::json_body(&answer)
            }
            "tools/call" => result(seen, &said("old")),
            _ => status(202),
        })
        .await;
        assert_eq!(text(call(&upstreams(), &server(&played.url), somebody()).await), "old");
        let last = played.seen().pop().unwrap();
        assert_eq!(last.header("mcp-protocol-version").is_some(), header, "{chosen}");
    }
}

#[tokio::test]
async fn who_listens_to_an_older_server_hears_of_its_resources() {
    let stream: Arc<std::sync::Mutex<Option<mpsc::Sender<String>>>> = Arc::default();
    let played = Played::start(move |seen, _| match (seen.method.clone(), seen.rpc()) {
        (Method::GET, _) => {
            let (write, response) = open_stream();
            *stream.lock().unwrap() = Some(write);
            response
        }
        (_, "initialize") => initialized(seen, Some("s")),
        (_, "resources/subscribe") => {
            let write = stream.lock().unwrap().clone().unwrap();
            let params = json!({"uri": seen.body["params"]["uri"]});
            let updated =
                json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params});
            write.try_send(event(&updated)).unwrap();
            result(seen, &json!({}))
        }
        _ => status(202),
    })
    .await;
    let wanted = listen::Wanted { uris: vec!["test://a".into()], ..listen::Wanted::default() };
    let show: listen::Show = Arc::new(|| Box::pin(async { Some(Placement::default()) }));
    let mut heard = Box::pin(upstreams().listen(server(&played.url), somebody(), show, wanted));
    let mut next = async || {
        tokio::time::timeout(SOON, futures_util::StreamExt::next(&mut heard)).await.unwrap().unwrap()
    };
    assert!(matches!(next().await, listen::Notice::Open));
    assert!(matches!(next().await, listen::Notice::Resource(params) if params.get().contains("test://a")));
    drop(heard);
    let ended = async {
        while !played.seen().iter().any(|seen| seen.method == Method::DELETE) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, ended).await.expect("the session of the stream is ended");
}
