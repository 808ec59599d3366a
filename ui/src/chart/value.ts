/** A sample value as the API writes it → number. Apart from data.ts so that the first page need not load the graphs. */
export function parseValue(text: string): number {
  return text === "+Inf" || text === "Inf" ? Number.POSITIVE_INFINITY : text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}
