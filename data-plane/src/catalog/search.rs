//! Full-text search over the tools of a connector: an inverted index, made once with the connector and shared by all
//! tenants that have it.
//!
//! Ranking is BM25 over weighted fields. A query goes over several connectors at once, so statistics are summed over them
//! before anything is scored: a rare word is rare in the whole workspace, not in one connector. Knows nothing of who asks.

use std::collections::{BTreeMap, HashMap};

/// BM25's own constants, as commonly used.
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// What a word in a field is worth.
const IN_NAME: f32 = 4.0;
const IN_TITLE: f32 = 2.0;
const IN_TEXT: f32 = 1.0;
/// In what is said of an argument.
const IN_NOTE: f32 = 0.4;
/// What a word is worth that only begins as the one asked for, or means much the same.
const BEGINS: f32 = 0.6;
const AKIN: f32 = 0.3;
/// Added for a word of the query that names the connector.
const AT_HOME: f32 = 1.5;
/// Shortest word that others are found by, and most that are.
const SHORTEST_PREFIX: usize = 3;
const PREFIXED: usize = 24;
/// Most words of a query that count, and most bytes of a word.
const QUERY_WORDS: usize = 24;
const WORD_BYTES: usize = 40;

/// Words that people use for one another when they ask for a tool.
const AKIN_WORDS: &[&[&str]] = &[
    &["get", "show", "fetch", "read", "view", "retrieve", "describe"],
    &["list", "all", "find", "search", "query", "lookup"],
    &["create", "add", "new", "make", "open", "post", "insert"],
    &["update", "edit", "change", "modify", "set", "rename", "patch"],
    &["delete", "remove", "destroy", "drop", "erase"],
    &["send", "post", "write", "publish"],
    &["issue", "ticket"],
    &["repo", "repository"],
    &["mail", "email", "message"],
    &["person", "user", "member", "people"],
];

/// What is known of one tool's text.
#[derive(Debug, Default)]
pub struct Text<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub description: &'a str,
    /// Names of arguments.
    pub params: Vec<String>,
    /// What is said of arguments.
    pub notes: Vec<String>,
    /// Worth less in a ranking; nothing else.
    pub deprecated: bool,
}

/// The index of one connector; tools go by their place in it.
#[derive(Debug, Default)]
pub struct Index {
    /// For each word, the tools that have it and how much.
    words: BTreeMap<Box<str>, Vec<(u32, f32)>>,
    lengths: Vec<f32>,
    factors: Vec<f32>,
    length: f32,
    /// Words of the connector's own name.
    home: Vec<String>,
}

/// A connector that is searched, under a name of the workspace's choice.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    pub index: &'a Index,
    pub name: &'a str,
}

/// A tool that was found: on which shelf, at which place, how well it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub shelf: usize,
    pub tool: usize,
    pub score: f32,
}

impl Index {
    #[must_use]
    pub fn new<'a>(connector: &str, tools: impl Iterator<Item = Text<'a>>) -> Self {
        // `GitHub` is also asked for as `github`.
        let home = words(connector).chain(words(&connector.to_lowercase())).collect();
        let mut index = Self { home, ..Self::default() };
        for text in tools {
            index.add(&text);
        }
        index
    }

    fn add(&mut self, text: &Text<'_>) {
        let tool = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let mut found: HashMap<String, f32> = HashMap::new();
        let mut length = 0.0;
        let mut note = |text: &str, weight: f32| {
            for word in words(text) {
                *found.entry(word).or_default() += weight;
                length += weight;
            }
        };
        note(text.name, IN_NAME);
        note(text.title, IN_TITLE);
        note(text.description, IN_TEXT);
        text.params.iter().for_each(|name| note(name, IN_TEXT));
        text.notes.iter().for_each(|said| note(said, IN_NOTE));
        for (word, weight) in found {
            self.words.entry(word.into()).or_default().push((tool, weight));
        }
        self.length += length;
        self.lengths.push(length);
        self.factors.push(if text.deprecated { 0.5 } else { 1.0 });
    }

    /// The words of the index that stand for one of the query, and how well.
    fn standing_for(&self, word: &str) -> Vec<Standing<'_>> {
        let mut found = Vec::new();
        if let Some((own, tools)) = self.words.get_key_value(word) {
            found.push((&**own, 1.0, tools.as_slice()));
        }
        if word.len() >= SHORTEST_PREFIX {
            let longer =
                self.words.range::<str, _>((std::ops::Bound::Excluded(word), std::ops::Bound::Unbounded));
            let longer = longer.take_while(|(other, _)| other.starts_with(word)).take(PREFIXED);
            found.extend(longer.map(|(other, tools)| (&**other, BEGINS, tools.as_slice())));
        }
        for akin in akin(word) {
            let known = found.iter().any(|(other, ..)| *other == akin);
            if let Some((own, tools)) = self.words.get_key_value(akin).filter(|_| !known) {
                found.push((&**own, AKIN, tools.as_slice()));
            }
        }
        found
    }
}

