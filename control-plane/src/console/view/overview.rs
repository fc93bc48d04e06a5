//! The overview: where this workspace stands, what is still to do, what was called lately.

use askama::Template;

use super::audit::CallRow;
use super::parts::Moment;
use super::path::CallPath;
use super::shell::Shell;

/// One entry of the checklist. Whether it is done follows from facts, never from a click.
pub struct CheckItem {
    pub title: &'static str,
    pub text: String,
    pub done: bool,
    /// The link that does it: label and address.
    pub action: Option<(&'static str, String)>,
}

/// What is to do before the first call.
pub struct Checklist {
    pub items: Vec<CheckItem>,
    /// Drawn until the first call has been seen.
    pub path: Option<CallPath>,
}

impl Checklist {
    /// The checklist by its facts: connectors that are enabled, the client that connected last, the first call.
    #[must_use]
    pub fn new(shell: &Shell, connectors: usize, client: Option<&str>, first_call: Option<&Moment>) -> Self {
        let manages = shell.workspace.may.connectors;
        let enable = CheckItem {
            title: "Enable a connector",
            text: match connectors {
                0 if manages => {
                    "Choose an API and give it a credential. Its tools are ready at once.".to_owned()
                }
                0 => "An admin of this workspace chooses which tools there are.".to_owned(),
                1 => "1 connector is enabled.".to_owned(),
                n => format!("{n} connectors are enabled."),
            },
            done: connectors > 0,
            action: manages.then(|| ("Browse the catalog", shell.path("/catalog"))),
        };
        let add = CheckItem {
            title: "Add the workspace to ChatGPT or another client",
            text: client.map_or_else(
                || "Paste the endpoint, log in, allow it. The page has the steps for each client.".to_owned(),
                |client| format!("{client} is connected."),
            ),
            done: client.is_some() || first_call.is_some(),
            action: Some(("Show the steps", shell.path("/add"))),
        };
        let call = CheckItem {
            title: "See the first call",
            text: first_call.map_or_else(
                || "Ask for something a tool can answer. This page notices by itself.".to_owned(),
                |moment| format!("The first call came {}.", moment.relative),
            ),
            done: first_call.is_some(),
            action: None,
        };
        let path = (connectors > 0 && first_call.is_none()).then(|| CallPath::awaited(client));
        Self { items: vec![enable, add, call], path }
    }

    /// How many are done.
    #[must_use]
    pub fn done(&self) -> usize {
        self.items.iter().filter(|item| item.done).count()
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.done() == self.items.len()
    }
}

/// Calls within one hour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hour {
    pub calls: u64,
    /// Those of them that did not end well.
    pub errors: u64,
}

/// What happened in the last 24 hours.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub calls: u64,
    pub errors: u64,
    /// The time within which 95 of 100 calls were answered, from `duration`; `None` without calls.
    pub p95: Option<String>,
    /// People who called.
    pub people: u64,
    /// 24 hours, the oldest first; empty draws no chart.
    pub hours: Vec<Hour>,
}

/// One bar of the chart, in a drawing 24 high.
pub struct Bar {
    pub x: usize,
    pub height: u64,
    pub bad: u64,
}

impl Totals {
    /// All calls, with a comma at each thousand.
    #[must_use]
    pub fn calls_grouped(&self) -> String {
        let digits = self.calls.to_string();
        let comma = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
        digits
            .chars()
            .enumerate()
            .flat_map(|(index, digit)| [comma(index).then_some(','), Some(digit)])
            .flatten()
            .collect()
    }

    /// The share of calls that did not end well: `2.4 %`.
    #[must_use]
    pub fn error_rate(&self) -> String {
        if self.calls == 0 {
            return "none".to_owned();
        }
        let tenths = self.errors * 1_000 / self.calls;
        if tenths == 0 && self.errors > 0 {
            "under 0.1 %".to_owned()
        } else {
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
    }

    /// The chart's bars; an hour with calls is never invisible.
    #[must_use]
    pub fn bars(&self) -> Vec<Bar> {
        let most = self.hours.iter().map(|hour| hour.calls).max().unwrap_or(0).max(1);
        let scale = |calls: u64| if calls == 0 { 0 } else { (calls * 24 / most).max(2) };
        let bar = |(index, hour): (usize, &Hour)| Bar {
            x: index * 6,
            height: scale(hour.calls),
            bad: scale(hour.errors),
        };
        self.hours.iter().enumerate().map(bar).collect()
    }
}

/// How many tools clients are shown, of how many they should not be shown more than.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub tools: usize,
    pub most: usize,
}

/// GET /w/{slug}.
#[derive(Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    pub shell: Shell,
    pub checklist: Checklist,
    /// `None` for who sees only what is theirs.
    pub totals: Option<Totals>,
    /// The last calls; one's own for who may not see everybody's.
    pub calls: Vec<CallRow>,
    pub shown: Shown,
    /// Connectors that wait for an account of the viewer's own.
    pub waiting: usize,
}

impl OverviewPage {
    /// What waits for the viewer, in words.
    #[must_use]
    pub fn waiting_words(&self) -> String {
        match self.waiting {
            1 => "A connector waits for an account of your own. Your calls to it are refused until you connect it.".to_owned(),
            n => format!(
                "{n} connectors wait for accounts of your own. Your calls to them are refused until you connect them."
            ),
        }
    }
}
