//! Mail as it arrives in the built-in mailbox.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::wait::SOON;
use crate::{System, eventually};

/// One message.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    pub id: String,
    pub to: Vec<String>,
    pub from: String,
    pub subject: String,
    pub text: String,
    pub links: Vec<String>,
    pub received_at: serde_json::Value,
}

impl Mail {
    /// The link whose path starts like this.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<&str> {
        self.links
            .iter()
            .find(|link| url::Url::parse(link).is_ok_and(|url| url.path().starts_with(path)))
            .map(String::as_str)
    }
}

impl System {
    /// All mail to an address, newest first.
    ///
    /// # Errors
    /// When the mailbox does not answer as promised.
    pub async fn mails_to(&self, address: &str) -> Result<Vec<Mail>> {
        let url = format!("{}/messages.json", self.ready.mailbox_url.trim_end_matches('/'));
        let response = self.http.get(&url).send().await?.error_for_status()?;
        let mut all: Vec<Mail> = response.json().await.context("messages.json is not as promised")?;
        all.retain(|mail| mail.to.iter().any(|to| to.contains(address)));
        Ok(all)
    }

    /// Waits for mail to an address and returns the newest.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn mail_to(&self, address: &str) -> Result<Mail> {
        self.mail_after(address, 0).await
    }

    /// The mails to an address with a link whose path starts like this, newest first. Others come in between, such as news of
    /// the person's account.
    ///
    /// # Errors
    /// When the mailbox does not answer as promised.
    pub async fn mails_with(&self, address: &str, link: &str) -> Result<Vec<Mail>> {
        let mut mails = self.mails_to(address).await?;
        mails.retain(|mail| mail.link(link).is_some());
        Ok(mails)
    }

    /// Waits until more than `count` such mails have come and returns the newest.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn mail_with_after(&self, address: &str, link: &str, count: usize) -> Result<Mail> {
        eventually(&format!("a mail to {address} with a link to {link}"), SOON, || async {
            let mut mails = self.mails_with(address, link).await?;
            Ok((mails.len() > count).then(|| mails.remove(0)))
        })
        .await
    }

    /// Waits until more than `count` mails have come to an address and returns the newest.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn mail_after(&self, address: &str, count: usize) -> Result<Mail> {
        eventually(&format!("a mail to {address}"), SOON, || async {
            let mut mails = self.mails_to(address).await?;
            Ok((mails.len() > count).then(|| mails.remove(0)))
        })
        .await
    }
}
