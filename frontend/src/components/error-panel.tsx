/** What went wrong, the request id to quote, and another try. */
import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { IconAlertCircle } from "@tabler/icons-react";
import { ApiError } from "@/lib/api-error";
import { CopyText } from "./copy-text";

export function ErrorPanel({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = error instanceof ApiError ? error : null;
  const isMissing = problem?.status === 404;
  const message = error instanceof Error ? error.message : "Something went wrong.";
  return (
    <Alert
      role="alert"
      variant="light"
      color={isMissing ? "gray" : "red"}
      icon={<IconAlertCircle aria-hidden />}
      title={isMissing ? "Not found" : "This could not be shown"}
    >
      <Stack gap="xs" align="flex-start">
        <Text fz="sm">{message}</Text>
        {problem?.fieldErrors.map((item) => (
          <Text fz="sm" key={`${item.field} ${item.message}`}>
            {item.field}: {item.message}
          </Text>
        ))}
        {problem?.remedy && <Text fz="sm">{problem.remedy}</Text>}
        <Group gap="md">
          {onRetry && (
            <Button size="xs" variant="default" onClick={onRetry}>
              Try again
            </Button>
          )}
          {problem?.requestId && (
            <Group gap={4}>
              <Text fz="xs" c="dimmed">
                Request
              </Text>
              <CopyText value={problem.requestId} label="request id" />
            </Group>
          )}
        </Group>
      </Stack>
    </Alert>
  );
}
