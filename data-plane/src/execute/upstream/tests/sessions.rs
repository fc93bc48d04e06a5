//! Sessions of older servers: how many there are, whose they are, and that each is ended.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Method, StatusCode};

use super::played::{Played, Seen, events, initialized, json_body, of_type, open_stream, result, status};
use super::*;

fn server(url: &str) -> Arc<Installation> {
    installed(url, "2025-11-25", v1::mcp_server::Transport::StreamableHttp)
}

/// A server that counts its sessions `s-0`, `s-1`, …; `answer` is what it says to calls.
async fn counting(answer: impl Fn(&Seen) -> axum::response::Response + Send + Sync + 'static) -> Played {
    let begun = AtomicUsize::new(0);
    Played::start(move |seen, _| match (seen.method.clone(), seen.rpc()) {
        (_, "initialize") => initialized(seen, Some(&format!("s-{}", begun.fetch_add(1, Ordering::Relaxed)))),
        (Method::GET, _) => status(405),
        (_, "tools/call") => answer(seen),
        _ => status(202),
    })
    .await
}

fn begun(played: &Played) -> usize {
    played.methods().iter().filter(|method| *method == "POST initialize").count()
}

/// The sessions that were ended, in order.
fn ended(played: &Played) -> Vec<String> {
    let all = played.seen().into_iter().filter(|seen| seen.method == Method::DELETE);
    all.map(|seen| seen.header("mcp-session-id").unwrap_or_default().to_owned()).collect()
}

async fn until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it never happened");
}

