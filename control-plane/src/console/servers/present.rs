//! What is known of an MCP server, as pages show it.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use crate::connectors::Installation;
use crate::connectors::upstream::definitions::{Kind, members, text, title};
use crate::connectors::upstream::review::{Item, Known, Part, State};
use crate::connectors::upstream::scan::flags;
use crate::connectors::upstream::{Fares, Server, waiting};
use crate::console::installations;
use crate::console::own::present::lines_between;
use crate::console::view::{
    Access, Choice, DefinitionGroup, DefinitionRow, InstallationRow, InstallationState, Moment, NodeFares,
    NotAnswering, PartView, ServerFacts, UsedGroup, UsedRow,
};

/// Definitions of one kind that a page shows; the others come up when these are decided.
const SHOWN: usize = 300;
/// Longest description in a list, in characters; the whole is a click away.
const DESCRIPTION: usize = 600;

const CLASSES: [&str; 4] = ["read", "write", "admin", "dangerous"];

const KINDS: [(Kind, &str); 5] = [
    (Kind::Instructions, "Instructions to models"),
    (Kind::Tool, "Tools"),
    (Kind::Prompt, "Prompts"),
    (Kind::Resource, "Resources"),
    (Kind::Template, "Resource templates"),
];

/// What waits for somebody, by kind.
pub(super) fn groups(items: &[Item], server: &Server) -> Vec<DefinitionGroup> {
    let waits = |item: &&Item| matches!(item.state, State::New | State::Changed | State::Gone);
    let group = |(kind, title): (Kind, &'static str)| {
        let of_kind = items.iter().filter(waits).filter(|item| item.kind == kind);
        let rows: Vec<_> = of_kind.take(SHOWN).map(|item| definition(item, server)).collect();
        (!rows.is_empty()).then_some(DefinitionGroup { title, rows })
    };
    KINDS.into_iter().filter_map(group).collect()
}

/// What was looked at and not wanted.
pub(super) fn refused(items: &[Item], server: &Server) -> Vec<DefinitionRow> {
    items
        .iter()
        .filter(|item| item.state == State::Refused)
        .take(SHOWN)
        .map(|item| definition(item, server))
        .collect()
}

fn definition(item: &Item, server: &Server) -> DefinitionRow {
    let flags = flags(item.kind, &item.name, &item.json, &server.neighbours);
    let (state, tone) = match (item.state, &item.renamed_from) {
        (State::New, Some(_)) => ("Renamed", "tone-attention"),
        (State::New, None) => ("New", "tone-info"),
        (State::Changed, _) => ("Changed", "tone-attention"),
        (State::Gone, _) => ("Gone", ""),
        (State::Refused, _) => ("Not wanted", ""),
        (State::InUse, _) => ("In use", "tone-fine"),
    };
    let is_tool = item.kind == Kind::Tool && item.state != State::Gone;
    // The first time, what only reads and nobody need wonder about is picked.
    let harmless = item.kind != Kind::Tool || item.access == "read";
    DefinitionRow {
        key: item.key.clone(),
        state,
        tone,
        name: named(item.kind, &item.name),
        renamed_from: item.renamed_from.clone(),
        title: item.title.clone(),
        description: visible(&item.description).chars().take(DESCRIPTION).collect(),
        picked: !server.facts.reviewed && flags.is_empty() && harmless,
        flags,
        access: is_tool.then(|| Access::new(item.access.clone())),
        classes: if is_tool {
            CLASSES.map(|class| Choice::new(class, class, &item.access)).into()
        } else {
            Vec::new()
        },
        parts: item.parts.iter().map(part).collect(),
        since: Moment::new(item.found_at, OffsetDateTime::now_utc()),
        json: readable(&item.json),
    }
}

fn named(kind: Kind, name: &str) -> String {
    if kind == Kind::Instructions { "What it says of itself".to_owned() } else { visible(name) }
}

fn part(part: &Part) -> PartView {
    let lines = part.json.then(|| lines_between(&visible(&part.before), &visible(&part.after)));
    PartView { what: part.what.clone(), before: visible(&part.before), after: visible(&part.after), lines }
}

/// The whole definition over several lines.
fn readable(json: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
    let pretty = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    visible(&pretty.unwrap_or_else(|| json.to_owned()))
}

/// Text in which what nobody would see is written out.
fn visible(text: &str) -> String {
    use crate::connectors::upstream::scan::is_hidden;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))) } else { shown.push(c) }
    }
    shown
}

