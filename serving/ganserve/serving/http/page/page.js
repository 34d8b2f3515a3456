// Shows a model's samples by their addresses. What is shown is in the page's own address, so it can be passed on.

const PER_PAGE = 64;
const NO_TRUNCATION = 31; // the last step of the slider, whose steps are tenths
const LAST_SEED = 2n ** 64n - 1n;
const SETTLE_MS = 120;
const TAKING_IMAGES = ["MODEL_KIND_TRANSLATOR", "MODEL_KIND_SCORER"]; // which a page of samples cannot show

const $ = (id) => document.getElementById(id);
const loads = new Map(); // what each image waits for
const labels = {}; // of the ends, where the server chose them

let models = [];
let grpcServer = "HOST:PORT";
let state = { model: "", seed: "7", label: -1, truncation: NO_TRUNCATION, page: 0, a: 0, b: 1, steps: 9 };
let chosen = "a";
let settling = 0;

// --- addresses

const model = () => models.find((one) => name(one) === state.model);
const name = (one) => `${one.identity.name}:${one.identity.version}`;
const truncation = () => (state.truncation === NO_TRUNCATION ? null : state.truncation / 10);
const className = (label) => model().card.class_names[label];

function parameters(label, more = {}) {
  const asked = new URLSearchParams();
  if (label >= 0) asked.set("class", className(label));
  if (truncation() !== null) asked.set("truncation", truncation());
  for (const [key, value] of Object.entries(more)) asked.set(key, value);
  const text = asked.toString();
  return text ? `?${text}` : "";
}

const ofModel = () => `v1/models/${model().identity.name}@${model().identity.digest}`;
const first = () => state.page * PER_PAGE;
const numShown = () => Math.min(PER_PAGE, model().max_samples_per_request);
const numColumns = () => Math.ceil(Math.sqrt(numShown()));
const sampleUrl = (index) => `${ofModel()}/samples/${state.seed}/${index}.png${parameters(state.label)}`;
const gap = () => (model().card.image.width < 24 ? 1 : 2);

function gridUrl() {
  const range = `${first()}-${first() + numShown() - 1}`;
  return `${ofModel()}/samples/${state.seed}/${range}.png${parameters(state.label, { gap: gap() })}`;
}

function stripLabel() {
  if (!model().card.class_names.length) return -1;
  return state.label >= 0 ? state.label : labels.a;
}

function stripUrl() {
  const ends = `${state.seed}:${state.a}/${state.seed}:${state.b}`;
  return `${ofModel()}/interpolations/${ends}.png${parameters(stripLabel(), { steps: state.steps, gap: gap() })}`;
}

// --- images

// Loads an image; one that is no longer wanted is taken back, and its rows with it.
async function show(image, url) {
  loads.get(image)?.abort();
  const load = new AbortController();
  loads.set(image, load);
  image.classList.add("busy");
  try {
    const reply = await ask(url, load.signal);
    await reply.blob();
    image.src = url; // which the browser now has
    await image.decode();
    image.classList.remove("busy");
    if (loads.get(image) === load) tell("");
    return reply;
  } catch (error) {
    if (loads.get(image) !== load || error.name === "AbortError") return null;
    tell(error.message);
    if (error.status === 404) followModels();
    return null;
  }
}

