//! The worked example of `docs/metrics.md`: reports over its rows equal its tables.

use std::{collections::BTreeSet, sync::Arc};

use feishu_pulse::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    report::{
        DayDigest, DepartmentSlice, FiguresByDay, Interval, KnownDates, SumsByDay, TrailingCounts, activity,
        client_versions::{ClientVersion, VersionUsage, ages},
        department_totals::{self, departments_with_rows},
        department_tree::DepartmentTree,
        movement::{self, MovementInput},
        relative_change,
        retention::{activation_days, retention},
        user_rollup::UserRollup,
        user_totals::{PersonTotals, UserFilter, UserSort, UserSortKey, UserTotals},
    },
    table::{
        Counter, DayMetadata as _, DayTable, DayTableBuilder, Department, Dictionary, Flag, Flags, Row, RowSelection,
    },
};
use jiff::Timestamp;

const PAGE: &str = include_str!("../../../docs/metrics.md");

const MESSAGES: usize = Counter::SendMessengerNum.index();

/// Monday to Wednesday.
fn week() -> DayRange {
    DayRange::new("2026-11-02".parse().unwrap(), "2026-11-04".parse().unwrap()).unwrap()
}

/// Parses a cell of the first table: whether the person was active, and how many messages they sent. `None` if the cell
/// has no row.
fn cell(text: &str) -> Option<(bool, u64)> {
    if text.starts_with('—') {
        return None;
    }
    let Some(rest) = text.strip_prefix("active, ") else {
        assert_eq!(text, "·");
        return Some((false, 0));
    };
    Some((true, rest.split(' ').next().unwrap().parse().unwrap()))
}

/// The rows of a day in the first table.
fn rows(at: usize) -> Vec<Row> {
    let lines = PAGE.lines().skip_while(|line| !line.contains("| department | Mon | Tue | Wed |")).skip(2).take(4);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (is_active, messages) = cell(cells[2 + at].split(" (").next().unwrap())?;
        // A cell such as `研发, on Wed 销售`.
        let (first, after_change) = cells[1].split_once(", on Wed ").unwrap_or((cells[1], cells[1]));
        let name = if at == 2 { after_change } else { first };
        let mut counters = [0; Counter::COUNT];
        counters[MESSAGES] = messages;
        // According to the page, A, B and C activated their accounts in this week and D in the next.
        let activated: Day = if cells[0] == "D" { "2026-11-09" } else { "2026-11-02" }.parse().unwrap();
        Some(Row {
            user_id: Some(cells[0].to_owned()),
            department: Department { name: name.into(), path: format!("总部/{name}").into() },
            register_time: Some(Geo::Cn.starts_at(activated)),
            flags: Flags::default().with(Flag::Activated, true).with(Flag::Active, is_active),
            counters,
            ..Row::default()
        })
    };
    lines.filter_map(row).collect()
}

fn days() -> Vec<Arc<DayTable>> {
    let dictionary = Arc::new(Dictionary::default());
    let day = |(at, day): (usize, Day)| {
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        let mut builder = DayTableBuilder::new(key, Arc::clone(&dictionary));
        for row in rows(at) {
            builder.push(&row);
        }
        Arc::new(builder.finish(Timestamp::UNIX_EPOCH))
    };
    week().days().enumerate().map(day).collect()
}

fn digests() -> Vec<Arc<DayDigest>> {
    days().iter().map(|day| Arc::new(DayDigest::from_day(day, None))).collect()
}

fn company_figures(digests: &[Arc<DayDigest>]) -> FiguresByDay {
    digests.iter().map(|digest| (digest.key().day, Arc::clone(digest.figures()))).collect()
}

#[test]
fn the_page_has_the_expected_rows() {
    let people = |at| rows(at).iter().map(|row| row.user_id.clone().unwrap()).collect::<String>();
    assert_eq!([people(0), people(1), people(2)], ["ABC", "ABC", "ABCD"]);
}

fn sums(digests: &[Arc<DayDigest>]) -> SumsByDay {
    digests.iter().map(|digest| (digest.key().day, digest.figures().sums)).collect()
}

