//! Letters: what travels between nodes, sealed for the one that it goes to, for a short time.

use prost::Message as _;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use toolmesh_proto::seal::SealError;
use toolmesh_proto::v1;
use toolmesh_proto::v1::client_answer::Answer;
use toolmesh_proto::v1::contents::Contents;

use super::Owner;
use crate::call::line::Answered;
use crate::sealed::{Purpose, Seals};

/// How long a letter opens, in seconds; clocks of two nodes may differ by somewhat less.
const OPENS_FOR: i64 = 60;

pub(super) fn seal(seals: &Seals, to: &str, contents: &v1::Contents) -> Result<v1::Letter, SealError> {
    let until = OffsetDateTime::now_utc().unix_timestamp() + OPENS_FOR;
    let sealed = seals.seal(Purpose::Letter, &["to", to], until, &contents.encode_to_vec())?;
    Ok(v1::Letter { sealed })
}

pub(super) fn open(seals: &Seals, to: &str, letter: &v1::Letter) -> Option<v1::Contents> {
    let plain = seals.open(Purpose::Letter, &["to", to], &letter.sealed).ok()?;
    v1::Contents::decode(plain.as_slice()).ok()
}

/// A part of what comes back for a letter: bound to it and to its place in the row, so that none is left out or repeated.
pub(super) fn seal_frame(
    seals: &Seals,
    letter: &[u8],
    index: u64,
    frame: &v1::Frame,
) -> Result<v1::Letter, SealError> {
    let until = OffsetDateTime::now_utc().unix_timestamp() + OPENS_FOR;
    let (letter, index) = (toolmesh_proto::hex(letter), index.to_string());
    let sealed = seals.seal(Purpose::Letter, &["back", &letter, &index], until, &frame.encode_to_vec())?;
    Ok(v1::Letter { sealed })
}

pub(super) fn open_frame(seals: &Seals, letter: &[u8], index: u64, sent: &v1::Letter) -> Option<v1::Frame> {
    let (letter, index) = (toolmesh_proto::hex(letter), index.to_string());
    let plain = seals.open(Purpose::Letter, &["back", &letter, &index], &sent.sealed).ok()?;
    v1::Frame::decode(plain.as_slice()).ok()
}

/// A letter about a client's call, for each node: whether it is to pass it on.
pub(super) fn cancellation(owner: Owner, scope: &str, request_id: &str) -> impl Fn(bool) -> Contents {
    move |pass_on| {
        Contents::Cancellation(v1::Cancellation {
            owner: Some(self::owner(owner)),
            scope: scope.to_owned(),
            request_id: request_id.to_owned(),
            pass_on,
        })
    }
}

/// The same about what a client wants.
pub(super) fn wish(owner: Owner, scope: &str, word: &str) -> impl Fn(bool) -> Contents {
    move |pass_on| {
        Contents::Wish(v1::Wish {
            owner: Some(self::owner(owner)),
            scope: scope.to_owned(),
            word: word.to_owned(),
            pass_on,
        })
    }
}

pub(super) fn owner(owner: Owner) -> v1::Owner {
    v1::Owner { tenant_id: owner.tenant.to_string(), subject: owner.subject.to_string() }
}

pub(super) fn read_owner(owner: Option<&v1::Owner>) -> Option<Owner> {
    let owner = owner?;
    Some(Owner { tenant: owner.tenant_id.parse().ok()?, subject: owner.subject.parse().ok()? })
}

pub(super) fn answer(answer: &Answered) -> v1::ClientAnswer {
    let answer = match answer {
        Answered::Result(raw) => Answer::ResultJson(raw.get().to_owned()),
        Answered::Error(raw) => Answer::ErrorJson(raw.get().to_owned()),
    };
    v1::ClientAnswer { answer: Some(answer) }
}

pub(super) fn read_answer(answer: Option<v1::ClientAnswer>) -> Option<Answered> {
    match answer?.answer? {
        Answer::ResultJson(text) => RawValue::from_string(text).ok().map(Answered::Result),
        Answer::ErrorJson(text) => RawValue::from_string(text).ok().map(Answered::Error),
    }
}
