//! What a compilation found and what two versions differ in, as pages show it.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::connectors::changes::{Changes, ToolChange, ToolNote};
use crate::connectors::dadl::{CompileErrors, Compiled, Diagnostic};
use crate::console::view::{
    Access, ChangedTool, ChangesView, DiffLine, Finding, LeftOutTool, LineDiff, Lint, NotedTool,
};

/// Most lines of a comparison that are shown.
const MAX_LINES: usize = 1_500;
/// Tools that a list of changes shows.
const MAX_TOOLS: usize = 200;

/// What was found in a text. `editor` is where its lines are, empty on the editor's own page.
pub(in crate::console) fn lint(checked: &Result<Compiled, CompileErrors>, editor: &str) -> Lint {
    let finding = |found: &Diagnostic| Finding {
        line: found.line,
        column: found.column,
        path: found.path.clone(),
        message: found.message.clone(),
        help: found.help.clone(),
        href: format!("{editor}#L{}", found.line),
    };
    match checked {
        Ok(compiled) => Lint {
            errors: Vec::new(),
            more: 0,
            warnings: compiled.warnings.iter().map(finding).collect(),
            left_out: compiled
                .left_out
                .iter()
                .map(|tool| LeftOutTool { name: tool.tool.clone(), reason: tool.reason.clone() })
                .collect(),
            tools: compiled.connector.tools.len(),
        },
        Err(errors) => Lint {
            errors: errors.errors.iter().map(finding).collect(),
            more: errors.more,
            warnings: Vec::new(),
            left_out: Vec::new(),
            tools: 0,
        },
    }
}

/// What is different, for who decides.
pub(in crate::console) fn changes(changes: &Changes) -> ChangesView {
    let off = changes.to_switch_off();
    let note = |tool: &ToolNote| NotedTool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        access: Access::new(tool.access.clone()),
        off: off.contains(&tool.name),
    };
    ChangesView {
        added: changes.added.iter().take(MAX_TOOLS).map(note).collect(),
        added_all: changes.added.len(),
        removed: changes.removed.iter().take(MAX_TOOLS).map(note).collect(),
        removed_all: changes.removed.len(),
        changed: changes.changed.iter().take(MAX_TOOLS).map(|tool| changed(tool, &off)).collect(),
        changed_all: changes.changed.len(),
        auth: changes.auth,
        new_credentials: changes.new_credentials.clone(),
        base_url: changes.base_url.clone(),
    }
}

fn changed(tool: &ToolChange, off: &[String]) -> ChangedTool {
    ChangedTool {
        name: tool.name.clone(),
        renamed_from: tool.renamed_from.clone(),
        access: tool
            .access
            .as_ref()
            .map(|(before, after)| (Access::new(before.clone()), Access::new(after.clone()))),
        description: tool.description.clone(),
        call: tool.call.clone(),
        arguments: tool.arguments.clone(),
        otherwise: tool.otherwise,
        off: off.contains(&tool.name),
    }
}

/// The lines in which two texts differ, with what stands around them.
pub(in crate::console) fn lines_between(old: &str, new: &str) -> LineDiff {
    let diff = TextDiff::configure().timeout(Duration::from_millis(500)).diff_lines(old, new);
    let mut view = LineDiff::default();
    for (index, group) in diff.grouped_ops(3).iter().enumerate() {
        if index > 0 {
            view.lines.push(DiffLine { mark: "gap", number: None, text: "⋯".to_owned() });
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let mark = match change.tag() {
                ChangeTag::Delete => "gone",
                ChangeTag::Insert => "new",
                ChangeTag::Equal => "same",
            };
            view.removed += usize::from(mark == "gone");
            view.added += usize::from(mark == "new");
            if view.lines.len() < MAX_LINES {
                let number = change.new_index().map(|index| index + 1);
                let text = change.value().trim_end_matches('\n').chars().take(400).collect();
                view.lines.push(DiffLine { mark, number, text });
            } else {
                view.cut = true;
            }
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_shows_what_changed_and_what_stands_around_it() {
        let old: String = (0..40).map(|line| format!("line {line}\n")).collect();
        let new = old.replace("line 20\n", "line twenty\nand one more\n");
        let diff = lines_between(&old, &new);
        assert_eq!((diff.removed, diff.added), (1, 2));
        let marks: Vec<&str> = diff.lines.iter().map(|line| line.mark).collect();
        assert_eq!(marks, ["same", "same", "same", "gone", "new", "new", "same", "same", "same"]);
        assert!(lines_between(&old, &old).lines.is_empty());
    }

    #[test]
    fn large_texts_are_compared_in_bounded_time() {
        let old: String = (0..60_000).map(|line| format!("a {line}\n")).collect();
        let new: String = (0..60_000).map(|line| format!("b {line}\n")).collect();
        let diff = lines_between(&old, &new);
        assert!(diff.cut && diff.lines.len() <= MAX_LINES);
    }
}
