//! The picture of activity over time: lines of the people who were active on a day, in 7 and in 30 days.

use std::{fmt::Write as _, io};

use super::{
    drawing::{Anchor, Drawing, HATCH, pixels},
    style::PictureStyle,
    words::{PictureWords, whole},
};
use crate::{
    model::{Day, DayRange},
    report::Interval,
};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 420;

// The edges of the area of the lines, in pixels.
const LEFT: f64 = 64.0;
const TOP: f64 = 84.0;
const RIGHT: f64 = 940.0;
const BOTTOM: f64 = 352.0;

/// Maximum number of dates below the lines: more would overlap.
const MAX_DATES: usize = 8;

/// Dashes distinguish the lines without colours.
const DASHES: [&str; 3] = ["none", "7 4", "2 4"];

/// What the picture shows.
#[derive(Debug)]
pub struct ActivityChart<'a> {
    /// The range.
    pub days: DayRange,
    /// The length of a point.
    pub interval: Interval,
    /// The selected department; `None`: all.
    pub department: Option<&'a str>,
    /// The points in time order. Empty if all figures are withheld.
    pub points: Vec<ActivityPoint>,
    /// Whether figures are withheld because groups are small.
    pub are_figures_withheld: bool,
    /// Colours and language.
    pub style: PictureStyle,
}

/// A bucket of the report.
#[derive(Debug)]
pub struct ActivityPoint {
    /// The days of the bucket.
    pub days: DayRange,
    /// Whether a date of the bucket can still change.
    pub is_provisional: bool,
    /// Whether a date of the bucket counts.
    pub counts: bool,
    /// People active in the bucket, and in the 7 and 30 days up to its end. `None`: unknown or withheld.
    pub active: [Option<u64>; 3],
}

impl ActivityPoint {
    fn lacks_figures(&self) -> bool {
        self.counts && self.active[0].is_none()
    }
}

/// Positions of points and values.
struct Scale {
    points: usize,
    step: f64,
    steps: u32,
}

