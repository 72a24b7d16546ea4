//! The files of the dashboard, included in the binary.

/// Pairs of a name and the content of the file with this name.
macro_rules! assets {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("assets/", $name)))),*] };
}

/// The page, with placeholders in double braces.
pub(super) const PAGE: &str = include_str!("assets/index.html");

/// The other files by name.
pub(super) const ASSETS: &[(&str, &str)] = assets!["app.js", "style.css"];
