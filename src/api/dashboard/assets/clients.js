/** Block "systems and client versions"; outdated versions are marked. */

import { barChart } from "./chart.js";
import { h } from "./dom.js";
import { count, percent } from "./format.js";
import { scrollable, table } from "./table.js";
import { t } from "./texts.js";

/** Versions that are shown before the reader asks for all. */
const FIRST = 10;

export default {
  id: "clients",

  async load(view) {
    const { data, meta } = await view.report("clients");
    return { ...data, meta };
  },

  draw(block, { os_names: systems, client_versions: versions }) {
    if (!systems.length && !versions.length) return false;
    const chart = barChart(
      t("clients.systems"),
      systems.map(({ name, users, share }) => ({ name, value: share, text: `${percent(share)} · ${count(users)}` })),
      1,
    );
    block.content(
      h(
        "div",
        { class: "split" },
        h("div", {}, h("h3", {}, t("clients.systems")), chart),
        h("div", {}, h("h3", {}, t("clients.versions")), versionTable(versions)),
      ),
    );
    const rows = [...systems.map((system) => ({ ...system, system: system.name, version: "" })), ...versions];
    block.files({ columns: [KIND, ...COLUMNS()], rows, charts: [chart] });
    return true;
  },
};

function versionTable(versions) {
  const body = h("div");
  const more = h("button", { class: "more", onclick: () => draw(versions) }, t("clients.all", { n: count(versions.length) }));
  const draw = (rows) => {
    const element = table(t("clients.versions"), COLUMNS(), rows);
    rows.forEach((row, index) => element.tBodies[0].rows[index].classList.toggle("outdated", row.outdated === true));
    body.replaceChildren(...[scrollable(t("clients.versions"), element), rows.length < versions.length && more].filter(Boolean));
  };
  draw(versions.slice(0, FIRST));
  return body;
}

/** What the API says about a version; it does not know in every case. */
function judgement({ newest, outdated }) {
  if (outdated == null) return "–";
  return t(`clients.${newest ? "newest" : outdated ? "outdated" : "current"}`);
}

/** Rows of the file are systems or versions. */
const KIND = { key: "kind", value: ({ client }) => (client ? "client_version" : "os_name") };

const COLUMNS = () => [
  { key: "system", label: t("clients.system"), value: ({ system }) => system ?? "–" },
  { key: "client", label: t("clients.client"), value: ({ client }) => client },
  { key: "version", label: t("clients.version"), value: ({ version }) => version ?? "–" },
  { key: "users", label: t("figure.client_users"), value: ({ users }) => users, format: count },
  { key: "share", label: t("figure.client_share"), value: ({ share }) => share, format: percent },
  { key: "judgement", label: t("status"), value: judgement },
];
