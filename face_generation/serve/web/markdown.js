// Turns the Markdown of a model's card into elements: headings, paragraphs, lists, tables, code, links, emphasis.

import { make } from "./dom.js";

/**
 * @param {string} markdown
 * @returns {HTMLElement[]}
 */
export function render(markdown) {
  const blocks = markdown.replaceAll("\r\n", "\n").split(/\n{2,}/);
  return blocks.flatMap((text) => block(text.replace(/^\n+|\s+$/g, "")));
}

/**
 * @param {string} text
 * @returns {HTMLElement[]}
 */
function block(text) {
  const lines = text.split("\n");
  if (!text || /^!\[[^\]]*\]\([^)]*\)$/.test(text)) return []; // the page needs no pictures from the card
  if (/^# /.test(text)) return []; // the dialog has a title
  if (/^##+ /.test(lines[0])) {
    const heading = make("h3", {}, ...inline(lines[0].replace(/^#+ /, "")));
    return [heading, ...block(lines.slice(1).join("\n"))];
  }
  if (lines.every((line) => line.startsWith("    ")))
    return [make("pre", {}, make("code", {}, lines.map((line) => line.slice(4)).join("\n")))];
  if (/^```/.test(text)) return [make("pre", {}, make("code", {}, lines.slice(1, -1).join("\n")))];
  if (lines.length > 1 && /^\|[\s:|-]+\|$/.test(lines[1])) return [table(lines)];
  if (/^[-*] /.test(text)) {
    const items = text.split(/\n(?=[-*] )/).map((item) => make("li", {}, ...inline(item.slice(2))));
    return [make("ul", {}, ...items)];
  }
  return [make("p", {}, ...inline(text))];
}

/** @param {string[]} lines */
function table([head, , ...rows]) {
  /**
   * @param {string} line
   * @param {"th"|"td"} tag
   */
  const cells = (line, tag) =>
    line
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => make(tag, tag === "th" ? { scope: "col" } : {}, ...inline(cell.trim())));
  const body = rows.map((line) => make("tr", {}, ...cells(line, "td")));
  const grid = make("table", {}, make("thead", {}, make("tr", {}, ...cells(head, "th"))), make("tbody", {}, ...body));
  return make("div", { className: "table" }, grid);
}

const INLINE =
  /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|!?\[([^\]]+)\]\((https?:[^)\s]+)\)|(https?:[^\s)<>]*[^\s)<>.,;:])/g;

/** @param {string} text */
function inline(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [all, code, strong, emphasis, label, address, bare] = match;
    parts.push(text.slice(end, match.index));
    if (code) parts.push(make("code", {}, code));
    else if (strong) parts.push(make("strong", {}, strong));
    else if (emphasis) parts.push(make("em", {}, emphasis));
    else parts.push(make("a", { href: address ?? bare, target: "_blank", rel: "noreferrer" }, label ?? bare));
    end = match.index + all.length;
  }
  return [...parts, text.slice(end)];
}
