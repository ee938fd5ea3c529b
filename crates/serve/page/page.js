// The page asks the API of the server that it came from. Whatever an answer says of a
// file was written by whoever made the file: it becomes text, never markup.
"use strict";

const SHOWN = 100; // rows of the table at once, however many functions there are
const FETCHED = 1000; // functions and lines of a listing in one request
const MATCHES = 20;
const TAGS = 4; // of a function, in the table

const by = (id) => document.getElementById(id);

/** An element with these properties and these children; strings become text. */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const state = {
  id: null, // of the program, as the API names it
  name: "", // of the file, as the person calls it
  file: null, // that was chosen last
  raw: {}, // arch and base
  done: "", // what is said while nothing is being done
  rows: [], // what the table shows, of every function
  byAddress: new Map(),
  explained: false,
  shown: [], // rows that pass the filter, sorted
  page: 0,
  sort: { key: "address", down: false },
  chosen: null,
  asC: false, // how the code of a function is shown
  token: sessionStorage.getItem("token") ?? "",
  // One for what belongs to the program, one for the function that is open, one for the
  // search: what is not wanted any more is not computed any more.
  asking: { program: null, detail: null, search: null },
};

class Refused extends Error {
  constructor(status, code, message, id) {
    super(message);
    Object.assign(this, { status, code, id });
  }
}

/** A signal that ends when another of the same kind is asked for. */
function instead(kind) {
  state.asking[kind]?.abort();
  state.asking[kind] = new AbortController();
  return state.asking[kind].signal;
}

async function ask(path, options = {}) {
  for (let tries = 0; ; tries++) {
    const headers = { ...options.headers };
    if (state.token) headers.Authorization = `Bearer ${state.token}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "network", "the server does not answer: has it been ended?");
    }
    const text = await response.text();
    let answer;
    try {
      answer = text ? JSON.parse(text) : null;
    } catch {
      throw new Refused(response.status, "server", `the server answered ${response.status}, and no JSON`);
    }
    if (response.ok) return answer;
    const { code, message, id } = answer?.error ?? {};
    // The server is busy: it says when to come again.
    if (response.status === 429 && tries < 30) {
      const seconds = Number(response.headers.get("Retry-After")) || 5;
      busy(`The server is busy; trying again in ${seconds} seconds…`);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      if (options.signal?.aborted) throw new DOMException("", "AbortError");
      continue;
    }
    if (response.status === 401) by("token-form").hidden = false;
    throw new Refused(response.status, code, message ?? `the server answered ${response.status}`, id);
  }
}

/** The path of a route of the program, with what says how to read it. */
function route(rest, parameters = {}) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...parameters, ...state.raw })) {
    if (value !== undefined && value !== null && value !== "") all.set(name, value);
  }
  const query = all.size ? `?${all}` : "";
  return `/v1/programs/${encodeURIComponent(state.id)}${rest}${query}`;
}

let counting = null;

/** Says what is being done, and for how long already. */
function busy(what) {
  clearInterval(counting);
  const begin = Date.now();
  const status = by("status");
  status.classList.add("busy");
  status.textContent = what;
  counting = setInterval(() => {
    const seconds = Math.round((Date.now() - begin) / 1000);
    status.textContent = `${what} ${seconds} s`;
  }, 1000);
}

function idle(what = state.done) {
  clearInterval(counting);
  by("status").classList.remove("busy");
  by("status").textContent = what;
}

function fail(error) {
  if (error.name === "AbortError") return;
  idle();
  const place = by("error");
  // A sentence may begin with the name of a file.
  place.textContent = error.id ? error.message : sentence(error.message);
  place.hidden = false;
  if (!(error instanceof Refused)) throw error;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const number = (value) => value.toLocaleString("en");
const percent = (value) => (typeof value === "number" ? `${Math.round(value * 100)}%` : "");

// The program

async function upload(file) {
  const signal = instead("program");
  reset();
  state.file = file;
  by("again-button").disabled = false;
  const raw = { arch: by("arch").value.trim(), base: by("base").value.trim() };
  const query = new URLSearchParams();
  const member = by("member").value.trim();
  for (const [name, value] of Object.entries({ member, ...raw })) if (value) query.set(name, value);
  busy(`Sending ${file.name}…`);
  try {
    const about = await ask("/v1", { signal });
    if (file.size > about.max_upload) {
      const most = `${Math.floor(about.max_upload / 2 ** 20)} MiB`;
      throw new Refused(413, "too_large", `${file.name} is too large: this server takes files of ${most} at most`);
    }
    const program = await ask(`/v1/programs?${query}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
      signal,
    });
    const name = member ? `${file.name}:${member}` : file.name;
    // For when the page is loaded again: the server is not told names.
    sessionStorage.setItem(`name:${program.id}`, name);
    sessionStorage.setItem(`raw:${program.id}`, JSON.stringify(raw));
    history.pushState(null, "", `#${program.id}`);
    await open(program, name, raw, signal);
  } catch (error) {
    if (error.id) {
      // The server knows the file by its hash alone.
      error.message = error.message.replaceAll(error.id, file.name);
      by("how").open = true;
    }
    fail(error);
  }
}

