//! A picture of each question, and a sheet with all: both axes in powers of ten, and beside the curves what "linear" would be.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::FontStyle;

use crate::table::{Question, Series};

const SIZE: (u32, u32) = (860, 480);
/// What the names of the curves take, beside them.
const LEGEND: u32 = 200;
const FONT: &str = "Helvetica, Arial, sans-serif";
const INK: RGBColor = RGBColor(31, 41, 55);
const FAINT: RGBColor = RGBColor(107, 114, 128);
const GRID: RGBColor = RGBColor(229, 231, 235);
const COLOURS: [RGBColor; 5] = [
    RGBColor(37, 99, 235),
    RGBColor(217, 70, 12),
    RGBColor(5, 150, 105),
    RGBColor(124, 58, 237),
    RGBColor(190, 24, 93),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Where the pictures are.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/growth").join(name).with_extension("svg")
}

pub fn all(questions: &[Question]) {
    for question in questions {
        let path = file(&question.name);
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        draw(&area, question);
        area.present().unwrap();
    }
    let rows = questions.len().div_ceil(2);
    let path = file("sheet");
    let sheet = SVGBackend::new(&path, (2 * SIZE.0, rows.max(1) as u32 * SIZE.1)).into_drawing_area();
    sheet.fill(&WHITE).unwrap();
    for (area, question) in sheet.split_evenly((rows.max(1), 2)).iter().zip(questions) {
        draw(area, question);
    }
    sheet.present().unwrap();
}

fn draw(area: &Area<'_>, question: &Question) {
    area.fill(&WHITE).unwrap();
    let (head, body) = area.split_vertically(64);
    let text = |size: i32| (FONT, size).into_font();
    let title = text(20).style(FontStyle::Bold).color(&INK);
    head.draw(&Text::new(question.title.as_str(), (24, 16), title)).unwrap();
    for (line, note) in wrapped(&question.note, 136).iter().enumerate() {
        head.draw(&Text::new(note.as_str(), (24, 42 + 15 * line as i32), text(12).color(&FAINT))).unwrap();
    }

    let (across, up) = (across(question), up(question));
    let (body, legend) = body.split_horizontally(SIZE.0 - LEGEND);
    let mut chart = ChartBuilder::on(&body)
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(76)
        .build_cartesian_2d(across.clone().log_scale().with_key_points(question.numbers()), up.clone().log_scale())
        .unwrap();
    let is_size = question.x.starts_with("bytes");
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(WHITE)
        .axis_style(FAINT)
        .x_desc(question.x.as_str())
        .y_desc(question.y.as_str())
        .axis_desc_style(text(13).color(&INK))
        .label_style(text(12).color(&FAINT))
        .x_label_formatter(&|number| if is_size { bytes(*number) } else { crate::kit::grouped(*number) })
        .y_label_formatter(&|cost| time(*cost))
        .draw()
        .unwrap();

    let dashed = FAINT.stroke_width(1);
    chart.draw_series(DashedLineSeries::new(linear(question, &across, &up), 5, 4, dashed)).unwrap();
    legend.draw(&DashedPathElement::new([(8, 22), (30, 22)], 5, 4, dashed)).unwrap();
    legend.draw(&Text::new("linear", (38, 16), text(12).color(&FAINT))).unwrap();
    for (index, Series { name, points }) in question.series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2))).unwrap();
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled()))).unwrap();
        let y = 22 * (index as i32 + 2);
        legend.draw(&PathElement::new([(8, y), (30, y)], colour.stroke_width(2))).unwrap();
        legend.draw(&Circle::new((19, y), 4, colour.filled())).unwrap();
        legend.draw(&Text::new(name.as_str(), (38, y - 6), text(12).color(&INK))).unwrap();
    }
}

fn ends(question: &Question, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = || question.series.iter().flat_map(|series| &series.points).map(&of);
    (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max))
}

/// With a little air, so that no point lies on an axis.
fn across(question: &Question) -> Range<f64> {
    let (low, high) = ends(question, |point| point.0);
    low / 1.3..high * 1.3
}

/// From one power of ten to another, at least two of them: a small change is not to look like a large one.
fn up(question: &Question) -> Range<f64> {
    let (low, high) = ends(question, |point| point.1);
    let low = low.log10().floor();
    10_f64.powf(low)..10_f64.powf(high.log10().ceil().max(low + 2.0))
}

/// Along what a cost would grow as its number does, from the lowest that there is at first.
fn linear(question: &Question, across: &Range<f64>, up: &Range<f64>) -> Vec<(f64, f64)> {
    let firsts = question.series.iter().map(|series| series.points[0]);
    let (x, y) = firsts.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let end = across.end.min(x * up.end / y);
    vec![(x, y), (end, end / x * y)]
}

fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if lines[lines.len() - 1].len() + word.len() > most {
            lines.push(String::new());
        }
        let last = lines.len() - 1;
        if !lines[last].is_empty() {
            lines[last].push(' ');
        }
        lines[last].push_str(word);
    }
    lines
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1_000.0 => format!("{nanoseconds} ns"),
        ..1_000_000.0 => format!("{} µs", nanoseconds / 1e3),
        _ => format!("{} ms", nanoseconds / 1e6),
    }
}

fn bytes(number: f64) -> String {
    match number {
        ..1024.0 => format!("{number} B"),
        ..1_048_576.0 => format!("{} KiB", number / 1024.0),
        _ => format!("{} MiB", number / 1_048_576.0),
    }
}
