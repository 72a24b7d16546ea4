//! Names of people and departments: mostly plain, some that break careless software.

use fastrand::Rng;

use crate::sim::chance::pick;

const SURNAMES: [&str; 14] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "欧阳", "司马"];
const GIVEN: [&str; 18] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "洋", "艳", "子涵", "浩然", "雨桐", "欣怡", "梓轩", "若曦", "建国",
    "思远",
];
const FIRST: [&str; 14] = [
    "Ada", "Grace", "Linus", "Barbara", "Ken", "Radia", "Tim", "Margaret", "Dennis", "Frances", "Alan", "Hedy",
    "Edsger", "Mary",
];
const LAST: [&str; 12] =
    ["Smith", "Tan", "Nakamura", "Garcia", "Müller", "Dubois", "Okafor", "Rossi", "Novak", "Kim", "Silva", "Jensen"];
const ODD: [&str; 10] = [
    "O'Brien, Seán \"Shay\"",
    "محمد علي",
    "שרה כהן",
    "小明🚀",
    "李,\"四\"",
    "=SUM(A1:A9)",
    "null",
    "Zoë\u{301} 👩‍👩‍👧",
    "Tab\there",
    "𠮷野家",
];

const TOP_DEPARTMENTS: [&str; 12] = [
    "产品研发部",
    "Engineering",
    "销售部",
    "Sales, EMEA",
    "人力资源部",
    "Finance & Legal",
    "市场部",
    "Customer \"Success\"",
    "🚀 Growth",
    "مبيعات الشرق",
    "客户服务部",
    "Design",
];
const DEPARTMENTS: [&str; 16] = [
    "平台组",
    "Platform",
    "前端组",
    "Mobile",
    "华东区",
    "North",
    "数据组",
    "Data & AI",
    "测试组",
    "QA",
    "运营组",
    "Ops, Night",
    "客户端",
    "Security",
    "基础架构",
    "Billing",
];

/// A person's name. Namesakes are common.
pub(super) fn person(rng: &mut Rng) -> String {
    match rng.u8(..100) {
        0..2 => (*pick(rng, &ODD)).to_owned(),
        2..72 => format!("{}{}", pick(rng, &SURNAMES), pick(rng, &GIVEN)),
        _ => format!("{} {}", pick(rng, &FIRST), pick(rng, &LAST)),
    }
}

/// The name of the top department number `place`.
pub(super) fn top_department(place: usize) -> String {
    numbered(&TOP_DEPARTMENTS, place, 0)
}

/// The name of child number `place` of department number `parent`; siblings have different names, cousins may not.
pub(super) fn department(parent: usize, place: usize) -> String {
    numbered(&DEPARTMENTS, place, parent * 5)
}

/// Goes round the names, from `offset` on, and numbers them from the second round on.
fn numbered(names: &[&str], place: usize, offset: usize) -> String {
    let name = names[(place + offset) % names.len()];
    match place / names.len() {
        0 => name.to_owned(),
        round => format!("{name} {}", round + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn siblings_never_share_a_name() {
        let names: HashSet<String> = (0..100).map(|place| department(7, place)).collect();

        assert_eq!(names.len(), 100);
    }

    #[test]
    fn a_crowd_has_every_kind_of_name() {
        let mut rng = Rng::with_seed(1);
        let names: Vec<String> = (0..2000).map(|_| person(&mut rng)).collect();

        assert!(names.iter().any(|name| name.contains(',')));
        assert!(names.iter().any(|name| name.contains('"')));
        assert!(names.iter().any(|name| name.contains('🚀')));
        assert!(names.iter().any(|name| name.contains('م')));
    }
}
