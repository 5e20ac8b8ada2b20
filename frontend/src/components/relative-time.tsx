/** When something was, relative to now; the exact time on hover. */
import { Text, Tooltip, type TextProps } from "@mantine/core";
import { formatAgo, formatExact } from "@/lib/format";
import { useNow } from "@/lib/use-now";

export function RelativeTime({ iso, ...rest }: { iso: string | null | undefined } & TextProps) {
  const now = useNow();
  if (!iso)
    return (
      <Text span inherit c="dimmed" {...rest}>
        never
      </Text>
    );
  return (
    <Tooltip label={formatExact(iso)}>
      <Text span inherit className="tabular" style={{ whiteSpace: "nowrap" }} {...rest}>
        <time dateTime={iso}>{formatAgo(iso, now)}</time>
      </Text>
    </Tooltip>
  );
}
