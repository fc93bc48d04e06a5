//! Taking parts out of a value, all at once: no place moves because another one went before it.

use std::collections::HashMap;

use jaq_core::{Error, ValR};
use jaq_json::{Map, Num, Rc, Val};

use super::meter::{charge, take};
use super::value::V;

/// A way to a part: names, places and ranges.
type Path<'a> = &'a [Val];

/// The value without what the paths lead to. A path that leads nowhere takes nothing away.
pub(super) fn delete(value: V, paths: &V) -> ValR<V> {
    let Val::Arr(list) = &paths.val else { return Err(Error::typ(paths.clone(), "list of paths")) };
    charge((value.weight() + paths.weight()) / 16);
    take(list.len() as u64 * 64);
    let mut all: Vec<Path<'_>> = Vec::with_capacity(list.len());
    for path in list.iter() {
        let Val::Arr(steps) = path else { return Err(Error::str("a path must be a list")) };
        all.push(steps.as_slice());
    }
    if all.iter().any(|path| path.is_empty()) {
        return Ok(V::leaf(Val::Null));
    }
    without(&value.val, &all).map(V::walked).map_err(Error::str)
}

/// Values nest no deeper than a stack can hold.
fn without(value: &Val, paths: &[Path<'_>]) -> Result<Val, &'static str> {
    match value {
        Val::Null => Ok(Val::Null),
        Val::Obj(map) => object(map, paths),
        Val::Arr(items) => list(items, paths),
        _ => Err("only lists and objects have parts that can be deleted"),
    }
}

fn object(map: &Map, paths: &[Path<'_>]) -> Result<Val, &'static str> {
    let mut below: HashMap<&Val, Vec<Path<'_>>> = HashMap::new();
    for (first, rest) in paths.iter().filter_map(|path| path.split_first()) {
        below.entry(first).or_default().push(rest);
    }
    let mut kept = Map::default();
    for (key, value) in map {
        match below.get(key) {
            None => {
                kept.insert(key.clone(), value.clone());
            }
            Some(paths) if paths.iter().any(|path| path.is_empty()) => {}
            Some(paths) => {
                kept.insert(key.clone(), without(value, paths)?);
            }
        }
    }
    Ok(Val::obj(kept))
}

fn list(items: &[Val], paths: &[Path<'_>]) -> Result<Val, &'static str> {
    // What goes as a whole is marked, since each of many ranges may hold every place.
    take(items.len() as u64);
    let mut gone = vec![false; items.len()];
    let mut below: HashMap<usize, Vec<Path<'_>>> = HashMap::new();
    for (first, rest) in paths.iter().filter_map(|path| path.split_first()) {
        let (at, rest) = match first {
            Val::Num(at) => (place(at, items.len()), rest),
            Val::Obj(range) => {
                let (from, to) = bounds(range, items.len());
                charge((to - from) as u64);
                match rest.split_first() {
                    None => {
                        gone.get_mut(from..to).unwrap_or_default().fill(true);
                        continue;
                    }
                    Some((Val::Num(at), deeper)) => (place(at, to - from).map(|at| from + at), deeper),
                    Some(_) => return Err("a part of a range cannot be deleted by name"),
                }
            }
            _ => return Err("a list has no parts with names"),
        };
        let Some(at) = at else { continue };
        match gone.get_mut(at) {
            Some(gone) if rest.is_empty() => *gone = true,
            _ => below.entry(at).or_default().push(rest),
        }
    }
    let mut kept = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate().filter(|(at, _)| gone.get(*at) != Some(&true)) {
        match below.get(&at) {
            None => kept.push(item.clone()),
            Some(paths) => kept.push(without(item, paths)?),
        }
    }
    Ok(Val::Arr(Rc::new(kept)))
}

/// Where in a list a number points, from the end where it is negative; `None` beside it.
fn place(at: &Num, len: usize) -> Option<usize> {
    let at = at.as_isize()?;
    let at = usize::try_from(at).ok().or_else(|| len.checked_sub(at.unsigned_abs()))?;
    (at < len).then_some(at)
}

fn bounds(range: &Map, len: usize) -> (usize, usize) {
    let bound = |name: &str, otherwise: usize| match range.get(&Val::from(name.to_owned())) {
        Some(Val::Num(at)) => at.as_isize().map_or(otherwise, |at| match usize::try_from(at) {
            Ok(at) => at.min(len),
            Err(_) => len.saturating_sub(at.unsigned_abs()),
        }),
        _ => otherwise,
    };
    let from = bound("start", 0);
    (from, bound("end", len).max(from))
}
