// Shows to which tokens a token looks, in the layer and the head that are chosen. Head 0 is the mean of all.
"use strict";

(() => {
  const root = document.getElementById("explorer");
  const texts = JSON.parse(document.getElementById("explorer-data").textContent);
  const [text, layer, head] = ["text", "layer", "head"].map((name) => root.querySelector(`[name="${name}"]`));
  const place = root.querySelector(".tokens");
  const said = root.querySelector(".said");
  const bytes = (coded) => Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0));
  const share = (value) => value.toFixed(2).replace(/^0/, "");
  let shown, query, buttons;

  // What the query's row of attention is, a number a token.
  function row() {
    const { heads, tokens, weights, largest } = shown;
    const size = tokens.length;
    const asked = Number(head.value) ? [Number(head.value) - 1] : [...Array(heads).keys()];
    const found = new Float64Array(size);
    for (const one of asked) {
      const start = ((Number(layer.value) - 1) * heads + one) * size + query;
      for (let key = 0; key < size; key++) {
        found[key] += (weights[start * size + key] * largest[start]) / (255 * 255 * asked.length);
      }
    }
    return found;
  }

  function draw() {
    const found = row();
    const most = Math.max(...found) || 1;
    buttons.forEach((button, key) => {
      button.style.setProperty("--share", (found[key] / most).toFixed(3));
      button.classList.toggle("asked", key === query);
      button.setAttribute("aria-pressed", key === query);
      button.title = share(found[key]);
    });
    layer.nextElementSibling.value = layer.value;
    head.nextElementSibling.value = Number(head.value) ? head.value : "mean";
    const order = [...found.keys()].sort((a, b) => found[b] - found[a] || a - b).slice(0, 5);
    said.textContent = `${shown.tokens[query]} looks at ` + order.map((k) => `${shown.tokens[k]} ${share(found[k])}`).join(", ");
  }

  function choose(token, focus) {
    query = Math.min(Math.max(token, 0), buttons.length - 1);
    if (focus) buttons[query].focus();
    draw();
  }

  function read() {
    const given = texts[Number(text.value)];
    shown = { ...given, weights: bytes(given.weights), largest: bytes(given.largest) };
    layer.max = given.layers;
    head.max = given.heads;
    buttons = given.tokens.map((token, number) => {
      const button = document.createElement("button");
      const name = document.createElement("bdi");
      button.type = "button";
      name.textContent = token;
      button.append(name);
      button.addEventListener("mouseenter", () => choose(number));
      button.addEventListener("focus", () => choose(number));
      return button;
    });
    place.replaceChildren(...buttons);
    choose(Math.min(1, buttons.length - 1));
  }

  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(query + step, true);
  });
  text.addEventListener("change", read);
  for (const slider of [layer, head]) slider.addEventListener("input", draw);
  root.hidden = false;
  read();
})();
