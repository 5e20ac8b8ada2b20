/** The draft and its YAML, kept the same: whichever side is edited leads. */
import { useState } from "react";
import { draftToYaml, yamlToDraft, type Draft } from "./draft";

export interface DraftState {
  draft: Draft;
  yaml: string;
  yamlError: string | null;
  change: (changes: Partial<Draft>) => void;
  changeYaml: (text: string) => void;
}

export function useDraft(initial: Draft): DraftState {
  const [state, setState] = useState({ draft: initial, yaml: draftToYaml(initial), yamlError: null as string | null });
  return {
    ...state,
    change: (changes) =>
      setState((old) => {
        const draft = { ...old.draft, ...changes };
        return { draft, yaml: draftToYaml(draft), yamlError: null };
      }),
    changeYaml: (text) =>
      setState((old) => {
        const { draft, error } = yamlToDraft(text, old.draft);
        return { draft: draft ?? old.draft, yaml: text, yamlError: error };
      }),
  };
}
