//! Renders documents in Markdown as pages, so that a browser shows them and a link can name a heading or a figure.

use std::collections::BTreeSet;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use quick_xml::escape::escape;

/// A document in Markdown.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkdownPage {
    /// The path below `docs/` without its ending, such as `zh/metrics`.
    pub(super) path: &'static str,
    /// The content.
    pub(super) markdown: &'static str,
}

/// The folder of the documents in Chinese.
const CHINESE: &str = "zh/";

impl MarkdownPage {
    /// The document as HTML. `served` has the paths of the documents that links can lead to; other relative links become text.
    pub(super) fn render(&self, served: &[&str]) -> String {
        let events: Vec<Event<'_>> = Parser::new_ext(self.markdown, Options::ENABLE_TABLES).collect();
        let title = title(&events);
        let mut content = String::with_capacity(self.markdown.len() * 5 / 4);
        html::push_html(&mut content, self.with_anchors(events, served).into_iter());
        let (lang, root) = if self.path.starts_with(CHINESE) { ("zh-CN", "../") } else { ("en", "") };
        let (dashboard, api) = if lang == "en" { ("Dashboard", "API") } else { ("看板", "API 文档") };
        format!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} · feishu-pulse</title>\n\
             <link rel=\"stylesheet\" href=\"{root}page.css\">\n</head>\n<body>\n\
             <nav><a href=\"{root}../\">{dashboard}</a> · <a href=\"{root}\">{api}</a></nav>\n<main>\n{content}</main>\n</body>\n</html>\n",
            escape(title)
        )
    }

    /// Gives an id to each heading, and to the name of a figure at the beginning of a row; adapts links and tables.
    fn with_anchors<'a>(&self, events: Vec<Event<'a>>, served: &[&str]) -> Vec<Event<'a>> {
        let headings: Vec<String> = (0..events.len()).map(|at| heading_text(&events[at..])).collect();
        let mut adapted = Vec::with_capacity(events.len());
        let mut ids = BTreeSet::new();
        let mut links = Vec::new();
        let mut section = String::new();
        let mut is_row_begun = false;
        for (event, heading) in events.into_iter().zip(headings) {
            let is_first_cell = std::mem::replace(&mut is_row_begun, false);
            match event {
                Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                    let id = slug(&heading);
                    section = heading;
                    let id = ids.insert(id.clone()).then(|| id.into());
                    adapted.push(Event::Start(Tag::Heading { level, id, classes, attrs }));
                }
                // A wide table scrolls inside a region that the keyboard reaches.
                Event::Start(Tag::Table(_)) => {
                    let region = "<div class=\"table\" tabindex=\"0\" role=\"group\" aria-label=\"";
                    adapted.push(Event::Html(format!("{region}{}\">", escape(section.as_str())).into()));
                    adapted.push(event);
                }
                Event::End(TagEnd::Table) => adapted.extend([event, Event::Html("</div>\n".into())]),
                Event::Start(Tag::TableRow) => {
                    is_row_begun = true;
                    adapted.push(event);
                }
                Event::Start(Tag::TableCell) => {
                    is_row_begun = is_first_cell;
                    adapted.push(event);
                }
                Event::Code(name) if is_first_cell && ids.insert(name.to_string()) => {
                    let name = escape(&*name);
                    adapted.push(Event::InlineHtml(format!("<code id=\"{name}\">{name}</code>").into()));
                }
                Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                    let target = self.target(&dest_url, served);
                    links.push(target.is_some());
                    let link =
                        |target| Event::Start(Tag::Link { link_type, dest_url: CowStr::from(target), title, id });
                    adapted.extend(target.map(link));
                }
                Event::End(TagEnd::Link) => adapted.extend(links.pop().unwrap_or(true).then_some(event)),
                event => adapted.push(event),
            }
        }
        adapted
    }

    /// The address of a link on the page; `None` if the document that it names is not served.
    fn target(&self, address: &str, served: &[&str]) -> Option<String> {
        let (document, fragment) = address.split_once('#').map_or((address, None), |(path, id)| (path, Some(id)));
        let Some(document) = document.strip_suffix(".md") else { return Some(address.to_owned()) };
        if document.contains("://") {
            return Some(address.to_owned());
        }
        let in_chinese = self.path.starts_with(CHINESE);
        let path = match document.strip_prefix("../") {
            Some(above) if in_chinese => above.to_owned(),
            Some(_) => return None,
            None if in_chinese => format!("{CHINESE}{document}"),
            None => document.to_owned(),
        };
        let fragment = fragment.map(|id| format!("#{id}")).unwrap_or_default();
        served.contains(&path.as_str()).then(|| format!("{document}.html{fragment}"))
    }
}

/// The text of the first heading.
fn title(events: &[Event<'_>]) -> String {
    (0..events.len()).map(|at| heading_text(&events[at..])).find(|text| !text.is_empty()).unwrap_or_default()
}

/// The text of the heading that begins with the first event; empty if none does.
fn heading_text(events: &[Event<'_>]) -> String {
    if !matches!(events.first(), Some(Event::Start(Tag::Heading { .. }))) {
        return String::new();
    }
    let inside = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    inside
        .filter_map(|event| if let Event::Text(text) | Event::Code(text) = event { Some(&**text) } else { None })
        .collect()
}

/// The id of a heading, as GitHub makes it: in lower case, with hyphens for spaces, without other signs.
fn slug(text: &str) -> String {
    let letters = text.to_lowercase();
    let letters = letters.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    letters.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rendered(path: &'static str, markdown: &'static str) -> String {
        MarkdownPage { path, markdown }.render(&["metrics", "access", "zh/metrics", "zh/access"])
    }

    #[test]
    fn headings_and_figures_have_ids() {
        let page = rendered(
            "metrics",
            "# All figures\n\n## Peer & group: `wau`\n\n| figure | |\n| --- | --- |\n| `wau` | `mau` |\n| `wau` | |\n",
        );

        for expected in [
            "<title>All figures · ",
            "<h1 id=\"all-figures\">",
            "<h2 id=\"peer--group-wau\">",
            "<td><code id=\"wau\">wau</code></td>",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("id=\"mau\"") && page.matches("id=\"wau\"").count() == 1, "{page}");
    }

    #[rstest]
    #[case("metrics", "zh/metrics.md", Some("zh/metrics.html"))]
    #[case("metrics", "access.md#small-groups", Some("access.html#small-groups"))]
    #[case("metrics", "archive.md", None)]
    #[case("metrics", "../README.md", None)]
    #[case("zh/metrics", "../access.md#x", Some("../access.html#x"))]
    #[case("zh/metrics", "access.md", Some("access.html"))]
    #[case("zh/metrics", "../archive.md", None)]
    #[case("zh/metrics", "#here", Some("#here"))]
    #[case("metrics", "https://example.com/a.md", Some("https://example.com/a.md"))]
    fn links_lead_to_served_pages(#[case] path: &'static str, #[case] address: &str, #[case] expected: Option<&str>) {
        let page = MarkdownPage { path, markdown: "" };
        assert_eq!(page.target(address, &["metrics", "access", "zh/metrics", "zh/access"]).as_deref(), expected);
    }

    #[test]
    fn a_link_to_a_document_that_is_not_served_is_text() {
        let page = rendered("metrics", "# T\n\nSee [the archive](archive.md) and [access](access.md).\n");
        assert!(page.contains("See the archive and <a href=\"access.html\">access</a>."), "{page}");
    }
}
