import { expect, test } from "vitest";
import { parseAnsi, plainText } from "@/lib/ansi";

const ESC = "\u001b";

test("colours and weight become styles", () => {
  expect(parseAnsi(`a ${ESC}[1;31mred${ESC}[0m b`)).toEqual([
    { text: "a ", color: null, isBold: false, isDim: false },
    { text: "red", color: "red", isBold: true, isDim: false },
    { text: " b", color: null, isBold: false, isDim: false },
  ]);
});

test("256 and true colours are skipped without eating what follows", () => {
  expect(
    parseAnsi(`${ESC}[38;5;200;1mx${ESC}[38;2;1;2;3;32my`).map(({ text, color, isBold }) => [text, color, isBold]),
  ).toEqual([
    ["x", null, true],
    ["y", "green", true],
  ]);
});

test("a progress bar shows what follows its last carriage return", () => {
  expect(plainText("10%\r20%\r30%")).toBe("30%");
  expect(plainText("windows\r")).toBe("windows");
});

test("other sequences, titles and control characters vanish", () => {
  expect(plainText(`${ESC}[2J${ESC}[3;4Hx${ESC}]0;title\u0007y\u0000z${ESC}[?25l`)).toBe("xyz");
});

test("markup stays text", () => {
  expect(plainText("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
});
