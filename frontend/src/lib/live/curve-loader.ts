/**
 * Reads the curves of one job. Those that are asked for in the same moment travel in one request for each rank: a
 * page of twenty charts asks once.
 */
import { api, unwrap } from "@/lib/api";
import type { Curve } from "@/lib/api-types";
import { toNumber } from "@/lib/format";
import type { StepWindow } from "./curve";
import type { CurveAnswer, CurveLoader } from "./metric-store";

const MAX_POINTS = 1_200;
/** The server's limit of keys in one request. */
const MAX_KEYS = 64;

interface Request {
  key: string;
  rank: number;
  window: StepWindow | null;
  resolve: (answer: CurveAnswer) => void;
  reject: (error: unknown) => void;
}

export const numbersOf = (values: readonly unknown[]): number[] => values.map((value) => toNumber(value) ?? Number.NaN);
export const millisecondsOf = (timesUs: readonly number[]): number[] => timesUs.map((time) => time / 1000);

function answerOf(curve: Curve, seq: number): CurveAnswer {
  return {
    steps: curve.steps,
    times: millisecondsOf(curve.times_us),
    values: numbersOf(curve.values),
    attempt: curve.attempts.at(-1)?.attempt ?? 0,
    isSampled: curve.num_points > curve.steps.length,
    seq,
  };
}

async function ask(jobId: string, requests: Request[]): Promise<void> {
  const [first] = requests;
  if (!first) return;
  const { rank, window } = first;
  const range = window ? { after_step: window.from - 1, until_step: window.until } : {};
  const key = [...new Set(requests.map((request) => request.key))];
  try {
    const { seq, curves } = await unwrap(
      api.GET("/api/v1/jobs/{id}/metrics/curves", {
        params: { path: { id: jobId }, query: { key, rank: [rank], max_points: MAX_POINTS, ...range } },
      }),
    );
    for (const request of requests) {
      const curve = curves.find((item) => item.key === request.key);
      if (curve) request.resolve(answerOf(curve, seq));
      else request.reject(new Error(`The answer lacks the curve ${request.key}.`));
    }
  } catch (error) {
    for (const request of requests) request.reject(error);
  }
}

function groupsOf(requests: Request[]): Request[][] {
  const groups = new Map<string, Request[]>();
  for (const request of requests) {
    const { rank, window } = request;
    const id = `${rank}/${window ? `${window.from}-${window.until}` : "all"}`;
    groups.set(id, [...(groups.get(id) ?? []), request]);
  }
  return [...groups.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / MAX_KEYS) }, (_, index) =>
      group.slice(index * MAX_KEYS, (index + 1) * MAX_KEYS),
    ),
  );
}

export function curveLoader(jobId: string): CurveLoader {
  let pending: Request[] = [];
  const flush = () => {
    const requests = pending;
    pending = [];
    for (const group of groupsOf(requests)) void ask(jobId, group);
  };
  return (key, rank, window) =>
    new Promise((resolve, reject) => {
      if (pending.length === 0) setTimeout(flush);
      pending.push({ key, rank, window, resolve, reject });
    });
}
