//! The parameters of a picture: its colours and its language.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// The parameters of a picture, in addition to those of its JSON operation.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PictureParams {
    /// Colours for a light or a dark background. Default: `light`.
    #[param(inline)]
    theme: Option<PictureTheme>,
    /// Language of the texts. Default: `en`.
    #[param(inline)]
    lang: Option<PictureLanguage>,
}

/// Colours and language of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureStyle {
    /// The colours.
    pub theme: PictureTheme,
    /// The language.
    pub language: PictureLanguage,
}

/// The colours of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureTheme {
    /// For a light background.
    #[default]
    Light,
    /// For a dark background.
    Dark,
}

/// The language of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureLanguage {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

impl PictureParams {
    /// The style, with defaults for what is not set.
    #[must_use]
    pub fn style(self) -> PictureStyle {
        PictureStyle { theme: self.theme.unwrap_or_default(), language: self.lang.unwrap_or_default() }
    }
}
