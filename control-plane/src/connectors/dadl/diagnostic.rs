//! What is wrong with a document, where, and what to write instead.
//!
//! Owns the collection of errors and warnings of one compilation. Knows nothing of DADL's keys.

use std::fmt;

/// Most errors, and most warnings, that one compilation keeps; the rest is counted.
const MAX_KEPT: usize = 100;

/// A position in the source text, both counted from 1; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub line: u32,
    pub column: u32,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Name of the file, as the caller gave it.
    pub origin: String,
    /// From 1; 0 for the document as a whole.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Keys from the top of the document, joined by dots; empty for the document as a whole.
    pub path: String,
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: ", self.origin)?;
        } else {
            write!(f, "{}:{}:{}: ", self.origin, self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

/// Why a document was refused: at least one error, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileErrors {
    pub errors: Vec<Diagnostic>,
    /// Errors beyond those that are listed.
    pub more: usize,
}

impl fmt::Display for CompileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileErrors {}

/// Collects findings, so that an author sees all of them at once.
#[derive(Debug)]
pub(super) struct Report {
    origin: String,
    errors: Vec<Diagnostic>,
    more_errors: usize,
    warnings: Vec<Diagnostic>,
}

impl Report {
    pub(super) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), errors: Vec::new(), more_errors: 0, warnings: Vec::new() }
    }

    pub(super) fn error(
        &mut self,
        at: Mark,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.errors.len() < MAX_KEPT {
            let found = self.diagnostic(at, path, message.into(), help.into());
            // A part that is read twice is wrong once.
            if !self.errors.contains(&found) {
                self.errors.push(found);
            }
        } else {
            self.more_errors += 1;
        }
    }

    pub(super) fn warn(&mut self, at: Mark, path: &str, message: impl Into<String>, help: impl Into<String>) {
        if self.warnings.len() < MAX_KEPT {
            let found = self.diagnostic(at, path, message.into(), help.into());
            if !self.warnings.contains(&found) {
                self.warnings.push(found);
            }
        }
    }

    fn diagnostic(&self, at: Mark, path: &str, message: String, help: String) -> Diagnostic {
        Diagnostic {
            origin: self.origin.clone(),
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            message,
            help,
        }
    }

    pub(super) fn error_count(&self) -> usize {
        self.errors.len() + self.more_errors
    }

    /// The warnings, or the errors if there are any.
    pub(super) fn finish(mut self) -> Result<Vec<Diagnostic>, CompileErrors> {
        if self.errors.is_empty() {
            self.warnings.sort_by_key(|w| (w.line, w.column));
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(|e| (e.line, e.column));
        Err(CompileErrors { errors: self.errors, more: self.more_errors })
    }
}

/// A value of the document inside a message: quoted, and cut where it is long.
pub(super) fn quote(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(MOST).collect();
    format!("{:?}", format!("{cut}…"))
}
