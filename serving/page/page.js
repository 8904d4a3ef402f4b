// The page at "/": asks the server that sent it, and shows what it answers.
// All that models and people write reaches the page as text, never as HTML.

const SHOWN_LABELS = 10; // the others fold away
const MAX_EXAMPLE_VALUES = 256; // of one input; an image would fill the box
const RETRY_MS = 2000; // while versions come and go
const DOWN = "The server does not answer. Is it still running?";

const $ = (id) => document.getElementById(id);
const FIELDS = [...document.querySelectorAll("[data-input]")];

let models = [];
let listed = ""; // the JSON that `models` came from
let chosen = null; // {name, version, base, mode, columns, pieces}, and the example of a request where mode is "json"
let example = ""; // that the JSON box was filled with
let answered = null; // of what is chosen: where the answer that is shown came from
let asks = 0; // answers that come too late belong to an older one
let timer;

/** An element; strings among the children become text. */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The answer's text. Throws the server's own sentence where it refuses. */
async function call(path, body) {
  let response, text;
  try {
    response = await fetch(path, body === undefined ? {} : { method: "POST", body });
    text = await response.text();
  } catch {
    throw new Error(DOWN);
  }
  if (response.ok) return text;
  let sentence = text;
  try {
    sentence = JSON.parse(text).error ?? text;
  } catch {
    // a proxy between us and the server speaks no JSON: its text is all there is
  }
  throw new Error(sentence || `HTTP ${response.status}`);
}

// ---- models and versions

const isAvailable = ({ state }) => state === "AVAILABLE";

/** Looks which models and versions there are; keeps what is chosen while it is there. */
async function refresh() {
  clearTimeout(timer);
  try {
    const text = await call("/ui/models");
    if ($("error").textContent === DOWN) $("error").textContent = "";
    if (text !== listed) {
      models = JSON.parse(text);
      listed = text;
      showModels();
      await choose();
    }
  } catch (error) {
    $("error").textContent = error.message; // the answer before is still one
  }
  const states = models.flatMap(({ versions }) => versions.map(({ state }) => state));
  const isSettled = states.every((state) => ["AVAILABLE", "END"].includes(state));
  if (!chosen || !isSettled) timer = setTimeout(refresh, RETRY_MS);
}

function showModels() {
  const [wanted] = location.hash.slice(1).split("/");
  const name = models.find((model) => encodeURIComponent(model.name) === wanted)?.name ?? models[0]?.name;
  $("model").replaceChildren(...models.map((model) => make("option", { value: model.name }, model.name)));
  if (name !== undefined) $("model").value = name;
  showVersions();
}

function showVersions() {
  const model = models.find(({ name }) => name === $("model").value);
  const [wantedName, wantedVersion] = location.hash.slice(1).split("/");
  const versions = model?.versions ?? [];
  const options = versions.map((each) => {
    const labels = Object.keys(model.labels).filter((label) => model.labels[label] === each.version);
    const notes = isAvailable(each) ? labels : [...labels, each.state];
    const text = [each.version, ...notes].join(" · ");
    return make("option", { value: each.version, disabled: !isAvailable(each) }, text);
  });
  $("version").replaceChildren(...options);
  const available = versions.filter(isAvailable).map(({ version }) => String(version)); // the highest first
  const isWanted = model && wantedName === encodeURIComponent(model.name) && available.includes(wantedVersion);
  $("version").value = isWanted ? wantedVersion : available[0] ?? "";
}