/// What is in use besides tools, with its switches.
pub(super) fn used(server: &Server) -> Vec<UsedGroup> {
    let row = |known: &Known| {
        let definition = members(known.json());
        let key = if known.kind == Kind::Instructions { "instructions" } else { "description" };
        UsedRow {
            kind: known.kind.as_str(),
            name: known.name.clone(),
            title: title(&definition),
            description: visible(&text(&definition, key)).chars().take(DESCRIPTION).collect(),
            flags: flags(known.kind, &known.name, known.json(), &server.neighbours),
            on: !known.off,
        }
    };
    let group = |(kind, title): (Kind, &'static str)| {
        let of_kind = server.known.iter().filter(|known| known.kind == kind && known.state() == State::InUse);
        let rows: Vec<_> = of_kind.take(SHOWN).map(row).collect();
        (!rows.is_empty()).then_some(UsedGroup { title, rows })
    };
    KINDS.into_iter().filter(|(kind, _)| *kind != Kind::Tool).filter_map(group).collect()
}

/// What is known of the server itself.
pub(in crate::console) fn facts(server: &Server) -> ServerFacts {
    use toolmesh_proto::v1::mcp_server::Transport;
    let now = OffsetDateTime::now_utc();
    let known = &server.facts;
    let called = if known.title.is_empty() { &known.name } else { &known.title };
    let problem = Some(known.problem.clone()).filter(|problem| !problem.is_empty());
    ServerFacts {
        called: format!("{called} {}", known.version).trim().to_owned(),
        transport: match known.transport() {
            Transport::StreamableHttp => "Streamable HTTP",
            Transport::HttpSse => "HTTP+SSE",
            Transport::Unspecified => "not known yet",
        },
        revision: known.revision.clone(),
        found: known.found_at.map(|at| Moment::new(at, now)),
        known: known.transport() != Transport::Unspecified,
        problem: problem.map(|problem| (problem, known.tried_at.map(|at| Moment::new(at, now)))),
        waiting: waiting(&server.known),
        reviewed: known.reviewed,
        notes: known.notes.0.clone(),
        nodes: server.states.iter().map(|state| fares(state, now)).collect(),
        besides: besides(server),
    }
}

fn fares(state: &crate::connectors::upstream::NodeState, now: OffsetDateTime) -> NodeFares {
    let (word, tone) = match state.state.as_str() {
        "open" => ("Not answering", "danger"),
        "trying" => ("Being tried again", "attention"),
        _ => ("Well", "fine"),
    };
    NodeFares {
        node: state.node.clone(),
        word,
        tone,
        detail: state.detail.clone(),
        since: Moment::by_clock(state.since, now),
    }
}

/// The line of an installation, with what is known of how it fares where it is an MCP server.
pub(in crate::console) fn row(
    installation: &Installation,
    fares: Option<&Fares>,
    connected: &BTreeSet<String>,
) -> InstallationRow {
    let mut row = installations::row(installation);
    // What somebody has to do first keeps it from being called at all.
    if let Some(fares) = fares
        && matches!(row.state, InstallationState::Ready)
    {
        row.state = state(fares, installation.personal, connected).unwrap_or(row.state);
    }
    row
}

/// What keeps a server from being used; `None` where it is well.
fn state(fares: &Fares, personal: bool, connected: &BTreeSet<String>) -> Option<InstallationState> {
    let now = OffsetDateTime::now_utc();
    if !fares.away.is_empty() {
        let nodes: BTreeSet<&String> = connected.iter().chain(&fares.nodes).collect();
        return Some(InstallationState::NotAnswering(NotAnswering {
            since: fares.since.map(|since| Moment::by_clock(since, now)),
            nodes: fares.away.len(),
            of: nodes.len(),
            why: fares.detail.clone(),
        }));
    }
    // Where each member uses their own, a look that has no account to be made with says nothing of the server.
    if fares.problem.is_empty() || personal {
        return None;
    }
    Some(InstallationState::Failing(format!("{} What was known of it still holds.", fares.problem)))
}

/// How much it offers besides tools.
fn besides(server: &Server) -> String {
    let count = |kind: Kind, one: &str, more: &str| {
        let used =
            server.known.iter().filter(|known| known.kind == kind && known.state() == State::InUse).count();
        match used {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {more}")),
        }
    };
    let all = [
        count(Kind::Prompt, "prompt", "prompts"),
        count(Kind::Resource, "resource", "resources"),
        count(Kind::Template, "resource template", "resource templates"),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
