//! Why a node does not start, in one plain sentence each.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::execute::outbound::OutboundSetupError;
use crate::record::SpoolError;
use crate::sync::channel::ChannelError;
use crate::sync::ledger::LedgerError;

/// A start that failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the listener cannot be used: {0}")]
    Listener(std::io::Error),
    #[error("TOOLMESH_PEER_LISTEN {0} cannot be used: {1}")]
    PeerListener(SocketAddr, std::io::Error),
    #[error("the folder {0} cannot be used: {1}")]
    Folder(PathBuf, std::io::Error),
    #[error("the folder {0} is another running node's; give each node its own TOOLMESH_STATE_DIR")]
    FolderTaken(PathBuf),
    #[error("the join secret cannot be used")]
    Secret,
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Outbound(#[from] OutboundSetupError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}
