//! Writes the elements of an SVG. Colours are attributes, because mail programs and office programs ignore style sheets.

use std::{borrow::Cow, io};

use quick_xml::{
    Writer,
    events::{BytesEnd, BytesStart, BytesText, Event},
};

use super::style::{PictureStyle, PictureTheme};

const FONTS: &str = "system-ui, 'PingFang SC', 'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif";

/// The fill of dates that are provisional, do not count or have no figures.
pub(super) const HATCH: &str = "url(#pulse-hatch)";

/// The colours of a theme.
#[derive(Debug)]
pub(super) struct Palette {
    pub(super) background: &'static str,
    pub(super) text: &'static str,
    pub(super) muted: &'static str,
    pub(super) grid: &'static str,
    pub(super) shade: &'static str,
    /// Three lines that people with colour blindness distinguish as well.
    pub(super) lines: [&'static str; 3],
}

const LIGHT: Palette = Palette {
    background: "#ffffff",
    text: "#1f2329",
    muted: "#5c636e",
    grid: "#dee0e3",
    shade: "#f0f1f3",
    lines: ["#245bdb", "#00856f", "#a84f00"],
};

const DARK: Palette = Palette {
    background: "#17181a",
    text: "#ebebeb",
    muted: "#a8acb3",
    grid: "#3a3d42",
    shade: "#26282b",
    lines: ["#7aa2ff", "#3fc9ad", "#f0a860"],
};

/// Where a text begins in relation to its position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// An SVG that is being written.
pub(super) struct Drawing {
    writer: Writer<Vec<u8>>,
    pub(super) palette: &'static Palette,
}

impl Drawing {
    /// Begins an SVG of that many pixels. `title` and `description` are for screen readers.
    pub(super) fn new(
        (width, height): (u32, u32),
        title: &str,
        description: &str,
        style: PictureStyle,
    ) -> io::Result<Self> {
        let palette = match style.theme {
            PictureTheme::Light => &LIGHT,
            PictureTheme::Dark => &DARK,
        };
        let mut drawing = Self { writer: Writer::new(Vec::with_capacity(32 << 10)), palette };
        let (width, height) = (width.to_string(), height.to_string());
        drawing.open(
            "svg",
            &[
                ("xmlns", "http://www.w3.org/2000/svg"),
                ("width", &width),
                ("height", &height),
                ("viewBox", &format!("0 0 {width} {height}")),
                ("role", "img"),
                ("aria-labelledby", "pulse-title pulse-description"),
                ("xml:lang", style.language.tag()),
                ("font-family", FONTS),
                ("font-size", "13"),
            ],
        )?;
        drawing.with_text("title", &[("id", "pulse-title")], title)?;
        drawing.with_text("desc", &[("id", "pulse-description")], description)?;
        drawing.open("defs", &[])?;
        let pattern = [("id", "pulse-hatch"), ("width", "6"), ("height", "6"), ("patternUnits", "userSpaceOnUse")];
        drawing.open("pattern", &pattern)?;
        drawing.element(
            "path",
            &[("d", "M-1 7 7 -1M-1 1 1 -1M5 7 7 5"), ("stroke", palette.muted), ("stroke-opacity", "0.5")],
        )?;
        drawing.close("pattern")?;
        drawing.close("defs")?;
        drawing.element("rect", &[("width", "100%"), ("height", "100%"), ("fill", palette.background)])?;
        Ok(drawing)
    }

    /// An element without content.
    pub(super) fn element(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.writer.write_event(Event::Empty(start(name, attributes)))
    }

    /// A filled rectangle.
    pub(super) fn rectangle(&mut self, [x, y, width, height]: [f64; 4], fill: &str) -> io::Result<()> {
        let [x, y, width, height] = [x, y, width, height].map(pixels);
        self.element("rect", &[("x", &x), ("y", &y), ("width", &width), ("height", &height), ("fill", fill)])
    }

    /// A text of one line.
    pub(super) fn text(
        &mut self,
        (x, y): (f64, f64),
        anchor: Anchor,
        attributes: &[(&str, &str)],
        text: &str,
    ) -> io::Result<()> {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (pixels(x), pixels(y));
        let mut all = vec![("x", x.as_str()), ("y", y.as_str()), ("text-anchor", anchor)];
        all.extend(attributes);
        self.with_text("text", &all, text)
    }

    /// The SVG.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.close("svg")?;
        Ok(self.writer.into_inner())
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.writer.write_event(Event::Start(start(name, attributes)))
    }

    fn close(&mut self, name: &str) -> io::Result<()> {
        self.writer.write_event(Event::End(BytesEnd::new(name)))
    }

    fn with_text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) -> io::Result<()> {
        self.open(name, attributes)?;
        self.writer.write_event(Event::Text(BytesText::new(&without_forbidden(text))))?;
        self.close(name)
    }
}

/// A length or a position, with one decimal.
pub(super) fn pixels(length: f64) -> String {
    format!("{length:.1}")
}

fn start<'a>(name: &'a str, attributes: &[(&'a str, &'a str)]) -> BytesStart<'a> {
    BytesStart::new(name).with_attributes(attributes.iter().copied())
}

/// The text with a replacement for each character that XML 1.0 does not allow, escaped or not.
fn without_forbidden(text: &str) -> Cow<'_, str> {
    let is_forbidden = |character: char| matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(is_forbidden) { text.replace(is_forbidden, "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_from_the_picture(text in any::<String>()) {
            let mut drawing = Drawing::new((10, 10), &text, "", PictureStyle::default()).unwrap();
            drawing.text((1.0, 1.0), Anchor::Start, &[], &text).unwrap();
            let svg = String::from_utf8(drawing.finish().unwrap()).unwrap();

            let mut reader = Reader::from_str(&svg);
            let (mut title, mut inside) = (String::new(), false);
            loop {
                match reader.read_event().unwrap() {
                    Event::Start(tag) if tag.name().as_ref() == b"title" => inside = true,
                    Event::End(tag) if tag.name().as_ref() == b"title" => inside = false,
                    Event::Text(part) if inside => title.push_str(&part.decode().unwrap()),
                    Event::GeneralRef(entity) if inside => {
                        let name = entity.decode().unwrap().into_owned();
                        title.push_str(&quick_xml::escape::unescape(&format!("&{name};")).unwrap());
                    }
                    Event::Eof => break,
                    _ => {}
                }
            }
            prop_assert_eq!(title, without_forbidden(&text).into_owned());
        }
    }
}
