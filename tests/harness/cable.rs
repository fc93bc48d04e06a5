//! A TCP connection that a test can cut and plug in again, between a node and the control plane.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards one local port to an address while it is plugged in.
#[derive(Debug)]
pub struct Cable {
    pub address: SocketAddr,
    plugged: watch::Sender<bool>,
    listen: JoinHandle<()>,
}

impl Cable {
    /// Lays a cable, plugged in, to an address such as `127.0.0.1:5000`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(target: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (plugged, state) = watch::channel(true);
        let target = target.to_owned();
        let listen = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, target.clone(), state.clone()));
            }
        });
        Ok(Self { address, plugged, listen })
    }

    /// Cuts what is open and refuses what is new.
    pub fn cut(&self) {
        self.plugged.send_replace(false);
    }

    /// Plugs it in again.
    pub fn plug_in(&self) {
        self.plugged.send_replace(true);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.listen.abort();
        self.cut();
    }
}

async fn carry(mut near: TcpStream, target: String, mut plugged: watch::Receiver<bool>) {
    if !*plugged.borrow_and_update() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    tokio::select! {
        // Either side may close at any time; that is what a cable is for.
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = plugged.wait_for(|plugged| !plugged) => {}
    }
}
