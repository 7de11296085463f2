//! Ratios over rounds: the median, with the lowest and the highest beside it.

use serde_json::{Value, json};

/// One figure, measured once a round.
pub struct Figure {
    /// What it says.
    pub name: &'static str,
    /// What it means and how it was measured.
    pub note: String,
    /// One per round.
    pub rounds: Vec<f64>,
}

impl Figure {
    /// Not measured yet.
    pub fn new(name: &'static str, note: impl Into<String>) -> Self {
        Self { name, note: note.into(), rounds: Vec::new() }
    }

    /// The middle one; the mean of the two in the middle when there are two.
    pub fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let (low, high) = self.range();
        let places = if self.median() < 10.0 { 3 } else { 0 };
        format!(
            "{:<34} {:>10.places$}   [{low:.places$} – {high:.places$}] of {}   {}",
            self.name,
            self.median(),
            self.rounds.len(),
            self.note
        )
    }

    /// The same for a file.
    pub fn json(&self) -> Value {
        let (low, high) = self.range();
        json!({ "name": self.name, "note": self.note, "median": self.median(), "lowest": low, "highest": high, "rounds": self.rounds })
    }

    fn range(&self) -> (f64, f64) {
        self.rounds.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        for (rounds, median) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 3.0], 2.5), (vec![5.0], 5.0)] {
            assert_eq!(Figure { name: "a", note: String::new(), rounds }.median(), median);
        }
    }
}
