//! The picture of the summary: the main figures with their change, and the use of each feature.

use std::io;

use super::{
    drawing::{Anchor, Drawing},
    style::PictureStyle,
    words::{PictureWords, change, change_in_points, percent, whole},
};
use crate::model::DayRange;

const WIDTH: u32 = 960;

/// Width of a main figure with its margin, in pixels.
const TILE_WIDTH: f64 = 184.0;

// Where the bars begin, and the height of a bar with its margin, in pixels.
const BARS_TOP: f64 = 228.0;
const BAR_HEIGHT: f64 = 32.0;

// Left and right edge of the bars, in pixels.
const BARS_LEFT: f64 = 130.0;
const BARS_RIGHT: f64 = 790.0;

/// What the picture shows.
#[derive(Debug)]
pub struct SummaryChart<'a> {
    /// The range.
    pub days: DayRange,
    /// The range of equal length before it.
    pub before: DayRange,
    /// The selected department; `None`: all.
    pub department: Option<&'a str>,
    /// The main figures.
    pub figures: Vec<HeadlineFigure<'a>>,
    /// People per day who used each feature.
    pub features: Vec<HeadlineFigure<'a>>,
    /// Whether figures are withheld because groups are small.
    pub are_figures_withheld: bool,
    /// Colours and language.
    pub style: PictureStyle,
}

/// A figure and its change.
#[derive(Debug)]
pub struct HeadlineFigure<'a> {
    /// The name of the figure or the feature.
    pub name: &'a str,
    /// Whether the figure is a share.
    pub is_share: bool,
    /// The value; `None`: unknown or withheld.
    pub current: Option<f64>,
    /// The value in the range before.
    pub previous: Option<f64>,
    /// The change: of a share the difference, of another figure relative to the value before. `None`: unknown.
    pub change: Option<f64>,
}

impl SummaryChart<'_> {
    /// The picture as SVG.
    ///
    /// # Errors
    /// If the XML writer fails. No cause is known, because it writes to memory.
    pub fn draw(&self) -> io::Result<Vec<u8>> {
        let words = self.style.language.words();
        let title = format!("{}{}{}", words.summary, words.colon, self.department.unwrap_or(words.everyone));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred pixels")]
        let height = (BARS_TOP + self.features.len() as f64 * BAR_HEIGHT) as u32 + 44;
        let mut drawing = Drawing::new((WIDTH, height), &title, &self.description(words), self.style)?;
        let palette = drawing.palette;
        let heading = [("fill", palette.text), ("font-size", "18"), ("font-weight", "600")];
        drawing.text((20.0, 32.0), Anchor::Start, &heading, &title)?;
        let ranges = format!("{} – {}{}{}", self.days.first(), self.days.last(), words.comma, self.compared(words));
        drawing.text((20.0, 54.0), Anchor::Start, &[("fill", palette.muted)], &ranges)?;
        for (index, figure) in self.figures.iter().enumerate() {
            self.draw_figure(&mut drawing, 20.0 + index as f64 * TILE_WIDTH, figure)?;
        }
        let heading = [("fill", palette.text), ("font-size", "15"), ("font-weight", "600")];
        drawing.text((20.0, BARS_TOP - 22.0), Anchor::Start, &heading, words.features_per_day)?;
        self.draw_features(&mut drawing)?;
        drawing.rectangle([BARS_LEFT, f64::from(height) - 33.0, 3.0, 15.0], palette.text)?;
        let position = (BARS_LEFT + 10.0, f64::from(height) - 21.0);
        drawing.text(position, Anchor::Start, &[("fill", palette.muted)], words.range_before)?;
        drawing.finish()
    }

    fn compared(&self, words: &PictureWords) -> String {
        format!("{} {} – {}", words.compared_with, self.before.first(), self.before.last())
    }

    /// All figures, in words.
    fn description(&self, words: &PictureWords) -> String {
        let language = self.style.language;
        let [open, close] = words.parentheses;
        let described = |figure: &HeadlineFigure<'_>| {
            let change = self.change(figure).map(|change| format!("{open}{change}{close}")).unwrap_or_default();
            format!("{}{}{}{change}", language.figure(figure.name), words.colon, self.value(figure))
        };
        let list = |figures: &[HeadlineFigure<'_>]| figures.iter().map(described).collect::<Vec<_>>().join(words.comma);
        [list(&self.figures), format!("{}{}{}", words.features_per_day, words.colon, list(&self.features))]
            .map(|sentence| format!("{sentence}{}", words.full_stop))
            .join(words.between_sentences)
    }

    /// The value as text, or the reason why there is none.
    fn value(&self, figure: &HeadlineFigure<'_>) -> String {
        let words = self.style.language.words();
        match figure.current {
            Some(share) if figure.is_share => percent(share),
            Some(number) => whole(number),
            None if self.are_figures_withheld => words.withheld.to_owned(),
            None => words.unknown.to_owned(),
        }
    }

    /// The change as text; `None`: unknown.
    fn change(&self, figure: &HeadlineFigure<'_>) -> Option<String> {
        let words = self.style.language.words();
        figure.change.map(|share| if figure.is_share { change_in_points(share, words) } else { change(share) })
    }

    fn draw_figure(&self, drawing: &mut Drawing, x: f64, figure: &HeadlineFigure<'_>) -> io::Result<()> {
        let palette = drawing.palette;
        let width = TILE_WIDTH - 12.0;
        drawing.rectangle([x, 76.0, width, 98.0], palette.shade)?;
        let label = self.style.language.figure(figure.name);
        drawing.text((x + 14.0, 100.0), Anchor::Start, &[("fill", palette.muted)], label)?;
        let value = self.value(figure);
        let size = if figure.current.is_some() { "26" } else { "18" };
        let attributes = [("fill", palette.text), ("font-size", size), ("font-weight", "600")];
        drawing.text((x + 14.0, 134.0), Anchor::Start, &attributes, &value)?;
        let change = self.change(figure).unwrap_or("–".to_owned());
        drawing.text((x + 14.0, 160.0), Anchor::Start, &[("fill", palette.muted)], &change)
    }

    /// A bar for each feature, and a mark at the value of the range before.
    fn draw_features(&self, drawing: &mut Drawing) -> io::Result<()> {
        let palette = drawing.palette;
        let values = self.features.iter().flat_map(|figure| [figure.current, figure.previous]).flatten();
        let maximum = values.fold(1.0, f64::max);
        let length = |value: f64| value / maximum * (BARS_RIGHT - BARS_LEFT);
        for (index, figure) in self.features.iter().enumerate() {
            let y = BARS_TOP + index as f64 * BAR_HEIGHT;
            let label = self.style.language.figure(figure.name);
            drawing.text((BARS_LEFT - 12.0, y + 15.0), Anchor::End, &[("fill", palette.text)], label)?;
            drawing.rectangle([BARS_LEFT, y, BARS_RIGHT - BARS_LEFT, 20.0], palette.shade)?;
            if let Some(current) = figure.current {
                drawing.rectangle([BARS_LEFT, y, length(current), 20.0], palette.lines[0])?;
            }
            if let Some(previous) = figure.previous {
                drawing.rectangle([BARS_LEFT + length(previous) - 1.5, y - 3.0, 3.0, 26.0], palette.text)?;
            }
            let change = self.change(figure).map(|change| format!("  {change}")).unwrap_or_default();
            let value = format!("{}{change}", self.value(figure));
            drawing.text((BARS_RIGHT + 12.0, y + 15.0), Anchor::Start, &[("fill", palette.text)], &value)?;
        }
        Ok(())
    }
}
