//! What to say when there is no page: what was wrong, the way out, and the request's id for whoever helps.

use askama::Template;

use super::shell::Focus;

/// Any error a person can meet.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub focus: Focus,
    pub status: u16,
    pub text: String,
    /// The way out: label and path.
    pub action: (String, String),
    pub request_id: String,
}

impl ErrorPage {
    /// The page for an HTTP status, with the words that go with it.
    #[must_use]
    pub fn of_status(status: u16, request_id: impl Into<String>) -> Self {
        let (title, text) = match status {
            400 | 422 => (
                "That request was not understood",
                "Something in it was missing or not of the right kind. Go back, check what was entered, and try again.",
            ),
            401 => ("Log in first", "This page is only for people who are logged in."),
            403 => (
                "Not with this login",
                "This login may not do that, or the form was open too long. Reload the page you came from; if it stays, ask an admin of the workspace.",
            ),
            404 => (
                "There is nothing here",
                "The address is wrong, the thing was removed, or this login may not see it.",
            ),
            405 => ("Not that way", "This address does not answer that kind of request."),
            413 => ("Too large", "What was sent is larger than this page takes."),
            429 => ("Too many attempts", "Wait a minute, then try again."),
            503 => ("Busy right now", "The console cannot answer at the moment. Try again in a few seconds."),
            _ => (
                "Something failed on our side",
                "Nothing was changed. Try again; if it happens again, give the request id to whoever runs this console.",
            ),
        };
        Self {
            focus: Focus::new(title, ""),
            status,
            text: text.to_owned(),
            action: ("Go to your workspaces".to_owned(), "/workspaces".to_owned()),
            request_id: request_id.into(),
        }
    }

    /// The same page with its own words.
    #[must_use]
    pub fn saying(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}
