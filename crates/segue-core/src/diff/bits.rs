//! Rows of bits, and sets of small numbers as a plan stores them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BITS: usize = u64::BITS as usize;

/// How many words hold that many bits.
pub(super) fn words(bits: usize) -> usize {
    bits.div_ceil(BITS)
}

/// Sets one bit.
pub(super) fn set(row: &mut [u64], bit: usize) {
    row[bit / BITS] |= 1 << (bit % BITS);
}

/// Whether a bit is set.
pub(super) fn has(row: &[u64], bit: usize) -> bool {
    row[bit / BITS] >> (bit % BITS) & 1 == 1
}

/// Whether two rows have a bit in common.
pub(super) fn meet(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}

/// For each word that the range touches: its place and the bits of it that lie in the range.
fn masks(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let Range { start, end } = range;
    (start / BITS..words(end)).filter_map(move |word| {
        let from = start.max(word * BITS) - word * BITS;
        let to = end.min((word + 1) * BITS).checked_sub(word * BITS)?;
        let upto = if to == BITS { u64::MAX } else { (1 << to) - 1 };
        let mask = upto & !((1u64 << from) - 1);
        (mask != 0).then_some((word, mask))
    })
}

/// The bits of a word that stand for numbers below `end`.
pub(super) fn below(end: usize, word: usize) -> u64 {
    match end.saturating_sub(word * BITS) {
        count if count >= BITS => u64::MAX,
        count => (1 << count) - 1,
    }
}

/// Clears a range of bits.
pub(super) fn clear(row: &mut [u64], range: Range<usize>) {
    for (word, mask) in masks(range) {
        row[word] &= !mask;
    }
}

/// Whether a bit in the range is set.
pub(super) fn any(row: &[u64], range: Range<usize>) -> bool {
    masks(range).any(|(word, mask)| row[word] & mask != 0)
}

/// The set bits, from low to high.
pub(super) fn ones(row: &[u64]) -> impl Iterator<Item = usize> + '_ {
    row.iter().enumerate().flat_map(|(nth, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                nth * BITS + bit
            })
        })
    })
}

/// The first bit from `at` on that differs from those of `filler`, which is all zeros or all ones.
fn next(row: &[u64], at: usize, filler: u64) -> Option<usize> {
    let first = at / BITS;
    let masked = (row.get(first)? ^ filler) & (u64::MAX << (at % BITS));
    if masked != 0 {
        return Some(first * BITS + masked.trailing_zeros() as usize);
    }
    let word = first + 1 + row[first + 1..].iter().position(|word| *word != filler)?;
    Some(word * BITS + (row[word] ^ filler).trailing_zeros() as usize)
}

/// A set of small numbers. Neighbours in a graph get neighbouring numbers, so a few ranges usually say it
/// all; a set that is scattered is kept as bits. Written as text: `0-4,7`, or `x` and hex words from low
/// to high.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IndexSet {
    form: Form,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// First and last, ascending, with gaps between them.
    Ranges(Box<[(u32, u32)]>),
    /// Without empty words at the end.
    Bits(Box<[u64]>),
}

impl Default for IndexSet {
    fn default() -> Self {
        Self { form: Form::Ranges(Box::default()) }
    }
}

impl IndexSet {
    /// The set bits of a row.
    pub(super) fn of(row: &[u64]) -> Self {
        let used = row.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let row = &row[..used];
        // A range takes as much room as a word.
        let mut carry = 0;
        let mut ranges = 0;
        for word in row {
            ranges += (word & !(word << 1 | carry)).count_ones() as usize;
            carry = word >> (BITS - 1);
        }
        if ranges > used {
            return Self { form: Form::Bits(row.into()) };
        }
        let mut found = Vec::with_capacity(ranges);
        let mut at = 0;
        while let Some(first) = next(row, at, 0) {
            let stop = next(row, first, u64::MAX).unwrap_or(used * BITS);
            found.push((narrow(first), narrow(stop - 1)));
            at = stop;
        }
        Self { form: Form::Ranges(found.into()) }
    }

