//! Server-sent events: bytes in, events out, as the HTML standard reads them.
//!
//! Owns the format and how much of it is kept; it knows nothing of what events say. It is made for servers that nobody vouches
//! for: an event that does not end is refused, never kept.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `message` where the server named none.
    pub kind: String,
    pub data: String,
}

/// An event, or a line of one, is larger than anything that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {0} bytes")]
pub struct TooLarge(pub usize);

/// Reads a stream piece by piece. However it is cut into pieces, the events are the same.
#[derive(Debug)]
pub struct Parser {
    most: usize,
    /// The line that has begun.
    line: Vec<u8>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Nothing has been read yet; a byte order mark may come.
    at_start: bool,
    kind: String,
    data: String,
    has_data: bool,
    /// Of the event that has begun.
    next_id: Option<String>,
    last_id: Option<String>,
    retry: Option<u64>,
}

const BOM: &str = "\u{feff}";

impl Parser {
    /// `most`: bytes of one event.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            kind: String::new(),
            data: String::new(),
            has_data: false,
            next_id: None,
            last_id: None,
            retry: None,
        }
    }

    /// Reads another stream that goes on where this one ended.
    #[must_use]
    pub fn taken_up(&self) -> Self {
        Self { last_id: self.last_id.clone(), retry: self.retry, ..Self::new(self.most) }
    }

    /// The id after which a broken stream is to be taken up again.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// How long the server wants to be left alone before that, in milliseconds.
    #[must_use]
    pub const fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Takes the next piece; complete events are added to `events`.
    ///
    /// # Errors
    /// When an event is larger than allowed. The stream cannot be read further then.
    pub fn feed(&mut self, mut piece: &[u8], events: &mut Vec<Event>) -> Result<(), TooLarge> {
        while let Some(&first) = piece.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let end = piece.iter().position(|b| matches!(b, b'\r' | b'\n'));
            let (part, rest) = piece.split_at(end.unwrap_or(piece.len()));
            if self.line.len() + self.data.len() + part.len() > self.most {
                return Err(TooLarge(self.most));
            }
            self.line.extend_from_slice(part);
            piece = rest;
            if let Some((&end, rest)) = rest.split_first() {
                self.after_cr = end == b'\r';
                piece = rest;
                self.end_line(events);
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = text.as_ref();
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(events);
        } else if !line.starts_with(':') {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            self.field(field, value.strip_prefix(' ').unwrap_or(value));
        }
        // The room of the line is used again.
        let mut bytes = bytes;
        bytes.clear();
        self.line = bytes;
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.next_id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        if let Some(id) = self.next_id.take() {
            self.last_id = Some(id);
        }
        let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
        if std::mem::take(&mut self.has_data) {
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            events.push(Event { kind, data });
        }
    }
}

/// Every event of a stream that is whole.
///
/// # Errors
/// When an event is larger than `most`.
pub fn read(bytes: &[u8], most: usize) -> Result<Vec<Event>, TooLarge> {
    let (mut parser, mut events) = (Parser::new(most), Vec::new());
    parser.feed(bytes, &mut events)?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datas(text: &str) -> Vec<String> {
        read(text.as_bytes(), 1 << 10).unwrap().into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn lines_end_in_each_of_the_three_ways() {
        for text in ["data: a\ndata: b\n\ndata: c\n\n", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"] {
            assert_eq!(datas(text), ["a\nb", "c"]);
        }
        assert_eq!(datas("data: a\rdata: b\r\rdata: c\r\r"), ["a\nb", "c"]);
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let text = "\u{feff}: a comment\nevent: endpoint\ndata:/x\n\ndata\n\ndata: a\nevent\n\nevent: x\n\ndata:  b\n\ndata: cut";
        let events = read(text.as_bytes(), 1 << 10).unwrap();
        let read: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.data.as_str())).collect();
        assert_eq!(read, [("endpoint", "/x"), ("message", ""), ("message", "a"), ("message", " b")]);
    }

    #[test]
    fn an_id_counts_when_its_event_is_whole_and_retry_at_once() {
        let mut parser = Parser::new(1 << 10);
        let mut events = Vec::new();
        parser.feed(b"id: 1\ndata:\n\nretry: 500\nid: 2\n", &mut events).unwrap();
        assert_eq!((parser.last_id(), parser.retry()), (Some("1"), Some(500)));
        parser.feed(b"\nid: a\0b\nretry: soon\n\n", &mut events).unwrap();
        assert_eq!((parser.last_id(), parser.retry()), (Some("2"), Some(500)));
        parser.feed(b"id\n\n", &mut events).unwrap();
        assert_eq!(parser.last_id(), None);
    }

    #[test]
    fn what_does_not_end_is_refused() {
        assert_eq!(read(&[b'x'; 65], 64), Err(TooLarge(64)));
        let lines = "data: 0123456789\n".repeat(10);
        assert_eq!(read(lines.as_bytes(), 64), Err(TooLarge(64)));
        let events = "data: 0123456789\n\n".repeat(1000);
        assert_eq!(read(events.as_bytes(), 64).unwrap().len(), 1000, "the bound is one event's");
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(
            text in "(data|event|id|retry|: |\u{feff}|a|ä|\r|\n|\r\n|\n\n|7| ){0,60}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let (mut whole, mut cut) = (Parser::new(1 << 10), Parser::new(1 << 10));
            let (mut once, mut pieces) = (Vec::new(), Vec::new());
            whole.feed(bytes, &mut once).unwrap();
            for pair in at.windows(2) {
                cut.feed(&bytes[pair[0]..pair[1]], &mut pieces).unwrap();
            }
            prop_assert_eq!(once, pieces);
            prop_assert_eq!(whole.last_id(), cut.last_id());
            prop_assert_eq!(whole.retry(), cut.retry());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes, 200);
        }
    }
}
