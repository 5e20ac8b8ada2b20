/** A link within the dashboard. */
import { Anchor, type AnchorProps } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";

interface TextLinkProps extends AnchorProps {
  to: string;
  children: ReactNode;
  title?: string;
}

export function TextLink({ to, children, ...rest }: TextLinkProps) {
  return (
    <Anchor component={Link} to={to} {...rest}>
      {children}
    </Anchor>
  );
}
