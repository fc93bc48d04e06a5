//! How an API wants its credential: the security schemes of a document as DADL's `auth`.
//!
//! An operation names alternatives, and each alternative the schemes that it takes together; an empty one says that a call may
//! leave without any. A connector shows the same to all its operations, so that the alternative is chosen which most of them
//! take; of those that are equal, the one that is simplest to give.

mod scheme;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use self::scheme::{Scheme, Way};
use super::{Document, names};

/// Most alternatives of one operation that are read.
const MAX_ALTERNATIVES: usize = 12;
/// Most schemes of one alternative.
const MAX_TOGETHER: usize = 4;
/// Most alternatives, over all operations, of which one is chosen.
const MAX_CANDIDATES: usize = 30;
const MAX_SCOPES: usize = 60;

/// The `auth` of a connector.
#[derive(Clone, Debug, Default)]
pub(super) struct Auth {
    /// DADL below `auth:`, key and value.
    pub lines: Vec<(&'static str, Json)>,
    pub required_scopes: Vec<String>,
    pub optional_scopes: Vec<String>,
    /// How to get the credentials, where the document says.
    pub steps: Vec<String>,
    pub notes: Vec<String>,
    /// What each operation does with the credential, in their order: DADL's word, empty for showing it.
    pub uses: Vec<&'static str>,
}

/// Schemes that are shown together, by their places in the list of all.
type Together = Vec<usize>;

/// The places of schemes by their names.
type Index<'a> = HashMap<&'a str, usize>;

/// What an operation takes.
#[derive(Debug, Default)]
struct Taken {
    alternatives: Vec<Together>,
    /// It may be called without any of them.
    free: bool,
    /// It asks for a scheme that is not known here.
    unknown: bool,
}

/// Chooses what is shown. `required` are the operations' own requirements, or `None` where the document's hold.
pub(super) fn choose(document: &Document, required: &[Option<&Json>]) -> Auth {
    let schemes = scheme::all(document);
    let index: Index<'_> = schemes.iter().enumerate().map(|(at, scheme)| (scheme.name, at)).collect();
    let shared = document.root.get("security");
    let mut taken: Vec<Taken> = required.iter().map(|own| read(own.or(shared), &schemes, &index)).collect();
    // A document that describes schemes and never names one leaves the choice to us.
    if shared.is_none() && document_is_silent(document) {
        let any: Vec<Together> = (0..schemes.len())
            .map(|at| vec![at])
            .filter(|one| fit(&schemes, one))
            .take(MAX_ALTERNATIVES)
            .collect();
        taken.iter_mut().for_each(|taken| {
            *taken = Taken { free: any.is_empty(), alternatives: any.clone(), unknown: false };
        });
    }
    let Some(chosen) = best(&schemes, &taken) else { return nothing(&schemes, &taken) };
    let mut auth = written(&schemes, &index, &chosen, required.iter().filter_map(|own| own.or(shared)));
    let plain = chosen.iter().filter_map(|at| schemes.get(*at)).all(|scheme| scheme.way.may_be_optional());
    // Where every call may do without, so may the connector.
    if plain && taken.iter().all(|taken| taken.free) {
        auth.lines.push(("x-optional", Json::Bool(true)));
    }
    auth.uses = taken.iter().map(Taken::credential).collect();
    auth.notes.extend(left_out(&schemes, &chosen, &taken));
    auth
}

impl Taken {
    /// An operation that asks for nothing is not shown the credential of the others.
    fn credential(&self) -> &'static str {
        match (self.free, self.alternatives.is_empty()) {
            (false, _) => "",
            (true, true) => "none",
            (true, false) => "optional",
        }
    }
}

/// Whether no operation of a document says what it asks for.
fn document_is_silent(document: &Document) -> bool {
    super::operations::all(document).iter().all(|place| place.operation.get("security").is_none())
}

