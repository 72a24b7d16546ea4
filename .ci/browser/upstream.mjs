// Reads rows from the simulated Feishu itself, and computes figures from them without the gateway.

const CONCURRENT_DAYS = 8;

/** All rows of the dates, by date. */
export async function readRows(upstream, dates) {
  const credentials = JSON.stringify({ app_id: "cli_demo", app_secret: "demo-secret" });
  const token = await post(`${upstream}/open-apis/auth/v3/tenant_access_token/internal`, credentials);
  const headers = { authorization: `Bearer ${token.tenant_access_token}` };
  const waiting = [...dates];
  const rows = new Map();
  const worker = async () => {
    for (let date = waiting.shift(); date; date = waiting.shift()) rows.set(date, await readDay(upstream, headers, date));
  };
  await Promise.all(Array.from({ length: CONCURRENT_DAYS }, worker));
  return rows;
}

async function readDay(upstream, headers, date) {
  const rows = [];
  let token = "";
  do {
    const query = new URLSearchParams({ start_date: date, end_date: date, page_size: "60", page_token: token });
    const { data } = await (await fetch(`${upstream}/open-apis/admin/v1/admin_user_stats?${query}`, { headers })).json();
    rows.push(...(data.items ?? []));
    token = data.has_more ? data.page_token : "";
  } while (token);
  return rows;
}

const post = async (url, body) => (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })).json();

const isActive = (row) => Number(row.suite_active_flag) === 1;
const isActivated = (row) => Number(row.user_active_flag) === 1 || isActive(row);
const isWorkday = (date) => ![0, 6].includes(new Date(`${date}T00:00:00Z`).getUTCDay());
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The headline figures by the definitions in docs/metrics.md. */
export function figuresOf(rows) {
  const days = [...rows].sort().map(([date, ofDay]) => ({
    date,
    activated: ofDay.filter(isActivated).length,
    active: new Set(ofDay.filter(isActive).map((row) => row.user_id)),
    im: ofDay.filter((row) => isActive(row) && Number(row.im_active_flag) === 1).length,
  }));
  const all = [...rows.values()].flat();
  const distinct = (subset) => new Set(subset.map((row) => row.user_id)).size;
  const regularDays = Math.ceil(days.length / 4);
  const daysOf = new Map();
  for (const { active } of days) for (const person of active) daysOf.set(person, (daysOf.get(person) ?? 0) + 1);
  return {
    active_rate_per_day: mean(days.map(({ active, activated }) => active.size / activated)),
    active_per_workday: mean(days.filter(({ date }) => isWorkday(date)).map(({ active }) => active.size)),
    people: distinct(all),
    activated: distinct(all.filter(isActivated)),
    regular: [...daysOf.values()].filter((count) => count >= regularDays).length,
    "features.im.active_per_day": mean(days.map(({ im }) => im)),
    daily: days.map(({ date, active }) => [date, active.size]),
  };
}
