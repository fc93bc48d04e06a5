//! Two nodes of one deployment, each with its door.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use toolmesh_proto::ids::UserId;
use toolmesh_proto::seal::join_token;

use super::*;
use crate::call::line::{Client, Line};
use crate::config::Waiting;

const SECRET: &str = "0123456789012345678901234567890123456789";

async fn node() -> Peers {
    node_with(SECRET, Limits::default()).await
}

async fn node_with(secret: &str, limits: Limits) -> Peers {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secret = SecretString::from(secret);
    let address = listener.local_addr().unwrap().to_string();
    let peers = Peers::new(Seals::new(&secret).unwrap(), &secret, Some(address), &limits).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(server::serve(listener, peers.clone(), join_token(&secret).unwrap(), stop));
    peers
}

fn ada() -> Owner {
    Owner { tenant: TenantId::new(), subject: Subject::User(UserId::new()) }
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).unwrap()
}

fn yes() -> Answered {
    Answered::Result(raw(&json!({ "action": "accept" })))
}

#[tokio::test]
async fn an_answer_reaches_who_asked_from_any_node_and_only_once() {
    let (first, second, ada) = (node().await, node().await, ada());
    for node in [&first, &second] {
        let (answer, answered) = oneshot::channel();
        let expected = first.expect(ada, answer).unwrap();
        node.deliver(ada, &expected.id, yes()).await.unwrap();
        assert!(matches!(answered.await, Ok(Answered::Result(raw)) if raw.get().contains("accept")));
        assert_eq!(node.deliver(ada, &expected.id, yes()).await, Err(Undeliverable::Gone));
    }
}

#[tokio::test]
async fn nobody_answers_for_another_nor_what_is_not_asked_any_more() {
    let (first, second, ada) = (node().await, node().await, ada());
    let (answer, _answered) = oneshot::channel();
    let expected = first.expect(ada, answer).unwrap();
    let bob = Owner { subject: Subject::User(UserId::new()), ..ada };
    for (who, id) in [(bob, expected.id.as_str()), (ada, "1"), (ada, &expected.id[1..])] {
        assert_eq!(second.deliver(who, id, yes()).await, Err(Undeliverable::Unknown));
    }
    let id = expected.id.clone();
    drop(expected);
    assert_eq!(second.deliver(ada, &id, yes()).await, Err(Undeliverable::Gone));
}

#[tokio::test]
async fn a_node_of_another_deployment_and_a_node_that_is_gone_take_no_letters() {
    let (first, ada) = (node().await, ada());
    let stranger = node_with("another secret of another deployment 01234", Limits::default()).await;
    let greeting = || Contents::Greeting(v1::Greeting {});
    assert_eq!(stranger.0.client.post(first.address(), greeting()).await, Err(Away));
    // As a place says it that a node sealed which has stopped since.
    let place = Place { key: Key::default(), address: "127.0.0.1:1".to_owned() };
    let id = place::seal(&first.0.seals, Kind::Question, ada, &place).unwrap();
    assert_eq!(first.deliver(ada, &id, yes()).await, Err(Undeliverable::Away));
}

#[tokio::test]
async fn a_letter_is_opened_once_and_by_nobody_but_whom_it_is_for() {
    let (first, second) = (node().await, node().await);
    let contents = v1::Contents {
        id: vec![7; 16],
        from: second.address().to_owned(),
        contents: Some(Contents::Greeting(v1::Greeting {})),
    };
    let sealed = letter::seal(&first.0.seals, first.address(), &contents).unwrap();
    let post = async |to: &Peers| {
        let mut rpc = second.0.client.rpc(to.address()).unwrap();
        rpc.post(second.0.client.signed(sealed.clone())).await.map_err(|status| status.code())
    };
    assert_eq!(post(&second).await.err(), Some(tonic::Code::PermissionDenied));
    assert!(post(&first).await.is_ok());
    assert_eq!(post(&first).await.err(), Some(tonic::Code::PermissionDenied));
}

