//! Files that callers name by URL: fetched by the node, without any credential, into the body of a request.
//!
//! Owns what such a URL may be and how far it is followed: http and https under the guard's rules at every hop, and `data:`
//! URLs for clients that have no other way to hand over a small file. What the file's server says on refusing is never
//! passed on.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{Outbound, OutboundError};

/// Redirects that are followed.
const HOPS: usize = 5;
/// A file of unknown length is read this far before it is sent, so that most leave with their length after all.
const AHEAD: usize = 4 << 20;
/// Longest file name that is passed on, in characters.
const NAME_CHARS: usize = 120;
const OCTETS: &str = "application/octet-stream";

/// Where a file comes from.
#[derive(Clone)]
pub struct FileSource {
    argument: String,
    from: From,
    /// Most bytes.
    most: u64,
}

#[derive(Clone)]
enum From {
    Url(Url),
    Inline { media: String, bytes: Bytes },
}

/// A file that is being read.
pub(super) struct OpenFile {
    pub name: String,
    pub media: String,
    pub length: Option<u64>,
    pub content: BoxStream<'static, Result<Bytes, OutboundError>>,
}

impl FileSource {
    /// Reads the URL that a caller gave for an argument. Nothing is fetched yet.
    ///
    /// # Errors
    /// Completes the sentence that begins with the argument's name.
    pub fn parse(argument: &str, url: &str, most: u64) -> Result<Self, &'static str> {
        const KINDS: &str = "must be the http, https or data URL of a file";
        let url = url.trim();
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let from = match scheme.as_str() {
            "data" => {
                let (media, bytes) =
                    inline(url.get(5..).unwrap_or_default()).ok_or("is no valid data URL")?;
                if bytes.len() as u64 > most {
                    return Err("is larger than this tool may send");
                }
                From::Inline { media, bytes }
            }
            "http" | "https" => {
                let url = Url::parse(url).map_err(|_| KINDS)?;
                if !url.username().is_empty() || url.password().is_some() {
                    return Err("must not hold a user name or password");
                }
                From::Url(url)
            }
            _ => return Err(KINDS),
        };
        Ok(Self { argument: argument.to_owned(), from, most })
    }

    /// Which file it is, in words.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.from {
            From::Url(url) => format!("the file at {url}"),
            From::Inline { media, bytes } => format!("a file of {} bytes, {media}", bytes.len()),
        }
    }

    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    /// Finds the file and begins to read it.
    pub(super) async fn open(&self, outbound: &Outbound) -> Result<OpenFile, OutboundError> {
        let url = match &self.from {
            From::Inline { media, bytes } => {
                let (content, length) = (bytes.clone(), Some(bytes.len() as u64));
                let content = stream::once(async { Ok(content) }).boxed();
                return Ok(OpenFile { name: inline_name(media), media: media.clone(), length, content });
            }
            From::Url(url) => url,
        };
        let response = self.follow(outbound, url.clone()).await?;
        let length = response.content_length();
        if length.is_some_and(|length| length > self.most) {
            return Err(self.too_large());
        }
        let media = media(response.headers());
        let (length, content) = match length {
            Some(length) => (Some(length), self.rest(response, 0)),
            None => self.read_ahead(response).await?,
        };
        Ok(OpenFile { name: name(url), media, length, content })
    }

    /// Goes from hop to hop; each is checked as the first one is.
    async fn follow(&self, outbound: &Outbound, mut url: Url) -> Result<reqwest::Response, OutboundError> {
        for _ in 0..=HOPS {
            let response = outbound
                .fetch(url.clone())
                .await
                .map_err(|error| self.fault(format!("could not be fetched: {error}")))?;
            let status = response.status();
            if status.is_redirection() {
                let next = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                url = next
                    .and_then(|to| url.join(to).ok())
                    .filter(|next| matches!(next.scheme(), "http" | "https"))
                    .ok_or_else(|| {
                        self.fault("could not be fetched: its server points nowhere".to_owned())
                    })?;
                continue;
            }
            if status != StatusCode::OK {
                let status = status.as_u16();
                return Err(self.fault(format!("could not be fetched: its server answered {status}")));
            }
            if response.headers().get(CONTENT_ENCODING).is_some_and(|packed| packed != "identity") {
                return Err(self.fault("came packed, which was not asked for".to_owned()));
            }
            return Ok(response);
        }
        Err(self.fault(format!("is behind more than {HOPS} redirects")))
    }

    /// The first part of a file of unknown length; if that is all, the length is known.
    async fn read_ahead(
        &self,
        mut response: reqwest::Response,
    ) -> Result<(Option<u64>, BoxStream<'static, Result<Bytes, OutboundError>>), OutboundError> {
        let mut ahead = BytesMut::new();
        while ahead.len() < AHEAD {
            let Some(chunk) = response.chunk().await.map_err(|_| self.broken())? else {
                let bytes = ahead.freeze();
                if bytes.len() as u64 > self.most {
                    return Err(self.too_large());
                }
                return Ok((Some(bytes.len() as u64), stream::once(async { Ok(bytes) }).boxed()));
            };
            ahead.extend_from_slice(&chunk);
        }
        let read = ahead.len() as u64;
        let first = stream::once(async { Ok(ahead.freeze()) });
        Ok((None, first.chain(self.rest(response, read)).boxed()))
    }

    /// What is left of a file, up to its limit.
    fn rest(
        &self,
        response: reqwest::Response,
        read: u64,
    ) -> BoxStream<'static, Result<Bytes, OutboundError>> {
        let source = self.clone();
        stream::try_unfold((response, read, source), |(mut response, read, source)| async move {
            let Some(chunk) = response.chunk().await.map_err(|_| source.broken())? else { return Ok(None) };
            let read = read + chunk.len() as u64;
            if read > source.most {
                return Err(source.too_large());
            }
            Ok(Some((chunk, (response, read, source))))
        })
        .boxed()
    }

    fn fault(&self, reason: String) -> OutboundError {
        OutboundError::File { argument: self.argument.clone(), reason }
    }

    fn too_large(&self) -> OutboundError {
        self.fault(format!("is larger than {}", super::size(self.most)))
    }

    fn broken(&self) -> OutboundError {
        self.fault("could not be fetched: the connection broke before it was complete".to_owned())
    }
}

