//! Our own line icons, 16 by 16, drawn with one stroke width. Each stands beside a word or has one for screen readers.

use std::fmt;

use askama::filters::HtmlSafe;

/// An icon by name; an unknown name draws nothing.
#[derive(Clone, Copy, Debug)]
pub struct Icon(&'static str);

/// The icon of that name, ready to print.
#[must_use]
pub fn icon(name: &str) -> Icon {
    Icon(shape(name))
}

impl HtmlSafe for Icon {}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"<svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{}</svg>"#,
            self.0
        )
    }
}

fn shape(name: &str) -> &'static str {
    match name {
        "home" => r#"<path d="M2.5 7 8 2.5 13.5 7v6.5h-4v-4h-3v4h-4z"/>"#,
        "plug" => {
            r#"<path d="M5.5 1.75v3.5m5-3.5v3.5M3.25 5.25h9.5v2.25a4.75 4.75 0 0 1-9.5 0zM8 12.25v2"/>"#
        }
        "grid" => {
            r#"<rect x="2.25" y="2.25" width="4.5" height="4.5" rx="1"/><rect x="9.25" y="2.25" width="4.5" height="4.5" rx="1"/><rect x="2.25" y="9.25" width="4.5" height="4.5" rx="1"/><path d="M11.5 9.5v4m-2-2h4"/>"#
        }
        "chat" => {
            r#"<path d="M2.25 3.75a1 1 0 0 1 1-1h9.5a1 1 0 0 1 1 1v6.5a1 1 0 0 1-1 1H7l-3 2.5v-2.5h-.75a1 1 0 0 1-1-1zM8 5v4M6 7h4"/>"#
        }
        "people" => {
            r#"<circle cx="6" cy="5.25" r="2.5"/><path d="M1.75 13.25c.3-2.3 2-3.75 4.25-3.75s3.95 1.45 4.25 3.75M10.5 2.95a2.5 2.5 0 0 1 0 4.6m1.75 2.15c1.2.6 1.85 1.8 2 3.55"/>"#
        }
        "person" => {
            r#"<circle cx="8" cy="5.25" r="2.75"/><path d="M2.75 13.5c.4-2.5 2.4-4 5.25-4s4.85 1.5 5.25 4"/>"#
        }
        "link" => {
            r#"<path d="m6.75 9.25 2.5-2.5M7.5 4.75l1.6-1.6a2.65 2.65 0 0 1 3.75 3.75l-1.6 1.6M8.5 11.25l-1.6 1.6a2.65 2.65 0 0 1-3.75-3.75l1.6-1.6"/>"#
        }
        "key" => r#"<circle cx="5" cy="11" r="2.75"/><path d="m7 9 6-6m-2.5 2.5 2 2M8.75 7.25l1.25 1.25"/>"#,
        "list" => {
            r#"<path d="M6 4h7.75M6 8h7.75M6 12h7.75"/><path d="m1.75 4 1 1 1.5-2m-2.5 5 1 1 1.5-2m-2.5 5 1 1 1.5-2"/>"#
        }
        "sliders" => {
            r#"<path d="M2 4.5h6.5m3.5 0h2M2 11.5h2m3.5 0H14"/><circle cx="10.25" cy="4.5" r="1.75"/><circle cx="5.75" cy="11.5" r="1.75"/>"#
        }
        "updown" => r#"<path d="m5.5 6 2.5-2.5L10.5 6m-5 4 2.5 2.5 2.5-2.5"/>"#,
        "down" => r#"<path d="m4.5 6.5 3.5 3.5 3.5-3.5"/>"#,
        "left" => r#"<path d="m9.5 4.5-3.5 3.5 3.5 3.5"/>"#,
        "right" => r#"<path d="m6.5 4.5 3.5 3.5-3.5 3.5"/>"#,
        "arrow" => r#"<path d="M3 8h10M9 4l4 4-4 4"/>"#,
        "out" => {
            r#"<path d="M9.5 2.75h3.75V6.5M13 3 7.5 8.5M6.5 3.75h-2a1.75 1.75 0 0 0-1.75 1.75v6a1.75 1.75 0 0 0 1.75 1.75h6a1.75 1.75 0 0 0 1.75-1.75v-2"/>"#
        }
        "copy" => {
            r#"<rect x="5.75" y="5.75" width="7.5" height="7.5" rx="1.25"/><path d="M3.25 10.25h-.5a.5.5 0 0 1-.5-.5v-6a1.5 1.5 0 0 1 1.5-1.5h6a.5.5 0 0 1 .5.5v.5"/>"#
        }
        "check" => r#"<path d="m3.25 8.5 3 3 6.5-7"/>"#,
        "check-circle" => r#"<circle cx="8" cy="8" r="6"/><path d="m5.5 8.25 1.75 1.75 3.25-3.5"/>"#,
        "circle" => r#"<circle cx="8" cy="8" r="6"/>"#,
        "circle-dashed" => r#"<circle cx="8" cy="8" r="6" stroke-dasharray="2 2.7"/>"#,
        "circle-half" => r#"<circle cx="8" cy="8" r="6"/><circle cx="8" cy="8" r="2" fill="currentColor"/>"#,
        "cross" => r#"<path d="m4 4 8 8m0-8-8 8"/>"#,
        "cross-circle" => r#"<circle cx="8" cy="8" r="6"/><path d="m6 6 4 4m0-4-4 4"/>"#,
        "warning" => r#"<path d="M8 2.25 14.25 13H1.75zM8 6.5v3m0 1.75v.01"/>"#,
        "info" => r#"<circle cx="8" cy="8" r="6"/><path d="M8 7.5V11m0-6v.01"/>"#,
        "search" => r#"<circle cx="7" cy="7" r="4.25"/><path d="m10.25 10.25 3.25 3.25"/>"#,
        "plus" => r#"<path d="M8 3v10M3 8h10"/>"#,
        "menu" => r#"<path d="M2.5 4.5h11m-11 3.5h11m-11 3.5h11"/>"#,
        "more" => r#"<path d="M3.5 8v.01M8 8v.01M12.5 8v.01" stroke-width="2.2"/>"#,
        "sun" => {
            r#"<circle cx="8" cy="8" r="2.75"/><path d="M8 1.75v1m0 10.5v1M1.75 8h1m10.5 0h1M3.6 3.6l.7.7m7.4 7.4.7.7m0-8.8-.7.7m-7.4 7.4-.7.7"/>"#
        }
        "moon" => r#"<path d="M13.25 9.5A5.75 5.75 0 0 1 6.5 2.75a5.75 5.75 0 1 0 6.75 6.75z"/>"#,
        "half" => {
            r#"<circle cx="8" cy="8" r="5.75"/><path d="M8 2.25a5.75 5.75 0 0 1 0 11.5z" fill="currentColor"/>"#
        }
        "leave" => {
            r#"<path d="M6.25 2.75H4.5a1.75 1.75 0 0 0-1.75 1.75v7a1.75 1.75 0 0 0 1.75 1.75h1.75M6.5 8h7m-2.75-3L13.75 8l-3 3"/>"#
        }
        "globe" => {
            r#"<circle cx="8" cy="8" r="6"/><path d="M2 8h12M8 2c2 1.8 2.75 3.8 2.75 6S10 12.2 8 14c-2-1.8-2.75-3.8-2.75-6S6 3.8 8 2"/>"#
        }
        "mail" => {
            r#"<rect x="1.75" y="3.25" width="12.5" height="9.5" rx="1.5"/><path d="m2.25 4.5 5.75 4.25 5.75-4.25"/>"#
        }
        "bolt" => r#"<path d="M8.75 1.75 3 9h4.25L6.75 14.25 13 7H8.5z"/>"#,
        _ => "",
    }
}
