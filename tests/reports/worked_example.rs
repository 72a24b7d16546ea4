//! The worked example of `docs/metrics.md`: its rows in, its figures out, and each of its tables as it stands there.

use std::sync::Arc;

use feishu_pulse::{
    model::{Day, DayKey, DayRange, Geo, Scope, UserIdType},
    report::{
        Digest, FiguresByDay, Interval, Narrowed, SumsByDay, Trailing, activity,
        departments::{present, rollups},
        retention::{activations, retention},
        sheet::Sheet,
        summary::{change, headline},
        tally::{Key, Sort, Tally, Total, Wanted},
        tree::Tree,
    },
    table::{Counter, Department, Directory, Flag, Flags, Origin as _, Partition, PartitionBuilder, Row, Selection},
};
use jiff::Timestamp;

const PAGE: &str = include_str!("../../docs/metrics.md");

const MESSAGES: usize = Counter::SendMessengerNum.index();

/// Monday, Tuesday and Wednesday.
fn week() -> DayRange {
    DayRange::new("2026-11-02".parse().unwrap(), "2026-11-04".parse().unwrap()).unwrap()
}

/// What a cell of the page's first table says of a day: whether the person was active, and how many messages they sent;
/// `None` where there is no row.
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

/// The rows of a day, off the page.
fn rows(at: usize) -> Vec<Row> {
    let lines = PAGE.lines().skip_while(|line| !line.contains("| department | Mon | Tue | Wed |")).skip(2).take(4);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (is_active, messages) = cell(cells[2 + at].split(" (").next().unwrap())?;
        // `研发, on Wed 销售`
        let (home, moved) = cells[1].split_once(", on Wed ").unwrap_or((cells[1], cells[1]));
        let name = if at == 2 { moved } else { home };
        let mut counters = [0; Counter::COUNT];
        counters[MESSAGES] = messages;
        // A, B and C activated in that week and D in the next, says the page.
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

fn days() -> Vec<Arc<Partition>> {
    let directory = Arc::new(Directory::default());
    let day = |(at, day): (usize, Day)| {
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
        let mut builder = PartitionBuilder::new(key, Arc::clone(&directory));
        for row in rows(at) {
            builder.push(&row);
        }
        Arc::new(builder.finish(Timestamp::UNIX_EPOCH))
    };
    week().days().enumerate().map(day).collect()
}

fn digests() -> Vec<Arc<Digest>> {
    days().iter().map(|day| Arc::new(Digest::of(day, None))).collect()
}

fn whole(digests: &[Arc<Digest>]) -> FiguresByDay {
    digests.iter().map(|digest| (digest.key().day, Arc::clone(digest.whole()))).collect()
}

#[test]
fn the_rows_are_those_of_the_page() {
    let people = |at| rows(at).iter().map(|row| row.user_id.clone().unwrap()).collect::<String>();
    assert_eq!([people(0), people(1), people(2)], ["ABC", "ABC", "ABCD"]);
}

#[test]
fn activity() {
    let digests = digests();
    let days = whole(&digests);

    let sums: SumsByDay = digests.iter().map(|digest| (digest.key().day, digest.whole().sums)).collect();
    let activity = |interval| activity::activity(week(), interval, &sums, &&days, &Trailing::over(&days));

    let (daily, weekly) = (activity(Interval::Day), activity(Interval::Week));

    assert_eq!(daily.iter().map(|day| day.active).collect::<Vec<_>>(), [Some(2); 3]);
    let [week] = &weekly[..] else { panic!("one week") };
    assert_eq!((week.users, week.activated, week.active, week.counters[MESSAGES]), (4, 4, Some(4), 42));
    assert_eq!((week.wau, week.mau, week.stickiness), (None, None, None));
}

#[test]
fn departments() {
    let digests = digests();
    let tree = Tree::of(&present(&digests), &digests[0].directory().read(), None);

    let rollups = rollups(&digests, &tree);

    for (place, rollup) in tree.places().iter().zip(rollups) {
        let active = rollup.people[Flag::Active.index()].unwrap();
        let line = format!("| {} | {} | {active}", place.path, rollup.users);
        let found = PAGE.lines().find(|found| found.starts_with(&line)).unwrap_or_else(|| panic!("{line}"));
        assert!(found.ends_with(&format!("| {} |", rollup.counters[MESSAGES])), "{found}");
    }
    assert_eq!(tree.len(), 3);
}

fn totals(wanted: &Wanted) -> Vec<Total> {
    let days = days();
    let sheets: Vec<Sheet> = days.iter().map(|day| Sheet::Day(Arc::clone(day))).collect();
    let tables = days[0].directory().read();
    let tally = Tally { sheets: &sheets, tables: &tables };
    let people = tally.ranking(wanted, Sort { key: Key::UserId, descending: false }).page(0, 10);
    tally.totals(&people, &wanted.selection)
}

#[test]
fn people() {
    for total in totals(&Wanted::default()) {
        let last = total
            .last_active_date
            .map(|day| ["Mon", "Tue", "Wed"][usize::try_from(day.since(week().first())).unwrap()]);
        let id = total.profile.user_id.clone().unwrap();
        let line = format!("| {id} | {} | {} | {} |", total.active_days, last.unwrap(), total.counters[MESSAGES]);
        assert!(PAGE.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn people_of_a_department() {
    let selection = Selection { department_path: Some("总部/研发".to_owned()), ..Selection::default() };

    let totals = totals(&Wanted { selection, ..Wanted::default() });

    let c = totals.iter().find(|total| total.profile.user_id.as_deref() == Some("C")).unwrap();
    assert_eq!((c.active_days, c.counters[MESSAGES]), (1, 1));
}

#[test]
fn people_inactive_for_two_days() {
    let digests = digests();
    let mut active = digests[1].whole().people(Flag::Active).known.clone();
    active.union_with(&digests[2].whole().people(Flag::Active).known);

    let totals = totals(&Wanted { except: Some(active), ..Wanted::default() });

    assert_eq!(totals.iter().map(|total| total.profile.user_id.as_deref().unwrap()).collect::<Vec<_>>(), ["B"]);
}

#[test]
fn summary() {
    let digests = digests();
    let headline = headline(week(), &whole(&digests)).unwrap();

    assert!((headline.active_per_day - 2.0).abs() < f64::EPSILON);
    let messages = headline.counters[MESSAGES] as f64;
    assert!((change(Some(messages), Some(40.0)).unwrap() - 0.05).abs() < 1e-9);
}

#[test]
fn retention_of_the_first_cohort() {
    let digests = digests();
    let days = whole(&digests);
    let mut began = std::collections::BTreeMap::<Day, fixedbitset::FixedBitSet>::new();
    for (person, day) in activations(&digests) {
        began.entry(day).or_default().grow_and_insert(person as usize);
    }

    let cohorts = retention(week(), Interval::Week, &began, &days);

    assert_eq!((cohorts[0].people, cohorts[0].periods[0].active, cohorts[0].periods[0].share), (3, 3, Some(1.0)));
}

#[test]
fn a_department_covers_whole_segments() {
    let digests = digests();
    let within = digests[0].directory().read().departments_within("总部/研");
    assert_eq!(Narrowed::to(within).figures(&digests[0]).sums.users, 0);
}