/** Takes what the two lists say, and asks it again what was asked before. */
async function choose() {
  const mine = ++asks;
  const name = $("model").value;
  const version = $("version").value;
  chosen = null; // meanwhile nothing can be asked
  if (!version) {
    show(null);
    forget();
    say(name ? `No version of ${name} answers yet.` : "No model is served yet.");
    return;
  }
  remember(name, version);
  const path = `${encodeURIComponent(name)}/versions/${version}`;
  try {
    const [metadata, detail] = (await Promise.all([call(`/v1/models/${path}/metadata`), call(`/ui/models/${path}`)])).map(
      (text) => JSON.parse(text),
    );
    if (mine !== asks) return;
    const signatures = metadata.metadata.signature_def.signature_def;
    chosen = {
      name,
      version,
      base: `/v1/models/${path}`,
      ...kindOf(signatures),
      pieces: "transform_features" in signatures ? detail.pieces : null,
      canExplain: isExplained(signatures.explain),
      isTranslation: "translation" in (signatures.serving_default?.outputs ?? {}),
    };
    show(detail.card);
  } catch (error) {
    listed = ""; // so that the next look tries again
    if (mine !== asks) return;
    show(null);
    fail(error);
    return;
  }
  if (answered?.name === name && answered.mode === chosen.mode) await ask();
  else forget();
}

/** Model and version in the URL, for reloads and bookmarks. The highest version is left out: who asks it gets a newer
 * one when that is there. Never the text: URLs are kept and logged. */
function remember(name, version) {
  const isHighest = [...$("version").options].find(({ disabled }) => !disabled)?.value === version;
  history.replaceState(null, "", `#${encodeURIComponent(name)}${isHighest ? "" : `/${version}`}`);
}

/** How the model is asked: its texts by name, a history of items, else JSON. */
function kindOf(signatures) {
  const signature = signatures.serving_default;
  const inputs = Object.keys(signature?.inputs ?? {}).sort();
  const outputs = Object.keys(signature?.outputs ?? {});
  const areStrings = inputs.every((name) => signature.inputs[name].dtype === "DT_STRING");
  const isText =
    ["text", "text,text_pair"].includes(inputs.join()) && !outputs.includes("pooled"); // vectors are nothing to look at
  const isHistory = inputs.join() === "history" && ["items", "scores"].every((name) => outputs.includes(name));
  return areStrings && (isText || isHistory) ? { mode: inputs.join(), columns: inputs } : { mode: "json", columns: [], ...exampleOf(signatures) };
}

/** Whether a signature says of words, or items, what each added to the answer. */
function isExplained(signature) {
  const outputs = Object.keys(signature?.outputs ?? {});
  return ["start", "end", "effect"].every((name) => outputs.includes(name));
}

/** A request that the model's shapes and types allow. */
function exampleOf(signatures) {
  const name = "serving_default" in signatures ? "serving_default" : Object.keys(signatures).sort()[0];
  const inputs = Object.entries(signatures[name]?.inputs ?? {}).sort();
  const shapes = inputs.map(([, { tensor_shape: shape }]) => (shape.unknown_rank ? [-1] : shape.dim.map((d) => Number(d.size))));
  const isByRow = shapes.every((shape) => shape[0] === -1);
  const values = inputs.map(([input, { dtype }], index) => {
    const value = nested(isByRow ? shapes[index].slice(1) : shapes[index], sampleOf(dtype));
    return `${JSON.stringify(input)}: ${JSON.stringify(value)}`;
  });
  const row = `{${values.join(", ")}}`;
  const lines = name === "serving_default" ? [] : [`"signature_name": ${JSON.stringify(name)}`];
  lines.push(isByRow ? `"instances": [${row}]` : `"inputs": ${row}`);
  return { example: `{${lines.join(", ")}}` };
}

function nested(shape, value) {
  const sizes = shape.map((size) => (size < 0 ? 1 : size));
  if (sizes.reduce((product, size) => product * size, 1) > MAX_EXAMPLE_VALUES) return [];
  return sizes.reduceRight((inner, size) => Array(size).fill(inner), value);
}

function sampleOf(dtype) {
  if (dtype === "DT_STRING") return "a text";
  return dtype === "DT_BOOL" ? true : 1;
}

/** The fields and the card of what is chosen. */
function show(card) {
  const names = chosen ? (chosen.mode === "json" ? ["json"] : chosen.columns) : [];
  for (const field of FIELDS) field.hidden = !names.includes(field.dataset.input);
  document.querySelector("label[for=text]").textContent = names.length > 1 ? "First text" : "Text";
  $("actions").hidden = !chosen;
  $("command").hidden = true;
  if (chosen?.mode === "json" && chosen.example !== example) $("json").value = example = chosen.example;
  $("card").hidden = !card;
  $("card").querySelector("pre").textContent = card ?? "";
}

