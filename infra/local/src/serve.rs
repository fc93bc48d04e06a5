//! An HTTP server on this machine's loopback addresses: bounds on connections and on the time to send a request's head,
//! an orderly stop. What is answered is the handler's.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The body of a response: ours or one that streams through.
pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// Connections at a time, over all listeners; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to send a request's head, and how long a connection may wait for its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    fn handle(&self, request: Request<Incoming>, peer: IpAddr)
    -> impl Future<Output = Response<Body>> + Send;
}

/// Sockets on one port of 127.0.0.1 and, where there is one, ::1. Connections wait until a [`Server`] takes them.
#[derive(Debug)]
pub struct Loopback {
    listeners: Vec<TcpListener>,
    port: u16,
}

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("port {0} is in use by another program. Choose another with --port, or stop that program.")]
    InUse(u16),
    #[error("port {0} needs more rights than this user has. Choose one above 1023 with --port.")]
    Forbidden(u16),
    #[error("cannot listen on port {port}: {source}")]
    Other { port: u16, source: io::Error },
}

impl Loopback {
    /// Takes a port on both addresses; 0 takes one that is free on both.
    ///
    /// # Errors
    /// When the port is in use on either, or may not be had.
    pub async fn bind(port: u16) -> Result<Self, BindError> {
        const TRIES: usize = 16;
        let mut last = BindError::InUse(port);
        for _ in 0..TRIES {
            match Self::bind_both(port).await {
                // A free port of the first address may be taken on the second.
                Err(error @ BindError::InUse(_)) if port == 0 => last = error,
                outcome => return outcome,
            }
        }
        Err(last)
    }

    async fn bind_both(port: u16) -> Result<Self, BindError> {
        let first = bind_one(Ipv4Addr::LOCALHOST.into(), port).await?;
        let port = first.local_addr().map_err(|source| BindError::Other { port, source })?.port();
        let mut listeners = vec![first];
        match bind_one(Ipv6Addr::LOCALHOST.into(), port).await {
            Ok(second) => listeners.push(second),
            Err(BindError::Other { source, .. }) => {
                tracing::debug!(%source, "no ipv6 loopback on this machine");
            }
            Err(error) => return Err(error),
        }
        Ok(Self { listeners, port })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn bind_one(ip: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    TcpListener::bind(SocketAddr::new(ip, port)).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(port),
        io::ErrorKind::PermissionDenied => BindError::Forbidden(port),
        _ => BindError::Other { port, source },
    })
}

/// A running server. It stops when dropped; [`Server::stop`] lets requests in flight end first.
#[derive(Debug)]
pub struct Server {
    closing: CancellationToken,
    aborting: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) fn start<H: Handler>(loopback: Loopback, handler: Arc<H>) -> Self {
        let server = Self {
            closing: CancellationToken::new(),
            aborting: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for listener in loopback.listeners {
            let accept = accept_loop(
                listener,
                Arc::clone(&handler),
                Arc::clone(&slots),
                server.closing.clone(),
                server.aborting.clone(),
                server.tasks.clone(),
            );
            server.tasks.spawn(accept);
        }
        server
    }

    /// Takes no more connections and lets each end after the request it is at.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Closes, waits for requests in flight, and breaks off what is left after `patience`.
    pub async fn stop(self, patience: Duration) {
        self.close();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            self.aborting.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.cancel();
        self.aborting.cancel();
    }
}

async fn accept_loop<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    slots: Arc<Semaphore>,
    closing: CancellationToken,
    aborting: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let next = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let Some((slot, accepted)) = (tokio::select! {
            next = next => next,
            () = closing.cancelled() => None,
        }) else {
            return;
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve(stream, peer.ip(), Arc::clone(&handler), slot, closing.clone());
                let aborting = aborting.clone();
                tasks.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = aborting.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                // Out of file handles, as a rule: trying again at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<H: Handler>(
    stream: TcpStream,
    peer: IpAddr,
    handler: Arc<H>,
    _slot: OwnedSemaphorePermit,
    closing: CancellationToken,
) {
    // Answers are often small and always awaited. A socket that refuses is served all the same.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(handler.handle(request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_option_that_helps() {
        let taken = Loopback::bind(0).await.unwrap();
        let error = Loopback::bind(taken.port()).await.unwrap_err().to_string();
        assert!(error.contains(&taken.port().to_string()) && error.contains("--port"), "{error}");
    }
}
