//! The receiving end of SMTP (RFC 5321), as much as a sender on the same machine needs: no TLS, no login, no relaying.
//! Every line, message, session and wait has a bound.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Mailbox, Message};

/// Longest command with its line end; RFC 5321 asks for 512, addresses in UTF-8 for more.
const COMMAND_MAX: usize = 2048;
/// Largest message in bytes, announced as SIZE.
const MESSAGE_MAX: usize = 2 * 1024 * 1024;
/// What is read and thrown away of a larger message, so that its sender hears why it is refused.
const DISCARD_MAX: usize = 16 * 1024 * 1024;
const RECIPIENTS_MAX: usize = 100;
const COMMANDS_MAX: usize = 1000;
const SESSIONS_MAX: usize = 32;
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Takes mail until it is stopped or dropped.
#[derive(Debug)]
pub struct SmtpServer {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl SmtpServer {
    pub(super) async fn start(mailbox: Arc<Mailbox>) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        server.tasks.spawn(accept_loop(listener, mailbox, server.stop.clone(), server.tasks.clone()));
        Ok((server, address))
    }

    /// Ends all sessions at once: a sender on this machine knows whether its message was taken.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept_loop(
    listener: TcpListener,
    mailbox: Arc<Mailbox>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(SESSIONS_MAX));
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let Some((slot, accepted)) = (tokio::select! {
            next = next => next,
            () = stop.cancelled() => None,
        }) else {
            return;
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (mailbox, stop) = (Arc::clone(&mailbox), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                outcome = session(stream, mailbox) => if let Err(error) = outcome {
                    tracing::debug!(%error, "smtp session ended early");
                },
                () = stop.cancelled() => {}
            }
            drop(slot);
        });
    }
}

/// What a session has been told of the message to come.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

async fn session(stream: TcpStream, mailbox: Arc<Mailbox>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut envelope = Envelope::default();
    reply(&mut write, "220 localhost ToolMesh mailbox").await?;
    for _ in 0..COMMANDS_MAX {
        let Some(line) = in_time(read_command(&mut read)).await? else { return Ok(()) };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "DATA" if envelope.to.is_empty() => reply(&mut write, "503 Say RCPT TO first").await?,
            "DATA" => {
                reply(&mut write, "354 End with a dot on a line of its own").await?;
                let data = in_time(read_data(&mut read)).await?;
                let answer = take_message(&mailbox, std::mem::take(&mut envelope), data).await;
                reply(&mut write, answer).await?;
            }
            "QUIT" => return reply(&mut write, "221 Bye").await,
            verb => reply(&mut write, command(verb, rest, &mut envelope)).await?,
        }
    }
    reply(&mut write, "421 Too many commands in one session").await
}

/// Answers the commands that need neither data nor waiting.
fn command(verb: &str, rest: &str, envelope: &mut Envelope) -> &'static str {
    match verb {
        "EHLO" => "250-localhost\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 SIZE 2097152",
        "HELO" => "250 localhost",
        "NOOP" => "250 OK",
        "VRFY" => "252 Send and see",
        "RSET" => {
            *envelope = Envelope::default();
            "250 OK"
        }
        "MAIL" => match address(rest, "FROM:") {
            Some(from) => {
                *envelope = Envelope { from: Some(from), to: Vec::new() };
                "250 OK"
            }
            None => "501 Write MAIL FROM:<address>",
        },
        "RCPT" if envelope.from.is_none() => "503 Say MAIL FROM first",
        "RCPT" if envelope.to.len() >= RECIPIENTS_MAX => "452 Too many recipients",
        "RCPT" => match address(rest, "TO:").filter(|to| !to.is_empty()) {
            Some(to) => {
                envelope.to.push(to);
                "250 OK"
            }
            None => "501 Write RCPT TO:<address>",
        },
        "" => "500 The line is too long or empty",
        _ => "502 This mailbox does not know that command",
    }
}

