/** A version's numbers, read out of the JSON that the server computed. */
import { toNumber } from "@/lib/format";

export interface LengthBucket {
  from: number;
  to: number;
  documents: number;
}

export interface DatasetStatistics {
  files: number;
  bytes: number;
  documents: number;
  emptyDocuments: number;
  characters: number;
  meanCharacters: number;
  longestCharacters: number;
  histogram: LengthBucket[];
}

type Json = Record<string, unknown>;

export function statisticsOf(value: unknown): DatasetStatistics {
  const json = typeof value === "object" && value !== null ? (value as Json) : {};
  const count = (of: Json, name: string) => toNumber(of[name]) ?? 0;
  const buckets = Array.isArray(json["length_histogram"]) ? (json["length_histogram"] as Json[]) : [];
  return {
    files: count(json, "files"),
    bytes: count(json, "bytes"),
    documents: count(json, "documents"),
    emptyDocuments: count(json, "empty_documents"),
    characters: count(json, "characters"),
    meanCharacters: count(json, "mean_characters"),
    longestCharacters: count(json, "longest_characters"),
    histogram: buckets.map((bucket) => ({
      from: count(bucket, "min_characters"),
      to: count(bucket, "max_characters"),
      documents: count(bucket, "documents"),
    })),
  };
}
