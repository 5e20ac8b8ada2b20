/** Log lines, as many as fit the window; text stays text, whatever is in it. */
import { Button, Center, Group, Loader, Text } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { parseAnsi, plainText } from "@/lib/ansi";
import type { LogStore } from "@/lib/live/log-store";
import { ErrorPanel } from "./error-panel";
import classes from "./log-view.module.css";

const LINE_PX = 18;
const AT_END_PX = 40;

interface LogViewProps {
  store: LogStore;
  /** Only lines with this text are shown; empty shows all. */
  needle: string;
  isFollowing: boolean;
  onFollow: (isFollowing: boolean) => void;
}

function useLines(store: LogStore, version: number, needle: string): string[] {
  return useMemo(() => {
    const { lines } = store;
    const shown = lines.at(-1) === "" ? lines.slice(0, -1) : [...lines];
    if (!needle) return shown;
    const wanted = needle.toLowerCase();
    return shown.filter((line) => plainText(line).toLowerCase().includes(wanted));
    // `version` stands for the content of the store
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [store, version, needle]);
}

export function LogView({ store, needle, isFollowing, onFollow }: LogViewProps) {
  const version = useSyncExternalStore(store.subscribe, store.getVersion);
  const lines = useLines(store, version, needle);
  const frame = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => frame.current,
    estimateSize: () => LINE_PX,
    overscan: 20,
  });
  useEffect(() => {
    const element = frame.current;
    if (isFollowing && element) element.scrollTop = element.scrollHeight;
  }, [isFollowing, lines]);

  if (store.error !== null && lines.length === 0) {
    return <ErrorPanel error={store.error} onRetry={() => void store.open()} />;
  }
  const onScroll = () => {
    const element = frame.current;
    if (!element) return;
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < AT_END_PX;
    if (isFollowing && !isAtEnd) onFollow(false);
  };
  return (
    <>
      {store.start > 0 && (
        <Group px="sm" pb="xs">
          <Button size="compact-xs" variant="default" loading={store.isLoading} onClick={() => void store.loadBefore()}>
            Load earlier lines
          </Button>
        </Group>
      )}
      <div
        ref={frame}
        className={classes.frame}
        onWheel={onScroll}
        onTouchMove={onScroll}
        onKeyUp={onScroll}
        tabIndex={0}
        role="log"
        aria-label="Log lines"
        data-testid="log-lines"
        data-lines={lines.length}
      >
        {lines.length === 0 && (
          <Center h="100%">
            {store.isLoading ? (
              <Loader size="sm" />
            ) : (
              <Text fz="sm" c="dimmed">
                {needle ? "No line contains that." : "Nothing written yet."}
              </Text>
            )}
          </Center>
        )}
        <div className={classes.space} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => (
            <div key={item.key} className={classes.line} style={{ transform: `translateY(${item.start}px)` }}>
              <LogLine line={lines[item.index] ?? ""} />
            </div>
          ))}
        </div>
      </div>
    </>
  );
}

const LogLine = memo(function LogLine({ line }: { line: string }) {
  return parseAnsi(line).map((span, index) => (
    <span
      key={index}
      data-color={span.color ?? undefined}
      data-bold={span.isBold || undefined}
      data-dim={span.isDim || undefined}
    >
      {span.text}
    </span>
  ));
});
