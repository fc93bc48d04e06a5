//! Code in a sandbox: composites, which connectors bring along, and what models write.
//!
//! Each run has a JavaScript runtime of its own (QuickJS) with bounds on memory, stack, processor time, time on the clock,
//! calls and output. Nothing leads out of it but the calls of an [`Api`]: no network, no files, no timers, no modules. A run
//! that waits for calls takes no thread, and one that computes takes one of a few that are kept for this, so that no code
//! stops the node from serving others.
//!
//! Architecture invariant: this room makes no calls. Whoever starts a run hands in an [`Api`], and it is there that every
//! call is authorized, checked and recorded.

mod engine;
mod meter;
mod room;
mod run;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

pub use self::room::{NoRoom, Room, Sandbox};
use crate::execute::rest::response::Content;

/// Most calls of one run, those of composites that it calls included.
pub const MOST_CALLS: u32 = 200;
/// Longest time that models' code may take, calls included.
pub const CODE_WITHIN: Duration = Duration::from_secs(90);

/// What runs, and with what in reach.
#[derive(Clone, Debug)]
pub struct Program {
    pub source: String,
    pub given: Given,
    /// Longest time on the clock, calls included.
    pub within: Duration,
}

/// What the code finds beside `console`.
#[derive(Clone, Debug)]
pub enum Given {
    /// `params`, of this JSON, and `api.TOOL(…)`. The source is a function's body.
    Params(String),
    /// `tools.NAMESPACE.TOOL(…)`. The source is an expression or a function's body.
    Tools,
}

/// The calls that code can make. Namespaces and tools are named as the code spells them; a flat one has one namespace
/// without a name.
pub trait Api: Send + Sync + 'static {
    /// The namespaces, or the tools of one.
    fn names(&self, namespace: &str) -> Vec<String>;

    /// Whether there is such a namespace.
    ///
    /// # Errors
    /// A sentence for whoever wrote the code.
    fn namespace(&self, name: &str) -> Result<(), String>;

    /// The number under which a tool is called in this run.
    ///
    /// # Errors
    /// A sentence for whoever wrote the code.
    fn find(&self, namespace: &str, tool: &str) -> Result<u32, String>;

    /// How a tool is spelled in code.
    fn spelled(&self, tool: u32) -> String;

    /// Makes a call. It goes on when the answer is not waited for any more.
    fn call(&self, tool: u32, arguments: Map<String, Value>) -> Answering;
}

/// The answer to a call, to come.
pub type Answering = Pin<Box<dyn Future<Output = Result<Content, Thrown>> + Send>>;

/// What code is thrown when a call fails, as an `Error` with these as its properties.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Thrown {
    /// What went wrong, where, and the way out.
    pub message: String,
    /// A word for code to go by, such as `not_found`.
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The API's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_message: Option<String>,
    /// The API's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
}

impl Thrown {
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: code.into(),
            http_status: None,
            api_message: None,
            provider_code: None,
        }
    }
}

/// How many calls may still be made; shared with the runs that a run leads to.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(MOST_CALLS)))
    }
}

impl Budget {
    /// Takes one call out of it; false if there is none left.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Finished {
    pub result: Result<Returned, Stopped>,
    /// What the code printed, line by line, as far as it was kept.
    pub console: Vec<String>,
    /// How many calls were still on their way; they go on.
    pub on_their_way: usize,
    /// Processor time.
    pub computed: Duration,
}

/// What the code returned: JSON, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned(pub Option<String>);

/// Why code returned nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It threw, or cannot be read.
    #[error("{message}")]
    Threw {
        message: String,
        /// Its line in the source.
        line: Option<u32>,
        /// That of a call that failed, if it was that.
        code: Option<String>,
    },
    #[error("The code needs more than {} MiB of memory. Work on less at a time.", engine::MEMORY_BYTES >> 20)]
    Memory,
    #[error(
        "The code computed for more than {} seconds. Look for a loop that does not end, or work on less.",
        meter::COMPUTE.as_secs()
    )]
    Computed,
    #[error("The code took longer than {} seconds. Make fewer calls, or make them at once with Promise.all.", .0.as_secs())]
    Late(Duration),
    #[error("The code waits for a promise that nothing will settle.")]
    Stuck,
    #[error("The code returned {0} bytes; at most {most} can be passed on. Return less.", most = engine::RESULT_BYTES)]
    TooLarge(usize),
    #[error("The code could not be run because of a fault on our side. Try again.")]
    Fault,
}
