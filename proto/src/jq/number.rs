//! Values written out as JSON.

use jaq_json::{Num, Val};

/// Most levels that are written; values are made with fewer.
const LEVELS: usize = 1000;

/// Appends a value as JSON. Integers and decimals that were not calculated with keep every digit; what JSON cannot say
/// becomes what jq makes of it.
pub(super) fn write(val: &Val, out: &mut String) -> Result<(), String> {
    value(val, out, 0)
}

fn value(val: &Val, out: &mut String, level: usize) -> Result<(), String> {
    if level > LEVELS {
        return Err("the result nests too deep".to_owned());
    }
    match val {
        Val::Null => out.push_str("null"),
        Val::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Val::Num(Num::Float(float)) => out.push_str(&number(*float)),
        Val::Num(exact) => out.push_str(&exact.to_string()),
        Val::TStr(bytes) | Val::BStr(bytes) => string(bytes, out),
        Val::Arr(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                value(item, out, level + 1)?;
            }
            out.push(']');
        }
        Val::Obj(map) => {
            out.push('{');
            for (at, (key, inner)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                let (Val::TStr(key) | Val::BStr(key)) = key else {
                    return Err("a key of the result is not a string".to_owned());
                };
                string(key, out);
                out.push(':');
                value(inner, out, level + 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn string(bytes: &[u8], out: &mut String) {
    let text = String::from_utf8_lossy(bytes);
    out.push_str(&serde_json::Value::String(text.into_owned()).to_string());
}

fn number(float: f64) -> String {
    if float.is_nan() {
        return "null".to_owned();
    }
    let finite = float.clamp(f64::MIN, f64::MAX);
    if finite.fract() == 0.0 && finite.abs() < 1e17 {
        return format!("{finite:.0}");
    }
    serde_json::Number::from_f64(finite).map_or_else(|| "null".to_owned(), |number| number.to_string())
}
