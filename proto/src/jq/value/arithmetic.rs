//! Calculating with values. What a result will weigh is known before it is made, so that nothing huge is ever made.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

use jaq_core::ValR;
use jaq_core::ops::Math;
use jaq_json::Val;

use super::super::meter::{Stop, charge, stop, take};
use super::{CELL, Error, V, WEIGHT, len};

impl Add for V {
    type Output = ValR<Self>;

    fn add(self, other: Self) -> ValR<Self> {
        use Val::{Arr, BStr, Null, Num, Obj, TStr};
        match (&self.val, &other.val) {
            (Null, _) => return Ok(other),
            (_, Null) => return Ok(self),
            (Num(_), Num(_)) => return (self.val + other.val).map(Self::leaf).map_err(Self::failed),
            (Arr(_), Arr(_)) | (Obj(_), Obj(_)) => {
                self.pay_for_change();
                take(other.weight.min(CELL * 3 * len(&other.val)));
            }
            (TStr(_), TStr(_)) | (BStr(_), BStr(_)) => take(self.weight + other.weight),
            _ => return Err(Error::math(self, Math::Add, other)),
        }
        let (weight, levels) = (self.weight + other.weight, self.levels.max(other.levels));
        if weight > WEIGHT {
            stop(Stop::Memory);
        }
        let sum = (self.val + other.val).map_err(Self::failed)?;
        Ok(Self::weighed(sum, weight, levels))
    }
}

impl Sub for V {
    type Output = ValR<Self>;

    fn sub(self, other: Self) -> ValR<Self> {
        match (&self.val, &other.val) {
            (Val::Num(_), Val::Num(_)) => (self.val - other.val).map(Self::leaf).map_err(Self::failed),
            (Val::Arr(_), Val::Arr(_)) => {
                self.pay_for_change();
                // A search tree: each look is a few comparisons.
                charge((self.weight + other.weight) / CELL * 20);
                let (weight, levels) = (self.weight, self.levels);
                let rest = (self.val - other.val).map_err(Self::failed)?;
                Ok(Self::weighed(rest, weight, levels))
            }
            _ => Err(Error::math(self, Math::Sub, other)),
        }
    }
}

impl Mul for V {
    type Output = ValR<Self>;

    fn mul(self, other: Self) -> ValR<Self> {
        match (&self.val, &other.val) {
            (Val::Num(_), Val::Num(_)) => (self.val * other.val).map(Self::leaf).map_err(Self::failed),
            (Val::TStr(text) | Val::BStr(text), Val::Num(times))
            | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
                let times = times.as_isize().map_or(u64::MAX, |n| u64::try_from(n).unwrap_or_default());
                if (text.len() as u64).saturating_mul(times) > WEIGHT {
                    stop(Stop::Memory);
                }
                (self.val * other.val).map(Self::leaf).map_err(Self::failed)
            }
            (Val::Obj(_), Val::Obj(_)) => {
                // Merging copies what is shared, on every level.
                take(self.weight + other.weight);
                (self.val * other.val).map(Self::walked).map_err(Self::failed)
            }
            _ => Err(Error::math(self, Math::Mul, other)),
        }
    }
}

impl Div for V {
    type Output = ValR<Self>;

    fn div(self, other: Self) -> ValR<Self> {
        match (&self.val, &other.val) {
            (Val::Num(_), Val::Num(_)) => (self.val / other.val).map(Self::leaf).map_err(Self::failed),
            (Val::TStr(_), Val::TStr(_)) | (Val::BStr(_), Val::BStr(_)) => {
                // At worst every character becomes a text of its own.
                take(self.weight * 4);
                (self.val / other.val).map(Self::walked).map_err(Self::failed)
            }
            _ => Err(Error::math(self, Math::Div, other)),
        }
    }
}

impl Rem for V {
    type Output = ValR<Self>;

    fn rem(self, other: Self) -> ValR<Self> {
        match (&self.val, &other.val) {
            (Val::Num(_), Val::Num(_)) => (self.val % other.val).map(Self::leaf).map_err(Self::failed),
            _ => Err(Error::math(self, Math::Rem, other)),
        }
    }
}

impl Neg for V {
    type Output = ValR<Self>;

    fn neg(self) -> ValR<Self> {
        (-self.val).map(Self::leaf).map_err(Self::failed)
    }
}