/// A call that says something, asks its client, and repeats the answer.
fn asking() -> (ParkedCall, CancellationToken) {
    let hung_up = CancellationToken::new();
    let (line, events) = Line::new(Client::default(), hung_up.clone());
    let outcome = tokio::spawn(async move {
        line.tell("notifications/progress", raw(&json!({ "progress": 1 }))).await;
        match line.ask("elicitation/create", raw(&json!({ "message": "Sure?" }))).await {
            Ok(Answered::Result(said)) => {
                line.tell("notifications/progress", raw(&json!({ "progress": 2 }))).await;
                Answered::Result(said)
            }
            _ => Answered::Error(raw(&json!({ "code": 1, "message": "no answer" }))),
        }
    });
    (ParkedCall { events, outcome, hung_up: hung_up.clone().drop_guard() }, hung_up)
}

/// The id under which the call waits, after it has said what it says first.
async fn asked(frames: &mut Frames) -> String {
    assert!(matches!(frames.next().await, Some(Frame::Notification { .. })));
    let Some(Frame::Asks { parked, questions }) = frames.next().await else { panic!("nothing was asked") };
    assert_eq!(questions["q1"].0, "elicitation/create");
    assert!(frames.next().await.is_none());
    parked
}

#[tokio::test]
async fn a_call_that_asks_is_resumed_from_any_node_and_only_once() {
    let (first, second, ada) = (node().await, node().await, ada());
    for node in [&first, &second] {
        let (call, _) = asking();
        let id = asked(&mut first.lead(ada, call)).await;
        // What is not answered is asked again, under another id.
        let mut again = node.resume(ada, &id, BTreeMap::new()).await.unwrap();
        let Some(Frame::Asks { parked, .. }) = again.next().await else { panic!("not asked again") };
        assert_eq!(node.resume(ada, &id, BTreeMap::new()).await.err(), Some(Undeliverable::Gone));
        let answers = BTreeMap::from([("q1".to_owned(), yes()), ("other".to_owned(), yes())]);
        let mut frames = node.resume(ada, &parked, answers).await.unwrap();
        assert!(
            matches!(frames.next().await, Some(Frame::Notification { method, .. }) if method.ends_with("progress"))
        );
        assert!(
            matches!(frames.next().await, Some(Frame::Done(Answered::Result(raw))) if raw.get().contains("accept"))
        );
        assert!(frames.next().await.is_none());
    }
}

