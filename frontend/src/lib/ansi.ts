/**
 * Terminal colours in log lines, as plain spans of text and style names.
 *
 * ECMA-48 select-graphic-rendition sequences become styles; every other control sequence and control character is
 * dropped. Nothing here makes markup: the caller renders the text as text.
 */

export interface StyledSpan {
  text: string;
  /** A name of ANSI_COLORS, or null for the default colour. */
  color: string | null;
  isBold: boolean;
  isDim: boolean;
}

export const ANSI_COLORS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

const SEQUENCE = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\^_])/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

type Style = Omit<StyledSpan, "text">;

const PLAIN: Style = { color: null, isBold: false, isDim: false };

function applyCodes(style: Style, parameters: string): Style {
  const codes = parameters === "" ? [0] : parameters.split(";").map(Number);
  let next = style;
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 38 || code === 48)
      index += codes[index + 1] === 5 ? 2 : 4; // 256 and true colours: left out
    else next = applyCode(next, code);
  }
  return next;
}

function applyCode(style: Style, code: number): Style {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...style, isBold: true };
  if (code === 2) return { ...style, isDim: true };
  if (code === 22) return { ...style, isBold: false, isDim: false };
  if (code === 39) return { ...style, color: null };
  if (code >= 30 && code <= 37) return { ...style, color: ANSI_COLORS[code - 30] ?? null };
  if (code >= 90 && code <= 97) return { ...style, color: ANSI_COLORS[code - 90] ?? null };
  return style;
}

/** What a terminal would show of one line: what follows its last carriage return. */
function visiblePart(line: string): string {
  const trimmed = line.endsWith("\r") ? line.slice(0, -1) : line;
  return trimmed.slice(trimmed.lastIndexOf("\r") + 1);
}

/** Split one line (without its newline) into styled spans. */
export function parseAnsi(line: string): StyledSpan[] {
  const text = visiblePart(line);
  const spans: StyledSpan[] = [];
  let style = PLAIN;
  let from = 0;
  const push = (part: string): void => {
    const clean = part.replaceAll(CONTROL, "");
    if (clean) spans.push({ text: clean, ...style });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    push(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") style = applyCodes(style, match[1] ?? "");
  }
  push(text.slice(from));
  return spans;
}

/** The line without any control sequence, as search sees it. */
export function plainText(line: string): string {
  return parseAnsi(line)
    .map((span) => span.text)
    .join("");
}