/** Forgets the program that is shown. */
function reset() {
  by("error").hidden = true;
  by("work").hidden = true;
  by("start").classList.remove("small");
  document.title = "binscribe";
  closeFound();
  closeDetail();
  Object.assign(state, { id: null, rows: [], byAddress: new Map(), shown: [], page: 0, explained: false, done: "" });
  Object.assign(state.sort, { key: "address", down: false });
  by("filter").value = "";
}

async function open(program, name, raw, signal) {
  Object.assign(state, { id: program.id, name, raw });
  const { binary } = program;
  by("program-name").textContent = name;
  document.title = `${name} – binscribe`;
  by("program-facts").textContent = [
    `${binary.format} ${binary.kind}`,
    binary.arch,
    `${number(binary.size)} bytes`,
    binary.stripped ? "stripped" : "with symbols",
    `image base ${binary.image_base}`,
    `${number(program.total)} functions`,
    `BLAKE3 ${binary.blake3}`,
  ].join(" · ");
  warn(program.warnings);
  by("json").href = route("/explain", { limit: 10000 });
  by("start").classList.add("small");
  by("work").hidden = false;

  busy("Finding the functions…");
  await pages("/functions", signal, (functions) => add(functions));
  show();
  busy(`Explaining ${number(program.total)} functions…`);
  const begin = Date.now();
  await pages("/explain", signal, (functions, document) => {
    explain(functions);
    warn(document.warnings);
    show();
  });
  state.explained = true;
  const named = state.rows.filter((row) => row.known || row.proposed).length;
  const seconds = ((Date.now() - begin) / 1000).toFixed(1);
  state.done = `${number(named)} of ${number(state.rows.length)} functions have a name; explained in ${seconds} s.`;
  idle();
  if (state.chosen) openDetail(state.chosen);
  else openFromHash();
}

async function pages(rest, signal, each) {
  for (let offset = 0; offset !== null; ) {
    const document = await ask(route(rest, { offset, limit: FETCHED }), { signal });
    each(document.functions, document);
    offset = document.next_offset;
  }
}

function warn(warnings) {
  by("warnings").replaceChildren(...warnings.map((text) => make("li", {}, sentence(text))));
}

function row(entry) {
  return {
    entry,
    at: BigInt(entry.address),
    address: entry.address,
    size: entry.size,
    known: entry.demangled ?? entry.name,
    proposed: null,
    own: false,
    confidence: null,
    tags: [],
    summary: "",
    text: "",
  };
}

/** What stands in the column of names. */
function nameOf(row) {
  if (row.known) return row.known;
  if (row.proposed) return row.own ? `[${row.proposed}]` : row.proposed;
  return placeholder(row.address);
}

const placeholder = (address) => `sub_${address.slice(2).toUpperCase()}`;

