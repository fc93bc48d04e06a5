//! An answer that is read while it comes, piece by piece.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Outbound, OutboundError, OutboundRequest, Reply};

/// An answer whose head has come. Dropping it ends the request.
#[derive(Debug)]
pub struct Incoming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Of the body, as far as the other side says.
    pub length: Option<u64>,
    response: reqwest::Response,
    outbound: Outbound,
}

impl Incoming {
    /// The next piece; `None` at the end. Whoever reads keeps to bounds of size and time.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        self.response.chunk().await.map_err(|_| OutboundError::Broken)
    }

    /// The rest at once, under the cap of every answer.
    ///
    /// # Errors
    /// When it is too large or the connection breaks.
    pub async fn whole(self) -> Result<Reply, OutboundError> {
        self.outbound.read(self.response).await
    }
}

impl Outbound {
    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// Says why no answer began; an error status is an answer.
    pub async fn begin(&self, request: OutboundRequest, head: Duration) -> Result<Incoming, OutboundError> {
        self.policy.check_url(&request.url).map_err(OutboundError::Refused)?;
        let opened = tokio::time::timeout(head, self.open(request)).await;
        let response = opened.map_err(|_| OutboundError::Timeout(head))??;
        let (status, headers) = (response.status(), response.headers().clone());
        let length = response.content_length();
        Ok(Incoming { status, headers, length, response, outbound: self.clone() })
    }

    /// Most bytes of an answer.
    #[must_use]
    pub const fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }
}
