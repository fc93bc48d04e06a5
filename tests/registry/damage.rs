//! Files as they are after an unlucky edit, the same on every run.

/// What is put in somewhere.
const PIECES: [&str; 14] = [
    "    required: true\n",
    "{ type: file_url, in: body }",
    "in: header",
    "in: query",
    "type: object",
    "method: HEAD",
    "content_type: multipart/form-data",
    "content_type: text/plain",
    "path: /{id}/..",
    "default: null",
    "&a ",
    "*a",
    "null",
    "\u{202e}",
];

/// Larger files are cut to their first part, so that a run stays short.
const CUT: usize = 60_000;
const ROUNDS: usize = 6;

pub(crate) fn rounds(source: &str) -> impl Iterator<Item = (usize, String)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut numbers = Numbers(source.len() as u64);
    let mut cut = 0;
    let kept = lines.iter().take_while(|line| {
        cut += line.len();
        cut < CUT
    });
    let lines: Vec<String> = kept.map(|line| (*line).to_owned()).collect();
    (0..ROUNDS).map(move |round| {
        let mut lines = lines.clone();
        for _ in 0..=round {
            let at = numbers.below(lines.len());
            let piece = PIECES[numbers.below(PIECES.len())];
            match (numbers.below(4), lines[at].split_once(": ")) {
                (0, _) => {
                    lines.remove(at);
                }
                (1, _) => {
                    let other = numbers.below(lines.len());
                    lines.swap(at, other);
                }
                (2, Some((key, _))) => lines[at] = format!("{key}: {piece}"),
                _ => lines[at].push_str(piece),
            }
        }
        (round, lines.join("\n"))
    })
}

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or_default() % end.max(1)
    }
}
