/** How long the documents are: one bar for each doubling of length. */
import { Box, Group, Text, Tooltip } from "@mantine/core";
import { formatCount } from "@/lib/format";
import type { LengthBucket } from "@/lib/api-types";
import classes from "./length-histogram.module.css";

export function LengthHistogram({ buckets }: { buckets: LengthBucket[] }) {
  const most = Math.max(1, ...buckets.map((bucket) => bucket.documents));
  return (
    <Box role="img" aria-label="Documents by length in characters" data-testid="length-histogram">
      <div className={classes.bars}>
        {buckets.map((bucket) => (
          <Tooltip
            key={bucket.min_characters}
            label={`${formatCount(bucket.documents)} documents of ${formatCount(bucket.min_characters)} to ${formatCount(bucket.max_characters)} characters`}
          >
            <div className={classes.slot}>
              <div className={classes.bar} style={{ height: `${(bucket.documents / most) * 100}%` }} />
            </div>
          </Tooltip>
        ))}
      </div>
      <Group justify="space-between" mt={4}>
        <Text fz="xs" c="dimmed">
          {formatCount(buckets[0]?.min_characters)}
        </Text>
        <Text fz="xs" c="dimmed">
          Characters in a document
        </Text>
        <Text fz="xs" c="dimmed">
          {formatCount(buckets.at(-1)?.max_characters)}
        </Text>
      </Group>
    </Box>
  );
}
