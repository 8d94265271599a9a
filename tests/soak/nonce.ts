// What tells one try of one request from every other: a word that its prompt, its answer and the engine all have.

/** @param request its number  @param attempt 0, 1, … on other gateways */
export function nonceOf(request: number, attempt: number): string {
  return `r${request}t${attempt}e`;
}

/** The nonce in a text, or the empty string. */
export function nonceIn(text: string): string {
  return /r\d+t\d+e/.exec(text)?.[0] ?? '';
}
