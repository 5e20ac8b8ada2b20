/** How documents may lie in the files. */
import type { Dataset } from "@/lib/api-types";

export const FORMATS: { value: Dataset["format"]; label: string }[] = [
  { value: "auto", label: "By file name" },
  { value: "text", label: "Text, one document a file" },
  { value: "jsonl", label: "JSON Lines, field text" },
  { value: "parquet", label: "Parquet, column text" },
];

export const UPLOAD_HINT =
  "Text, JSON Lines with a text field, or Parquet with a text column. Broken transfers go on where they stopped.";
