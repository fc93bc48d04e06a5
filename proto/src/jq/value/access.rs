//! Reaching into values and changing them in place, for the core and for the standard library.

use jaq_core::box_iter::BoxIter;
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Exn, ValR, ValT as CoreT, ValX};
use jaq_json::{Map, Rc, Val};
use jaq_std::ValT as StdT;

use super::super::meter::{Stop, charge, stop, take};
use super::{CELL, Error, V, WEIGHT, len, number_weight};

impl CoreT for V {
    fn from_num(text: &str) -> ValR<Self> {
        number_weight(text.len() as u64);
        Val::from_num(text).map(Self::leaf).map_err(Self::failed)
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(entries: I) -> ValR<Self> {
        let (mut weight, mut levels, mut map) = (CELL, 0, Map::default());
        for (key, value) in entries {
            take(3 * CELL);
            weight += key.weight + value.weight;
            levels = levels.max(value.levels.max(key.levels) + 1);
            map.insert(key.val, value.val);
        }
        Ok(Self::weighed(Val::obj(map), weight, levels))
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Self, Self), Self>> {
        match self.val {
            Val::Arr(items) => Box::new((0..items.len()).filter_map(move |at| {
                let item = items.get(at).cloned().map(Self::walked)?;
                Some(Ok((Self::from(at), item)))
            })),
            Val::Obj(map) => {
                let len = map.len();
                Box::new((0..len).filter_map(move |at| {
                    let (key, value) = map.get_index(at)?;
                    Some(Ok((Self::walked(key.clone()), Self::walked(value.clone()))))
                }))
            }
            _ => Box::new(std::iter::once(Err(Error::typ(self, "iterable (array or object)")))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        if self.holds() {
            return Box::new(self.children().map(Ok));
        }
        Box::new(std::iter::once(Err(Error::typ(self, "iterable (array or object)"))))
    }

    fn index(self, index: &Self) -> ValR<Self> {
        match (&self.val, &index.val) {
            (Val::Null, _) => return Ok(Self { val: Val::Null, weight: CELL, levels: 0 }),
            // All places of a list in a list: looked for at each.
            (Val::Arr(_), Val::Arr(_)) => charge((self.weight / CELL).saturating_mul(index.weight / CELL)),
            _ => {}
        }
        // Kept for the message alone.
        let (kept, place) = (self.clone(), index.clone());
        let found = self.val.index(&index.val);
        found.map(Self::walked).map_err(|_| Error::index(kept, place))
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        // As in jq: nothing has no parts, which is no error.
        if matches!(self.val, Val::Null) {
            return Ok(self);
        }
        charge(self.weight / CELL);
        let kept = self.clone();
        let range = range.start.map(|v| &v.val)..range.end.map(|v| &v.val);
        self.val.range(range).map(Self::walked).map_err(|_| Error::typ(kept, "array or string with a range"))
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match self.val {
            Val::Arr(_) => self.children().flat_map(f).collect(),
            Val::Obj(map) => {
                let mut entries = Vec::new();
                for (key, value) in map.iter() {
                    if let Some(value) = f(Self::walked(value.clone())).next() {
                        entries.push((Self::walked(key.clone()), value?));
                    }
                }
                Ok(Self::from_map(entries)?)
            }
            _ => opt.fail(self, |v| Exn::from(Error::typ(v, "iterable (array or object)"))),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        if let (Val::Arr(_), Val::Obj(range)) = (&self.val, &index.val) {
            let part = |name: &str| range.get(&Val::from(name.to_owned())).cloned().map(Self::walked);
            let (start, end) = (part("start"), part("end"));
            return self.map_range(start.as_ref()..end.as_ref(), opt, f);
        }
        self.pay_for_change();
        let (weight, levels) = (self.weight, self.levels);
        match (self.val, &index.val) {
            // As in jq: what is put below null makes an object of it.
            (Val::Null, Val::TStr(_)) => match f(Self::leaf(Val::Null)).next().transpose()? {
                Some(new) => Ok(Self::from_map([(index.clone(), new)])?),
                None => Ok(Self::leaf(Val::Null)),
            },
            // And what is put at a place of it, a list.
            (Val::Null, Val::Num(_)) => Self::from_iter([]).map_index(index, opt, f),
            (Val::Obj(mut map), key) => {
                let entries = Rc::make_mut(&mut map);
                let old = entries.get_mut(key).map(std::mem::take);
                let was = old.map_or_else(|| Self::leaf(Val::Null), Self::walked);
                let lighter = weight.saturating_sub(was.weight);
                let Some(new) = f(was).next().transpose()? else {
                    entries.shift_remove(key);
                    return Ok(Self::weighed(Val::Obj(map), lighter, levels));
                };
                entries.insert(key.clone(), new.val);
                let levels = levels.max(new.levels.max(index.levels) + 1);
                Ok(Self::weighed(Val::Obj(map), lighter + new.weight + index.weight, levels))
            }
            (Val::Arr(mut list), Val::Num(place)) => {
                let len = list.len();
                let at = place.as_isize().and_then(|at| match usize::try_from(at) {
                    Ok(at) => Some(at),
                    Err(_) => len.checked_sub(at.unsigned_abs()),
                });
                let items = Rc::make_mut(&mut list);
                let Some(slot) = at.and_then(|at| items.get_mut(at)) else {
                    let list = Self::weighed(Val::Arr(list), weight, levels);
                    return match at {
                        Some(at) => list.grow(at, f),
                        None => opt.fail(list, |_| Exn::from(Error::str("index out of bounds"))),
                    };
                };
                let was = Self::walked(std::mem::take(slot));
                let lighter = weight.saturating_sub(was.weight);
                match f(was).next().transpose()? {
                    Some(new) => {
                        *slot = new.val;
                        let levels = levels.max(new.levels + 1);
                        Ok(Self::weighed(Val::Arr(list), lighter + new.weight, levels))
                    }
                    None => {
                        if let Some(at) = at {
                            items.remove(at);
                            charge(len as u64 / CELL);
                        }
                        Ok(Self::weighed(Val::Arr(list), lighter, levels))
                    }
                }
            }
            (val, _) => {
                let kept = Self::weighed(val, weight, levels);
                opt.fail(kept, |v| Exn::from(Error::index(v, index.clone())))
            }
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        if matches!(self.val, Val::Null) {
            return Self::from_iter([]).map_range(range, opt, f);
        }
        let Val::Arr(items) = &self.val else {
            return opt.fail(self, |v| Exn::from(Error::typ(v, "array")));
        };
        let bound = |place: Option<&Self>, otherwise: usize| match place.map(|v| &v.val) {
            None | Some(Val::Null) => Some(otherwise),
            Some(Val::Num(n)) => n.as_isize().map(|at| match usize::try_from(at) {
                Ok(at) => at.min(items.len()),
                Err(_) => items.len().saturating_sub(at.unsigned_abs()),
            }),
            Some(_) => None,
        };
        let (Some(from), Some(to)) = (bound(range.start, 0), bound(range.end, items.len())) else {
            return opt.fail(self, |v| Exn::from(Error::typ(v, "array with a range of numbers")));
        };
        let to = to.max(from);
        let all: Vec<Self> = self.clone().children().collect();
        let part = |from: usize, to: usize| all.get(from..to).unwrap_or_default().iter().cloned();
        let new = f(part(from, to).collect()).next().transpose()?;
        let new = new.unwrap_or_else(|| std::iter::empty().collect());
        if !matches!(new.val, Val::Arr(_)) {
            return Err(Exn::from(Error::typ(new, "array")));
        }
        Ok(part(0, from).chain(new.children()).chain(part(to, all.len())).collect())
    }

    fn as_bool(&self) -> bool {
        !matches!(self.val, Val::Null | Val::Bool(false))
    }

    fn into_string(self) -> Self {
        match self.val {
            Val::TStr(_) => self,
            Val::BStr(bytes) => Self::leaf(Val::TStr(bytes)),
            _ => Self::text(self.to_json().unwrap_or_default()),
        }
    }
}

impl V {
    /// A list with something put at a place behind its end. As in jq, there is nothing in between.
    fn grow<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        at: usize,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let (weight, levels) = (self.weight, self.levels);
        let Val::Arr(mut list) = self.val else { return Ok(self) };
        let Some(new) = f(Self::leaf(Val::Null)).next().transpose()? else {
            return Ok(Self::weighed(Val::Arr(list), weight, levels));
        };
        let more = (at.saturating_sub(list.len()) as u64).saturating_mul(CELL);
        if weight.saturating_add(more) > WEIGHT {
            stop(Stop::Memory);
        }
        take(more);
        let items = Rc::make_mut(&mut list);
        items.resize(at, Val::Null);
        items.push(new.val);
        Ok(Self::weighed(Val::Arr(list), weight + more + new.weight, levels.max(new.levels + 1)))
    }
}

impl StdT for V {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        if !matches!(self.val, Val::Arr(_)) {
            return Err(self);
        }
        take(len(&self.val) * 2 * CELL);
        Ok(self.children().collect())
    }

    fn is_int(&self) -> bool {
        self.val.is_int()
    }

    fn as_isize(&self) -> Option<isize> {
        self.val.as_isize()
    }

    fn as_f64(&self) -> Option<f64> {
        self.val.as_f64()
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self.val, Val::TStr(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        self.val.as_bytes()
    }

    fn as_sub_str(&self, sub: &[u8]) -> Self {
        Self::leaf(self.val.as_sub_str(sub))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::leaf(Val::from_utf8_bytes(bytes))
    }
}