#[test]
fn activity_equals_the_table() {
    let digests = digests();
    let days = company_figures(&digests);

    let trailing = TrailingCounts::new(&days, &BTreeSet::new());
    let activity = |interval| activity::activity(week(), interval, None, &sums(&digests), &&days, &trailing);

    let (daily, weekly) = (activity(Interval::Day), activity(Interval::Week));

    assert_eq!(
        daily.iter().map(|day| day.figures.as_ref().unwrap().range.suite.active).collect::<Vec<_>>(),
        [Some(2); 3]
    );
    let [week] = &weekly[..] else { panic!("one week") };
    let week = week.figures.as_ref().unwrap();
    let range = &week.range;
    assert_eq!((range.users, range.activated, range.suite.active, range.counters[MESSAGES]), (4, Some(4), Some(4), 42));
    assert_eq!((week.trailing.wau, week.trailing.mau, week.stickiness), (None, None, None));
}

#[test]
fn departments_equal_the_table() {
    let digests = digests();
    let tree = DepartmentTree::new(&departments_with_rows(&digests), &digests[0].dictionary().read(), None);

    let totals = department_totals::totals(&digests, &tree, None, true);

    for (node, totals) in tree.nodes().iter().zip(totals) {
        let active = totals.figures.suite.active.unwrap();
        let line = format!("| {} | {} | {active}", node.path, totals.figures.users);
        let found = PAGE.lines().find(|found| found.starts_with(&line)).unwrap_or_else(|| panic!("{line}"));
        assert!(found.ends_with(&format!("| {} |", totals.figures.counters[MESSAGES])), "{found}");
    }
    assert_eq!(tree.len(), 3);
}

fn totals(filter: &UserFilter) -> Vec<PersonTotals> {
    let days = days();
    let rollups: Vec<UserRollup> = days.iter().map(|day| UserRollup::Day(Arc::clone(day))).collect();
    let dictionary = days[0].dictionary().read();
    let user_totals = UserTotals { rollups: &rollups, dictionary: &dictionary, status_rule: None };
    let people = user_totals.ranking(filter, UserSort { key: UserSortKey::UserId, descending: false }).page(0, 10);
    user_totals.totals(&people, &filter.selection)
}

