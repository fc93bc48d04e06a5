//! What a request carries: bytes, or files that are fetched while it is sent.
//!
//! Owns the form of multipart bodies and their length. A payload can be sent again: its files are then fetched anew, since a
//! node keeps none.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::file::{FileSource, OpenFile};
use super::{Outbound, OutboundError};

/// A request's body.
#[derive(Clone)]
pub enum Payload {
    Bytes(Bytes),
    /// A file's bytes, and nothing else.
    File(FileSource),
    Multipart(Multipart),
}

/// multipart/form-data (RFC 7578).
#[derive(Clone)]
pub struct Multipart {
    boundary: String,
    fields: Vec<Field>,
    /// Most bytes of the whole body.
    most: u64,
}

/// A part of a form.
#[derive(Clone)]
pub struct Field {
    pub name: String,
    pub content: FieldContent,
}

/// What a part holds.
#[derive(Clone)]
pub enum FieldContent {
    Text(String),
    File(FileSource),
}

/// A body that is being sent, and how long it will be, if that is known.
pub(super) struct Sending {
    pub body: reqwest::Body,
    pub length: Option<u64>,
}

/// Bodies hold what callers wrote.
impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(_) => f.write_str("a file"),
            Self::Multipart(form) => write!(f, "a form of {} parts", form.fields.len()),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl Multipart {
    /// A form whose parts are in this order.
    #[must_use]
    pub fn new(fields: Vec<Field>, most: u64) -> Self {
        let boundary = format!("toolmesh-{}", uuid::Uuid::new_v4().simple());
        Self { boundary, fields, most }
    }

    /// Its media type, with the boundary.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Its parts.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn head(&self, field: &Field, file: Option<&OpenFile>) -> Bytes {
        let mut head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{}\"",
            self.boundary,
            quoted(&field.name)
        );
        if let Some(file) = file {
            head.push_str(&format!("; filename=\"{}\"\r\nContent-Type: {}", quoted(&file.name), file.media));
        }
        head.push_str("\r\n\r\n");
        head.into()
    }

    async fn pieces(&self, outbound: &Outbound) -> Result<Vec<Piece>, OutboundError> {
        let mut pieces = Vec::with_capacity(3 * self.fields.len() + 1);
        for field in &self.fields {
            match &field.content {
                FieldContent::Text(text) => {
                    pieces.push(Piece::Bytes(self.head(field, None)));
                    pieces.push(Piece::Bytes(text.clone().into()));
                }
                FieldContent::File(source) => {
                    let file = source.open(outbound).await?;
                    pieces.push(Piece::Bytes(self.head(field, Some(&file))));
                    pieces.push(Piece::File(file));
                }
            }
            pieces.push(Piece::Bytes(Bytes::from_static(b"\r\n")));
        }
        pieces.push(Piece::Bytes(format!("--{}--\r\n", self.boundary).into()));
        Ok(pieces)
    }
}

/// A part's name as browsers write it: quotes and line breaks would end it.
fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

enum Piece {
    Bytes(Bytes),
    File(OpenFile),
}

impl Piece {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(file) => file.length,
        }
    }

    fn stream(self) -> BoxStream<'static, Result<Bytes, OutboundError>> {
        match self {
            Self::Bytes(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            Self::File(file) => file.content,
        }
    }
}

impl Payload {
    /// Opens the files and begins to send; what they hold is read as fast as it is sent.
    ///
    /// # Errors
    /// When a file cannot be had or is too large.
    pub(super) async fn send(self, outbound: &Outbound) -> Result<Sending, OutboundError> {
        let (pieces, most) = match self {
            Self::Bytes(bytes) => {
                return Ok(Sending { length: Some(bytes.len() as u64), body: bytes.into() });
            }
            Self::File(source) => {
                let most = source.most();
                (vec![Piece::File(source.open(outbound).await?)], most)
            }
            Self::Multipart(form) => (form.pieces(outbound).await?, form.most),
        };
        let length = pieces.iter().map(Piece::length).try_fold(0_u64, |sum, length| sum.checked_add(length?));
        if length.is_some_and(|length| length > most) {
            return Err(OutboundError::BodyTooLarge(most));
        }
        let mut sent = 0_u64;
        let whole = stream::iter(pieces).flat_map(Piece::stream).map(move |chunk| {
            sent += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            if sent > most { Err(OutboundError::BodyTooLarge(most)) } else { chunk }
        });
        Ok(Sending { length, body: reqwest::Body::wrap_stream(whole) })
    }
}
