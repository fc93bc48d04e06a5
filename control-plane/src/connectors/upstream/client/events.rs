//! Server-sent events, as far as MCP has use for them: the event's kind and its data, within bounds.

/// Largest event, in bytes.
const MAX_EVENT: usize = 4 << 20;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` where none is named.
    pub kind: String,
    pub data: String,
}

/// Reads events from the pieces in which they come.
#[derive(Default)]
pub(super) struct Events {
    /// What has come of a line.
    line: Vec<u8>,
    kind: String,
    data: String,
    has_data: bool,
    /// The last piece ended in CR; a LF at the head of the next belongs to it.
    after_cr: bool,
    ready: std::collections::VecDeque<Event>,
}

/// An event is larger than is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Events {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        for &byte in piece {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' => self.end_line(),
                b'\r' => {
                    self.after_cr = true;
                    self.end_line();
                }
                _ if self.line.len() + self.data.len() >= MAX_EVENT => return Err(TooLarge),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The next whole event.
    pub fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            if std::mem::take(&mut self.has_data) {
                let kind = if kind.is_empty() { "message".to_owned() } else { kind };
                self.ready.push_back(Event { kind, data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Vec<(String, String)> {
        let mut events = Events::default();
        for piece in pieces {
            events.feed(piece.as_bytes()).unwrap();
        }
        std::iter::from_fn(|| events.next()).map(|event| (event.kind, event.data)).collect()
    }

    #[test]
    fn events_are_read_however_they_are_cut_and_whichever_line_ends_they_have() {
        let message = |data: &str| ("message".to_owned(), data.to_owned());
        assert_eq!(read(&["data: a\n\n"]), [message("a")]);
        assert_eq!(
            read(&["da", "ta:a\r", "\n\r\nevent: endpoint\rdata: /x\r\r"]),
            [message("a"), ("endpoint".to_owned(), "/x".to_owned())]
        );
        assert_eq!(read(&[": hello\n\nid: 4\ndata: a\ndata: b\n\n"]), [message("a\nb")]);
        assert_eq!(read(&["event: x\n\n", "data\n\n", "data: not yet"]), [message("")]);
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut events = Events::default();
        events.feed(b"data: ").unwrap();
        let piece = vec![b'x'; 1 << 20];
        assert!((0..5).map(|_| events.feed(&piece)).any(|fed| fed == Err(TooLarge)));
    }
}
