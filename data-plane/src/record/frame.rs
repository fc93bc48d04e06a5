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

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, intent, event) = match self {
            Self::Event { intent, event } => (1, intent, event),
            Self::Intent { intent, event } => (2, intent, event),
        };
        let length = INNER + event.encoded_len();
        let mut bytes = Vec::with_capacity(HEAD + length);
        bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.push(kind);
        bytes.extend_from_slice(&intent.to_le_bytes());
        bytes.extend_from_slice(&event.encode_to_vec());
        let sum = crc32(&bytes[HEAD..]);
        bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The first record of some bytes, and its length. `None` for one that is cut off or damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let length = usize::try_from(word(0)?).ok().filter(|length| (INNER..=LONGEST).contains(length))?;
        let inner = bytes.get(HEAD..HEAD + length)?;
        if crc32(inner) != word(4)? {
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

/// CRC-32 as in IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| TABLE[usize::from((sum as u8) ^ byte)] ^ (sum >> 8);
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::Event {
            intent: 7,
            event: AuditEvent { sequence: 3, tool: "github_x".into(), ..Default::default() },
        }
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let bytes = record().encode();
        assert_eq!(Record::decode(&bytes), Some((record(), bytes.len())));
    }

    #[test]
    fn a_record_with_any_bit_flipped_or_byte_missing_is_not_read() {
        let bytes = record().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert_eq!(Record::decode(&flipped), None, "byte {at}");
            assert_eq!(Record::decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
