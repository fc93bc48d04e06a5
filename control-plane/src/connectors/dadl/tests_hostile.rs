//! Documents that mean harm: they cost little, and nothing panics.

use std::time::{Duration, Instant};

use super::{MAX_SOURCE, compile};

const SAMPLE: &str = include_str!("../../../catalog/stripe.dadl");

/// Time that no document may take, on a slow machine without optimisation.
const PATIENCE: Duration = Duration::from_secs(20);

fn refused_soon(source: &str, word: &str) {
    let started = Instant::now();
    let errors = compile(source, "x.dadl").expect_err("it is refused").to_string();
    assert!(started.elapsed() < PATIENCE, "{word}: {:?}", started.elapsed());
    assert!(errors.contains(word), "{word}: {errors}");
    assert!(errors.len() < 100_000, "{word}: {} bytes", errors.len());
}

#[test]
fn a_billion_laughs_are_cut_short() {
    let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    refused_soon(&bomb, "larger, more deeply nested");
}

#[test]
fn one_long_text_repeated_by_aliases_is_cut_short() {
    let mut bomb = format!("a: &a {:?}\nb:\n", "x".repeat(500_000));
    bomb.push_str(&"- *a\n".repeat(1_500));
    // Whether the reader or the compiler refuses it: it must not hold 750 MB.
    let started = Instant::now();
    assert!(compile(&bomb, "x.dadl").is_err());
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn deep_nesting_does_not_reach_the_end_of_the_stack() {
    refused_soon(&format!("a: {}", "[".repeat(400_000)), "");
    refused_soon(&format!("a: {}", "{b: ".repeat(200_000)), "");
    refused_soon(&"- ".repeat(300_000), "");
    let steps: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refused_soon(&steps, "");
}

#[test]
fn a_document_that_is_too_large_is_not_read() {
    refused_soon(&"#".repeat(MAX_SOURCE + 1), "bytes; at most");
}

#[test]
fn very_many_entries_and_very_many_errors_stay_small() {
    refused_soon(&"? a\n".repeat(200_000), "");
    refused_soon(&"- 1\n".repeat(240_000), "");
    let mut many = String::from("spec: x\nbackend:\n  tools:\n");
    (0..20_000).for_each(|index| many.push_str(&format!("    t{index}: {{method: X}}\n")));
    refused_soon(&many, "more");
    let keys: String = (0..40_000).map(|index| format!("k{index}: 1\n")).collect();
    refused_soon(&keys, "backend: is missing");
}

#[test]
fn a_very_long_line_is_quoted_in_part_only() {
    refused_soon(&format!("spec: {}", "x".repeat(900_000)), "is not a version");
    refused_soon(&format!("{}: 1", "k".repeat(900_000)), "");
    refused_soon(&"k: v: ".repeat(100_000), "");
}

/// The same numbers on every run (SplitMix64), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or_default() % end
    }
}

#[test]
fn damaged_documents_are_refused_or_read_but_never_panic() {
    const PIECES: &[&str] = &[
        ":",
        " ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "- ",
        "? ",
        "| ",
        "> ",
        "\"",
        "'",
        "#",
        "!",
        "!!str ",
        "%",
        "@",
        "~",
        "null",
        "true",
        "1e400",
        "0x",
        "-",
        "\t",
        "\u{0}",
        "\u{feff}",
        "\u{202e}",
        "é",
        "\r\n",
        "---\n",
        "...\n",
        "$..",
        "{id}",
        "in: path",
        "type: file_url",
        "../",
        "//",
        "NaN",
        "18446744073709551616",
        "\\x00",
    ];
    let chars: Vec<char> = SAMPLE.chars().take(5_000).collect();
    let mut numbers = Numbers(7);
    for _ in 0..400 {
        let mut damaged = chars.clone();
        for _ in 0..=numbers.below(6) {
            let at = numbers.below(damaged.len());
            match numbers.below(3) {
                0 => {
                    let end = (at + 1 + numbers.below(40)).min(damaged.len());
                    damaged.drain(at..end);
                }
                1 => damaged.truncate(at.max(1)),
                _ => {
                    let piece = PIECES[numbers.below(PIECES.len())];
                    damaged.splice(at..at, piece.chars());
                }
            }
        }
        let source: String = damaged.into_iter().collect();
        let _ = compile(&source, "x.dadl").map_err(|errors| errors.to_string());
    }
}

#[test]
fn arbitrary_text_never_panics() {
    const ALPHABET: &[char] = &[
        'a', ':', ' ', '\n', '-', '{', '}', '[', ']', '&', '*', '!', '|', '>', '\'', '"', '%', '#', ',', '?',
        '\t', '\u{7f}', 'é', '😀', '\u{2028}', '\0', '0', '.', '$', '~', '<', '=',
    ];
    let mut numbers = Numbers(42);
    for _ in 0..4_000 {
        let length = numbers.below(80);
        let text: String = (0..length).map(|_| ALPHABET[numbers.below(ALPHABET.len())]).collect();
        let _ = compile(&text, "x.dadl").map_err(|errors| errors.to_string());
    }
}
