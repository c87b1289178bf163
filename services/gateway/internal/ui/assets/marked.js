import { el } from "/ui/dom.js";

const word = /[\p{L}\p{N}_]+/gu;
const folded = (s) => s.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/**
 * Text with what matched in <mark>. The server's ranges ({start, end}, in
 * characters) are taken where it sent any; without, words that begin as one of the question.
 */
export function marked(text, ranges, question) {
  const runes = ranges && [...text];
  if (!ranges) ranges = guessed(text, question);
  const cut = (a, b) => (runes ? runes.slice(a, b).join("") : text.slice(a, b));
  const out = [];
  let at = 0;
  for (const { start, end } of ranges) {
    if (start < at || end <= start) continue;
    out.push(cut(at, start), el("mark", {}, cut(start, end)));
    at = end;
  }
  out.push(cut(at));
  return out;
}

function guessed(text, question) {
  const asked = [...folded(question).matchAll(word)].map((m) => m[0]).filter((w) => w.length > 3).map((w) => w.slice(0, Math.max(3, w.length - 3)));
  return [...text.matchAll(word)]
    .filter((m) => asked.some((a) => folded(m[0]).startsWith(a) && m[0].length < a.length + 7))
    .map((m) => ({ start: m.index, end: m.index + m[0].length }));
}
