/** Which runs exist: a live table. Filters, order and page are in the address, so a link shows what you see. */
import { Button, Group } from "@mantine/core";
import { IconListDetails, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { DataTable } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { ErrorPanel } from "@/components/error-panel";
import { RowsSkeleton } from "@/components/loading";
import { Page } from "@/components/page";
import type { JobKind } from "@/lib/api-types";
import { Panel } from "@/components/panel";
import { jobsQuery, type JobFilter, type JobPage } from "@/lib/queries/jobs";
import { useProject } from "@/lib/use-project";
import { setOrDelete, useSearch } from "@/lib/use-search";
import { JOB_COLUMNS } from "./job-columns";
import { JobFilters } from "./job-filters";
import { SelectionBar } from "./selection-bar";

const PAGE_SIZE = 50;
const NEWEST_FIRST = "-created_at";
const FILTERS = ["state", "search", "ordering", "cursor"] as const;

function filterOf(search: URLSearchParams, project: string | undefined): JobFilter {
  const filter: JobFilter = { page_size: PAGE_SIZE };
  for (const name of FILTERS) {
    const value = search.get(name);
    if (value) filter[name] = value;
  }
  const kind = search.get("kind");
  if (kind) filter.kind = kind as JobKind; // one that does not exist is refused by the server
  if (project) filter.project = project;
  return filter;
}

function isFiltered(search: URLSearchParams): boolean {
  return ["state", "kind", "search"].some((name) => search.has(name));
}

/** Jobs that are ticked; they stay so on other pages of the table. */
function selectedIn(search: URLSearchParams): string[] {
  return (search.get("selected") ?? "").split(",").filter(Boolean);
}

const NEW_JOB = (
  <Button component={Link} to="/jobs/new" leftSection={<IconPlus size={16} />}>
    New job
  </Button>
);

export default function JobsPage() {
  const [search, editSearch] = useSearch();
  const { project } = useProject();
  const { data: page, error, refetch } = useQuery(jobsQuery(filterOf(search, project?.id)));

  const change = (changes: Record<string, string>) =>
    editSearch((next) => {
      next.delete("cursor"); // another filter or order begins at its first page
      for (const [name, value] of Object.entries(changes)) setOrDelete(next, name, value);
    });
  const select = (ids: string[]) => editSearch((next) => setOrDelete(next, "selected", ids.join(",")));
  if (error && !page) {
    return (
      <Page title="Jobs" actions={NEW_JOB}>
        <ErrorPanel error={error} onRetry={() => void refetch()} />
      </Page>
    );
  }
  return (
    <Page title="Jobs" actions={NEW_JOB}>
      <Panel isFlush testId="jobs-table">
        <JobFilters search={search} onChange={change} />
        <SelectionBar ids={selectedIn(search)} jobs={page?.jobs ?? []} onClear={() => select([])} />
        {page ? (
          <JobRows page={page} search={search} onChange={change} onSelect={select} />
        ) : (
          <RowsSkeleton count={8} />
        )}
      </Panel>
    </Page>
  );
}

interface JobRowsProps {
  page: JobPage;
  search: URLSearchParams;
  onChange: (changes: Record<string, string>) => void;
  onSelect: (ids: string[]) => void;
}

function JobRows({ page, search, onChange, onSelect }: JobRowsProps) {
  const selected = useMemo(() => new Set(selectedIn(search)), [search]);
  const toggle = (ids: string[], isOn: boolean) => {
    const others = [...selected].filter((id) => !ids.includes(id));
    onSelect(isOn ? [...others, ...ids] : others);
  };
  if (page.jobs.length === 0) return <NoJobs hasFilter={isFiltered(search)} />;
  return (
    <>
      <DataTable
        label="Jobs"
        columns={JOB_COLUMNS}
        rows={page.jobs}
        rowKey={(job) => job.id}
        ordering={search.get("ordering") ?? NEWEST_FIRST}
        onOrder={(ordering) => onChange({ ordering })}
        selection={{ keys: selected, onToggle: toggle, labelOf: (job) => `${job.name} #${job.number}` }}
      />
      {(page.next ?? page.previous) !== null && <Pager page={page} onChange={onChange} />}
    </>
  );
}

function Pager({ page, onChange }: Pick<JobRowsProps, "page" | "onChange">) {
  const button = (label: string, cursor: string | null) => (
    <Button size="xs" variant="default" disabled={!cursor} onClick={() => onChange({ cursor: cursor ?? "" })}>
      {label}
    </Button>
  );
  return (
    <Group justify="flex-end" p="sm" gap="xs">
      {button("Previous", page.previous)}
      {button("Next", page.next)}
    </Group>
  );
}

function NoJobs({ hasFilter }: { hasFilter: boolean }) {
  if (hasFilter) {
    return (
      <EmptyState
        icon={IconListDetails}
        title="No job matches the filter"
        description="Change or clear the filter to see others."
      />
    );
  }
  return (
    <EmptyState
      icon={IconListDetails}
      title="No jobs yet"
      description="A job trains a model or samples from one. Give it a dataset and some slots, and watch it here."
      action={NEW_JOB}
    />
  );
}
