/** A parameter that the route's path names. */
import { useParams } from "react-router";

export function useRequiredParam(name: string): string {
  const value = useParams()[name];
  if (value === undefined) throw new Error(`The route has no parameter ${name}.`);
  return value;
}
