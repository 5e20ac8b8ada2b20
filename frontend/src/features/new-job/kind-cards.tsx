/** The kinds of job, one to pick. */
import { Radio, SimpleGrid, Text } from "@mantine/core";
import type { CatalogEntry } from "@/lib/api-types";

interface KindCardsProps {
  catalog: CatalogEntry[];
  kind: string;
  onPick: (kind: string) => void;
}

export function KindCards({ catalog, kind, onPick }: KindCardsProps) {
  return (
    <Radio.Group value={kind} onChange={onPick} aria-label="Kind of job">
      <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }} spacing="sm">
        {catalog.map((entry) => (
          <Radio.Card
            key={entry.kind}
            value={entry.kind}
            p="sm"
            data-testid={`kind-${entry.kind}`}
            style={entry.kind === kind ? { borderColor: "var(--mantine-primary-color-filled)" } : {}}
          >
            <Text fw={600} fz="sm">
              {entry.title}
            </Text>
            <Text c="dimmed" fz="xs">
              {entry.description}
            </Text>
          </Radio.Card>
        ))}
      </SimpleGrid>
    </Radio.Group>
  );
}
