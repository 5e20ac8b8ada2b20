/** Which jobs are compared, and against which: in the address. */
import { useSearch } from "@/lib/use-search";

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
  const [search, editSearch] = useSearch();
  const ids = [...new Set((search.get("jobs") ?? "").split(",").filter(Boolean))].slice(0, MAX_JOBS);
  const base = search.get("base");
  return {
    ids,
    baseline: base !== null && ids.includes(base) ? base : ids[0],
    setBaseline: (id) => editSearch((next) => next.set("base", id)),
    remove: (id) => editSearch((next) => next.set("jobs", ids.filter((other) => other !== id).join(","))),
  };
}