// ---- asking

function requestBody() {
  if (chosen.mode === "json") return $("json").value;
  return JSON.stringify({ instances: [Object.fromEntries(chosen.columns.map((name) => [name, $(name).value]))] });
}

/** What each word, or item, added to the answer: {name, effect, column, start, end} in the order of the text. */
async function effectsOf(model, texts) {
  const request = { signature_name: "explain", instances: [texts] };
  const [found] = JSON.parse(await call(`${model.base}:predict`, JSON.stringify(request))).predictions;
  const units = found.effect.map((effect, index) => ({
    name: found.title?.[index] || (found.word ?? found.item)[index],
    effect,
    column: found.column?.[index] ?? 0,
    start: found.start[index],
    end: found.end[index],
  }));
  return units.filter(({ name }) => name !== ""); // behind the last one they are empty
}

async function ask() {
  if (!chosen) return;
  const mine = ++asks;
  const model = chosen;
  const texts = Object.fromEntries(model.columns.map((name) => [name, $(name).value]));
  $("error").textContent = ""; // the same sentence again is announced again
  $("answer").ariaBusy = "true";
  try {
    const started = performance.now();
    const text = await call(`${model.base}:predict`, requestBody());
    const meta = `${model.name} · version ${model.version} · ${duration(performance.now() - started)}`;
    const features = model.columns.includes("text") && model.pieces ? await featuresOf(model, texts) : null;
    const units = model.canExplain && model.mode !== "json" ? await effectsOf(model, texts) : null;
    if (mine !== asks) return;
    if (!model.isTranslation || !showTranslation(texts.text, text, features, meta)) {
      showAnswer(model, text, features?.tokens, units, meta);
    }
    answered = model;
  } catch (error) {
    if (mine !== asks) return;
    fail(error);
    refresh(); // the version may have gone
  }
}

/** The pieces that the model itself makes of the texts, and the spans that stand behind its placeholders. */
async function featuresOf(model, texts) {
  const request = { signature_name: "transform_features", inputs: { examples: [{ b64: base64(tfExample(texts)) }] } };
  const { outputs } = JSON.parse(await call(`${model.base}:predict`, JSON.stringify(request)));
  const [ids] = outputs.token_ids ?? outputs; // one output alone comes without its name
  const end = ids.findLastIndex((id) => id !== 0) + 1; // padding is 0
  const spans = (outputs.protected?.[0] ?? []).filter((span) => span !== ""); // behind the last one they are empty
  return { tokens: ids.slice(0, end).map((id) => model.pieces[id] ?? `#${id}`), spans };
}

/** A serialized tf.Example of strings (tensorflow/core/example/example.proto, feature.proto). */
function tfExample(texts) {
  const utf8 = (text) => new TextEncoder().encode(text);
  const entries = Object.entries(texts).map(([name, text]) => {
    const bytesList = field(1, utf8(text));
    const feature = field(1, bytesList);
    return field(1, [...field(1, utf8(name)), ...field(2, feature)]);
  });
  return field(1, entries.flat());
}

/** A field of a protocol buffer that holds bytes: its key, their number as a varint, they themselves. */
function field(number, bytes) {
  const length = [];
  let rest = bytes.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return [(number << 3) | 2, ...length, rest, ...bytes];
}

const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

// ---- showing

const percent = (score) => (score > 0 && score < 0.001 ? "< 0.1 %" : `${(100 * score).toFixed(1)} %`);
const duration = (ms) => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;

