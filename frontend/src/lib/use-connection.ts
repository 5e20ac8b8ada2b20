/** The state of the tab's live connection. */
import { useSyncExternalStore } from "react";
import { stream, type ConnectionState } from "./stream";

export function useConnection(): ConnectionState {
  return useSyncExternalStore(stream.onStateChange, stream.getState);
}
