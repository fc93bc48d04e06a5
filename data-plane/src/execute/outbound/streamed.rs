//! An answer whose body is read piece by piece.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Outbound, OutboundError, OutboundRequest, Reply};

/// An answer that has begun.
#[derive(Debug)]
pub struct Streamed {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub length: Option<u64>,
    response: reqwest::Response,
    outbound: Outbound,
    within: Duration,
}

impl Outbound {
    /// Sends a request and waits until its answer begins.
    ///
    /// # Errors
    /// Says why there is no answer; an error status is one.
    pub async fn begin(&self, request: OutboundRequest, within: Duration) -> Result<Streamed, OutboundError> {
        self.policy.check_url(&request.url).map_err(OutboundError::Refused)?;
        let response = tokio::time::timeout(within, self.open(request)).await;
        let response = response.map_err(|_| OutboundError::Timeout(within))??;
        Ok(Streamed {
            status: response.status(),
            headers: response.headers().clone(),
            length: response.content_length(),
            response,
            outbound: self.clone(),
            within,
        })
    }
}

impl Streamed {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        self.response.chunk().await.map_err(|_| OutboundError::Broken)
    }

    /// The whole answer, as far as answers are read.
    ///
    /// # Errors
    /// When it breaks off or is too large.
    pub async fn whole(self) -> Result<Reply, OutboundError> {
        let reading = self.outbound.read(self.response);
        tokio::time::timeout(self.within, reading).await.map_err(|_| OutboundError::Timeout(self.within))?
    }
}
