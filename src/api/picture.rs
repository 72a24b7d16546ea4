//! Pictures of reports: stand-alone SVG for scripts that fetch it with a key, and for reports by mail.
//!
//! A picture has the path of its JSON operation with the suffix `.svg`, and the same handler. It contains neither scripts nor
//! styles nor addresses, so it can be shown anywhere.

pub mod activity_chart;
mod drawing;
pub mod style;
pub mod summary;
mod words;

use axum::{
    Extension,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use utoipa::{
    IntoParams,
    openapi::{ContentBuilder, ObjectBuilder, RefOr, ResponseBuilder, Type, path::Paths},
};
use utoipa_axum::router::UtoipaMethodRouter;

use self::style::PictureParams;
use super::{
    exports::{NOT_ACCEPTABLE, append},
    format::PathSuffix,
    list_response::serialization_problem,
    state::ApiState,
};

/// The suffix of the path of a picture.
const SUFFIX: &str = ".svg";

const MEDIA_TYPE: &str = "image/svg+xml";

/// Browsers that open the picture by its address load nothing else.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'");

/// The routes of the picture of a JSON operation.
pub(super) fn with_picture((schemas, paths, handlers): UtoipaMethodRouter<ApiState>) -> UtoipaMethodRouter<ApiState> {
    let mut picture_paths = Paths::new();
    for (path, mut item) in paths.paths {
        if let Some(operation) = &mut item.get {
            operation.operation_id = operation.operation_id.as_ref().map(|id| format!("{id}Picture"));
            operation.summary = operation.summary.as_ref().map(|summary| format!("{summary}, as a picture"));
            append(
                &mut operation.description,
                "A stand-alone SVG with a title and a description for screen readers. Gaps are dates without figures; \
                 provisional dates, dates that do not count and withheld figures are marked.",
            );
            let parameters = PictureParams::into_params(|| None).into_iter().map(RefOr::T);
            operation.parameters.get_or_insert_default().extend(parameters);
            let text = ObjectBuilder::new().schema_type(Type::String).build();
            let content = ContentBuilder::new().schema(Some(text)).build();
            let response = ResponseBuilder::new().description("The picture").content(MEDIA_TYPE, content);
            let responses = &mut operation.responses.responses;
            responses.retain(|status, _| status != NOT_ACCEPTABLE);
            responses.insert("200".to_owned(), RefOr::T(response.build()));
        }
        picture_paths.paths.insert(format!("{path}{SUFFIX}"), item);
    }
    (schemas, picture_paths, handlers.layer(Extension(PathSuffix::Picture)))
}

/// The response with a picture.
#[must_use]
pub fn picture_response(picture: std::io::Result<Vec<u8>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    match picture {
        Ok(picture) => (headers, picture).into_response(),
        Err(error) => serialization_problem(error).into_response(),
    }
}
