// Starts the binary with free ports, and ends what it has started.

import { spawn, spawnSync } from "node:child_process";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const binary = process.env.BINARY;
const folder = process.env.SCRATCH;
const started = [];

export function freePort() {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

/** Starts a command of the binary, and resolves when the address answers. */
async function start(name, args, address, environment = {}) {
  const process_ = spawn(binary, args, { env: { ...process.env, ...environment } });
  const log = createWriteStream(join(folder, `${name}.log`));
  process_.stdout.pipe(log);
  process_.stderr.pipe(log);
  started.push(process_);
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if (process_.exitCode != null) throw new Error(`${name} ended; see ${name}.log`);
    if (await fetch(address).then(() => true, () => false)) return address;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${name} does not answer`);
}

export async function simulate(name, ...options) {
  const port = await freePort();
  return start(name, ["simulate", "--listen", `127.0.0.1:${port}`, ...options], `http://127.0.0.1:${port}`);
}

export async function demo(...options) {
  const port = await freePort();
  return start("demo", ["demo", "--listen", `127.0.0.1:${port}`, ...options], `http://127.0.0.1:${port}`);
}

/** A gateway in front of a simulated Feishu. */
export async function serve(name, upstream, settings = {}, port = null) {
  port ??= await freePort();
  const state = join(folder, name);
  mkdirSync(state);
  return start(name, ["serve"], `http://127.0.0.1:${port}`, {
    FEISHU_BASE_URL: upstream,
    FEISHU_APP_ID: "cli_demo",
    FEISHU_APP_SECRET: "demo-secret",
    PULSE_LISTEN: `127.0.0.1:${port}`,
    PULSE_STATE_DIR: state,
    PULSE_ARCHIVE: join(folder, "archive"),
    PULSE_WARM: "off",
    PULSE_LOG: "warn",
    ...settings,
  });
}

/** Creates access keys; returns the path of their file, and each key by its name. */
export function createKeys(keys) {
  const lines = [];
  const secrets = {};
  for (const [name, options] of Object.entries(keys)) {
    const { stdout, stderr } = spawnSync(binary, ["key", "new", "--name", name, ...options], { encoding: "utf8" });
    secrets[name] = stderr.match(/fpk_\S+/)[0];
    lines.push(stdout.trim());
  }
  const path = join(folder, "keys");
  writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o600 });
  return { path, secrets };
}

export function stopServers() {
  for (const process_ of started) process_.kill();
}
