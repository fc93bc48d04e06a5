//! Text of connectors' authors, who write names of fields and commands between backticks.

use std::fmt::{self, Write as _};

use askama::filters::{Escaper as _, Html, HtmlSafe};

/// Text in which what stands between backticks is shown as code. All of it is escaped; no other mark means anything.
#[derive(Clone, Copy, Debug)]
pub struct Prose<'a>(&'a str);

/// The text, ready to print.
#[must_use]
pub const fn prose(text: &str) -> Prose<'_> {
    Prose(text)
}

impl HtmlSafe for Prose<'_> {}

impl fmt::Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, opened)) = rest.split_once('`') {
            Html.write_escaped_str(&mut *f, before)?;
            let span = opened.split_once('`').filter(|(code, _)| is_code(code));
            rest = if let Some((code, after)) = span {
                f.write_str("<code>")?;
                Html.write_escaped_str(&mut *f, code)?;
                f.write_str("</code>")?;
                after
            } else if let Some(after) = opened.strip_prefix('`') {
                f.write_str("``")?;
                after
            } else {
                // One backtick is a character like any other.
                f.write_char('`')?;
                opened
            };
        }
        Html.write_escaped_str(f, rest)
    }
}

/// Code stays on its line.
fn is_code(between: &str) -> bool {
    !between.trim().is_empty() && !between.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::prose;

    fn shown(text: &str) -> String {
        prose(text).to_string()
    }

    #[test]
    fn what_stands_between_backticks_is_code_and_all_of_it_is_escaped() {
        let text = "Reads `<b>` & says \"no\" to `a`, not to <i>.";
        let wanted =
            "Reads <code>&#60;b&#62;</code> &#38; says &#34;no&#34; to <code>a</code>, not to &#60;i&#62;.";
        assert_eq!(shown(text), wanted);
    }

    #[test]
    fn a_backtick_that_opens_nothing_stays() {
        assert_eq!(shown("it`s"), "it`s");
        assert_eq!(shown("`` and ` `"), "`` and ` `");
        assert_eq!(shown("a `b\nc` d"), "a `b\nc` d");
        assert_eq!(shown("`a"), "`a");
        assert_eq!(shown(""), "");
    }
}
