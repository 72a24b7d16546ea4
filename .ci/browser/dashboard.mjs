// Drives the dashboard with a browser: what it shows, to whom, and how fast. Times are printed, not checked.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startIdentityProvider } from "./identity_provider.mjs";
import { BLOCKS, assertAccessible, figuresOn, launch, openEverything, openPage, pagesOf, settled, wordsOn } from "./page.mjs";
import { createKeys, demo, freePort, serve, simulate, stopServers } from "./servers.mjs";
import { figuresOf, readRows } from "./upstream.mjs";

const screenshots = process.env.SCREENSHOTS;
mkdirSync(screenshots, { recursive: true });

const FEATURES = ["im", "docs", "cal", "vc", "search", "email", "task"];
const READY = Object.fromEntries(BLOCKS.map((block) => [block, "ready"]));

const report = (message) => console.log(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ok: ${message}`);
const json = async (base, path, key) =>
  (await fetch(`${base}/v1/${path}`, { headers: key ? { authorization: `Bearer ${key}` } : {} })).json();
const close = (one, other) => Math.abs(one - other) <= 1e-9 * Math.max(1, Math.abs(other));

/** Mean of the active people from Monday to Friday. */
function activePerWorkday(days) {
  const isWorkday = ({ start_date: date }) => ![0, 6].includes(new Date(`${date}T00:00:00Z`).getUTCDay());
  const values = days.filter(isWorkday).flatMap(({ active }) => active ?? []);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What the API says for each figure of a block: a function of the figure's name, row and department. */
async function expectations(base) {
  const query = "period=30d";
  const get = (name, parameters = "") => json(base, `reports/${name}?${query}${parameters}`);
  const [summary, activity, both, departments, retention, movement, clients, licences] = await Promise.all([
    get("summary"),
    get("activity"),
    json(base, "reports/activity?period=60d"),
    get("departments"),
    get("retention", "&interval=week"),
    get("movement", "&interval=week"),
    get("clients"),
    get("licences", "&depth=1"),
  ]);
  const { current, previous } = summary.data;
  const workdays = { current: activePerWorkday(activity.data), previous: activePerWorkday(both.data.slice(0, 30)) };
  const cohorts = retention.data.filter(({ people }) => people > 0);
  const periods = cohorts.flatMap((cohort) => cohort.periods.map((period) => ({ ...period, people: cohort.people })));
  const accounts = licences.data[0];
  const atPath = (item, path) => path.split(".").reduce((value, key) => value?.[key], item);
  const ofFeature = ({ name, row }) => {
    if (row == null) return atPath(current, name);
    return name === "previous_regular_rate" ? previous.features[FEATURES[row]].regular_rate : current.features[FEATURES[row]][name];
  };
  const unused = ["never_activated", ...["under_30_days", "30_to_59_days", "60_to_89_days", "90_to_179_days", "180_days_or_more", "unknown"].map((age) => `dormant_${age}`)];
  const shownUnused = unused.filter((key) => accounts[key] > 0 || !/under_30|unknown/.test(key));
  const ofLicences = ({ name, row }) => {
    if (name === "unused_rate") return accounts.unused_rate;
    const funnel = ["people", "activated", "active", "regular"];
    return row < funnel.length ? current[funnel[row]] : accounts[shownUnused[row - funnel.length]];
  };
  const versionKeys = { users: "users", share: "share" };
  const days = summary.meta.days;
  return {
    summary,
    figures: {
      glance: ({ name }) => (name === "active_per_workday" ? workdays.current : current[name]),
      activity: ({ name, row }) => activity.data[row][name],
      features: ofFeature,
      departments: ({ name, department }) => atPath(departments.data.find((item) => item.department_path === department), name),
      retention: ({ name, row }) => periods[row][name],
      movement: ({ name, row }) => movement.data[row][name],
      licences: ofLicences,
      clients: ({ name, row }) => clients.data.client_versions[row][versionKeys[name]],
      foot: ({ name }) => (name === "data_as_of" ? summary.meta.data_as_of : [days[name.slice(5)]].map((of) => of.length ?? of)[0]),
    },
    previous: ({ name }) => (name === "active_per_workday" ? workdays.previous : previous[name]),
    departments: departments.data,
  };
}

/** Compares every figure on the page with the API, and its text with its value. */
function assertFigures(figures, expected) {
  const counted = {};
  for (const figure of figures) {
    const { block, name, value, text, previous } = figure;
    const said = expected.figures[block](figure);
    const place = `${block}, ${name}, row ${figure.row ?? figure.department}`;
    assert.notEqual(said, undefined, place);
    if (name === "data_as_of") {
      assert.equal(value, said, place);
    } else {
      assert.ok(close(Number(value), said), `${place}: the page has ${value}, the API ${said}`);
      const isShare = text.includes("%");
      const shown = Number(text.replace(/[^\d.-]/g, "")) / (isShare ? 100 : 1);
      assert.ok(Math.abs(shown - said) <= (isShare ? 0.005 : 0.5) + 1e-9, `${place}: the text is ${text}, the value ${said}`);
    }
    if (previous != null) assert.ok(close(Number(previous), expected.previous(figure)), `${place}: before`);
    counted[block] = (counted[block] ?? 0) + 1;
  }
  assert.deepEqual(BLOCKS.filter((block) => !counted[block]), [], "blocks without a figure");
  return Object.values(counted).reduce((sum, count) => sum + count, 0);
}

const at = (base, parameters) => `${base}/?${new URLSearchParams(parameters)}`;

async function open(browser, base, parameters = {}, options = {}) {
  const opened = await openPage(browser, [base, ...(options.origins ?? [])], options.context);
  await opened.page.goto(at(base, parameters));
  return opened;
}

async function checkDemo(browser) {
  const base = await demo("--users", "120", "--days", "130", "--limit", "40/s");
  const { page, context, faults } = await open(browser, base);
  const begun = Date.now();
  await page.waitForSelector("[data-block][data-state=waiting], [data-progress]:not([hidden])", { timeout: 60_000 });
  const waited = Date.now() - begun;
  assert.deepEqual(await settled(page), READY);
  // Only days that the page has requested are there, and the compared line has a value for each date.
  const line = await page.locator("[data-block=activity] path.tone-past").getAttribute("d");
  assert.deepEqual([line.match(/[ML]/g).length, line.match(/M/g).length], [30, 1], line);
  assert.deepEqual(faults, []);
  await context.close();
  report(`the demo shows progress while days are fetched, and then fills the page, with a whole line of the compared range; progress after ${waited} ms`);
}

async function checkFigures(browser, base, upstream) {
  const { page, context, faults } = await open(browser, base, { lang: "en" });
  assert.deepEqual(await settled(page), READY);
  await openEverything(page);
  const expected = await expectations(base);
  const figures = await figuresOn(page);
  const count = assertFigures(figures, expected);
  report(`${count} figures on the page equal the API`);

  const { start_date: first, end_date: last } = expected.summary.meta;
  const dates = [];
  for (let day = Date.parse(first); day <= Date.parse(last); day += 86_400_000) dates.push(new Date(day).toISOString().slice(0, 10));
  const truth = figuresOf(await readRows(upstream, dates));
  for (const name of ["active_rate_per_day", "active_per_workday", "people", "activated", "regular", "features.im.active_per_day"]) {
    const shown = figures.find((figure) => figure.name === name && ["glance", "features"].includes(figure.block));
    // The API rounds shares and means to three decimals.
    assert.ok(Math.abs(Number(shown.value) - truth[name]) <= 0.0006, `${name}: the page has ${shown.value}, the rows give ${truth[name]}`);
  }
  const shownDays = figures.filter(({ block, name }) => block === "activity" && name === "active").map(({ value }) => Number(value));
  assert.deepEqual(shownDays, truth.daily.map(([, active]) => active));
  report(`${6 + shownDays.length} of them equal a computation from the rows of the simulated Feishu`);
  assert.deepEqual(faults, []);
  await context.close();
}

async function checkAccessibility(browser, base) {
  for (const lang of ["zh", "en"]) {
    for (const theme of ["light", "dark"]) {
      const { page, context, faults } = await open(browser, base, { lang, theme }, { context: { reducedMotion: "reduce" } });
      assert.deepEqual(await settled(page), READY);
      await assertAccessible(page, `${lang}, ${theme}`);
      if ((lang === "zh") === (theme === "light")) {
        await openEverything(page);
        await assertAccessible(page, `${lang}, ${theme}, opened`);
      }
      assert.deepEqual(faults, []);
      await context.close();
    }
  }
  report("axe-core finds no violation: zh and en, light and dark, closed and opened");
}

async function checkKeyboard(browser, base) {
  const { page, context } = await open(browser, base, { lang: "en" });
  await settled(page);
  const controls = await page.evaluate(() => {
    const isShown = (element) => element.checkVisibility() && !element.disabled && element.tabIndex >= 0;
    const all = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter(isShown);
    all.forEach((element, index) => (element.dataset.testControl = index));
    return all.length;
  });
  const reached = new Map();
  const blocks = new Set();
  // Date fields have several stops, so there are more stops than controls.
  for (let stop = 0; stop < 3 * controls; stop += 1) {
    await page.keyboard.press("Tab");
    const { control, markup, block, hasOutline } = await page.evaluate(() => {
      const focused = document.activeElement;
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(focused);
      return {
        control: focused.dataset.testControl,
        markup: focused.outerHTML.slice(0, 80),
        block: focused.closest("[data-block]")?.dataset.block,
        hasOutline: (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none",
      };
    });
    if (control == null) {
      if (reached.size) break;
      continue;
    }
    reached.set(control, reached.get(control)?.hasOutline ? reached.get(control) : { markup, hasOutline });
    if (block) blocks.add(block);
  }
  assert.deepEqual(BLOCKS.filter((block) => !blocks.has(block)), [], "blocks that Tab does not reach");
  assert.equal(reached.size, controls, "controls that Tab does not reach");
  // The button inside a date field has an outline of its own, which scripts cannot see.
  assert.deepEqual([...reached.values()].filter(({ hasOutline }) => !hasOutline), [], "controls that do not show the focus");

  const behind = page.locator("[data-block=activity] details.behind > summary");
  await behind.focus();
  await page.keyboard.press("Enter");
  await page.locator("[data-block=activity] details.behind tbody tr").nth(29).waitFor();
  await context.close();
  report(`all ${controls} controls of ${blocks.size} blocks are reached by keyboard, and show the focus`);
}

async function checkLinks(browser, base) {
  const { page, context, faults } = await open(browser, base, { lang: "en", period: "30d" });
  await settled(page);
  const first = page.url();
  await settled(page, () => page.locator("[data-block=departments] tbody tr th button.link").nth(1).click());
  const filtered = page.url();
  assert.match(filtered, /department_path=/);
  const figures = await figuresOn(page);
  assert.deepEqual(await settled(page, () => page.goBack()), READY);
  assert.equal(page.url(), first);
  assert.notDeepEqual(await figuresOn(page), figures);

  const other = await open(browser, filtered, {});
  await other.page.goto(filtered);
  await settled(other.page);
  assert.deepEqual(await figuresOn(other.page), figures);
  await other.context.close();
  assert.deepEqual(faults, []);
  await context.close();
  report("a click on a department filters, Back returns, and the link shows the same view to others");
}

async function checkFiles(browser, base) {
  const { page, context, faults } = await open(browser, base, { lang: "en" });
  const begins = { PNG: "\x89PNG", SVG: "<", CSV: "" };
  let count = 0;
  for (const block of BLOCKS) {
    // Chromium asks before a page saves more than ten files.
    await page.reload();
    await settled(page);
    const menu = page.locator(`[data-block=${block}] .menu details`);
    await menu.locator("summary").click();
    for (const button of await menu.locator("button").all()) {
      const kind = /^(PNG|SVG|CSV)/.exec(await button.textContent())?.[0];
      if (!kind) continue;
      const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
      const file = readFileSync(await download.path(), "latin1");
      assert.ok(file.length > 20 && file.startsWith(begins[kind]), `${block}, ${kind}`);
      assert.match(download.suggestedFilename(), new RegExp(`\\.${kind.toLowerCase()}$`));
      count += 1;
    }
    await menu.locator("summary").click();
  }
  const pdf = await page.pdf({ format: "A4", preferCSSPageSize: true });
  const pages = pagesOf(pdf);
  assert.ok(pages <= 3, `${pages} pages`);
  assert.deepEqual(faults, []);
  await context.close();
  report(`${count} files of blocks are saved, and the page prints on ${pages} pages`);
}

async function checkState(browser, base) {
  const { page, context, faults } = await open(browser, base, { lang: "en", period: "30d" });
  await settled(page);
  const dates = () => page.$$eval("input[type=date]", (inputs) => inputs.map(({ value }) => value));
  const shown = await dates();
  assert.match(shown.join(" "), /^\d{4}-\d\d-\d\d \d{4}-\d\d-\d\d$/);
  await page.locator("[data-action=theme]").click();
  assert.deepEqual(await dates(), shown, "the dates after a change of the theme");
  assert.equal(await page.locator("select[name=geo]").count(), 0, "a list with one geo");

  // Back, while the texts of the other language are being loaded.
  const release = [];
  await page.route("**/texts.zh.js", (route) => release.push(() => route.continue()));
  await Promise.all([page.waitForRequest("**/texts.zh.js"), page.locator("[data-action=language]").click()]);
  await page.goBack();
  release.forEach((resume) => resume());
  await page.waitForResponse("**/texts.zh.js");
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
  await settled(page, () => page.locator(".periods button").nth(1).click());
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  const words = await page.locator("#blocks").evaluate((element) => element.textContent.replace(/[\p{L}/]+ · \d+/gu, ""));
  assert.ok(!/概览|日均|活跃/.test(words), words.slice(0, 200));
  assert.deepEqual(faults, []);
  await context.close();
  report("dates stay when the theme changes, one geo has no list, and Back overtakes a change of language");
}

/** What is in the page before a request for the days before the range is answered. */
async function checkFirstFigures(browser, base) {
  const { page, context, faults } = await openPage(browser, [base]);
  const release = [];
  await page.route("**/v1/reports/activity?*", (route) => release.push(() => route.continue()));
  await page.goto(at(base, { lang: "en", period: "30d" }));
  await page.waitForSelector("[data-block=glance][data-state=ready] [data-figure=active_rate_per_day][data-value]");
  await page.waitForSelector("[data-block=features][data-state=ready] [data-figure='features.im.active_per_day'][data-value]");
  assert.ok(release.length > 0);
  await settled(page, () => release.splice(0).forEach((resume) => resume()));
  await page.locator("[data-block=glance] svg.sparkline").first().waitFor();
  assert.deepEqual(faults, []);
  await context.close();
  report("the headline is there before the days for its curves");
}

/** Feishu does not deliver some days: the page shows the others, and says what is missing. */
async function checkPartial(browser, base) {
  const { page, context, faults } = await openPage(browser, [base]);
  const problem = { title: "Feishu is unavailable", code: "upstream_unavailable", status: 502 };
  await page.route("**/v1/**", async (route) => {
    if (!route.request().url().includes("allow_partial=true")) {
      if (/coverage/.test(route.request().url())) return route.continue();
      return route.fulfill({ status: 502, contentType: "application/problem+json", json: problem });
    }
    const response = await route.fetch();
    const body = await response.json();
    body.meta.days.missing = [{ geo: "cn", date: body.meta.start_date }];
    return route.fulfill({ response, json: body });
  });
  await page.goto(at(base, { lang: "en", period: "30d" }));
  assert.deepEqual(await settled(page), READY);
  const text = await page.locator("[data-block=glance] [data-incomplete]").textContent();
  assert.match(text, /^Feishu is unavailable .*1 Missing \(/);
  assert.deepEqual(faults, []);
  await context.close();
  report("if Feishu is unavailable, the page shows the days that are there, and names those that are missing");
}

/** A frame of another site, in which the browser refuses storage. */
async function checkWithoutStorage(browser, base, keys) {
  const { page, context, faults } = await openPage(browser, [base]);
  await page.addInitScript(() => {
    Object.defineProperty(globalThis, "sessionStorage", {
      get() {
        throw new DOMException("denied", "SecurityError");
      },
    });
  });
  await page.goto(at(base, { lang: "en" }));
  assert.deepEqual(await enterKey(page, keys.users), READY);
  assert.deepEqual(faults, []);
  await context.close();
  report("a browser that refuses storage shows the page, and keeps the key until the page is left");
}

/** The documents to which the page links, with the anchor of the figure. */
async function checkDefinitions(browser, base) {
  for (const [lang, text] of [["en", "active_rate_per_day"], ["zh", "active_rate_per_day"]]) {
    const { page, context, faults } = await open(browser, base, { lang });
    await settled(page);
    await page.locator("[data-block=glance] button.info").first().click();
    const [opened] = await Promise.all([context.waitForEvent("page"), page.locator("[popover] a").click()]);
    await opened.waitForLoadState();
    const target = await opened.evaluate(() => document.querySelector(":target")?.textContent);
    assert.equal(target, text);
    await assertAccessible(opened, `definitions, ${lang}`);
    assert.deepEqual(faults, []);
    await context.close();
  }
  report("definitions link to their place in the documents, which axe-core finds accessible");
}

/** More requests than the gateway allows: the page waits as long as it says. */
async function checkTooManyRequests(browser, base, key) {
  const { page, context, faults } = await open(browser, base, { lang: "en" });
  const refused = [];
  page.on("response", (response) => response.status() === 429 && refused.push(response.headers()["retry-after"]));
  await enterKey(page, key);
  for (let visit = 0; visit < 5 && !refused.length; visit += 1) {
    await page.reload();
    if (refused.length) break;
    await Promise.race([page.waitForResponse((response) => response.status() === 429), settled(page)]);
  }
  await page.waitForFunction(() => /next attempt/.test(document.querySelector("[data-progress]:not([hidden])")?.textContent));
  assert.deepEqual(await settled(page), READY);
  assert.ok(refused.every((seconds) => Number(seconds) > 0), refused.join());
  assert.deepEqual(faults, []);
  await context.close();
  report(`after ${refused.length} answers 429 the page says when it tries again, and fills itself`);
}

/** Figures of few people are withheld: each block says so, and shows the others. */
async function checkWithheld(browser, base, key) {
  const { page, context, faults } = await open(browser, base, { lang: "en" });
  await enterKey(page, key);
  await openEverything(page);
  const blocks = await page.$$eval("[data-block]", (elements) =>
    elements.map(({ dataset, textContent }) => [dataset.block, dataset.state, /Withheld \(groups below 60 people\)/.test(textContent)]),
  );
  const says = Object.fromEntries(blocks.map(([block, , isSaid]) => [block, isSaid]));
  for (const block of ["departments", "retention", "movement", "licences"]) assert.ok(says[block], `${block}: ${JSON.stringify(blocks)}`);
  const departments = await json(base, "reports/departments?period=30d&trailing=none", key);
  const rows = await page.$$eval("[data-department]", (elements) =>
    elements.map((row) => [row.dataset.department, [...row.querySelectorAll("td")].map(({ textContent }) => textContent)]),
  );
  const known = new Map(departments.data.map((item) => [item.department_path, item]));
  let mixed = 0;
  for (const [path, cells] of rows) {
    const { users, active_rate_per_day: rate, regular_rate: regular, withheld } = known.get(path);
    [users, rate, regular].forEach((value, index) => assert.equal(cells[index] === "∗", value == null && withheld, `${path}: ${cells}`));
    if (withheld && cells.includes("∗") && cells.some((cell) => cell !== "∗")) mixed += 1;
  }
  assert.ok(rows.length > 3 && mixed > 0, `${rows.length} rows, ${mixed} partly withheld`);
  await page.screenshot({ path: join(process.env.SCRATCH, "withheld.png"), fullPage: true });
  assert.deepEqual(faults, []);
  await context.close();
  report(`withheld figures are named as such; ${mixed} departments show the figures that are not`);
}

async function takeScreenshots(browser, base) {
  for (const [lang, theme] of [["zh", "light"], ["en", "dark"]]) {
    for (const width of [360, 768, 1280]) {
      const { page, context } = await open(browser, base, { lang, theme }, { context: { viewport: { width, height: 900 } } });
      assert.deepEqual(await settled(page), READY);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, `the page is wider than ${width} pixels`);
      await page.screenshot({ path: join(screenshots, `dashboard-${lang}-${theme}-${width}.png`) });
      await context.close();
    }
  }
  report(`screenshots at 360, 768 and 1280 pixels are in ${screenshots}`);
}

async function measure(browser, base) {
  const { page, context } = await open(browser, base);
  const devtools = await context.newCDPSession(page);
  await devtools.send("Network.enable");
  let statuses = [];
  // `Response.status` is that of the cached response after a 304.
  devtools.on("Network.responseReceivedExtraInfo", ({ statusCode }) => statuses.push(statusCode));
  const load = async () => {
    statuses = [];
    await page.reload();
    await page.waitForFunction(() => performance.getEntriesByName("dashboard-complete").length > 0);
    await page.waitForLoadState("networkidle");
    const times = await page.evaluate(() => [
      performance.getEntriesByName("dashboard-usable")[0].startTime,
      performance.getEntriesByName("dashboard-complete")[0].startTime,
      Math.max(0, ...globalThis.longTasks),
      performance.getEntriesByType("resource").reduce((sum, { encodedBodySize, name }) => sum + (name.includes("/dashboard/") ? encodedBodySize : 0), 0),
      performance.getEntriesByType("resource").filter(({ name }) => name.includes("/v1/")).length,
    ]);
    return [...times, statuses.filter((status) => status === 304).length];
  };
  await settled(page);
  const all = [];
  for (let visit = 0; visit < 5; visit += 1) all.push(await load());
  const [usable, complete, longTask, bytes, requests, unchanged] = all[0].map((_, index) => all.map((one) => one[index]).sort((one, other) => one - other)[2]);
  await context.close();
  console.log(`2,000 people, 30 days, warm, median of 5 visits: usable after ${usable.toFixed(0)} ms, complete after ${complete.toFixed(0)} ms, ` +
    `${requests} requests to the API; ${unchanged} of them and of the page are 304; longest task ${longTask.toFixed(0)} ms (0: below 50); scripts and styles ${(bytes / 1000).toFixed(1)} kB`);
}

/** Enters a key in the dialog; returns the states of the blocks. */
async function enterKey(page, key) {
  await settled(page);
  await page.locator("dialog[open] input[type=password]").fill(key);
  return settled(page, () => page.keyboard.press("Enter"));
}

async function checkAccess(browser, open_, base, keys, department) {
  const departments = (await json(open_, "reports/departments?period=30d")).data.map(({ department_path: path }) => path);
  const isOwn = (path) => path === department || path.startsWith(`${department}/`) || department.startsWith(`${path}/`);
  const own = departments.filter(isOwn);
  const others = departments.filter((path) => !isOwn(path) && !own.some((allowed) => allowed.includes(path)));
  const people = (await json(open_, "users?period=30d&limit=1000")).data;
  assert.ok(others.length > 3 && people.length > 100);

  const withKey = async (key) => {
    const opened = await open(browser, base, { lang: "en" });
    const states = await enterKey(opened.page, key);
    await openEverything(opened.page);
    return { ...opened, states, words: await wordsOn(opened.page) };
  };

  const bound = await withKey(keys.bound);
  assert.deepEqual(bound.states, READY);
  assert.ok(bound.words.includes(department));
  assert.deepEqual(others.filter((path) => bound.words.includes(path)), []);
  assert.deepEqual(bound.faults, []);
  assert.ok(!bound.page.url().includes(keys.bound));
  assert.ok(!(await bound.page.evaluate(() => JSON.stringify({ ...localStorage }))).includes(keys.bound));
  await bound.context.close();
  report(`a key bound to a department shows none of the ${others.length} other departments`);

  const reports = await withKey(keys.reports);
  assert.deepEqual(reports.states, READY);
  const named = people.filter(({ user_id, user_name }) => reports.words.includes(user_id) || (user_name && reports.words.includes(user_name)));
  assert.deepEqual(named, []);
  assert.deepEqual(reports.faults, []);
  await reports.context.close();
  report("a key with reports:read shows no person");

  const users = await withKey(keys.users);
  assert.ok(people.some(({ user_name }) => users.words.includes(user_name)), "a key with users:read shows the people without use");
  await users.context.close();

  const refused = await open(browser, base, { lang: "en" });
  await refused.page.locator("dialog[open] input[type=password]").fill("fpk_密钥");
  await refused.page.keyboard.press("Enter");
  await refused.page.waitForFunction(() => /characters/.test(document.querySelector("dialog[open] [role=alert]")?.textContent));
  await refused.page.locator("dialog[open] input[type=password]").fill("fpk_nonsense");
  await refused.page.keyboard.press("Enter");
  await refused.page.waitForFunction(() => /not valid/.test(document.querySelector("dialog[open] [role=alert]")?.textContent));
  await assertAccessible(refused.page, "dialog of the key");
  await refused.page.keyboard.press("Escape");
  const states = await settled(refused.page);
  assert.deepEqual(new Set(Object.values(states)), new Set(["forbidden"]));
  await refused.context.close();

  const admin = await open(browser, base, { lang: "en" });
  assert.deepEqual(new Set(Object.values(await enterKey(admin.page, keys.admin))), new Set(["forbidden"]));
  await admin.context.close();
  report("a wrong key and a key without the scope are told");
}

async function checkSignIn(browser, base, { issuer, tokenOrigin }) {
  const { page, context, faults } = await open(browser, base, { lang: "en", period: "30d" }, { origins: [issuer, tokenOrigin] });
  await page.locator("dialog[open] button.primary").first().click();
  await page.waitForURL(`${issuer}/**`);
  await page.fill("input[name=login]", "reader");
  await page.fill("input[name=password]", "any");
  await page.click("button[type=submit]");
  await page.waitForSelector("input[name=prompt][value=consent]", { state: "attached" });
  await page.click("button[type=submit]");
  await page.waitForURL(`${base}/**`);
  assert.deepEqual(await settled(page), READY);
  const url = new URL(page.url());
  assert.ok(!url.searchParams.has("code") && url.searchParams.get("period") === "30d", url.href);
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.ok(!/eyJ/.test(kept), "a token is stored");
  assert.deepEqual(faults, []);
  await context.close();
  report("sign-in with the identity provider: code, PKCE, a token endpoint of another origin, and the token in memory only");
}

async function main() {
  const browser = await launch();
  try {
    const upstream = await simulate("simulator", "--users", "2000", "--days", "130", "--profile", "story");
    const base = await serve("gateway", upstream);
    const warm = json(base, "reports/summary?period=30d");
    await checkDemo(browser);
    await warm;

    await measure(browser, base);
    await checkFigures(browser, base, upstream);
    await checkAccessibility(browser, base);
    await checkKeyboard(browser, base);
    await checkLinks(browser, base);
    await checkState(browser, base);
    await checkFirstFigures(browser, base);
    await checkPartial(browser, base);
    await checkDefinitions(browser, base);
    await checkFiles(browser, base);
    await takeScreenshots(browser, base);

    const departments = (await json(base, "reports/departments?period=30d")).data;
    const department = departments.find(({ depth, users }) => depth === 2 && users > 30).department_path;
    const { path, secrets } = createKeys({
      bound: ["--scope", "users:read", "--department", department],
      reports: ["--scope", "reports:read"],
      users: ["--scope", "users:read"],
      admin: ["--scope", "admin"],
    });
    const [port, issuerPort] = [await freePort(), await freePort()];
    const provider = await startIdentityProvider(issuerPort, `http://127.0.0.1:${port}/`);
    const guarded = await serve("guarded", upstream, {
      PULSE_API_KEYS_FILE: path,
      PULSE_OIDC_ISSUER: provider.issuer,
      PULSE_OIDC_AUDIENCE: "pulse",
      PULSE_OIDC_CLIENT_ID: "dashboard",
    }, port);
    await json(guarded, "reports/summary?period=30d", secrets.users);
    await checkAccess(browser, base, guarded, secrets, department);
    await checkSignIn(browser, guarded, provider);
    provider.stop();
    await checkWithoutStorage(browser, guarded, secrets);
    const limited = await serve("limited", upstream, { PULSE_API_KEYS_FILE: path, PULSE_REQUESTS_PER_MINUTE: "30" });
    await checkTooManyRequests(browser, limited, secrets.users);
    const withholding = await serve("withholding", upstream, { PULSE_API_KEYS_FILE: path, PULSE_MIN_GROUP: "60" });
    await checkWithheld(browser, withholding, secrets.reports);
  } finally {
    await browser.close();
    stopServers();
  }
}

await main();