#[test]
fn totals_of_people_equal_the_table() {
    for total in totals(&UserFilter::default()) {
        let last = total
            .last_active_date
            .map(|day| ["Mon", "Tue", "Wed"][usize::try_from(day.since(week().first())).unwrap()]);
        let id = total.profile.user_id.clone().unwrap();
        let line = format!("| {id} | {} | {} | {} |", total.active_days, last.unwrap(), total.counters[MESSAGES]);
        assert!(PAGE.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn totals_in_a_department_count_only_its_rows() {
    let selection = RowSelection { department_path: Some("总部/研发".to_owned()), ..RowSelection::default() };

    let totals = totals(&UserFilter { selection, ..UserFilter::default() });

    let c = totals.iter().find(|total| total.profile.user_id.as_deref() == Some("C")).unwrap();
    assert_eq!((c.active_days, c.counters[MESSAGES]), (1, 1));
}

#[test]
fn people_inactive_for_two_days_are_found() {
    let digests = digests();
    let mut active = digests[1].figures().people_with(Flag::Active).identified.clone();
    active.union_with(&digests[2].figures().people_with(Flag::Active).identified);

    let totals = totals(&UserFilter { excluded: Some(active), ..UserFilter::default() });

    assert_eq!(totals.iter().map(|total| total.profile.user_id.as_deref().unwrap()).collect::<Vec<_>>(), ["B"]);
}

#[test]
fn the_summary_has_averages_and_changes() {
    let digests = digests();
    let summary = activity::figures_of_range(&sums(&digests), None, &&company_figures(&digests));

    assert!((summary.suite.active_per_day - 2.0).abs() < f64::EPSILON);
    let messages = summary.counters[MESSAGES] as f64;
    assert!((relative_change(Some(messages), Some(40.0)).unwrap() - 0.05).abs() < 1e-9);
}

#[test]
fn the_first_cohort_has_full_retention() {
    let digests = digests();
    let days = company_figures(&digests);
    let mut activated = std::collections::BTreeMap::<Day, fixedbitset::FixedBitSet>::new();
    for (person, day) in activation_days(&digests) {
        activated.entry(day).or_default().grow_and_insert(person as usize);
    }

    let dates = KnownDates { counted: days.keys().copied().collect(), ..KnownDates::default() };
    let cohorts = retention(week(), Interval::Week, &activated, &days, &dates);

    assert_eq!((cohorts[0].people, cohorts[0].periods[0].active, cohorts[0].periods[0].share), (3, 3, Some(1.0)));
}

/// The lines below the line of a table's head, as cells.
fn table(head: &str) -> Vec<Vec<String>> {
    let lines = PAGE.lines().skip_while(|line| !line.contains(head)).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    lines.map(cells).collect()
}

#[test]
fn movement_equals_the_table() {
    let people = table("| week of 2 Nov | week of 9 Nov |");
    let dictionary = Arc::new(Dictionary::default());
    let weeks: Vec<DayRange> =
        ["2026-11-02", "2026-11-09"].map(|day| Interval::Week.containing(day.parse().unwrap())).into();
    let row = |cells: &[String], week: usize| {
        let (name, _) = cells[week + 1].split_once(',').unwrap_or((&cells[week + 1], ""));
        let activated: Day = if cells[2].contains("10 Nov") { "2026-11-10" } else { "2026-01-01" }.parse().unwrap();
        (name != "—").then(|| Row {
            user_id: Some(cells[0].clone()),
            department: Department { name: name.into(), path: format!("总部/{name}").into() },
            register_time: Some(Geo::Cn.starts_at(activated)),
            flags: Flags::default().with(Flag::Active, cells[week + 1].contains("active")),
            ..Row::default()
        })
    };
    let digest = |(week, day): (usize, Day)| {
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        let mut builder = DayTableBuilder::new(key, Arc::clone(&dictionary));
        people.iter().filter_map(|cells| row(cells, week)).for_each(|row| builder.push(&row));
        Arc::new(DayDigest::from_day(&builder.finish(Timestamp::UNIX_EPOCH), None))
    };
    let days: Vec<Arc<DayDigest>> =
        weeks.iter().enumerate().flat_map(|(week, days)| days.days().map(move |day| (week, day))).map(digest).collect();
    let dates = KnownDates { counted: days.iter().map(|day| day.key().day).collect(), ..KnownDates::default() };
    let (activations, research) = (activation_days(&days), dictionary.read().departments_within("总部/研发"));

    for (departments, column) in [(None, 3), (Some(&research), 4)] {
        let input = MovementInput { days: &days, departments, dates: &dates, activations: &activations };
        let [week] = &movement::movement(weeks[1], Interval::Week, &input)[..] else { panic!("one week") };
        let found = week.movement.unwrap();
        let said = |figure: &str| {
            people.iter().filter(|cells| cells[column].split(", ").any(|word| word == figure)).count() as u64
        };
        let figures = [found.retained, found.new, found.reactivated, found.newly_dormant, found.joined, found.left];
        let names = ["retained", "new", "reactivated", "newly_dormant", "joined", "left"];
        assert_eq!(figures, names.map(said), "{column}");
        assert_eq!((found.transferred_in, found.transferred_out), (said("transferred_in"), said("transferred_out")));
        assert_eq!(found.active, said("retained") + said("new") + said("reactivated"));
        assert!(PAGE.contains(&format!("`active` {} = ", found.active)));
    }
}

#[test]
fn ages_of_versions_equal_the_table() {
    let versions = table("| version | `users` | `share` |");
    let usage = |cells: &Vec<String>| VersionUsage {
        version: ClientVersion {
            system: Some("ios".into()),
            client: "feishu".into(),
            version: Some((*cells[0]).into()),
        },
        users: Some(cells[1].parse().unwrap()),
        system_users: Some(200),
    };
    let usages: Vec<VersionUsage> = versions.iter().map(usage).collect();

    for ((age, usage), cells) in ages(&usages).iter().zip(&usages).zip(&versions) {
        let share = usage.users.unwrap() as f64 / 200.0;
        let found = [share.to_string(), age.is_newest.unwrap().to_string(), age.is_outdated.unwrap().to_string()];
        assert_eq!(found, cells[2..], "{}", cells[0]);
    }
    assert_eq!(versions.len(), 5);
}

#[test]
fn a_department_covers_whole_segments() {
    let digests = digests();
    let within = digests[0].dictionary().read().departments_within("总部/研");
    assert_eq!(DepartmentSlice::new(within).figures(&digests[0]).sums.users, 0);
}
