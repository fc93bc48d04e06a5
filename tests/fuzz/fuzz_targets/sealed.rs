//! What a client carries for us, changed on its way: it opens as it was sealed, or not at all.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use toolmesh_data_plane::sealed::{Purpose, Seals};

const BOUND: [&str; 2] = ["tenant", "caller"];
const PLAIN: &[u8] = b"what an upstream wants back";

static SEALS: LazyLock<(Seals, String)> = LazyLock::new(|| {
    let seals = Seals::new(&SecretString::from("the secret of a deployment")).expect("a key");
    let sealed = seals.seal(Purpose::RequestState, &BOUND, i64::MAX, PLAIN).expect("randomness");
    (seals, sealed)
});

// The first byte says how the rest is used: as a text of its own, or as the changes to one that was sealed.
fuzz_target!(|data: &[u8]| {
    let (seals, sealed) = &*SEALS;
    let Some((how, rest)) = data.split_first() else { return };
    let text = match how % 2 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        _ => {
            let mut bytes = sealed.clone().into_bytes();
            for change in rest.chunks_exact(2) {
                let at = usize::from(change[0]) % bytes.len();
                bytes[at] = b"AB0z-_"[usize::from(change[1]) % 6];
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    match seals.open(Purpose::RequestState, &BOUND, &text) {
        Ok(plain) => assert!(text == *sealed && plain == PLAIN, "a changed text opened"),
        Err(_) => assert_ne!(text, *sealed, "what was sealed does not open"),
    }
    assert!(seals.open(Purpose::Session, &BOUND, &text).is_err(), "it opened for something else");
});
