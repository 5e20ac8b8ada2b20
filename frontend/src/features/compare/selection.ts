/** Which jobs are compared, and against which: in the address. */
import { useSearchParams } from "react-router";

/** More lines than colours would not be told apart. */
export const MAX_JOBS = 12;

export interface Selection {
  ids: string[];
  /** The job that the others are measured against. */
  baseline: string | undefined;
  setBaseline: (id: string) => void;
  remove: (id: string) => void;
}

export function useSelection(): Selection {
  const [search, setSearch] = useSearchParams();
  const ids = [...new Set((search.get("jobs") ?? "").split(",").filter(Boolean))].slice(0, MAX_JOBS);
  const base = search.get("base");
  const change = (changes: (next: URLSearchParams) => void) =>
    setSearch(
      (old) => {
        const next = new URLSearchParams(old);
        changes(next);
        return next;
      },
      { replace: true },
    );
  return {
    ids,
    baseline: base !== null && ids.includes(base) ? base : ids[0],
    setBaseline: (id) => change((next) => next.set("base", id)),
    remove: (id) => change((next) => next.set("jobs", ids.filter((other) => other !== id).join(","))),
  };
}
