//! Lengths of time as DADL writes them: `30s`, `1m30s`, `500ms`, `1.5h`; a bare number is seconds.

use std::time::Duration;

use super::diagnostic::Report;
use super::fields::Field;

/// Longer ones are no times to wait for.
const MAX: Duration = Duration::from_hours(24);

/// Reads a length of time.
pub(super) fn read(field: &Field<'_>, report: &mut Report) -> Option<Duration> {
    let text = field.text(report)?;
    let duration = parse(text.trim()).filter(|duration| *duration <= MAX);
    if duration.is_none() {
        field.error(
            report,
            "is not a length of time of at most 24h",
            "write one such as 30s, 500ms or 1m30s",
        );
    }
    duration
}

/// Whole milliseconds of a length of time.
pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn parse(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let seconds = match unit.trim() {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = next;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_they_are_written() {
        for (text, millis) in
            [("1s", 1000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000), ("2", 2000), ("0s", 0)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "1x", "-1s", "1s2", "one", "1e400", "NaN"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
