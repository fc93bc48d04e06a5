//! Revisions of the protocol that this server speaks: one without handshake, and four that begin with `initialize`.

/// A revision; later ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Revision {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    /// The modern era: no handshake, every request stands by itself.
    V2026_07_28,
}

impl Revision {
    /// What a client is offered by `initialize` that asks for one we do not speak.
    pub(super) const NEWEST: Self = Self::V2025_11_25;
    /// Of the modern era.
    pub(super) const MODERN: Self = Self::V2026_07_28;
    /// All, newest first.
    pub(super) const ALL: [Self; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// A revision that begins with `initialize`.
    pub(super) fn legacy(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| *revision != Self::MODERN && revision.as_str() == text)
    }

    /// The revision a request of the older era is in, by its `MCP-Protocol-Version` header. Without one it is 2025-03-26 (2025-06-18
    /// specification, transports).
    ///
    /// # Errors
    /// Gives back a header that names none of ours.
    pub(super) fn of_header(version: Option<&str>) -> Result<Self, String> {
        match version {
            None => Ok(Self::V2025_03_26),
            Some(text) => Self::legacy(text).ok_or_else(|| text.to_owned()),
        }
    }

    /// The revision to speak with a client that asks for `wanted`.
    pub(super) fn negotiate(wanted: &str) -> Self {
        Self::legacy(wanted).unwrap_or(Self::NEWEST)
    }

    /// From 2025-11-25 on, arguments that do not fit are a result the model can read; before, a protocol error.
    pub(super) fn unfit_arguments_are_results(self) -> bool {
        self >= Self::V2025_11_25
    }

    /// All, newest first, for a sentence.
    pub(super) fn listed() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}
