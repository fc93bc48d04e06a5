//! HTTP+SSE.

use std::sync::Mutex;

use http::Method;

use super::played::{Played, event, initialized, of_type, open_stream, status};
use super::*;

fn server(url: &str) -> Arc<Installation> {
    installed(url, "2024-11-05", v1::mcp_server::Transport::HttpSse)
}

/// Plays a server whose stream ends after so many answers.
async fn play(answers: usize) -> Played {
    let stream: Arc<Mutex<Option<mpsc::Sender<String>>>> = Arc::default();
    let given = std::sync::atomic::AtomicUsize::new(0);
    Played::start(move |seen, _| {
        if seen.method == Method::GET {
            let (write, response) = open_stream();
            write.try_send("event: endpoint\ndata: /messages?s=1\n\n".to_owned()).unwrap();
            *stream.lock().unwrap() = Some(write);
            return response;
        }
        let write = stream.lock().unwrap().clone();
        let answer = |result: Value| {
            let message = event(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}));
            if let Some(write) = &write {
                let _ = write.try_send(message);
            }
        };
        match seen.rpc() {
            "initialize" => {
                let version = &seen.body["params"]["protocolVersion"];
                answer(json!({"protocolVersion": version, "capabilities": {}, "serverInfo": {}}));
            }
            "tools/call" => {
                answer(said("over the stream"));
                let given = given.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                if given.is_multiple_of(answers) {
                    *stream.lock().unwrap() = None;
                }
            }
            _ => {}
        }
        status(202)
    })
    .await
}

#[tokio::test]
async fn calls_share_a_stream_and_a_stream_that_ended_is_opened_again() {
    let played = play(2).await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    let mut requests = Vec::new();
    for _ in 0..4 {
        let asked = call(&upstreams, &server, ada).await;
        requests.push(asked.requests);
        assert_eq!(text(asked), "over the stream");
        // The end of the stream is on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(requests, [4, 1, 4, 1]);
    assert!(
        played
            .seen()
            .iter()
            .filter(|seen| seen.method == Method::POST)
            .all(|seen| seen.path == "/messages?s=1")
    );
}

#[tokio::test]
async fn a_server_of_another_kind_is_no_such_stream() {
    for answer in [
        |seen: &super::played::Seen| initialized(seen, None),
        |_: &super::played::Seen| of_type("text/event-stream", "data: {}\n\n"),
        |_: &super::played::Seen| of_type("text/event-stream", ""),
        |_: &super::played::Seen| {
            of_type("text/event-stream", "event: endpoint\ndata: https://evil.example/\n\n")
        },
    ] {
        let played = Played::start(move |seen, _| answer(seen)).await;
        let asked = call(&upstreams(), &server(&played.url), somebody()).await;
        assert!(matches!(asked.result, Err(Failure::Broken(_))), "{asked:?}");
    }
}

#[tokio::test]
async fn a_stream_on_which_nobody_is_talked_to_is_given_up() {
    let (given_up, over) = tokio::sync::oneshot::channel();
    let given_up = Mutex::new(Some(given_up));
    let stream: Arc<Mutex<Option<mpsc::Sender<String>>>> = Arc::default();
    let played = Played::start(move |seen, _| {
        if seen.method == Method::GET {
            let (write, response) = open_stream();
            write.try_send("event: endpoint\ndata: /messages\n\n".to_owned()).unwrap();
            *stream.lock().unwrap() = Some(write);
            return response;
        }
        let Some(write) = stream.lock().unwrap().clone() else { return status(404) };
        let message =
            |result: Value| event(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}));
        match seen.rpc() {
            "initialize" => {
                let version = &seen.body["params"]["protocolVersion"];
                let hello = json!({"protocolVersion": version, "capabilities": {}, "serverInfo": {}});
                write.try_send(message(hello)).unwrap();
            }
            "tools/call" => {
                write.try_send(message(said("hello"))).unwrap();
                if let Some(given_up) = given_up.lock().unwrap().take() {
                    tokio::spawn(async move {
                        while write.send(format!(": {}\n\n", "x".repeat(32 << 10))).await.is_ok() {}
                        let _ = given_up.send(());
                    });
                }
            }
            _ => {}
        }
        status(202)
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    assert_eq!(text(call(&upstreams, &server, ada).await), "hello");
    tokio::time::timeout(SOON, over).await.expect("the stream is read for ever").unwrap();
    assert_eq!(text(call(&upstreams, &server, ada).await), "hello");
}
