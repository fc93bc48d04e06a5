//! Values of a run: jaq's own, each with its weight.
//!
//! jq shares what it copies, so `[., .]` forty times over is a tree of 2^40 leaves in forty cells, which costs nothing until
//! something walks it. A value therefore knows how much it is when it is written out, and one that is too much, or nests too
//! deep, ends the run when it is made. With that every single operation is short.

mod access;
mod arithmetic;

use std::cmp::Ordering;
use std::fmt;

use jaq_core::val::Range;
use jaq_json::{Num, Rc, Val};

use super::meter::{Stop, charge, stop, take};
use super::number;

type Error = jaq_core::Error<V>;

/// Most that one value may weigh: about its bytes, written out.
const WEIGHT: u64 = 48 << 20;
/// Levels of nesting that a value may have.
const LEVELS: u16 = 256;
/// Most that a number may weigh; longer ones take quadratic time.
const NUMBER: u64 = 4 << 10;
/// Weight of a value without what is in it.
const CELL: u64 = 16;

/// A value and what it weighs.
#[derive(Clone, Debug)]
pub(super) struct V {
    pub(super) val: Val,
    weight: u64,
    levels: u16,
}

/// Reads one JSON text whose nesting was checked.
pub(super) fn read(text: &str) -> Result<V, ()> {
    if nesting(text) > usize::from(LEVELS) {
        return Err(());
    }
    jaq_json::read::parse_single(text.as_bytes()).map(V::walked).map_err(|_| ())
}

/// How deep a JSON text nests, at most.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                most = most.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

impl V {
    /// A value of a known weight.
    fn weighed(val: Val, weight: u64, levels: u16) -> Self {
        if weight > WEIGHT {
            stop(Stop::Memory);
        }
        if levels > LEVELS {
            stop(Stop::Depth);
        }
        Self { val, weight, levels }
    }

    /// A value with nothing in it, newly made.
    pub(super) fn leaf(val: Val) -> Self {
        let weight = CELL + own_weight(&val);
        take(weight);
        Self::weighed(val, weight, 0)
    }

    /// A value whose weight has to be found out.
    pub(super) fn walked(val: Val) -> Self {
        let (weight, levels) = walk(&val, 0);
        Self::weighed(val, weight, levels)
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn to_json(&self) -> Result<String, String> {
        charge(self.weight / CELL);
        let mut out = String::new();
        number::write(&self.val, &mut out)?;
        take(out.len() as u64);
        Ok(out)
    }

    pub(super) fn text(text: String) -> Self {
        Self::leaf(Val::from(text))
    }

    /// As the message of an error: a text as it is, anything else as JSON.
    pub(super) fn as_message(&self) -> String {
        match &self.val {
            Val::TStr(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => self.to_json().unwrap_or_default(),
        }
    }

    /// The values in an array or object.
    fn children(self) -> Box<dyn Iterator<Item = Self>> {
        match self.val {
            Val::Arr(items) => {
                Box::new((0..items.len()).filter_map(move |at| items.get(at).cloned().map(Self::walked)))
            }
            Val::Obj(map) => {
                let len = map.len();
                Box::new(
                    (0..len).filter_map(move |at| map.get_index(at).map(|(_, v)| Self::walked(v.clone()))),
                )
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    const fn holds(&self) -> bool {
        matches!(self.val, Val::Arr(_) | Val::Obj(_))
    }

    /// Pays for a copy that a change makes of what others hold too.
    fn pay_for_change(&self) {
        let (shared, len) = match &self.val {
            Val::Arr(items) => (Rc::strong_count(items) > 1, items.len()),
            Val::Obj(map) => (Rc::strong_count(map) > 1, map.len() * 3),
            _ => (false, 0),
        };
        take(if shared { len as u64 * CELL } else { CELL });
    }

    /// An error of jaq's own values, in words.
    fn failed(error: jaq_core::Error<Val>) -> Error {
        Error::new(Self::walked(error.into_val()))
    }
}

/// Weight of a value without its cell and what is in it.
fn own_weight(val: &Val) -> u64 {
    match val {
        Val::TStr(bytes) | Val::BStr(bytes) => bytes.len() as u64,
        Val::Num(Num::BigInt(big)) => number_weight(big.bits() / 8),
        Val::Num(Num::Dec(text)) => number_weight(text.len() as u64),
        _ => 0,
    }
}

fn number_weight(bytes: u64) -> u64 {
    if bytes > NUMBER {
        stop(Stop::Memory);
    }
    bytes
}

fn walk(val: &Val, level: u16) -> (u64, u16) {
    if level > LEVELS {
        stop(Stop::Depth);
    }
    charge(1);
    let (mut weight, mut levels) = (CELL + own_weight(val), 0);
    let mut add = |inner: &Val| {
        let (more, deeper) = walk(inner, level + 1);
        weight = weight.saturating_add(more);
        levels = levels.max(deeper + 1);
    };
    match val {
        Val::Arr(items) => items.iter().for_each(&mut add),
        Val::Obj(map) => map.iter().for_each(|(key, value)| {
            add(key);
            add(value);
        }),
        _ => {}
    }
    (weight, levels)
}

impl fmt::Display for V {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        charge(self.weight / CELL);
        self.val.fmt(f)
    }
}

impl From<bool> for V {
    fn from(truth: bool) -> Self {
        Self { val: Val::Bool(truth), weight: CELL, levels: 0 }
    }
}

impl From<isize> for V {
    fn from(number: isize) -> Self {
        Self { val: Val::from(number), weight: CELL, levels: 0 }
    }
}

impl From<usize> for V {
    fn from(number: usize) -> Self {
        Self { val: Val::from(number), weight: CELL + 8, levels: 0 }
    }
}

impl From<f64> for V {
    fn from(number: f64) -> Self {
        Self { val: Val::from(number), weight: CELL, levels: 0 }
    }
}

impl From<String> for V {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Range<Self>> for V {
    fn from(range: Range<Self>) -> Self {
        Self::walked(Val::from(range.start.map(|v| v.val)..range.end.map(|v| v.val)))
    }
}

impl FromIterator<Self> for V {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        let (mut weight, mut levels, mut list) = (CELL, 0, Vec::new());
        for item in items {
            take(CELL);
            weight += item.weight;
            levels = levels.max(item.levels + 1);
            if weight > WEIGHT {
                stop(Stop::Memory);
            }
            list.push(item.val);
        }
        Self::weighed(Val::Arr(Rc::new(list)), weight, levels)
    }
}

impl PartialEq for V {
    fn eq(&self, other: &Self) -> bool {
        charge(1 + self.weight.min(other.weight) / CELL);
        self.val == other.val
    }
}

impl Eq for V {}

impl PartialOrd for V {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for V {
    fn cmp(&self, other: &Self) -> Ordering {
        charge(1 + self.weight.min(other.weight) / CELL);
        self.val.cmp(&other.val)
    }
}

/// How many values one holds; a plain one counts as itself.
fn len(val: &Val) -> u64 {
    match val {
        Val::Arr(items) => items.len() as u64,
        Val::Obj(map) => map.len() as u64,
        _ => 1,
    }
}