/// Media type and content of what follows `data:` (RFC 2397).
fn inline(rest: &str) -> Option<(String, Bytes)> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let (head, data) = rest.split_once(',')?;
    let bytes: Vec<u8> = percent_decode_str(data).collect();
    let lower = head.to_ascii_lowercase();
    let (media, bytes) = match lower.strip_suffix(";base64") {
        Some(media) => {
            let packed: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            (media, BASE64.decode(packed).ok()?)
        }
        None => (lower.as_str(), bytes),
    };
    let media = if media.is_empty() || media.starts_with(';') { "text/plain" } else { media };
    let fits = HeaderValue::from_str(media).is_ok() && media.contains('/') && media.is_ascii();
    fits.then(|| (media.to_owned(), bytes.into()))
}

fn media(headers: &HeaderMap) -> String {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    said.filter(|media| media.contains('/')).unwrap_or(OCTETS).to_owned()
}

/// The last part of the URL's path.
fn name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let text = percent_decode_str(last).decode_utf8_lossy();
    let kept: String =
        text.chars().filter(|c| !c.is_control() && !matches!(c, '/' | '\\' | '"')).take(NAME_CHARS).collect();
    match kept.trim_matches('.') {
        "" => "file".to_owned(),
        _ => kept,
    }
}

/// A name with the ending that servers look at.
fn inline_name(media: &str) -> String {
    let ending = match media.split(';').next().unwrap_or_default() {
        "image/jpeg" => "jpg",
        "image/svg+xml" => "svg",
        "text/plain" => "txt",
        "text/markdown" => "md",
        "application/octet-stream" => "bin",
        other => other.split('/').next_back().unwrap_or_default(),
    };
    let plain = (1..=8).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { format!("file.{ending}") } else { "file".to_owned() }
}
