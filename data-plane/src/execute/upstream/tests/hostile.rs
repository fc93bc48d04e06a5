//! Servers that are slow, dead or lie: what they cost, and whom.

use axum::body::Body;
use axum::response::Response;

use super::played::{Played, Seen, event, events, json_body, of_type, open_stream, result, status};
use super::*;

fn server(url: &str) -> Arc<Installation> {
    installed(url, "2026-07-28", v1::mcp_server::Transport::StreamableHttp)
}

type Lie = fn(&Seen) -> Response;

fn answer_to(seen: &Seen) -> Value {
    json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": said("x")})
}

const LIES: [(&str, Lie); 16] = [
    ("has moved", |_| {
        let mut response = status(307);
        response.headers_mut().insert("location", "http://169.254.169.254/".parse().unwrap());
        response
    }),
    ("503", |_| status(503)),
    ("text/html", |_| of_type("text/html", "<p>hello")),
    ("without saying what", |_| status(202)),
    ("no JSON", |_| of_type("application/json", "{\"jsonrpc\":")),
    ("no JSON-RPC", |_| json_body(&json!({"ok": true}))),
    ("batch", |seen| json_body(&json!([answer_to(seen)]))),
    ("nobody made", |_| json_body(&json!({"jsonrpc": "2.0", "id": 999_999, "result": said("x")}))),
    ("nobody made", |seen| {
        json_body(&json!({"jsonrpc": "2.0", "id": seen.body["id"].to_string(), "result": said("x")}))
    }),
    ("no object", |seen| result(seen, &json!([1]))),
    ("another type", |seen| result(seen, &json!({"content": "text"}))),
    ("before the result", |seen| {
        let cut = event(&answer_to(seen));
        of_type("text/event-stream", cut[..cut.len() - 5].to_owned())
    }),
    ("before the result", |_| events(&[])),
    ("no JSON", |_| of_type("text/event-stream", "data: <html>\n\n")),
    ("forbids", |_| events(&[json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})])),
    ("twice", |seen| events(&[answer_to(seen), answer_to(seen)])),
];