/// The address of `FROM:<address> …` or `TO:<address> …`; empty for the null sender `<>`.
fn address(rest: &str, keyword: &str) -> Option<String> {
    let prefix = rest.get(..keyword.len())?;
    let rest = rest[keyword.len()..].trim_start().strip_prefix('<')?;
    let (address, _) = rest.split_once('>')?;
    let fine = address.len() <= 320 && !address.contains(|c: char| c.is_control() || c == '<');
    (prefix.eq_ignore_ascii_case(keyword) && fine).then(|| address.to_owned())
}

async fn take_message(mailbox: &Arc<Mailbox>, envelope: Envelope, data: Data) -> &'static str {
    let Data::Whole(raw) = data else { return "552 The message is larger than 2 MiB" };
    let mailbox = Arc::clone(mailbox);
    let keep = tokio::task::spawn_blocking(move || {
        let message = Message::read(&envelope.from.unwrap_or_default(), envelope.to, &raw);
        mailbox.keep(message)
    });
    match keep.await {
        Ok(Ok(())) => "250 Kept",
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot keep a message");
            "451 The message could not be written to disk"
        }
        Err(error) => {
            tracing::error!(%error, "cannot read a message");
            "554 The message could not be read"
        }
    }
}

async fn reply(write: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    let line = format!("{text}\r\n");
    in_time(write.write_all(line.as_bytes())).await
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(IDLE_MAX, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// One line without its end. A line that is too long or no UTF-8 is read to its end and comes back empty; one that never
/// ends breaks the session; `None` when the sender is gone.
async fn read_command(read: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut seen = 0;
    loop {
        let chunk = read.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        let end = chunk.iter().position(|&b| b == b'\n');
        let used = end.map_or(chunk.len(), |end| end + 1);
        seen += used;
        if seen <= COMMAND_MAX {
            line.extend_from_slice(&chunk[..used]);
        }
        read.consume(used);
        if seen > DISCARD_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        if end.is_some() {
            break;
        }
    }
    let text = if seen <= COMMAND_MAX { String::from_utf8(line).unwrap_or_default() } else { String::new() };
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A message's bytes, with the dots that the protocol adds taken away.
enum Data {
    Whole(Vec<u8>),
    TooLarge,
}

async fn read_data(read: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Data> {
    let mut data = Vec::new();
    let mut seen = 0;
    let mut state = State::LineStart;
    loop {
        let chunk = read.fill_buf().await?;
        if chunk.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let mut used = 0;
        for &byte in chunk {
            used += 1;
            state = state.next(byte, &mut data);
            if matches!(state, State::End) {
                break;
            }
        }
        read.consume(used);
        seen += used;
        if matches!(state, State::End) {
            return Ok(if seen <= MESSAGE_MAX { Data::Whole(data) } else { Data::TooLarge });
        }
        if seen > MESSAGE_MAX {
            data.clear();
        }
        if seen > DISCARD_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
    }
}

/// Where in a message's lines the reader is. Only CRLF, dot, CRLF ends a message: taking bare line feeds for line ends is
/// how one message is smuggled inside another.
#[derive(Clone, Copy)]
enum State {
    LineStart,
    Inside,
    Return,
    Dot,
    DotReturn,
    End,
}

impl State {
    fn next(self, byte: u8, data: &mut Vec<u8>) -> Self {
        match (self, byte) {
            (Self::LineStart, b'.') => return Self::Dot,
            (Self::Dot, b'\r') => return Self::DotReturn,
            (Self::DotReturn, b'\n') => return Self::End,
            // The line only began like the end: what was held back belongs to the text.
            (Self::DotReturn, _) => data.push(b'\r'),
            _ => {}
        }
        data.push(byte);
        match (self, byte) {
            (_, b'\r') => Self::Return,
            (Self::Return, b'\n') => Self::LineStart,
            _ => Self::Inside,
        }
    }
}
