//! All kinds of problems as a page of documentation, written from the table that they are answered from:
//! `docs/problems.md`.

use std::fmt::Write as _;

use crate::api::problem::{Explanation, ProblemCode};

/// What stands above the problems.
const INTRODUCTION: &str = "\
# Problems

<!-- Written by `feishu-pulse problems` from the table in src/api/problem/code.rs; do not edit. -->

Errors are problem documents (RFC 9457, `application/problem+json`). `code` names the kind of problem and never changes its
meaning; `type` is a path of the service that explains it, as this page does; `detail` says what happened this time; `errors`
names every faulty parameter; `request_id` finds the request in the log; `upstream_code` and `upstream_log_id` are Feishu's own,
where Feishu is behind it; `retry_after` (seconds) is there where asking again makes sense, as `Retry-After`.

Below `/open-apis/` errors have Feishu's own shape instead: see [drop-in.md](drop-in.md).
";

/// The whole page.
pub(super) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for code in ProblemCode::ALL {
        let Explanation { status, title, cause, cure } = code.explain();
        // Writing to memory does not fail.
        let _ = write!(page, "\n## {}\n\n**{title}** (status {})\n\n", code.name(), status.as_u16());
        let _ = write!(page, "- Cause: {cause}\n- Cure: {cure}\n");
    }
    page
}
