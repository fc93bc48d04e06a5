//! Mail: messages, and sending them by SMTP from a bounded queue.
//!
//! Knows nothing of who is known: it sends what it is given. A message that cannot be delivered in three attempts is logged
//! without its content.

mod connections;
mod factors;
mod letters;
mod membership;
pub mod messages;

pub use connections::DisconnectedMail;
pub use factors::FactorChange;
pub use membership::{MembershipMail, MembershipNews};
pub use messages::{AddressMail, InvitationMail, Message, Notice};

use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// Messages that wait at most; more are refused and logged.
const QUEUE: usize = 1024;

/// Puts messages into the queue. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    queue: mpsc::Sender<Message>,
}

/// Takes messages from the queue and sends them; run as a background task.
pub struct MailWorker {
    queue: mpsc::Receiver<Message>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// # Errors
/// When the SMTP URL or the sender's address cannot be used.
pub fn mailer(smtp_url: &SecretString, from: &str) -> Result<(Mailer, MailWorker)> {
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp_url.expose_secret())
        .map_err(|e| Error::Internal(format!("SMTP_URL cannot be used: {e}")))?
        .timeout(Some(Duration::from_secs(20)))
        .build();
    let from = from.parse().map_err(|e| Error::Internal(format!("TOOLMESH_MAIL_FROM is no address: {e}")))?;
    let (sender, queue) = mpsc::channel(QUEUE);
    Ok((Mailer { queue: sender }, MailWorker { queue, transport, from }))
}

impl Mailer {
    /// Queues a message; the caller's answer does not wait for the delivery, nor tell of it.
    pub fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            tracing::error!("mail queue is full; a message was dropped");
        }
    }
}

impl MailWorker {
    /// Sends until it is told to stop, then what is queued already.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = tokio::select! {
                message = self.queue.recv() => message,
                () = stop.cancelled() => self.queue.try_recv().ok(),
            };
            let Some(message) = next else { return };
            self.deliver(message, &stop).await;
        }
    }

    async fn deliver(&self, message: Message, stop: &CancellationToken) {
        let kind = message.kind;
        let mail = match self.compose(message) {
            Ok(mail) => mail,
            Err(error) => return tracing::error!(kind, %error, "mail could not be composed"),
        };
        for wait in [1, 5, 0] {
            match self.transport.send(mail.clone()).await {
                Ok(_) => return tracing::info!(kind, "mail sent"),
                Err(error) if wait == 0 || error.is_permanent() => {
                    return tracing::error!(kind, %error, "mail could not be delivered");
                }
                Err(error) => tracing::warn!(kind, %error, "mail will be tried again"),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn compose(&self, message: Message) -> Result<lettre::Message> {
        lettre::Message::builder()
            .from(self.from.clone())
            .to(message.to.parse().map_err(Error::internal)?)
            .subject(message.subject)
            .multipart(MultiPart::alternative_plain_html(message.text, message.html))
            .map_err(Error::internal)
    }
}
