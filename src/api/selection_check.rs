//! Selection check: a department or person that no row of the selected days has is reported, not answered with nothing.

use std::{collections::BTreeSet, num::NonZeroU64, sync::Arc};

use super::{
    compute::compute,
    problem::{Problem, ProblemCode},
};
use crate::{
    access::Caller,
    query::{Query, SelectableDays},
    table::dictionary::is_path_within,
};

/// Maximum number of suggested departments.
const MAX_SUGGESTIONS: usize = 5;

/// Number of characters of a path that are compared, so that the comparison with many long paths takes bounded time.
const MAX_COMPARED_CHARS: usize = 256;

/// Note: the selection has no row on the days that are there.
const NO_ROW_SELECTED: &str =
    "no row of the days that are there has the selected department or person; some selected days are not there";

/// Loaded days that were checked.
pub(super) struct SelectionCheck<D> {
    /// The days.
    pub(super) days: D,
    /// A remark for `meta.notes`, if no row is selected.
    pub(super) note: Option<&'static str>,
}

/// Checks that the selected days have a row of the selected department and person. Departments with fewer than
/// `min_people` people are not suggested.
///
/// # Errors
/// `not_found`, if all selected days are there and none has such a row.
pub(super) async fn check_selection<D: SelectableDays + Send + 'static>(
    days: D,
    query: &Query,
    caller: &Caller,
    min_people: Option<NonZeroU64>,
) -> Result<SelectionCheck<D>, Problem> {
    if !query.selects_part() {
        return Ok(SelectionCheck { days, note: None });
    }
    let selection = query.selection.clone();
    let visible = caller.view().departments().map(<[Arc<str>]>::to_vec);
    // Searches all rows if none is selected.
    let check = move || {
        if days.has_match(&selection) {
            return Ok(SelectionCheck { days, note: None });
        }
        if days.loaded_days().lacks_selected_days() {
            return Ok(SelectionCheck { days, note: Some(NO_ROW_SELECTED) });
        }
        let path = match (&selection.user_id, &selection.department_path) {
            (Some(_), _) => return Err(Problem::new(ProblemCode::NotFound, "the person has no row in the range")),
            (None, None) => {
                return Err(Problem::new(ProblemCode::NotFound, "no row of the selected days has this department_id"));
            }
            (None, Some(path)) => path,
        };
        let mut candidates = days.department_paths(min_people);
        if let Some(visible) = visible {
            candidates.retain(|path| visible.iter().any(|visible| is_path_within(path, visible)));
        }
        let problem = Problem::new(ProblemCode::NotFound, "no row of the selected days has this department_path");
        Err(problem.with_suggestions(most_similar(path, candidates)))
    };
    compute(check).await?
}

/// The paths with the smallest edit distance from `path`, the most similar first.
fn most_similar(path: &str, candidates: BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
    let compared = |path: &str| path.chars().take(MAX_COMPARED_CHARS).collect::<String>();
    let path = compared(path);
    let mut ranked: Vec<(usize, Arc<str>)> = candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&path, &compared(&candidate)), candidate))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(MAX_SUGGESTIONS).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_most_similar_paths_are_suggested() {
        let candidates = ["总部", "总部/研发", "总部/研发/平台", "总部/销售", "总部/财务", "x", "总部/研发二部"];
        let candidates = candidates.into_iter().map(Arc::from).collect();
        let suggestions = most_similar("总部/研友", candidates);
        assert_eq!(suggestions.iter().map(|path| &**path).collect::<Vec<_>>()[..1], ["总部/研发"]);
        assert_eq!(suggestions.len(), 5);
        assert!(!suggestions.iter().any(|path| &**path == "x"));
    }
}