function showAnswer(model, text, tokens, units, meta) {
  if (model.mode === "history") meta += sourceOf(text);
  const metaLine = make("p", { className: "meta" }, meta);
  const rows = model.mode === "json" ? null : ranked(text);
  if (!rows?.length) {
    // As it came: parsed and written again, large integers would lose digits.
    const raw = make("pre", { className: "raw", tabIndex: 0, role: "region", ariaLabel: "The answer, as JSON" }, text);
    present([metaLine, raw, ...(units?.length ? why(model, units) : [])], `Answered. ${meta}`);
    return;
  }
  const [best] = rows;
  const parts = [make("p", { className: "headline" }, best.label), metaLine, bars(rows.slice(0, SHOWN_LABELS), best)];
  if (rows.length > SHOWN_LABELS) {
    const others = rows.slice(SHOWN_LABELS);
    parts.push(make("details", {}, make("summary", {}, `${others.length} more`), bars(others, best)));
  }
  if (units?.length) parts.push(...why(model, units));
  if (tokens) parts.push(...chips(tokens));
  present(parts, `${best.label}, ${percent(best.score)}. ${meta}`);
}

const chips = (tokens) => [
  make("h2", {}, tokens.length === 1 ? "1 token" : `${tokens.length} tokens`),
  make("ol", { className: "tokens" }, ...tokens.map(chip)),
];

/** A text and its translation, what was copied, what was cut or lost; false where no JSON parser reads the answer. */
function showTranslation(source, text, features, meta) {
  let answer;
  try {
    [answer] = JSON.parse(text).predictions;
  } catch {
    return false;
  }
  const { score, truncated, missing, unknown } = answer;
  const translation = answer.translation || "(nothing)";
  const state = `${truncated ? "cut" : "whole"} · score ${score.toFixed(2).replace("-", "−")}`;
  const parts = [
    make("p", { className: "source", dir: "auto" }, source),
    make("p", { className: "headline written", dir: "auto" }, translation),
    make("p", { className: "meta" }, `${meta} · ${state}`),
  ];
  const warnings = [
    truncated && "Cut: the text is longer than the model reads, or the answer reached its longest length.",
    missing > 0 && `Lost: ${missing} of what is protected in the text ${missing > 1 ? "are" : "is"} not in the translation.`,
    unknown > 0 && `${unknown} ${unknown > 1 ? "words have" : "word has"} no pieces: the model does not see what is there.`,
  ].filter(Boolean);
  parts.push(...warnings.map((warning) => make("p", { className: "warning" }, warning)));
  if (features?.spans.length) {
    const items = features.spans.map((span, index) =>
      make("li", {}, make("span", { className: "mark" }, `⟨${index + 1}⟩ `), span),
    );
    parts.push(make("h2", {}, "Protected: copied, not translated"), make("ol", { className: "tokens spans" }, ...items));
  }
  if (features) parts.push(...chips(features.tokens));
  present(parts, [`${translation}. ${state}.`, ...warnings].join(" "));
  return true;
}

/** The labels with their scores, the highest first; null where a score is NaN, which no JSON parser reads.
 * Items are called by their titles. */
function ranked(text) {
  try {
    const [{ labels, items, titles, scores }] = JSON.parse(text).predictions;
    if (items) {
      const rows = items.map((item, index) => ({ label: titles?.[index] || item, score: scores[index] }));
      return rows.filter((_, index) => items[index]); // behind the last one they are empty
    }
    return labels.map((label, index) => ({ label, score: scores[index] })).sort((a, b) => b.score - a.score);
  } catch {
    return null;
  }
}

/** What else there is to say of a recommendation. */
function sourceOf(text) {
  const byPopularity = JSON.parse(text).predictions?.[0]?.source === "popularity";
  return byPopularity ? " · by popularity: no item of the history is known" : "";
}

/** Puts an answer on the page. `spoken` is what a screen reader says of it. */
function present(parts, spoken) {
  $("error").textContent = "";
  $("answer").replaceChildren(...parts);
  $("answer").hidden = false;
  $("answer").ariaBusy = "false";
  $("answer").classList.remove("stale");
  say(spoken, { isSeen: false });
}

function say(text, { isSeen = true } = {}) {
  $("said").textContent = text;
  $("said").classList.toggle("unseen", !isSeen);
}

