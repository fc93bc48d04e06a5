//! Records on disk: length, CRC-32, kind, intent number, protobuf. Whatever does not check out ends the reading of its file.

use prost::Message as _;
use toolmesh_proto::v1::AuditEvent;

/// Length and checksum.
const HEAD: usize = 8;
/// Kind and intent number, under the checksum.
const INNER: usize = 9;
/// No record is longer; a length beyond it is damage.
const LONGEST: usize = 1 << 20;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    /// Something happened; closes the intent with that number, if it is not 0.
    Event { intent: u64, event: AuditEvent },
    /// Something is about to happen.
    Intent { intent: u64, event: AuditEvent },
}

/// A record on its way to the disk: all of it but the sequence, which is known only when it is its turn.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    /// The checksum so far.
    sum: u32,
}

impl Draft {
    /// An event; its sequence, if it has none yet, is given with [`Self::numbered`].
    pub(super) fn event(intent: u64, event: &AuditEvent) -> Self {
        Self::new(1, intent, event)
    }

    pub(super) fn intent(intent: u64, event: &AuditEvent) -> Self {
        Self::new(2, intent, event)
    }

    fn new(kind: u8, intent: u64, event: &AuditEvent) -> Self {
        let length = HEAD + INNER + event.encoded_len();
        // Room for a sequence: a tag and a varint.
        let mut bytes = Vec::with_capacity(length + 11);
        bytes.extend_from_slice(&[0; HEAD]);
        bytes.push(kind);
        bytes.extend_from_slice(&intent.to_le_bytes());
        event.encode_raw(&mut bytes);
        let sum = crc32(u32::MAX, &bytes[HEAD..]);
        Self { bytes, sum }
    }

    /// Adds the sequence. A field may stand anywhere in a protobuf message, so it stands at the end.
    pub(super) fn numbered(mut self, sequence: u64) -> Self {
        let end = self.bytes.len();
        AuditEvent { sequence, ..AuditEvent::default() }.encode_raw(&mut self.bytes);
        self.sum = crc32(self.sum, &self.bytes[end..]);
        self
    }

    /// The record's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - HEAD).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..HEAD].copy_from_slice(&(!self.sum).to_le_bytes());
        self.bytes
    }
}

impl Record {
    /// The first record of some bytes, and its length. `None` for one that is cut off or damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let length = usize::try_from(word(0)?).ok().filter(|length| (INNER..=LONGEST).contains(length))?;
        let inner = bytes.get(HEAD..HEAD + length)?;
        if !crc32(u32::MAX, inner) != word(4)? {
            return None;
        }
        let intent = u64::from_le_bytes(inner.get(1..INNER)?.try_into().ok()?);
        let event = AuditEvent::decode(inner.get(INNER..)?).ok()?;
        let record = match inner.first()? {
            1 => Self::Event { intent, event },
            2 => Self::Intent { intent, event },
            _ => return None,
        };
        Some((record, HEAD + length))
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut value, mut bit) = (n as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

/// CRC-32 as in IEEE 802.3, from a state to the next. It begins with all bits set, and ends with all bits turned.
fn crc32(state: u32, bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| TABLE[usize::from((sum as u8) ^ byte)] ^ (sum >> 8);
    bytes.iter().fold(state, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64) -> AuditEvent {
        AuditEvent { sequence, tool: "github_x".into(), ..Default::default() }
    }

    fn written() -> Vec<u8> {
        Draft::event(7, &event(0)).numbered(3).finish()
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(!crc32(u32::MAX, b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let bytes = written();
        let record = Record::Event { intent: 7, event: event(3) };
        assert_eq!(Record::decode(&bytes), Some((record, bytes.len())));
        let bytes = Draft::intent(8, &event(0)).finish();
        let record = Record::Intent { intent: 8, event: event(0) };
        assert_eq!(Record::decode(&bytes), Some((record, bytes.len())));
    }

    #[test]
    fn a_record_with_any_bit_flipped_or_byte_missing_is_not_read() {
        let bytes = written();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert_eq!(Record::decode(&flipped), None, "byte {at}");
            assert_eq!(Record::decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
