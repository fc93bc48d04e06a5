//! Mail on one machine: takes what the control plane sends by SMTP, keeps the last messages, shows them on a page. It
//! delivers nothing anywhere.

mod message;
mod site;
mod smtp;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use message::Message;
pub(crate) use site::{Site, owns, respond};
pub use smtp::SmtpServer;

use crate::files;
pub use crate::serve::{Loopback, Server};

/// Path of the page on its host.
pub const PATH: &str = "/_mailbox";
/// Messages kept; the oldest go first.
pub const KEPT: usize = 200;

/// The messages, newest first, in memory and each in a file.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    messages: Mutex<VecDeque<Arc<Message>>>,
}

impl Mailbox {
    /// Reads what an earlier run kept. A file that is no message is passed over.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        // An id begins with its time.
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.truncate(KEPT);
        let messages = names.iter().filter_map(|path| read(path)).collect();
        Ok(Self { folder, messages: Mutex::new(messages) })
    }

    /// Keeps a message: first in its file, then in memory.
    ///
    /// # Errors
    /// When the file cannot be written; the message is not kept then.
    pub fn keep(&self, message: Message) -> io::Result<()> {
        files::write_private(&self.file(&message.id), &serde_json::to_vec(&message)?)?;
        let dropped: Vec<_> = {
            let mut messages = self.lock();
            messages.push_front(Arc::new(message));
            let keep = messages.len().min(KEPT);
            messages.drain(keep..).collect()
        };
        for old in dropped {
            files::remove_if_there(&self.file(&old.id))?;
        }
        Ok(())
    }

    /// All messages, newest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.lock().iter().cloned().collect()
    }

    /// One message.
    #[must_use]
    pub fn message(&self, id: &str) -> Option<Arc<Message>> {
        self.lock().iter().find(|message| message.id == id).cloned()
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Message>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the page on a port of its own, for when the console's host is reached from outside.
#[must_use]
pub fn serve(port: Loopback, mailbox: Arc<Mailbox>) -> Server {
    Server::start(port, Arc::new(Site::new(mailbox)))
}

/// Takes mail on a free port of this machine.
///
/// # Errors
/// When there is no port.
pub async fn listen(mailbox: Arc<Mailbox>) -> io::Result<(SmtpServer, SocketAddr)> {
    smtp::SmtpServer::start(mailbox).await
}

fn read(path: &Path) -> Option<Arc<Message>> {
    let message = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if message.is_none() {
        tracing::warn!(file = %path.display(), "this file of the mailbox is no message");
    }
    message.map(Arc::new)
}

#[cfg(test)]
mod tests;
