//! One port for everything: splits by Host between the control plane, the nodes and the mailbox.
//!
//! Passes requests and responses through as they stream; adds who is calling, removes what callers claim about that.
//! Knows no routes of the planes, no sessions and no tokens, and sets no limits that are the planes' to set.

mod forward;
mod headers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{ACCEPT, HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use toolmesh_proto::slug::host_of;

use crate::mailbox::{self, Mailbox};
use crate::origins::Origins;
use crate::page::{Page, escape, plain};
pub use crate::serve::{BindError, Loopback, Server};
use crate::serve::{Body, Handler};
use forward::{Forwarder, Unreachable};

/// What stands behind the port.
pub struct Routes {
    pub origins: Origins,
    pub control_plane: SocketAddr,
    /// At least one.
    pub nodes: Vec<SocketAddr>,
    /// Served under `/_mailbox` of the console; `None` when mail goes elsewhere.
    pub mailbox: Option<Arc<Mailbox>>,
}

/// Starts to serve a port that was bound before.
#[must_use]
pub fn start(port: Loopback, routes: Routes) -> Server {
    let edge = Edge { routes, next_node: AtomicUsize::new(0), forwarder: Forwarder::new() };
    Server::start(port, Arc::new(edge))
}

struct Edge {
    routes: Routes,
    /// Counts requests to nodes, so that they take turns.
    next_node: AtomicUsize,
    forwarder: Forwarder,
}

/// Which part of the system a host names.
enum Target {
    Console,
    Nodes,
    /// This machine by another of its names than the console's.
    Machine,
}

impl Handler for Edge {
    async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let authority = match authority_of(&request) {
            Ok(authority) => authority,
            Err(reason) => return refuse(StatusCode::BAD_REQUEST, "invalid_host", reason),
        };
        match self.target(&authority) {
            Target::Console if mailbox::owns(request.uri().path()) && self.routes.mailbox.is_some() => {
                self.mailbox(&request)
            }
            Target::Console => self.forward(request, peer, authority, &[self.routes.control_plane]).await,
            Target::Nodes => {
                let nodes = self.nodes_in_turn();
                self.forward(request, peer, authority, &nodes).await
            }
            Target::Machine => self.to_console(&request),
        }
    }
}

impl Edge {
    fn target(&self, authority: &Authority) -> Target {
        let host = authority.host();
        match host_of(host) {
            Some(host) if host == self.routes.origins.console_host => Target::Console,
            Some(host) if host == "localhost" || host == "127.0.0.1" => Target::Machine,
            None if host == "[::1]" => Target::Machine,
            // Workspaces, and hosts that only a node can know or refuse.
            _ => Target::Nodes,
        }
    }

    fn nodes_in_turn(&self) -> Vec<SocketAddr> {
        let mut nodes = self.routes.nodes.clone();
        let turn = self.next_node.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        nodes.rotate_left(turn);
        nodes
    }

    /// The mailbox holds links that log people in: it answers this machine alone, not what a tunnel brings.
    fn mailbox(&self, request: &Request<Incoming>) -> Response<Body> {
        match &self.routes.mailbox {
            Some(mailbox) if !headers::came_through_proxy(request.headers()) => {
                mailbox::respond(mailbox, request.method(), request.uri().path())
            }
            _ => refuse(
                StatusCode::NOT_FOUND,
                "not_found",
                "The mailbox is shown on the machine itself only, not through a proxy or tunnel.",
            ),
        }
    }

    /// A browser that asked for this machine by its address is sent to the address that its session belongs to.
    fn to_console(&self, request: &Request<Incoming>) -> Response<Body> {
        let console = &self.routes.origins.console;
        if headers::came_through_proxy(request.headers()) {
            let reason = format!(
                "The proxy in front must pass the Host header on as the browser sent it ({console})."
            );
            return refuse(StatusCode::MISDIRECTED_REQUEST, "host_not_passed_on", &reason);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "wrong_host",
                &format!("The console is at {console}."),
            );
        }
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let mut response =
            refuse(StatusCode::TEMPORARY_REDIRECT, "moved", &format!("The console is at {console}."));
        if let Ok(location) = HeaderValue::from_str(&format!("{console}{path}")) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
        authority: Authority,
        upstreams: &[SocketAddr],
    ) -> Response<Body> {
        let page = headers::wants_page(request.headers().get(ACCEPT));
        let client = headers::client_address(request.headers(), peer, self.routes.origins.public);
        headers::prepare_request(request.headers_mut(), client, self.routes.origins.scheme);
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            request.headers_mut().insert(HOST, host);
        }
        match self.forwarder.send(request, upstreams).await {
            Ok(response) => response,
            Err(error) => unreachable_response(&error, page),
        }
    }
}

/// Whom the request is for. An absolute request target wins over the Host header (RFC 9112, section 3.2.2).
fn authority_of(request: &Request<Incoming>) -> Result<Authority, &'static str> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().ok_or("The request names no host.")?;
    if hosts.next().is_some() {
        return Err("The request names more than one host.");
    }
    let authority =
        Authority::try_from(host.as_bytes()).map_err(|_| "The request's host is no host name.")?;
    if authority.as_str().contains('@') {
        return Err("The request's host is no host name.");
    }
    Ok(authority)
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let json = serde_json::json!({ "error": code, "message": message });
    plain(status, "application/json", format!("{json}\n"))
}

fn unreachable_response(error: &Unreachable, page: bool) -> Response<Body> {
    let (status, code, title) = match error {
        Unreachable::Request(reason) => return refuse(StatusCode::BAD_REQUEST, "invalid_request", reason),
        Unreachable::Refused | Unreachable::Broken => {
            (StatusCode::BAD_GATEWAY, "bad_gateway", "This part of ToolMesh does not answer")
        }
        Unreachable::Late => {
            (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", "This part of ToolMesh took too long")
        }
    };
    let way_out = "It may be starting or stopping. Try again in a moment; if it stays so, look at the terminal where \
                   ToolMesh was started and at the logs in its data folder.";
    if !page {
        return refuse(status, code, &format!("{title}. {way_out}"));
    }
    let body = format!("<h1>{}</h1><p>{}</p>", escape(title), escape(way_out));
    Page { status, title, body: &body }.respond()
}

#[cfg(test)]
mod tests;
