//! Access classes: what a tool may do to the world, in one word, and what clients are told of it.

/// How far a tool reaches. A connector's own word is kept as it is and treated as `write`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    Read,
    Write,
    Admin,
    Dangerous,
    Other(String),
}

/// The MCP tool annotations that follow from an access class (MCP 2025-11-25, `ToolAnnotations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// ChatGPT asks the person before every call of a tool that is not marked read-only.
    pub read_only: bool,
    pub destructive: bool,
    pub open_world: bool,
}

impl Access {
    /// Reads a class; an empty one counts as `write`, since nothing says that it only reads.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "read" => Self::Read,
            "write" | "" => Self::Write,
            "admin" => Self::Admin,
            "dangerous" => Self::Dangerous,
            other => Self::Other(other.to_owned()),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Dangerous => "dangerous",
            Self::Other(word) => word,
        }
    }

    /// Every connector calls a service outside, so `open_world` is always true.
    #[must_use]
    pub const fn hints(&self) -> Hints {
        Hints {
            read_only: matches!(self, Self::Read),
            destructive: matches!(self, Self::Admin | Self::Dangerous | Self::Other(_)),
            open_world: true,
        }
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
