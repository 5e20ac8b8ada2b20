/** An address that is nobody's. */
import { Button } from "@mantine/core";
import { IconCompass } from "@tabler/icons-react";
import { Link } from "react-router";
import { EmptyState } from "@/components/empty-state";

export default function NotFoundPage() {
  return (
    <EmptyState
      icon={IconCompass}
      title="There is no such page"
      description="The address may be mistyped, or what it showed has been deleted."
      action={
        <Button component={Link} to="/jobs">
          Go to jobs
        </Button>
      }
    />
  );
}
