/** How the form lays out a spec: a grid of fields, groups in sections, what is rarely changed folded away. */
import { Accordion, Box, SimpleGrid, Stack } from "@mantine/core";
import type { FieldTemplateProps, MultiSchemaFieldTemplateProps, ObjectFieldTemplateProps } from "@rjsf/utils";
import type { ReactNode } from "react";
import { Panel } from "@/components/panel";
import { humanize } from "@/lib/format";
import classes from "./spec-templates.module.css";
import { layoutOf } from "./spec-schema";

const ADVANCED = "advanced";

function Fields({ children }: { children: ReactNode }) {
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, lg: 3 }} spacing="md" verticalSpacing="sm">
      {children}
    </SimpleGrid>
  );
}

interface Section {
  id: string;
  title: string;
  content: ReactNode;
}

function Sections({ sections, open }: { sections: Section[]; open: string[] }) {
  return (
    <Accordion
      classNames={{ item: classes.section }}
      multiple
      variant="separated"
      defaultValue={open}
      chevronPosition="left"
      keepMounted
    >
      {sections.map(({ id, title, content }) => (
        <Accordion.Item key={id} value={id}>
          <Accordion.Control py={2} fw={600}>
            {title}
          </Accordion.Control>
          <Accordion.Panel>{content}</Accordion.Panel>
        </Accordion.Item>
      ))}
    </Accordion>
  );
}

function Root({ schema, properties }: ObjectFieldTemplateProps) {
  const layout = layoutOf(schema);
  const required = new Set(schema.required);
  const content = (names: string[]) =>
    properties.filter((item) => names.includes(item.name)).map((item) => item.content);
  const titleOf = (name: string) => {
    const property = schema.properties?.[name];
    return (typeof property === "object" ? property.title : undefined) ?? humanize(name);
  };
  const groups = [...layout.open, ...layout.folded].map((name) => ({
    id: name,
    title: titleOf(name),
    content: content([name]),
  }));
  const sections: Section[] = [
    ...groups.filter((group) => layout.open.includes(group.id)),
    ...(groups.length > 0 && layout.main.length > 0
      ? [{ id: "main", title: "Run", content: <Fields>{content(layout.main)}</Fields> }]
      : []),
    ...groups.filter((group) => layout.folded.includes(group.id)),
    ...(layout.advanced.length > 0
      ? [{ id: ADVANCED, title: "Advanced", content: <Fields>{content(layout.advanced)}</Fields> }]
      : []),
  ];
  return (
    <Stack gap="md">
      {groups.length === 0 && (
        <Panel title="What to do">
          <Stack gap="sm">
            {content(layout.main.filter((name) => required.has(name)))}
            <Fields>{content(layout.main.filter((name) => !required.has(name)))}</Fields>
          </Stack>
        </Panel>
      )}
      <Sections sections={sections} open={[...layout.open, "main"]} />
    </Stack>
  );
}

export function SpecObjectTemplate(props: ObjectFieldTemplateProps) {
  if (props.fieldPathId.path.length === 0) return <Root {...props} />;
  return <Fields>{props.properties.filter((item) => !item.hidden).map((item) => item.content)}</Fields>;
}

/** The label and the description are the widget's own; hidden fields take no room. */
export function SpecFieldTemplate({ id, hidden, children, errors, schema }: FieldTemplateProps) {
  if (hidden) return <Box display="none">{children}</Box>;
  const isGroup = schema.type === "object" || schema.oneOf !== undefined;
  return (
    <Box data-field={id} className={isGroup ? classes["group"] : undefined}>
      {children}
      {isGroup && errors}
    </Box>
  );
}

export function SpecUnionTemplate({ selector, optionSchemaField }: MultiSchemaFieldTemplateProps) {
  return (
    <Stack gap="sm">
      <Box maw={280}>{selector}</Box>
      {optionSchemaField}
    </Stack>
  );
}
