/** The form of a kind's spec, rendered from its JSON Schema. Loaded only where a job is made. */
import RjsfForm from "@rjsf/mantine";
import type { ErrorSchema, RegistryWidgetsType, RJSFSchema, TemplatesType, UiSchema } from "@rjsf/utils";
import { DatasetWidget, ModelVersionWidget, PromptWidget, SwitchWidget } from "./pickers";
import { SpecFieldTemplate, SpecObjectTemplate, SpecUnionTemplate } from "./spec-templates";
import { specValidator } from "./spec-validator";
import type { Spec } from "./draft";

const WIDGETS: RegistryWidgetsType = {
  dataset: DatasetWidget,
  modelVersion: ModelVersionWidget,
  textarea: PromptWidget,
  CheckboxWidget: SwitchWidget,
};

const TEMPLATES: Partial<TemplatesType> = {
  ObjectFieldTemplate: SpecObjectTemplate,
  FieldTemplate: SpecFieldTemplate,
  MultiSchemaFieldTemplate: SpecUnionTemplate,
};

const NO_SUBMIT_BUTTON = { "ui:submitButtonOptions": { norender: true } };

interface SpecFormProps {
  schema: RJSFSchema;
  uiSchema: UiSchema;
  spec: Spec;
  onChange: (spec: Spec) => void;
  serverErrors: ErrorSchema;
}

export default function SpecForm({ schema, uiSchema, spec, onChange, serverErrors }: SpecFormProps) {
  return (
    <RjsfForm
      tagName="div"
      idPrefix="spec"
      schema={schema}
      uiSchema={{ ...uiSchema, ...NO_SUBMIT_BUTTON }}
      formData={spec}
      validator={specValidator}
      widgets={WIDGETS}
      templates={TEMPLATES}
      onChange={({ formData }) => onChange(formData as Spec)}
      extraErrors={serverErrors}
      liveValidate="onBlur"
      showErrorList={false}
      noHtml5Validate
    />
  );
}
