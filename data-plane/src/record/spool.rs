//! The spool of this life of the process: events in numbered segments on disk, until the control plane has them.
//!
//! An append is one write to the file, so that it survives the death of the process; every 50 ms the file is forced to the
//! disk, so that it survives the death of the machine. Layout: `spool/BOOT-ID/FIRST-SEQUENCE.seg`.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::ids::RequestId;
use toolmesh_proto::v1::{AuditEvent, Outcome};

use super::frame::{Draft, Record};
use super::replay::Earlier;

/// A segment that has grown to this is closed and a new one begun.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Most bytes that are read at once; far more than any record.
const READ_BYTES: u64 = 1 << 20;
/// How long written events may wait for the disk.
const SYNC_EVERY: Duration = Duration::from_millis(50);

/// Why an event was not kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool is full: {0} bytes wait for the control plane")]
    Full(u64),
    #[error("the spool cannot be written: {0}")]
    Io(#[from] std::io::Error),
}

/// The live spool.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    boot_id: String,
    most_bytes: u64,
    /// Bytes on disk, those of earlier lives included.
    bytes: AtomicU64,
    next_intent: AtomicU64,
    writer: Mutex<Writer>,
    appended: Notify,
    unsynced: Notify,
}

#[derive(Debug, Default)]
struct Writer {
    segments: VecDeque<Segment>,
    /// Files written to since they were last forced to the disk.
    dirty: Vec<Arc<File>>,
    next_sequence: u64,
    /// Open intents and the first sequence of the segment each is in.
    open: BTreeMap<u64, u64>,
    /// Events that could not be kept, by tenant.
    lost: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    bytes: u64,
    file: Arc<File>,
}

/// How far shipping has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    segment: u64,
    offset: u64,
}

