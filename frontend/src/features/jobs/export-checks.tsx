/** How near an export is to the version it was made from. */
import { Text } from "@mantine/core";
import { DataTable, type Column } from "@/components/data-table";
import { Panel } from "@/components/panel";
import { formatBytes, formatPct } from "@/lib/format";

interface OutputCheck {
  batch: number;
  length: number;
  max_error: number;
  mean_error: number;
  top1_agreement: number;
}

interface ExportResult {
  kind: "export";
  requirement: string;
  size_bytes: number;
  source_bytes: number;
  answer: string | null;
  checks: OutputCheck[];
}

function isExportResult(result: unknown): result is ExportResult {
  return typeof result === "object" && result !== null && (result as { kind?: unknown }).kind === "export";
}

const COLUMNS: Column<OutputCheck>[] = [
  { key: "shape", header: "Tokens", render: (check) => `${check.batch} x ${check.length}` },
  { key: "max", header: "Largest error", isNumeric: true, render: (check) => check.max_error.toExponential(1) },
  { key: "mean", header: "Mean error", isNumeric: true, render: (check) => check.mean_error.toExponential(1) },
  { key: "top1", header: "Same top token", isNumeric: true, render: (check) => formatPct(check.top1_agreement) },
];

export function ExportChecks({ result }: { result: unknown }) {
  if (!isExportResult(result)) return null;
  const sizes = `${formatBytes(result.size_bytes)}; the version's weights have ${formatBytes(result.source_bytes)}.`;
  return (
    <Panel title="Compared with torch" description={`Wanted: ${result.requirement}. ${sizes}`} testId="export-checks">
      <DataTable
        label="Comparison"
        columns={COLUMNS}
        rows={result.checks}
        rowKey={(check) => `${check.batch}x${check.length}`}
      />
      {result.answer !== null && (
        <Text fz="sm" mt="sm">
          Its program answered without torch: <code>{result.answer}</code>
        </Text>
      )}
    </Panel>
  );
}
