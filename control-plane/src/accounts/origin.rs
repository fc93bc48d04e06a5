//! Where a request comes from, as its sender's own pages and mails tell it: a network address and a browser in words.

use crate::credentials::token;

/// Longest user agent that is kept, in bytes.
const MAX_AGENT: usize = 400;

/// Where a request comes from. For people to recognise, for throttling and the log; never for authorization.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub address: String,
    pub agent: String,
    /// Hash of the random value in the browser's cookie; nothing where it has none.
    pub browser: Option<Vec<u8>>,
}

impl Origin {
    #[must_use]
    pub fn new(address: &str, agent: &str, cookie: Option<&str>) -> Self {
        // Only what can be printed: the text is the client's own.
        let mut agent: String = agent.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        agent.truncate(MAX_AGENT);
        Self { address: address.to_owned(), agent, browser: cookie.map(token::hash) }
    }

    /// `Firefox on Windows`.
    #[must_use]
    pub fn device(&self) -> String {
        device(&self.agent)
    }
}

/// A user agent in words.
#[must_use]
pub fn device(agent: &str) -> String {
    const UNKNOWN: &str = "UNKNOWN";
    let Some(found) = woothee::parser::Parser::new().parse(agent).filter(|found| found.name != UNKNOWN)
    else {
        return program(agent);
    };
    let system = match found.os {
        os if os.starts_with("Windows") => "Windows",
        "Mac OSX" => "macOS",
        "iPhone" | "iPad" | "iPod" => found.os,
        UNKNOWN | "" => return found.name.to_owned(),
        os => os,
    };
    format!("{} on {system}", found.name)
}

/// What is no browser is called by the first word of its user agent.
fn program(agent: &str) -> String {
    let name = agent.split(['/', ' ']).next().unwrap_or_default();
    if name.is_empty() { "an unnamed program".to_owned() } else { name.chars().take(40).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_in_words() {
        for (agent, words) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
                "Firefox on Windows",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("my-script/1.0", "my-script"),
            ("", "an unnamed program"),
        ] {
            assert_eq!(device(agent), words);
        }
    }

    #[test]
    fn an_agent_is_cut_and_cannot_break_a_line() {
        let origin = Origin::new("192.0.2.1", &format!("a\r\nb{}", "x".repeat(1000)), None);
        assert!(origin.agent.starts_with("ab") && origin.agent.len() == MAX_AGENT);
    }
}
