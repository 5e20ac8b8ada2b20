/** Ctrl-K: jobs, models, datasets, pages and actions, by a part of what they are called. */
import { Combobox, Group, Modal, Text, TextInput, useCombobox } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useEffect, useState, type KeyboardEvent } from "react";
import classes from "./command-palette.module.css";
import { usePaletteEntries } from "./palette-entries";

const LIST_ID = "palette-list";
const optionId = (id: string) => `palette-option-${id}`;

interface Props {
  opened: boolean;
  onClose: () => void;
}

export default function CommandPalette({ opened, onClose }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      withCloseButton={false}
      centered={false}
      yOffset={80}
      size={600}
      padding={0}
      attributes={{ content: { "aria-label": "Command palette" } }}
    >
      <Palette onClose={onClose} />
    </Modal>
  );
}

/** Mounted while the palette is open: nothing is asked of the server before. */
function Palette({ onClose }: { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const groups = usePaletteEntries(query.trim());
  const { current, step, choose } = useCurrent(groups.flatMap((group) => group.entries));

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "Enter") {
      current?.run();
      if (current) onClose();
    } else return;
    event.preventDefault();
  };

  return (
    <>
      <TextInput
        data-autofocus
        size="lg"
        classNames={{ input: classes["search"] }}
        leftSection={<IconSearch size={20} stroke={1.6} aria-hidden />}
        placeholder="Find a job, model, dataset, page or action"
        aria-label="Search everything"
        role="combobox"
        aria-expanded
        aria-autocomplete="list"
        aria-controls={LIST_ID}
        aria-activedescendant={current && optionId(current.id)}
        autoComplete="off"
        value={query}
        onChange={(event) => {
          setQuery(event.currentTarget.value);
          choose(undefined);
        }}
        onKeyDown={onKeyDown}
      />
      <Results groups={groups} currentId={current?.id} onRun={onClose} />
    </>
  );
}

/**
 * The entry that Enter runs: the first one until another is chosen. It is known by its id, so it stays the same one
 * while slower answers of the server put entries before it, and falls back to the first when it goes.
 */
function useCurrent<T extends { id: string }>(entries: T[]) {
  const [chosen, choose] = useState<string>();
  const current = entries.find(({ id }) => id === chosen) ?? entries[0];
  const step = (by: 1 | -1) => {
    if (!current) return;
    const next = (entries.indexOf(current) + by + entries.length) % entries.length;
    choose(entries[next]?.id);
  };
  useEffect(() => {
    if (chosen) document.getElementById(optionId(chosen))?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return { current, step, choose };
}

interface ResultsProps {
  groups: ReturnType<typeof usePaletteEntries>;
  currentId: string | undefined;
  onRun: () => void;
}

function Results({ groups, currentId, onRun }: ResultsProps) {
  const store = useCombobox();
  return (
    <Combobox store={store}>
      <Combobox.Options id={LIST_ID} aria-label="Results" p="xs" className={classes["list"]}>
        {groups.map((group) => (
          <Combobox.Group key={group.label} label={group.label}>
            {group.entries.map(({ id, label, hint, icon: Symbol, run }) => (
              <Combobox.Option
                key={id}
                id={optionId(id)}
                value={id}
                selected={id === currentId}
                aria-selected={id === currentId}
                className={classes["option"]}
                onClick={() => {
                  run();
                  onRun();
                }}
              >
                <Group gap="sm" wrap="nowrap">
                  <Symbol size={18} stroke={1.6} aria-hidden />
                  <Text span size="sm" truncate flex={1}>
                    {label}
                  </Text>
                  <Text span size="xs" className={classes["hint"]}>
                    {hint}
                  </Text>
                </Group>
              </Combobox.Option>
            ))}
          </Combobox.Group>
        ))}
        {groups.length === 0 && <Combobox.Empty>Nothing is called that.</Combobox.Empty>}
      </Combobox.Options>
    </Combobox>
  );
}
