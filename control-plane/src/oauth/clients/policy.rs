//! Which clients may be used in a workspace.

use aws_lc_rs::digest;
use url::Url;

use super::Client;
use crate::oauth::redirect;

/// What makes two registrations the same program, as far as anybody can tell: name and redirects, but for the port on the
/// loopback interface. Clients register again at every connection, and get another id each time.
#[must_use]
pub fn fingerprint(client: &Client) -> Vec<u8> {
    let mut redirects: Vec<String> = client.redirect_uris.iter().map(|uri| without_port(uri)).collect();
    redirects.sort();
    redirects.dedup();
    let text = format!("{}\n{}\n{}", client.kind.as_str(), client.name, redirects.join("\n"));
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

fn without_port(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
    if redirect::is_loopback(&url) && url.set_port(None).is_ok() { url.into() } else { uri.to_owned() }
}