#[tokio::test]
async fn who_goes_away_hangs_up_on_the_call_wherever_it_is() {
    let (first, second, ada) = (node().await, node().await, ada());
    let (call, hung_up) = asking();
    drop(first.lead(ada, call));
    hung_up.cancelled().await;

    let hung_up = CancellationToken::new();
    let (line, events) = Line::new(Client::default(), hung_up.clone());
    let outcome = tokio::spawn(async move {
        let _ = line.ask("roots/list", raw(&json!({}))).await;
        line.hung_up().cancelled().await;
        yes()
    });
    let call = ParkedCall { events, outcome, hung_up: hung_up.clone().drop_guard() };
    let Some(Frame::Asks { parked, .. }) = first.lead(ada, call).next().await else { panic!("not asked") };
    let answers = BTreeMap::from([("q1".to_owned(), yes())]);
    drop(second.resume(ada, &parked, answers).await.unwrap());
    hung_up.cancelled().await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_ends_with_its_callers_access_and_with_the_node() {
    let limits = Limits { waiting: Waiting { caller: 1, tenant: 2, node: 2 }, ..Limits::default() };
    let (node, ada) = (node_with(SECRET, limits).await, ada());
    let (call, hung_up) = asking();
    let _id = asked(&mut node.lead(ada, call)).await;
    let (more, _) = asking();
    let mut frames = node.lead(ada, more);
    assert!(matches!(frames.next().await, Some(Frame::Notification { .. })));
    assert!(matches!(frames.next().await, Some(Frame::Done(Answered::Error(_)))));
    // Ada is nobody in a table without tenants.
    let stop = CancellationToken::new();
    let kept = tokio::spawn(node.clone().keep(Arc::new(Table::default()), stop.clone()));
    hung_up.cancelled().await;
    stop.cancel();
    kept.await.unwrap();
    let (answer, _answered) = oneshot::channel();
    assert_eq!(node.expect(ada, answer).err(), Some(NoRoom));
}

#[tokio::test]
async fn a_call_is_cancelled_from_a_node_that_knows_only_where_the_session_began() {
    let (home, working, asked, ada) = (node().await, node().await, node().await, ada());
    let call = CancellationToken::new();
    let _held = working.cancellable(ada, "session", "7", call.clone());
    working.learn(home.address());
    while home.0.client.known().is_empty() {
        tokio::task::yield_now().await;
    }
    let bob = Owner { subject: Subject::User(UserId::new()), ..ada };
    asked.cancel(bob, "session", "7", home.address()).await;
    asked.cancel(ada, "other", "7", home.address()).await;
    assert!(!call.is_cancelled());
    asked.cancel(ada, "session", "7", home.address()).await;
    assert!(call.is_cancelled());
}

#[tokio::test]
async fn two_calls_under_one_id_are_not_cancelled_and_one_that_ended_is_forgotten() {
    let (node, ada) = (node().await, ada());
    let (one, two) = (CancellationToken::new(), CancellationToken::new());
    let first = node.cancellable(ada, "", "1", one.clone());
    let second = node.cancellable(ada, "", "1", two.clone());
    node.cancel(ada, "", "1", "").await;
    assert!(!one.is_cancelled() && !two.is_cancelled());
    drop(first);
    node.cancel(ada, "", "1", "").await;
    assert!(!one.is_cancelled() && two.is_cancelled());
    drop(second);
    assert!(node.0.calls().is_empty());
}

#[tokio::test]
async fn every_node_writes_to_an_open_stream_until_it_is_closed() {
    let (first, second, ada) = (node().await, node().await, ada());
    let mut stream = first.open_stream(ada).unwrap();
    assert_eq!(second.session_of(ada, &stream.id).await.unwrap(), "");
    second.push(ada, &stream.id, Bytes::from_static(b"{}"), "s1").await.unwrap();
    first.push(ada, &stream.id, Bytes::from_static(b"[]"), "").await.unwrap();
    assert_eq!(second.session_of(ada, &stream.id).await.unwrap(), "s1");
    assert_eq!(stream.messages.recv().await.unwrap(), "{}");
    assert_eq!(stream.messages.recv().await.unwrap(), "[]");
    let id = stream.id.clone();
    drop(stream);
    assert_eq!(second.session_of(ada, &id).await, Err(Undeliverable::Gone));
}

#[tokio::test]
async fn a_call_is_cancelled_though_the_node_where_its_session_began_is_gone() {
    let (working, asked, ada) = (node().await, node().await, ada());
    let call = CancellationToken::new();
    let _held = working.cancellable(ada, "session", "7", call.clone());
    asked.learn(working.address());
    while !asked.0.client.known().contains(&working.address().to_owned()) {
        tokio::task::yield_now().await;
    }
    asked.cancel(ada, "session", "7", "127.0.0.1:1").await;
    assert!(call.is_cancelled());
}

#[tokio::test]
async fn what_a_client_wants_is_known_on_every_node_and_is_its_own() {
    let (home, other, asked, ada) = (node().await, node().await, node().await, ada());
    other.learn(home.address());
    while home.0.client.known().is_empty() {
        tokio::task::yield_now().await;
    }
    asked.wish(ada, "session", "error", home.address()).await;
    let bob = Owner { subject: Subject::User(UserId::new()), ..ada };
    for node in [&home, &other, &asked] {
        assert_eq!(node.wished(ada, "session".to_owned()).as_deref(), Some("error"));
        assert_eq!(node.wished(ada, "another".to_owned()), None);
        assert_eq!(node.wished(bob, "session".to_owned()), None);
    }
}
