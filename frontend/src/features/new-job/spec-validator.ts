/**
 * The form's validator: an interpreter of JSON Schema, so that the page needs no `eval`.
 *
 * Unions are told apart by their discriminator before checking; an error then speaks of the field that is wrong
 * and not of every branch that did not match.
 */
import { Validator, type OutputUnit, type Schema } from "@cfworker/json-schema";
import {
  toErrorSchema,
  type RJSFSchema,
  type RJSFValidationError,
  type ValidationData,
  type ValidatorType,
} from "@rjsf/utils";

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Keywords whose error only repeats that something below is wrong. */
const SUMMARIES = new Set(["properties", "items", "oneOf", "anyOf", "allOf", "$ref", "prefixItems"]);

function branchOf(schema: Json, data: unknown): Json {
  const { oneOf: options, discriminator, ...rest } = schema;
  const name = isObject(discriminator) ? discriminator["propertyName"] : undefined;
  if (!Array.isArray(options) || typeof name !== "string" || !isObject(data)) return schema;
  const match = options.find((option) => {
    const property = isObject(option) && isObject(option["properties"]) ? option["properties"][name] : undefined;
    return isObject(property) && property["const"] === data[name];
  }) as Json | undefined;
  return match ? { ...rest, ...match } : schema;
}

/** The schema with each union replaced by the branch that `data` names. */
export function concreteSchema(schema: Json, data: unknown): Json {
  const chosen = branchOf(schema, data);
  const properties = chosen["properties"];
  if (!isObject(properties)) return chosen;
  const concrete = Object.entries(properties).map(([name, property]) => [
    name,
    isObject(property) ? concreteSchema(property, isObject(data) ? data[name] : undefined) : property,
  ]);
  return { ...chosen, properties: Object.fromEntries(concrete) as Json };
}

function unitToError(unit: OutputUnit): RJSFValidationError {
  const path = unit.instanceLocation.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  let message = unit.error;
  if (unit.keyword === "required") {
    const missing = /property "(.+)"/.exec(unit.error)?.[1];
    if (missing !== undefined) path.push(missing);
    message = "This is needed.";
  }
  if (unit.keyword === "minLength") message = "This must not be empty.";
  if (unit.keyword === "type")
    message = unit.error.replace(/^Instance type "(.+)" is invalid\. Expected "(.+)"\.$/, "Must be of type $2.");
  const property = `.${path.join(".")}`;
  return { name: unit.keyword, property, message, stack: `${path.join(".")}: ${message}` };
}

export function validateSpec(schema: Json, data: unknown): RJSFValidationError[] {
  const validator = new Validator(concreteSchema(schema, data), "2020-12", false);
  return validator
    .validate(data)
    .errors.filter((unit) => !SUMMARIES.has(unit.keyword))
    .map(unitToError);
}

export const specValidator: ValidatorType = {
  validateFormData(data: unknown, schema: RJSFSchema): ValidationData<unknown> {
    const errors = validateSpec(schema, data);
    return { errors, errorSchema: toErrorSchema(errors) };
  },
  isValid(schema: RJSFSchema, data: unknown): boolean {
    return new Validator(schema as Schema, "2020-12", true).validate(data).valid;
  },
  // rjsf asks for the result in a type of the caller's choice
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  rawValidation<Result>(schema: RJSFSchema, data: unknown): { errors?: Result[] } {
    return { errors: validateSpec(schema, data) as Result[] };
  },
};

export default specValidator;
