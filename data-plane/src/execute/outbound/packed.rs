//! Answers that came packed though nobody asked for it, as some servers always send theirs.

use std::io::Read as _;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::{ERROR_BYTES, OutboundError, Reply};

/// How an answer is packed, in lower case; `None` for one that is not.
pub(super) fn packing(headers: &HeaderMap) -> Option<String> {
    let said = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let packed: String = said.trim().chars().take(20).collect::<String>().to_ascii_lowercase();
    (!packed.is_empty() && packed != "identity").then_some(packed)
}

/// An answer without its wrapping (gzip). What is in it is held to the same bounds as what comes without.
///
/// # Errors
/// When more is in it than is read, or something else than it says.
pub(super) fn unpack(reply: Reply, most: usize) -> Result<Reply, OutboundError> {
    let Reply { status, mut headers, body } = reply;
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    let failed = !status.is_success();
    let most = if failed { ERROR_BYTES } else { most };
    let mut plain = Vec::new();
    let mut packed = flate2::read::MultiGzDecoder::new(&*body).take(most as u64 + 1);
    // An answer to HEAD has no body. A long error page was cut, and what came of it is read.
    if !body.is_empty() && packed.read_to_end(&mut plain).is_err() && !failed {
        return Err(OutboundError::Broken);
    }
    if plain.len() > most && !failed {
        return Err(OutboundError::TooLarge(most));
    }
    plain.truncate(most);
    Ok(Reply { status, headers, body: plain.into() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    #[test]
    fn what_comes_packed_unasked_is_read_within_the_same_bounds() {
        use std::io::Write as _;
        let packed = |text: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        let reply = |status: StatusCode, body: Vec<u8>| Reply {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let read = |status, body, most| unpack(reply(status, body), most).map(|reply| reply.body);
        assert_eq!(read(StatusCode::OK, packed(b"{}"), 16), Ok(Bytes::from_static(b"{}")));
        assert_eq!(read(StatusCode::OK, Vec::new(), 16), Ok(Bytes::new()));
        let bomb = packed(&vec![b'a'; 1 << 20]);
        assert_eq!(read(StatusCode::OK, bomb.clone(), 16), Err(OutboundError::TooLarge(16)));
        assert_eq!(read(StatusCode::BAD_REQUEST, bomb, 16).unwrap().len(), ERROR_BYTES);
        assert_eq!(read(StatusCode::OK, b"no gzip".to_vec(), 16), Err(OutboundError::Broken));
    }
}
