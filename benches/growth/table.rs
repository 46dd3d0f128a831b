//! What was measured, as a table and as a file.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::kit::grouped;

/// One question: how some costs grow with one number.
#[derive(Serialize, Deserialize)]
pub struct Question {
    /// That of its picture.
    pub name: String,
    pub title: String,
    /// How it was measured.
    pub note: String,
    /// What grows.
    pub x: String,
    /// What each cost is of, in nanoseconds.
    pub y: String,
    pub series: Vec<Series>,
}

#[derive(Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Question {
    pub fn new(name: &str, title: &str, note: &str, (x, y): (&str, &str)) -> Question {
        let [name, title, note, x, y] = [name, title, note, x, y].map(str::to_owned);
        Question { name, title, note, x, y, series: Vec::new() }
    }

    /// A cost for one more number.
    pub fn add(&mut self, series: &str, x: f64, y: f64) {
        let known = self.series.iter_mut().find(|known| known.name == series);
        match known {
            Some(known) => known.points.push((x, y)),
            None => self.series.push(Series { name: series.to_owned(), points: vec![(x, y)] }),
        }
    }

    /// All numbers for which there is a cost.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers: Vec<f64> = self.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        numbers
    }
}

/// Costs below ten have two decimals: those of a byte do.
fn cost(nanoseconds: f64) -> String {
    match nanoseconds {
        ..10.0 => format!("{nanoseconds:.2}"),
        ..100.0 => format!("{nanoseconds:.1}"),
        _ => grouped(nanoseconds),
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        writeln!(f, "{}", "=".repeat(self.title.len()))?;
        writeln!(f, "ns of {}; {}\n", self.y, self.note)?;
        let widths: Vec<usize> = self.series.iter().map(|series| series.name.len().max(12) + 2).collect();
        let first = self.x.len().max(12);
        write!(f, "{:>first$}", self.x)?;
        for (series, width) in self.series.iter().zip(&widths) {
            write!(f, "{:>width$}", series.name)?;
        }
        writeln!(f)?;
        for number in self.numbers() {
            write!(f, "{:>first$}", grouped(number))?;
            for (series, width) in self.series.iter().zip(&widths) {
                let point = series.points.iter().find(|(x, _)| *x == number);
                let text = point.map_or_else(|| "-".to_owned(), |(_, y)| cost(*y));
                write!(f, "{text:>width$}")?;
            }
            writeln!(f)?;
        }
        write!(f, "{:>first$}", "grew")?;
        for (series, width) in self.series.iter().zip(&widths) {
            let (first, last) = (series.points[0].1, series.points[series.points.len() - 1].1);
            write!(f, "{:>width$}", format!("x {:.2}", last / first))?;
        }
        writeln!(f)
    }
}

/// `growth.json` in the folder `target`, or what stands in its place.
fn file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("growth.json")
}

pub fn write(questions: &[Question]) {
    fs::write(file(), serde_json::to_string_pretty(questions).unwrap()).unwrap();
    println!("all figures: {}", file().display());
}

/// Those of earlier runs.
pub fn read() -> Vec<Question> {
    fs::read(file()).map(|json| serde_json::from_slice(&json).unwrap()).unwrap_or_default()
}