    /// The numbers, from low to high.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match &self.form {
            Form::Ranges(ranges) => {
                Box::new(ranges.iter().flat_map(|(first, last)| *first..=*last))
            }
            Form::Bits(row) => Box::new(ones(row).map(narrow)),
        }
    }

    /// The places of those of these ascending numbers that are in the set.
    pub fn among<'a>(&'a self, numbers: &'a [u32]) -> Box<dyn Iterator<Item = usize> + 'a> {
        match &self.form {
            Form::Ranges(ranges) => Box::new(ranges.iter().flat_map(move |(first, last)| {
                let from = numbers.partition_point(|number| number < first);
                (from..numbers.len()).take_while(move |nth| numbers[*nth] <= *last)
            })),
            Form::Bits(row) => Box::new((0..numbers.len()).filter(move |nth| {
                let number = numbers[*nth] as usize;
                row.get(number / BITS).is_some() && has(row, number)
            })),
        }
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Ranges(ranges) => {
                ranges.iter().map(|(first, last)| (last - first) as usize + 1).sum()
            }
            Form::Bits(row) => row.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<u32> for IndexSet {
    /// Takes ascending numbers; a number that does not ascend is left out.
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, last)) if number <= *last => {}
                Some((_, last)) if number == *last + 1 => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        Self { form: Form::Ranges(ranges.into()) }
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a version has at most 10,000 steps")
}

impl fmt::Display for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Ranges(ranges) => {
                for (nth, (first, last)) in ranges.iter().enumerate() {
                    let comma = if nth > 0 { "," } else { "" };
                    if first == last {
                        write!(f, "{comma}{first}")?;
                    } else {
                        write!(f, "{comma}{first}-{last}")?;
                    }
                }
                Ok(())
            }
            Form::Bits(row) => {
                f.write_str("x")?;
                row.iter().try_for_each(|word| write!(f, "{word:016x}"))
            }
        }
    }
}

impl fmt::Debug for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl FromStr for IndexSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(hex) = text.strip_prefix('x') {
            let word = |digits: &[u8]| -> Option<u64> {
                (digits.len() == 16)
                    .then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
            };
            let row: Option<Box<[u64]>> = hex.as_bytes().chunks(16).map(word).collect();
            let row = row.ok_or_else(|| "bits are written as words of 16 hex digits".to_owned())?;
            return Ok(Self { form: Form::Bits(row) });
        }
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if first <= last => (first, last),
                _ => return Err(format!("'{part}' is not a range such as 3-5")),
            };
            if ranges.last().is_some_and(|(_, before)| range.0 <= *before) {
                return Err(format!("'{part}' does not ascend"));
            }
            ranges.push(range);
        }
        Ok(Self { form: Form::Ranges(ranges.into()) })
    }
}

impl Serialize for IndexSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IndexSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_being_written_and_read_in_both_forms() {
        let scattered: Vec<u32> = (0..300).filter(|n| n % 2 == 0).collect();
        for numbers in [vec![], vec![0], vec![63, 64], (0..300).collect(), scattered] {
            let mut row = vec![0; words(300)];
            numbers.iter().for_each(|n| set(&mut row, *n as usize));
            let made = IndexSet::of(&row);
            let read: IndexSet = made.to_string().parse().unwrap();
            assert_eq!(made, read);
            assert_eq!(read.iter().collect::<Vec<_>>(), numbers);
            assert_eq!(read.len(), numbers.len());
        }
    }

    #[test]
    fn clearing_a_range_leaves_everything_around_it() {
        for (start, end) in [(0, 0), (0, 64), (3, 70), (64, 128), (127, 129), (5, 6)] {
            let mut row = [u64::MAX; 3];
            clear(&mut row, start..end);
            let left: Vec<usize> = (0..192).filter(|n| *n < start || *n >= end).collect();
            assert_eq!(ones(&row).collect::<Vec<_>>(), left);
            assert!(!any(&row, start..end));
        }
    }

    #[test]
    fn a_damaged_text_is_an_error() {
        for text in ["1-", "3-1", "5,4", "x12", "a"] {
            assert!(text.parse::<IndexSet>().is_err(), "{text}");
        }
    }
}