function bars(rows, best) {
  const body = rows.map((row) => {
    const bar = make("div", { className: "bar" });
    bar.style.width = `${100 * row.score}%`; // by the object model, which the content policy allows
    return make(
      "tr",
      { className: row === best ? "best" : "" },
      make("th", { scope: "row" }, row.label),
      make("td", { ariaHidden: "true" }, make("div", { className: "track" }, bar)),
      make("td", {}, make("data", { value: row.score }, percent(row.score))),
    );
  });
  return make("table", {}, make("caption", {}, "Probabilities"), make("tbody", {}, ...body));
}

/** The words in their order, shaded by their effect, which stands below each as a number too. */
function why(model, units) {
  const most = Math.max(...units.map(({ effect }) => Math.abs(effect)));
  const isHistory = model.mode === "history";
  const columns = [...new Set(units.map(({ column }) => column))];
  const lists = columns.map((column) => {
    const own = units.filter((unit) => unit.column === column).map((unit) => shaded(unit, most));
    const label = columns.length > 1 ? ["First text", "Second text"][column] : isHistory ? "Items" : "Words";
    return make("ol", { className: "effects", ariaLabel: label }, ...own);
  });
  const what = isHistory ? "item of the history" : "word";
  const hint = `By how much the answer's number falls without each ${what}; negative: it rises.`;
  return [make("h2", {}, isHistory ? "Because of" : "Words that decided"), make("p", { className: "hint" }, hint), ...lists];
}

function shaded({ name, effect }, most) {
  const unit = make("li", { className: effect < 0 ? "against" : "for" }, make("span", {}, name));
  const rounded = effect.toFixed(2);
  const text = Number(rounded) === 0 ? "0" : rounded.replace("-", "−").replace(/^(?=\d)/, "+").replace(/^(.)0\./, "$1.");
  unit.append(make("data", { value: effect }, text));
  unit.style.setProperty("--share", most > 0 ? `${Math.round((70 * Math.abs(effect)) / most)}%` : "0%");
  return unit;
}

function chip(piece) {
  if (piece.startsWith("##") && piece.length > 2) {
    return make("li", { className: "continued" }, make("span", { className: "mark" }, "##"), piece.slice(2));
  }
  const isSpecial = /^\[.+\]$/.test(piece);
  return make("li", { className: piece === "[UNK]" ? "special unknown" : isSpecial ? "special" : "" }, piece);
}

function fail(error) {
  forget();
  $("error").textContent = error.message;
}

/** Takes the last answer away. */
function forget() {
  answered = null;
  $("answer").hidden = true;
  say("");
}

// ---- curl

/** For a POSIX shell: only the quote itself means something between single quotes. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** `--data-raw`: a body that begins with @ is no file's name. */
const curl = () => `curl --data-raw ${quoted(requestBody())} ${quoted(`${location.origin}${chosen.base}:predict`)}`;

async function copy() {
  if (!chosen) return;
  const command = curl();
  $("command").textContent = command;
  $("command").hidden = false;
  getSelection().selectAllChildren($("command"));
  let isCopied;
  try {
    await navigator.clipboard.writeText(command);
    isCopied = true;
  } catch {
    // Away from localhost and without TLS there is no clipboard API; the selection can still be copied.
    isCopied = document.execCommand("copy");
  }
  say(isCopied ? "Copied." : "Selected: Ctrl + C copies it.");
}

// ---- what people do

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});
$("form").addEventListener("input", () => {
  $("answer").classList.add("stale");
  $("command").hidden = true;
});
$("copy").addEventListener("click", copy);
$("model").addEventListener("change", showVersions);
$("choice").addEventListener("change", () => {
  $("error").textContent = "";
  choose();
});
addEventListener("focus", refresh); // a version may have been pushed meanwhile

await refresh();
// On a phone this would open the keyboard over the page.
if (!matchMedia("(pointer: coarse)").matches) document.querySelector("[data-input]:not([hidden]) textarea")?.focus();
