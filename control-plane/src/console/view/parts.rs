//! The small things pages are made of: a form field, a moment, an access class, an outcome, a duration.

use askama::Template;
use askama::filters::HtmlSafe;
use time::OffsetDateTime;
use time::macros::format_description;

/// A form field on its way back to the person: what they typed, and what was wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub value: String,
    /// What was wrong and the way out, in one sentence.
    pub error: Option<String>,
}

impl Field {
    /// A field nobody has filled in yet.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A field with a value and no complaint. Never pass a secret: it would be printed into the page.
    #[must_use]
    pub fn of(value: impl Into<String>) -> Self {
        Self { value: value.into(), error: None }
    }

    /// The same field with what was wrong.
    #[must_use]
    pub fn refused(mut self, why: impl Into<String>) -> Self {
        self.error = Some(why.into());
        self
    }
}

/// The `id` of a field: its own one, else its name.
#[must_use]
pub fn field_id<'a>(id: &'a str, name: &'a str) -> &'a str {
    if id.is_empty() { name } else { id }
}

/// The form's name for a part of a credential.
#[must_use]
pub fn credential_id(logical: &str) -> String {
    format!("credential.{logical}")
}

/// One choice of a select or a row of segments.
#[derive(Clone, Debug)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

impl Choice {
    /// A choice, marked when its value is the current one.
    #[must_use]
    pub fn new(value: impl Into<String>, label: impl Into<String>, current: &str) -> Self {
        let value = value.into();
        let chosen = value == current;
        Self { value, label: label.into(), chosen }
    }
}

/// A point in time, said relatively with the exact time at hand.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(
    source = r#"<time datetime="{{ iso }}" title="{{ exact }}"{% if clock %} data-clock{% endif %}>{{ relative }}</time>"#,
    ext = "html"
)]
pub struct Moment {
    /// RFC 3339 in UTC, for the `datetime` attribute.
    pub iso: String,
    /// `23 Nov 2026, 05:42:10 UTC`.
    pub exact: String,
    /// `3 minutes ago`, `in 2 days`.
    pub relative: String,
    /// It is said by the clock, and stays so.
    pub clock: bool,
}

impl HtmlSafe for Moment {}

impl Moment {
    /// The moment as seen from `now`.
    #[must_use]
    pub fn new(at: OffsetDateTime, now: OffsetDateTime) -> Self {
        let at = at.to_offset(time::UtcOffset::UTC);
        let iso = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        Self {
            iso: at.format(iso).unwrap_or_default(),
            exact: exact(at),
            relative: relative((now - at).whole_seconds()),
            clock: false,
        }
    }

    /// The moment by the clock: `14:02 UTC`, with its day where that is another than today's.
    #[must_use]
    pub fn by_clock(at: OffsetDateTime, now: OffsetDateTime) -> Self {
        let utc = |at: OffsetDateTime| at.to_offset(time::UtcOffset::UTC);
        let said = if utc(at).date() == utc(now).date() {
            utc(at).format(format_description!("[hour]:[minute] UTC"))
        } else {
            utc(at).format(format_description!("[day padding:none] [month repr:short], [hour]:[minute] UTC"))
        };
        Self { relative: said.unwrap_or_default(), clock: true, ..Self::new(at, now) }
    }
}

/// A time in full, in UTC, as mails and titles say it.
#[must_use]
fn exact(at: OffsetDateTime) -> String {
    let format =
        format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second] UTC");
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

fn relative(seconds: i64) -> String {
    const UNITS: [(i64, &str); 5] =
        [(31_536_000, "year"), (2_592_000, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute")];
    let Some((size, unit)) = UNITS.into_iter().find(|(size, _)| seconds.abs() >= *size) else {
        return if seconds >= 0 { "just now" } else { "in under a minute" }.to_owned();
    };
    let count = seconds.abs() / size;
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

/// A duration as people say it: `0.4 ms`, `84 ms`, `1.2 s`, `2 min 5 s`.
#[must_use]
pub fn duration(micros: u64) -> String {
    match micros {
        0..100 => "under 0.1 ms".to_owned(),
        100..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
        _ => format!("{} min {} s", micros / 60_000_000, micros / 1_000_000 % 60),
    }
}

/// An access class as a badge. The word is always there; the colour only helps.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(source = r#"<span class="badge {{ self.tone() }}">{{ word }}</span>"#, ext = "html")]
pub struct Access {
    pub word: String,
}

impl HtmlSafe for Access {}

impl Access {
    /// A class by its word; a connector's own word is kept.
    #[must_use]
    pub fn new(word: impl Into<String>) -> Self {
        Self { word: word.into() }
    }

    /// The class of the badge; a word nobody knows is shown as carefully as a write.
    #[must_use]
    pub fn tone(&self) -> &'static str {
        match self.word.as_str() {
            "read" => "",
            "admin" => "tone-violet",
            "dangerous" => "tone-danger",
            _ => "tone-attention",
        }
    }

    /// What tools of this class may do, in plain words.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        match self.word.as_str() {
            "read" => "Looks things up and changes nothing.",
            "write" => "Creates and changes things.",
            "admin" => "Changes settings and other people's access.",
            "dangerous" => "Deletes, pays or does what cannot be undone.",
            _ => "A class of this connector's own. Clients are told that it may change things.",
        }
    }

    /// The order of the page: the harmless first.
    fn rank(&self) -> u8 {
        match self.word.as_str() {
            "read" => 0,
            "write" => 1,
            "admin" => 3,
            "dangerous" => 4,
            _ => 2,
        }
    }
}