impl ActivityChart<'_> {
    /// The picture as SVG.
    ///
    /// # Errors
    /// If the XML writer fails. No cause is known, because it writes to memory.
    pub fn draw(&self) -> io::Result<Vec<u8>> {
        let words = self.style.language.words();
        let by_interval = words.intervals[self.interval as usize];
        let (title, colon, comma) = (words.active_people, words.colon, words.comma);
        let title = format!("{title}{comma}{by_interval}{colon}{}", self.department.unwrap_or(words.everyone));
        let mut drawing = Drawing::new((WIDTH, HEIGHT), &title, &self.description(words), self.style)?;
        let palette = drawing.palette;
        let heading = [("fill", palette.text), ("font-size", "18"), ("font-weight", "600")];
        drawing.text((20.0, 32.0), Anchor::Start, &heading, &title)?;
        let range = format!("{} – {}", self.days.first(), self.days.last());
        drawing.text((20.0, 54.0), Anchor::Start, &[("fill", palette.muted)], &range)?;
        let known = self.points.iter().flat_map(|point| point.active).flatten();
        let Some(maximum) = known.max() else {
            let reason = if self.are_figures_withheld { words.withheld } else { words.no_figures };
            let middle = (f64::from(WIDTH) / 2.0, f64::from(HEIGHT) / 2.0);
            drawing.text(middle, Anchor::Middle, &[("fill", palette.muted), ("font-size", "16")], reason)?;
            return drawing.finish();
        };
        let scale = Scale::new(self.points.len(), maximum);
        self.draw_bands(&mut drawing, &scale)?;
        self.draw_grid(&mut drawing, &scale)?;
        for line in 0..3 {
            self.draw_line(&mut drawing, &scale, line)?;
        }
        self.draw_legend(&mut drawing, words)?;
        drawing.finish()
    }

    /// The newest figures, and the dates that are marked.
    fn description(&self, words: &PictureWords) -> String {
        let PictureWords { colon, comma, full_stop, .. } = words;
        let mut sentences = vec![format!("{} – {}", self.days.first(), self.days.last())];
        let newest = self.points.iter().rev().find(|point| point.active[0].is_some());
        if let Some(ActivityPoint { days, active, .. }) = newest {
            let figures = words.lines.iter().zip(active);
            let figures: Vec<String> = figures
                .map(|(line, people)| {
                    format!("{line}{colon}{}", people.map_or(words.unknown.to_owned(), |people| whole(people as f64)))
                })
                .collect();
            let [open, close] = words.parentheses;
            sentences.push(format!("{}{open}{}{close}{colon}{}", words.latest, days.last(), figures.join(comma)));
        }
        let mut list = |label: &str, is_marked: fn(&ActivityPoint) -> bool| {
            let dates: Vec<String> = self
                .points
                .iter()
                .filter(|point| is_marked(point))
                .map(|point| point.days.first().to_string())
                .collect();
            if !dates.is_empty() {
                sentences.push(format!("{label}{colon}{}", dates.join(comma)));
            }
        };
        list(words.provisional, |point| point.is_provisional);
        list(words.left_out, |point| !point.counts);
        list(self.lacking(words), ActivityPoint::lacks_figures);
        let sentences: Vec<String> = sentences.into_iter().map(|sentence| sentence + full_stop).collect();
        sentences.join(words.between_sentences)
    }

    /// The reason why a date that counts has no figures.
    const fn lacking(&self, words: &PictureWords) -> &'static str {
        if self.are_figures_withheld { words.withheld } else { words.unknown }
    }

    /// Weekends, and points that are provisional, do not count or have no figures.
    fn draw_bands(&self, drawing: &mut Drawing, scale: &Scale) -> io::Result<()> {
        let palette = drawing.palette;
        for (index, point) in self.points.iter().enumerate() {
            let band = [scale.x(index) - scale.width() / 2.0, TOP, scale.width(), BOTTOM - TOP];
            if self.interval == Interval::Day && point.days.first().is_weekend() {
                drawing.rectangle(band, palette.shade)?;
            }
            if !point.counts || point.lacks_figures() {
                drawing.rectangle(band, HATCH)?;
            }
            if point.is_provisional {
                drawing.rectangle([band[0], BOTTOM - 5.0, band[2], 5.0], HATCH)?;
                drawing.rectangle([band[0], BOTTOM - 5.0, band[2], 1.0], palette.muted)?;
            }
        }
        Ok(())
    }

    fn draw_grid(&self, drawing: &mut Drawing, scale: &Scale) -> io::Result<()> {
        let palette = drawing.palette;
        for step in 0..=scale.steps {
            let value = f64::from(step) * scale.step;
            let y = scale.y(value);
            drawing.rectangle([LEFT, y, RIGHT - LEFT, 1.0], palette.grid)?;
            drawing.text((LEFT - 8.0, y + 4.0), Anchor::End, &[("fill", palette.muted)], &whole(value))?;
        }
        let every = self.points.len().div_ceil(MAX_DATES).max(1);
        for (index, point) in self.points.iter().enumerate().step_by(every) {
            let date: Day = point.days.first();
            let position = (scale.x(index).clamp(LEFT + 16.0, RIGHT - 36.0), BOTTOM + 20.0);
            drawing.text(position, Anchor::Middle, &[("fill", palette.muted)], &date.to_string())?;
        }
        Ok(())
    }

    /// A line with a gap for each point without a figure. A point between two gaps is a dot.
    fn draw_line(&self, drawing: &mut Drawing, scale: &Scale, line: usize) -> io::Result<()> {
        let mut path = String::new();
        let mut is_in_gap = true;
        for (index, point) in self.points.iter().enumerate() {
            let Some(people) = point.active[line] else {
                is_in_gap = true;
                continue;
            };
            let (x, y) = (pixels(scale.x(index)), pixels(scale.y(people as f64)));
            // A move without a line draws nothing, and a line of length 0 a dot.
            _ = if is_in_gap { write!(path, "M{x} {y}h0") } else { write!(path, "L{x} {y}") };
            is_in_gap = false;
        }
        let colour = drawing.palette.lines[line];
        let attributes = [
            ("d", path.as_str()),
            ("fill", "none"),
            ("stroke", colour),
            ("stroke-width", "2.5"),
            ("stroke-linecap", "round"),
            ("stroke-linejoin", "round"),
            ("stroke-dasharray", DASHES[line]),
        ];
        if path.is_empty() { Ok(()) } else { drawing.element("path", &attributes) }
    }

    fn draw_legend(&self, drawing: &mut Drawing, words: &PictureWords) -> io::Result<()> {
        let palette = drawing.palette;
        let y = f64::from(HEIGHT) - 22.0;
        let mut x = LEFT;
        for (line, label) in words.lines.iter().enumerate() {
            let path = format!("M{} {}h22", pixels(x), pixels(y - 4.0));
            let stroke = [("stroke", palette.lines[line]), ("stroke-width", "2.5"), ("stroke-dasharray", DASHES[line])];
            drawing.element("path", &[[("d", path.as_str())].as_slice(), &stroke].concat())?;
            drawing.text((x + 28.0, y), Anchor::Start, &[("fill", palette.text)], label)?;
            x += 48.0 + text_width(label);
        }
        let has_weekend =
            self.interval == Interval::Day && self.points.iter().any(|point| point.days.first().is_weekend());
        let has = |is_marked: fn(&ActivityPoint) -> bool| self.points.iter().any(is_marked);
        let marks = [
            (has_weekend, palette.shade, 12.0, words.weekend),
            (has(|point| point.is_provisional), HATCH, 5.0, words.provisional),
            (has(|point| !point.counts), HATCH, 12.0, words.left_out),
            (has(ActivityPoint::lacks_figures), HATCH, 12.0, self.lacking(words)),
        ];
        for (_, fill, height, label) in marks.into_iter().filter(|(is_shown, ..)| *is_shown) {
            drawing.rectangle([x, y + 2.0 - height, 16.0, height], fill)?;
            drawing.text((x + 22.0, y), Anchor::Start, &[("fill", palette.text)], label)?;
            x += 42.0 + text_width(label);
        }
        Ok(())
    }
}

