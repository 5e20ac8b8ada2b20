/** Opens the command palette from anywhere in the frame of the page. */
import { createSpotlight } from "@mantine/spotlight";

export const [paletteStore, palette] = createSpotlight();