#[tokio::test]
async fn a_lie_is_told_from_an_answer_and_named() {
    for (number, (wanted, lie)) in LIES.into_iter().enumerate() {
        let played = Played::start(move |seen, _| lie(seen)).await;
        let asked = call(&upstreams(), &server(&played.url), somebody()).await;
        match asked.result {
            Err(Failure::Broken(what)) => assert!(what.contains(wanted), "{number}: {what}"),
            other => panic!("{number}: {other:?}"),
        }
        assert_eq!(asked.requests, 1, "{number}: a lie is no reason to ask again");
    }
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    // An event that goes on and on, a body that is too large, and a stream that says nothing for ever.
    let huge = |_: &Seen| {
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(&[b'x'; 8192]))
        });
        of_type("text/event-stream", Body::from_stream(endless))
    };
    let played = Played::start(move |seen, _| huge(seen)).await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    assert!(matches!(asked.result, Err(Failure::Broken(what)) if what.contains("event of more than")));

    let played = Played::start(|_, _| of_type("application/json", "x".repeat(128 << 10))).await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    assert!(matches!(asked.result, Err(Failure::Outbound(OutboundError::TooLarge(_)))), "{asked:?}");

    let played = Played::start(|_, _| {
        let (write, response) = open_stream();
        tokio::spawn(async move { while write.send(": still here\n\n".to_owned()).await.is_ok() {} });
        response
    })
    .await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    match asked.result {
        Err(Failure::Timeout(whole)) => assert_eq!(whole, Duration::from_secs(2)),
        // A fast machine reads all that is ever read of a stream before.
        Err(Failure::Broken(what)) => assert!(what.contains("without coming to an end"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone_and_no_other_suffers() {
    let dead = Played::start(|_, _| status(500)).await;
    let well = Played::start(|seen, _| result(seen, &said("well"))).await;
    let upstreams = upstreams();
    let (dead_server, well_server) = (server(&dead.url), server(&well.url));
    for _ in 0..5 {
        let asked = call(&upstreams, &dead_server, somebody()).await;
        assert!(matches!(asked.result, Err(Failure::Broken(_))), "{asked:?}");
    }
    let asked = call(&upstreams, &dead_server, somebody()).await;
    assert!(matches!(asked.result, Err(Failure::Open { .. })), "{asked:?}");
    assert_eq!((asked.requests, dead.seen().len()), (0, 5));
    assert_eq!(text(call(&upstreams, &well_server, somebody()).await), "well");
    let told = upstreams.reporter.next().await;
    let toolmesh_proto::v1::node_message::Message::UpstreamState(state) = told else { panic!("{told:?}") };
    assert_eq!(state.installation_id, dead_server.id.to_string());
    assert_eq!(state.state(), v1::upstream_state::State::Open);
    assert!(state.detail.contains("500"), "{}", state.detail);
}

#[tokio::test]
async fn what_a_server_refuses_it_refuses_in_good_health() {
    for code in [401, 403, 429, 422] {
        let played = Played::start(move |_, _| {
            let mut response = status(code);
            response.headers_mut().insert("retry-after", "7".parse().unwrap());
            if code == 401 {
                response.headers_mut().insert("www-authenticate", "Bearer error=\"x\"".parse().unwrap());
            }
            response
        })
        .await;
        let (upstreams, server) = (upstreams(), server(&played.url));
        for _ in 0..8 {
            match call(&upstreams, &server, somebody()).await.result {
                Err(Failure::Unauthorized { challenge: Some(challenge) }) if code == 401 => {
                    assert_eq!(challenge, "Bearer error=\"x\"");
                }
                Err(Failure::Status { status, again_in: Some(again) }) if code != 401 => {
                    assert_eq!((status.as_u16(), again.as_secs()), (code, 7));
                }
                other => panic!("{code}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_dead_port_and_a_private_address_say_what_they_are() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asked = call(&upstreams(), &server(&format!("http://{closed}/mcp")), somebody()).await;
    assert!(matches!(asked.result, Err(Failure::Outbound(OutboundError::ConnectionRefused))), "{asked:?}");
    let outbound = Outbound::new(EgressPolicy { allow_private: false }, &Limits::default()).unwrap();
    let guarded = Upstreams::new(outbound, Reporter::default());
    for _ in 0..8 {
        let asked = call(&guarded, &server("https://127.0.0.1/mcp"), somebody()).await;
        assert!(matches!(asked.result, Err(Failure::Outbound(OutboundError::Refused(_)))), "{asked:?}");
    }
}

#[tokio::test]
async fn more_calls_at_a_time_than_a_server_is_allowed_are_refused_at_once() {
    let played = Played::start(|_, _| {
        let (write, response) = open_stream();
        tokio::spawn(async move {
            let _open = write;
            std::future::pending::<()>().await;
        });
        response
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    let calls = (0..130).map(|_| call(&upstreams, &server, ada));
    let asked = futures_util::future::join_all(calls).await;
    let busy = asked.iter().filter(|asked| matches!(asked.result, Err(Failure::Busy))).count();
    assert_eq!(busy, 2);
}

#[tokio::test]
async fn who_stands_before_a_server_does_not_make_it_an_older_one() {
    let played = Played::start(|seen, _| match seen.rpc() {
        "tools/call" if seen.body["params"]["arguments"]["bad"] == true => of_type_with(400, "text/html"),
        "tools/call" => result(seen, &said("well")),
        _ => of_type_with(404, "text/plain"),
    })
    .await;
    let (upstreams, server, ada) = (upstreams(), server(&played.url), somebody());
    assert_eq!(text(call(&upstreams, &server, ada).await), "well");
    let line = Line::silent(CancellationToken::new());
    for _ in 0..7 {
        let bad = question(&json!({"bad": true}));
        let asked = upstreams.ask(&server, ada, &Placement::default(), bad, &line).await;
        let refused = matches!(&asked.result, Err(Failure::Status { status, .. }) if status.as_u16() == 400);
        assert!(refused, "{asked:?}");
    }
    let asked = call(&upstreams, &server, ada).await;
    assert_eq!(asked.requests, 1, "it is spoken to as before");
    assert_eq!(text(asked), "well");
}

fn of_type_with(code: u16, media: &str) -> Response {
    let mut response = of_type(media, "no");
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}

#[tokio::test]
async fn a_packed_answer_is_not_unpacked() {
    let played = Played::start(|seen, _| {
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        let mut response = json_body(&answer_to(seen));
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        response
    })
    .await;
    let asked = call(&upstreams(), &server(&played.url), somebody()).await;
    let packed = matches!(&asked.result, Err(Failure::Outbound(OutboundError::Packed(how))) if how == "gzip");
    assert!(packed, "{asked:?}");
}

#[tokio::test]
async fn a_media_type_may_be_written_as_its_standard_allows() {
    for media in ["Application/JSON; charset=utf-8", "application/json;charset=UTF-8"] {
        let played = Played::start(move |seen, _| of_type(media, answer_to(seen).to_string())).await;
        assert_eq!(text(call(&upstreams(), &server(&played.url), somebody()).await), "x");
    }
    let media = "Text/Event-Stream ; charset=utf-8";
    let played = Played::start(move |seen, _| of_type(media, event(&answer_to(seen)))).await;
    assert_eq!(text(call(&upstreams(), &server(&played.url), somebody()).await), "x");
}

#[tokio::test]
async fn an_installation_that_changed_has_a_server_of_its_own() {
    let (first, second) =
        (Played::start(|_, _| status(500)).await, Played::start(|seen, _| result(seen, &said("well"))).await);
    let before = server(&first.url);
    let mut after = Arc::into_inner(server(&second.url)).unwrap();
    after.id = before.id;
    let upstreams = upstreams();
    // Calls that began before the change go on beside those after it.
    for _ in 0..5 {
        assert!(matches!(call(&upstreams, &before, somebody()).await.result, Err(Failure::Broken(_))));
        assert_eq!(text(call(&upstreams, &after, somebody()).await), "well");
    }
    assert!(matches!(call(&upstreams, &before, somebody()).await.result, Err(Failure::Open { .. })));
}
