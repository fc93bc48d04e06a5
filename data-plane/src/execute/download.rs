//! A file that is handed on while it comes, for those too large to be an answer: never more of it in memory than a piece.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde_json::{Map, Value};

use super::credentials::{Opened, Placement};
use super::outbound::{Incoming, OutboundError};
use super::rest::Plan;
use super::rest::response::{AnswerError, described};
use super::{Executor, Failure, prepare, read};
use crate::catalog::Installation;

/// Most bytes of a file, and the longest that one may take.
const MOST: u64 = 256 << 20;
const WITHIN: Duration = Duration::from_secs(300);
/// Of a text, so much is held back to be looked through with what comes next: twice the longest credential.
const HELD_BACK: usize = 32 << 10;

/// A file on its way.
pub struct Download {
    /// What the API answered; it is one of success.
    pub status: StatusCode,
    /// How long it took to have the credential.
    pub credential: Duration,
    pub media_type: String,
    pub name: String,
    /// As far as the API says.
    pub length: Option<u64>,
    /// How many bytes were handed on.
    pub handed: u64,
    body: Incoming,
    until: Instant,
    /// Texts are looked through for credentials, as they are in answers.
    scrubber: Option<Scrubber>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Download of {}", self.media_type)
    }
}

impl Executor {
    /// Makes the request of a call that gives a file, and begins to read it.
    ///
    /// # Errors
    /// When there is no file, or one that is too large.
    pub async fn download(
        &self,
        installation: &Installation,
        plan: &Plan,
        opened: Opened,
        arguments: &Map<String, Value>,
    ) -> Result<Download, Failure> {
        let start = Instant::now();
        let until = start + WITHIN;
        let placement = self.sign_in.placement(installation, &opened, plan.credential).await;
        let placement = placement.map_err(Failure::Credential)?;
        let credential = start.elapsed();
        let (body, placement) = self.begin(installation, plan, &opened, placement, arguments).await?;
        placement.learn(body.status, &body.headers);
        if !body.status.is_success() {
            let whole = tokio::time::timeout(WITHIN, body.whole()).await;
            let whole = whole.map_err(|_| Failure::Outbound(OutboundError::Timeout(WITHIN)))?;
            let reply = whole.map_err(Failure::Outbound)?;
            return Err(match read(plan, &reply, false, &opened, &placement) {
                Err(failure) => failure,
                Ok(_) => Failure::Outbound(OutboundError::Broken),
            });
        }
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        if body.length.is_some_and(|length| length > MOST) {
            return Err(Failure::Answer(AnswerError::LargeFile(most)));
        }
        let (media_type, name, textual) = described(plan, &body.headers);
        let scrubber = textual.then(|| Scrubber { opened, placement, held: BytesMut::new() });
        // What is taken out of a text, or put in its place, changes its length.
        let length = body.length.filter(|_| scrubber.is_none());
        Ok(Download {
            status: body.status,
            credential,
            media_type,
            name,
            length,
            handed: 0,
            body,
            until,
            scrubber,
        })
    }

    /// Sends the request; once more with a fresh credential where the first one has run out.
    async fn begin(
        &self,
        installation: &Installation,
        plan: &Plan,
        opened: &Opened,
        placement: Placement,
        arguments: &Map<String, Value>,
    ) -> Result<(Incoming, Placement), Failure> {
        let mut request = prepare(installation, plan, &placement, arguments)?;
        let within = self.outbound.longest();
        let body = self.outbound.begin(request.clone(), within).await.map_err(Failure::Outbound)?;
        if body.status != StatusCode::UNAUTHORIZED {
            return Ok((body, placement));
        }
        let anew = self.sign_in.anew(installation, opened, &placement).await;
        let Some(again) = anew.map_err(Failure::Credential)? else { return Ok((body, placement)) };
        again.replace(&placement, &mut request.headers, &mut request.url);
        let body = self.outbound.begin(request, within).await.map_err(Failure::Outbound)?;
        Ok((body, again))
    }
}

impl Download {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// When it breaks off, takes too long or is too large.
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let chunk = tokio::time::timeout(left, self.body.chunk()).await;
            let chunk = chunk.map_err(|_| OutboundError::Timeout(WITHIN))??;
            let ended = chunk.is_none();
            let piece = match (&mut self.scrubber, chunk) {
                (None, chunk) => chunk,
                (Some(scrubber), Some(chunk)) => Some(scrubber.pass(&chunk)),
                (Some(scrubber), None) => Some(scrubber.rest()).filter(|rest| !rest.is_empty()),
            };
            let Some(piece) = piece else { return Ok(None) };
            if piece.is_empty() && !ended {
                continue;
            }
            self.handed += piece.len() as u64;
            if self.handed > MOST {
                return Err(OutboundError::TooLarge(usize::try_from(MOST).unwrap_or(usize::MAX)));
            }
            return Ok(Some(piece));
        }
    }
}

/// Takes credentials out of a text that comes in pieces.
struct Scrubber {
    opened: Opened,
    placement: Placement,
    held: BytesMut,
}

impl Scrubber {
    fn pass(&mut self, chunk: &[u8]) -> Bytes {
        self.held.extend_from_slice(chunk);
        let whole = match std::str::from_utf8(&self.held) {
            Ok(text) => text.len(),
            // The last character comes with the next piece.
            Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
            // No text after all.
            Err(_) => return self.held.split().freeze(),
        };
        let behind = self.held.split_off(whole);
        let mut text = String::from_utf8_lossy(&self.held.split()).into_owned();
        self.scrub(&mut text);
        let shown = text.floor_char_boundary(text.len().saturating_sub(HELD_BACK));
        self.held.extend_from_slice(text.get(shown..).unwrap_or_default().as_bytes());
        self.held.extend_from_slice(&behind);
        text.truncate(shown);
        text.into()
    }

    fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn scrub(&self, text: &mut String) {
        self.opened.scrub(text);
        self.placement.scrub(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_whole_and_in_order_however_it_is_cut() {
        let text = "é€𝄞 line\n".repeat(20_000);
        for size in [1 << 10, 4097, 70_000] {
            let mut scrubber = Scrubber {
                opened: Opened::default(),
                placement: Placement::default(),
                held: BytesMut::new(),
            };
            let mut out = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                out.extend_from_slice(&scrubber.pass(chunk));
                assert!(scrubber.held.len() <= HELD_BACK + 8, "{size}");
            }
            out.extend_from_slice(&scrubber.rest());
            assert!(out == text.as_bytes(), "{size}");
            assert_eq!(
                scrubber.pass(&[0xff, 0xfe]).as_ref(),
                [0xff, 0xfe],
                "what is no text passes as it is"
            );
        }
    }
}
