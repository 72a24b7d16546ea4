//! Names of people and departments. Some contain characters that need escaping or special handling.

use fastrand::Rng;

use crate::seeded_rng::choose;

const CHINESE_SURNAMES: [&str; 14] =
    ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "欧阳", "司马"];
const CHINESE_GIVEN_NAMES: [&str; 18] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "洋", "艳", "子涵", "浩然", "雨桐", "欣怡", "梓轩", "若曦", "建国",
    "思远",
];
const WESTERN_FIRST_NAMES: [&str; 14] = [
    "Ada", "Grace", "Linus", "Barbara", "Ken", "Radia", "Tim", "Margaret", "Dennis", "Frances", "Alan", "Hedy",
    "Edsger", "Mary",
];
const WESTERN_LAST_NAMES: [&str; 12] =
    ["Smith", "Tan", "Nakamura", "Garcia", "Müller", "Dubois", "Okafor", "Rossi", "Novak", "Kim", "Silva", "Jensen"];
const UNUSUAL_NAMES: [&str; 10] = [
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

/// Characters of given names, one or two a name.
const GIVEN_NAME_CHARACTERS: [&str; 40] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "洋", "艳", "杰", "涛", "明", "超", "霞", "平", "刚", "鹏", "辉",
    "玲", "宇", "晨", "佳", "雪", "文", "婷", "浩", "然", "欣", "怡", "子", "涵", "思", "远", "若", "曦", "嘉", "宁",
    "雨", "桐",
];
const MORE_CHINESE_SURNAMES: [&str; 24] = [
    "胡", "朱", "高", "林", "何", "郭", "马", "罗", "梁", "宋", "郑", "谢", "韩", "唐", "冯", "于", "董", "萧", "程",
    "曹", "袁", "邓", "许", "傅",
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

/// A random name of a person. Names are not unique.
pub(super) fn person(rng: &mut Rng) -> String {
    match rng.u8(..100) {
        0..2 => (*choose(rng, &UNUSUAL_NAMES)).to_owned(),
        2..72 => format!("{}{}", choose(rng, &CHINESE_SURNAMES), choose(rng, &CHINESE_GIVEN_NAMES)),
        _ => format!("{} {}", choose(rng, &WESTERN_FIRST_NAMES), choose(rng, &WESTERN_LAST_NAMES)),
    }
}

/// A random name without special characters. Names are not unique.
pub(super) fn plain_person(rng: &mut Rng) -> String {
    if rng.u8(..100) < 4 {
        return format!("{} {}", choose(rng, &WESTERN_FIRST_NAMES), choose(rng, &WESTERN_LAST_NAMES));
    }
    let common = rng.u8(..100) < 60;
    let surname = if common { choose(rng, &CHINESE_SURNAMES) } else { choose(rng, &MORE_CHINESE_SURNAMES) };
    let second = if rng.u8(..100) < 75 { choose(rng, &GIVEN_NAME_CHARACTERS) } else { "" };
    format!("{surname}{}{second}", choose(rng, &GIVEN_NAME_CHARACTERS))
}

/// The name of top department number `index`.
pub(super) fn top_department(index: usize) -> String {
    numbered(&TOP_DEPARTMENTS, index, 0)
}

/// The name of child number `index` of department number `parent`. Siblings have different names.
pub(super) fn department(parent: usize, index: usize) -> String {
    numbered(&DEPARTMENTS, index, parent * 5)
}

/// Returns element `index + offset` of the repeated list `names`. Repetitions have a number appended.
fn numbered(names: &[&str], index: usize, offset: usize) -> String {
    let name = names[(index + offset) % names.len()];
    match index / names.len() {
        0 => name.to_owned(),
        repetition => format!("{name} {}", repetition + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn siblings_have_different_names() {
        let names: HashSet<String> = (0..100).map(|index| department(7, index)).collect();

        assert_eq!(names.len(), 100);
    }

    #[test]
    fn unusual_names_occur() {
        let mut rng = Rng::with_seed(1);
        let names: Vec<String> = (0..2000).map(|_| person(&mut rng)).collect();

        assert!(names.iter().any(|name| name.contains(',')));
        assert!(names.iter().any(|name| name.contains('"')));
        assert!(names.iter().any(|name| name.contains('🚀')));
        assert!(names.iter().any(|name| name.contains('م')));
    }
}
