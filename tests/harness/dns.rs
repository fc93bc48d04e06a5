//! A name server that knows the TXT records a test gives it, and no others.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

type Records = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// The running server.
pub struct NameServer {
    pub address: SocketAddr,
    records: Records,
}

impl NameServer {
    /// Starts one that lives as long as the test process.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        let records = Records::default();
        let known = Arc::clone(&records);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answer(&buffer[..length], &known) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { address, records })
    }

    /// Adds a TXT record.
    pub fn add(&self, name: &str, text: &str) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.entry(name.to_ascii_lowercase()).or_default().push(text.to_owned());
    }
}

/// The answer to a query with one question (RFC 1035, 4).
fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
    let question = query.get(12..)?;
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let question = question.get(..at + 4)?;
    let is_txt = question[at..at + 2] == [0, 16];
    let found = records.lock().unwrap_or_else(PoisonError::into_inner).get(&name.join(".")).cloned();
    let texts = found.filter(|_| is_txt).unwrap_or_default();
    let missing = texts.is_empty();
    // The query's id; an answer, with authority, recursion wanted and available; no such name where there is none.
    let mut out = query.get(..2)?.to_vec();
    out.extend([0x85, if missing { 0x83 } else { 0x80 }, 0, 1]);
    out.extend([0, u8::try_from(texts.len()).ok()?, 0, 0, 0, 0]);
    out.extend(question);
    for text in texts {
        let length = u8::try_from(text.len()).ok()?;
        // The name of the question, TXT, IN, no time to live, one text.
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, length + 1, length]);
        out.extend(text.as_bytes());
    }
    Some(out)
}
