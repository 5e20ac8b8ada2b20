/** What was asked for, as it was submitted. */
import { Code, CopyButton, Button } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useMemo } from "react";
import { stringify } from "yaml";
import { Panel } from "@/components/panel";
import type { Job } from "@/lib/api-types";

export default function JobConfiguration({ job }: { job: Job }) {
  const text = useMemo(
    () => stringify({ name: job.name, priority: job.priority, resources: job.resources, spec: job.spec }),
    [job.name, job.priority, job.resources, job.spec],
  );
  return (
    <Panel
      title="As YAML"
      testId="job-configuration"
      actions={
        <CopyButton value={text}>
          {({ copied, copy }) => (
            <Button
              size="xs"
              variant="default"
              onClick={copy}
              leftSection={copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
            >
              {copied ? "Copied" : "Copy"}
            </Button>
          )}
        </CopyButton>
      }
    >
      <Code block fz="xs">
        {text}
      </Code>
    </Panel>
  );
}