fn read(requirement: Option<&Json>, schemes: &[Scheme<'_>], index: &Index<'_>) -> Taken {
    let Some(alternatives) = requirement.and_then(Json::as_array) else {
        return Taken { free: true, ..Taken::default() };
    };
    let mut taken = Taken { free: alternatives.is_empty(), ..Taken::default() };
    for alternative in alternatives.iter().take(MAX_ALTERNATIVES).filter_map(Json::as_object) {
        let place = |name: &String| index.get(name.as_str()).copied();
        match alternative.keys().map(place).collect::<Option<Together>>() {
            Some(none) if none.is_empty() => taken.free = true,
            Some(together) if fit(schemes, &together) => taken.alternatives.push(together),
            _ => taken.unknown = true,
        }
    }
    taken
}

/// Whether schemes can be shown together: all are known, no two go to one place, and all but one are keys.
fn fit(schemes: &[Scheme<'_>], together: &[usize]) -> bool {
    let ways: Vec<&Way> = together.iter().filter_map(|at| Some(&schemes.get(*at)?.way)).collect();
    let apart = |(index, way): (usize, &&Way)| ways.iter().skip(index + 1).all(|other| !way.collides(other));
    ways.len() <= MAX_TOGETHER
        && ways.iter().all(|way| way.is_known())
        && ways.iter().filter(|way| !way.is_key()).count() <= 1
        && ways.iter().enumerate().all(apart)
}

/// Whether who shows `chosen` shows what an alternative asks for. Two schemes that are shown alike are the same to a call.
fn covers(schemes: &[Scheme<'_>], chosen: &[usize], alternative: &[usize]) -> bool {
    let way = |at: &usize| schemes.get(*at).map(|scheme| &scheme.way);
    alternative.iter().all(|asked| chosen.iter().any(|shown| way(shown) == way(asked)))
}

fn takes(schemes: &[Scheme<'_>], taken: &Taken, chosen: &[usize]) -> bool {
    taken.alternatives.iter().any(|alternative| covers(schemes, chosen, alternative))
}

fn best(schemes: &[Scheme<'_>], taken: &[Taken]) -> Option<Together> {
    let mut candidates: Vec<&Together> = Vec::new();
    for alternative in taken.iter().flat_map(|taken| &taken.alternatives) {
        if !candidates.contains(&alternative) && candidates.len() < MAX_CANDIDATES {
            candidates.push(alternative);
        }
    }
    let rank = |at: &usize| schemes.get(*at).map_or(u8::MAX, |scheme| scheme.way.preference());
    let score = |(order, candidate): &(usize, &Together)| {
        let count = taken.iter().filter(|taken| takes(schemes, taken, candidate)).count();
        (Reverse(count), candidate.len(), candidate.iter().map(rank).max(), *order)
    };
    let (_, best) = candidates.into_iter().enumerate().min_by_key(score)?;
    // What is got by a login comes first; the keys stand beside it.
    let mut best = best.clone();
    best.sort_by_key(|at| schemes.get(*at).is_none_or(|scheme| scheme.way.is_key()));
    Some(best)
}

fn nothing(schemes: &[Scheme<'_>], taken: &[Taken]) -> Auth {
    let note = if taken.iter().any(|taken| taken.unknown) {
        let why: Vec<String> = schemes.iter().filter_map(Scheme::problem).take(4).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
        Some(format!(
            "The chosen operations ask for credentials that cannot be shown here{why}, so none is sent."
        ))
    } else {
        (!schemes.is_empty())
            .then(|| "No chosen operation asks for a credential, so none is sent.".to_owned())
    };
    Auth { lines: vec![("type", "none".into())], notes: note.into_iter().collect(), ..Auth::default() }
}

fn written<'a>(
    schemes: &[Scheme<'_>],
    index: &Index<'_>,
    chosen: &[usize],
    requirements: impl Iterator<Item = &'a Json> + Clone,
) -> Auth {
    let mut auth = Auth::default();
    let mut also = Vec::new();
    let mut names = HashSet::new();
    for (position, scheme) in chosen.iter().filter_map(|at| schemes.get(*at)).enumerate() {
        let credential = names::unique(&scheme.credential(chosen.len() > 1), &mut names);
        auth.steps.extend(scheme.step(chosen.len() > 1));
        if position > 0 {
            also.push(Json::Object(scheme.key_lines(&credential)));
            continue;
        }
        let alike =
            |name: &str| index.get(name).and_then(|at| schemes.get(*at)).is_some_and(|s| s.way == scheme.way);
        let scopes = scopes(alike, requirements.clone());
        auth.lines = scheme.lines(&credential, &scopes);
        auth.notes.extend(scheme.note());
        let mut others = scheme.all_scopes();
        others.retain(|scope| !scopes.contains(scope));
        others.truncate(MAX_SCOPES);
        (auth.required_scopes, auth.optional_scopes) = (scopes, others);
    }
    if !also.is_empty() {
        auth.lines.push(("x-also", Json::Array(also)));
    }
    auth
}

/// The scopes that requirements name for the schemes that are shown alike.
fn scopes<'a>(alike: impl Fn(&str) -> bool, requirements: impl Iterator<Item = &'a Json>) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    let alternatives =
        requirements.filter_map(Json::as_array).flatten().filter_map(Json::as_object).flatten();
    for (_, named) in alternatives.filter(|(name, _)| alike(name)) {
        for scope in named.as_array().into_iter().flatten().filter_map(Json::as_str) {
            if scheme::is_scope(scope) && scopes.len() < MAX_SCOPES && !scopes.iter().any(|s| s == scope) {
                scopes.push(scope.to_owned());
            }
        }
    }
    scopes
}

/// What operations take that is not shown.
fn left_out(schemes: &[Scheme<'_>], chosen: &[usize], taken: &[Taken]) -> Option<String> {
    let others = taken.iter().filter(|taken| !taken.free && !takes(schemes, taken, chosen)).count();
    (others > 0).then(|| {
        let shown: Vec<&str> =
            chosen.iter().filter_map(|at| schemes.get(*at)).map(|scheme| scheme.name).collect();
        let (verb, own) = if others == 1 {
            ("asks", "it needs a connector of its own")
        } else {
            ("ask", "they need a connector of their own")
        };
        format!(
            "{others} of the {} operations {verb} for another credential than {}; {own}.",
            taken.len(),
            super::one_line(&shown.join(" and "), 80),
        )
    })
}
