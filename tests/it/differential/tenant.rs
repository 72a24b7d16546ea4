//! A random tenant: its rows as they count, and the same rows as Feishu sends them, with all oddities that Feishu is
//! known for.

use std::collections::BTreeMap;

use fastrand::Rng;
use jiff::{
    ToSpan as _,
    civil::{Date, DateTime, date},
};
use serde_json::{Map, Value, json};

/// The counters of a row.
pub const COUNTERS: [&str; 15] = [
    "send_messenger_num",
    "create_docs_num",
    "create_cal_num",
    "vc_duration",
    "vc_num",
    "create_task_num",
    "email_send_count",
    "email_receive_count",
    "email_send_ext_count",
    "email_receive_ext_count",
    "email_send_in_count",
    "email_receive_in_count",
    "total_search_count",
    "quick_search_count",
    "tab_search_count",
];

/// The features that Feishu sends a flag for.
pub const FLAGGED_FEATURES: [&str; 5] = ["im", "docs", "cal", "vc", "search"];

/// All features. The use of the last two is derived from counters.
pub const FEATURES: [&str; 7] = ["im", "docs", "cal", "vc", "search", "email", "task"];

/// Days of a tenant: enough for a range, an equally long one before it, and the window of a trailing figure.
const DAYS: i32 = 90;

/// The last of them. At the time of the gateway it is final, also if it has no rows, as a day of one person may.
const LAST: Date = date(2026, 11, 17);

const IDS: [&str; 10] = ["ou_", "ou 1 ", "a/b", "ü%41", "=SUM(1)", "\"q\"", "x,y;", "😀", "+1&b=2#", "用户\\"];
const SEGMENTS: [&str; 9] = ["Top", "R", "R2", "研发", "研发二部", "a b", "R&D", "x%20", "é"];
const SYSTEMS: [&str; 4] = ["ios 14.2", "ios 15", "Android 12", "windows 11"];
const CLIENTS: [&str; 5] = ["feishu 3.40.0-alpha", "feishu 7.1.2", "feishu 7.1.10", "feishu 6.20.1", "lark 7.0"];
const OS_NAMES: [&str; 3] = ["iOS", "Android", "Windows"];

/// The row of one person on one day in one geo, as it counts.
#[derive(Clone, Debug)]
pub struct UserDay {
    pub date: Date,
    pub geo: &'static str,
    pub user_id: Option<String>,
    pub user_name: String,
    pub department_name: String,
    pub department_path: String,
    /// In the time of the geo.
    pub register_time: Option<DateTime>,
    /// In the time of the geo.
    pub last_active_time: Option<DateTime>,
    pub activated: bool,
    pub active: bool,
    /// By [`FLAGGED_FEATURES`].
    pub flags: [bool; FLAGGED_FEATURES.len()],
    /// By [`COUNTERS`].
    pub counters: [u64; COUNTERS.len()],
    pub os_names: Vec<&'static str>,
    /// Pairs of system and client.
    pub clients: Vec<(Option<&'static str>, Option<&'static str>)>,
    pub app_packages: Vec<&'static str>,
}