function add(functions) {
  for (const entry of functions) {
    const made = row(entry);
    made.text = `${nameOf(made)} ${made.address}`.toLowerCase();
    state.rows.push(made);
    state.byAddress.set(made.address, made);
  }
}

function explain(functions) {
  for (const entry of functions) {
    const known = state.byAddress.get(entry.address);
    if (!known) continue;
    const [best] = entry.names;
    Object.assign(known, {
      entry,
      proposed: best?.name ?? null,
      own: best?.source === "program",
      confidence: best && !known.known ? best.confidence : null,
      tags: entry.tags,
      summary: entry.summary || entry.undecided || "",
    });
    const tags = entry.tags.map((tag) => tag.tag).join(" ");
    const names = entry.names.map((name) => name.name).join(" ");
    known.text = `${nameOf(known)} ${known.entry.name ?? ""} ${names} ${known.address} ${placeholder(known.address)} ${tags} ${known.summary}`.toLowerCase();
  }
}

// The table

const keys = {
  address: (row) => row.at,
  name: (row) => (row.known || row.proposed ? `0${nameOf(row).replace("[", "").toLowerCase()}` : `1${row.address.padStart(20)}`),
  confidence: (row) => row.confidence ?? (row.known ? 2 : -1),
  size: (row) => row.size,
  tags: (row) => (row.tags.length ? row.tags.map((tag) => tag.tag).join(" ") : "\uffff"),
  summary: (row) => row.summary.toLowerCase() || "\uffff",
};

/** Filters, sorts, and shows a page of the rows. */
function show() {
  const words = by("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = state.rows.filter((row) => words.every((word) => row.text.includes(word)));
  const { key, down } = state.sort;
  const keyed = shown.map((row) => [keys[key](row), row]);
  keyed.sort(([a, first], [b, second]) => {
    const order = a < b ? -1 : a > b ? 1 : 0;
    if (order) return down ? -order : order;
    return first.at < second.at ? -1 : 1;
  });
  state.shown = keyed.map(([, row]) => row);
  showPage();
}

function showPage() {
  const last = Math.max(0, Math.ceil(state.shown.length / SHOWN) - 1);
  state.page = Math.min(Math.max(0, state.page), last);
  const begin = state.page * SHOWN;
  const rows = state.shown.slice(begin, begin + SHOWN);
  by("rows").replaceChildren(...rows.map(rowOf));
  const all = number(state.rows.length);
  by("count").textContent = state.shown.length === state.rows.length ? `${all} functions` : `${number(state.shown.length)} of ${all} functions`;
  by("pager").hidden = last === 0;
  by("page-number").textContent = `${number(begin + 1)} to ${number(begin + rows.length)}`;
  by("previous").disabled = state.page === 0;
  by("next").disabled = state.page === last;
  by("none").hidden = rows.length > 0;
  for (const heading of document.querySelectorAll("th[data-key]")) {
    const sorted = heading.dataset.key === state.sort.key;
    if (sorted) heading.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    else heading.removeAttribute("aria-sort");
  }
}

function tagOf(tag) {
  const fact = tag.source === "fact";
  const sure = fact ? "" : ` ${percent(tag.confidence)}`;
  return make("span", { className: fact ? "tag fact" : "tag", title: tag.why }, `${tag.tag}${sure}`);
}

/** How much of a name is the file's own. */
const kindOf = (row) => (row.known || row.own ? "name" : row.proposed ? "name proposed" : "name unnamed");

function nameButton(text, className, action) {
  const button = make("button", { type: "button", className }, text);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    action(button);
  });
  return button;
}

function moreTags(tags) {
  const more = tags.slice(TAGS).map((tag) => tag.tag);
  return more.length ? make("span", { className: "tag", title: more.join(", ") }, `+${more.length}`) : "";
}

