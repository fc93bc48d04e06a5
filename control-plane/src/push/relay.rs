//! Learns of committed changes and puts fresh bundles into the hub.
//!
//! One tenant whose bundle cannot be made keeps what its nodes have, is tried again, and costs no other tenant anything;
//! only a database that is away stops everything, until it is back.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::ids::TenantId;

use super::Hub;
use super::compile::{Compiled, Compiler};
use super::hub::Stage;
use super::queue::{Job, Queue, Why};
use super::store;
use crate::db::{CHANGES_CHANNEL, Db};
use crate::error::{Error, Result};
use crate::tenants;

/// Without a notification, the outbox is read this often.
const POLL: Duration = Duration::from_millis(500);

/// After a notification, others that come close behind are waited for, so that many changes are read at once.
const GATHER: Duration = Duration::from_millis(10);

/// All tenants are compared and the outbox is pruned this often, whatever happens meanwhile.
const FULL_EVERY: Duration = Duration::from_secs(120);

/// A tenant may take this long; longer than waiting for a connection, so that a database without any is seen as that.
const COMPILE_DEADLINE: Duration = Duration::from_secs(12);

/// The relay's task.
pub struct Relay {
    pub db: Db,
    pub compiler: Compiler,
    pub hub: Hub,
}

/// How far the relay is.
struct Course {
    queue: Queue,
    /// When the outbox is read next.
    look_at: Instant,
    /// When all tenants are compared next.
    full_at: Instant,
}

