/** Which rank holds what: the places of ranks in the mesh, whose last axis runs fastest. */
import type { Mesh } from "@/lib/api-types";

export interface RankPlace {
  rank: number;
  /** Which stage of the pipeline. */
  stage: number;
  /** Which part of every layer, of `tp`. */
  part: number;
  /** Which shard of those parts, of `dp_shard`. */
  shard: number;
}

export interface Replica {
  index: number;
  /** Rows by stage; in each, ranks by shard, then by part. */
  stages: RankPlace[][];
}

/** Whole copies of the model, each with the ranks that hold it together. */
export function replicasOf({ pp, dp_replicate: replicas, dp_shard: shards, tp }: Mesh): Replica[] {
  const range = (count: number) => Array.from({ length: count }, (_, index) => index);
  return range(replicas).map((index) => ({
    index,
    stages: range(pp).map((stage) =>
      range(shards).flatMap((shard) =>
        range(tp).map((part) => ({
          rank: ((stage * replicas + index) * shards + shard) * tp + part,
          stage,
          part,
          shard,
        })),
      ),
    ),
  }));
}

const of = (what: string, index: number, count: number) => (count > 1 ? `${what} ${index + 1} of ${count}` : "");

/** What of the model one rank holds, in words. */
export function holdingOf({ stage, part, shard }: RankPlace, { pp, dp_shard: shards, tp }: Mesh): string {
  const parts = [of("stage", stage, pp), of("tensor part", part, tp), of("shard", shard, shards)].filter(Boolean);
  return parts.length > 0 ? parts.join(", ") : "the whole model";
}
