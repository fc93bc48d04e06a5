//! What is taken back is refused at once, and what was begun for it is cut.

use serde_json::json;
use time::OffsetDateTime;
use toolmesh_proto::v1;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;

use crate::control::within;
use crate::world::{TENANT, USER, World};

/// The owner is shut out, with their keys.
fn shut_out(sequence: u64) -> Control {
    let revocation = v1::Revocation {
        tenant_id: TENANT.into(),
        kind: v1::RevocationKind::User.into(),
        subject: USER.into(),
        min_iat: OffsetDateTime::now_utc().unix_timestamp(),
        api_keys: true,
    };
    Control::Revocations(v1::Revocations { sequence, revocations: vec![revocation] })
}

async fn acknowledged(world: &World, sequence: u64) {
    let wanted = |reply: &Reply| match reply {
        Reply::RevocationsAck(ack) if ack.sequence >= sequence => Some(()),
        _ => None,
    };
    world.control.heard(wanted).await;
}

#[tokio::test]
async fn who_is_shut_out_is_refused_as_soon_as_the_node_says_so() {
    let world = World::start().await;
    assert_eq!(world.client().rpc("ping", json!({})).await.status, 200);
    world.control.tell(shut_out(1)).await;
    acknowledged(&world, 1).await;
    let refused = world.client().rpc("ping", json!({})).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").contains("revoked"), "{}", refused.header("www-authenticate"));
}

#[tokio::test]
async fn an_open_stream_of_who_is_shut_out_is_cut_and_its_call_is_in_the_log_all_the_same() {
    let world = World::start().await;
    let client = world.client().with("accept", "application/json, text/event-stream");
    let answer = tokio::spawn(async move { client.call("echo_slow", json!({})).await });
    within(async {
        while world.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The API takes 400 milliseconds; the stream begins after 100.
    world.control.tell(shut_out(1)).await;
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let data = answer.text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let said: serde_json::Value = serde_json::from_str(data).unwrap();
    assert!(said.get("result").is_none(), "{said}");
    assert!(said["error"]["message"].as_str().unwrap().contains("revoked"), "{said}");
    let events = world.control.events(1).await;
    assert_eq!((events[0].1.tool.as_str(), events[0].1.outcome()), ("echo_slow", v1::Outcome::Ok));
}

#[tokio::test]
async fn a_write_of_who_was_shut_out_meanwhile_does_not_reach_the_api() {
    let world = World::start().await;
    let call = |id: u32, tool: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    let batch = json!([call(1, "echo_slow"), call(2, "echo_create")]).to_string();
    let client = world.client().with("mcp-protocol-version", "2025-03-26");
    let answer = tokio::spawn(async move { client.send("POST", "/mcp", batch).await });
    within(async {
        while world.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.control.tell(shut_out(1)).await;
    let replies = within(answer).await.unwrap().json();
    assert_eq!(replies[0]["result"]["isError"], false, "a read that was under way ends");
    assert!(replies[1]["error"]["message"].as_str().unwrap().contains("not carried out"), "{replies}");
    assert_eq!(world.seen().len(), 1);
}

#[tokio::test]
async fn the_node_says_how_old_what_it_knows_of_revocations_is() {
    let world = World::start().await;
    let health = world.client().with("host", "10.0.0.1").send("GET", "/healthz", "").await.json();
    assert!(health["revocation_age_seconds"].as_u64().unwrap() < 30, "{health}");
}