impl Relay {
    /// Runs until it is told to stop; a database that is away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let mut claimed = false;
        while !stop.is_cancelled() {
            if let Err(error) = self.follow(&mut claimed, &stop).await {
                tracing::warn!(error = ?error, "relay lost the database; it will try again");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    async fn follow(&self, claimed: &mut bool, stop: &CancellationToken) -> Result<()> {
        // Listening starts before the first look, so that nothing commits unseen in between.
        let mut listener = self.db.listener().await?;
        listener.listen(CHANGES_CHANNEL).await?;
        // Once for each start of the process: the one that starts last decides, however often connections break.
        if !*claimed {
            self.claim_basis().await?;
            *claimed = true;
        }
        let now = Instant::now();
        let mut course = Course { queue: Queue::default(), look_at: now, full_at: now };
        let mut running = FuturesUnordered::new();
        loop {
            if Instant::now() >= course.look_at {
                self.look(&mut course).await?;
            }
            while let Some(job) = self.next(&mut course) {
                running.push(self.work(job));
            }
            if course.queue.all_tried() {
                self.hub.enter(Stage::Complete);
            }
            tokio::select! {
                heard = listener.recv() => {
                    heard?;
                    course.look_at = course.look_at.min(Instant::now() + GATHER);
                }
                Some((tenant, made)) = running.next(), if !running.is_empty() => {
                    self.settle(&mut course.queue, tenant, made)?;
                }
                () = self.hub.someone_ahead() => {}
                () = tokio::time::sleep_until(course.look_at) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Makes sure that nodes take every bundle again where the addresses in it or its format have changed.
    async fn claim_basis(&self) -> Result<()> {
        let basis = self.compiler.basis();
        let mut tx = self.db.global().await?;
        let renewed = store::claim_basis(&mut tx, &basis).await?;
        tx.commit().await?;
        if let Some(tenants) = renewed {
            tracing::info!(basis, tenants, "what bundles are made from has changed; nodes take them again");
        }
        Ok(())
    }

    /// Finds out what has changed.
    async fn look(&self, course: &mut Course) -> Result<()> {
        let mut tx = self.db.global().await?;
        let changes = store::recent_changes(&mut tx).await?;
        let basis = store::basis(tx.conn()).await?;
        tx.commit().await?;
        let now = Instant::now();
        course.look_at = now + POLL;
        let full = now >= course.full_at;
        if full {
            course.full_at = now + FULL_EVERY;
        }
        if basis.is_some_and(|basis| basis != self.compiler.basis()) {
            self.give_way(full);
            return Ok(());
        }
        for (tenant, revision) in changes {
            let Some(revision) = revision else {
                self.forget(&mut course.queue, tenant);
                continue;
            };
            if self.hub.learn(tenant, revision) {
                course.queue.add(tenant, revision, Why::Changed, now);
            }
        }
        if full || matches!(self.hub.stage(), Stage::Starting | Stage::Outdated) {
            self.compare_all(&mut course.queue).await?;
        }
        if full { self.prune().await } else { Ok(()) }
    }

    /// Another process, with another configuration or version, started later and has the say. What this one would make are
    /// other bundles of the same revisions; its nodes have to go there.
    fn give_way(&self, say_so: bool) {
        if say_so || self.hub.stage() != Stage::Outdated {
            tracing::error!(
                ours = self.compiler.basis(),
                "another control plane on this database makes bundles from other settings or of another version; \
                 this one serves no nodes until it is restarted with the same"
            );
        }
        self.hub.enter(Stage::Outdated);
    }

    async fn compare_all(&self, queue: &mut Queue) -> Result<()> {
        let mut tx = self.db.global().await?;
        let heads = tenants::store::heads(&mut tx).await?;
        tx.commit().await?;
        let now = Instant::now();
        for (tenant, revision) in self.hub.list(&heads) {
            queue.add(tenant, revision, Why::Listed, now);
        }
        self.hub.enter(Stage::Listed);
        Ok(())
    }

    /// Deletes old rows of the outbox. Too many of them slow us down a little; that must not stop what is pushed.
    async fn prune(&self) -> Result<()> {
        let pruned = async {
            let mut tx = self.db.global().await?;
            let rows = store::prune(&mut tx).await?;
            tx.commit().await?;
            Ok(rows)
        };
        match pruned.await {
            Ok(rows) => tracing::debug!(rows, "outbox pruned"),
            Err(error) if is_away(&error) => return Err(error),
            Err(error) => tracing::warn!(error = ?error, "outbox could not be pruned"),
        }
        Ok(())
    }

    fn next(&self, course: &mut Course) -> Option<Job> {
        if self.hub.stage() == Stage::Outdated {
            return None;
        }
        let now = Instant::now();
        for (tenant, revision) in self.hub.take_ahead() {
            course.queue.lift(tenant, revision, now);
        }
        course.queue.next(now)
    }

    async fn work(&self, job: Job) -> (TenantId, Result<Compiled>) {
        let made = async {
            if job.above > 0
                && let Some(revision) =
                    self.db.tenant(job.tenant).await?.commit_change_above(job.above).await?
            {
                let Job { tenant, above } = job;
                tracing::warn!(%tenant, above, revision, "nodes held a revision that the database has not come to");
            }
            self.compiler.compile(job.tenant).await
        };
        let made = tokio::time::timeout(COMPILE_DEADLINE, made).await;
        (
            job.tenant,
            made.unwrap_or_else(|_| Err(Error::Internal("it took longer than 12 seconds".to_owned()))),
        )
    }

    fn forget(&self, queue: &mut Queue, tenant: TenantId) {
        self.hub.remove(tenant);
        queue.forget(tenant);
    }

    fn settle(&self, queue: &mut Queue, tenant: TenantId, made: Result<Compiled>) -> Result<()> {
        match made {
            Ok(compiled) => {
                let revision = compiled.bundle.revision;
                self.hub.publish(tenant, compiled);
                queue.done(tenant, revision, Instant::now());
            }
            Err(Error::NotFound) => self.forget(queue, tenant),
            Err(error) if is_away(&error) => return Err(error),
            Err(error) => {
                let again = queue.failed(tenant, Instant::now());
                tracing::error!(%tenant, error = ?error, ?again, "bundle could not be compiled; nodes keep what they have");
            }
        }
        Ok(())
    }
}

fn is_away(error: &Error) -> bool {
    matches!(error, Error::Db(error) if error.is_away())
}
