//! What earlier lives of the process left: their events, and calls that were begun and never ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use toolmesh_proto::v1::{AuditEvent, Outcome};

use super::frame::{Draft, Record};
use super::spool::segment_name;

/// The spool of one earlier life.
#[derive(Clone, Debug)]
pub(super) struct Earlier {
    pub(super) boot_id: String,
    folder: PathBuf,
    pub(super) bytes: u64,
    /// Segments in order.
    segments: Vec<PathBuf>,
}

impl Earlier {
    /// The earlier spools in `root`, oldest first.
    pub(super) fn all(root: &Path) -> std::io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            // Boot ids are UUIDv7, so that their order is the order of the lives.
            let Some(boot_id) =
                entry.file_name().to_str().filter(|n| uuid::Uuid::try_parse(n).is_ok()).map(str::to_owned)
            else {
                continue;
            };
            let folder = entry.path();
            let mut segments = Vec::new();
            let mut bytes = 0;
            for file in std::fs::read_dir(&folder)? {
                let file = file?;
                bytes += file.metadata()?.len();
                segments.push(file.path());
            }
            segments.sort();
            all.push(Self { boot_id, folder, bytes, segments });
        }
        all.sort_by(|a, b| a.boot_id.cmp(&b.boot_id));
        Ok(all)
    }

    /// Adds an event of unknown outcome for every call that was begun and not ended. Run twice, it adds nothing new.
    pub(super) fn close_intents(&mut self) -> std::io::Result<()> {
        let (mut open, mut last) = (BTreeMap::new(), 0);
        for segment in &self.segments {
            for record in records(segment)? {
                match record {
                    Record::Intent { intent, event } => {
                        open.insert(intent, event);
                    }
                    Record::Event { intent, event } => {
                        last = last.max(event.sequence);
                        open.remove(&intent);
                    }
                }
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        tracing::warn!(boot_id = self.boot_id, calls = open.len(), "calls of an earlier life never ended");
        let mut bytes = Vec::new();
        for (intent, event) in open {
            last += 1;
            bytes.extend(Draft::event(intent, &unknown(event, last)).finish());
        }
        // After every other segment, whatever their names.
        let path = self.folder.join(segment_name(u64::MAX));
        let mut file = File::options().create(true).append(true).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        self.bytes += bytes.len() as u64;
        if !self.segments.contains(&path) {
            self.segments.push(path);
        }
        Ok(())
    }

    /// The segments in order, each to be given to [`events`].
    pub(super) fn segments(&self) -> &[PathBuf] {
        &self.segments
    }

    /// Removes it, when everything in it is stored.
    pub(super) fn remove(&self) -> std::io::Result<()> {
        std::fs::remove_dir_all(&self.folder)
    }
}

/// The events of a segment, in order.
pub(super) fn events(segment: &Path) -> std::io::Result<Vec<AuditEvent>> {
    let events = records(segment)?.into_iter().filter_map(|record| match record {
        Record::Event { event, .. } => Some(event),
        Record::Intent { .. } => None,
    });
    Ok(events.collect())
}

/// Every sound record of a segment, up to the first that is damaged or cut off.
fn records(path: &Path) -> std::io::Result<Vec<Record>> {
    let bytes = std::fs::read(path)?;
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((record, length)) = Record::decode(&bytes[at..]) {
        records.push(record);
        at += length;
    }
    if at < bytes.len() {
        let unread = bytes.len() - at;
        tracing::warn!(segment = %path.display(), unread, "audit segment ends in damage");
    }
    Ok(records)
}

fn unknown(mut event: AuditEvent, sequence: u64) -> AuditEvent {
    event.sequence = sequence;
    event.set_outcome(Outcome::Unknown);
    event.reason = "The node stopped while the call was on its way; what happened is unknown.".to_owned();
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Spool;

    const BOOT: &str = "01890000-0000-7000-8000-00000000000a";

    fn event(tool: &str) -> AuditEvent {
        AuditEvent { tool: tool.into(), ..AuditEvent::default() }
    }

    fn read(root: &Path) -> Vec<AuditEvent> {
        let mut all = Earlier::all(root).unwrap();
        assert_eq!(all.len(), 1);
        all[0].close_intents().unwrap();
        all[0].segments().iter().flat_map(|segment| events(segment).unwrap()).collect()
    }

    #[test]
    fn an_earlier_life_is_read_whole_and_again_the_same() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::begin(root.path(), BOOT, 1 << 20).unwrap();
        spool.append(event("a"), None).unwrap();
        spool.append(event("b"), None).unwrap();
        drop(spool);
        for _ in 0..2 {
            let events = read(root.path());
            assert_eq!(
                events.iter().map(|e| (e.sequence, e.tool.as_str())).collect::<Vec<_>>(),
                [(1, "a"), (2, "b")]
            );
        }
        assert!(Earlier::all(root.path()).unwrap()[0].bytes > 0);
    }

    #[test]
    fn a_damaged_tail_loses_the_tail_only() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::begin(root.path(), BOOT, 1 << 20).unwrap();
        spool.append(event("a"), None).unwrap();
        spool.append(event("b"), None).unwrap();
        let path = root.path().join(BOOT).join(segment_name(1));
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let events = read(root.path());
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].tool, "a");
    }

    #[test]
    fn a_call_that_never_ended_is_reported_once_with_an_unknown_outcome() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::begin(root.path(), BOOT, 1 << 20).unwrap();
        let ended = spool.intend(&event("ended")).unwrap();
        spool.intend(&event("open")).unwrap();
        spool.append(event("ended"), Some(ended)).unwrap();
        drop(spool);
        for _ in 0..2 {
            let events = read(root.path());
            assert_eq!(events.len(), 2);
            assert_eq!((events[1].sequence, events[1].tool.as_str()), (2, "open"));
            assert_eq!(events[1].outcome(), Outcome::Unknown);
        }
    }

    #[test]
    fn what_is_no_spool_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("lost+found")).unwrap();
        assert!(Earlier::all(root.path()).unwrap().is_empty());
    }
}