impl Spool {
    /// Begins the spool of a new life in `root`. What earlier lives left there counts towards `most_bytes`.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn begin(root: &Path, boot_id: &str, most_bytes: u64) -> Result<Self, SpoolError> {
        std::fs::create_dir_all(root)?;
        let earlier_bytes = Earlier::all(root)?.iter().map(|earlier| earlier.bytes).sum();
        let folder = root.join(boot_id);
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            boot_id: boot_id.to_owned(),
            most_bytes,
            bytes: AtomicU64::new(earlier_bytes),
            next_intent: AtomicU64::new(1),
            writer: Mutex::new(Writer { next_sequence: 1, ..Writer::default() }),
            appended: Notify::new(),
            unsynced: Notify::new(),
        })
    }

    /// Names this life of the process.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Appends an event under the next sequence; closes an intent.
    ///
    /// # Errors
    /// When there is no room or the disk fails; the event is then counted as lost.
    pub fn append(&self, mut event: AuditEvent, intent: Option<u64>) -> Result<(), SpoolError> {
        event.sequence = 0;
        let draft = Draft::event(intent.unwrap_or_default(), &event);
        let tenant = event.tenant_id;
        let mut writer = self.lock();
        let result = self.append_locked(&mut writer, draft);
        if let Err(error) = &result {
            // Once per outage; how many were lost is told when there is room again.
            if writer.lost.is_empty() {
                tracing::error!(%error, "audit events are being lost");
            }
            *writer.lost.entry(tenant).or_default() += 1;
        } else if !writer.lost.is_empty() {
            self.report_lost(&mut writer);
        }
        if let Some(intent) = intent {
            writer.open.remove(&intent);
        }
        drop(writer);
        self.appended.notify_one();
        self.unsynced.notify_one();
        result
    }

    /// Notes that something is about to happen.
    ///
    /// # Errors
    /// When there is no room or the disk fails.
    pub fn intend(&self, event: &AuditEvent) -> Result<u64, SpoolError> {
        // A number that is never written is no harm.
        let intent = self.next_intent.fetch_add(1, Ordering::Relaxed);
        let bytes = Draft::intent(intent, event).finish();
        let mut writer = self.lock();
        self.write(&mut writer, &bytes)?;
        let segment = writer.segments.back().map_or(0, |segment| segment.first);
        writer.open.insert(intent, segment);
        drop(writer);
        self.unsynced.notify_one();
        Ok(intent)
    }

    /// `draft` has no sequence yet.
    fn append_locked(&self, writer: &mut Writer, draft: Draft) -> Result<(), SpoolError> {
        self.write(writer, &draft.numbered(writer.next_sequence).finish())?;
        writer.next_sequence += 1;
        Ok(())
    }

    fn write(&self, writer: &mut Writer, bytes: &[u8]) -> Result<(), SpoolError> {
        let used = self.bytes.load(Ordering::Relaxed);
        let length = bytes.len() as u64;
        if used + length > self.most_bytes {
            return Err(SpoolError::Full(used));
        }
        if writer.segments.back().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES) {
            self.begin_segment(writer)?;
        }
        let Some(segment) = writer.segments.back_mut() else { return Ok(()) };
        if let Err(error) = (&*segment.file).write_all(bytes) {
            // What was half written must not stand before the next record.
            let mut file = &*segment.file;
            segment.file.set_len(segment.bytes)?;
            file.seek(SeekFrom::Start(segment.bytes))?;
            return Err(error.into());
        }
        segment.bytes += length;
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let file = Arc::clone(&segment.file);
        if !writer.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &file)) {
            writer.dirty.push(file);
        }
        Ok(())
    }

    fn begin_segment(&self, writer: &mut Writer) -> Result<(), SpoolError> {
        let first = writer.next_sequence;
        // Intents alone can fill a segment; the next one then needs another name.
        let name = writer.segments.back().map_or(first, |last| first.max(last.first + 1));
        let path = self.folder.join(segment_name(name));
        let file = Arc::new(File::create_new(path)?);
        writer.segments.push_back(Segment { first: name, bytes: 0, file });
        Ok(())
    }

    /// Says how many events could not be kept, if there is room for that now. Writes to the disk.
    pub fn report_losses(&self) {
        let mut writer = self.lock();
        if writer.lost.is_empty() {
            return;
        }
        self.report_lost(&mut writer);
        drop(writer);
        self.appended.notify_one();
        self.unsynced.notify_one();
    }

    fn report_lost(&self, writer: &mut Writer) {
        for (tenant, count) in std::mem::take(&mut writer.lost) {
            let event = gap(&tenant, count);
            if self.append_locked(writer, Draft::event(0, &event)).is_err() {
                *writer.lost.entry(tenant).or_default() += count;
            }
        }
    }

    /// Up to `most` events after a cursor, and the cursor behind them. Reads the disk.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn read(&self, cursor: Cursor, most: usize) -> Result<(Vec<AuditEvent>, Cursor), SpoolError> {
        let (mut events, mut cursor) = (Vec::new(), cursor);
        let segments: Vec<(u64, u64)> = self.lock().segments.iter().map(|s| (s.first, s.bytes)).collect();
        for (first, bytes) in segments {
            if first < cursor.segment {
                continue;
            }
            let offset = if first == cursor.segment { cursor.offset } else { 0 };
            let data = self.read_part(first, offset, bytes)?;
            let mut at = 0;
            while events.len() < most
                && let Some((record, length)) = Record::decode(&data[at..])
            {
                at += length;
                if let Record::Event { event, .. } = record {
                    events.push(event);
                }
            }
            let end = offset + at as u64;
            cursor = Cursor { segment: first, offset: end };
            if at == 0 && !data.is_empty() && events.len() < most {
                tracing::error!(
                    segment = first,
                    offset,
                    "audit segment is damaged, the rest of it is skipped"
                );
                cursor.offset = bytes;
            } else if end < bytes {
                break;
            }
        }
        Ok((events, cursor))
    }

    fn read_part(&self, segment: u64, offset: u64, end: u64) -> Result<Vec<u8>, SpoolError> {
        let length = end.saturating_sub(offset).min(READ_BYTES);
        let mut data = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        if length > 0 {
            let mut file = File::open(self.folder.join(segment_name(segment)))?;
            file.seek(SeekFrom::Start(offset))?;
            file.take(length).read_to_end(&mut data)?;
        }
        Ok(data)
    }

    /// Forgets what the control plane has: segments whose every event it stored, oldest first. One that holds an open intent
    /// stays, and what came after it, since the intent's end may be there.
    ///
    /// Works on the disk.
    ///
    /// # Errors
    /// When a segment cannot be removed; it is tried again with the next one.
    pub fn stored_through(&self, sequence: u64) -> Result<(), SpoolError> {
        for first in self.stored_segments(sequence) {
            // Not under the lock: calls append meanwhile, and only to the last segment, which is never among these.
            match std::fs::remove_file(self.folder.join(segment_name(first))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            let mut writer = self.lock();
            if let Some(oldest) = writer.segments.pop_front_if(|segment| segment.first == first) {
                self.bytes.fetch_sub(oldest.bytes, Ordering::Relaxed);
            }
        }
        self.report_losses();
        Ok(())
    }

    /// Segments that may go.
    fn stored_segments(&self, sequence: u64) -> Vec<u64> {
        let writer = self.lock();
        let oldest_open = writer.open.values().min().copied().unwrap_or(u64::MAX);
        let followed = writer.segments.iter().zip(writer.segments.iter().skip(1));
        let stored =
            followed.take_while(|(oldest, next)| next.first <= sequence + 1 && oldest.first < oldest_open);
        stored.map(|(segment, _)| segment.first).collect()
    }

    /// Whether the control plane has everything up to `sequence` and that is all there is.
    #[must_use]
    pub fn is_drained(&self, sequence: u64) -> bool {
        let writer = self.lock();
        writer.next_sequence == sequence + 1 && writer.open.is_empty() && writer.lost.is_empty()
    }

    /// Removes the whole spool, when it is drained and the process ends.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn remove(&self) -> Result<(), SpoolError> {
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }

    /// Space that earlier lives used is free again. May write to the disk.
    pub fn freed(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // The closure never refuses.
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.report_losses();
    }

    /// Waits for the next append.
    pub async fn appended(&self) {
        self.appended.notified().await;
    }

    /// Forces what was written to the disk, again and again, and once more at the end.
    pub async fn keep_synced(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(self.unsynced.notified()).await.is_some() {
            stop.run_until_cancelled(tokio::time::sleep(SYNC_EVERY)).await;
            self.sync().await;
        }
        self.sync().await;
    }

    async fn sync(&self) {
        let files = std::mem::take(&mut self.lock().dirty);
        let synced =
            tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| file.sync_data())).await;
        match synced {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "audit spool not forced to disk"),
            Err(error) => tracing::error!(%error, "audit spool not forced to disk"),
        }
    }

    /// Every change under the lock is whole before anything in it can panic.
    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

