/** The texts in the result of a `generate` job. */
export function completionsOf(result: unknown): string[] {
  if (typeof result !== "object" || result === null) return [];
  const texts = (result as Record<string, unknown>)["completions"];
  return Array.isArray(texts) ? texts.filter((text): text is string => typeof text === "string") : [];
}
