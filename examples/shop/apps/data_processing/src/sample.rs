//! A CSV file that does not exist: rows made up from a seed, with the truth about each.
//!
//! For tests and benches, so that a file of any size costs no disk. Plain values, usable from any
//! thread. Invariant: the same settings give the same bytes, on every machine.

use crate::Selection;

/// Bytes after which [`Sample::chunks`] starts a new chunk.
pub const CHUNK_LEN: usize = 64 * 1024;
/// The first line of each sample.
pub const HEADER: &str = "id,region,amount,note\n";

/// The settings of a made-up file with the columns `id`, `region`, `amount` and `note`.
///
/// # Examples
/// ```
/// use shop_data_processing::sample::Sample;
/// let sample = Sample::new(1_000).quoted().bad_every(100);
/// let bytes: usize = sample.chunks().map(|chunk| chunk.len()).sum();
/// let cents: i64 = sample.rows().filter_map(|row| row.truth).map(|truth| truth.cents).sum();
/// assert!(bytes > 30_000 && cents != 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    rows: u64,
    seed: u64,
    regions: u64,
    quoted: bool,
    bad_every: Option<u64>,
}

impl Sample {
    /// So many plain rows of 100 regions.
    #[must_use]
    pub fn new(rows: u64) -> Sample {
        Sample { rows, seed: 1, regions: 100, quoted: false, bad_every: None }
    }

    /// Another file.
    #[must_use]
    pub fn seed(self, seed: u64) -> Sample {
        Sample { seed, ..self }
    }

    /// Another number of distinct regions; at least 1.
    #[must_use]
    pub fn regions(self, regions: u64) -> Sample {
        Sample { regions: regions.max(1), ..self }
    }

    /// Names and notes with commas, quotes, line ends and letters outside of ASCII.
    #[must_use]
    pub fn quoted(self) -> Sample {
        Sample { quoted: true, ..self }
    }

    /// Each `n`th row is bad, in one of six ways.
    #[must_use]
    pub fn bad_every(self, n: u64) -> Sample {
        Sample { bad_every: Some(n.max(1)), ..self }
    }

    /// What to aggregate: amounts by region.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection::new("region", "amount")
    }

    /// The rows one by one, without the header.
    pub fn rows(&self) -> impl Iterator<Item = SampleRow> + use<> {
        let sample = *self;
        let mut random = Random(sample.seed);
        let mut line = 2;
        (1..=sample.rows).map(move |id| {
            let row = sample.row(id, line, &mut random);
            line += row.text.iter().filter(|byte| **byte == b'\n').count() as u64;
            row
        })
    }

    /// The file as chunks of about [`CHUNK_LEN`] bytes, the header first.
    pub fn chunks(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let mut rows = self.rows();
        let mut chunk = HEADER.as_bytes().to_vec();
        std::iter::from_fn(move || {
            while chunk.len() < CHUNK_LEN {
                match rows.next() {
                    Some(row) => chunk.extend(row.text),
                    None => break,
                }
            }
            (!chunk.is_empty()).then(|| std::mem::take(&mut chunk))
        })
    }

    fn row(&self, id: u64, line: u64, random: &mut Random) -> SampleRow {
        let region = self.region(random.below(self.regions));
        let cents = random.below(2_000_000) as i64 - 1_000_000;
        let note = self.note(id);
        if self.bad_every.is_some_and(|n| id.is_multiple_of(n)) {
            let text = bad_row(id, random.below(6));
            return SampleRow { line, text, truth: None };
        }
        let sign = if cents < 0 { "-" } else { "" };
        let (whole, fraction) = (cents.abs() / 100, cents.abs() % 100);
        let field = quote(&region);
        let text = format!("{id},{field},{sign}{whole}.{fraction:02},{note}\n").into_bytes();
        SampleRow { line, text, truth: Some(Truth { region, cents }) }
    }

    fn region(&self, number: u64) -> String {
        if self.quoted && number.is_multiple_of(3) {
            format!("Zürich, \"old\" town {number}")
        } else {
            format!("region-{number:03}")
        }
    }

    fn note(&self, id: u64) -> String {
        match id % 5 {
            0 if self.quoted => quote("first line\r\nsecond line"),
            1 if self.quoted => quote("\n"),
            2 if self.quoted => "5\" disk".to_owned(),
            _ => format!("note-{id}"),
        }
    }
}

/// One row of a [`Sample`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRow {
    /// Its line in the file; the header is on line 1.
    pub line: u64,
    /// Its bytes, with the line end.
    pub text: Vec<u8>,
    /// What it says; `None` when it is bad.
    pub truth: Option<Truth>,
}

/// What a row says, known without parsing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The region.
    pub region: String,
    /// The amount in hundredths.
    pub cents: i64,
}

fn bad_row(id: u64, kind: u64) -> Vec<u8> {
    let text = match kind {
        0 => format!("{id},region-000\n"),
        1 => format!("{id},region-000,1.00,note,surplus\n"),
        2 => format!("{id},region-000,lots,note\n"),
        3 => format!("{id},region-000,,note\n"),
        4 => format!("{id},region-000,1e3,note\n"),
        _ => return [format!("{id},").as_bytes(), b"caf\xE9,1.00,note\n"].concat(),
    };
    text.into_bytes()
}

fn quote(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// SplitMix64: small, good enough, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_settings_give_the_same_bytes() {
        let sample = Sample::new(5_000).quoted().bad_every(7);
        let bytes = |sample: Sample| sample.chunks().flatten().collect::<Vec<u8>>();
        assert_eq!(bytes(sample), bytes(sample));
        assert_ne!(bytes(sample), bytes(sample.seed(2)));
        let rows: Vec<u8> = sample.rows().flat_map(|row| row.text).collect();
        assert_eq!(bytes(sample), [HEADER.as_bytes(), &rows].concat());
    }

    #[test]
    fn chunks_are_small_and_not_empty() {
        let chunks: Vec<_> = Sample::new(10_000).chunks().collect();
        assert!(chunks.len() > 3);
        assert!(chunks.iter().all(|chunk| (1..CHUNK_LEN + 200).contains(&chunk.len())));
        assert_eq!(Sample::new(0).chunks().collect::<Vec<_>>(), [HEADER.as_bytes()]);
    }

    #[test]
    fn every_nth_row_is_bad() {
        let sample = Sample::new(100).bad_every(10);
        let bad: Vec<u64> =
            sample.rows().filter(|row| row.truth.is_none()).map(|row| row.line - 1).collect();
        assert_eq!(bad, (1..=10).map(|n| n * 10).collect::<Vec<_>>());
        assert!(Sample::new(100).rows().all(|row| row.truth.is_some()));
    }
}
