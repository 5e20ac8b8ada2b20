/** Which runs exist: a live table. Filters, order and page are in the address, so a link shows what you see. */
import { Button, Group } from "@mantine/core";
import { IconListDetails, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { DataTable } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { ErrorPanel } from "@/components/error-panel";
import { RowsSkeleton } from "@/components/loading";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { jobsQuery, type JobFilter } from "@/lib/queries/jobs";
import { useProject } from "@/lib/use-project";
import { JOB_COLUMNS } from "./job-columns";
import { JobFilters } from "./job-filters";

const PAGE_SIZE = 50;
const NEWEST_FIRST = "-created_at";
const FILTERS = ["state", "kind", "search", "ordering", "cursor"] as const;

function filterOf(search: URLSearchParams, project: string | undefined): JobFilter {
  const filter: JobFilter = { page_size: PAGE_SIZE };
  for (const name of FILTERS) {
    const value = search.get(name);
    if (value) filter[name] = value;
  }
  if (project) filter.project = project;
  return filter;
}

export default function JobsPage() {
  const [search, setSearch] = useSearchParams();
  const { project } = useProject();
  const { data: page, error, refetch } = useQuery(jobsQuery(filterOf(search, project?.id)));

  const change = (changes: Record<string, string>) =>
    setSearch(
      (old) => {
        const next = new URLSearchParams(old);
        next.delete("cursor"); // another filter or order begins at its first page
        for (const [name, value] of Object.entries(changes)) {
          if (value) next.set(name, value);
          else next.delete(name);
        }
        return next;
      },
      { replace: true },
    );
  const isFiltered = ["state", "kind", "search"].some((name) => search.has(name));
  const newJob = (
    <Button component={Link} to="/jobs/new" leftSection={<IconPlus size={16} />}>
      New job
    </Button>
  );
  return (
    <Page title="Jobs" actions={newJob}>
      {error && !page ? (
        <ErrorPanel error={error} onRetry={() => void refetch()} />
      ) : (
        <Panel isFlush testId="jobs-table">
          <JobFilters search={search} onChange={change} />
          {!page && <RowsSkeleton count={8} />}
          {page && page.jobs.length > 0 && (
            <DataTable
              label="Jobs"
              columns={JOB_COLUMNS}
              rows={page.jobs}
              rowKey={(job) => job.id}
              ordering={search.get("ordering") ?? NEWEST_FIRST}
              onOrder={(ordering) => change({ ordering })}
            />
          )}
          {page?.jobs.length === 0 && (
            <EmptyState
              icon={IconListDetails}
              title={isFiltered ? "No job matches the filter" : "No jobs yet"}
              description={
                isFiltered
                  ? "Change or clear the filter to see others."
                  : "A job trains a model or samples from one. Give it a dataset and some slots, and watch it here."
              }
              action={isFiltered ? undefined : newJob}
            />
          )}
          {page && (page.next ?? page.previous) !== null && (
            <Group justify="flex-end" p="sm" gap="xs">
              <Button
                size="xs"
                variant="default"
                disabled={!page.previous}
                onClick={() => change({ cursor: page.previous ?? "" })}
              >
                Previous
              </Button>
              <Button
                size="xs"
                variant="default"
                disabled={!page.next}
                onClick={() => change({ cursor: page.next ?? "" })}
              >
                Next
              </Button>
            </Group>
          )}
        </Panel>
      )}
    </Page>
  );
}
