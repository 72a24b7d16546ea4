//! Error codes of the API, with their HTTP status and message.

use std::borrow::Cow;

/// An error of the API. The code identifies it; several codes share an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
    /// The name of the invalid parameter.
    pub(crate) field: Option<&'static str>,
}

/// Code, HTTP status and message of each known error. From Feishu's documentation of the API and its generic error
/// codes.
const KNOWN_ERRORS: [(i64, u16, &str); 29] = [
    (10003, 200, "invalid param"),
    (10005, 200, "tenant access token is invalid"),
    (10012, 200, "app is not available"),
    (10013, 200, "app is not installed"),
    (10014, 200, "app secret invalid"),
    (10015, 200, "app status is invalid"),
    (1500, 500, "internal error"),
    (1663, 500, "internal error"),
    (1668, 500, "internal error"),
    (2200, 500, "Internal Error"),
    (5000, 500, "internal error"),
    (10101, 500, "internal error"),
    (11210, 400, "app is disabled by the tenant"),
    (20009, 400, "tenant has not purchased the app"),
    (20013, 400, "The tenant access token passed is invalid"),
    (1_051_001, 500, "request contain invalid param"),
    (1_051_002, 400, "request to exceed authority"),
    (99_991_400, 429, "request trigger frequency limit"),
    (99_991_401, 400, "ip is denied by app setting"),
    (99_991_403, 429, "This month's API call quota has been exceeded"),
    (99_991_406, 429, "The API call quota of the package has been exceeded"),
    (99_991_661, 400, "Missing access token for authorization. Please make a request with token attached"),
    (99_991_662, 400, "The app is not in use"),
    (99_991_663, 400, "Invalid access token for authorization. Please make a test attempt with the correct token"),
    (99_991_671, 400, "Invalid access token for authorization"),
    (99_991_672, 400, "Access denied. One of the following scopes is required: [admin:admin_user_stat:readonly]"),
    (99_992_351, 400, "The request you send is not a valid {open_id} or not exists"),
    (99_992_357, 400, "The request you send is not a valid {department_id} or not exists"),
    (99_992_361, 400, "open_id cross app"),
];

impl ApiError {
    /// The error for a code, with its documented HTTP status and message; status 500 for an unknown code.
    pub(crate) fn from_code(code: i64) -> Self {
        let known = KNOWN_ERRORS.iter().find(|(known, ..)| *known == code);
        let (status, message) = known.map_or((500, "unknown error"), |(_, status, message)| (*status, *message));
        Self { status, code, message: Cow::Borrowed(message), field: None }
    }

    /// The error for an invalid parameter.
    pub(crate) fn invalid_parameter(field: &'static str) -> Self {
        Self { field: Some(field), ..Self::from_code(1_051_001) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_parameter_has_status_500() {
        let error = ApiError::invalid_parameter("page_size");

        assert_eq!((error.status, error.code, error.field), (500, 1_051_001, Some("page_size")));
    }

    #[test]
    fn no_code_is_listed_twice() {
        for (index, (code, ..)) in KNOWN_ERRORS.iter().enumerate() {
            assert!(KNOWN_ERRORS[..index].iter().all(|(other, ..)| other != code), "{code}");
        }
    }
}
