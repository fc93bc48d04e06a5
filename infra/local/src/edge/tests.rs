//! The port as clients see it, over real sockets, with two small servers in the planes' places.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers every request with its own name and the request's head, and its body if it has one.
struct Echo(&'static str);

impl Handler for Echo {
    async fn handle(&self, request: Request<Incoming>, _: IpAddr) -> Response<Body> {
        if request.uri().path() == "/stream" {
            let (head, body) = request.into_parts();
            drop(head);
            return Response::new(body.boxed());
        }
        let head = format!("{} {} {:?}", self.0, request.uri(), request.headers());
        let size = request.into_body().collect().await.unwrap().to_bytes().len();
        plain(StatusCode::OK, "text/plain", format!("{head} body={size}"))
    }
}

struct System {
    edge: Server,
    port: u16,
    planes: Vec<Server>,
}

async fn plane(name: &'static str) -> (Server, SocketAddr) {
    let port = Loopback::bind(0).await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.port()));
    (Server::start(port, Arc::new(Echo(name))), address)
}

/// An address on which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn system(nodes: &[SocketAddr], mailbox: Option<Arc<Mailbox>>) -> System {
    let (control, control_plane) = plane("control").await;
    let (node, node_address) = plane("node").await;
    let port = Loopback::bind(0).await.unwrap();
    let number = port.port();
    let mut all = nodes.to_vec();
    all.push(node_address);
    let routes = Routes { origins: Origins::local(number), control_plane, nodes: all, mailbox };
    System { edge: start(port, routes), port: number, planes: vec![control, node] }
}

impl System {
    async fn stop(self) {
        self.edge.stop(Duration::from_secs(1)).await;
        for plane in self.planes {
            plane.stop(Duration::from_secs(1)).await;
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends a request as it is written and reads until the connection closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, host: &str, path: &str, more: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n{more}\n")).await
    }
}

#[tokio::test]
async fn the_host_decides_who_answers() {
    let system = system(&[], None).await;
    let console = system.get(&format!("localhost:{}", system.port), "/signup?a=b%20c", "").await;
    assert!(console.contains("control /signup?a=b%20c"), "{console}");
    let tenant = system.get("acme.localhost", "/mcp", "X-Forwarded-For: 6.6.6.6\n").await;
    assert!(tenant.contains("node /mcp") && tenant.contains("\"host\": \"acme.localhost\""), "{tenant}");
    assert!(tenant.contains("\"x-forwarded-for\": \"127.0.0.1\"") && !tenant.contains("6.6.6.6"), "{tenant}");
    let other = system.get("whatever.example", "/", "").await;
    assert!(other.contains("node /"), "a host that nobody knows is refused by a node: {other}");
    system.stop().await;
}

#[tokio::test]
async fn this_machine_by_its_address_is_sent_to_the_console() {
    let system = system(&[], None).await;
    let answer = system.get(&format!("127.0.0.1:{}", system.port), "/login?next=/x", "").await;
    let location = format!("location: http://localhost:{}/login?next=/x", system.port);
    assert!(answer.starts_with("HTTP/1.1 307") && answer.contains(&location), "{answer}");
    let rewritten = system.get("127.0.0.1", "/", "X-Forwarded-For: 203.0.113.9\n").await;
    assert!(rewritten.starts_with("HTTP/1.1 421") && rewritten.contains("Host header"), "{rewritten}");
    system.stop().await;
}

#[tokio::test]
async fn a_request_without_a_clear_host_is_refused() {
    let system = system(&[], None).await;
    for hosts in ["", "Host: a.localhost\nHost: localhost\n", "Host: user@localhost\n", "Host: a b\n"] {
        let answer = system.raw(&format!("GET / HTTP/1.1\n{hosts}Connection: close\n\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts}: {answer}");
    }
    let answer =
        system.raw("CONNECT x.localhost:443 HTTP/1.1\nHost: x.localhost\nConnection: close\n\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    system.stop().await;
}

#[tokio::test]
async fn a_node_that_is_away_is_skipped_and_the_body_reaches_the_next() {
    let system = system(&[nobody().await, nobody().await], None).await;
    for _ in 0..3 {
        let request = "POST /mcp HTTP/1.1\nHost: a.localhost\nContent-Length: 5\nConnection: close\n\nhello";
        let answer = system.raw(request).await;
        assert!(answer.contains("node /mcp") && answer.contains("body=5"), "{answer}");
    }
    system.stop().await;
}

#[tokio::test]
async fn a_plane_that_is_away_is_reported_in_the_form_the_client_reads() {
    let mut system = system(&[], None).await;
    for plane in system.planes.drain(..) {
        plane.stop(Duration::ZERO).await;
    }
    let json = system.get("localhost", "/", "Accept: application/json\n").await;
    assert!(json.starts_with("HTTP/1.1 502") && json.contains("\"error\":\"bad_gateway\""), "{json}");
    let page = system.get("a.localhost", "/", "Accept: text/html\n").await;
    assert!(page.starts_with("HTTP/1.1 502") && page.contains("<h1>") && page.contains("nonce-"), "{page}");
    system.stop().await;
}

#[tokio::test]
async fn bytes_stream_both_ways_while_the_exchange_is_open() {
    let system = system(&[], None).await;
    let mut stream = system.connect().await;
    stream
        .write_all(b"POST /stream HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let mut seen = String::new();
    for word in ["first", "second"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        let wait = async {
            while !seen.contains(word) {
                let mut buffer = [0; 512];
                let n = stream.read(&mut buffer).await.unwrap();
                assert!(n > 0, "closed early: {seen}");
                seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait)
            .await
            .expect("the chunk came back before the next was sent");
    }
    system.stop().await;
}

#[tokio::test]
async fn the_mailbox_is_shown_on_this_machine_and_not_through_a_tunnel() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Arc::new(Mailbox::open(dir.path().to_owned()).unwrap());
    let system = system(&[], Some(mailbox)).await;
    let page = system.get("localhost", "/_mailbox", "").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/html"), "{page}");
    let tunnel = system.get("localhost", "/_mailbox", "X-Forwarded-For: 203.0.113.9\n").await;
    assert!(tunnel.starts_with("HTTP/1.1 404"), "{tunnel}");
    let tenant = system.get("acme.localhost", "/_mailbox", "").await;
    assert!(tenant.contains("node /_mailbox"), "{tenant}");
    let neighbour = system.get("localhost", "/_mailboxes", "").await;
    assert!(neighbour.contains("control /_mailboxes"), "{neighbour}");
    system.stop().await;
}
