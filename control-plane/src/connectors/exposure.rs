//! Where members' clients find the tools of an installation: in the list of tools, or from code. It is about what fills a
//! model's context, not about rights.
//!
//! Owns the count of what is in the list, and what a new installation begins with.

use toolmesh_proto::v1;

use super::installation::Installation;

/// By itself, the list stays shorter than this: models choose badly among more tools, and the list alone would fill much of
/// what they can read. New ones are offered from code instead.
pub const MOST_LISTED: usize = 40;
/// The tools of our own that stand in the list as soon as anything is offered from code.
const OWN: usize = 2;

/// Where the tools of an installation are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// In the list of tools.
    #[default]
    Direct,
    /// With `discover_tools`, and called in `execute_code`; those that are promoted stand in the list too.
    Code,
    Both,
}

impl Exposure {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Code, Self::Both];

    /// The word in the database and in forms.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Code => "code",
            Self::Both => "both",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|exposure| exposure.as_str() == word)
    }

    /// What a new installation begins with: the list, unless it would grow too long by its tools. Room is kept for our own, which
    /// come with the first installation that is offered from code.
    #[must_use]
    pub fn of_new(others: &[Installation], tools: usize) -> Self {
        if theirs(others) + tools + OWN < MOST_LISTED { Self::Direct } else { Self::Code }
    }

    pub(super) const fn sent(self) -> v1::Exposure {
        match self {
            Self::Direct => v1::Exposure::Direct,
            Self::Code => v1::Exposure::Code,
            Self::Both => v1::Exposure::Both,
        }
    }
}

/// How many tools stand in the list of a member who may use all of them.
#[must_use]
pub fn listed(installations: &[Installation]) -> usize {
    let own = installations.iter().any(|one| one.exposure != Exposure::Direct && one.tools_on() > 0);
    theirs(installations) + if own { OWN } else { 0 }
}

/// How many tools of installations stand in the list.
fn theirs(installations: &[Installation]) -> usize {
    installations.iter().map(|one| one.tools().iter().filter(|tool| tool.is_listed()).count()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::OffsetDateTime;
    use toolmesh_proto::ids::InstallationId;

    use super::*;

    fn installation(tools: usize, exposure: Exposure) -> Installation {
        let tool = |n: usize| v1::Tool { name: format!("t{n}"), access: "read".into(), ..Default::default() };
        let hidden = v1::Tool { name: "_raw".into(), hidden: true, ..Default::default() };
        let tools = (0..tools).map(tool).chain([hidden]).collect();
        Installation {
            id: InstallationId::new(),
            name: "x".into(),
            base_url: String::new(),
            connector_hash: String::new(),
            connector: Arc::new(v1::Connector { tools, ..Default::default() }),
            built_in: true,
            private: None,
            grant: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            created_by: String::new(),
            created_by_email: String::new(),
            disabled: std::collections::BTreeSet::from(["t0".to_owned()]),
            credentials: Vec::new(),
            exposure,
            personal: false,
            promoted: std::collections::BTreeSet::from(["t0".to_owned(), "t1".to_owned()]),
            bare_names: false,
            timeout_seconds: 0,
            overrides: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_on_and_not_hidden_counts_and_of_code_what_is_promoted() {
        assert_eq!(listed(&[]), 0);
        assert_eq!(listed(&[installation(10, Exposure::Direct)]), 9);
        assert_eq!(listed(&[installation(10, Exposure::Code)]), 1 + 2);
        assert_eq!(listed(&[installation(10, Exposure::Both), installation(3, Exposure::Code)]), 9 + 1 + 2);
    }

    #[test]
    fn a_new_installation_goes_into_the_list_while_there_is_room() {
        assert_eq!(Exposure::of_new(&[], 37), Exposure::Direct);
        assert_eq!(Exposure::of_new(&[], 38), Exposure::Code);
        assert_eq!(Exposure::of_new(&[installation(31, Exposure::Direct)], 7), Exposure::Direct);
        assert_eq!(Exposure::of_new(&[installation(31, Exposure::Direct)], 8), Exposure::Code);
    }

    #[test]
    fn words_are_read_back() {
        for exposure in Exposure::ALL {
            assert_eq!(Exposure::parse(exposure.as_str()), Some(exposure));
        }
        assert_eq!(Exposure::parse("all"), None);
    }
}