/// A word of an index, how well it stands for one of a query, and the tools that hold it with their weights.
type Standing<'a> = (&'a str, f32, &'a [(u32, f32)]);

/// The tools that fit a query, best first; of equal ones, the first on the first shelf. Whoever asks takes as many as they
/// may see.
#[must_use]
pub fn search(shelves: &[Shelf<'_>], query: &str) -> Vec<Hit> {
    let mut asked: Vec<String> = Vec::new();
    for word in words(query) {
        if asked.len() < QUERY_WORDS && !asked.contains(&word) {
            asked.push(word);
        }
    }
    let count: usize = shelves.iter().map(|shelf| shelf.index.lengths.len()).sum();
    let length: f32 = shelves.iter().map(|shelf| shelf.index.length).sum();
    let scale =
        Scale { count: count as f32, mean: if count == 0 { 1.0 } else { (length / count as f32).max(1.0) } };
    let mut scores: Vec<Vec<f32>> =
        shelves.iter().map(|shelf| vec![0.0; shelf.index.lengths.len()]).collect();
    for word in &asked {
        add_word(shelves, word, &scale, &mut scores);
    }
    at_home(shelves, &asked, &mut scores);
    let mut hits: Vec<Hit> = Vec::new();
    for (shelf, scores) in scores.iter().enumerate() {
        let found = scores.iter().enumerate().filter(|(_, score)| **score > 0.0);
        hits.extend(found.map(|(tool, score)| Hit { shelf, tool, score: *score }));
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.shelf, a.tool).cmp(&(b.shelf, b.tool))));
    hits
}

/// How many tools there are, and how long their texts are.
struct Scale {
    count: f32,
    mean: f32,
}