/// A random tenant.
#[derive(Debug)]
pub struct Tenant {
    pub first: Date,
    pub last: Date,
    /// The home geo first.
    pub geos: Vec<&'static str>,
    /// Whether some days have no rows. Such a day of a single person is not late, because the day of everyone may be unknown.
    pub has_late_days: bool,
    /// The rows that count, by date and geo.
    pub rows: BTreeMap<(Date, &'static str), Vec<UserDay>>,
    /// The rows in Feishu's notation, with repeated rows, in the order of Feishu's reply.
    pub served: BTreeMap<(Date, &'static str), Vec<Value>>,
}

/// A person over all days. The numbers of days count from the first day.
#[derive(Debug)]
struct Person {
    id: Option<String>,
    name: String,
    geos: Vec<&'static str>,
    present: std::ops::Range<i32>,
    /// Indices of departments, each from a day on.
    departments: Vec<(i32, usize)>,
    register_time: Option<DateTime>,
    activity: u32,
}

/// A department. Some have two names, on different days or on the same day.
#[derive(Debug)]
struct Department {
    path: String,
    names: [String; 2],
    renamed: i32,
    has_both_names: bool,
}

impl UserDay {
    /// The row of an active person who sent one message and did nothing else.
    pub fn active(days_before_last: i32, geo: &'static str, user_id: &str, path: &str) -> Self {
        Self {
            date: LAST.checked_sub(days_before_last.days()).expect("a date"),
            geo,
            user_id: Some(user_id.to_owned()),
            user_name: user_id.to_owned(),
            department_name: path.rsplit('/').next().unwrap_or_default().to_owned(),
            department_path: path.to_owned(),
            register_time: None,
            last_active_time: None,
            activated: true,
            active: true,
            flags: [true, false, false, false, false],
            counters: std::array::from_fn(|counter| u64::from(counter == 0)),
            os_names: Vec::new(),
            clients: Vec::new(),
            app_packages: Vec::new(),
        }
    }

    /// Whether the person used a feature, by [`FEATURES`].
    pub fn uses(&self, feature: usize) -> bool {
        let counted =
            |prefix: &str| COUNTERS.iter().zip(self.counters).any(|(name, n)| name.starts_with(prefix) && n > 0);
        match FEATURES[feature] {
            "email" => counted("email_send_"),
            "task" => counted("create_task"),
            _ => self.flags[feature],
        }
    }
}

impl Tenant {
    /// A tenant with exactly these rows. The first geo is its home.
    pub fn with_rows(geos: &[&'static str], rows: impl IntoIterator<Item = UserDay>) -> Self {
        let mut by_day: BTreeMap<(Date, &'static str), Vec<UserDay>> = BTreeMap::new();
        for row in rows {
            by_day.entry((row.date, row.geo)).or_default().push(row);
        }
        let rng = &mut Rng::with_seed(0);
        let served = by_day.iter().map(|(key, rows)| (*key, rows.iter().map(|row| row_json(rng, row)).collect()));
        let served = served.collect();
        let (first, last) = (LAST.checked_sub((DAYS - 1).days()).expect("a date"), LAST);
        Self { first, last, geos: geos.to_vec(), has_late_days: false, rows: by_day, served }
    }

    /// The tenant of a seed.
    pub fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut geos = vec!["cn", "us", "sg", "jp"];
        rng.shuffle(&mut geos);
        geos.truncate(rng.usize(1..=3));
        let departments = departments(rng);
        let lacks_ids = rng.bool();
        let mut people: Vec<Person> = Vec::new();
        for geo in &geos {
            for _ in 0..rng.usize(6..14) {
                people.push(person(rng, people.len(), geo, &geos, departments.len(), lacks_ids));
            }
        }
        let first = LAST.checked_sub((DAYS - 1).days()).expect("a date");
        let mut tenant =
            Self { first, last: LAST, geos, has_late_days: false, rows: BTreeMap::new(), served: BTreeMap::new() };
        for day in 0..DAYS {
            for geo in tenant.geos.clone() {
                tenant.add_day(rng, day, geo, &people, &departments, lacks_ids);
            }
        }
        tenant
    }

    /// The same tenant without the rows of some days, so that these days are late. The first days stay: days without rows
    /// before the first day with rows can be empty instead.
    pub fn with_late_days(mut self, seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        self.has_late_days = true;
        let is_removed = |rng: &mut Rng, date: Date, first: Date| date > first + 14.days() && rng.u8(..) < 10;
        let days: Vec<(Date, &'static str)> = self.rows.keys().copied().collect();
        for (date, geo) in days {
            if is_removed(rng, date, self.first) {
                self.rows.remove(&(date, geo));
                self.served.remove(&(date, geo));
            }
        }
        self
    }

    fn add_day(
        &mut self,
        rng: &mut Rng,
        day: i32,
        geo: &'static str,
        people: &[Person],
        departments: &[Department],
        lacks_ids: bool,
    ) {
        let date = self.first.checked_add(day.days()).expect("a date");
        let present: Vec<&Person> =
            people.iter().filter(|person| person.geos.contains(&geo) && person.present.contains(&day)).collect();
        // A day with far fewer rows than others would be doubtful, so few people are without a row.
        let mut without_row = present.len() / 8;
        let mut rows: Vec<UserDay> = Vec::new();
        for person in present {
            if without_row > 0 && rng.u8(..) < 10 {
                without_row -= 1;
                continue;
            }
            rows.push(person.row(rng, day, date, geo, departments));
            if lacks_ids && rng.u8(..) < 3 {
                rows.last_mut().expect("the row").user_id = None;
            }
        }
        let mut served: Vec<(Option<String>, Value)> =
            rows.iter().map(|row| (row.user_id.clone(), row_json(rng, row))).collect();
        rng.shuffle(&mut served);
        // Of two rows with the same id, the later one counts.
        for _ in 0..rng.usize(0..3) {
            let row = rows[rng.usize(..rows.len())].clone();
            let Some(position) = served.iter().position(|(id, _)| id.is_some() && *id == row.user_id) else { continue };
            let outdated = UserDay { active: !row.active, counters: row.counters.map(|count| count + 1), ..row };
            served.insert(rng.usize(..=position), (None, row_json(rng, &outdated)));
        }
        self.served.insert((date, geo), served.into_iter().map(|(_, row)| row).collect());
        self.rows.insert((date, geo), rows);
    }
}

fn departments(rng: &mut Rng) -> Vec<Department> {
    let mut paths: Vec<String> = Vec::new();
    for _ in 0..rng.usize(3..12) {
        let above =
            if paths.is_empty() || rng.u8(..) < 50 { None } else { Some(paths[rng.usize(..paths.len())].clone()) };
        let segment = SEGMENTS[rng.usize(..SEGMENTS.len())];
        let path = above.map_or_else(|| segment.to_owned(), |above| format!("{above}/{segment}"));
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    if rng.bool() {
        paths.push(String::new());
    }
    rng.shuffle(&mut paths);
    let named = |path: String| {
        let own = path.rsplit('/').next().unwrap_or_default().to_owned();
        let other = format!("{}{own}", ["z", "A", ""][rng.usize(..3)]);
        let (renamed, has_both_names) = (rng.i32(-DAYS..DAYS), rng.u8(..) < 60);
        Department { path, names: [own, other], renamed, has_both_names }
    };
    paths.into_iter().map(named).collect()
}

fn person(
    rng: &mut Rng,
    number: usize,
    geo: &'static str,
    geos: &[&'static str],
    departments: usize,
    lacks_ids: bool,
) -> Person {
    let id = format!("{}{number}", IDS[if rng.bool() { 0 } else { rng.usize(..IDS.len()) }]);
    // Most people are there on all days, so that no day has far fewer rows than the days around it.
    let (joins, leaves) = (number % 9 == 7, number % 9 == 8);
    let present = if joins { rng.i32(0..DAYS) } else { 0 }..if leaves { rng.i32(0..DAYS) } else { DAYS };
    let mut home_geos = vec![geo];
    let other = geos[rng.usize(..geos.len())];
    if other != geo && rng.u8(..) < 60 {
        home_geos.push(other);
    }
    let mut moves = vec![(0, rng.usize(..departments))];
    for _ in 0..[0, 0, 1, 2, 6][rng.usize(..5)] {
        moves.push((rng.i32(0..DAYS), rng.usize(..departments)));
    }
    moves.sort_unstable();
    let register = |rng: &mut Rng| {
        let days = rng.i32(-40..DAYS);
        let date = LAST.checked_sub((DAYS - 1 - days).days()).expect("a date");
        date.at(rng.i8(0..24), rng.i8(0..60), rng.i8(0..60), 0)
    };
    Person {
        id: (!lacks_ids || rng.u8(..) > 30).then_some(id),
        name: format!("Name {}", number % 5),
        geos: home_geos,
        present,
        departments: moves,
        register_time: (rng.u8(..) > 40).then(|| register(rng)),
        activity: rng.u32(..100),
    }
}

impl Person {
    fn row(&self, rng: &mut Rng, day: i32, date: Date, geo: &'static str, departments: &[Department]) -> UserDay {
        // In a second geo, some people are in another department.
        let second = geo != self.geos[0];
        let latest = self.departments.iter().rfind(|(from, _)| *from <= day).map_or(0, |(_, index)| *index);
        let department = &departments[(latest + usize::from(second && rng.bool())) % departments.len()];
        let other_name = if department.has_both_names { rng.bool() } else { (0..=day).contains(&department.renamed) };
        let active = rng.u32(..100) < self.activity;
        let used = |rng: &mut Rng| rng.u32(..100) < if active { 50 } else { 5 };
        let some = |rng: &mut Rng, names: &[&'static str]| names.iter().copied().filter(|_| rng.bool()).collect();
        let client = |rng: &mut Rng| {
            let pick =
                |rng: &mut Rng, names: &[&'static str]| (rng.u8(..) > 50).then(|| names[rng.usize(..names.len())]);
            (pick(rng, &SYSTEMS), pick(rng, &CLIENTS))
        };
        UserDay {
            date,
            geo,
            user_id: self.id.clone(),
            user_name: if day > DAYS - 10 && self.activity > 80 { "Renamed".to_owned() } else { self.name.clone() },
            department_name: department.names[usize::from(other_name)].clone(),
            department_path: department.path.clone(),
            register_time: self.register_time.filter(|time| time.date() <= date || self.activity.is_multiple_of(2)),
            last_active_time: (rng.u8(..) > 60).then(|| {
                let days_before = if rng.bool() { rng.i32(0..3) } else { rng.i32(0..250) };
                date.checked_sub(days_before.days()).expect("a date").at(rng.i8(0..24), rng.i8(0..60), 7, 0)
            }),
            activated: rng.u8(..) > 20,
            active,
            flags: std::array::from_fn(|_| used(rng)),
            counters: std::array::from_fn(|_| match rng.u8(..) {
                ..4 => rng.u64(..1 << 40),
                4..80 => rng.u64(..200),
                _ => 0,
            }),
            os_names: some(rng, &OS_NAMES),
            clients: (0..rng.usize(..3)).map(|_| client(rng)).filter(|pair| *pair != (None, None)).collect(),
            app_packages: some(rng, &["Feishu", "Lark"]),
        }
    }
}

/// The row in one of the notations that Feishu uses.
fn row_json(rng: &mut Rng, row: &UserDay) -> Value {
    let mut json = Map::new();
    let mut set = |name: &str, value: Option<Value>| value.and_then(|value| json.insert(name.to_owned(), value));
    set("date", Some(if rng.u8(..) < 10 { format!("{} 00:00:00", row.date) } else { row.date.to_string() }.into()));
    set("user_id", row.user_id.as_ref().map_or_else(|| absent(rng), |id| Some(id.as_str().into())));
    set("user_name", Some(row.user_name.as_str().into()));
    set("department_name", Some(row.department_name.as_str().into()));
    set("department_path", Some(row.department_path.as_str().into()));
    let time = row.register_time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string());
    set("register_time", time.map_or_else(|| absent(rng), |time| Some(time.into())));
    let time = row.last_active_time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string());
    set("last_active_time", time.map_or_else(|| absent(rng), |time| Some(time.into())));
    set("user_active_flag", flag(rng, row.activated));
    set("suite_active_flag", flag(rng, row.active));
    for (name, is_set) in FLAGGED_FEATURES.iter().zip(row.flags) {
        set(&format!("{name}_active_flag"), flag(rng, is_set));
    }
    for (name, count) in COUNTERS.iter().zip(row.counters) {
        set(name, counter(rng, count));
    }
    let part = |part: Option<&'static str>| part.unwrap_or("-");
    let clients: Vec<String> =
        row.clients.iter().map(|(os, client)| format!("'{},{}'", part(*os), part(*client))).collect();
    set("active_os", Some(clients.join(",").into()));
    set("app_package_type", Some(row.app_packages.join("，").into()));
    set("os_name", Some(row.os_names.join(",").replace("Android", "Andorid").into()));
    json.into()
}

/// A value that is not there.
fn absent(rng: &mut Rng) -> Option<Value> {
    [None, Some(Value::Null), Some("".into())][rng.usize(..3)].clone()
}

fn flag(rng: &mut Rng, is_set: bool) -> Option<Value> {
    let number = u8::from(is_set);
    match rng.u8(..10) {
        0 => Some(is_set.into()),
        1 => Some(number.to_string().into()),
        2 if !is_set => absent(rng),
        _ => Some(number.into()),
    }
}

fn counter(rng: &mut Rng, count: u64) -> Option<Value> {
    match rng.u8(..12) {
        0 => Some(count.to_string().into()),
        1 => Some(format!(" {count} ").into()),
        2 => Some(json!(count as f64)),
        3 => Some(format!("{count}.0").into()),
        4 => Some(format!("{count:e}").into()),
        5 if count == 0 => absent(rng),
        _ => Some(count.into()),
    }
}
