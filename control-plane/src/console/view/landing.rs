//! The landing page: what this is, and the drawing of the path of a call.

use askama::Template;

use super::path::CallPath;

#[derive(Template)]
#[template(path = "landing.html")]
pub struct LandingPage {
    pub example: CallPath,
}

impl Default for LandingPage {
    fn default() -> Self {
        Self { example: CallPath::example() }
    }
}
