/** What a page shows, kept in its address: a link shows the same. */
import { useCallback } from "react";
import { useSearchParams } from "react-router";

export type EditSearch = (edit: (next: URLSearchParams) => void) => void;

/**
 * The address's parameters, and how to change them in place of the present entry of the history.
 *
 * A change is on screen before the call returns. The router would render it as a transition, a moment after the
 * event: by then React has put a controlled checkbox, switch or slider back to what the address still said.
 */
export function useSearch(): [URLSearchParams, EditSearch] {
  const [search, setSearch] = useSearchParams();
  const edit = useCallback<EditSearch>(
    (change) =>
      setSearch(
        (old) => {
          const next = new URLSearchParams(old);
          change(next);
          return next;
        },
        { replace: true, flushSync: true },
      ),
    [setSearch],
  );
  return [search, edit];
}

/** Set a parameter; one without a value is left out. */
export function setOrDelete(search: URLSearchParams, name: string, value: string | null): void {
  if (value) search.set(name, value);
  else search.delete(name);
}
