//! Watches over the feed of revocations: while nothing is heard of it, somebody who was shut out may still be served until
//! their token expires, and operators must know.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Table;
use super::table::SILENT_AFTER;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Says when the feed falls silent and when it is back.
pub async fn watch(table: Arc<Table>, stop: CancellationToken) {
    let mut alarmed = false;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let silent = table.revocation_age();
        if !alarmed && silent > SILENT_AFTER {
            alarmed = true;
            tracing::error!(
                revocation_age_seconds = silent.as_secs(),
                "nothing is heard of revocations; tokens that were taken back are served until they expire"
            );
        } else if alarmed && silent <= SILENT_AFTER {
            alarmed = false;
            tracing::info!("revocations are heard of again");
        }
    }
}