/// How many tools of each class there are, as a row of badges.
#[derive(Clone, Debug, Default, Template)]
#[template(
    source = r#"<span class="badges">{% for (access, count) in of %}<span class="badge {{ access.tone() }}"><b>{{ count }}</b> {{ access.word }}</span>{% endfor %}</span>"#,
    ext = "html"
)]
pub struct AccessCounts {
    pub of: Vec<(Access, usize)>,
}

impl HtmlSafe for AccessCounts {}

impl AccessCounts {
    /// Counts the classes of tools, the harmless first.
    pub fn count<'a>(classes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut of: Vec<(Access, usize)> = Vec::new();
        for word in classes {
            match of.iter_mut().find(|(access, _)| access.word == word) {
                Some((_, count)) => *count += 1,
                None => of.push((Access::new(word), 1)),
            }
        }
        of.sort_by(|(a, _), (b, _)| (a.rank(), &a.word).cmp(&(b.rank(), &b.word)));
        Self { of }
    }

    /// All tools together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.of.iter().map(|(_, count)| count).sum()
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Denied,
    Invalid,
    UpstreamError,
    UpstreamFailed,
    Internal,
    Unknown,
    CodeFailed,
    Cancelled,
}

impl Outcome {
    /// All, in the order a filter offers them.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Denied,
        Self::Invalid,
        Self::UpstreamError,
        Self::UpstreamFailed,
        Self::CodeFailed,
        Self::Cancelled,
        Self::Internal,
        Self::Unknown,
    ];

    /// By its stored word (`upstream_error`); a word nobody knows is `Unknown`.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).unwrap_or(Self::Unknown)
    }

    /// By the number of `Outcome` in `telemetry.proto`.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Denied,
            3 => Self::Invalid,
            4 => Self::UpstreamError,
            5 => Self::UpstreamFailed,
            6 => Self::Internal,
            8 => Self::CodeFailed,
            9 => Self::Cancelled,
            _ => Self::Unknown,
        }
    }

    /// The word in a URL and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamFailed => "upstream_failed",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
            Self::CodeFailed => "code_failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "Done",
            Self::Denied => "Refused",
            Self::Invalid => "Invalid arguments",
            Self::UpstreamError => "API error",
            Self::UpstreamFailed => "No answer",
            Self::Internal => "Internal error",
            Self::Unknown => "Not known",
            Self::CodeFailed => "Code failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// What it means, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "The call went through and the answer was passed on.",
            Self::Denied => "The call was refused. Nothing left this workspace.",
            Self::Invalid => "The arguments did not fit the tool. Nothing left this workspace.",
            Self::UpstreamError => "The API was called and answered with an error.",
            Self::UpstreamFailed => {
                "The API gave no usable answer: it was down, slow, or sent something else."
            }
            Self::Internal => "Something failed on our side.",
            Self::CodeFailed => "The code that was run threw an error, or met one of its limits.",
            Self::Cancelled => {
                "The client cancelled the call before the answer came. It may have taken effect."
            }
            Self::Unknown => "The node stopped before it could write down how the call ended.",
        }
    }

    /// The class of its mark.
    #[must_use]
    pub const fn tone(self) -> &'static str {
        match self {
            Self::Ok => "fine",
            Self::Denied | Self::Invalid | Self::Cancelled => "attention",
            Self::UpstreamError | Self::UpstreamFailed | Self::Internal | Self::CodeFailed => "danger",
            Self::Unknown => "",
        }
    }
}
