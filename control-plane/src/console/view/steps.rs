//! The steps of one piece of work, such as a test connection: what was done, how it went, how long it took, what would help.

use askama::Template;
use askama::filters::HtmlSafe;

use super::shell::Tone;

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    Done,
    Failed,
    /// Not tried, since an earlier one failed.
    Skipped,
    Current,
    Waiting,
}

impl StepState {
    /// The class of the step.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Current => "current",
            Self::Waiting => "waiting",
        }
    }

    /// The word for those who do not see the mark.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "not tried",
            Self::Current => "under way",
            Self::Waiting => "not yet",
        }
    }

    /// The mark in front.
    #[must_use]
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Done => "check-circle",
            Self::Failed => "cross-circle",
            Self::Skipped | Self::Waiting => "circle-dashed",
            Self::Current => "circle-half",
        }
    }
}

/// One step of a test.
#[derive(Clone, Debug)]
pub struct TestStep {
    /// What was done: `Look up api.github.com`.
    pub title: String,
    pub state: StepState,
    /// What came of it: `140.82.121.6`. Empty where there is nothing to say.
    pub detail: String,
    /// How long it took, from `duration`.
    pub took: Option<String>,
    /// The way out, where it failed.
    pub fix: Option<String>,
}

impl TestStep {
    /// A step that went well.
    #[must_use]
    pub fn done(title: impl Into<String>, detail: impl Into<String>, micros: u64) -> Self {
        let took = Some(super::duration(micros));
        Self { title: title.into(), state: StepState::Done, detail: detail.into(), took, fix: None }
    }

    /// A step that failed, with the way out.
    #[must_use]
    pub fn failed(title: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into());
        Self { title: title.into(), state: StepState::Failed, detail: detail.into(), took: None, fix }
    }

    /// A step that was not tried.
    #[must_use]
    pub fn skipped(title: impl Into<String>) -> Self {
        Self { title: title.into(), state: StepState::Skipped, detail: String::new(), took: None, fix: None }
    }
}

/// What a test connection found. A fragment of its own, and a part of the pages that have been asked without a script.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/test_report.html")]
pub struct TestReport {
    pub ok: bool,
    /// One sentence: `GitHub answered as mara-lind in 214 ms.`
    pub summary: String,
    pub steps: Vec<TestStep>,
}

impl HtmlSafe for TestReport {}

impl TestReport {
    fn tone(&self) -> &'static str {
        if self.ok { Tone::Fine.class() } else { Tone::Danger.class() }
    }

    fn icon(&self) -> &'static str {
        if self.ok { Tone::Fine.icon() } else { Tone::Danger.icon() }
    }
}