fn gap(tenant: &str, count: u64) -> AuditEvent {
    let micros = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
    let mut event = AuditEvent {
        at_micros: i64::try_from(micros).unwrap_or_default(),
        tenant_id: tenant.to_owned(),
        request_id: RequestId::new().to_string(),
        method: toolmesh_proto::beside_calls::GAP.to_owned(),
        arguments_json: "{}".to_owned(),
        reason: format!(
            "{count} calls before this were not recorded: the node had no room left for its log."
        ),
        ..AuditEvent::default()
    };
    event.set_outcome(Outcome::Unknown);
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tool: &str) -> AuditEvent {
        AuditEvent { tenant_id: "t".into(), tool: tool.into(), ..AuditEvent::default() }
    }

    fn spool(most: u64) -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::begin(folder.path(), "boot", most).unwrap();
        (folder, spool)
    }

    #[test]
    fn events_are_numbered_and_read_in_order_from_where_reading_stopped() {
        let (_folder, spool) = spool(1 << 20);
        for n in 0..5 {
            spool.append(event(&n.to_string()), None).unwrap();
        }
        let (first, cursor) = spool.read(Cursor::default(), 3).unwrap();
        assert_eq!(first.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        let (rest, cursor) = spool.read(cursor, 100).unwrap();
        assert_eq!(rest.iter().map(|e| e.tool.as_str()).collect::<Vec<_>>(), ["3", "4"]);
        assert!(spool.read(cursor, 100).unwrap().0.is_empty());
        assert!(spool.is_drained(5) && !spool.is_drained(4));
    }

    #[test]
    fn segments_go_when_stored_and_reading_goes_on_behind_them() {
        let (folder, spool) = spool(64 << 20);
        let long = "x".repeat(1 << 19);
        for _ in 0..20 {
            spool.append(event(&long), None).unwrap();
        }
        let files = || std::fs::read_dir(folder.path().join("boot")).unwrap().count();
        assert!(files() > 1, "{}", files());
        let (mut count, mut cursor) = (0, Cursor::default());
        loop {
            let (events, next) = spool.read(cursor, 100).unwrap();
            if events.is_empty() {
                break;
            }
            (count, cursor) = (count + events.len(), next);
        }
        assert_eq!(count, 20);
        spool.stored_through(20).unwrap();
        assert_eq!(files(), 1);
        spool.append(event("after"), None).unwrap();
        let (events, _) = spool.read(cursor, 100).unwrap();
        assert_eq!((events.len(), events[0].sequence), (1, 21));
    }

    #[test]
    fn an_open_intent_keeps_its_segment_and_what_follows() {
        let (folder, spool) = spool(64 << 20);
        let intent = spool.intend(&event("write")).unwrap();
        let long = "x".repeat(1 << 19);
        for _ in 0..20 {
            spool.append(event(&long), None).unwrap();
        }
        let files = || std::fs::read_dir(folder.path().join("boot")).unwrap().count();
        let before = files();
        spool.stored_through(20).unwrap();
        assert_eq!(files(), before);
        spool.append(event("write"), Some(intent)).unwrap();
        spool.stored_through(21).unwrap();
        assert_eq!(files(), 1);
    }

    #[test]
    fn a_full_spool_counts_what_it_cannot_keep_and_says_so_when_there_is_room() {
        let (_folder, spool) = spool(100);
        spool.append(event("a"), None).unwrap();
        let long = "x".repeat(100);
        assert!(matches!(spool.append(event(&long), None), Err(SpoolError::Full(_))));
        assert!(matches!(spool.append(event(&long), None), Err(SpoolError::Full(_))));
        assert!(!spool.is_drained(1));
        let spool = Spool { most_bytes: 10_000, ..spool };
        spool.append(event("b"), None).unwrap();
        let (events, _) = spool.read(Cursor::default(), 100).unwrap();
        let gap = events.last().unwrap();
        assert_eq!((gap.method.as_str(), gap.sequence), ("audit/gap", 3));
        assert!(gap.reason.starts_with("2 calls"));
    }

    #[test]
    fn losses_are_told_as_soon_as_there_is_room_though_nothing_more_happens() {
        let long = "x".repeat(1 << 19);
        let (_folder, spool) = spool(6 << 20);
        while spool.append(event(&long), None).is_ok() {}
        let sequence = spool.lock().next_sequence - 1;
        assert!(!spool.is_drained(sequence));
        spool.stored_through(sequence).unwrap();
        assert!(spool.lock().lost.is_empty());
        let (mut events, mut cursor) = (vec![], Cursor::default());
        while events.last().is_none_or(|event: &AuditEvent| event.sequence <= sequence) {
            (events, cursor) = spool.read(cursor, 100).unwrap();
        }
        assert_eq!(events.last().unwrap().method, "audit/gap");
        assert!(spool.is_drained(sequence + 1));
    }

    #[tokio::test]
    async fn what_is_about_to_happen_is_forced_to_the_disk_like_what_happened() {
        let (_folder, spool) = spool(1 << 20);
        spool.intend(&event("write")).unwrap();
        let told = tokio::time::timeout(Duration::from_secs(5), spool.unsynced.notified());
        assert!(told.await.is_ok());
    }
}
