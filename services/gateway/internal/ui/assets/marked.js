import { el } from "/ui/dom.js";

/** Text with its ranges ({start, end} in code points, in order) in <mark>. */
export function marked(text, ranges) {
  const runes = [...text];
  const out = [];
  let at = 0;
  for (const { start, end } of ranges || []) {
    if (start < at || end <= start) continue;
    out.push(runes.slice(at, start).join(""), el("mark", {}, runes.slice(start, end).join("")));
    at = end;
  }
  out.push(runes.slice(at).join(""));
  return out;
}