function rowOf(row) {
  const name = nameButton(nameOf(row), kindOf(row), () => choose(row.address));
  const element = make(
    "tr",
    { className: row.address === state.chosen ? "chosen" : "" },
    make("td", { className: "address" }, row.address),
    make("td", {}, name),
    make("td", { className: "number" }, percent(row.confidence)),
    make("td", { className: "number" }, number(row.size)),
    make("td", {}, ...row.tags.slice(0, TAGS).map(tagOf), moreTags(row.tags)),
    make("td", {}, make("span", { className: "summary", title: row.summary }, row.summary)),
  );
  element.dataset.address = row.address;
  element.addEventListener("click", () => {
    // Whoever marks text to copy it does not want another function.
    if (!String(getSelection())) choose(row.address);
  });
  return element;
}

// A function

function choose(address) {
  history.pushState(null, "", `#${state.id}/${address}`);
  openDetail(address);
  by("detail-name").focus({ preventScroll: true });
  if (matchMedia("(max-width: 1000px)").matches) by("detail").scrollIntoView();
}

function closeDetail() {
  state.asking.detail?.abort();
  const chosen = state.chosen;
  state.chosen = null;
  by("detail").hidden = true;
  by("columns").classList.remove("open");
  const before = document.querySelector("#rows tr.chosen");
  before?.classList.remove("chosen");
  if (chosen) before?.querySelector("button")?.focus();
}

function heading(text) {
  return make("h4", {}, text);
}

function openDetail(address) {
  const known = state.byAddress.get(address);
  if (!known) return;
  const signal = instead("detail");
  state.chosen = address;
  for (const other of by("rows").children) other.classList.toggle("chosen", other.dataset.address === address);
  const { entry } = known;
  by("columns").classList.add("open");
  by("detail").hidden = false;
  by("detail").scrollTop = 0;
  by("detail-name").textContent = nameOf(known);
  const source = entry.source_file;
  const lines = source?.lines ? `:${source.lines[0]}–${source.lines[1]}` : "";
  by("detail-facts").textContent = [
    `${entry.address} (RVA ${entry.rva})`,
    `${number(entry.size)} bytes`,
    `found by ${entry.source}`,
    entry.name && entry.demangled ? `symbol ${entry.name}` : null,
    source ? `${source.source === "neighbours" ? "between functions of" : "of"} ${source.path}${lines}` : null,
  ].filter(Boolean).join(" · ");
  by("detail-summary").textContent = known.summary;
  by("detail-names").replaceChildren(...namesOf(known));
  by("detail-tags").replaceChildren(...tagsOf(known));
  by("detail-calls").replaceChildren();
  by("decompiled").replaceChildren();
  showCode();
  listing(address, signal);
  similar(address, signal);
}

function namesOf({ entry }) {
  if (!state.explained && !entry.names) return [make("p", { className: "dim" }, "Names and tags come when the file is explained.")];
  const names = entry.names ?? [];
  if (!names.length) return entry.undecided ? [make("p", { className: "dim" }, `No name: ${entry.undecided}.`)] : [];
  const items = names.map((name) => {
    const score = name.score === undefined ? "" : `, score ${name.score.toFixed(3)}, margin ${(name.margin ?? 0).toFixed(3)}`;
    const item = make("li", {}, make("code", {}, name.source === "program" ? `[${name.name}]` : name.name), ` ${percent(name.confidence)}${score}`);
    if (name.why) item.append(make("div", { className: "dim" }, name.why));
    const evidence = name.evidence.map((one) => make("li", { className: "dim" },
      `${one.score.toFixed(3)} ${one.package} ${one.version} ${one.file}:${one.line} (${one.toolchains}; ${one.license})`,
      one.explanation && one.explanation !== name.name ? ` ${one.explanation}` : ""));
    if (evidence.length) {
      const most = 3;
      item.append(make("ul", {}, ...evidence.slice(0, most)));
      if (evidence.length > most) {
        item.append(make("details", { className: "dim" }, make("summary", {}, `${evidence.length - most} more`), make("ul", {}, ...evidence.slice(most))));
      }
    }
    return item;
  });
  return [heading("Proposed names"), make("ul", {}, ...items)];
}

