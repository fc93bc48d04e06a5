//! Connectors of the workspace's own: the list, one of them, one version, the ways to add one, and the editor.

use askama::Template;

use super::catalog::ToolGroup;
use super::parts::{Field, Moment};
use super::shell::{Person, Shell};
use super::tabs::Tabs;
use super::update::ChangesView;

/// A connector in a list.
#[derive(Clone, Debug)]
pub struct OwnConnectorRow {
    pub id: String,
    pub name: String,
    pub title: String,
    /// `Version 3`, the newest.
    pub version: String,
    pub number: i32,
    pub tools: usize,
    pub installations: usize,
    pub saved: Moment,
    pub by: Person,
}

/// GET /w/{slug}/own.
#[derive(Template)]
#[template(path = "own_list.html")]
pub struct OwnListPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub rows: Vec<OwnConnectorRow>,
}

/// GET /w/{slug}/own/new.
#[derive(Template)]
#[template(path = "own_new.html")]
pub struct OwnNewPage {
    pub shell: Shell,
    /// A DADL file.
    pub dadl: Field,
    /// An OpenAPI file.
    pub file: Field,
    /// The address of an OpenAPI document.
    pub url: Field,
}

/// One saved version.
#[derive(Clone, Debug)]
pub struct OwnVersionRow {
    pub number: i32,
    pub label: String,
    pub tools: usize,
    pub saved: Moment,
    pub by: Person,
}

/// An installation that stands on the connector.
#[derive(Clone, Debug)]
pub struct OwnStanding {
    pub id: String,
    pub name: String,
    /// Whether there is a newer version than the one it has.
    pub behind: bool,
}

/// Something that was found in a text.
#[derive(Clone, Debug)]
pub struct Finding {
    /// From 1; 0 for the text as a whole.
    pub line: u32,
    pub column: u32,
    pub path: String,
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
    /// Where the line is.
    pub href: String,
}

/// A tool of the text that the connector does not have.
#[derive(Clone, Debug)]
pub struct LeftOutTool {
    pub name: String,
    pub reason: String,
}

/// What was found in a text.
#[derive(Clone, Debug, Default)]
pub struct Lint {
    pub errors: Vec<Finding>,
    /// Errors beyond those that are listed.
    pub more: usize,
    pub warnings: Vec<Finding>,
    pub left_out: Vec<LeftOutTool>,
    pub tools: usize,
}

impl Lint {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.more == 0 && self.warnings.is_empty() && self.left_out.is_empty()
    }

    /// What is said where nothing was found.
    #[must_use]
    pub fn verdict(&self) -> String {
        format!("It compiles: {} {}.", self.tools, if self.tools == 1 { "tool" } else { "tools" })
    }

    /// All errors, listed or not.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.errors.len() + self.more
    }
}

/// GET /w/{slug}/own/{id}.
#[derive(Template)]
#[template(path = "own_connector.html")]
pub struct OwnConnectorPage {
    pub shell: Shell,
    pub connector: OwnConnectorRow,
    pub groups: Vec<ToolGroup>,
    pub hosts: Vec<String>,
    pub auth: String,
    pub versions: Vec<OwnVersionRow>,
    pub standing: Vec<OwnStanding>,
    pub lint: Lint,
    /// The name typed to confirm the deletion.
    pub confirm: Field,
}

impl OwnConnectorPage {
    /// A path of this connector.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/own/{}{rest}", self.connector.id))
    }

    #[must_use]
    pub fn confirm_label(&self) -> String {
        format!("Type {} to confirm", self.connector.name)
    }
}

/// A line of a comparison.
#[derive(Clone, Debug)]
pub struct DiffLine {
    /// `same`, `new`, `gone` or `gap`.
    pub mark: &'static str,
    /// In the newer text.
    pub number: Option<usize>,
    pub text: String,
}

/// The lines in which two texts differ.
#[derive(Clone, Debug, Default)]
pub struct LineDiff {
    pub lines: Vec<DiffLine>,
    pub added: usize,
    pub removed: usize,
    /// There is more than is shown.
    pub cut: bool,
}

/// GET /w/{slug}/own/{id}/versions/{number}.
#[derive(Template)]
#[template(path = "own_version.html")]
pub struct OwnVersionPage {
    pub shell: Shell,
    pub connector: OwnConnectorRow,
    pub version: OwnVersionRow,
    /// The version before.
    pub before: Option<i32>,
    pub changes: Option<ChangesView>,
    pub lines: Option<LineDiff>,
    pub source: String,
}

/// A number beside the editor.
#[derive(Clone, Debug)]
pub struct LineMark {
    pub number: usize,
    /// `error` or `warning`.
    pub class: &'static str,
}

/// GET and POST /w/{slug}/own/editor and /w/{slug}/own/{id}/edit.
#[derive(Template)]
#[template(path = "own_editor.html")]
pub struct EditorPage {
    pub shell: Shell,
    /// Of the connector that gets a new version; none for a new connector.
    pub id: Option<String>,
    pub source: String,
    pub lines: usize,
    /// Runs of plain numbers, each followed by a line with a finding.
    pub gutter: Vec<(String, Option<LineMark>)>,
    pub lint: Option<Lint>,
    pub error: Option<String>,
}

impl EditorPage {
    #[must_use]
    pub fn new(shell: Shell, id: Option<String>, source: String) -> Self {
        let lines = source.lines().count().max(20) + 1;
        Self { shell, id, source, lines, gutter: Vec::new(), lint: None, error: None }.marked()
    }

    /// With the numbers of lines that were found fault with marked.
    #[must_use]
    pub fn marked(mut self) -> Self {
        let mut marks: std::collections::BTreeMap<usize, &'static str> = std::collections::BTreeMap::new();
        if let Some(lint) = &self.lint {
            let line = |found: &Finding| usize::try_from(found.line).unwrap_or_default();
            marks.extend(lint.warnings.iter().map(|found| (line(found), "warning")));
            marks.extend(lint.errors.iter().map(|found| (line(found), "error")));
        }
        self.gutter = gutter(self.lines, &marks);
        self
    }

    /// Where the form goes.
    #[must_use]
    pub fn action(&self) -> String {
        match &self.id {
            Some(id) => self.shell.path(&format!("/own/{id}/edit")),
            None => self.shell.path("/own/editor"),
        }
    }
}

/// Numbers as few pieces: a long text would otherwise be tens of thousands of elements.
fn gutter(
    lines: usize,
    marks: &std::collections::BTreeMap<usize, &'static str>,
) -> Vec<(String, Option<LineMark>)> {
    let mut pieces = Vec::new();
    let mut next = 1;
    let numbers = |from: usize, to: usize| (from..to).map(|n| format!("{n}\n")).collect::<String>();
    for (number, class) in marks.iter().filter(|(number, _)| (1..=lines).contains(*number)) {
        pieces.push((numbers(next, *number), Some(LineMark { number: *number, class })));
        next = number + 1;
    }
    pieces.push((numbers(next, lines + 1), None));
    pieces
}

#[cfg(test)]
mod tests {
    use super::gutter;

    #[test]
    fn only_lines_with_findings_are_elements_of_their_own() {
        let marks =
            std::collections::BTreeMap::from([(0, "error"), (2, "error"), (3, "warning"), (99, "error")]);
        let pieces = gutter(5, &marks);
        let texts: Vec<&str> = pieces.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["1\n", "", "4\n5\n"]);
        let marked: Vec<usize> = pieces.iter().filter_map(|(_, mark)| Some(mark.as_ref()?.number)).collect();
        assert_eq!(marked, [2, 3]);
    }
}
