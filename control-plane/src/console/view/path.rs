//! The path of a call, our one drawing: who, may they, with what, checked, called, recorded.
//!
//! Used wherever a call is explained: in words on the landing and sign-up pages, with times and verdicts for a real call,
//! and step by step while the first call of a workspace is awaited.

use askama::Template;
use askama::filters::HtmlSafe;

use super::parts::duration;
use super::steps::StepState;

/// The six steps: the name people read, and the steps of an audit event that belong to it.
const STEPS: [(&str, &[&str]); 6] = [
    ("Who", &["identity"]),
    ("May they", &["policy"]),
    ("With what", &["credential"]),
    ("Checked", &["arguments"]),
    ("Called", &["upstream", "code", "result"]),
    ("Recorded", &[]),
];

/// One step of an audit event, as it was stored.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// `identity`, `policy`, `arguments`, `credential`, `upstream`, `code` or `result`.
    pub name: String,
    pub ok: bool,
    pub micros: u64,
    pub detail: String,
}

/// One step of the drawing.
#[derive(Clone, Debug)]
pub struct PathStep {
    pub name: &'static str,
    pub state: StepState,
    /// What was found there, in a few words. Empty where there is nothing to say.
    pub says: String,
    pub took: Option<String>,
}

/// The drawing.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/path.html")]
pub struct CallPath {
    pub steps: Vec<PathStep>,
    /// Classes that choose the form: `turns` (across, down on a phone), `upright`, `plays`.
    pub form: &'static str,
}

impl HtmlSafe for CallPath {}

impl CallPath {
    /// The path explained: each step says what happens there.
    #[must_use]
    pub fn explained() -> Self {
        let says = [
            "The person and their client, by token.",
            "The tool is on, and they are a member.",
            "The workspace's credential, never theirs to see.",
            "Every argument fits before anything leaves.",
            "The API, and nothing else, over a guarded connection.",
            "Who, what, when and how it ended.",
        ];
        Self::from_says(says, StepState::Waiting, "upright")
    }

    /// The path of one example call, played on the landing page.
    #[must_use]
    pub fn example() -> Self {
        let says = [
            "Mara Lind, with Claude",
            "read tool, switched on",
            "token that ends in 4f2a",
            "2 arguments fit",
            "api.github.com said 200",
            "in the audit log",
        ];
        let took = [310, 140, 220, 180, 212_000, 400];
        let mut path = Self::from_says(says, StepState::Done, "turns plays");
        for (step, micros) in path.steps.iter_mut().zip(took) {
            step.took = Some(duration(micros));
        }
        path
    }

    /// The path while the first call is awaited: who is known once a client has connected.
    #[must_use]
    pub fn awaited(client: Option<&str>) -> Self {
        let mut path = Self::from_says([""; 6], StepState::Waiting, "turns");
        let mut states = path.steps.iter_mut();
        if let (Some(client), Some(who), Some(next)) = (client, states.next(), states.next()) {
            who.state = StepState::Done;
            client.clone_into(&mut who.says);
            next.state = StepState::Current;
            next.says = "waiting for a call".to_owned();
        } else if let Some(who) = path.steps.first_mut() {
            who.state = StepState::Current;
            who.says = "waiting for a client".to_owned();
        }
        path
    }

    /// The path of a real call, from what the node wrote down. A step without a verdict was not reached, or not used
    /// where the node checks a later step of the drawing first.
    #[must_use]
    pub fn of_call(verdicts: &[Verdict]) -> Self {
        let mut steps: Vec<PathStep> =
            STEPS.iter().map(|(name, parts)| Self::step_of(name, parts, verdicts)).collect();
        if let Some(failed) = steps.iter().position(|step| step.state == StepState::Failed) {
            for step in steps.iter_mut().take(failed).filter(|step| step.state == StepState::Skipped) {
                "Not used".clone_into(&mut step.says);
            }
        }
        Self { steps, form: "upright" }
    }

    fn step_of(name: &'static str, parts: &[&str], verdicts: &[Verdict]) -> PathStep {
        if parts.is_empty() {
            return PathStep {
                name,
                state: StepState::Done,
                says: "In the audit log".to_owned(),
                took: None,
            };
        }
        let found: Vec<&Verdict> =
            verdicts.iter().filter(|verdict| parts.contains(&verdict.name.as_str())).collect();
        let Some(telling) = found.iter().find(|verdict| !verdict.ok).or_else(|| found.first()) else {
            return PathStep { name, state: StepState::Skipped, says: "Not reached".to_owned(), took: None };
        };
        let state = if telling.ok { StepState::Done } else { StepState::Failed };
        let micros = found.iter().map(|verdict| verdict.micros).sum();
        PathStep { name, state, says: telling.detail.clone(), took: Some(duration(micros)) }
    }

    fn from_says(says: [&str; 6], state: StepState, form: &'static str) -> Self {
        let step = |((name, _), says): (&(&'static str, &[&str]), &str)| PathStep {
            name,
            state,
            says: says.to_owned(),
            took: None,
        };
        Self { steps: STEPS.iter().zip(says).map(step).collect(), form }
    }
}