/// Adds to each tool what one word of the query is worth for it: the best of the words that stand for it.
fn add_word(shelves: &[Shelf<'_>], word: &str, scale: &Scale, scores: &mut [Vec<f32>]) {
    let found: Vec<_> = shelves.iter().map(|shelf| shelf.index.standing_for(word)).collect();
    let mut holders: HashMap<&str, usize> = HashMap::new();
    for (other, _, tools) in found.iter().flatten() {
        *holders.entry(other).or_default() += tools.len();
    }
    for ((shelf, found), scores) in shelves.iter().zip(&found).zip(scores) {
        let mut best: HashMap<u32, f32> = HashMap::new();
        for (other, likeness, tools) in found {
            let holders = holders.get(other).copied().unwrap_or_default() as f32;
            let rarity = (1.0 + (scale.count - holders + 0.5) / (holders + 0.5)).ln();
            for (tool, weight) in *tools {
                let length = shelf.index.lengths.get(*tool as usize).copied().unwrap_or_default();
                let often = weight * (K1 + 1.0) / (weight + K1 * (1.0 - B + B * length / scale.mean));
                let worth = likeness * rarity * often;
                best.entry(*tool).and_modify(|known| *known = known.max(worth)).or_insert(worth);
            }
        }
        for (tool, worth) in best {
            let factor = shelf.index.factors.get(tool as usize).copied().unwrap_or(1.0);
            if let Some(score) = scores.get_mut(tool as usize) {
                *score += worth * factor;
            }
        }
    }
}

/// Prefers the tools of a connector that the query names; if it says nothing else, they are what is asked for.
fn at_home(shelves: &[Shelf<'_>], asked: &[String], scores: &mut [Vec<f32>]) {
    for (shelf, scores) in shelves.iter().zip(scores) {
        let own: Vec<String> = words(shelf.name).collect();
        let named = asked.iter().filter(|word| own.contains(word) || shelf.index.home.contains(word)).count();
        if named == 0 {
            continue;
        }
        let nothing_else = named == asked.len();
        for score in scores.iter_mut().filter(|score| nothing_else || **score > 0.0) {
            *score += AT_HOME * named as f32;
        }
    }
}

fn akin(word: &str) -> impl Iterator<Item = &'static str> {
    let groups = AKIN_WORDS.iter().filter(move |group| group.contains(&word));
    let all = groups.flat_map(|group| group.iter().copied());
    let word = word.to_owned();
    all.filter(move |other| *other != word)
}

/// The words of a text: lower case, cut where a name changes its case, without the endings of plurals.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in text.chars() {
        let new_hump = c.is_uppercase() && before.is_lowercase();
        if !c.is_alphanumeric() || new_hump || word.len() >= WORD_BYTES {
            keep(&mut found, &mut word);
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    keep(&mut found, &mut word);
    found.into_iter()
}

fn keep(found: &mut Vec<String>, word: &mut String) {
    const EMPTY: &[&str] =
        &["a", "an", "the", "of", "to", "in", "for", "and", "or", "is", "with", "by", "on", "my", "me"];
    let word = std::mem::take(word);
    if word.is_empty() || EMPTY.contains(&word.as_str()) {
        return;
    }
    found.push(singular(word));
}

/// `repositories` to `repository`, `boxes` to `box`, `issues` to `issue`.
fn singular(word: String) -> String {
    if word.len() <= 3 || !word.is_ascii() {
        return word;
    }
    if let Some(stem) = word.strip_suffix("ies") {
        return format!("{stem}y");
    }
    for ending in ["sses", "xes", "ches", "shes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(connector: &str, tools: &[(&str, &str, &[&str])]) -> Index {
        let text =
            |(name, description, params): &(&'static str, &'static str, &'static [&'static str])| Text {
                name,
                title: "",
                description,
                params: params.iter().map(|name| (*name).to_owned()).collect(),
                notes: Vec::new(),
                deprecated: name.starts_with("old"),
            };
        let tools: Vec<(&'static str, &'static str, &'static [&'static str])> = tools
            .iter()
            .map(|(a, b, c)| {
                let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
                let params: Vec<&'static str> = c.iter().map(|p| leak(p)).collect();
                (leak(a), leak(b), &*Box::leak(params.into_boxed_slice()))
            })
            .collect();
        Index::new(connector, tools.iter().map(text))
    }

    fn github() -> Index {
        index(
            "GitHub",
            &[
                ("list_issues", "Lists issues of a repository", &["owner", "repo", "state"]),
                ("create_issue", "Opens a new issue in a repository", &["owner", "repo", "title"]),
                ("listRepositories", "Repositories of the user", &["per_page"]),
                ("delete_repo", "Removes a repository for ever", &["owner", "repo"]),
                ("old_issues", "Lists issues of a repository, the old way", &["owner"]),
            ],
        )
    }

    fn jira() -> Index {
        index("Jira Cloud", &[("create_ticket", "Creates a ticket in a project", &["project", "summary"])])
    }

    fn found(query: &str) -> Vec<(usize, usize)> {
        let (github, jira) = (github(), jira());
        let shelves = [Shelf { index: &github, name: "gh" }, Shelf { index: &jira, name: "jira-eu" }];
        search(&shelves, query).into_iter().map(|hit| (hit.shelf, hit.tool)).collect()
    }

    #[test]
    fn the_best_fit_comes_first() {
        assert_eq!(found("create an issue")[0], (0, 1));
        assert_eq!(found("list issues")[0], (0, 0));
        assert_eq!(found("repositories")[0], (0, 2));
        assert_eq!(found("remove repo")[0], (0, 3));
        assert_eq!(found("summary project")[0], (1, 0));
    }

    #[test]
    fn words_are_found_by_their_plural_beginning_hump_and_likeness() {
        assert!(found("ISSUE").contains(&(0, 0)));
        assert!(found("repos").contains(&(0, 2)), "{:?}", found("repos"));
        assert!(found("new ticket").contains(&(1, 0)));
        assert_eq!(found("open ticket")[0], (1, 0));
    }

    #[test]
    fn a_connectors_name_prefers_its_tools_and_alone_means_all_of_them() {
        assert_eq!(found("jira create issue")[0], (1, 0));
        assert_eq!(found("github").len(), 5);
        assert_eq!(found("jira"), [(1, 0)]);
    }

    #[test]
    fn what_is_deprecated_comes_later_and_what_is_unknown_is_not_found() {
        let issues = found("list issues");
        assert!(issues.iter().position(|hit| *hit == (0, 4)) > issues.iter().position(|hit| *hit == (0, 0)));
        for nothing in ["", "   ", "zzzz", "the of", "\u{0}"] {
            assert!(found(nothing).is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn a_query_may_be_anything() {
        for query in ["a".repeat(100_000), "issue ".repeat(50_000), "é\u{301}🦀 \u{202e}".repeat(100)] {
            let _ = found(&query);
        }
    }
}
