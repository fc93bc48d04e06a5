//! What a node does when there is too much to do, and when things change while it works.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use toolmesh_data_plane::Limits;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;

use crate::control::within;
use crate::world::{KEY, World, bundle, limits};

#[tokio::test]
async fn a_call_beyond_the_tenants_share_is_told_to_come_back_until_the_others_have_ended() {
    let world = World::with(Limits { tenant_calls: 1, ..limits() }).await;
    let api = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let moved = bundle(&format!("http://{}", api.local_addr().unwrap()), 2);
    world.control.tell(Control::Bundle(moved)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    let first = world.client();
    let first = tokio::spawn(async move { first.call("echo_slow", json!({})).await });
    let (mut held, _) = within(api.accept()).await.unwrap();
    // The call goes on without its client, and so does its share.
    first.abort();
    let _ = first.await;
    let second = world.client().call("echo_get", json!({"id": "1"})).await;
    assert_eq!((second.status, second.header("retry-after")), (429, "1"));
    assert_eq!((&second.json()["id"], &second.json()["error"]["code"]), (&json!(1), &json!(-32000)));
    assert_eq!(world.client().rpc("ping", json!({})).await.status, 200);

    drop(api);
    held.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
    world.control.events(1).await;
    // Room is given back just after the event is written.
    within(async { while world.client().call("echo_get", json!({"id": "1"})).await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_body_that_there_is_no_room_for_is_told_to_come_back() {
    let world = World::with(Limits { bodies_bytes: 50, ..limits() }).await;
    let answer = world.client().call("echo_get", json!({"id": "1"})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    let small = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for _ in 0..3 {
        assert_eq!(world.client().send("POST", "/mcp", small.clone()).await.status, 200);
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_request_comes_in_is_not_served() {
    let world = World::start().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo_get", "arguments": {"id": "1"}}})
    .to_string();
    let mut stream = tokio::net::TcpStream::connect(world.node.local_addr).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: acme.localhost:8080\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        call.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The body is asked for, so the caller was somebody.
    let mut go_on = [0; 25];
    within(stream.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    let mut revoked = bundle(&world.upstream, 2);
    revoked.api_keys.clear();
    world.control.tell(Control::Bundle(revoked)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    stream.write_all(call.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(world.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn an_installation_that_cannot_be_served_does_not_hold_up_the_rest_of_its_bundle() {
    let world = World::start().await;
    let mut changed = bundle(&world.upstream, 2);
    changed.name = "New name".into();
    changed.installations[0].base_url = "nonsense".into();
    world.control.tell(Control::Bundle(changed)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    let answer = world.client().rpc("initialize", json!({})).await.json();
    assert_eq!(answer["result"]["serverInfo"]["title"], "New name");
    let list: Value = world.client().rpc("tools/list", json!({})).await.json();
    assert_eq!(list["result"]["tools"], json!([]));
}
