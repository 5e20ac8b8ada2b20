/** A card is a stranger's text: it may not run anything here, nor tell anybody that it was read. */
import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import ModelCard from "@/features/models/model-card";

function show(text: string) {
  return render(
    <MantineProvider>
      <ModelCard text={text} />
    </MantineProvider>,
  ).container;
}

test("raw HTML, scripts and handlers of a card stay out of the page", () => {
  const page = show(
    "# Card\n\n<script>alert(1)</script>\n\n<b onclick='x()'>bold</b>\n\n<iframe src='//evil'></iframe>",
  );
  expect(screen.getByRole("heading", { name: "Card" })).toBeTruthy();
  expect(page.querySelector("script, iframe, b, [onclick]")).toBeNull();
});

test("links run nothing and leave no way back", () => {
  const page = show("[bad](javascript:alert(1)) [good](https://example.org/x)");
  const [bad, good] = Array.from(page.querySelectorAll("a"));
  expect(bad?.getAttribute("href") ?? "").not.toContain("javascript");
  expect(good?.getAttribute("href")).toBe("https://example.org/x");
  expect(good?.getAttribute("rel")).toContain("noopener");
});

test("an image of another host is not fetched", () => {
  const page = show("![a chart](https://tracker.example/pixel.png)");
  expect(page.querySelector("img")).toBeNull();
  expect(screen.getByText("a chart")).toBeTruthy();
});