function tagsOf({ entry }) {
  if (!entry.tags?.length) return [];
  const items = entry.tags.map((tag) => make("li", {}, tagOf(tag), make("span", { className: "dim" }, tag.why)));
  return [heading("Tags"), make("ul", {}, ...items)];
}

/** A button that opens another function of the file. */
function goTo(address, name) {
  const known = state.byAddress.get(address);
  const text = known ? nameOf(known) : name;
  if (!known) return make("code", {}, `${text} `);
  const button = make("button", { type: "button", className: "go", title: address }, text);
  button.addEventListener("click", () => choose(address));
  return button;
}

async function listing(address, signal) {
  const place = by("listing");
  place.replaceChildren(make("p", { className: "dim" }, "Reading…"));
  try {
    const document = await ask(route("/listing", { function: address, limit: FETCHED }), { signal });
    calls(document);
    const text = (lines) => lines.map((line) => `${String(line.number).padStart(5)}  ${line.address}  ${line.text}`).join("\n");
    place.replaceChildren(make("pre", { tabIndex: 0 }, text(document.lines)));
    const more = (offset) => {
      if (offset === null) return;
      const button = make("button", { type: "button" }, `More (${number(offset)} of ${number(document.total)} lines so far)`);
      button.addEventListener("click", async () => {
        button.disabled = true;
        try {
          const next = await ask(route("/listing", { function: address, limit: FETCHED, offset }), { signal });
          button.replaceWith(make("pre", { tabIndex: 0 }, text(next.lines)));
          more(next.next_offset);
        } catch (error) {
          button.disabled = false;
          fail(error);
        }
      });
      place.append(button);
    };
    more(document.next_offset);
  } catch (error) {
    local(place, error);
  }
}

/** Shows the code as assembly or as C, which is asked for when it is wanted. */
function showCode() {
  const { chosen, asC } = state;
  by("as-assembly").setAttribute("aria-pressed", !asC);
  by("as-c").setAttribute("aria-pressed", asC);
  by("listing").hidden = asC;
  by("decompiled").hidden = !asC;
  by("code-json").href = asC ? route("/decompile", { function: chosen }) : route("/listing", { function: chosen, limit: 10000 });
  if (asC && !by("decompiled").hasChildNodes()) decompiled(chosen, state.asking.detail.signal);
}

async function decompiled(address, signal) {
  const place = by("decompiled");
  place.replaceChildren(make("p", { className: "dim" }, "Decompiling…"));
  try {
    const document = await ask(route("/decompile", { function: address }), { signal });
    place.replaceChildren(make("pre", { tabIndex: 0 }, ...linked(document.code, document.calls)));
  } catch (error) {
    local(place, error);
  }
}

