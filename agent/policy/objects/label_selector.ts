import type { Fields } from "./fields.ts";
import { readLabels } from "./metadata.ts";
import { labelKeyFault, labelValueFault } from "./syntax.ts";
import type { LabelRequirement, LabelSelector } from "./types.ts";

const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;
type Operator = (typeof OPERATORS)[number];

/** Reads and checks a meta/v1 LabelSelector. An empty one selects everything. */
export function readLabelSelector(selector: Fields): LabelSelector {
  selector.refuseUnknown(["matchLabels", "matchExpressions"]);
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of readLabels(selector, "matchLabels")) {
    requirements.push({ key, operator: "In", values: [value] });
  }
  for (const expression of selector.maps("matchExpressions") ?? []) {
    const requirement = readExpression(expression);
    if (requirement !== undefined) requirements.push(requirement);
  }
  return { requirements };
}

function readExpression(expression: Fields): LabelRequirement | undefined {
  expression.refuseUnknown(["key", "operator", "values"]);
  const key = expression.string("key") ?? "";
  const keyFault = key === "" ? "required" : labelKeyFault(key);
  if (keyFault !== undefined) expression.error("key", key, keyFault);
  const operator = readOperator(expression);
  const values = expression.strings("values") ?? [];
  for (const { value, line, path } of values) {
    const fault = labelValueFault(value);
    if (fault !== undefined) expression.problems.error(line, path, value, fault);
  }
  if (operator === undefined) return undefined;
  const takesValues = operator === "In" || operator === "NotIn";
  const written = expression.listLength("values");
  if (takesValues && written === 0) {
    expression.error("values", undefined, `required with operator ${operator}`);
  }
  if (!takesValues && written > 0) {
    expression.error("values", undefined, `not allowed with operator ${operator}`);
  }
  return { key, operator, values: [...new Set(values.map(({ value }) => value))].sort() };
}

function readOperator(expression: Fields): Operator | undefined {
  const text = expression.string("operator");
  const operator = OPERATORS.find((known) => known === text);
  if (operator === undefined) {
    expression.error("operator", text, `expected one of ${OPERATORS.join(", ")}`);
  }
  return operator;
}