#[tokio::test]
async fn many_whose_session_was_lost_begin_one_new_one() {
    let played = counting(|seen| match seen.header("mcp-session-id") {
        Some("s-0") => status(404),
        _ => result(seen, &said("again")),
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    let calls = (0..16).map(|_| call(&upstreams, &server, ada));
    for asked in futures_util::future::join_all(calls).await {
        assert_eq!(text(asked), "again");
    }
    assert_eq!(begun(&played), 2);
    assert!(ended(&played).is_empty(), "what the server forgot need not be ended");
}

#[tokio::test]
async fn a_caller_has_few_sessions_with_a_server_and_those_before_are_ended() {
    let played = counting(|seen| result(seen, &said("hello"))).await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    for number in 0..10 {
        let capabilities = json!({"sampling": {"is": number}});
        let client = Client { capabilities: capabilities.as_object().unwrap().clone(), ..Client::default() };
        let (line, _heard) = Line::new(client, CancellationToken::new());
        let asked = upstreams.ask(&server, ada, &Placement::default(), question(&json!({})), &line).await;
        assert_eq!(text(asked), "hello");
    }
    assert_eq!(begun(&played), 10);
    until(|| ended(&played).len() == 2).await;
    let mut ended = ended(&played);
    ended.sort();
    assert_eq!(ended, ["s-0", "s-1"]);
}

#[tokio::test]
async fn another_account_of_the_same_person_has_a_session_of_its_own() {
    let played = counting(|seen| result(seen, &said("hello"))).await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    for account in [1, 1, 2] {
        let asker = Asker { subject: ada, account };
        let line = Line::silent(CancellationToken::new());
        let asked = upstreams.ask(&server, asker, &Placement::default(), question(&json!({})), &line).await;
        assert_eq!(text(asked), "hello");
    }
    assert_eq!(begun(&played), 2);
}

#[tokio::test]
async fn a_session_whose_beginning_goes_wrong_is_ended() {
    for (version, wanted) in [("2030-01-01", "which we do not know"), ("", "which we do not know")] {
        let played = Played::start(move |seen, _| match seen.rpc() {
            "initialize" => {
                let said = json!({"protocolVersion": version, "capabilities": {}, "serverInfo": {}});
                let mut response = result(seen, &said);
                response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("s-x"));
                response
            }
            _ => status(202),
        })
        .await;
        let upstreams = upstreams();
        let asked = call(&upstreams, &server(&played.url), somebody()).await;
        assert!(matches!(&asked.result, Err(Failure::Broken(what)) if what.contains(wanted)), "{asked:?}");
        until(|| ended(&played) == ["s-x"]).await;
    }
}

#[tokio::test]
async fn an_odd_id_of_a_session_is_refused_and_never_sent() {
    for odd in [&b"two words"[..], b"\xc3\xa9", b"", &[b'x'; 1025]] {
        let played = Played::start(move |seen, _| {
            let mut response = initialized(seen, None);
            response.headers_mut().insert("mcp-session-id", HeaderValue::from_bytes(odd).unwrap());
            response
        })
        .await;
        let asked = call(&upstreams(), &server(&played.url), somebody()).await;
        let refused =
            matches!(&asked.result, Err(Failure::Broken(what)) if what.contains("cannot be sent back"));
        assert!(refused, "{asked:?}");
        assert_eq!(played.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_that_speaks_of_sessions_is_passed_on_and_no_failure_of_the_server() {
    let played = counting(|seen| {
        let error = json!({"code": -32602, "message": "There is no training session 7."});
        let mut response = json_body(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error}));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    for _ in 0..7 {
        let asked = call(&upstreams, &server, ada).await;
        assert!(matches!(asked.result, Err(Failure::Rpc { code: -32602, .. })), "{asked:?}");
    }
}

#[tokio::test]
async fn a_stream_beside_the_answers_that_only_ever_ends_is_given_up() {
    let played = Played::start(|seen, _| match (seen.method.clone(), seen.rpc()) {
        (_, "initialize") => initialized(seen, Some("s")),
        (Method::GET, _) => events(&[]),
        (_, "tools/call") => result(seen, &said("hello")),
        (_, "logging/setLevel") => result(seen, &json!({})),
        _ => status(202),
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    let (line, _heard, _gone) = client();
    for _ in 0..12 {
        let asked = upstreams.ask(&server, ada, &Placement::default(), question(&json!({})), &line).await;
        assert_eq!(text(asked), "hello");
    }
    let opened = played.seen().iter().filter(|seen| seen.method == Method::GET).count();
    assert!((1..=3).contains(&opened), "{opened}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_again_and_again_costs_its_own_call_little() {
    let played = Played::start(|seen, before| match (seen.method.clone(), seen.rpc()) {
        (_, "initialize") => initialized(seen, Some("s")),
        (Method::GET, _) | (_, "tools/call") => {
            of_type("text/event-stream", format!("retry: 0\nid: {before}\ndata:\n\n"))
        }
        _ => status(202),
    })
    .await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    assert!(matches!(asked.result, Err(Failure::Timeout(_))), "{asked:?}");
    // It has two seconds.
    assert!(asked.requests < 30, "{}", asked.requests);

    let long = Played::start(|seen, _| match (seen.method.clone(), seen.rpc()) {
        (_, "initialize") => initialized(seen, Some("s")),
        (_, "tools/call") => of_type("text/event-stream", format!("id: {}\ndata:\n\n", "x".repeat(5000))),
        _ => status(202),
    })
    .await;
    let asked = call(&upstreams(), &server(&long.url), somebody()).await;
    let refused = matches!(&asked.result, Err(Failure::Broken(what)) if what.contains("numbers its events"));
    assert!(refused, "{asked:?}");
}

#[tokio::test]
async fn the_older_revisions_are_lied_to_no_better() {
    type Lie = fn(&Seen) -> axum::response::Response;
    let lies: [(&str, Lie); 6] = [
        ("text/html", |_| of_type("text/html; charset=utf-8", "<p>Log in")),
        ("without saying what", |_| status(202)),
        ("nobody made", |_| events(&[json!({"jsonrpc": "2.0", "id": 4711, "result": said("another's")})])),
        ("twice", |seen| {
            let other = json!({"jsonrpc": "2.0", "id": 4711, "result": said("another's")});
            events(&[other, json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": said("x")})])
        }),
        ("batch", |seen| json_body(&json!([{"jsonrpc": "2.0", "id": seen.body["id"], "result": said("x")}]))),
        ("before the result", |_| events(&[json!({"jsonrpc": "2.0", "method": "notifications/x"})])),
    ];
    for (wanted, lie) in lies {
        let played = counting(lie).await;
        let asked = call(&upstreams(), &server(&played.url), somebody()).await;
        assert!(matches!(&asked.result, Err(Failure::Broken(what)) if what.contains(wanted)), "{asked:?}");
        assert_eq!(asked.requests, 3, "{wanted}: a lie is no reason to ask again");
    }
    let (held, response) = open_stream();
    let response = std::sync::Mutex::new(Some(response));
    let slow = Played::start(move |seen, _| match seen.rpc() {
        "initialize" => response.lock().unwrap().take().unwrap_or_else(|| initialized(seen, None)),
        "tools/call" => result(seen, &said("late")),
        _ => status(202),
    })
    .await;
    // Who waits for a beginning that does not come has no longer to wait than for an answer, and the next begins anew.
    let (upstreams, server, ada) = (upstreams(), server(&slow.url), somebody());
    let asked = call(&upstreams, &server, ada).await;
    assert!(matches!(asked.result, Err(Failure::Timeout(_))), "{asked:?}");
    drop(held);
    assert_eq!(text(call(&upstreams, &server, ada).await), "late");
}
