//! Names that clients accept: of tools, of arguments, of the connector.

use std::collections::HashSet;

/// Longest name of a tool; with an installation's name before it, it stays within the 64 characters of most clients.
const MAX_TOOL: usize = 44;
/// Longest name of an argument.
const MAX_ARGUMENT: usize = 64;
const MAX_CONNECTOR: usize = 24;

/// `listOrgRepos`, `repos/list-for-org` and `PetsController_findAll` as `list_org_repos`, `repos_list_for_org` and
/// `pets_find_all`.
pub(super) fn snake(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let chars: Vec<char> = text.chars().take(300).map(plain).collect();
    let mut word = String::new();
    for (index, c) in chars.iter().copied().enumerate() {
        if !c.is_ascii_alphanumeric() {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let before = index.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(index + 1);
        let rises = before.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        // The last capital of `HTTPServer` begins a word.
        let ends_capitals =
            before.is_some_and(char::is_ascii_uppercase) && after.is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (rises || ends_capitals) {
            words.push(std::mem::take(&mut word));
        }
        word.push(c.to_ascii_lowercase());
    }
    words.push(word);
    words.retain(|word| !word.is_empty() && word != "controller");
    words.join("_")
}

/// A Latin letter without its marks; anything else as it is.
fn plain(c: char) -> char {
    let lower = c.to_lowercase().next().unwrap_or(c);
    let letter = match lower {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
        'ì'..='ï' | 'ī' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => 'o',
        'ß' | 'ś' | 'š' => 's',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        _ => return c,
    };
    if c.is_uppercase() { letter.to_ascii_uppercase() } else { letter }
}

/// The name of an operation's tool, before it is made unique: from its id, else from its method and path.
pub(super) fn tool(id: Option<&str>, method: &str, path: &str) -> String {
    let name = id.map(snake).filter(|name| name.chars().any(|c| c.is_ascii_alphabetic()));
    let name = name.unwrap_or_else(|| snake(&of_path(method, path)));
    let name = if name.starts_with(|c: char| c.is_ascii_digit()) { format!("op_{name}") } else { name };
    shorten(&name, MAX_TOOL)
}

/// `GET /pets/{id}/photos` as `get pets by id photos`.
fn of_path(method: &str, path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty()).map(|segment| {
        segment.strip_prefix('{').map_or_else(|| segment.to_owned(), |name| format!("by {name}"))
    });
    let path = segments.collect::<Vec<_>>().join(" ");
    format!("{} {}", method.to_ascii_lowercase(), if path.is_empty() { "root" } else { &path })
}

/// Cuts a name between words where that leaves enough of it.
fn shorten(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let head = name.get(..most).unwrap_or_default();
    let end = head.rfind('_').filter(|end| *end >= most / 2).unwrap_or(head.len());
    head.get(..end).unwrap_or(head).trim_end_matches('_').to_owned()
}

/// Makes a name unique by a number.
pub(super) fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.to_owned()) {
        return name.to_owned();
    }
    let numbered = |number: usize| format!("{}_{number}", shorten(name, MAX_TOOL - 5));
    // Numbers are given one after the other, so that the first free one is found by halving: a document may call everything
    // alike.
    let (mut last, mut free) = (1_usize, 2_usize);
    while taken.contains(&numbered(free)) {
        (last, free) = (free, free.saturating_mul(2));
    }
    while free - last > 1 {
        let middle = last + (free - last) / 2;
        if taken.contains(&numbered(middle)) { last = middle } else { free = middle }
    }
    taken.insert(numbered(free));
    numbered(free)
}

/// An argument's name: as it is where clients take it, else with `_` for what they refuse.
pub(super) fn argument(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.len() <= MAX_ARGUMENT && name.chars().all(fits) {
        return name.to_owned();
    }
    let replaced: String = name.chars().map(|c| if fits(c) { c } else { '_' }).take(MAX_ARGUMENT).collect();
    let words: Vec<&str> = replaced.split('_').filter(|word| !word.is_empty()).collect();
    let joined = words.join("_");
    if joined.is_empty() { "value".to_owned() } else { joined }
}

/// `v2` and the like.
fn is_version(word: &str) -> bool {
    word.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// The connector's own name from its title: `Swagger Petstore - OpenAPI 3.0` as `swagger-petstore`. A brand that is written with
/// a capital inside (GitHub) stays one word.
pub(super) fn connector(title: &str) -> String {
    const FILLERS: &[&str] = &[
        "api",
        "apis",
        "open",
        "openapi",
        "rest",
        "the",
        "specification",
        "spec",
        "reference",
        "documentation",
        "docs",
        "definition",
    ];
    let title: String = title.chars().take(300).map(|c| plain(c).to_ascii_lowercase()).collect();
    // `Acme's API` is the API of Acme.
    let title = title.replace("'s ", " ").replace("’s ", " ");
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !FILLERS.contains(word) && !is_version(word) && !word.is_empty());
    let mut name = String::new();
    for word in words.filter(|word| !word.bytes().all(|b| b.is_ascii_digit())) {
        let longer = name.len() + usize::from(!name.is_empty()) + word.len();
        if longer > MAX_CONNECTOR && !name.is_empty() {
            break;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(word.get(..MAX_CONNECTOR.min(word.len())).unwrap_or_default());
    }
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned();
    if name.is_empty() { "api".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_are_words() {
        for (id, wanted) in [
            ("listOrgRepos", "list_org_repos"),
            ("repos/list-for-org", "repos_list_for_org"),
            ("PetsController_findAll", "pets_find_all"),
            ("getHTTPServer2Status", "get_http_server2_status"),
            ("2fa", "op_2fa"),
            ("fügeÄpfelHinzu", "fuge_apfel_hinzu"),
        ] {
            assert_eq!(tool(Some(id), "GET", "/x"), wanted);
        }
        assert_eq!(tool(None, "GET", "/pets/{petId}/photos"), "get_pets_by_pet_id_photos");
        assert_eq!(tool(Some("🐕"), "DELETE", "/"), "delete_root");
        assert!(tool(Some(&"very_long_name_".repeat(20)), "GET", "/").len() <= MAX_TOOL);
    }

    #[test]
    fn two_tools_never_share_a_name() {
        let mut taken = HashSet::new();
        let long = "a_name_that_is_exactly_as_long_as_it_may_bee";
        let names: Vec<_> = (0..300).map(|_| unique(long, &mut taken)).collect();
        assert_eq!(names[1], format!("{}_2", "a_name_that_is_exactly_as_long_as_it"));
        assert!(names.iter().all(|name| name.len() <= MAX_TOOL));
        assert_eq!(taken.len(), 300);
    }

    #[test]
    fn names_of_arguments_are_kept_where_clients_take_them() {
        for (name, wanted) in [
            ("petId", "petId"),
            ("X-Trace", "X-Trace"),
            ("filter[name]", "filter_name"),
            ("$top", "top"),
            ("ä", "value"),
        ] {
            assert_eq!(argument(name), wanted);
        }
    }

    #[test]
    fn a_connector_is_named_after_its_title() {
        for (title, wanted) in [
            ("Swagger Petstore - OpenAPI 3.0", "swagger-petstore"),
            ("GitHub v3 REST API", "github"),
            ("Café & Söhne – API (v2)", "cafe-sohne"),
            ("", "api"),
            ("100% API", "api"),
            ("Netlify's API documentation", "netlify"),
            ("Acme’s REST API v12", "acme"),
            ("The Very Long Name Of An Interface For Everything", "very-long-name-of-an"),
        ] {
            assert_eq!(connector(title), wanted);
        }
    }
}
