/**
 * Colours of text where the library's own are too faint: each has at least 4.5 to 1 against what it stands on
 * (WCAG 2.2, success criterion 1.4.3), which the end-to-end tests check on every page.
 */
import { darken, type CSSVariablesResolver } from "@mantine/core";

/** How much darker the darkest shade must be to be read on the second lightest; yellow needs the most. */
const DARKER = 0.3;

export const cssVariablesResolver: CSSVariablesResolver = (theme) => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": "#5c636b",
    "--mantine-color-placeholder": "#686f78",
    "--mantine-color-error": "var(--mantine-color-red-9)",
    ...Object.fromEntries(
      Object.entries(theme.colors).map(([name, shades]) => [
        `--mantine-color-${name}-light-color`,
        darken(shades[9], DARKER),
      ]),
    ),
  },
  dark: {
    "--mantine-color-dimmed": "#a8a8a8",
    "--mantine-color-placeholder": "#9a9a9a",
    "--mantine-color-error": "var(--mantine-color-red-4)",
    "--mantine-color-anchor": `var(--mantine-color-${theme.primaryColor}-3)`,
  },
});
