// A month through Feishu's own SDK for Node: the same rows from Feishu and from the gateway, and Feishu's own errors.
//
// The addresses come from the environment, see `.ci/sdks`. Any difference ends the script with an error.
'use strict';

const assert = require('node:assert/strict');
const lark = require('@larksuiteoapi/node-sdk');

const { SIMULATOR, GATEWAY, FIRST_DAY: start_date, LAST_DAY: end_date } = process.env;

// Each error is asserted on; the SDK would print it as well.
const logger = Object.fromEntries(['error', 'warn', 'info', 'debug', 'trace'].map((level) => [level, () => {}]));

function client(domain, appId, appSecret = 'any-secret') {
  return new lark.Client({ domain, appId, appSecret, logger });
}

/** All rows in the order of day and person, and the seconds that it took. */
async function month(sdk) {
  const rows = [];
  const begin = performance.now();
  let page_token;
  do {
    const params = { start_date, end_date, page_size: 60, page_token };
    const reply = await sdk.admin.v1.adminUserStat.list({ params });
    assert.equal(reply.code, 0, JSON.stringify(reply));
    rows.push(...(reply.data.items ?? []).map(asSent));
    page_token = reply.data.has_more ? reply.data.page_token : undefined;
  } while (page_token);
  const seconds = (performance.now() - begin) / 1000;
  return { rows: rows.sort((one, other) => (key(one) < key(other) ? -1 : 1)), seconds };
}

function key(row) {
  return `${row.date} ${row.user_id}`;
}

/** A time that never was comes as "" or not at all, from Feishu itself too. */
function asSent(item) {
  return { register_time: '', last_active_time: '', ...item };
}

async function upstreamCalls() {
  const reply = await fetch(`${GATEWAY}/v1/coverage`);
  return (await reply.json()).meta.upstream_calls.calls;
}

async function checkErrors(sdk) {
  const list = sdk.admin.v1.adminUserStat.list;
  const refused = await caught(list({ params: { start_date, end_date, page_size: 61 } }));
  assert.equal(refused.response.status, 500);
  assert.equal(refused.response.data.code, 1051001);
  assert.equal(refused.response.data.error.log_id, refused.response.headers['x-tt-logid']);
  assert.equal(refused.response.data.error.field_violations[0].field, 'page_size');

  const stranger = await caught(list({ params: { start_date, end_date } }, lark.withUserAccessToken('u-made-up')));
  assert.equal(stranger.response.status, 400);
  assert.equal(stranger.response.data.code, 99991663);

  const blank = await caught(client(GATEWAY, 'blank', ' ').admin.v1.adminUserStat.list({ params: { start_date, end_date } }));
  assert.match(blank.message, /10014/);
}

async function caught(promise) {
  const outcome = await promise.then(() => undefined, (error) => error);
  assert.ok(outcome instanceof Error, 'the SDK threw no error');
  return outcome;
}

async function main() {
  const feishu = await month(client(SIMULATOR, 'cli_demo', 'demo-secret'));
  const sdk = client(GATEWAY, 'node');
  const calls = await upstreamCalls();
  const warm = await month(sdk);
  assert.equal(await upstreamCalls(), calls, 'a cached month cost calls to Feishu');
  assert.ok(feishu.rows.length > 10_000);
  assert.deepEqual(warm.rows, feishu.rows);
  await checkErrors(sdk);
  const columns = [feishu.seconds.toFixed(1), 'held already', warm.seconds.toFixed(2)];
  const took = columns.map((column) => column.padStart(16)).join(' ');
  console.log(`${'@larksuiteoapi/node-sdk'.padEnd(34)} ${String(warm.rows.length).padStart(7)} ${took}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
