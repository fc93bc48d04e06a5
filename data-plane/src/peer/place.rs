//! Where something waits, sealed for the client that carries it.

use time::OffsetDateTime;
use toolmesh_proto::seal::SealError;

use super::shelf::Key;
use super::{ANSWER_WITHIN, Owner, STREAM_FOR};
use crate::sealed::{Purpose, Seals};

/// What waits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Question,
    Parked,
    Stream,
}

/// A node and what it knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) address: String,
}

impl Kind {
    const fn purpose(self) -> Purpose {
        match self {
            Self::Question | Self::Parked => Purpose::Ask,
            Self::Stream => Purpose::Stream,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Parked => "parked call",
            Self::Stream => "stream",
        }
    }
}

pub(super) fn seal(seals: &Seals, kind: Kind, owner: Owner, place: &Place) -> Result<String, SealError> {
    let keeps = if kind == Kind::Stream { STREAM_FOR } else { ANSWER_WITHIN };
    let until = OffsetDateTime::now_utc() + keeps;
    let plain = [place.key.as_slice(), place.address.as_bytes()].concat();
    let (tenant, subject) = (owner.tenant.to_string(), owner.subject.to_string());
    seals.seal(kind.purpose(), &[kind.name(), &tenant, &subject], until.unix_timestamp(), &plain)
}

pub(super) fn open(seals: &Seals, kind: Kind, owner: Owner, id: &str) -> Option<Place> {
    let (tenant, subject) = (owner.tenant.to_string(), owner.subject.to_string());
    let plain = seals.open(kind.purpose(), &[kind.name(), &tenant, &subject], id).ok()?;
    let (key, address) = plain.split_first_chunk()?;
    Some(Place { key: *key, address: String::from_utf8(address.to_vec()).ok()? })
}
