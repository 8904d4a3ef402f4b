// Fetches what moves anew, and puts it in place. Without a script, a page that moves loads itself again.
"use strict";

const SECONDS = 2;

async function refresh() {
  const here = document.querySelector("[data-live]");
  if (!here || here.dataset.live === "over" || document.hidden) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { accept: "text/html" } });
  } catch {
    return; // the server is away; the next look may find it
  }
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.querySelector("[data-live]");
  if (!next || next.innerHTML === here.dataset.seen) return;
  const seen = next.innerHTML;
  const opened = [...here.querySelectorAll("details")].map((each) => each.open);
  const places = [...here.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const focused = [...here.querySelectorAll("a, summary, .scroll")].indexOf(document.activeElement);
  here.replaceChildren(...next.childNodes);
  here.dataset.live = next.dataset.live;
  here.dataset.seen = seen;
  [...here.querySelectorAll("details")].forEach((each, place) => (each.open = opened[place] ?? false));
  [...here.querySelectorAll(".scroll")].forEach((each, place) => (each.scrollLeft = places[place] ?? 0));
  if (focused >= 0) [...here.querySelectorAll("a, summary, .scroll")][focused]?.focus({ preventScroll: true });
}

setInterval(refresh, SECONDS * 1000);
