//! Server-sent events, as far as the protocol uses them: JSON in `data`; comments and events without data are no messages.

use serde_json::Value;

/// What has come of a stream and is no whole event yet.
#[derive(Debug, Default)]
pub struct Events {
    bytes: Vec<u8>,
}

impl Events {
    /// Takes what has come, and gives the messages that are whole now.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Value> {
        self.bytes.extend(chunk.iter().copied().filter(|byte| *byte != b'\r'));
        let mut messages = Vec::new();
        while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.bytes.drain(..end + 2).collect();
            messages.extend(message(&String::from_utf8_lossy(&event)));
        }
        messages
    }
}

fn message(event: &str) -> Option<Value> {
    let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    // An event that only carries an id has empty data.
    serde_json::from_str(&data.join("\n")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let stream = b": hello\r\n\r\nid: 1\ndata:\n\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata: 2\n\ndata: 3";
        for size in [1, 2, 7, 1000] {
            let mut events = Events::default();
            let found: Vec<Value> = stream.chunks(size).flat_map(|chunk| events.push(chunk)).collect();
            assert_eq!(found, [serde_json::json!({"a": 1}), serde_json::json!(2)]);
        }
    }
}
