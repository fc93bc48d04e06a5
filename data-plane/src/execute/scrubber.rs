//! The secrets of one call, for whoever passes on what a server says while it is under way. Never prints them.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::credentials::{Opened, Placement, scrub};
use crate::members;

/// What is to be taken out of texts.
pub struct Scrubber(Vec<Zeroizing<String>>);

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrubber")
    }
}

impl Scrubber {
    /// The credentials of an installation, and what was made of them for a request.
    #[must_use]
    pub fn of(opened: &Opened, placement: &Placement) -> Self {
        let stored = opened.secrets().map(|secret| Zeroizing::new(secret.to_owned()));
        Self(stored.chain(placement.derived().iter().cloned()).collect())
    }

    /// JSON without them; every other byte stays.
    #[must_use]
    pub fn cleaned(&self, json: &RawValue) -> Box<RawValue> {
        let mut text = json.get().to_owned();
        self.0.iter().for_each(|secret| scrub(&mut text, secret));
        if text == json.get() {
            return json.to_owned();
        }
        RawValue::from_string(text).unwrap_or_else(|_| members::empty())
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::call::line::{Client, Event, Line};

    #[tokio::test]
    async fn what_a_server_says_on_the_way_is_told_without_the_credential() {
        let (line, mut heard) = Line::new(Client::default(), CancellationToken::new());
        let line = line.without(Scrubber(vec![Zeroizing::new("sk-0123456789".to_owned())]));
        let said = r#"{"level":"debug","data":"Authorization: Bearer sk-0123456789","n":1.0}"#;
        line.tell("notifications/message", RawValue::from_string(said.to_owned()).unwrap()).await;
        let Some(Event::Notification { params, .. }) = heard.recv().await else { panic!("nothing was told") };
        assert!(!params.get().contains("0123456789"), "{params}");
        assert!(params.get().starts_with(r#"{"level":"debug","data":"Authorization: Bearer "#), "{params}");
        assert!(params.get().ends_with(r#"","n":1.0}"#), "{params}");
    }
}
