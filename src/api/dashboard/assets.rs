//! The files of the dashboard, included in the binary.

/// Pairs of a name and the content of the file with this name.
macro_rules! assets {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("assets/", $name)))),*] };
}

/// The page, with placeholders in double braces.
pub(super) const PAGE: &str = include_str!("assets/index.html");

/// The other files by name.
pub(super) const ASSETS: &[(&str, &str)] = assets![
    "access.js",
    "activity.js",
    "api.js",
    "app.js",
    "block.js",
    "chart.js",
    "clients.js",
    "days.js",
    "definition.js",
    "departments.js",
    "dom.js",
    "download.js",
    "features.js",
    "figures.js",
    "filters.js",
    "foot.js",
    "format.js",
    "glance.js",
    "licences.js",
    "movement.js",
    "oidc.js",
    "problem.js",
    "retention.js",
    "state.js",
    "storage.js",
    "style.css",
    "table.js",
    "texts.en.js",
    "texts.js",
    "texts.zh.js",
    "view.js",
];