/// The approximate width of a text in pixels at 13 pixels.
fn text_width(text: &str) -> f64 {
    text.chars().map(|character| if character.is_ascii() { 6.8 } else { 13.0 }).sum()
}

impl Scale {
    /// A scale from 0 to a round number of at least `maximum`.
    fn new(points: usize, maximum: u64) -> Self {
        let maximum = (maximum as f64).max(4.0);
        let magnitude = 10_f64.powf((maximum / 4.0).log10().floor());
        let candidates = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * magnitude);
        // A fraction of a person has no line.
        let step = candidates.into_iter().find(|step| step.fract() == 0.0 && step * 5.0 >= maximum);
        let step = step.unwrap_or(10.0 * magnitude);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 5, see the candidates")]
        let steps = (maximum / step).ceil() as u32;
        Self { points, step, steps }
    }

    fn width(&self) -> f64 {
        (RIGHT - LEFT) / self.points.max(1) as f64
    }

    fn x(&self, index: usize) -> f64 {
        LEFT + (index as f64 + 0.5) * self.width()
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - value / (self.step * f64::from(self.steps)) * (BOTTOM - TOP)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_scale_contains_every_value_in_few_steps(maximum in 0_u64..1 << 62) {
            let scale = Scale::new(30, maximum);
            prop_assert!((1..=5).contains(&scale.steps), "{} steps", scale.steps);
            prop_assert!(scale.y(maximum as f64) >= TOP - 0.01);
            prop_assert!(scale.step.fract() == 0.0, "{}", scale.step);
        }
    }
}
