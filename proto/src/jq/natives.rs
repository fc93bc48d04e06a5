//! The standard library: jaq's definitions and functions without those that reach outside, and jaq-json's for our values.

use jaq_core::box_iter::box_once;
use jaq_core::load::parse::Def;
use jaq_core::native::{Filter as Named, Fun, bome, run, unary, v};
use jaq_core::{Bind, Error, Exn, RunPtr, ValR};
use jaq_json::Val;
use jaq_std::ValT;

use super::Data;
use super::delete::delete;
use super::meter::{self, charge, take};
use super::value::{self, V};

/// What would end the process, write to its log, or tell of its machine.
const LEFT_OUT: &[&str] = &[
    "halt",
    "halt_error",
    "stderr",
    "debug",
    "env",
    "debug_empty",
    "stderr_empty",
    "localtime",
    "strflocaltime",
];

/// What stands here in another way: in [`OURS`], or below.
const REPLACED: &[&str] = &["del", "delpaths", "join"];

/// What jq has and jaq has not, or has in another way. Each definition sees those before it: the first of a name is jaq's.
const OURS: &str = include_str!("ours.jq");

/// Longest text that is put together at once, in bytes.
const JOINED: u64 = 48 << 20;

/// Most that one search may cost: length of the text times size of the pattern.
const SEARCH: u64 = 1 << 31;

/// Definitions in the language itself, metered.
pub(super) fn definitions<'s>() -> impl Iterator<Item = Def<&'s str>> {
    let all = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let kept = all.filter(|def| !LEFT_OUT.contains(&def.name) && !REPLACED.contains(&def.name));
    let ours = jaq_core::load::parse(OURS, |parser| parser.defs()).unwrap_or_default();
    kept.chain(ours).map(|def: Def<&'static str>| -> Def<&'s str> { meter::meter(def) })
}

/// Functions that are not written in the language.
pub(super) fn functions() -> impl Iterator<Item = Fun<Data>> {
    let general = jaq_core::funs::<Data>().chain(jaq_std::funs::<Data>());
    let general = general.filter(|(name, ..)| !LEFT_OUT.contains(name));
    let ours = ours().into_vec().into_iter().map(|named: Named<RunPtr<Data>>| run::<Data>(named));
    general.chain(ours).chain(meter::functions())
}

fn ours() -> Box<[Named<RunPtr<Data>>]> {
    Box::new([
        ("length", v(0), |cv| bome(length(cv.1))),
        ("tojson", v(0), |cv| bome(cv.1.to_json().map(V::text).map_err(Error::str))),
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("tobytes", v(0), |cv| bome(to_bytes(cv.1))),
        ("contains", v(1), |cv| unary(cv, |whole, part| Ok(contains(&whole, &part)))),
        ("has", v(1), |cv| unary(cv, |whole, key| has(&whole, &key))),
        ("indices", v(1), |cv| unary(cv, |whole, part| indices(&whole, &part))),
        ("bsearch", v(1), |cv| unary(cv, |list, item| search_sorted(list, &item))),
        ("join", v(1), |cv| unary(cv, |list, between| join(list, &between))),
        ("delpaths", v(1), |cv| unary(cv, |value, paths| delete(value, &paths))),
        ("search_price", [Bind::Fun(())].into(), |mut cv| {
            let (pattern, context) = cv.0.pop_fun();
            let text = cv.1.weight();
            for found in pattern.run((context, cv.1.clone())) {
                match found {
                    Ok(pattern) => pay_for_search(text, &pattern),
                    Err(error) => return box_once(Err(error)),
                }
            }
            box_once(Ok::<V, Exn<'_, V>>(cv.1))
        }),
    ])
}

/// A search takes time in proportion to its text and to its pattern with the repetitions written out.
fn pay_for_search(text: u64, pattern: &V) {
    let Some(pattern) = pattern.as_bytes() else { return };
    let mut size = pattern.len() as u64 + 1;
    let repetitions = pattern.split(|byte| *byte == b'{').skip(1);
    for repetition in repetitions {
        let inner = repetition.split(|byte| *byte == b'}').next().unwrap_or_default();
        let numbers = inner
            .split(|byte| *byte == b',')
            .filter_map(|n| std::str::from_utf8(n).ok()?.parse::<u64>().ok());
        size = size.saturating_mul(numbers.max().unwrap_or(1).max(1));
    }
    let cost = text.saturating_mul(size);
    if cost > SEARCH {
        meter::stop(meter::Stop::Steps);
    }
    charge(cost / 8);
}

fn length(value: V) -> ValR<V> {
    charge(value.weight() / 16);
    match &value.val {
        Val::Null => Ok(V::from(0_usize)),
        Val::TStr(text) => Ok(V::from(String::from_utf8_lossy(text).chars().count())),
        Val::BStr(bytes) => Ok(V::from(bytes.len())),
        Val::Arr(items) => Ok(V::from(items.len())),
        Val::Obj(map) => Ok(V::from(map.len())),
        Val::Num(_) => {
            if value < V::from(0_usize) {
                -value
            } else {
                Ok(value)
            }
        }
        Val::Bool(_) => Err(Error::str("a boolean has no length")),
    }
}

fn from_json(value: &V) -> ValR<V> {
    let text = value.as_utf8_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| Error::typ(value.clone(), "string"))?;
    charge(text.len() as u64);
    value::read(text).map_err(|()| Error::str("the text is no JSON"))
}