async function ask(url, signal) {
  const reply = await fetch(url, { signal });
  if (reply.ok) return reply;
  if (reply.status === 429 || reply.status === 503) {
    tell("The server is busy; asking again.");
    await pause(1000 * (Number(reply.headers.get("Retry-After")) || 1), signal);
    return ask(url, signal);
  }
  const problem = await reply.json().catch(() => ({}));
  const error = new Error(problem.detail ?? `${reply.status} ${reply.statusText}`);
  throw Object.assign(error, { status: reply.status });
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function tell(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

// --- what is shown

function refresh() {
  if (!model()) return;
  writeControls();
  writeAddress();
  history.replaceState(null, "", `#${new URLSearchParams(state)}`);
  clearTimeout(settling);
  settling = setTimeout(load, SETTLE_MS);
}

async function load() {
  show($("grid-image"), gridUrl());
  await Promise.all(["a", "b"].map(showEnd));
  if (stripLabel() !== undefined) show($("strip"), stripUrl());
  writeAddress();
}

async function showEnd(end) {
  const reply = await show($(`image-${end}`), sampleUrl(state[end]));
  if (!reply) return;
  const label = reply.headers.get("Ganserve-Label");
  labels[end] = label === null ? -1 : Number(label);
  const shown = label === null ? "" : `, class ${className(labels[end])}`;
  $(`caption-${end}`).textContent = `index ${state[end]}${shown}`;
}

function writeControls() {
  const names = model().card.class_names;
  $("model").value = state.model;
  $("seed").value = state.seed;
  $("seed-text").value = state.seed;
  $("class-control").hidden = !names.length;
  $("class").max = names.length - 1;
  $("class").value = state.label;
  $("class-name").textContent = state.label >= 0 ? names[state.label] : "all";
  $("truncation").value = state.truncation;
  $("truncation-text").textContent = truncation() ?? "none";
  $("page-number").value = state.page;
  $("page-text").textContent = `${first()}–${first() + numShown() - 1}`;
  $("steps").value = state.steps;
  $("steps-text").textContent = state.steps;
  for (const end of ["a", "b"]) $(`choose-${end}`).setAttribute("aria-pressed", String(chosen === end));
  writeCells();
  writeAbout();
}

function writeCells() {
  const { height, width } = model().card.image;
  const columns = numColumns();
  const rows = Math.ceil(numShown() / columns);
  const cells = $("cells");
  const pixels = { x: columns * (width + gap()) - gap(), y: rows * (height + gap()) - gap() };
  $("grid").style.aspectRatio = `${pixels.x} / ${pixels.y}`;
  cells.style.gridTemplate = `repeat(${rows}, 1fr) / repeat(${columns}, 1fr)`;
  cells.style.gap = `${(100 * gap()) / pixels.y}% ${(100 * gap()) / pixels.x}%`;
  if (cells.childElementCount !== numShown()) {
    cells.replaceChildren(...Array.from({ length: numShown() }, () => document.createElement("button")));
  }
  [...cells.children].forEach((cell, place) => {
    const index = first() + place;
    const ends = ["a", "b"].filter((end) => state[end] === index).join(" ").toUpperCase();
    cell.type = "button";
    cell.dataset.index = index;
    cell.dataset.ends = ends;
    cell.className = ends ? "end" : "";
    cell.setAttribute("aria-label", `Sample ${index}${ends ? `, ${ends}` : ""}`);
  });
}

function writeAbout() {
  const { card, identity, runtime } = model();
  const { height, width, channels } = card.image;
  const facts = [
    `${width}×${height} ${channels === 1 ? "greyscale" : "RGB"}`,
    card.class_names.length ? `${card.class_names.length} classes` : "no classes",
    [card.architecture, card.loss].filter(Boolean).join(", "),
    `on ${runtime.device}`,
    `digest ${identity.digest.slice(0, 12)}`,
    ...card.warnings,
  ];
  $("about").textContent = facts.filter(Boolean).join(" · ");
}

// --- the address, as others write it

const quoted = (text) => (/^[\w.:@%+=/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function writeAddress() {
  const write = { sample: ofSample, grid: ofGrid, strip: ofStrip }[$("subject").value];
  const { url, words, call, file } = write();
  const { identity } = model();
  const bound = truncation();
  const command = ["ganserve", ...words, "--model", state.model, "--digest", identity.digest, "--server", grpcServer];
  if (bound !== null) command.push("--truncation", String(bound));
  command.push("--out", file);
  $("url").textContent = new URL(url, document.baseURI).href;
  $("command").textContent = command.map(quoted).join(" ");
  $("python").textContent = [
    "from ganserve.client import Client",
    "",
    `with Client("${grpcServer}", model="${state.model}", digest="${identity.digest}") as client:`,
    `    samples = client.${call}`,
    `    samples.save("${file}")`,
  ].join("\n");
}

function labelWords(label) {
  return label >= 0 ? ["--labels", className(label)] : [];
}

function options(label) {
  return [...(label >= 0 ? [`labels=${label}`] : []), ...(truncation() === null ? [] : [`truncation=${truncation()}`])];
}

function ofSample() {
  const index = state[chosen];
  return {
    url: sampleUrl(index),
    words: ["generate", "-n", "1", "--seed", state.seed, "--first-index", String(index), ...labelWords(state.label)],
    call: `generate(${["1", `seed=${state.seed}`, `first_index=${index}`, ...options(state.label)].join(", ")})`,
    file: "sample.png",
  };
}

function ofGrid() {
  const from = first() ? [`first_index=${first()}`] : [];
  const fromWords = first() ? ["--first-index", String(first())] : [];
  const words = ["generate", "-n", String(numShown()), "--seed", state.seed, ...fromWords, ...labelWords(state.label)];
  const call = `generate(${[numShown(), `seed=${state.seed}`, ...from, ...options(state.label)].join(", ")})`;
  return { url: gridUrl(), words, call, file: "grid.png" };
}

function ofStrip() {
  const label = stripLabel() ?? -1;
  const ends = ["a", "b"].map((end) => [state.seed, state[end]]);
  const [from, to] = ends.map((end) => end.join(":"));
  const pairs = ends.map((end) => `(${end.join(", ")})`);
  return {
    url: stripUrl(),
    words: ["interpolate", "-n", String(state.steps), "--from", from, "--to", to, ...labelWords(label)],
    call: `interpolate(${[...pairs, state.steps, ...options(label)].join(", ")})`,
    file: "steps.png",
  };
}

async function copy(button) {
  const source = $(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Without https there is no clipboard but that of the selection.
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// --- life

function listen() {
  const set = (changes) => {
    state = { ...state, ...changes };
    refresh();
  };
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("model").addEventListener("change", (event) => {
    labels.a = labels.b = undefined;
    set({ model: event.target.value, label: -1, page: 0 });
  });
  $("seed").addEventListener("input", (event) => set({ seed: event.target.value }));
  $("seed-text").addEventListener("change", (event) => set({ seed: checkedSeed(event.target.value, state.seed) }));
  for (const [id, key] of [["class", "label"], ["truncation", "truncation"], ["page-number", "page"], ["steps", "steps"]]) {
    $(id).addEventListener("input", (event) => set({ [key]: Number(event.target.value) }));
  }
  for (const end of ["a", "b"]) {
    $(`choose-${end}`).addEventListener("click", () => {
      chosen = end;
      refresh();
    });
  }
  $("cells").addEventListener("click", (event) => {
    const index = event.target.dataset.index;
    if (index !== undefined) set({ [chosen]: Number(index) });
  });
  $("subject").addEventListener("change", writeAddress);
  for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => copy(button));
}

function checkedSeed(text, otherwise) {
  return /^\d{1,20}$/.test(text.trim()) && BigInt(text) <= LAST_SEED ? String(BigInt(text)) : otherwise;
}

// What the page's own address says, as far as there is such a thing.
function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const whole = (key, low, high) => {
    const value = Number(given.get(key) ?? NaN);
    return Number.isInteger(value) && value >= low && value <= high ? value : state[key];
  };
  const known = models.find((one) => name(one) === given.get("model"));
  const shown = known ?? standing(models[0].identity.name);
  state.model = name(shown);
  state.seed = checkedSeed(given.get("seed") ?? "", state.seed);
  state.label = whole("label", -1, shown.card.class_names.length - 1);
  state.truncation = whole("truncation", 1, NO_TRUNCATION);
  state.page = whole("page", 0, 99);
  state.steps = whole("steps", 3, 16);
  state.a = whole("a", 0, Number.MAX_SAFE_INTEGER);
  state.b = whole("b", 0, Number.MAX_SAFE_INTEGER);
}

// A server without TLS whose page came by https stands behind a proxy, which passes gRPC on by the same port.
function addressOf(reply) {
  if (location.protocol.startsWith("https") && !reply.grpc_tls) return `grpcs://${location.hostname}:${location.port || 443}`;
  return `${reply.grpc_tls ? "grpcs://" : ""}${location.hostname}:${reply.grpc_port}`;
}

// The version that answers who names none.
function standing(modelName) {
  const versions = models.filter((one) => one.identity.name === modelName);
  return versions.find((one) => one.aliases?.includes("stable")) ?? versions.at(-1);
}

// Whether the server has models; says what is wrong where it has none.
async function readModels() {
  try {
    const reply = await (await ask("v1/models")).json();
    // Those that were loaded, and make samples of addresses.
    models = reply.models.filter((one) => one.identity.digest && !TAKING_IMAGES.includes(one.card?.kind));
    if (reply.grpc_port) grpcServer = addressOf(reply);
  } catch (error) {
    tell(error.message);
    return false;
  }
  $("model").replaceChildren(...models.map((one) => new Option(name(one), name(one))));
  tell(models.length ? "" : "This server has no generators.");
  return models.length > 0;
}

// The model that is shown was replaced or unloaded: shows what there is in its place.
async function followModels() {
  const [formerName, former] = [state.model.split(":")[0], model()?.identity.digest];
  if (!(await readModels())) return;
  const shown = model() ?? standing(formerName) ?? models[0];
  if (shown.identity.digest === former) return;
  state = { ...state, model: name(shown), label: Math.min(state.label, shown.card.class_names.length - 1) };
  refresh();
}

async function start() {
  if (!(await readModels())) return;
  readState();
  listen();
  refresh();
}

start();
