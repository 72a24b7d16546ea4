//! The kinds of user and department ids that the API accepts.

use std::str::FromStr;

/// The kind of user id: the parameter `user_id_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UserIdKind {
    /// Identifies the user within one app (`ou_…`). The default.
    #[default]
    OpenId,
    /// Identifies the user within all apps of one developer (`on_…`).
    UnionId,
    /// Identifies the user within the tenant. Needs the scope `contact:user.employee_id:readonly`.
    UserId,
}

/// The kind of department id: the parameter `department_id_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DepartmentIdKind {
    /// Identifies the department within one app (`od-…`). The default.
    #[default]
    OpenDepartmentId,
    /// Identifies the department within the tenant.
    DepartmentId,
}

/// The error for a text that names no kind of id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct ParseIdKindError {
    expected: &'static str,
}

impl UserIdKind {
    /// All kinds of user id.
    pub const ALL: [Self; 3] = [Self::OpenId, Self::UnionId, Self::UserId];

    /// The value of the parameter `user_id_type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
            Self::UserId => "user_id",
        }
    }
}

impl DepartmentIdKind {
    /// All kinds of department id.
    pub const ALL: [Self; 2] = [Self::OpenDepartmentId, Self::DepartmentId];

    /// The value of the parameter `department_id_type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenDepartmentId => "open_department_id",
            Self::DepartmentId => "department_id",
        }
    }
}

impl FromStr for UserIdKind {
    type Err = ParseIdKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "open_id, union_id, user_id";
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(ParseIdKindError { expected })
    }
}

impl FromStr for DepartmentIdKind {
    type Err = ParseIdKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "open_department_id, department_id";
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(ParseIdKindError { expected })
    }
}