fn to_bytes(value: V) -> ValR<V> {
    match &value.val {
        Val::TStr(bytes) | Val::BStr(bytes) => Ok(V::leaf(Val::BStr(bytes.clone()))),
        _ => Err(Error::typ(value, "string")),
    }
}

fn contains(whole: &V, part: &V) -> V {
    // Each part is looked for in each of the whole.
    charge((whole.weight() / 16).saturating_mul(part.weight() / 16) / 16);
    V::from(holds(&whole.val, &part.val))
}

fn holds(whole: &Val, part: &Val) -> bool {
    match (whole, part) {
        (Val::TStr(whole) | Val::BStr(whole), Val::TStr(part) | Val::BStr(part)) => {
            find(whole, part).is_some()
        }
        (Val::Arr(whole), Val::Arr(parts)) => {
            parts.iter().all(|part| whole.iter().any(|item| holds(item, part)))
        }
        (Val::Obj(whole), Val::Obj(parts)) => {
            parts.iter().all(|(key, part)| whole.get(key).is_some_and(|item| holds(item, part)))
        }
        (whole, part) => whole == part,
    }
}

/// Where bytes stand in others.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    match (std::str::from_utf8(whole), std::str::from_utf8(part)) {
        // The standard search of texts takes linear time.
        (Ok(whole), Ok(part)) => whole.find(part),
        _ => whole.windows(part.len()).position(|window| window == part),
    }
}

fn has(whole: &V, key: &V) -> ValR<V> {
    match (&whole.val, &key.val) {
        (Val::Obj(map), key) => Ok(V::from(map.contains_key(key))),
        (Val::Arr(items), Val::Num(at)) => {
            let at = at.as_isize().and_then(|at| usize::try_from(at).ok());
            Ok(V::from(at.is_some_and(|at| at < items.len())))
        }
        _ => Err(Error::index(whole.clone(), key.clone())),
    }
}

/// Texts and numbers as one text. As in jq, nothing is no text, not the word for it.
fn join(list: V, between: &V) -> ValR<V> {
    let Val::Arr(items) = &list.val else { return Err(Error::typ(list, "array")) };
    let Some(between) = between.as_bytes() else { return Err(Error::typ(between.clone(), "string")) };
    let longest = list.weight().saturating_add((items.len() as u64).saturating_mul(between.len() as u64));
    if longest > JOINED {
        meter::stop(meter::Stop::Memory);
    }
    take(longest);
    let mut out = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(between);
        }
        match item {
            Val::Null => {}
            Val::TStr(text) | Val::BStr(text) => out.extend_from_slice(text),
            other => {
                let text = V::walked(other.clone()).to_json().map_err(Error::str)?;
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    Ok(V::from_utf8_bytes(out))
}

fn indices(whole: &V, part: &V) -> ValR<V> {
    charge((whole.weight() / 16).saturating_mul(1 + part.weight() / 16));
    let found: Vec<usize> = match (&whole.val, &part.val) {
        (Val::Null, _) => return Ok(V::leaf(Val::Null)),
        (Val::TStr(whole), Val::TStr(part)) if !part.is_empty() => {
            let (whole, part) = (String::from_utf8_lossy(whole), String::from_utf8_lossy(part));
            whole
                .char_indices()
                .enumerate()
                .filter(|(_, (at, _))| whole[*at..].starts_with(&*part))
                .map(|(n, _)| n)
                .collect()
        }
        (Val::Arr(whole), Val::Arr(part)) if !part.is_empty() => {
            let windows = whole.windows(part.len()).enumerate();
            windows.filter(|(_, window)| *window == part.as_slice()).map(|(at, _)| at).collect()
        }
        (Val::TStr(_), Val::TStr(_)) | (Val::Arr(_), Val::Arr(_)) => Vec::new(),
        (Val::Arr(whole), part) => {
            whole.iter().enumerate().filter(|(_, item)| *item == part).map(|(at, _)| at).collect()
        }
        _ => return Err(Error::index(whole.clone(), part.clone())),
    };
    Ok(found.into_iter().map(V::from).collect())
}

fn search_sorted(list: V, item: &V) -> ValR<V> {
    charge(list.weight() / 16);
    let Val::Arr(items) = &list.val else { return Err(Error::typ(list, "array")) };
    match items.binary_search(&item.val) {
        Ok(at) => Ok(V::from(at)),
        Err(at) => -V::from(at + 1),
    }
}
