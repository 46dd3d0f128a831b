//! A picture of each question, and a sheet with all: both axes in powers of ten, and beside the curves what "linear" would be.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;

use crate::table::{Question, Series};

const SIZE: (u32, u32) = (760, 500);
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
    for (line, note) in wrapped(&question.note, 112).iter().enumerate() {
        head.draw(&Text::new(note.as_str(), (24, 42 + 15 * line as i32), text(12).color(&FAINT))).unwrap();
    }

    let (across, up) = (range(question, |point| point.0, 1.0), range(question, |point| point.1, 100.0));
    let mut chart = ChartBuilder::on(&body)
        .margin(14)
        .margin_right(28)
        .x_label_area_size(46)
        .y_label_area_size(76)
        .build_cartesian_2d(across.clone().log_scale(), up.clone().log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(WHITE)
        .axis_style(FAINT)
        .x_desc(question.x.as_str())
        .y_desc(question.y.as_str())
        .axis_desc_style(text(13).color(&INK))
        .label_style(text(12).color(&FAINT))
        .x_label_formatter(&|number| {
            if question.x.starts_with("bytes") { bytes(*number) } else { crate::kit::grouped(*number) }
        })
        .y_label_formatter(&|cost| time(*cost))
        .draw()
        .unwrap();

    let first = question.series[0].points[0];
    chart
        .draw_series(DashedLineSeries::new(linear(first, &across, &up), 5, 4, FAINT.stroke_width(1)))
        .unwrap()
        .label("linear")
        .legend(|(x, y)| plotters::element::DashedPathElement::new([(x, y), (x + 20, y)], 5, 4, FAINT.stroke_width(1)));
    for (Series { name, points }, colour) in question.series.iter().zip(COLOURS.into_iter().cycle()) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
            .unwrap()
            .label(name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled()))).unwrap();
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12)
        .legend_area_size(26)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .label_font(text(12).color(&INK))
        .draw()
        .unwrap();
}

/// From one power of ten to another, at least so many times: a small change is not to look like a large one.
fn range(question: &Question, of: impl Fn(&(f64, f64)) -> f64, least: f64) -> Range<f64> {
    let values = || question.series.iter().flat_map(|series| &series.points).map(&of);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    if least <= 1.0 {
        // With a little air, so that no point lies on an axis.
        return low / 1.3..high * 1.3;
    }
    let low = 10_f64.powf(low.log10().floor());
    low..(10_f64.powf(high.log10().ceil())).max(low * least)
}

/// The line through a point along which a cost grows as its number does, as far as it is in the picture.
fn linear((x, y): (f64, f64), across: &Range<f64>, up: &Range<f64>) -> Vec<(f64, f64)> {
    let end = across.end.min(x * up.end / y);
    let steps = 200;
    (0..=steps).map(|step| x * (end / x).powf(f64::from(step) / f64::from(steps))).map(|at| (at, at / x * y)).collect()
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
    match number.round() {
        number @ ..1_000.0 => format!("{number} B"),
        number @ ..1_000_000.0 => format!("{} kB", number / 1e3),
        number => format!("{} MB", number / 1e6),
    }
}
