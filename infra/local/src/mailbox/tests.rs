//! The mailbox as a sender and a reader see it: lettre sends, hostile peers try, the page and the JSON show.

use http::Method;
use http_body_util::BodyExt as _;
use lettre::message::{MultiPart, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::*;

struct Running {
    mailbox: Arc<Mailbox>,
    server: SmtpServer,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

async fn running() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = Arc::new(Mailbox::open(folder.path().to_owned()).unwrap());
    let (server, address) = listen(Arc::clone(&mailbox)).await.unwrap();
    Running { mailbox, server, address, folder }
}

/// A peer that says what it likes.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let mut peer = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        assert!(peer.hear().await.starts_with("220 "));
        peer
    }

    async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn say(&mut self, bytes: &[u8]) -> String {
        self.0.write_all(bytes).await.unwrap();
        self.hear().await
    }

    async fn begin(&mut self) {
        assert!(self.say(b"HELO x\r\n").await.starts_with("250"));
        assert!(self.say(b"MAIL FROM:<a@x.example>\r\n").await.starts_with("250"));
        assert!(self.say(b"RCPT TO:<b@x.example>\r\n").await.starts_with("250"));
        assert!(self.say(b"DATA\r\n").await.starts_with("354"));
    }
}

async fn body(response: http::Response<crate::serve::Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_mail_sent_by_smtp_is_shown_with_its_links_and_survives_a_restart() {
    let running = running().await;
    let text =
        "Hello,\n\nconfirm your address:\nhttp://localhost:8080/verify?token=abc&x=1\n.\n..dots stay\n";
    let mail = lettre::Message::builder()
        .from("ToolMesh <no-reply@localhost>".parse().unwrap())
        .to("Zoë <zoe@x.example>".parse().unwrap())
        .subject("Bestätige deine Adresse")
        .multipart(MultiPart::alternative_plain_html(text.to_owned(), "<p>Hello</p>".to_owned()))
        .unwrap();
    let url = format!("smtp://{}", running.address);
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).unwrap().build();
    transport.send(mail).await.unwrap();

    let messages = running.mailbox.messages();
    let message = &messages[0];
    assert_eq!(message.subject, "Bestätige deine Adresse");
    assert_eq!(message.to, ["zoe@x.example"]);
    assert_eq!(message.links, ["http://localhost:8080/verify?token=abc&x=1"]);
    assert_eq!(message.text.trim_end(), text.trim_end());

    let json = body(respond(&running.mailbox, &Method::GET, "/_mailbox/messages.json")).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["links"][0], "http://localhost:8080/verify?token=abc&x=1");
    assert!(json[0]["received_at"].as_str().unwrap().ends_with('Z'));
    let page = body(respond(&running.mailbox, &Method::GET, "/_mailbox")).await;
    assert!(page.contains("<a href=\"http://localhost:8080/verify?token=abc&amp;x=1\""), "{page}");
    let page = body(respond(&running.mailbox, &Method::GET, &format!("/_mailbox/{}", message.id))).await;
    assert!(page.contains("Bestätige deine Adresse"), "{page}");

    running.server.stop().await;
    let again = Mailbox::open(running.folder.path().to_owned()).unwrap();
    assert_eq!(again.messages(), messages);
}

#[tokio::test]
async fn markup_in_a_mail_stays_text() {
    let running = running().await;
    let evil = "<script>alert(1)</script> javascript:alert(1) http://x.example/\"onmouseover=alert(1)";
    let mail = lettre::Message::builder()
        .from("a@x.example".parse().unwrap())
        .to("b@x.example".parse().unwrap())
        .subject("<img src=x onerror=alert(1)>")
        .header(ContentType::TEXT_PLAIN)
        .body(evil.to_owned())
        .unwrap();
    let url = format!("smtp://{}", running.address);
    AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).unwrap().build().send(mail).await.unwrap();
    let response = respond(&running.mailbox, &Method::GET, "/_mailbox");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = body(response).await;
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("<a href=\"http://x.example/\""), "{page}");
    running.server.stop().await;
}

#[tokio::test]
async fn a_bare_line_feed_does_not_end_a_message() {
    let running = running().await;
    let mut peer = Peer::connect(running.address).await;
    peer.begin().await;
    let smuggled = b"Subject: one\r\n\r\nfirst\n.\nMAIL FROM:<evil@x.example>\r\n.\rx\r\n.\r\n";
    assert!(peer.say(smuggled).await.starts_with("250"));
    let messages = running.mailbox.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].text.contains("evil@x.example"));
    running.server.stop().await;
}

#[tokio::test]
async fn lines_without_end_and_huge_messages_are_refused_and_the_session_goes_on() {
    let running = running().await;
    let mut peer = Peer::connect(running.address).await;
    let mut long = vec![b'a'; 300_000];
    long.extend_from_slice(b"\r\n");
    assert!(peer.say(&long).await.starts_with("500"));
    assert!(peer.say(b"\xff\xfe\r\n").await.starts_with("500"));
    assert!(peer.say(b"DATA\r\n").await.starts_with("503"));
    assert!(peer.say(b"RCPT TO:<b@x.example>\r\n").await.starts_with("503"));
    assert!(peer.say("MAIL FROM\u{fc}\u{fc}<a>\r\n".as_bytes()).await.starts_with("501"));
    assert!(peer.say(b"EXPN all\r\n").await.starts_with("502"));
    peer.begin().await;
    let mut huge = b"x\r\n".repeat(1_000_000);
    huge.extend_from_slice(b".\r\n");
    assert!(peer.say(&huge).await.starts_with("552"));
    peer.begin().await;
    assert!(peer.say(b"Subject: fine\r\n\r\nx\r\n.\r\n").await.starts_with("250"));
    assert!(peer.say(b"QUIT\r\n").await.starts_with("221"));
    assert_eq!(running.mailbox.messages().len(), 1);
    running.server.stop().await;
}

#[tokio::test]
async fn a_sender_that_never_stops_is_cut_off() {
    let running = running().await;
    let mut peer = Peer::connect(running.address).await;
    peer.begin().await;
    let chunk = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    while sent < 64 && peer.0.write_all(&chunk).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "the session was ended");
    assert!(running.mailbox.messages().is_empty());
    running.server.stop().await;
}

#[test]
fn only_the_last_messages_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = Mailbox::open(folder.path().to_owned()).unwrap();
    for n in 0..KEPT + 5 {
        let raw = format!("Subject: {n}\r\n\r\nx");
        mailbox.keep(Message::read("a@x.example", vec!["b@x.example".into()], raw.as_bytes())).unwrap();
    }
    assert_eq!(mailbox.messages().len(), KEPT);
    assert_eq!(mailbox.messages()[0].subject, format!("{}", KEPT + 4));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT);
    std::fs::write(folder.path().join("zzz.json"), "{").unwrap();
    assert_eq!(Mailbox::open(folder.path().to_owned()).unwrap().messages().len(), KEPT - 1);
}