/** The code, with links where it names functions of the file that it calls. */
function linked(code, called) {
  const wanted = new Set(called);
  const rows = new Map();
  for (const row of state.rows) {
    // C has no other signs in its names: two functions may come to have the same.
    const name = (row.entry.name ?? placeholder(row.address)).replace(/[^A-Za-z0-9]/gu, "_").replace(/^(?=[0-9])/, "_");
    if (wanted.has(name)) rows.set(name, rows.has(name) ? null : row);
  }
  // What stands in strings, characters and remarks is no name.
  const words = code.split(/("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\*[^]*?\*\/|[A-Za-z_]\w*)/);
  return words.map((word) => {
    const row = rows.get(word);
    if (!row) return word;
    const link = make("a", { href: `#${state.id}/${row.address}`, title: nameOf(row) }, word);
    link.addEventListener("click", (event) => {
      // In another tab the address of the page alone says what is opened.
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      choose(row.address);
    });
    return link;
  });
}

function calls(document) {
  const pairs = [];
  const pair = (name, children) => {
    if (children.length) pairs.push(make("dt", {}, name), make("dd", {}, ...children));
  };
  pair("Callers", document.callers.map((caller) => goTo(caller.address, caller.name)));
  pair("Calls", document.calls.map((call) => (call.address && !call.import ? goTo(call.address, call.name) : make("code", {}, `${call.name} `))));
  pair("Strings", document.strings.map((text) => make("div", {}, make("code", {}, `"${text}"`))));
  pair("Constants", document.constants.map((text) => make("code", {}, `${text} `)));
  pair("Tables", document.tables.map((table) => make("div", {}, `${table.name} at ${table.address}`)));
  if (!document.returns) pair("Returns", ["never"]);
  by("detail-calls").replaceChildren(make("dl", { className: "pair" }, ...pairs));
}

async function similar(address, signal) {
  const place = by("similar");
  place.replaceChildren(make("p", { className: "dim" }, "Comparing…"));
  try {
    const index = by("similar-where").value;
    const document = await ask(route("/similar", { function: address, k: 10, index }), { signal });
    if (!document.matches.length) {
      place.replaceChildren(make("p", { className: "dim" }, "None."));
      return;
    }
    const rows = document.matches.map((match) => {
      const here = match.binary ? null : state.byAddress.get(match.function.address);
      const name = here ? nameOf(here) : match.function.own_name ? `[${match.function.own_name}]` : match.function.name;
      const title = here ? goTo(match.function.address, name) : make("code", {}, name);
      const where = match.binary ? `${match.binary.path} ${match.function.address}` : here?.summary ?? "";
      return make("tr", {}, make("td", {}, title), make("td", { className: "number" }, percent(match.confidence)),
        make("td", { className: "number" }, match.score.toFixed(3)), make("td", {}, make("span", { className: "summary" }, where)));
    });
    const head = make("tr", {}, make("th", {}, "Function"), make("th", { className: "number", title: "The probability that both are made of the same source" }, "Same"),
      make("th", { className: "number" }, "Score"), make("th", {}, index ? "Program" : "Summary"));
    place.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  } catch (error) {
    local(place, error);
  }
}

/** An error that concerns one part of the page alone. */
function local(place, error) {
  if (error.name === "AbortError") return;
  place.replaceChildren(make("p", { className: "dim" }, `${sentence(error.message)}.`));
  if (!(error instanceof Refused)) throw error;
}

// Search

async function search(event) {
  event.preventDefault();
  const words = by("english").value.trim();
  if (!words) return by("english").focus();
  const signal = instead("search");
  by("error").hidden = true;
  const index = by("where").value;
  busy(`Searching for “${words}”…`);
  try {
    const parameters = new URLSearchParams({ q: words, k: MATCHES });
    const path = index ? `/v1/indices/${encodeURIComponent(index)}/search?${parameters}` : route("/search", { q: words, k: MATCHES });
    const document = await ask(path, { signal });
    idle();
    by("found-title").textContent = `Nearest to “${words}”${index ? ` in ${index}` : ""}`;
    by("found-json").href = path;
    by("found-place").textContent = index ? "Program" : "Summary";
    by("found-rows").replaceChildren(...document.matches.map(foundRow));
    if (!document.matches.length) idle("Nothing was found.");
    by("found").hidden = false;
    by("all").hidden = true;
    by("found-title").focus();
  } catch (error) {
    fail(error);
  }
}

function foundRow(match) {
  const { address, name, own_name: own } = match.function;
  const here = match.binary ? null : state.byAddress.get(address);
  const text = here ? nameOf(here) : own ? `[${own}]` : name;
  const cell = here ? nameButton(text, kindOf(here), () => choose(address)) : make("code", {}, text);
  const element = make("tr", {}, make("td", {}, cell), make("td", { className: "address" }, address),
    make("td", {}, make("span", { className: "summary" }, match.binary ? match.binary.path : here?.summary ?? "")),
    make("td", { className: "number" }, percent(match.confidence)), make("td", { className: "number" }, match.score.toFixed(3)));
  if (here) element.addEventListener("click", () => choose(address));
  return element;
}

function closeFound() {
  state.asking.search?.abort();
  by("found").hidden = true;
  by("all").hidden = false;
}

// The whole

/** Shows what the address of the page names. */
async function openFromHash() {
  const [id, address] = decodeURIComponent(location.hash.slice(1)).split("/0x");
  if (!id) {
    instead("program");
    reset();
    idle();
    return;
  }
  if (id === state.id) {
    if (address) openDetail(`0x${address}`);
    else closeDetail();
    return;
  }
  const signal = instead("program");
  reset();
  busy("Looking for the program…");
  try {
    const raw = JSON.parse(sessionStorage.getItem(`raw:${id}`) ?? "{}");
    Object.assign(state, { id, raw });
    const program = await ask(route(""), { signal });
    await open(program, sessionStorage.getItem(`name:${id}`) ?? `${id.slice(0, 16)}…`, raw, signal);
  } catch (error) {
    state.id = null;
    fail(error);
  }
}

async function begin() {
  try {
    const about = await ask("/v1");
    by("token-form").hidden = true;
    for (const place of [by("where"), by("similar-where")]) {
      const options = about.indices.map((name) => make("option", { value: name }, `in ${name}`));
      place.replaceChildren(place.firstElementChild, ...options);
      place.hidden = !options.length;
    }
    await openFromHash();
  } catch (error) {
    fail(error);
  }
}

/** With a token a link would lead to an error: what it leads to is saved instead. */
async function saveJson(event) {
  if (!state.token) return;
  event.preventDefault();
  try {
    const document = await ask(event.currentTarget.href);
    const url = URL.createObjectURL(new Blob([JSON.stringify(document)], { type: "application/json" }));
    make("a", { href: url, download: "binscribe.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (error) {
    fail(error);
  }
}

by("file").addEventListener("change", () => {
  const [file] = by("file").files;
  if (file) upload(file);
  // The same file can be chosen again.
  by("file").value = "";
});
let depth = 0;
const drops = {
  dragenter: () => document.body.classList.toggle("dropping", ++depth > 0),
  dragleave: () => document.body.classList.toggle("dropping", --depth > 0),
  dragover: () => {},
  drop: (event) => {
    depth = 0;
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) upload(file);
  },
};
for (const [kind, action] of Object.entries(drops)) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    action(event);
  });
}
by("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = by("token").value.trim();
  sessionStorage.setItem("token", state.token);
  by("token").value = "";
  by("error").hidden = true;
  begin();
});
by("again").addEventListener("submit", (event) => {
  event.preventDefault();
  if (state.file) upload(state.file);
});
by("search").addEventListener("submit", search);
by("found-close").addEventListener("click", closeFound);
by("detail-close").addEventListener("click", () => {
  history.pushState(null, "", `#${state.id}`);
  closeDetail();
});
for (const [button, asC] of [[by("as-assembly"), false], [by("as-c"), true]]) {
  button.addEventListener("click", () => {
    state.asC = asC;
    showCode();
  });
}
by("similar-where").addEventListener("change", () => {
  if (state.chosen) similar(state.chosen, state.asking.detail.signal);
});
let typing = null;
by("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.page = 0;
    show();
  }, 80);
});
by("previous").addEventListener("click", () => {
  state.page--;
  showPage();
});
by("next").addEventListener("click", () => {
  state.page++;
  showPage();
});
for (const heading of document.querySelectorAll("th[data-key]")) {
  heading.firstElementChild.addEventListener("click", () => {
    const { key } = heading.dataset;
    // What is surest and largest is wanted first.
    const down = state.sort.key === key ? !state.sort.down : key === "confidence" || key === "size";
    Object.assign(state, { sort: { key, down }, page: 0 });
    show();
  });
}
for (const link of [by("json"), by("found-json"), by("code-json")]) link.addEventListener("click", saveJson);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typed = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typed && !by("work").hidden) {
    event.preventDefault();
    by("filter").focus();
  } else if (event.key === "Escape" && !by("detail").hidden) {
    by("detail-close").click();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.classList.contains("name")) {
    const line = event.target.closest("tr");
    const next = event.key === "ArrowDown" ? line.nextElementSibling : line.previousElementSibling;
    next?.querySelector("button.name")?.focus();
    if (next) event.preventDefault();
  }
});
addEventListener("popstate", openFromHash);
begin();
